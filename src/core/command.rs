//! What the shells tell the machine, and what it answers.
//!
//! A closed list of commands and of effects shows everything that can make the state change, and everything that the
//! core can ask of the world.

use crate::act::{Acted, Action};
use crate::attempt::{Assignment, Attempt, Notice, Registration, WorkerReport};
use crate::event::Stamped;
use crate::id::{Epoch, JobId, WorkerId};
use crate::idset::IdSet;
use crate::overview::HardwareUse;
use crate::retention::ForgetCause;
use crate::task::{SubmitDesc, SubmitRequest};
use crate::time::{Span, Time};
use crate::view::JobState;
use crate::worker::LostReason;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A command. Everything that is not a function of the state comes in with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// First command after the replay.
    StartServer {
        /// Uid to use when the journal has none yet.
        server_uid: String,
        /// Epoch, already durable.
        epoch: Epoch,
        /// Version of the program.
        version: String,
    },
    /// The server ends on purpose.
    StopServer,
    /// A client submits a job.
    Submit(SubmitRequest),
    /// A client cancels jobs.
    Cancel {
        /// The jobs.
        jobs: Vec<JobId>,
        /// Why.
        reason: Option<String>,
    },
    /// A client opens a job without tasks.
    Open {
        /// Its name.
        name: String,
        /// Failures above which the rest is aborted.
        max_fails: Option<u32>,
        /// Words by which the job can be found.
        tags: BTreeMap<String, String>,
    },
    /// A client closes open jobs.
    Close {
        /// The jobs.
        jobs: Vec<JobId>,
    },
    /// A client wants completed jobs not to be kept any longer.
    Forget {
        /// The jobs.
        jobs: Vec<JobId>,
        /// Only jobs in one of these states.
        states: Vec<JobState>,
    },
    /// Details of completed jobs are not to be kept any longer.
    ForgetDetails {
        /// Which jobs; none: all that are completed.
        jobs: Option<IdSet>,
        /// Why.
        cause: ForgetCause,
    },
    /// A client acts on tasks.
    Act {
        /// The jobs.
        jobs: Vec<JobId>,
        /// Only these tasks; none: all.
        tasks: Option<IdSet>,
        /// What to do.
        action: Action,
        /// For completed jobs whose tasks run again: their submits, whole.
        restored: Vec<(JobId, Vec<Arc<SubmitDesc>>)>,
    },
    /// A worker connected or came back.
    Register(Box<Registration>),
    /// A worker reports.
    Report {
        /// Who, by its connection.
        worker: WorkerId,
        /// What.
        report: WorkerReport,
    },
    /// A worker tells how busy its hardware is.
    Overview {
        /// Who, by its connection.
        worker: WorkerId,
        /// What it sampled.
        state: Box<HardwareUse>,
    },
    /// A worker ends on purpose.
    Leaving {
        /// Who.
        worker: WorkerId,
        /// Why.
        reason: LostReason,
    },
    /// The connection of a worker broke.
    Disconnected {
        /// Who.
        worker: WorkerId,
    },
    /// Nothing was heard of a worker for too long; it may still run its tasks.
    Silent {
        /// Who.
        worker: WorkerId,
        /// Time since its last word.
        since: Span,
    },
    /// A worker is silent, and for so long that it runs nothing any more.
    HeartbeatLost {
        /// Who.
        worker: WorkerId,
    },
    /// A client stops workers.
    StopWorkers {
        /// Which.
        workers: Vec<WorkerId>,
    },
    /// A client has workers end once what runs there has ended.
    DrainWorkers {
        /// Which.
        workers: Vec<WorkerId>,
        /// After this time they are stopped.
        timeout: Option<Span>,
    },
    /// A worker takes nothing new, since it will end.
    Draining {
        /// Who.
        worker: WorkerId,
    },
    /// A task on a worker has something to say.
    Notify {
        /// Which worker.
        worker: WorkerId,
        /// What.
        notice: Notice,
    },
    /// Since when, without a gap, the server has shown on the file system that it lives; none: it cannot. Only then do
    /// silent workers know that it may take their tasks back. Without this command they always know.
    Witnessed(Option<Time>),
    /// Time passed.
    Tick,
}

/// What became of the cancelling of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canceled {
    /// The job.
    pub job: JobId,
    /// Whether there is such a job.
    pub found: bool,
    /// Tasks cancelled now.
    pub canceled: u64,
    /// Tasks that had ended before.
    pub already_ended: u64,
}

/// What became of the closing of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobClose {
    /// It takes no further tasks.
    Closed,
    /// It was not open.
    AlreadyClosed,
    /// There is no such job.
    NotFound,
}

/// What became of the stopping or draining of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStop {
    /// It was told to stop, or drains.
    Stopped,
    /// It has ended already.
    AlreadyStopped,
    /// There is no such worker.
    NotFound,
}

/// The answer to the one who gave the command.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Reply {
    /// Nothing to say.
    #[default]
    None,
    /// Nothing was changed; the text says why and what to do.
    Refused(String),
    /// The job that was created.
    Submitted(JobId),
    /// One for each job asked for, ascending.
    Canceled(Vec<Canceled>),
    /// One for each job asked for, ascending.
    Closed(Vec<(JobId, JobClose)>),
    /// How many jobs were forgotten, and how many of the selected ones were not.
    Forgotten(u64, u64),
    /// Of how many jobs details were forgotten.
    DetailsForgotten(u64),
    /// One for each job asked for, ascending.
    Acted(Vec<Acted>),
    /// The worker's number, and what it must kill and forget.
    Registered {
        /// The worker.
        worker: WorkerId,
        /// Attempts that are not its own any more.
        drop: Vec<Attempt>,
    },
    /// One for each worker asked for, ascending.
    WorkersStopped(Vec<(WorkerId, WorkerStop)>),
}

/// What has to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hand tasks to a worker. May leave before its event is durable, provided that the submit is.
    Assign {
        /// To whom.
        worker: WorkerId,
        /// What.
        assignment: Assignment,
    },
    /// Have attempts killed.
    Cancel {
        /// Where.
        worker: WorkerId,
        /// Which.
        attempts: Vec<Attempt>,
    },
    /// Ask for tasks that have not started.
    Retract {
        /// Where.
        worker: WorkerId,
        /// Which.
        attempts: Vec<Attempt>,
    },
    /// Outcomes up to this number are recorded.
    Acknowledge {
        /// To whom.
        worker: WorkerId,
        /// Highest number of the outbox.
        number: u64,
    },
    /// A message of a task is recorded, or never will be.
    Noted {
        /// To whom.
        worker: WorkerId,
        /// Its number.
        number: u64,
    },
    /// Have a worker end.
    StopWorker {
        /// Which.
        worker: WorkerId,
    },
    /// Close the connection of a worker that is lost.
    CloseWorker {
        /// Which.
        worker: WorkerId,
    },
    /// The descriptions of a job are not needed any more.
    ForgetJob {
        /// The job.
        job: JobId,
    },
}

/// Everything that a command leads to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// For the journal, in order; already applied.
    pub events: Vec<Stamped>,
    /// For the outside, in order.
    pub effects: Vec<Effect>,
    /// For the one who gave the command.
    pub reply: Reply,
}
