//! Attempts that are followed by another one, and tasks that users want to run again.

use super::Turn;
use super::act::Restored;
use crate::act::RetryAction;
use crate::decide::act::Selection;
use crate::decide::{gate, retry};
use crate::event::{Event, JobRestored, TaskFailed, TaskRetried, TasksNamed};
use crate::id::JobId;
use crate::limits;
use std::sync::Arc;

impl Turn<'_> {
    /// Tries a task again whose attempt failed, if its policy says so; whether it did.
    pub(super) fn try_again(&mut self, failed: &TaskFailed) -> bool {
        let Some(delay) = retry::delay(self.state(), failed) else { return false };
        self.emit(Event::TaskRetried(TaskRetried { failed: failed.clone(), delay }));
        true
    }

    /// Ends the delays that are over.
    pub(super) fn end_delays(&mut self) {
        for (job, tasks) in retry::due(self.state(), self.now, limits::TURN_DUE_MAX) {
            self.emit(Event::TasksDue(TasksNamed { job, tasks }));
        }
    }

    /// Has final tasks of a job run again; gives their number.
    ///
    /// # Errors
    /// A sentence when a completed job lacks what they need.
    pub(super) fn rerun(
        &mut self,
        id: JobId,
        selection: &Selection,
        action: &RetryAction,
        restored: &Restored,
    ) -> Result<u64, String> {
        let Some(job) = self.state().job(id) else { return Ok(0) };
        let rerun = retry::rerun(self.state(), job, &selection.parts, &action.states);
        if rerun.tasks.is_empty() {
            return Ok(0);
        }
        let whole = restored.iter().find(|(job, _)| *job == id).map(|(_, submits)| submits.as_slice());
        let mut puts_back = Vec::new();
        for number in rerun.submits {
            let Some(kept) = job.submits.get(number as usize).filter(|submit| submit.desc.is_slim) else { continue };
            let found = whole.and_then(|submits| submits.get(number as usize));
            let Some(found) = found.filter(|found| found.ids == kept.desc.ids && !found.is_slim) else {
                let reason = "the entries or the standard input of its tasks are not kept any more: the server has no \
                              journal, or it was pruned";
                return Err(reason.to_owned());
            };
            // One event for each submit, so that none is larger than what was once submitted.
            let mut submits = vec![Arc::default(); number as usize];
            submits.push(Arc::clone(found));
            puts_back.push(Event::JobRestored(JobRestored { job: id, submits }));
        }
        puts_back.into_iter().for_each(|event| self.emit(event));
        let touched = rerun.tasks.len();
        self.emit(Event::TasksRerun(TasksNamed { job: id, tasks: rerun.tasks }));
        // Some may wait for tasks of their own job that do not run again.
        self.doom(gate::doomed_in(self.state(), id));
        self.touched.insert(id);
        Ok(touched)
    }
}
