//! The parts of an image: boundary types, one for each kind of checkpoint record.

use crate::act::TaskChange;
use crate::event::AwayReason;
use crate::id::{AttemptId, Epoch, Fence, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::retention::{DetailsGone, Forgotten};
use crate::task::SubmitDesc;
use crate::time::Time;
use crate::view::{LastStarted, TaskState, WorkerEnd};
use crate::worker::{Drain, WorkerConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

int_struct! {
    /// Counters and identity.
    pub struct ImageServer {
        /// Uid.
        0 => pub server_uid: String,
        /// Epoch.
        1 => pub epoch: Epoch,
        /// Start of that epoch.
        2 => pub started: Time,
        /// Highest job id given.
        3 => pub last_job: JobId,
        /// Highest worker id given.
        4 => pub last_worker: WorkerId,
        /// Jobs whose details the journal was allowed to forget.
        5 => pub forgotten: Forgotten,
    }
}

int_struct! {
    /// A worker that is connected or may come back.
    pub struct ImageWorker {
        /// Its number.
        0 => pub id: WorkerId,
        /// Name of its process.
        1 => pub token: String,
        /// Its configuration.
        2 => pub config: Arc<WorkerConfig>,
        /// When it registered.
        3 => pub started: Time,
        /// End of its lease while it is away.
        4 => pub away_until: Option<Time>,
        /// When it was told to stop.
        5 => pub stopping: Option<Time>,
        /// Last start of a task.
        6 => pub last_started: Option<LastStarted>,
        /// Idle since.
        7 => pub idle_since: Time,
        /// Tasks ahead, in order.
        8 => pub ahead: Vec<TaskRef>,
        /// Whether it drains.
        9 => pub draining: Option<Drain>,
        /// Why it is away, if it is.
        12 => pub away_reason: AwayReason,
        /// Number of the last message of its tasks that was recorded.
        13 => pub noticed: u64,
    }
}

int_struct! {
    /// A worker that ended.
    pub struct ImagePastWorker {
        /// Its number.
        0 => pub id: WorkerId,
        /// Its configuration.
        1 => pub config: Arc<WorkerConfig>,
        /// When it registered.
        2 => pub started: Time,
        /// How it ended.
        3 => pub end: WorkerEnd,
        /// Last start of a task.
        4 => pub last_started: Option<LastStarted>,
    }
}

int_choice! {
    /// Where a live task is.
    pub enum ImagePlace {
        /// Waits for dependencies.
        0 => Blocked,
        /// Queued again.
        1 => Ready,
        /// On a worker, not started.
        2 => Assigned,
        /// On a worker, ahead of free resources.
        3 => Ahead,
        /// Running.
        4 => Running,
        /// Failed, and waits for the time of its next attempt.
        5 => Delayed,
    }
}

int_struct! {
    /// A live task.
    pub struct ImageLive {
        /// The task.
        0 => pub task: TaskId,
        /// Where it is.
        1 => pub place: ImagePlace,
        /// Number of the next attempt.
        2 => pub next_attempt: AttemptId,
        /// Crashes.
        3 => pub crashes: u32,
        /// Unmet dependencies, when blocked.
        4 => pub unmet: u32,
        /// The worker, when on one.
        5 => pub worker: WorkerId,
        /// The fence, when on a worker.
        6 => pub fence: Fence,
        /// The variant, when on a worker.
        7 => pub variant: u32,
        /// The start, when running.
        8 => pub started: Time,
        /// Failed attempts that were followed by another one.
        9 => pub retries: u32,
        /// Index of the description plus one, when on a worker; 0: that of the task.
        10 => pub desc: u32,
        /// When delayed: until when.
        11 => pub until: Time,
    }
}

int_struct! {
    /// Untouched tasks that ended together.
    pub struct ImageEnded {
        /// First ordinal.
        0 => pub first: u32,
        /// Last ordinal.
        1 => pub last: u32,
        /// Their state.
        2 => pub state: TaskState,
        /// When.
        3 => pub at: Time,
        /// Reference of the reason; 0: none.
        4 => pub reason: u32,
    }
}

int_struct! {
    /// A job without its final tasks.
    pub struct ImageJob {
        /// Its number.
        0 => pub id: JobId,
        /// Its name.
        1 => pub name: String,
        /// Failures above which the rest is aborted.
        2 => pub max_fails: Option<u32>,
        /// Whether it is open.
        3 => pub is_open: bool,
        /// When it was submitted.
        4 => pub submitted: Time,
        /// When it was completed.
        5 => pub completed: Option<Time>,
        /// Why it was cancelled.
        6 => pub cancel_reason: Option<String>,
        /// Its first submit; the others stand in parts before.
        7 => pub submits: Vec<Arc<SubmitDesc>>,
        /// Tasks with an entry.
        8 => pub live: Vec<ImageLive>,
        /// Tasks that ended untouched.
        9 => pub ended: Vec<ImageEnded>,
        /// Texts of errors and reasons.
        10 => pub errors: Vec<String>,
        /// Workers of multi-node tasks.
        11 => pub nodes: Vec<ImageNodes>,
        /// Tags.
        12 => pub tags: BTreeMap<String, String>,
        /// Whether nothing of it starts.
        13 => pub hold: bool,
        /// Ordinals of held tasks.
        14 => pub held: IdSet,
        /// Tasks whose values were changed.
        15 => pub revised: Vec<ImageRevised>,
        /// Gates that have opened.
        16 => pub opened: Vec<ImageGate>,
        /// When and why the journal was allowed to forget its details.
        17 => pub details_gone: Option<DetailsGone>,
    }
}

int_struct! {
    /// Tasks of one submit whose values were changed.
    pub struct ImageRevised {
        /// Number of the submit.
        0 => pub submit: u32,
        /// The changed descriptions; their indices go on behind those of the submit.
        1 => pub revisions: Vec<ImageRevision>,
        /// Which tasks have which.
        2 => pub runs: Vec<ImageRevisedRun>,
    }
}

int_struct! {
    /// A description with changes.
    pub struct ImageRevision {
        /// Index of the description as submitted.
        0 => pub of: u32,
        /// All that was changed.
        1 => pub change: TaskChange,
    }
}

int_struct! {
    /// Tasks with the same changed description.
    pub struct ImageRevisedRun {
        /// First ordinal.
        0 => pub first: u32,
        /// Last ordinal.
        1 => pub last: u32,
        /// Index of the changed description.
        2 => pub index: u32,
    }
}

int_struct! {
    /// A gate of a job.
    #[derive(Copy)]
    pub struct ImageGate {
        /// Number of the submit behind it.
        0 => pub submit: u32,
        /// Its place among the dependencies of that submit.
        1 => pub index: u32,
    }
}

int_struct! {
    /// The workers of a multi-node task that is on them, or has run there.
    pub struct ImageNodes {
        /// The task.
        0 => pub task: TaskId,
        /// Its workers, the root first.
        1 => pub workers: Vec<WorkerId>,
    }
}

int_struct! {
    /// Some final tasks of a job, in columns.
    pub struct ImageDone {
        /// The job.
        0 => pub job: JobId,
        /// Distances of the ordinals, the first from zero.
        1 => pub ordinal_steps: Vec<u32>,
        /// States.
        2 => pub states: Vec<TaskState>,
        /// Starts plus one in microseconds since submission; 0: never started.
        3 => pub started_us: Vec<u64>,
        /// Run times in microseconds.
        4 => pub lasted_us: Vec<u64>,
        /// Workers.
        5 => pub workers: Vec<WorkerId>,
        /// Attempts; empty: all 0.
        6 => pub attempts: Vec<AttemptId>,
        /// References of error texts; empty: all 0.
        7 => pub errors: Vec<u32>,
    }
}

int_struct! {
    /// A further submit of an open job, in a part of its own: no part grows with their number.
    pub struct ImageSubmit {
        /// The job, whose part follows after the last of them.
        0 => pub job: JobId,
        /// The submit.
        1 => pub submit: Arc<SubmitDesc>,
    }
}

int_enum! {
    /// One part of an image; the numbers are kinds of checkpoint records.
    pub enum ImagePart {
        /// The first part.
        200 => Server(ImageServer),
        /// A worker.
        201 => Worker(ImageWorker),
        /// An ended worker.
        202 => PastWorker(ImagePastWorker),
        /// A job.
        203 => Job(ImageJob),
        /// Final tasks of the job before.
        204 => Done(ImageDone),
        /// A submit of the job after it.
        205 => Submit(ImageSubmit),
    }
}
