//! The messages that clients, workers and the server exchange.
//!
//! Each is `[kind, body]` in CBOR with integer keys (`hq_core::cbor`); kinds are never reused. A client connection
//! carries [`Request`]s and [`Response`]s, a worker connection [`ToServer`] and [`ToWorker`].

use hq_core::attempt::{Assignment, Attempt, DescKey, Notice, Registration, SharedDesc, WorkerReport};
use hq_core::id::{Epoch, JobId, TaskId, WorkerId};
use hq_core::idset::IdSet;
use hq_core::overview::HardwareUse;
use hq_core::task::SubmitRequest;
use hq_core::time::Span;
use hq_core::view::{
    JobDetail, JobSummary, ProgressView, ServerView, TaskExplanation, TaskPage, TaskState, WorkerView,
};
use hq_core::{int_choice, int_enum, int_struct};
use serde_bytes::ByteBuf;

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
    /// Asks for one page of the tasks of one job.
    pub struct TaskPageRequest {
        /// The job.
        0 => pub job: JobId,
        /// Only these tasks; none: all.
        1 => pub ids: Option<IdSet>,
        /// Only tasks in these states; empty: all.
        2 => pub states: Vec<TaskState>,
        /// Where to start.
        3 => pub from: TaskId,
        /// At most so many; the server may give fewer.
        4 => pub limit: u32,
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
    /// Asks for the events of the journal from a sequence number on.
    pub struct HistoryRequest {
        /// First sequence number wanted.
        0 => pub from_seq: u64,
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
        /// Workers, ended ones included: [`Response::Workers`].
        10 => Workers(Selector),
        /// Stop workers: [`Response::WorkersStopped`].
        11 => StopWorkers(Selector),
        /// Have workers end once nothing runs there: [`Response::WorkersStopped`].
        12 => DrainWorkers(DrainRequest),
        /// The server's record: [`Response::Server`].
        20 => ServerInfo(Empty),
        /// End the server: [`Response::Stopping`].
        21 => StopServer(Empty),
        /// Have the server write its state to this file: [`Response::Dumped`].
        22 => DebugDump(String),
        /// The journal's events in order: [`Response::Events`] until one is empty.
        30 => History(HistoryRequest),
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
        /// Ascending by id; ids without a worker are in the second element.
        10 => Workers((Vec<WorkerView>, Vec<WorkerId>)),
        /// Ascending by id.
        11 => WorkersStopped(Vec<WorkerStopResult>),
        /// The record.
        20 => Server(ServerView),
        /// The server ends now.
        21 => Stopping(Empty),
        /// The state was written; what the session writes on its way, otherwise empty.
        22 => Dumped(ByteBuf),
        /// Some events; none when the history has ended.
        30 => Events(Vec<HistoryRecord>),
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
