//! Actions of users on tasks that were submitted.
//!
//! Each is carried out job by job and says how many tasks it touched; what is as wanted already is not touched, so that a
//! command that is given twice does what it does once.
//!
//! What holds: no other task is touched than those selected, but for tasks that wait for one that was cancelled.

use super::{Machine, Turn};
use crate::act::{Acted, Action, TaskChange};
use crate::attempt::Attempt;
use crate::command::{Effect, Reply};
use crate::decide::act::{self, Parts, Selection};
use crate::decide::depend::{self, Broken};
use crate::event::{Event, JobChanged, JobModified, TasksEnded, TasksModified, TasksNamed};
use crate::id::{JobId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::state::jobs::Job;
use crate::state::runs::Runs;
use crate::task::SubmitDesc;
use crate::view::TaskState;
use std::collections::BTreeSet;
use std::sync::Arc;

/// For completed jobs whose tasks run again: their submits, whole.
pub(super) type Restored = [(JobId, Vec<Arc<SubmitDesc>>)];

impl Turn<'_> {
    pub(super) fn act(&mut self, jobs: &[JobId], tasks: Option<&IdSet>, action: &Action, restored: &Restored) {
        let jobs: BTreeSet<JobId> = jobs.iter().copied().collect();
        let acted = jobs.into_iter().map(|id| self.act_on(id, tasks, action, restored)).collect();
        self.output.reply = Reply::Acted(acted);
    }

    fn act_on(&mut self, id: JobId, tasks: Option<&IdSet>, action: &Action, restored: &Restored) -> Acted {
        let Some(job) = self.state().job(id) else { return Acted { job: id, ..Acted::default() } };
        let found = Acted { job: id, found: true, ..Acted::default() };
        let selection = match act::select(job, tasks) {
            Ok(selection) => selection,
            Err(refused) => return Acted { refused, ..found },
        };
        let selected = selection.len();
        let missing = selection.missing.clone();
        let touched = match action {
            Action::Cancel(cancel) => Ok(self.cancel_tasks(id, &selection, cancel.reason.as_deref())),
            Action::Hold(_) if tasks.is_none() => Ok(self.hold_job(id, &selection)),
            Action::Hold(_) => Ok(self.hold_tasks(id, &selection)),
            Action::Release(_) if tasks.is_none() => Ok(self.release_job(id, &selection)),
            Action::Release(_) => Ok(self.release_tasks(id, &selection)),
            Action::Modify(change) => self.modify(id, &selection, change),
            Action::Retry(retry) => self.rerun(id, &selection, retry, restored),
        };
        match touched {
            Ok(touched) => Acted { touched, untouched: selected - touched.min(selected), missing, ..found },
            Err(refused) => Acted { untouched: selected, refused, missing, ..found },
        }
    }

    /// The tasks of a job that `chosen` finds, with their ids.
    fn chosen(&self, id: JobId, chosen: impl FnOnce(&Job) -> Parts) -> (Parts, IdSet) {
        let Some(job) = self.state().job(id) else { return Default::default() };
        let parts = chosen(job);
        let ids = act::ids(job, &parts);
        (parts, ids)
    }

    /// Ends tasks, with everything that waits for them and can never run then.
    fn cancel_tasks(&mut self, id: JobId, selection: &Selection, reason: Option<&str>) -> u64 {
        let (parts, tasks) = self.chosen(id, |job| selection.unfinished(job));
        if parts.is_empty() {
            return 0;
        }
        if let Some(job) = self.state().job(id) {
            let kills = act::kills(job, &parts);
            self.output.effects.extend(kills);
        }
        let broken = self.broken_by_cancel(id, &parts);
        let reason = reason.unwrap_or_default().to_owned();
        self.emit(Event::TasksCanceled(TasksEnded { job: id, tasks, reason }));
        self.abort(broken);
        self.touched.insert(id);
        act::count(&parts)
    }

    fn broken_by_cancel(&self, id: JobId, parts: &[(u32, u32)]) -> Broken {
        let Some(job) = self.state().job(id) else { return Broken::default() };
        let runs: Runs = parts.iter().copied().collect();
        let is_ended = |task: &TaskRef| {
            task.job == id && job.tasks.ordinal(task.task).is_some_and(|ordinal| runs.contains(ordinal))
        };
        let waited_for = self.state().consumers.range(TaskRef::new(id.0, 0)..=TaskRef::new(id.0, u32::MAX));
        let waited_for = waited_for.map(|(task, _)| *task).filter(is_ended);
        let ended: Vec<(TaskRef, TaskState)> = waited_for.map(|task| (task, TaskState::Canceled)).collect();
        let mut broken = depend::broken_by(self.state(), &ended);
        broken.retain(|task, _| !is_ended(task));
        broken
    }

    fn hold_job(&mut self, id: JobId, selection: &Selection) -> u64 {
        let (parts, _) = self.chosen(id, |job| selection.to_hold(job));
        let is_over = |job: &Job| job.completed.is_some() || (job.hold && job.held.is_empty());
        if self.state().job(id).is_none_or(is_over) {
            return 0;
        }
        self.emit(Event::JobHeld(JobChanged { job: id }));
        self.ask_back(id, &parts);
        act::count(&parts)
    }

    fn hold_tasks(&mut self, id: JobId, selection: &Selection) -> u64 {
        let (parts, tasks) = self.chosen(id, |job| selection.to_hold(job));
        if !parts.is_empty() {
            self.emit(Event::TasksHeld(TasksNamed { job: id, tasks }));
            self.ask_back(id, &parts);
        }
        act::count(&parts)
    }

    fn release_job(&mut self, id: JobId, selection: &Selection) -> u64 {
        let (parts, _) = self.chosen(id, |job| selection.to_release(job));
        if self.state().job(id).is_some_and(|job| job.hold || !job.held.is_empty()) {
            self.emit(Event::JobReleased(JobChanged { job: id }));
        }
        act::count(&parts)
    }

    fn release_tasks(&mut self, id: JobId, selection: &Selection) -> u64 {
        let (parts, tasks) = self.chosen(id, |job| selection.to_release(job));
        if !parts.is_empty() {
            self.emit(Event::TasksReleased(TasksNamed { job: id, tasks }));
        }
        act::count(&parts)
    }

    /// Gives tasks that have not started other values, and the job another bound for failures.
    fn modify(&mut self, id: JobId, selection: &Selection, change: &TaskChange) -> Result<u64, String> {
        let Some(job) = self.state().job(id) else { return Ok(0) };
        let parts = act::to_modify(job, selection, change)?;
        let tasks = act::ids(job, &parts);
        let is_new = |max: &u32| job.completed.is_none() && job.max_fails != Some(*max);
        let max_fails = change.max_fails.filter(is_new);
        let mut touched = act::count(&parts);
        if max_fails.is_some() {
            if !change.is_of_tasks() {
                touched = act::count(&selection.unfinished(job));
            }
            self.emit(Event::JobModified(JobModified { job: id, max_fails }));
        }
        if !parts.is_empty() {
            let change = TaskChange { max_fails: None, ..change.clone() };
            self.emit(Event::TasksModified(TasksModified { job: id, tasks, change }));
            self.ask_back(id, &parts);
        }
        self.end_if_failed(id);
        Ok(touched)
    }

    /// Asks workers for those of the tasks that lie there and have not started.
    fn ask_back(&mut self, id: JobId, parts: &[(u32, u32)]) {
        let Some(job) = self.state().job(id) else { return };
        for (worker, attempts) in act::assigned(job, parts) {
            self.ask_for(worker, attempts);
        }
    }

    /// Asks a worker for attempts that have not started.
    pub(super) fn ask_for(&mut self, worker: WorkerId, attempts: Vec<Attempt>) {
        if !attempts.is_empty() {
            self.machine.asked_back.extend(attempts.iter().copied());
            self.output.effects.push(Effect::Retract { worker, attempts });
        }
    }

    /// Forgets what a worker was asked for, since the question or the answer may have been lost.
    pub(super) fn forget_asked(&mut self, worker: WorkerId) {
        let Machine { state, asked_back, .. } = &mut *self.machine;
        asked_back.retain(|attempt| {
            let live = state.job(attempt.task.job).and_then(|job| job.tasks.live.get(&attempt.task.task));
            let holder = live.and_then(|live| live.on_worker());
            holder.is_some_and(|(holder, fence)| holder != worker && fence == attempt.fence)
        });
    }
}
