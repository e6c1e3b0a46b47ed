//! What the events of whole jobs do to the state; part of the one interpreter in `apply`.

use super::State;
use super::jobs::Job;
use crate::event::JobOpened;
use crate::id::JobId;
use crate::retention::{DetailsForgotten, DetailsGone};
use crate::time::Time;

impl State {
    pub(super) fn apply_opened(&mut self, at: Time, event: &JobOpened) {
        self.last_job = self.last_job.max(event.job);
        self.jobs.entry(event.job).or_insert_with(|| {
            let job = Job::new(event.job, event.name.clone(), event.max_fails, at);
            Box::new(Job { is_open: true, tags: event.tags.clone(), ..job })
        });
    }

    pub(super) fn apply_closed(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.is_open = false;
        }
    }

    /// Nothing refers to a completed job: its tasks are on no worker, in no queue, and nobody waits for them any more.
    pub(super) fn apply_forgotten(&mut self, id: JobId) {
        if self.jobs.get(&id).is_some_and(|job| job.completed.is_some()) {
            self.pass_forgotten(id);
            self.jobs.remove(&id);
        }
    }

    /// What the state has of the jobs stays: the event says that the journal has no more of them.
    pub(super) fn apply_details_forgotten(&mut self, at: Time, event: &DetailsForgotten) {
        let gone = DetailsGone { at, cause: event.cause };
        for id in event.jobs.iter() {
            let job = self.jobs.get_mut(&JobId(id)).filter(|job| job.completed.is_some());
            if let Some(job) = job.filter(|job| job.details_gone.is_none()) {
                job.details_gone = Some(gone);
                self.forgotten.jobs += 1;
                self.forgotten.last = Some(gone);
            }
        }
    }
}
