//! One attempt that the worker holds.
//!
//! Each is in exactly one state; the resources of a started one are in that state, so that they cannot be forgotten.
//!
//! What holds: an attempt has an allocation from its spawn order to its end, and at no other time.

use super::allocate::Allocation;
use super::queue::Place;
use crate::attempt::DescKey;
use crate::limits;
use crate::task::{StopPlan, TaskDesc};
use crate::time::{Span, Time};
use serde_bytes::ByteBuf;

/// An attempt that was assigned and has not ended.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) variant: u32,
    pub(super) state: HeldState,
}

/// Where an attempt is.
#[derive(Debug, Clone)]
pub(super) enum HeldState {
    /// Waits for resources.
    Queued { place: Place, key: DescKey, entry: Option<ByteBuf>, nodes: Vec<String> },
    /// Was ordered to start; a doomed one is killed as soon as its process is there.
    /// `is_lapsed`: the lease has ended since, so that it is killed as soon as it runs.
    Starting { allocation: Allocation, terms: Terms, doom: Option<Doom>, is_lapsed: bool },
    /// Its process runs; a doomed one was asked to end.
    Running { allocation: Allocation, started: Time, terms: Terms, clocks: Clocks, doom: Option<Doom> },
}

/// How long a task may run and how it is ended, by its description.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    pub(super) time_limit: Option<Span>,
    stop: StopPlan,
}

impl Terms {
    pub(super) fn of(desc: &TaskDesc) -> Self {
        Self { time_limit: desc.time_limit, stop: desc.stop.as_deref().copied().unwrap_or_default() }
    }

    /// The first signal.
    pub(super) fn signal(&self) -> i32 {
        if self.stop.signal == 0 { limits::KILL_SIGNAL } else { self.stop.signal }
    }

    /// From the first signal to SIGKILL.
    pub(super) fn grace(&self) -> Span {
        self.stop.grace.unwrap_or(limits::KILL_GRACE_SPAN)
    }

    /// The signal of the warning, and how long after its start a task gets it whose worker lives until `life_end`.
    pub(super) fn warning(&self, started: Time, life_end: Option<Time>) -> Option<(i32, Span)> {
        let warning = self.stop.warning?;
        let left = life_end.map(|end| end.since(started));
        let end = self.time_limit.into_iter().chain(left).min()?;
        // A program needs a moment until it can hear it.
        let after = Span(end.0.saturating_sub(warning.before.0)).max(limits::WARNING_DELAY_MIN);
        (after < end).then_some((warning.signal, after))
    }

    /// Whether the time limit comes before the end of the worker's life.
    pub(super) fn ends_by_limit(&self, started: Time, life_end: Option<Time>) -> bool {
        self.time_limit.is_some_and(|limit| life_end.is_none_or(|end| started.after(limit) <= end))
    }
}

/// The timers of a running task.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clocks {
    /// The one of its time limit is armed.
    pub(super) limit: bool,
    /// The one of its warning is armed.
    pub(super) warning: bool,
    /// The warning that it got.
    pub(super) warned: Option<i32>,
}

/// Why an attempt was asked to end. Of two reasons the larger one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doom {
    /// The worker ends.
    Interrupted,
    /// It has run for too long.
    TimeLimit,
    /// The server said so.
    Canceled,
    /// The server does not want to hear of it any more.
    Dropped,
}

impl Held {
    /// How it is ended, if it was ordered to start.
    pub(super) fn terms(&self) -> Option<&Terms> {
        match &self.state {
            HeldState::Queued { .. } => None,
            HeldState::Starting { terms, .. } | HeldState::Running { terms, .. } => Some(terms),
        }
    }

    /// Why it was asked to end, if it was.
    pub(super) fn doom(&self) -> Option<Doom> {
        let (HeldState::Starting { doom, .. } | HeldState::Running { doom, .. }) = &self.state else { return None };
        *doom
    }

    /// Whether the server does not want to hear of it any more.
    pub(super) fn is_dropped(&self) -> bool {
        self.doom() == Some(Doom::Dropped)
    }
}
