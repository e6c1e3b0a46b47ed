//! The one interpreter: what each event does to the state.
//!
//! **Invariant:** replay and the live path are this function. It is total: an event that does not fit the state
//! changes nothing, so no journal can stop a server.

use super::State;
use super::jobs::{Job, Submit};
use super::ready::{Level, Run};
use super::runs::Runs;
use super::tasks::{Live, Place};
use super::workers::{Link, PastWorker, Worker};
use crate::event::{
    AwayReason, Event, JobSubmitted, ServerStarted, Stamped, WorkerAway, WorkerConnected, WorkerLost, WorkerUnblocked,
};
use crate::id::{AttemptId, JobId, TaskId, TaskRef, WorkerId};
use crate::limits;
use crate::planted::{self, Planted};
use crate::task::{Condition, SubmitDesc};
use crate::time::{Span, Time};
use crate::view::{TaskState, WorkerEnd};
use std::collections::BTreeMap;
use std::sync::Arc;

impl State {
    /// Applies one event.
    pub fn apply(&mut self, stamped: &Stamped) {
        let at = stamped.at;
        match &stamped.event {
            Event::ServerStarted(event) => self.apply_server_started(at, event),
            Event::ServerStopped(_) | Event::WorkerOverview(_) | Event::JobIdle(_) => {}
            Event::WorkerConnected(event) => self.apply_worker_connected(at, event),
            Event::WorkerAway(event) => self.apply_away(at, event),
            Event::WorkerReturned(event) => {
                self.set_link(event.worker, Link::Connected);
                // Its word may have been lost with the connection; what it still cannot place, it rejects again.
                self.apply_unblocked(&WorkerUnblocked { worker: event.worker, tasks: Vec::new() });
            }
            Event::WorkerStopping(event) => {
                if let Some(worker) = self.workers.get_mut(&event.worker) {
                    worker.stopping = Some(at);
                }
                self.refresh_open(event.worker);
            }
            Event::WorkerDraining(event) => {
                if let Some(worker) = self.workers.get_mut(&event.worker) {
                    worker.draining = Some(event.drain);
                    self.draining.insert(event.worker);
                }
                self.refresh_open(event.worker);
            }
            Event::WorkerLost(event) => self.apply_worker_lost(at, event),
            Event::JobSubmitted(event) => self.apply_submitted(at, event),
            Event::JobCanceled(event) => {
                if let Some(job) = self.jobs.get_mut(&event.job) {
                    job.cancel_reason.clone_from(&event.reason);
                }
            }
            Event::JobCompleted(event) => self.apply_completed(at, event.job),
            Event::TasksAssigned(event) => self.apply_assigned(event),
            Event::TaskAdopted(event) => self.apply_adopted(event),
            Event::WorkerUnblocked(event) => self.apply_unblocked(event),
            Event::TasksReturned(event) => self.apply_returned(at, event),
            Event::TasksStarted(event) => self.apply_started(at, event),
            Event::TasksFinished(event) => self.apply_finished(at, event),
            Event::TaskFailed(event) => self.apply_failed(at, event),
            Event::TasksCanceled(event) => self.apply_ended(at, event, TaskState::Canceled),
            Event::TasksAborted(event) => self.apply_ended(at, event, TaskState::Aborted),
            Event::JobHeld(event) => self.apply_job_held(event.job),
            Event::JobReleased(event) => self.apply_job_released(event.job),
            Event::TasksHeld(event) => self.apply_tasks_held(event),
            Event::TasksReleased(event) => self.apply_tasks_released(event),
            // For those who listen; it decides nothing.
            Event::TaskNotified(event) => {
                if let Some(worker) = self.workers.get_mut(&event.worker) {
                    worker.noticed = worker.noticed.max(event.number);
                }
            }
            Event::JobOpened(event) => self.apply_opened(at, event),
            Event::JobClosed(event) => self.apply_closed(event.job),
            Event::JobForgotten(event) => self.apply_forgotten(event.job),
            Event::JobModified(event) => self.apply_job_modified(event),
            Event::TasksModified(event) => self.apply_tasks_modified(event),
            Event::DetailsForgotten(event) => self.apply_details_forgotten(at, event),
            Event::JobRestored(event) => self.apply_restored(event),
            Event::TaskRetried(event) => self.apply_retried(at, event),
            Event::TasksRerun(event) => self.apply_rerun(event),
            Event::TasksDue(event) => self.apply_due(event),
        }
    }

    fn apply_server_started(&mut self, at: Time, event: &ServerStarted) {
        self.server_uid.clone_from(&event.server_uid);
        self.epoch = event.epoch;
        self.started = at;
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            let patience = self.workers.get(&id).map_or(Span::default(), |worker| worker.config.patience());
            let until = at.after(limits::WORKER_RETURN_SPAN.max(patience));
            self.set_link(id, Link::Away { reason: AwayReason::Restart, until });
        }
    }

    fn apply_away(&mut self, at: Time, event: &WorkerAway) {
        let WorkerAway { worker, reason, silent } = *event;
        let Some(found) = self.workers.get(&worker) else { return };
        let wait = match reason {
            AwayReason::Closed => limits::WORKER_AWAY_SPAN,
            AwayReason::Silent | AwayReason::Restart => Span(found.config.patience().0.saturating_sub(silent.0)),
        };
        self.set_link(worker, Link::Away { reason, until: at.after(wait) });
    }

    fn set_link(&mut self, id: WorkerId, link: Link) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.link = link;
        }
        self.refresh_open(id);
    }

    fn apply_worker_connected(&mut self, at: Time, event: &WorkerConnected) {
        self.last_worker = self.last_worker.max(event.worker);
        let config = Arc::new((*event.config).clone());
        let worker = Worker::new(event.worker, event.token.clone(), config, at, &mut self.classes);
        self.workers.insert(event.worker, worker);
        self.refresh_open(event.worker);
    }

    fn apply_worker_lost(&mut self, at: Time, event: &WorkerLost) {
        let Some(worker) = self.workers.remove(&event.worker) else { return };
        self.draining.remove(&event.worker);
        self.refresh_open(event.worker);
        self.groups.remove(&worker);
        let mut left = BTreeMap::new();
        for task in &worker.tasks {
            left.extend(self.disband(*task).map(|member| (member, at)));
            self.forget_nodes(*task);
            self.requeue(*task, event.reason.is_crash());
        }
        self.settle_workers(left);
        let past = PastWorker {
            id: worker.id,
            config: worker.config,
            started: worker.started,
            end: WorkerEnd { at, reason: event.reason },
            last_started: worker.last_started,
        };
        self.past_workers.insert(worker.id, past);
        while self.past_workers.len() > limits::PAST_WORKERS_MAX {
            self.past_workers.pop_first();
        }
    }

    /// Puts a task of a lost worker back into its queue, with a new attempt number.
    fn requeue(&mut self, task: TaskRef, crashed: bool) {
        let Some(job) = self.jobs.get_mut(&task.job) else { return };
        let Some(live) = job.tasks.live.get_mut(&task.task) else { return };
        let Some((_, fence)) = live.on_worker() else { return };
        let was_running = matches!(live.place, Place::Running { .. });
        live.place = Place::Ready;
        live.next_attempt = AttemptId(fence.attempt.0.saturating_add(1));
        if planted::is(Planted::ReuseAttempt) {
            live.next_attempt = fence.attempt;
        }
        if planted::is(Planted::ForgetCrashes) {
            live.crashes = 0;
        }
        live.crashes += u32::from(crashed && was_running);
        if was_running {
            job.count(TaskState::Running, TaskState::Waiting);
        }
        self.push_ready(task);
    }

    /// Puts a task into its queue, if nothing keeps it from there.
    pub(super) fn push_ready(&mut self, task: TaskRef) {
        let Some(job) = self.jobs.get(&task.job) else { return };
        let Some(ordinal) = job.tasks.ordinal(task.task) else { return };
        if let Some(level) = job.level_of(ordinal)
            && (planted::is(Planted::QueueBlocked) || !self.admitted(job, ordinal, ordinal).is_empty())
        {
            self.ready.push(level, Run { job: task.job, first: ordinal, last: ordinal });
        }
    }

    fn apply_submitted(&mut self, at: Time, event: &JobSubmitted) {
        self.last_job = self.last_job.max(event.job);
        if event.attached && !self.jobs.contains_key(&event.job) {
            return;
        }
        let job = self.jobs.entry(event.job).or_insert_with(|| {
            let job = Job::new(event.job, event.name.clone(), event.max_fails, at);
            Box::new(Job { tags: event.tags.clone(), ..job })
        });
        if planted::is(Planted::ReplayDiffers) {
            job.submitted.0 += planted::calls();
        }
        let number = u32::try_from(job.submits.len()).unwrap_or(u32::MAX);
        let base = job.tasks.add(&event.submit.ids, number);
        let levels = event
            .submit
            .descs
            .iter()
            .map(|desc| Level::new(desc.priority, self.classes.intern(&desc.request)))
            .collect();
        job.submits.push(Submit::new(Arc::clone(&event.submit), base, levels));
        let total = event.submit.ids.len();
        job.add(TaskState::Waiting, i64::try_from(total).unwrap_or(i64::MAX));
        self.close_gates(event.job, number);
        let blocked = self.block_dependents(event.job, &event.submit);
        self.queue_submit(event.job, base, total, &blocked);
    }

    /// Registers the dependencies of a submit; returns the ordinals of tasks that have to wait, ascending.
    fn block_dependents(&mut self, id: JobId, submit: &SubmitDesc) -> Vec<u32> {
        // What comes with the first submit of a job cannot have ended yet.
        let is_first = self.jobs.get(&id).is_some_and(|job| job.submits.len() == 1);
        let open = submit.deps.iter().filter_map(|dependency| {
            let on_job = if dependency.on.job.0 == 0 { id } else { dependency.on.job };
            let on = TaskRef { job: on_job, task: dependency.on.task };
            let is_met = !(is_first && on_job == id) && self.condition(on, dependency.condition) == Some(true);
            (!is_met).then_some((on, dependency.task, dependency.condition))
        });
        let mut open: Vec<(TaskRef, TaskId, Condition)> = open.collect();
        // The same dependency given twice counts once.
        open.sort_unstable();
        open.dedup();
        for group in open.chunk_by(|a, b| a.0 == b.0) {
            let Some((on, _, _)) = group.first() else { continue };
            let consumers = group.iter().map(|(_, task, condition)| (TaskRef { job: id, task: *task }, *condition));
            self.consumers.entry(*on).or_default().extend(consumers);
        }
        let mut waiting: Vec<TaskId> = open.iter().map(|(_, task, _)| *task).collect();
        waiting.sort_unstable();
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        let mut blocked = Vec::new();
        for group in waiting.chunk_by(|a, b| a == b) {
            let Some(task) = group.first() else { continue };
            let all = if planted::is(Planted::ForgetDependency) { 1 } else { group.len() };
            let unmet = u32::try_from(all).unwrap_or(u32::MAX);
            if let Some(ordinal) = job.tasks.ordinal(*task) {
                let live = Live::new(Place::Blocked { unmet });
                job.tasks.live.insert(*task, live);
                blocked.push(ordinal);
            }
        }
        blocked.sort_unstable();
        blocked
    }

    /// Queues the tasks of a submit that have nothing to wait for: all between those that have.
    pub(super) fn queue_submit(&mut self, id: JobId, base: u32, total: u64, blocked: &[u32]) {
        let Some(last) = total.checked_sub(1).and_then(|more| u32::try_from(u64::from(base) + more).ok()) else {
            return;
        };
        let mut next = Some(base);
        let ends = blocked.iter().map(|ordinal| ordinal.checked_sub(1)).chain([Some(last)]);
        let restarts = blocked.iter().map(|ordinal| ordinal.checked_add(1)).chain([None]);
        for (end, restart) in ends.zip(restarts) {
            if let (Some(first), Some(last)) = (next, end)
                && first <= last
            {
                self.queue_run(id, first, last);
            }
            next = restart;
        }
    }

    fn apply_completed(&mut self, at: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.completed = Some(at);
        // Nothing of it waits any more. What runs again is wanted by a later command.
        job.hold = false;
        job.held = Runs::default();
        for submit in &mut job.submits {
            submit.desc = Arc::new(without_bulk(&submit.desc));
        }
        job.shrink();
        self.pass_completion(id);
    }
}

/// A submit without what only running tasks need: entries, standard input and dependencies.
fn without_bulk(submit: &SubmitDesc) -> SubmitDesc {
    let descs = submit.descs.iter().map(|desc| {
        if desc.stdin.is_empty() {
            return Arc::clone(desc);
        }
        let mut slim = (**desc).clone();
        slim.stdin.clear();
        slim.stdin.shrink_to_fit();
        Arc::new(slim)
    });
    submit.slim(descs.collect())
}
