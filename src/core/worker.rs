//! What is known about a worker: its configuration, how it ends, what it offers.

use crate::limits;
use crate::resource::WorkerResources;
use crate::time::{Span, Time};
use std::collections::BTreeMap;

int_choice! {
    /// What a worker does once the server stays away longer than its lease.
    pub enum OnServerLost {
        /// Kill the running tasks.
        0 => Stop,
        /// Let running tasks finish, start nothing.
        1 => FinishRunning,
    }
}

int_choice! {
    /// Why a worker ended.
    pub enum LostReason {
        /// `hq worker stop`, or the end of the server on purpose.
        0 => Stopped,
        /// The connection broke and the worker did not come back in time.
        1 => ConnectionLost,
        /// No heartbeat arrived.
        2 => HeartbeatLost,
        /// It was idle for too long.
        3 => IdleTimeout,
        /// Its lifetime ended.
        4 => TimeLimitReached,
    }
}

impl LostReason {
    /// Whether tasks that were running on the worker count this as a crash.
    pub fn is_crash(self) -> bool {
        matches!(self, Self::ConnectionLost | Self::HeartbeatLost)
    }

    /// The reason in lower-case words, as in the server's log.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::ConnectionLost => "connection lost",
            Self::HeartbeatLost => "heartbeat lost",
            Self::IdleTimeout => "idle timeout",
            Self::TimeLimitReached => "time limit reached",
        }
    }
}

impl WorkerConfig {
    /// How long after its last contact with the server the worker may keep its tasks running while it cannot know that
    /// the server is dead: two and a half heartbeats, but not less than [`limits::LEASE_MIN`].
    pub fn lease(&self) -> Span {
        Span(self.heartbeat.0.saturating_mul(5) / 2).max(limits::LEASE_MIN)
    }

    /// How long after its last word the server waits before it gives the tasks of a silent worker to others: the lease,
    /// the time for killing, and a hundredth for clocks that do not run alike.
    pub fn patience(&self) -> Span {
        let lease = self.lease();
        Span(lease.0.saturating_add(limits::LEASE_MARGIN.0).saturating_add(lease.0 / 100))
    }
}

int_struct! {
    /// A worker gets nothing new, and ends once nothing runs there any more.
    #[derive(Copy, Eq)]
    pub struct Drain {
        /// When it is stopped, whatever runs there.
        0 => pub until: Option<Time>,
        /// Whether the worker itself wants to end, since it was told so by a signal. Its end is then no crash.
        1 => pub own: bool,
    }
}

int_struct! {
    /// What a worker says about itself when it registers.
    pub struct WorkerConfig {
        /// What it offers.
        0 => pub resources: WorkerResources,
        /// Name shown to users and written to node files.
        1 => pub hostname: String,
        /// Group for multi-node tasks.
        2 => pub group: String,
        /// Directory for task directories.
        3 => pub work_dir: String,
        /// Address shown as data provider.
        4 => pub listen_address: String,
        /// How often it sends heartbeats.
        5 => pub heartbeat: Span,
        /// Ends when idle this long; its own or the server's.
        6 => pub idle_timeout: Option<Span>,
        /// Lifetime, from registration.
        7 => pub time_limit: Option<Span>,
        /// See [`OnServerLost`].
        8 => pub on_server_lost: OnServerLost,
        /// Further facts: `ProcessPid`, and `JobManager` inside an allocation.
        9 => pub extra: BTreeMap<String, String>,
        /// Least share of its CPUs that has to be in use for it to get anything, in 1/10000; 0: no such bound.
        10 => pub min_utilization_parts: u32,
        /// How often it reports the use of its hardware; none: never of its own accord.
        11 => pub overview_interval: Option<Span>,
        /// How often it looks at the time that its waiting tasks ask for; none: [`crate::limits::RETRACT_CHECK_DEFAULT`].
        12 => pub retract_check: Option<Span>,
    }
}
