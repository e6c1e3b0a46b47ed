//! Everything that can happen to an agent.
//!
//! A closed list, so that it is easy to see what can make a worker act.
//!
//! What holds: commands carry no handles of the operating system; the shell keeps those by attempt.

use crate::attempt::{Assignment, Attempt, DescKey, SharedDesc};
use crate::retry::FailureCause;
use crate::time::Time;
use crate::worker::LostReason;

/// Something happened.
#[derive(Debug, Clone)]
pub enum AgentCommand {
    /// The server accepted the registration.
    Registered {
        /// Attempts to kill and forget.
        drop: Vec<Attempt>,
    },
    /// The server may have given everything that is held to others: nothing of it may run any longer.
    LeaseOver,
    /// The server does not take this worker back: nothing that it holds counts any more.
    Disowned,
    /// The server hands over tasks.
    Assign {
        /// Their description, when this connection has not carried it yet.
        shared: Option<SharedDesc>,
        /// The tasks.
        assignment: Assignment,
    },
    /// The server wants these ended and reported as canceled.
    Cancel(Vec<Attempt>),
    /// The server wants these back if they have not started.
    Retract(Vec<Attempt>),
    /// Outcomes up to this number are durable.
    Acknowledge(u64),
    /// The server will not use these descriptions again on this connection.
    Forget(Vec<DescKey>),
    /// The worker shall end: its server, its user or its batch system said so.
    Leave(LostReason),
    /// The worker shall take nothing new, and end when nothing runs any more.
    Drain,
    /// The connection to the server broke.
    ServerLost,
    /// A process was started.
    SpawnSucceeded {
        /// For this attempt.
        attempt: Attempt,
        /// When.
        at: Time,
    },
    /// A process could not be started.
    SpawnFailed {
        /// For this attempt.
        attempt: Attempt,
        /// Why, for the user.
        text: String,
        /// Why, for rules.
        cause: FailureCause,
        /// When.
        at: Time,
    },
    /// A process ended and its output is where it belongs.
    Exited {
        /// Of this attempt.
        attempt: Attempt,
        /// How.
        end: ProcessEnd,
        /// When.
        at: Time,
    },
    /// A timer that the agent armed has run out.
    TimerExpired(Timer),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEnd {
    /// Its status.
    pub status: ProcessStatus,
    /// What fails the attempt although the process ended well, or replaces the usual text: lost output, or the
    /// text that the program left for its user.
    pub error: Option<String>,
    /// What is worth saying behind the text of a failure.
    pub note: Option<String>,
    /// Why it failed, where more is known than the status says.
    pub cause: Option<FailureCause>,
    /// User and system time in microseconds.
    pub cpu_us: u64,
    /// Largest resident size in KiB.
    pub memory_kib: u64,
}

/// The status of a process that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessStatus {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it: its number and its symbolic name.
    Signal(i32, &'static str),
    /// It is gone and nobody knows how.
    Lost,
}

/// What an agent waits for. Each is armed at most once at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A task has run as long as it may.
    TimeLimit(Attempt),
    /// A task shall be warned of its end.
    Warning(Attempt),
    /// A task that was asked to end has had its time.
    KillGrace(Attempt),
    /// The server was away for as long as running tasks may go on without it. The number tells absences apart.
    Lease(u64),
    /// The worker has reached the end of its life.
    Lifetime,
    /// Queued tasks are looked at for the time that they ask for.
    RetractCheck,
    /// Tasks did not end in time although the worker has to.
    Shutdown,
}
