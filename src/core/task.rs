//! What users submit: descriptions of tasks and of a whole submit.
//!
//! Strings are kept as they were given; placeholders are resolved where a task starts and where it is shown.
//! One [`TaskDesc`] serves a whole array; graphs have several.

use crate::after::AfterRequest;
use crate::id::{JobId, TaskId, TaskRef};
use crate::idset::IdSet;
use crate::resource::ResourceRequest;
use crate::retry::RetryPolicy;
use crate::time::Span;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::sync::Arc;

int_choice! {
    /// Where an output of a task goes.
    pub enum DestinationKind {
        /// To a file.
        0 => File,
        /// Nowhere.
        1 => Discard,
        /// Into the stream directory of the submit.
        2 => Stream,
    }
}

int_struct! {
    /// An output of a task.
    pub struct Destination {
        /// The kind.
        0 => pub kind: DestinationKind,
        /// For files: the path with placeholders; empty stands for the default path.
        1 => pub path: String,
        /// For files: whether the file is removed when the task has finished successfully.
        2 => pub remove_if_finished: bool,
    }
}

int_choice! {
    /// How CPUs are pinned.
    pub enum PinMode {
        /// Not at all.
        0 => None,
        /// The command is run under `taskset`.
        1 => Taskset,
        /// By OpenMP's environment variables.
        2 => Omp,
    }
}

/// After how many losses of its worker a running task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CrashLimit {
    /// Any end of the worker while the task runs fails it.
    Never,
    /// The n-th crash fails it.
    Max(u32),
    /// It never fails for this reason.
    Unlimited,
}

impl Default for CrashLimit {
    fn default() -> Self {
        Self::Max(crate::limits::CRASH_LIMIT_DEFAULT)
    }
}

int_struct! {
    /// One kind of task of a submit.
    pub struct TaskDesc {
        /// The program and its arguments.
        0 => pub args: Vec<String>,
        /// Variables the user gave.
        1 => pub env: BTreeMap<String, String>,
        /// Working directory with placeholders; empty stands for the submit directory.
        2 => pub cwd: String,
        /// Standard output.
        3 => pub stdout: Destination,
        /// Standard error.
        4 => pub stderr: Destination,
        /// Bytes for the standard input; empty stands for `/dev/null`.
        5 => pub stdin: ByteBuf,
        /// What it needs.
        6 => pub request: ResourceRequest,
        /// Larger runs earlier.
        7 => pub priority: i32,
        /// Longest run time.
        8 => pub time_limit: Option<Span>,
        /// See [`CrashLimit`].
        9 => pub crash_limit: CrashLimit,
        /// See [`PinMode`].
        10 => pub pin: PinMode,
        /// Whether it gets a temporary directory.
        11 => pub task_dir: bool,
        /// When it is tried again after a failure; none: never.
        12 => pub retry: Option<Box<RetryPolicy>>,
        /// How it is ended; none: by the defaults.
        13 => pub stop: Option<Box<StopPlan>>,
    }
}

int_struct! {
    /// A signal that a running task gets ahead of its end.
    #[derive(Copy, Eq)]
    pub struct Warning {
        /// Number of the signal.
        0 => pub signal: i32,
        /// How long before the end by its time limit, or of its worker's life.
        1 => pub before: Span,
    }
}

int_struct! {
    /// How a task is ended.
    #[derive(Copy, Eq)]
    pub struct StopPlan {
        /// A warning ahead of the end.
        0 => pub warning: Option<Warning>,
        /// Number of the first signal; 0: SIGINT.
        1 => pub signal: i32,
        /// Time from the first signal to SIGKILL; none: [`crate::limits::KILL_GRACE_SPAN`].
        2 => pub grace: Option<Span>,
    }
}

int_struct! {
    /// The entries of an array (lines of a file, elements of a JSON array), packed.
    pub struct Entries {
        /// All entries, one after the other.
        0 => pub bytes: ByteBuf,
        /// End of each entry within `bytes`.
        1 => pub ends: Vec<u32>,
    }
}

impl Entries {
    /// Packs the entries.
    pub fn pack<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut packed = Self::default();
        for entry in entries {
            packed.bytes.extend_from_slice(entry);
            packed.ends.push(u32::try_from(packed.bytes.len()).unwrap_or(u32::MAX));
        }
        packed
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The entry at `position`.
    pub fn get(&self, position: usize) -> Option<&[u8]> {
        let end = *self.ends.get(position)? as usize;
        let start = match position.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.bytes.get(start..end)
    }
}

int_choice! {
    /// What a dependency waits for.
    pub enum Condition {
        /// The task finished successfully; its failure aborts the dependent.
        0 => Ok,
        /// The task ended, however.
        1 => Any,
        /// The task failed; its success aborts the dependent.
        2 => Failed,
    }
}

int_struct! {
    /// One dependency of one task of a submit.
    pub struct Dependency {
        /// The dependent task, of the job that is submitted to.
        0 => pub task: TaskId,
        /// The task waited for; job 0 stands for the job that is submitted to.
        1 => pub on: TaskRef,
        /// What is waited for.
        2 => pub condition: Condition,
    }
}

int_struct! {
    /// A dependency of tasks of a submit on a whole job, or on some of its tasks together.
    ///
    /// It is met or broken once all that it waits for has ended; [`Condition::Ok`] needs that all finished,
    /// [`Condition::Failed`] that one failed at least.
    pub struct After {
        /// The dependent tasks; empty: all of the submit.
        0 => pub tasks: IdSet,
        /// The job waited for.
        1 => pub on: JobId,
        /// The tasks of it that are waited for; none: the job is to be completed.
        2 => pub on_tasks: Option<IdSet>,
        /// What is waited for.
        3 => pub condition: Condition,
        /// Each task waits only for the task of the same id there.
        4 => pub each: bool,
    }
}

int_struct! {
    /// One submit: the tasks that it adds to a job.
    pub struct SubmitDesc {
        /// The ids, as typed.
        0 => pub ids: IdSet,
        /// The kinds of tasks; an array has one.
        1 => pub descs: Vec<Arc<TaskDesc>>,
        /// For graphs: index into `descs` for each task, in the order of `ids`; empty: all have the first.
        2 => pub desc_of: Vec<u32>,
        /// For arrays with entries: one for each task, in the order of `ids`.
        3 => pub entries: Entries,
        /// Dependencies.
        4 => pub deps: Vec<Dependency>,
        /// The client's directory at submit, absolute.
        5 => pub submit_dir: String,
        /// The stream directory as given.
        6 => pub stream: Option<String>,
        /// Whether it came as individual tasks (a job file) rather than as one array.
        7 => pub graph: bool,
        /// Dependencies on jobs and sets of tasks.
        8 => pub after: Vec<After>,
        /// Whether it came from a job file, whose paths JSON shows as they were written.
        9 => pub file: bool,
        /// Whether tasks wait while their stream cannot be written, instead of failing.
        10 => pub stream_waits: bool,
        /// Whether entries or standard input were left out, so that its tasks cannot run by it.
        15 => pub is_slim: bool,
    }
}

impl SubmitDesc {
    /// The same submit with other descriptions and without the entries: for what is kept or shown of it.
    pub fn slim(&self, descs: Vec<Arc<TaskDesc>>) -> Self {
        let has_stdin = |descs: &[Arc<TaskDesc>]| descs.iter().any(|desc| !desc.stdin.is_empty());
        Self {
            is_slim: self.is_slim || !self.entries.is_empty() || (has_stdin(&self.descs) && !has_stdin(&descs)),
            ids: self.ids.clone(),
            descs,
            desc_of: self.desc_of.clone(),
            entries: Entries::default(),
            deps: self.deps.clone(),
            submit_dir: self.submit_dir.clone(),
            stream: self.stream.clone(),
            graph: self.graph,
            after: self.after.clone(),
            file: self.file,
            stream_waits: self.stream_waits,
        }
    }

    /// The description of the task at `position` of `ids`.
    pub fn desc_at(&self, position: usize) -> Option<&Arc<TaskDesc>> {
        let index = self.desc_of.get(position).copied().unwrap_or(0);
        self.descs.get(index as usize)
    }
}

int_struct! {
    /// What a client asks to be submitted: as a new job, or into an open one.
    pub struct SubmitRequest {
        /// Name of the job.
        0 => pub name: String,
        /// Failures above which the rest is aborted.
        1 => pub max_fails: Option<u32>,
        /// The tasks.
        2 => pub submit: Arc<SubmitDesc>,
        /// Words by which the job can be found.
        3 => pub tags: BTreeMap<String, String>,
        /// The open job to add the tasks to; none: a new one.
        4 => pub job: Option<JobId>,
        /// Task ids from this one on were not typed by anybody: in an open job they continue after the tasks it has.
        5 => pub free_ids_from: Option<u32>,
        /// What tasks of it wait for, as it was typed; the server adds what it means to [`SubmitDesc::after`].
        6 => pub after: Vec<AfterRequest>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_says_that_something_was_left_out() {
        let with_stdin = || vec![Arc::new(TaskDesc { stdin: ByteBuf::from(b"input".to_vec()), ..TaskDesc::default() })];
        let without = || vec![Arc::new(TaskDesc::default())];
        let of = |descs| SubmitDesc { descs, ..SubmitDesc::default() };
        assert!(!of(without()).slim(without()).is_slim);
        assert!(!of(with_stdin()).slim(with_stdin()).is_slim);
        let slim = of(with_stdin()).slim(without());
        assert!(slim.is_slim && slim.slim(without()).is_slim);
        let entries = Entries::pack([b"entry".as_slice()]);
        assert!(SubmitDesc { entries, ..of(without()) }.slim(without()).is_slim);
    }
}
