//! What of the waiting tasks may be queued: not what a user holds.
//!
//! Everything that puts tasks into the ready queues asks here, so that the live path and a rebuilt state agree.

use super::State;
use super::jobs::Job;
use super::ready::Run;
use super::runs::Runs;
use crate::id::JobId;
use crate::planted::{self, Planted};

impl Job {
    /// Whether a user keeps the task with this ordinal from starting.
    pub fn is_held(&self, ordinal: u32) -> bool {
        self.hold != self.held.contains(ordinal)
    }

    /// The parts of a run of ordinals that somebody holds, ascending.
    pub fn held_within(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        if self.hold { self.held.outside(first, last) } else { self.held.within(first, last) }
    }

    /// The parts of a run of ordinals that nobody holds, ascending.
    pub fn not_held(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        if planted::is(Planted::IgnoreHold) {
            return vec![(first, last)];
        }
        if self.hold { self.held.within(first, last) } else { self.held.outside(first, last) }
    }

    /// Forgets that tasks were held that wait no longer, so that they are not if they wait again.
    pub(super) fn drop_hold(&mut self, first: u32, last: u32) {
        if !self.hold && !self.held.is_empty() {
            self.held.remove(first, last);
        }
    }
}

impl State {
    /// The parts of a run of ordinals that may be queued as far as nothing but their own dependencies is concerned.
    pub(super) fn admitted(&self, job: &Job, first: u32, last: u32) -> Vec<(u32, u32)> {
        let parts = job.not_held(first, last);
        if self.gates.is_empty() { parts } else { self.past_gates(job, parts) }
    }

    /// Whether a waiting task may be queued as far as nothing but its own dependencies is concerned.
    pub fn may_be_queued(&self, job: &Job, ordinal: u32) -> bool {
        !self.admitted(job, ordinal, ordinal).is_empty()
    }

    /// The parts of a run of ordinals that nobody holds and that gates keep, ascending.
    pub fn gated_within(&self, job: &Job, first: u32, last: u32) -> Vec<(u32, u32)> {
        if self.gates.is_empty() {
            return Vec::new();
        }
        let kept = job.not_held(first, last).into_iter().flat_map(|(first, last)| {
            let admitted: Runs = self.admitted(job, first, last).into_iter().collect();
            admitted.outside(first, last)
        });
        kept.collect()
    }

    /// Queues what may be queued of a run of ordinals, none of which is in a queue.
    pub(super) fn queue_run(&mut self, id: JobId, first: u32, last: u32) {
        let Some(job) = self.jobs.get(&id) else { return };
        let admitted = self.admitted(job, first, last).into_iter();
        for (level, first, last) in admitted.flat_map(|(first, last)| job.stretches(first, last)) {
            self.ready.push(level, Run { job: id, first, last });
        }
    }

    /// Queues what waits of a run of ordinals, may be queued, and is in no queue.
    pub(super) fn queue_waiting(&mut self, id: JobId, first: u32, last: u32) {
        let Some(job) = self.jobs.get(&id) else { return };
        for (first, last) in job.tasks.queueable(first, last) {
            self.queue_run(id, first, last);
        }
    }

    /// Takes what is there of a run of ordinals out of the queues.
    pub(super) fn unqueue_run(&mut self, id: JobId, first: u32, last: u32) {
        let Some(job) = self.jobs.get(&id) else { return };
        for (level, first, last) in job.stretches(first, last) {
            self.ready.remove(level, Run { job: id, first, last });
        }
    }

    /// Takes all of a job out of the queues.
    pub(super) fn unqueue_all(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        for level in job.levels() {
            self.ready.remove(level, Run { job: id, first: 0, last: u32::MAX });
        }
    }
}
