//! The messages that clients, workers and the server exchange.
//!
//! Each is `[kind, body]` in CBOR with integer keys (`hq_core::cbor`); kinds are never reused. A client connection
//! carries [`Request`]s and [`Response`]s, a worker connection [`ToServer`] and [`ToWorker`].

use hq_core::act::{Acted, Action};
use hq_core::attempt::{Assignment, Attempt, DescKey, Notice, Registration, SharedDesc, WorkerReport};
use hq_core::id::{Epoch, JobId, TaskId, TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::overview::HardwareUse;
use hq_core::task::SubmitRequest;
use hq_core::time::Span;
pub use hq_core::view::TaskPageRequest;
use hq_core::view::{
    AttemptView, FoundJobs, JobDetail, JobQuery, JobState, JobSummary, JournalCheck, JournalInfo, ProgressView,
    ServerView, TaskExplanation, TaskPage, TaskState, WhyView, WorkerView,
};
use hq_core::{int_choice, int_enum, int_struct};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;

int_choice! {
    /// Which objects a selector means, beside listed ids.
    pub enum SelectorKind {
        /// The listed ids.
        0 => Ids,
        /// The one with the highest id ever assigned.
        1 => Last,
        /// All that the command applies to.
        2 => All,
    }
}

int_struct! {
    /// Jobs or workers, as selected on the command line.
    pub struct Selector {
        /// Kind of selection.
        0 => pub kind: SelectorKind,
        /// For [`SelectorKind::Ids`]: the ids in the order typed.
        1 => pub ids: IdSet,
    }
}

int_struct! {
    /// Nothing to say.
    pub struct Empty {}
}

int_struct! {
    /// Cancels jobs.
    pub struct CancelRequest {
        /// Which.
        0 => pub selector: Selector,
        /// Why.
        1 => pub reason: Option<String>,
    }
}

int_struct! {
    /// Has workers take nothing new and end.
    pub struct DrainRequest {
        /// Which.
        0 => pub selector: Selector,
        /// What runs for longer is interrupted and runs again elsewhere; none: it may end.
        1 => pub timeout: Option<Span>,
    }
}

int_struct! {
    /// Asks why a task waits.
    pub struct ExplainRequest {
        /// The job: the last one, or one id.
        0 => pub job: Selector,
        /// The task.
        1 => pub task: TaskId,
    }
}

int_struct! {
    /// Opens a job without tasks.
    pub struct OpenRequest {
        /// Its name.
        0 => pub name: String,
        /// Failures above which the rest is aborted.
        1 => pub max_fails: Option<u32>,
        /// Words by which the job can be found.
        2 => pub tags: BTreeMap<String, String>,
    }
}

int_struct! {
    /// Has completed jobs not be kept any longer.
    pub struct ForgetRequest {
        /// Which.
        0 => pub selector: Selector,
        /// Only jobs in one of these states.
        1 => pub states: Vec<JobState>,
    }
}

int_struct! {
    /// Asks for the ids of the tasks of jobs.
    pub struct TaskIdsRequest {
        /// Which jobs.
        0 => pub selector: Selector,
        /// Only tasks in one of these states; empty: all.
        1 => pub states: Vec<TaskState>,
    }
}

int_struct! {
    /// Acts on tasks of jobs.
    pub struct ActRequest {
        /// Which jobs.
        0 => pub selector: Selector,
        /// Only these tasks; none: all.
        1 => pub tasks: Option<IdSet>,
        /// What to do.
        2 => pub action: Action,
    }
}

int_struct! {
    /// Asks why jobs, or one task, are where they are.
    pub struct WhyRequest {
        /// Which jobs.
        0 => pub selector: Selector,
        /// Only this task; none: the jobs as a whole.
        1 => pub task: Option<TaskId>,
    }
}

int_struct! {
    /// Asks for all attempts of tasks, from the journal.
    pub struct AttemptsRequest {
        /// The job.
        0 => pub job: JobId,
        /// Only these tasks; none: all.
        1 => pub tasks: Option<IdSet>,
    }
}

int_struct! {
    /// Asks to be told of the end of jobs, and of what happens until then.
    pub struct FollowRequest {
        /// Which.
        0 => pub selector: Selector,
        /// Whether each change is told ([`Response::Progress`]).
        1 => pub progress: bool,
        /// Whether messages of their tasks are told ([`Response::Noticed`]).
        2 => pub notices: bool,
        /// Whether an open job counts as done when nothing of it is left to do.
        3 => pub without_close: bool,
    }
}

int_struct! {
    /// Asks for the events of the journal from a sequence number on.
    pub struct HistoryRequest {
        /// First sequence number wanted.
        0 => pub from_seq: u64,
        /// Only the events of these jobs; none: all events.
        1 => pub jobs: Option<IdSet>,
    }
}

int_enum! {
    /// What a client asks.
    pub enum Request {
        /// Submit a new job: [`Response::Submitted`].
        1 => Submit(SubmitRequest),
        /// All jobs in one line each: [`Response::Jobs`].
        2 => JobList(Empty),
        /// Jobs in detail, in the order of the selector: [`Response::JobDetails`].
        3 => JobDetails(Selector),
        /// A page of tasks: [`Response::Tasks`].
        4 => Tasks(TaskPageRequest),
        /// Cancel jobs: [`Response::Canceled`].
        5 => Cancel(CancelRequest),
        /// Answered with [`Response::Waited`] once all selected jobs are completed.
        6 => Wait(Selector),
        /// Answered with [`Response::Progress`] at every change, and [`Response::Waited`] at the end.
        7 => Progress(Selector),
        /// Why a task waits: [`Response::Explained`].
        8 => Explain(ExplainRequest),
        /// Act on tasks: [`Response::Acted`].
        9 => Act(ActRequest),
        /// Workers, ended ones included: [`Response::Workers`].
        10 => Workers(Selector),
        /// Open a job: [`Response::Submitted`].
        13 => OpenJob(OpenRequest),
        /// Close open jobs: [`Response::Closed`].
        14 => CloseJobs(Selector),
        /// Forget completed jobs: [`Response::Forgotten`].
        15 => Forget(ForgetRequest),
        /// Ids of tasks: [`Response::TaskIds`].
        16 => TaskIds(TaskIdsRequest),
        /// Why jobs or a task are where they are: [`Response::Why`].
        17 => Why(WhyRequest),
        /// All attempts of tasks: [`Response::Attempts`] until one is empty.
        18 => Attempts(AttemptsRequest),
        /// As [`Request::Wait`], with more on the way.
        19 => Follow(FollowRequest),
        /// As [`Request::Submit`], and then as [`Request::Follow`] for the new job; its selector is not looked at.
        26 => SubmitFollowed((SubmitRequest, FollowRequest)),
        /// Stop workers: [`Response::WorkersStopped`].
        11 => StopWorkers(Selector),
        /// Have workers end once nothing runs there: [`Response::WorkersStopped`].
        12 => DrainWorkers(DrainRequest),
        /// The server's record: [`Response::Server`].
        20 => ServerInfo(Empty),
        /// Jobs of a kind: [`Response::FoundJobs`].
        23 => FindJobs(JobQuery),
        /// End the server: [`Response::Stopping`].
        21 => StopServer(Empty),
        /// Have the server write its state to this file: [`Response::Dumped`].
        22 => DebugDump(String),
        /// The journal's events in order: [`Response::Events`] until one is empty.
        30 => History(HistoryRequest),
        /// Make everything so far durable: [`Response::Flushed`].
        31 => Flush(Empty),
        /// As [`Request::History`]; the empty answer ends the past, and what happens afterwards follows as it happens.
        33 => Stream(HistoryRequest),
        /// Forget details of completed jobs, and take what nobody needs out of the journal: [`Response::Pruned`].
        32 => Prune(Empty),
        /// What is in the journal: [`Response::JournalInfo`].
        34 => JournalInfo(Empty),
        /// Check the journal: [`Response::JournalVerified`].
        35 => JournalVerify(Empty),
    }
}

int_struct! {
    /// What became of the cancelling of one job.
    pub struct JobCancelResult {
        /// The job.
        0 => pub job: JobId,
        /// Whether there is such a job.
        1 => pub found: bool,
        /// Tasks that were cancelled now.
        2 => pub canceled: u64,
        /// Tasks that had ended before.
        3 => pub already_ended: u64,
    }
}

int_choice! {
    /// What became of the stopping or draining of one worker.
    pub enum WorkerStopStatus {
        /// It was told to stop, or drains.
        0 => Stopped,
        /// It is not running any more.
        1 => AlreadyStopped,
        /// There is no such worker.
        2 => NotFound,
    }
}

int_struct! {
    /// What became of the stopping of one worker.
    pub struct WorkerStopResult {
        /// The worker.
        0 => pub worker: WorkerId,
        /// What happened.
        1 => pub status: WorkerStopStatus,
    }
}

int_struct! {
    /// A record of the journal as it travels: header fields and the CBOR body of the event.
    pub struct HistoryRecord {
        /// Sequence number.
        0 => pub seq: u64,
        /// Epoch.
        1 => pub epoch: u32,
        /// Unix time in microseconds.
        2 => pub time_us: u64,
        /// Kind of the event.
        3 => pub kind: u16,
        /// Body of the event.
        4 => pub body: ByteBuf,
    }
}

int_choice! {
    /// What became of the closing of one job.
    pub enum JobCloseStatus {
        /// It takes no further tasks.
        0 => Closed,
        /// It was not open.
        1 => AlreadyClosed,
        /// There is no such job.
        2 => NotFound,
    }
}

int_struct! {
    /// What became of the closing of one job.
    pub struct JobCloseResult {
        /// The job.
        0 => pub job: JobId,
        /// What happened.
        1 => pub status: JobCloseStatus,
    }
}

int_struct! {
    /// What became of the forgetting of jobs.
    pub struct ForgetResult {
        /// Jobs that are not kept any longer.
        0 => pub forgotten: u64,
        /// Selected ones that are, or that do not exist.
        1 => pub ignored: u64,
    }
}

int_struct! {
    /// What the pruning of the journal did.
    #[derive(Copy, Eq)]
    pub struct PruneResult {
        /// Records before the new base that are kept.
        0 => pub kept: u64,
        /// Records that are gone.
        1 => pub gone: u64,
    }
}

int_struct! {
    /// Ids of tasks of a job.
    pub struct JobTaskIds {
        /// The job.
        0 => pub job: JobId,
        /// The ids, compressed; none: no such job.
        1 => pub ids: Option<IdSet>,
    }
}

int_struct! {
    /// A message of a running task.
    pub struct TaskNotice {
        /// Whose.
        0 => pub task: TaskRef,
        /// Where it runs.
        1 => pub worker: WorkerId,
        /// Any bytes.
        2 => pub message: ByteBuf,
    }
}

int_enum! {
    /// What the server answers to a client.
    pub enum Response {
        /// The request was refused; the text says why and what to do.
        0 => Refused(String),
        /// The job's number.
        1 => Submitted(JobId),
        /// Ascending by id.
        2 => Jobs(Vec<JobSummary>),
        /// Found jobs in the order asked for; ids without a job are in the second element.
        3 => JobDetails((Vec<JobDetail>, Vec<JobId>)),
        /// A page; none: no such job.
        4 => Tasks(Option<TaskPage>),
        /// Ascending by id.
        5 => Canceled(Vec<JobCancelResult>),
        /// Everything waited for has happened.
        6 => Waited(Empty),
        /// A change.
        7 => Progress(ProgressView),
        /// The explanation.
        8 => Explained(TaskExplanation),
        /// Ascending by id.
        9 => Acted(Vec<Acted>),
        /// Ascending by id; ids without a worker are in the second element.
        10 => Workers((Vec<WorkerView>, Vec<WorkerId>)),
        /// Ascending by id.
        11 => WorkersStopped(Vec<WorkerStopResult>),
        /// The wanted jobs.
        12 => FoundJobs(FoundJobs),
        /// Ascending by id.
        14 => Closed(Vec<JobCloseResult>),
        /// How many.
        15 => Forgotten(ForgetResult),
        /// Ascending by id.
        16 => TaskIds(Vec<JobTaskIds>),
        /// In the order asked for; of a job that is not there the sentence is empty.
        17 => Why(Vec<WhyView>),
        /// Some attempts, in the order in which they ended; none at the end.
        18 => Attempts(Vec<AttemptView>),
        /// A task said something.
        19 => Noticed(TaskNotice),
        /// The record.
        20 => Server(ServerView),
        /// The server ends now.
        21 => Stopping(Empty),
        /// The state was written; what the session writes on its way, otherwise empty.
        22 => Dumped(ByteBuf),
        /// Some events; none when the history has ended.
        30 => Events(Vec<HistoryRecord>),
        /// Everything that had happened is durable.
        31 => Flushed(Empty),
        /// What the pruning did.
        32 => Pruned(PruneResult),
        /// Something that the user should know about the answer that follows.
        36 => Noted(String),
        /// What is in the journal.
        34 => JournalInfo(JournalInfo),
        /// What is wrong with the journal.
        35 => JournalVerified(JournalCheck),
    }
}

int_struct! {
    /// Answer to a registration.
    pub struct Registered {
        /// The worker's number.
        0 => pub worker: WorkerId,
        /// Epoch of the server.
        1 => pub epoch: Epoch,
        /// Uid of the server.
        2 => pub server_uid: String,
        /// Attempts that the worker must kill and forget.
        3 => pub drop: Vec<Attempt>,
        /// Interval of heartbeats.
        4 => pub heartbeat: Span,
        /// Address and port from which the server sees the connection come; the worker's own where nothing stands in
        /// between.
        20 => pub seen_as: String,
    }
}

int_struct! {
    /// Tasks for a worker.
    pub struct AssignMessage {
        /// The description, when this connection has not carried it yet.
        0 => pub shared: Option<SharedDesc>,
        /// The tasks.
        1 => pub assignment: Assignment,
    }
}

int_enum! {
    /// What a worker tells the server. Kinds whose body could be that of a request have numbers that no request has.
    pub enum ToServer {
        /// First message.
        1 => Register(Registration),
        /// What happened.
        2 => Report(WorkerReport),
        /// It is alive.
        3 => Heartbeat(Empty),
        /// It ends now, on purpose; the number is that of the reason ([`hq_core::worker::LostReason`]).
        4 => Leaving(hq_core::worker::LostReason),
        /// It takes nothing new, since it will end once what runs there has.
        50 => Draining(Empty),
        /// A task has something to say: [`ToWorker::Noted`].
        51 => Notify(Notice),
        /// How busy its hardware is.
        52 => Overview(Box<HardwareUse>),
    }
}

int_enum! {
    /// What the server tells a worker.
    pub enum ToWorker {
        /// The registration was refused; the text says why.
        0 => Refused(String),
        /// Answer to the registration.
        1 => Registered(Registered),
        /// Run these.
        2 => Assign(AssignMessage),
        /// Kill and report these as canceled.
        3 => Cancel(Vec<Attempt>),
        /// Give these back if they have not started.
        4 => Retract(Vec<Attempt>),
        /// Outcomes up to this number are durable.
        5 => Acknowledge(u64),
        /// These descriptions are not needed any more.
        6 => Forget(Vec<DescKey>),
        /// End now; running tasks are killed.
        7 => Stop(Empty),
        /// The message of a task with this number is recorded, or never will be.
        8 => Noted(u64),
        /// Answer to each heartbeat, in order.
        20 => Heartbeat(Empty),
    }
}
