//! Everything that an agent can want from the world.
//!
//! The shell carries these out in order and answers with commands.
//!
//! What holds: for each [`AgentEffect::Spawn`] the shell sends exactly one `SpawnSucceeded` or `SpawnFailed`, and
//! after the former exactly one `Exited`.

use super::command::Timer;
use crate::attempt::{Attempt, DescKey, SharedDesc, WorkerReport};
use crate::resource::Amount;
use crate::time::Span;
use crate::worker::LostReason;
use serde_bytes::ByteBuf;
use std::sync::Arc;

/// Something shall happen.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEffect {
    /// Start a process.
    Spawn(SpawnOrder),
    /// End the process group of an attempt whose spawn succeeded.
    Kill {
        /// The attempt.
        attempt: Attempt,
        /// How.
        kind: KillKind,
    },
    /// Send a signal to the process group of an attempt whose spawn succeeded, and nothing else.
    Warn {
        /// The attempt.
        attempt: Attempt,
        /// Number of the signal.
        signal: i32,
    },
    /// Tell the server, if it is there: when it is not, the next registration tells all of it.
    Report(WorkerReport),
    /// Tell the server, on this connection and on each further one, that the worker takes nothing new.
    Draining,
    /// The worker is about to end, and waits for its running tasks. Said again when that changes.
    Awaits(Awaited),
    /// Send a [`super::AgentCommand::TimerExpired`] after this span.
    ArmTimer {
        /// How long.
        after: Span,
        /// Which.
        timer: Timer,
    },
    /// This timer is not needed any more.
    DisarmTimer(Timer),
    /// This description is not needed any more.
    ForgetDesc(DescKey),
    /// The worker ends now. Whatever was reported before shall reach the server first.
    Exit {
        /// Exit code of the process.
        code: u8,
        /// What to tell the server last; none when it is lost.
        leaving: Option<LostReason>,
    },
}

/// What a worker that is about to end waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Running tasks that were asked to end.
    Stopping,
    /// Running tasks that may go on to their end.
    Finishing,
    /// Nothing: no task runs.
    Nothing,
}

/// A process to start.
#[derive(Debug, Clone, PartialEq)]
pub struct SpawnOrder {
    /// The attempt.
    pub attempt: Attempt,
    /// Names the description.
    pub key: DescKey,
    /// The description.
    pub shared: Arc<SharedDesc>,
    /// The task's entry, for arrays with entries.
    pub entry: Option<ByteBuf>,
    /// Index of the variant of the request.
    pub variant: u32,
    /// For each entry of the variant: the labels of the indices, joined by commas, a shared one last; none for sums.
    pub labels: Vec<Option<String>>,
    /// How much of the resource `mem` it asked for, in MiB, where that is a sum.
    pub memory: Option<Amount>,
    /// For a multi-node task: host names of its workers, this one first; otherwise empty.
    pub nodes: Vec<String>,
}

/// How to end a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillKind {
    /// A signal to the group; what is left of the group when its leader ends is killed.
    Ask {
        /// Number of the signal.
        signal: i32,
        /// When it is killed.
        grace: Span,
    },
    /// SIGKILL to the group; output that has not been read may be lost.
    Kill,
}
