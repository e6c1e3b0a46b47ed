//! What of the waiting tasks may be queued: not what a user holds.
//!
//! Everything that puts tasks into the ready queues asks here, so that the live path and a rebuilt state agree.

use super::State;
use super::jobs::Job;

impl Job {
    /// Whether a user keeps the task with this ordinal from starting.
    pub fn is_held(&self, ordinal: u32) -> bool {
        self.hold || self.held.contains(ordinal)
    }

    /// The parts of a run of ordinals that nobody holds.
    fn not_held(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        if self.hold {
            return Vec::new();
        }
        if self.held.is_empty() { vec![(first, last)] } else { self.held.outside(first, last) }
    }
}

impl State {
    /// The parts of a run of ordinals that may be queued as far as nothing but their own dependencies is concerned.
    pub(super) fn admitted(&self, job: &Job, first: u32, last: u32) -> Vec<(u32, u32)> {
        job.not_held(first, last)
    }
}
