//! Jobs that are open for further tasks, and jobs that are kept no longer.
//!
//! An open job is completed when it is closed and nothing of it is left to do, whichever comes last.
//!
//! What holds: a completed job never opens again; what is forgotten was completed.

use super::Turn;
use crate::command::{JobClose, Reply};
use crate::decide::{depend, gate, open, retention, submit};
use crate::event::{Event, JobChanged, JobSubmitted};
use crate::id::{JobId, TaskRef};
use crate::idset::IdSet;
use crate::retention::{DetailsForgotten, ForgetCause};
use crate::task::SubmitRequest;
use crate::view::{JobState, TaskState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Turn<'_> {
    pub(super) fn open_job(&mut self, name: &str, max_fails: Option<u32>, tags: &BTreeMap<String, String>) {
        self.output.reply = match open::new_open(self.state(), name, max_fails, tags) {
            Ok(event) => {
                let job = event.job;
                self.emit(Event::JobOpened(event));
                Reply::Submitted(job)
            }
            Err(reason) => Reply::Refused(reason),
        };
    }

    /// Creates a job, or adds tasks to an open one.
    pub(super) fn submit(&mut self, request: SubmitRequest) {
        let event = match request.job {
            Some(job) => open::attach(self.state(), job, request),
            None => submit::new_job(self.state(), &request),
        };
        match event {
            Ok(event) => self.submitted(&event),
            Err(reason) => self.output.reply = Reply::Refused(reason),
        }
    }

    fn submitted(&mut self, event: &JobSubmitted) {
        let job = event.job;
        self.emit(Event::JobSubmitted(event.clone()));
        self.doom(gate::doomed_in(self.state(), job));
        let broken = submit::broken_dependents(self.state(), event);
        let ended: Vec<(TaskRef, TaskState)> = broken.keys().map(|task| (*task, TaskState::Aborted)).collect();
        let reason = |task: TaskRef, _| broken.get(&task).map_or_else(|| Arc::from(""), Arc::clone);
        let further = depend::broken_from(self.state(), &ended, reason);
        self.abort(broken.into_iter().chain(further));
        self.touched.insert(job);
        self.output.reply = Reply::Submitted(job);
    }

    pub(super) fn close_jobs(&mut self, jobs: &[JobId]) {
        let mut results = BTreeMap::new();
        for id in jobs.iter().copied().collect::<BTreeSet<_>>() {
            let result = match self.state().job(id) {
                None => JobClose::NotFound,
                Some(job) if !job.is_open => JobClose::AlreadyClosed,
                Some(_) => {
                    self.emit(Event::JobClosed(JobChanged { job: id }));
                    self.touched.insert(id);
                    JobClose::Closed
                }
            };
            results.insert(id, result);
        }
        self.output.reply = Reply::Closed(results.into_iter().collect());
    }

    pub(super) fn forget_jobs(&mut self, jobs: &[JobId], states: &[JobState]) {
        let selected: BTreeSet<JobId> = jobs.iter().copied().collect();
        let (mut forgotten, mut ignored) = (0, 0);
        for job in selected {
            if self.state().job(job).is_some_and(|found| open::is_forgettable(found, states)) {
                self.emit(Event::JobForgotten(JobChanged { job }));
                forgotten += 1;
            } else {
                ignored += 1;
            }
        }
        self.output.reply = Reply::Forgotten(forgotten, ignored);
    }

    pub(super) fn forget_details(&mut self, wanted: Option<&IdSet>, cause: ForgetCause) {
        let jobs = retention::forgettable(self.state(), wanted);
        self.output.reply = Reply::DetailsForgotten(jobs.len());
        if !jobs.is_empty() {
            self.emit(Event::DetailsForgotten(DetailsForgotten { jobs, cause }));
        }
    }
}
