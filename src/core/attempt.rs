//! What server and worker tell each other about executions of tasks.
//!
//! **Invariant:** a word about an attempt carries its fence; who receives a word with another fence than the one
//! it holds ignores it. So duplicates, delays and lost messages are harmless.

use crate::id::{AttemptId, Epoch, Fence, JobId, TaskId, TaskRef};
use crate::retry::FailureCause;
use crate::task::TaskDesc;
use crate::time::Time;
use serde_bytes::ByteBuf;
use std::sync::Arc;

int_struct! {
    /// An attempt: which task, fenced how.
    #[derive(Copy, Eq, PartialOrd, Ord, Hash)]
    pub struct Attempt {
        /// The task.
        0 => pub task: TaskRef,
        /// The fence.
        1 => pub fence: Fence,
    }
}

impl Attempt {
    /// An attempt from plain numbers.
    pub fn new(job: u32, task: u32, epoch: u32, attempt: u32) -> Self {
        Self { task: TaskRef::new(job, task), fence: Fence { epoch: Epoch(epoch), attempt: AttemptId(attempt) } }
    }
}

int_struct! {
    /// Names a task description that was sent to a worker: job and index within the job.
    #[derive(Copy, Eq, PartialOrd, Ord, Hash)]
    pub struct DescKey {
        /// The job.
        0 => pub job: JobId,
        /// Number of the submit within the job.
        1 => pub submit: u32,
        /// Index of the description within the submit.
        2 => pub index: u32,
    }
}

int_struct! {
    /// What all tasks of one description have in common for a worker.
    pub struct SharedDesc {
        /// The description.
        0 => pub desc: Arc<TaskDesc>,
        /// The client's directory at submit.
        1 => pub submit_dir: String,
        /// The stream directory as given.
        2 => pub stream: Option<String>,
        /// Whether the task waits while its stream cannot be written, instead of failing.
        3 => pub stream_waits: bool,
    }
}

int_struct! {
    /// One task handed to a worker.
    pub struct AssignedTask {
        /// The task within the job of the key.
        0 => pub task: TaskId,
        /// Number of the attempt.
        1 => pub attempt: AttemptId,
        /// Its entry, for arrays with entries.
        2 => pub entry: Option<ByteBuf>,
    }
}

int_struct! {
    /// Tasks of one description handed to a worker.
    pub struct Assignment {
        /// The description.
        0 => pub key: DescKey,
        /// Epoch of the fence of all attempts.
        1 => pub epoch: Epoch,
        /// Index of the request's variant that was chosen.
        2 => pub variant: u32,
        /// The tasks, in the order in which they shall start.
        3 => pub tasks: Vec<AssignedTask>,
        /// For a multi-node task: host names of its workers, this one (the root) first; otherwise empty.
        4 => pub nodes: Vec<String>,
    }
}

int_struct! {
    /// A task has started on a worker.
    #[derive(Copy)]
    pub struct Started {
        /// The attempt.
        0 => pub attempt: Attempt,
        /// When its process was there.
        1 => pub at: Time,
        /// Index of the variant that runs.
        2 => pub variant: u32,
    }
}

int_choice! {
    /// How an attempt ended.
    pub enum Ending {
        /// With exit code 0.
        0 => Finished,
        /// In any other way; the outcome carries the text.
        1 => Failed,
        /// It was killed because the server said so.
        2 => Canceled,
        /// It was killed because its worker ended on purpose; it shall run again.
        3 => Interrupted,
    }
}

int_struct! {
    /// The end of an attempt, kept by the worker until the server has made it durable.
    pub struct Outcome {
        /// Number in the worker's outbox, from 1, growing.
        0 => pub number: u64,
        /// The attempt.
        1 => pub attempt: Attempt,
        /// When its process was there; none when it could not be started.
        2 => pub started: Option<Time>,
        /// When it ended.
        3 => pub ended: Time,
        /// How.
        4 => pub ending: Ending,
        /// What users see for a failure; empty otherwise.
        5 => pub error: String,
        /// Exit code, when the program exited.
        6 => pub exit_code: Option<i32>,
        /// Signal, when one ended the program.
        7 => pub signal: Option<i32>,
        /// User and system time in microseconds.
        8 => pub cpu_us: u64,
        /// Largest resident size in KiB.
        9 => pub memory_kib: u64,
        /// Index of the variant that ran.
        10 => pub variant: u32,
        /// Why it failed.
        11 => pub cause: FailureCause,
    }
}

int_struct! {
    /// A message by which a running task notifies whoever listens.
    pub struct Notice {
        /// Its number among those of the worker's process, from 1, growing.
        0 => pub number: u64,
        /// Whose it is.
        1 => pub attempt: Attempt,
        /// Any bytes.
        2 => pub message: ByteBuf,
    }
}

int_struct! {
    /// An attempt that a worker holds when it registers.
    #[derive(Copy)]
    pub struct HeldAttempt {
        /// The attempt.
        0 => pub attempt: Attempt,
        /// When its process was there; none while it has not started.
        1 => pub started: Option<Time>,
        /// Index of the variant.
        2 => pub variant: u32,
    }
}

impl HeldAttempt {
    /// Those whose processes are there.
    pub fn started(held: &[Self]) -> Vec<Started> {
        let as_started =
            |held: &Self| Some(Started { attempt: held.attempt, at: held.started?, variant: held.variant });
        held.iter().filter_map(as_started).collect()
    }
}

int_struct! {
    /// One way in which a task can run.
    #[derive(Copy, Eq, PartialOrd, Ord)]
    pub struct TaskVariant {
        /// The task.
        0 => pub task: TaskRef,
        /// Index of the variant of its request.
        1 => pub variant: u32,
    }
}

int_struct! {
    /// What a worker reports in one message, in this order.
    pub struct WorkerReport {
        /// Tasks that started.
        0 => pub started: Vec<Started>,
        /// Tasks that ended; acknowledged by number once durable.
        1 => pub ended: Vec<Outcome>,
        /// Tasks that were taken back and have not started.
        2 => pub returned: Vec<Attempt>,
        /// Tasks that have not started and cannot be placed, although what is free would do in total: nothing of their
        /// kind can, until `unblocked` names one.
        3 => pub rejected: Vec<Attempt>,
        /// Tasks rejected earlier whose like can be placed now.
        4 => pub unblocked: Vec<TaskVariant>,
    }
}

impl WorkerReport {
    /// Moves all of another report behind what is here.
    pub fn append(&mut self, other: &mut Self) {
        self.started.append(&mut other.started);
        self.ended.append(&mut other.ended);
        self.returned.append(&mut other.returned);
        self.rejected.append(&mut other.rejected);
        self.unblocked.append(&mut other.unblocked);
    }

    /// Whether it holds more than starts, which change nothing for anybody.
    pub fn is_urgent(&self) -> bool {
        !(self.ended.is_empty() && self.returned.is_empty() && self.rejected.is_empty() && self.unblocked.is_empty())
    }
}

int_struct! {
    /// First message of a worker.
    pub struct Registration {
        /// Random name of the worker's process; the same at every reconnect.
        0 => pub token: String,
        /// What the worker offers and wants.
        1 => pub config: WorkerConfigBox,
        /// Uid of the server it knows, empty at first.
        2 => pub server_uid: String,
        /// What it runs or has queued.
        3 => pub held: Vec<HeldAttempt>,
        /// Outcomes not yet acknowledged.
        4 => pub outbox: Vec<Outcome>,
        /// Which registration of this process it is, from 1 on: one that was overtaken on its way by a later one says
        /// nothing any more. 0: not known.
        5 => pub number: u64,
    }
}

/// The configuration travels boxed, since it is large beside the rest.
pub type WorkerConfigBox = Box<crate::worker::WorkerConfig>;
