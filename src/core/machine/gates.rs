//! What the end of tasks and the completion of jobs lead to elsewhere: gates that break, jobs that are completed.
//!
//! What holds: at the end of each command no task waits behind a broken gate, and no job that is done is not completed.
//! Gates open by themselves, in the state.

use super::Turn;
use crate::command::Effect;
use crate::decide::gate::{self, Doom};
use crate::event::{Event, JobChanged, TasksEnded};
use crate::id::{JobId, TaskId};
use crate::idset::IdSet;
use crate::planted::{self, Planted};
use crate::state::gates::ordinals;
use crate::state::jobs::Job;
use crate::view::TaskState;

impl Turn<'_> {
    /// Notes which tasks end by an event, where partners of other jobs look at them.
    pub(super) fn note_ended(&mut self, event: &Event) {
        let (id, state) = match event {
            Event::TasksFinished(event) => (event.job, TaskState::Finished),
            Event::TaskFailed(event) => (event.job, TaskState::Failed),
            Event::TasksCanceled(event) => (event.job, TaskState::Canceled),
            Event::TasksAborted(event) => (event.job, TaskState::Aborted),
            _ => return,
        };
        if !self.state().gates.has_task_watchers(id) {
            return;
        }
        let Some(job) = self.state().job(id) else { return };
        let runs = match event {
            Event::TasksFinished(event) => sorted(&event.tasks),
            Event::TaskFailed(event) => IdSet::single(event.task.0),
            Event::TasksCanceled(event) | Event::TasksAborted(event) => event.tasks.clone(),
            _ => IdSet::default(),
        };
        let runs = ordinals(&job.tasks, &runs);
        let ended = runs.iter().map(|(first, last)| (first, last, state));
        self.ended.entry(id).or_default().extend(ended);
    }

    /// Completes jobs that are done and aborts what can never run, until nothing follows any more.
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.touched.pop_first() {
            let is_done = |job: &Job| match (planted::is(Planted::CompleteOpen), planted::is(Planted::CompleteNever)) {
                (true, _) => job.counts.unfinished() == 0,
                (_, true) => job.is_done() && !job.counts.total().is_multiple_of(3),
                _ => job.is_done(),
            };
            let done = self.state().job(id).is_some_and(|job| is_done(job) && job.completed.is_none());
            if done {
                self.emit(Event::JobCompleted(JobChanged { job: id }));
                self.output.effects.push(Effect::ForgetJob { job: id });
            } else if self.has_become_idle(id) {
                self.emit(Event::JobIdle(JobChanged { job: id }));
            }
            let ended = self.ended.remove(&id).unwrap_or_default();
            if self.state().gates.is_watched(id) {
                self.doom(gate::doomed_by(self.state(), id, &ended));
            }
        }
    }

    /// Whether the last task of an open job has ended in this turn.
    fn has_become_idle(&self, id: JobId) -> bool {
        let has_nothing_left =
            self.state().job(id).is_some_and(|job| job.completed.is_none() && job.counts.unfinished() == 0);
        let is_end = |event: &Event| {
            matches!(
                event,
                Event::TasksFinished(_) | Event::TaskFailed(_) | Event::TasksCanceled(_) | Event::TasksAborted(_)
            )
        };
        let mut events = self.output.events.iter().map(|stamped| &stamped.event);
        has_nothing_left && events.any(|event| is_end(event) && event.job() == Some(id))
    }

    /// Aborts tasks that can never run, and what waits for them in turn.
    pub(super) fn doom(&mut self, dooms: Vec<Doom>) {
        for Doom { job, parts, reason } in dooms {
            // Another gate may have ended some of them meanwhile.
            let (parts, tasks) = gate::still_waiting(self.state(), job, &parts);
            if parts.is_empty() {
                continue;
            }
            let further = gate::broken_by_runs(self.state(), job, &parts, &reason);
            self.emit(Event::TasksAborted(TasksEnded { job, tasks, reason }));
            self.abort(further);
            self.touched.insert(job);
        }
    }

    /// What a server did not come to write before it died: the end of what an end leads to.
    pub(super) fn settle_leftovers(&mut self) {
        let open: Vec<JobId> =
            self.state().jobs.values().filter(|job| job.completed.is_none()).map(|job| job.id).collect();
        for id in open {
            self.doom(gate::doomed_in(self.state(), id));
            self.touched.insert(id);
        }
    }
}

fn sorted(tasks: &[TaskId]) -> IdSet {
    let mut ids: Vec<u32> = tasks.iter().map(|task| task.0).collect();
    ids.sort_unstable();
    ids.dedup();
    IdSet::from_sorted(ids)
}
