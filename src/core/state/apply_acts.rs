//! What the actions of users on tasks do to the state; part of the one interpreter in `apply`.

use super::State;
use super::ready::Level;
use super::runs::Runs;
use crate::act::TaskChange;
use crate::event::{JobModified, TasksModified, TasksNamed};
use crate::id::JobId;
use crate::idset::IdSet;

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
        for (first, last) in self.runs_of(event.job, &event.tasks) {
            self.set_held(event.job, (first, last), true);
            self.unqueue_run(event.job, first, last);
        }
    }

    pub(super) fn apply_tasks_released(&mut self, event: &TasksNamed) {
        for (first, last) in self.runs_of(event.job, &event.tasks) {
            self.set_held(event.job, (first, last), false);
            self.unqueue_run(event.job, first, last);
            self.queue_waiting(event.job, first, last);
        }
    }

    fn set_held(&mut self, id: JobId, (first, last): (u32, u32), held: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if held == job.hold { job.held.remove(first, last) } else { job.held.insert(first, last) }
    }

    pub(super) fn apply_job_modified(&mut self, event: &JobModified) {
        if let Some(job) = self.jobs.get_mut(&event.job) {
            job.max_fails = event.max_fails.or(job.max_fails);
        }
    }

    /// Those of the tasks that wait get the new values; one that lies on a worker does when it comes back.
    pub(super) fn apply_tasks_modified(&mut self, event: &TasksModified) {
        for (first, last) in self.runs_of(event.job, &event.tasks) {
            let waiting = self.jobs.get(&event.job).map(|job| job.tasks.waiting(first, last));
            for (first, last) in waiting.unwrap_or_default() {
                self.unqueue_run(event.job, first, last);
                self.revise(event.job, (first, last), &event.change);
                self.queue_waiting(event.job, first, last);
            }
        }
    }

    fn revise(&mut self, id: JobId, (first, last): (u32, u32), change: &TaskChange) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let mut next = Some(first);
        while let Some(from) = next.filter(|from| *from <= last) {
            let Some((number, range_last)) = job.tasks.range_at(from) else { return };
            let until = range_last.min(last);
            let Some(submit) = job.submits.get_mut(number as usize) else { return };
            for (first, last, index) in submit.alike(from, until) {
                let revision = submit.changed(index, change);
                let Some(base) = submit.desc.descs.get(revision.of as usize) else { continue };
                let class = self.classes.intern(&revision.change.request_of(base));
                let level = Level::new(revision.change.priority_of(base), class);
                let index = submit.keep_revision(revision, level);
                submit.revised.set(first, last, Some(index));
            }
            next = until.checked_add(1);
        }
    }

    /// The ordinals of tasks, as runs.
    fn runs_of(&self, job: JobId, ids: &IdSet) -> Vec<(u32, u32)> {
        let tasks = self.jobs.get(&job).map(|job| &job.tasks);
        let runs = tasks.into_iter().flat_map(|tasks| ids.ranges.iter().flat_map(|range| tasks.runs_of_ids(range)));
        runs.collect()
    }
}
