//! Defects that a test can choose to have, one at a time, to see whether it would find them.
//!
//! They are there only with the feature `planted`, which nothing but tests asks for; without it [`is`] is `false` for
//! the compiler as well, and nothing of them is left in a program.
//!
//! What holds: a defect is chosen for one thread; no thread has one that did not choose it.

/// A defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Words about any attempt of a task count.
    SkipFence,
    /// A finished task is counted twice.
    CountTwice,
    /// A task waits for one of its dependencies only.
    ForgetDependency,
    /// Cancelled tasks keep their resources.
    LeakCanceled,
    /// The task of a lost worker runs again with the same number.
    ReuseAttempt,
    /// Gates on completed jobs stay closed.
    LoseGate,
    /// One failure more than allowed goes by.
    MaxFailsOffByOne,
    /// Crashes are forgotten when a task runs again.
    ForgetCrashes,
    /// An event does something that is not in it.
    ReplayDiffers,
    /// A worker keeps its tasks for longer than it may.
    LongLease,
    /// Held tasks start.
    IgnoreHold,
    /// A worker forgets what it has to tell when the connection breaks.
    LoseOutbox,
    /// One outcome more is acknowledged than was recorded.
    AcknowledgeAhead,
    /// What is to be told leaves before it is durable.
    ReleaseEarly,
    /// Tasks leave before the submit is durable.
    AssignEarly,
    /// The delay before the next attempt is none.
    IgnoreDelay,
    /// Tasks get into the queues whatever keeps them from there.
    QueueBlocked,
    /// The number of a lost worker is given again.
    ReuseWorker,
    /// Jobs that run can be forgotten.
    ForgetRunning,
    /// A checkpoint lacks an event.
    CheckpointSkips,
    /// A server that was started again waits for nobody.
    SettleNothing,
    /// Open jobs are completed.
    CompleteOpen,
    /// The tasks of a silent worker are given away before its lease is over.
    ShortPatience,
    /// A worker that comes back keeps what is not its own.
    KeepForeign,
    /// What a worker never heard of stays there.
    KeepUnknown,
    /// The end of the last task of a job is not noticed.
    CompleteNever,
    /// A pruning takes jobs that are not completed.
    PruneLive,
    /// A pruning takes workers that events of the jobs name.
    PruneWorkers,
    /// What was refused stays in the journal.
    KeepRefused,
    /// The state stays ahead of what is recorded.
    StayAhead,
}

/// All of them.
pub const ALL: &[Planted] = &[
    Planted::SkipFence,
    Planted::CountTwice,
    Planted::ForgetDependency,
    Planted::LeakCanceled,
    Planted::ReuseAttempt,
    Planted::LoseGate,
    Planted::MaxFailsOffByOne,
    Planted::ForgetCrashes,
    Planted::ReplayDiffers,
    Planted::LongLease,
    Planted::IgnoreHold,
    Planted::LoseOutbox,
    Planted::AcknowledgeAhead,
    Planted::ReleaseEarly,
    Planted::AssignEarly,
    Planted::IgnoreDelay,
    Planted::QueueBlocked,
    Planted::ReuseWorker,
    Planted::ForgetRunning,
    Planted::CheckpointSkips,
    Planted::SettleNothing,
    Planted::CompleteOpen,
    Planted::ShortPatience,
    Planted::KeepForeign,
    Planted::KeepUnknown,
    Planted::CompleteNever,
    Planted::PruneLive,
    Planted::PruneWorkers,
    Planted::KeepRefused,
    Planted::StayAhead,
];

#[cfg(feature = "planted")]
mod chosen {
    use super::Planted;
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Planted>> = const { Cell::new(None) };
        static CALLS: Cell<u64> = const { Cell::new(0) };
    }

    /// Has this thread work with a defect, or with none.
    pub fn choose(defect: Option<Planted>) {
        CHOSEN.set(defect);
    }

    /// Whether this thread has the defect.
    pub fn is(defect: Planted) -> bool {
        CHOSEN.get() == Some(defect)
    }

    /// Another number for each call: what a state must not depend on.
    pub fn calls() -> u64 {
        CALLS.set(CALLS.get() + 1);
        CALLS.get()
    }
}

#[cfg(not(feature = "planted"))]
mod chosen {
    use super::Planted;

    /// Whether this thread has the defect: no.
    #[inline(always)]
    pub const fn is(_: Planted) -> bool {
        false
    }

    /// Nothing.
    #[inline(always)]
    pub const fn calls() -> u64 {
        0
    }
}

pub use chosen::*;
