//! What the actions of users on tasks do to the state; part of the one interpreter in `apply`.

use super::State;
use super::runs::Runs;
use crate::event::TasksNamed;
use crate::id::JobId;

impl State {
    pub(super) fn apply_job_held(&mut self, id: JobId) {
        self.set_hold(id, true);
        self.unqueue_all(id);
    }

    pub(super) fn apply_job_released(&mut self, id: JobId) {
        self.set_hold(id, false);
        self.unqueue_all(id);
        if let Some(last) = self.jobs.get(&id).and_then(|job| job.last_ordinal()) {
            self.queue_waiting(id, 0, last);
        }
    }

    fn set_hold(&mut self, id: JobId, hold: bool) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.hold = hold;
            job.held = Runs::default();
        }
    }

    pub(super) fn apply_tasks_held(&mut self, event: &TasksNamed) {
        for (first, last) in self.runs_of(event) {
            self.set_held(event.job, (first, last), true);
            self.unqueue_run(event.job, first, last);
        }
    }

    pub(super) fn apply_tasks_released(&mut self, event: &TasksNamed) {
        for (first, last) in self.runs_of(event) {
            self.set_held(event.job, (first, last), false);
            self.unqueue_run(event.job, first, last);
            self.queue_waiting(event.job, first, last);
        }
    }

    fn set_held(&mut self, id: JobId, (first, last): (u32, u32), held: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if held == job.hold { job.held.remove(first, last) } else { job.held.insert(first, last) }
    }

    /// The ordinals that an event names, as runs.
    fn runs_of(&self, event: &TasksNamed) -> Vec<(u32, u32)> {
        let tasks = self.jobs.get(&event.job).map(|job| &job.tasks);
        let runs = tasks.into_iter().flat_map(|tasks| event.tasks.ranges.iter().flat_map(|r| tasks.runs_of_ids(r)));
        runs.collect()
    }
}
