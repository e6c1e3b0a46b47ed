//! Views: one struct for each thing that is shown. Tables, JSON and whatever comes later render these, so that
//! they cannot disagree.
//!
//! A view is computed from the state by [`build`] and carries no decisions; it derives serde because it travels.

mod after;
mod build;
mod explain;
mod find;
mod ids;
mod journal;
mod pages;
mod recall;

pub use recall::{Earliest, Happening, Moment, Spot, Window, recalled_submit};

pub use find::{FoundJobs, JobCounts, JobOrder, JobQuery, TagWanted};

pub use journal::{ForgottenDetails, JournalCheck, JournalImage, JournalInfo, JournalSizes};

pub use pages::{TaskPage, TaskPageRequest};

pub use explain::{
    ExplainedItem, ExplainedNodes, ExplainedResource, ExplainedTime, ExplainedVariant, ExplainedWorker, TaskExplanation,
};

use crate::id::{AttemptId, JobId, TaskId, TaskRef, WorkerId};
use crate::retry::{FailureCause, Usage};
use crate::task::{After, SubmitDesc};
use crate::time::{Span, Time};
use crate::worker::{Drain, LostReason, WorkerConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

int_choice! {
    /// State of a task as users see it.
    pub enum TaskState {
        /// Not running yet, or again.
        0 => Waiting,
        /// Its process runs.
        1 => Running,
        /// Ended with exit code 0.
        2 => Finished,
        /// Ended in another way.
        3 => Failed,
        /// Ended by a user.
        4 => Canceled,
        /// Ended by the system.
        5 => Aborted,
    }
}

int_choice! {
    /// State of a job as users see it.
    pub enum JobState {
        /// Something waits and nothing runs.
        0 => Waiting,
        /// Something runs.
        1 => Running,
        /// Everything finished.
        2 => Finished,
        /// Something failed.
        3 => Failed,
        /// Something was cancelled.
        4 => Canceled,
        /// Something was aborted.
        5 => Aborted,
        /// Open, and nothing to do.
        6 => Opened,
    }
}

int_struct! {
    /// How many tasks of a job are in which state.
    #[derive(Copy, Eq)]
    pub struct TaskCounts {
        /// Waiting.
        0 => pub waiting: u64,
        /// Running.
        1 => pub running: u64,
        /// Finished.
        2 => pub finished: u64,
        /// Failed.
        3 => pub failed: u64,
        /// Canceled.
        4 => pub canceled: u64,
        /// Aborted.
        5 => pub aborted: u64,
    }
}

int_struct! {
    /// A job in one line.
    pub struct JobSummary {
        /// Its number.
        0 => pub id: JobId,
        /// Its name.
        1 => pub name: String,
        /// Whether it accepts further submits.
        2 => pub is_open: bool,
        /// Why it was cancelled, when a reason was given.
        3 => pub cancel_reason: Option<String>,
        /// Its tasks.
        4 => pub counts: TaskCounts,
        /// Words by which it can be found.
        5 => pub tags: BTreeMap<String, String>,
    }
}

int_struct! {
    /// A task.
    pub struct TaskView {
        /// Its number.
        0 => pub id: TaskId,
        /// Its state.
        1 => pub state: TaskState,
        /// The current or last attempt; meaningful once it has started.
        2 => pub attempt: AttemptId,
        /// Where it runs or ran, the root first; empty when it has not started.
        3 => pub workers: Vec<WorkerId>,
        /// When the current or last attempt started.
        4 => pub started: Option<Time>,
        /// When the task reached its final state.
        5 => pub ended: Option<Time>,
        /// Why it failed.
        6 => pub error: Option<String>,
        /// Number of the submit that brought it.
        7 => pub submit: u32,
        /// Index of its description within the submit.
        8 => pub desc: u32,
        /// Why it was canceled or aborted, where that is known.
        9 => pub reason: Option<String>,
        /// Whether somebody keeps it from starting; only of waiting tasks.
        10 => pub held: bool,
    }
}

int_struct! {
    /// A job with its submits, without its tasks.
    pub struct JobDetail {
        /// The line of the job list.
        0 => pub summary: JobSummary,
        /// Failures above which the rest is aborted.
        1 => pub max_fails: Option<u32>,
        /// When it was submitted.
        2 => pub submitted: Time,
        /// When it was completed; none for an open job, and while something is left to do.
        3 => pub completed: Option<Time>,
        /// The submits; large data removed, long words replaced by their size.
        4 => pub submits: Vec<Arc<SubmitDesc>>,
        /// Uid of the server, for placeholders.
        5 => pub server_uid: String,
        /// The first failed tasks, by id.
        6 => pub failed: Vec<TaskView>,
        /// Workers that ran tasks of the job, with their host names.
        7 => pub workers: Vec<WorkerName>,
        /// Dependencies of its submits on jobs and on tasks of others, with what has become of them; of very many the
        /// first ones.
        20 => pub after: Vec<AfterView>,
    }
}

int_choice! {
    /// What has become of a dependency.
    pub enum AfterState {
        /// Not decided yet.
        0 => Waiting,
        /// It was met.
        1 => Met,
        /// It cannot be met any more.
        2 => Broken,
    }
}

int_struct! {
    /// A dependency of a submit on a job, or on tasks of one.
    pub struct AfterView {
        /// The dependency.
        0 => pub after: After,
        /// What has become of it; where each task waits for its own partner, that of all of them.
        1 => pub state: AfterState,
        /// Number of the submit.
        2 => pub submit: u32,
        /// Tasks that are waited for and have not ended.
        3 => pub left: u64,
    }
}

int_struct! {
    /// One attempt of a task, as the journal tells it.
    pub struct AttemptView {
        /// The task.
        0 => pub task: TaskId,
        /// Its number.
        1 => pub attempt: AttemptId,
        /// Where it ran, the root first.
        2 => pub workers: Vec<WorkerId>,
        /// When it started; none when it could not.
        3 => pub started: Option<Time>,
        /// When it ended; none while it runs.
        4 => pub ended: Option<Time>,
        /// How it ended; running or waiting (it runs again) are possible.
        5 => pub state: TaskState,
        /// Why, for a failure.
        6 => pub cause: FailureCause,
        /// The text for users; empty: none.
        7 => pub error: String,
        /// Exit code, when the program exited.
        8 => pub exit_code: Option<i32>,
        /// Signal, when one ended the program.
        9 => pub signal: Option<i32>,
        /// What it used; none: not known.
        10 => pub usage: Option<Usage>,
        /// Time from when it was wanted (the submit, the end of the attempt before, a rerun) to its start; none: not known.
        11 => pub waited: Option<Span>,
    }
}

int_struct! {
    /// Why a job or a task is where it is.
    pub struct WhyView {
        /// The job.
        0 => pub job: JobId,
        /// The task; none: the job as a whole.
        1 => pub task: Option<TaskId>,
        /// One sentence.
        2 => pub sentence: String,
        /// What else is to be said, a sentence each.
        3 => pub details: Vec<String>,
    }
}

int_struct! {
    /// A worker's number with its host name.
    pub struct WorkerName {
        /// The worker.
        0 => pub id: WorkerId,
        /// Its host name.
        1 => pub hostname: String,
    }
}

int_struct! {
    /// How a worker ended.
    #[derive(Copy)]
    pub struct WorkerEnd {
        /// When.
        0 => pub at: Time,
        /// Why.
        1 => pub reason: LostReason,
    }
}

int_struct! {
    /// A task that started on a worker.
    #[derive(Copy)]
    pub struct LastStarted {
        /// The task.
        0 => pub task: TaskRef,
        /// When.
        1 => pub at: Time,
    }
}

int_choice! {
    /// What a worker is to a multi-node task.
    pub enum GangRole {
        /// Nothing.
        0 => None,
        /// The task's program runs here.
        1 => Root,
        /// Kept free for the task.
        2 => Node,
    }
}

int_struct! {
    /// A worker.
    pub struct WorkerView {
        /// Its number.
        0 => pub id: WorkerId,
        /// What it said about itself.
        1 => pub config: Box<WorkerConfig>,
        /// When it registered.
        2 => pub started: Time,
        /// How it ended; none while it is connected.
        3 => pub ended: Option<WorkerEnd>,
        /// Tasks assigned to its free resources and not ended.
        4 => pub assigned_tasks: u32,
        /// Those of them that run.
        5 => pub running_tasks: u32,
        /// The last task that started on it.
        6 => pub last_started: Option<LastStarted>,
        /// Whether its connection is broken at present, and it may still come back.
        7 => pub away: bool,
        /// Whether it takes part in a multi-node task.
        8 => pub gang: GangRole,
        /// Whether it gets nothing new and ends soon.
        9 => pub draining: Option<Drain>,
    }
}

int_struct! {
    /// What is known about jobs that somebody watches.
    #[derive(Copy, Eq)]
    pub struct ProgressView {
        /// Jobs that are completed.
        0 => pub jobs_done: u64,
        /// Jobs in the selection.
        1 => pub jobs_all: u64,
        /// Tasks of all of them.
        2 => pub counts: TaskCounts,
    }
}

int_struct! {
    /// The server's record.
    pub struct ServerView {
        /// Uid.
        0 => pub server_uid: String,
        /// Host for clients.
        1 => pub client_host: String,
        /// Port for clients.
        2 => pub client_port: u16,
        /// Host for workers.
        3 => pub worker_host: String,
        /// Port for workers.
        4 => pub worker_port: u16,
        /// Version of the program.
        5 => pub version: String,
        /// Process id.
        6 => pub pid: u32,
        /// Start of this server.
        7 => pub started: Time,
        /// Journal as given; none without one.
        8 => pub journal_path: Option<String>,
        /// The server's time when it said this.
        9 => pub now: Time,
        /// Why the journal cannot be written at present, if so.
        10 => pub trouble: Option<String>,
        /// What of completed jobs the journal was allowed to forget.
        11 => pub forgotten: ForgottenDetails,
    }
}

impl TaskCounts {
    /// All tasks.
    pub fn total(&self) -> u64 {
        self.unfinished() + self.finished + self.failed + self.canceled + self.aborted
    }

    /// Tasks that are not final.
    pub fn unfinished(&self) -> u64 {
        self.waiting + self.running
    }

    /// The counter of a state.
    pub fn of(&self, state: TaskState) -> u64 {
        match state {
            TaskState::Waiting => self.waiting,
            TaskState::Running => self.running,
            TaskState::Finished => self.finished,
            TaskState::Failed => self.failed,
            TaskState::Canceled => self.canceled,
            TaskState::Aborted => self.aborted,
        }
    }

    /// Adds the counters of another job.
    pub fn add(&mut self, other: &Self) {
        self.waiting += other.waiting;
        self.running += other.running;
        self.finished += other.finished;
        self.failed += other.failed;
        self.canceled += other.canceled;
        self.aborted += other.aborted;
    }

    /// The state of a job with these tasks: the first rule that holds.
    pub fn job_state(&self, is_open: bool) -> JobState {
        if self.running > 0 {
            JobState::Running
        } else if self.waiting > 0 {
            JobState::Waiting
        } else if self.failed > 0 {
            JobState::Failed
        } else if self.aborted > 0 {
            JobState::Aborted
        } else if self.canceled > 0 {
            JobState::Canceled
        } else if is_open {
            JobState::Opened
        } else {
            JobState::Finished
        }
    }
}

impl TaskState {
    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// The word in lower case, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Aborted => "aborted",
        }
    }
}

impl JobState {
    /// The word in lower case, as in filters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Aborted => "aborted",
            Self::Opened => "opened",
        }
    }
}

impl JobSummary {
    /// The state of the job.
    pub fn state(&self) -> JobState {
        self.counts.job_state(self.is_open)
    }
}
