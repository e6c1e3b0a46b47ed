//! Events: everything that ever changes the state, and the only thing that is written to the journal.
//!
//! Kinds and keys are never reused and fields are only added, so every journal stays readable (`docs/formats.md`
//! has the table). Many small happenings of one kind, one job and one worker travel as one event, in columns.
//! The time of an event is in the header of its record; times within it are distances to that.

use crate::act::TaskChange;
use crate::attempt::TaskVariant;
use crate::id::{AttemptId, Epoch, JobId, TaskId, WorkerId};
use crate::idset::IdSet;
use crate::overview::HardwareUse;
use crate::retention::DetailsForgotten;
use crate::retry::{FailureCause, Usage};
use crate::task::SubmitDesc;
use crate::time::{Span, Time};
use crate::worker::{Drain, LostReason, WorkerConfig};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::sync::Arc;

int_struct! {
    /// A server started on this journal.
    pub struct ServerStarted {
        /// Six alphanumerics; the same for all starts on one journal.
        0 => pub server_uid: String,
        /// Number of the start.
        1 => pub epoch: Epoch,
        /// Version of the program.
        2 => pub version: String,
    }
}

int_struct! {
    /// The server ended on purpose.
    pub struct ServerStopped {}
}

int_struct! {
    /// A worker registered for the first time.
    pub struct WorkerConnected {
        /// Its number.
        0 => pub worker: WorkerId,
        /// Random name of its process.
        1 => pub token: String,
        /// What it offers.
        2 => pub config: Box<WorkerConfig>,
    }
}

int_struct! {
    /// Something about a worker that needs no more than its number.
    pub struct WorkerChanged {
        /// The worker.
        0 => pub worker: WorkerId,
    }
}

int_choice! {
    /// Why a worker cannot be talked to.
    pub enum AwayReason {
        /// Its connection was closed: its process has ended, or it is about to come back.
        0 => Closed,
        /// Nothing was heard of it: it may still run its tasks.
        1 => Silent,
        /// The server was started again: it may still run its tasks.
        2 => Restart,
    }
}

int_struct! {
    /// The connection of a worker broke; its tasks stay its own for a while.
    pub struct WorkerAway {
        /// The worker.
        0 => pub worker: WorkerId,
        /// Why.
        1 => pub reason: AwayReason,
        /// For a silent one: the time since its last word.
        2 => pub silent: Span,
    }
}

int_struct! {
    /// A worker gets nothing new, and is stopped once nothing is left there.
    pub struct WorkerDraining {
        /// The worker.
        0 => pub worker: WorkerId,
        /// How.
        1 => pub drain: Drain,
    }
}

int_struct! {
    /// A worker ended; its tasks go back to the queues.
    pub struct WorkerLost {
        /// The worker.
        0 => pub worker: WorkerId,
        /// Why.
        1 => pub reason: LostReason,
    }
}

int_struct! {
    /// A worker can place again what it rejected.
    pub struct WorkerUnblocked {
        /// The worker.
        0 => pub worker: WorkerId,
        /// One task, with its variant, of each kind that it can place; empty: of every kind.
        1 => pub tasks: Vec<TaskVariant>,
    }
}

int_struct! {
    /// A worker told how busy its hardware is. Changes nothing; it is kept for who wants to look at it later.
    pub struct WorkerOverview {
        /// The worker.
        0 => pub worker: WorkerId,
        /// What it sampled.
        1 => pub state: Option<Box<HardwareUse>>,
    }
}

int_struct! {
    /// A job was created, or tasks were added to an open one.
    pub struct JobSubmitted {
        /// The job.
        0 => pub job: JobId,
        /// Its name.
        1 => pub name: String,
        /// Failures above which the rest is aborted.
        2 => pub max_fails: Option<u32>,
        /// The tasks.
        3 => pub submit: Arc<SubmitDesc>,
        /// Whether the tasks were added to an existing, open job.
        4 => pub attached: bool,
        /// Words by which the job can be found.
        5 => pub tags: BTreeMap<String, String>,
    }
}

int_struct! {
    /// An open job without tasks was created.
    pub struct JobOpened {
        /// The job.
        0 => pub job: JobId,
        /// Its name.
        1 => pub name: String,
        /// Failures above which the rest is aborted.
        2 => pub max_fails: Option<u32>,
        /// Words by which the job can be found.
        3 => pub tags: BTreeMap<String, String>,
    }
}

int_struct! {
    /// Values of a job were changed; what is absent stays.
    pub struct JobModified {
        /// The job.
        0 => pub job: JobId,
        /// Failures above which the rest is aborted.
        1 => pub max_fails: Option<u32>,
    }
}

int_struct! {
    /// What a completed job had dropped is there again, since tasks of it run again.
    pub struct JobRestored {
        /// The job.
        0 => pub job: JobId,
        /// Its submits, in order, whole.
        1 => pub submits: Vec<Arc<SubmitDesc>>,
    }
}

int_struct! {
    /// A user cancelled a job; the tasks follow in [`TasksEnded`].
    pub struct JobCanceled {
        /// The job.
        0 => pub job: JobId,
        /// The reason given.
        1 => pub reason: Option<String>,
    }
}

int_struct! {
    /// Something about a job that needs no more than its number.
    pub struct JobChanged {
        /// The job.
        0 => pub job: JobId,
    }
}

int_struct! {
    /// Tasks were given to a worker; fenced by the epoch of the record.
    pub struct TasksAssigned {
        /// The job.
        0 => pub job: JobId,
        /// The worker.
        1 => pub worker: WorkerId,
        /// Index of the request's variant.
        2 => pub variant: u32,
        /// Whether they lie ahead of free resources.
        3 => pub ahead: bool,
        /// The tasks.
        4 => pub tasks: IdSet,
        /// For a multi-node task: its workers, the root first; otherwise empty.
        5 => pub nodes: Vec<WorkerId>,
    }
}

int_struct! {
    /// A worker came back with attempts that the state did not have: their assignment was lost with a server.
    pub struct TaskAdopted {
        /// The job.
        0 => pub job: JobId,
        /// The task.
        1 => pub task: TaskId,
        /// The worker.
        2 => pub worker: WorkerId,
        /// Epoch of the fence.
        3 => pub epoch: Epoch,
        /// Number of the attempt.
        4 => pub attempt: AttemptId,
        /// Index of the request's variant.
        5 => pub variant: u32,
    }
}

int_struct! {
    /// Assigned tasks that had not started went back to the queue; the attempt numbers are used again.
    pub struct TasksReturned {
        /// The job.
        0 => pub job: JobId,
        /// The worker.
        1 => pub worker: WorkerId,
        /// The tasks.
        2 => pub tasks: IdSet,
        /// Whether the worker could not place them, so that they shall not go there again at once.
        3 => pub rejected: bool,
    }
}

int_struct! {
    /// Tasks started on a worker. The columns have one element per task.
    pub struct TasksStarted {
        /// The job.
        0 => pub job: JobId,
        /// The worker.
        1 => pub worker: WorkerId,
        /// The tasks.
        2 => pub tasks: Vec<TaskId>,
        /// Their attempts; empty: all 0.
        3 => pub attempts: Vec<AttemptId>,
        /// Microseconds before the time of the record.
        4 => pub ago_us: Vec<u64>,
        /// Index of the variant of all.
        5 => pub variant: u32,
        /// For a multi-node task: its workers, the root first; otherwise empty.
        6 => pub nodes: Vec<WorkerId>,
    }
}

int_struct! {
    /// Tasks ended successfully on a worker. The columns have one element per task.
    pub struct TasksFinished {
        /// The job.
        0 => pub job: JobId,
        /// The worker.
        1 => pub worker: WorkerId,
        /// The tasks.
        2 => pub tasks: Vec<TaskId>,
        /// End: microseconds before the time of the record.
        3 => pub ago_us: Vec<u64>,
        /// Their user and system time in milliseconds; empty: not known.
        4 => pub cpu_ms: Vec<u64>,
        /// Their largest resident size in KiB; empty: not known.
        5 => pub memory_kib: Vec<u64>,
    }
}

int_struct! {
    /// A task failed.
    pub struct TaskFailed {
        /// The job.
        0 => pub job: JobId,
        /// The task.
        1 => pub task: TaskId,
        /// End: microseconds before the time of the record.
        2 => pub ago_us: u64,
        /// What users see.
        3 => pub error: String,
        /// Exit code, when the program exited.
        4 => pub exit_code: Option<i32>,
        /// Signal, when one ended the program.
        5 => pub signal: Option<i32>,
        /// Why.
        6 => pub cause: FailureCause,
        /// What it used.
        7 => pub usage: Option<Usage>,
        /// Number of the attempt.
        8 => pub attempt: AttemptId,
    }
}

int_struct! {
    /// An attempt failed, and the task is tried again.
    pub struct TaskRetried {
        /// How the attempt failed.
        0 => pub failed: TaskFailed,
        /// Time from the time of the record to when it may start again.
        1 => pub delay: Span,
    }
}

int_struct! {
    /// Some tasks of a job.
    pub struct TasksNamed {
        /// The job.
        0 => pub job: JobId,
        /// The tasks.
        1 => pub tasks: IdSet,
    }
}

int_struct! {
    /// Values of tasks that had not started were changed.
    pub struct TasksModified {
        /// The job.
        0 => pub job: JobId,
        /// The tasks.
        1 => pub tasks: IdSet,
        /// The new values.
        2 => pub change: TaskChange,
    }
}

int_struct! {
    /// Tasks ended without a result of their own: canceled by a user or aborted by the system.
    pub struct TasksEnded {
        /// The job.
        0 => pub job: JobId,
        /// The tasks, as ranges: a job of a billion waiting tasks is cancelled by one small event.
        1 => pub tasks: IdSet,
        /// Why, for users; empty: not known.
        2 => pub reason: String,
    }
}

int_struct! {
    /// A running task said something to whoever listens.
    pub struct TaskNotified {
        /// The job.
        0 => pub job: JobId,
        /// The task.
        1 => pub task: TaskId,
        /// Where it runs.
        2 => pub worker: WorkerId,
        /// Number of the attempt.
        3 => pub attempt: AttemptId,
        /// Any bytes.
        4 => pub message: ByteBuf,
        /// Its number among those of the worker's process, growing; 0: not known.
        5 => pub number: u64,
    }
}

int_enum! {
    /// An event. The numbers are those of the journal's records.
    pub enum Event {
        /// See [`ServerStarted`].
        1 => ServerStarted(ServerStarted),
        /// See [`ServerStopped`].
        2 => ServerStopped(ServerStopped),
        /// See [`WorkerConnected`].
        10 => WorkerConnected(WorkerConnected),
        /// See [`WorkerAway`].
        11 => WorkerAway(WorkerAway),
        /// A worker came back in time.
        12 => WorkerReturned(WorkerChanged),
        /// A worker was told to stop; it gets nothing new.
        13 => WorkerStopping(WorkerChanged),
        /// See [`WorkerLost`].
        14 => WorkerLost(WorkerLost),
        /// See [`WorkerDraining`].
        16 => WorkerDraining(WorkerDraining),
        /// See [`WorkerOverview`].
        17 => WorkerOverview(WorkerOverview),
        /// See [`WorkerUnblocked`].
        18 => WorkerUnblocked(WorkerUnblocked),
        /// See [`JobSubmitted`].
        20 => JobSubmitted(JobSubmitted),
        /// See [`JobCanceled`].
        21 => JobCanceled(JobCanceled),
        /// All tasks of a closed job are final.
        22 => JobCompleted(JobChanged),
        /// See [`JobOpened`].
        23 => JobOpened(JobOpened),
        /// An open job takes no further tasks.
        24 => JobClosed(JobChanged),
        /// A completed job is not kept any longer.
        25 => JobForgotten(JobChanged),
        /// See [`JobModified`].
        26 => JobModified(JobModified),
        /// Nothing of a job starts, what is added later included.
        27 => JobHeld(JobChanged),
        /// A job and all its tasks are held no longer.
        28 => JobReleased(JobChanged),
        /// See [`JobRestored`].
        29 => JobRestored(JobRestored),
        /// An open job has nothing left to do; for those who listen.
        30 => JobIdle(JobChanged),
        /// See [`DetailsForgotten`].
        31 => DetailsForgotten(DetailsForgotten),
        /// See [`TasksAssigned`].
        40 => TasksAssigned(TasksAssigned),
        /// See [`TaskAdopted`].
        41 => TaskAdopted(TaskAdopted),
        /// See [`TasksReturned`].
        42 => TasksReturned(TasksReturned),
        /// See [`TasksStarted`].
        43 => TasksStarted(TasksStarted),
        /// See [`TasksFinished`].
        44 => TasksFinished(TasksFinished),
        /// See [`TaskFailed`].
        45 => TaskFailed(TaskFailed),
        /// Canceled by a user.
        46 => TasksCanceled(TasksEnded),
        /// Aborted by the system: a dependency can no longer be met, or too many tasks failed.
        47 => TasksAborted(TasksEnded),
        /// See [`TaskRetried`].
        48 => TaskRetried(TaskRetried),
        /// See [`TaskNotified`].
        49 => TaskNotified(TaskNotified),
        /// These tasks do not start until they are released.
        50 => TasksHeld(TasksNamed),
        /// These tasks are held no longer.
        51 => TasksReleased(TasksNamed),
        /// See [`TasksModified`].
        52 => TasksModified(TasksModified),
        /// Final tasks wait again, with the same ids.
        53 => TasksRerun(TasksNamed),
        /// The delay before the next attempt of these tasks is over.
        54 => TasksDue(TasksNamed),
    }
}

/// An event with what its record's header says.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped {
    /// When it happened.
    pub at: Time,
    /// What happened.
    pub event: Event,
}

impl Event {
    /// The job that the event belongs to, if it belongs to one: the index by job rests on it.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::ServerStarted(_)
            | Self::ServerStopped(_)
            | Self::WorkerConnected(_)
            | Self::WorkerAway(_)
            | Self::WorkerReturned(_)
            | Self::WorkerStopping(_)
            | Self::WorkerDraining(_)
            | Self::WorkerOverview(_)
            | Self::WorkerLost(_)
            | Self::WorkerUnblocked(_)
            | Self::DetailsForgotten(_) => None,
            Self::JobSubmitted(e) => Some(e.job),
            Self::JobCanceled(e) => Some(e.job),
            Self::JobCompleted(e) => Some(e.job),
            Self::TasksAssigned(e) => Some(e.job),
            Self::TaskAdopted(e) => Some(e.job),
            Self::TasksReturned(e) => Some(e.job),
            Self::TasksStarted(e) => Some(e.job),
            Self::TasksFinished(e) => Some(e.job),
            Self::TaskFailed(e) => Some(e.job),
            Self::TasksCanceled(e) | Self::TasksAborted(e) => Some(e.job),
            Self::TaskNotified(e) => Some(e.job),
            Self::JobOpened(e) => Some(e.job),
            Self::JobModified(e) => Some(e.job),
            Self::JobRestored(e) => Some(e.job),
            Self::JobClosed(e) | Self::JobForgotten(e) | Self::JobHeld(e) | Self::JobReleased(e) => Some(e.job),
            Self::JobIdle(e) => Some(e.job),
            Self::TaskRetried(e) => Some(e.failed.job),
            Self::TasksHeld(e) | Self::TasksReleased(e) | Self::TasksRerun(e) | Self::TasksDue(e) => Some(e.job),
            Self::TasksModified(e) => Some(e.job),
        }
    }
}
