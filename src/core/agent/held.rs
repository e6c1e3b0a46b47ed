//! One attempt that the worker holds.
//!
//! Each is in exactly one state; the resources of a started one are in that state, so that they cannot be forgotten.
//!
//! What holds: an attempt has an allocation from its spawn order to its end, and at no other time.

use super::allocate::Allocation;
use super::queue::Place;
use crate::attempt::DescKey;
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
    Starting { allocation: Allocation, time_limit: Option<Span>, doom: Option<Doom> },
    /// Its process runs; a doomed one was asked to end.
    Running { allocation: Allocation, started: Time, limited: bool, doom: Option<Doom> },
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
    /// Whether the server does not want to hear of it any more.
    pub(super) fn is_dropped(&self) -> bool {
        let (HeldState::Starting { doom, .. } | HeldState::Running { doom, .. }) = &self.state else { return false };
        *doom == Some(Doom::Dropped)
    }
}
