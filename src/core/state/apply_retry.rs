//! What retries and reruns do to the state; part of the one interpreter in `apply`.
//!
//! Holds: a blocked task waits for every dependency whose task is not final, also when that had been final before.

use super::State;
use super::apply_tasks::before;
use super::runs::Runs;
use super::tasks::{Live, Place};
use crate::event::{JobRestored, TaskRetried, TasksNamed};
use crate::id::{AttemptId, JobId, TaskId, TaskRef};
use crate::planted::{self, Planted};
use crate::task::{Condition, Dependency};
use crate::time::Time;
use crate::view::TaskState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A dependency that is open: what is waited for, who waits, and for what.
type Open = (TaskRef, TaskRef, Condition);

impl State {
    /// Has a task whose attempt failed wait for the next one.
    pub(super) fn apply_retried(&mut self, at: Time, event: &TaskRetried) {
        let task = TaskRef { job: event.failed.job, task: event.failed.task };
        let until = at.after(event.delay);
        let Some(job) = self.jobs.get_mut(&task.job) else { return };
        let Some(live) = job.tasks.live.get_mut(&task.task) else { return };
        let given = *live;
        let (was, on_worker) = (given.place, given.on_worker());
        if matches!(was, Place::Blocked { .. } | Place::Delayed { .. }) {
            return;
        }
        live.retries = live.retries.saturating_add(1);
        let until = if planted::is(Planted::IgnoreDelay) { at } else { until };
        live.place = if until > at { Place::Delayed { until } } else { Place::Ready };
        if let Some((_, fence)) = on_worker {
            live.next_attempt = AttemptId(fence.attempt.0.saturating_add(1));
        }
        if matches!(was, Place::Running { .. }) {
            job.count(TaskState::Running, TaskState::Waiting);
        }
        let level = job.tasks.ordinal(task.task).and_then(|ordinal| job.level_given(ordinal, &given));
        match on_worker {
            Some((worker, _)) => {
                let end = before(at, Some(&event.failed.ago_us));
                if let Place::Running { started, .. } = was
                    && let Some(holder) = self.workers.get_mut(&worker)
                {
                    holder.observe_run(end.since(started));
                }
                self.leave_worker(task, worker, was, level.map(|level| level.class));
                let mut left = BTreeMap::from([(worker, end)]);
                left.extend(self.disband(task).map(|member| (member, end)));
                self.settle_workers(left);
            }
            None => self.take_from_queue(task),
        }
        self.forget_nodes(task);
        if until > at {
            self.delayed.insert((until, task));
        } else {
            self.push_ready(task);
        }
    }

    /// Ends the delay of tasks.
    pub(super) fn apply_due(&mut self, event: &TasksNamed) {
        for id in event.tasks.iter() {
            let task = TaskRef { job: event.job, task: TaskId(id) };
            if !self.forget_delay(task) {
                continue;
            }
            if let Some(live) = self.jobs.get_mut(&task.job).and_then(|job| job.tasks.live.get_mut(&task.task)) {
                live.place = Place::Ready;
            }
            self.push_ready(task);
        }
    }

    /// Takes a task out of the index of delayed ones; whether it was there.
    pub(super) fn forget_delay(&mut self, task: TaskRef) -> bool {
        if self.delayed.is_empty() {
            return false;
        }
        let live = self.jobs.get(&task.job).and_then(|job| job.tasks.live.get(&task.task));
        match live.map(|live| live.place) {
            Some(Place::Delayed { until }) => self.delayed.remove(&(until, task)),
            _ => false,
        }
    }

    /// Puts back what the submits of a completed job had lost. Submits without tasks in the event stay as they are.
    pub(super) fn apply_restored(&mut self, event: &JobRestored) {
        let Some(job) = self.jobs.get_mut(&event.job) else { return };
        for (kept, whole) in job.submits.iter_mut().zip(&event.submits) {
            let desc = &kept.desc;
            if whole.ids.is_empty() || whole.ids != desc.ids {
                continue;
            }
            let mut restored = (**desc).clone();
            restored.entries = whole.entries.clone();
            restored.is_slim = false;
            for (slim, whole) in restored.descs.iter_mut().zip(&whole.descs) {
                if slim.stdin != whole.stdin {
                    Arc::make_mut(slim).stdin = whole.stdin.clone();
                }
            }
            kept.desc = Arc::new(restored);
        }
    }

    /// Has final tasks wait again, with the attempt numbers that follow.
    pub(super) fn apply_rerun(&mut self, event: &TasksNamed) {
        let id = event.job;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let named: Runs = event.tasks.ranges.iter().flat_map(|range| job.tasks.runs_of_ids(range)).collect();
        let mut again = Runs::default();
        for (first, last) in named.iter() {
            for (ordinal, done) in job.tasks.done.take(first, last) {
                let Some(task) = job.tasks.id(ordinal) else { continue };
                let next_attempt = AttemptId(done.attempt.0.saturating_add(1));
                job.tasks.live.insert(task, Live { next_attempt, ..Live::new(Place::Ready) });
                job.tasks.nodes.remove(&task);
                job.count(done.state, TaskState::Waiting);
                again.insert(ordinal, ordinal);
            }
            for (from, to, state) in job.tasks.take_ended(first, last) {
                let count = i64::from(to - from) + 1;
                job.add(state, -count);
                job.add(TaskState::Waiting, count);
                again.insert(from, to);
            }
        }
        if again.is_empty() {
            return;
        }
        job.tasks.done.shrink();
        job.completed = None;
        // What happens from now on is kept again.
        job.details_gone = None;
        if job.counts.canceled == 0 {
            job.cancel_reason = None;
        }
        self.close_gates_again(id);
        self.count_again(id);
        let blocked = self.block_again(id, &again);
        for (first, last) in again.iter() {
            let inside = blocked.range(first..=last).copied().collect::<Vec<u32>>();
            self.queue_submit(id, first, u64::from(last - first) + 1, &inside);
        }
        self.stop_partners(id, &again);
    }

    /// Has the tasks that run again, and those that still wait for them, wait for what is not final; returns the
    /// ordinals of those that run again and have to wait.
    fn block_again(&mut self, id: JobId, again: &Runs) -> BTreeSet<u32> {
        let waiting = self.waiting_again(id, again);
        let mut unmet: BTreeMap<TaskRef, u32> = waiting.iter().map(|task| (*task, 0)).collect();
        let mut open: Vec<Open> = Vec::new();
        let jobs: BTreeSet<JobId> = waiting.iter().map(|task| task.job).collect();
        for job in jobs.iter().filter_map(|id| self.jobs.get(id)) {
            for (dependency, on) in dependencies(job) {
                let task = TaskRef { job: job.id, task: dependency.task };
                let is_open = || self.task_state(on).is_some_and(|state| !state.is_final());
                if waiting.contains(&task) && is_open() {
                    open.push((on, task, dependency.condition));
                }
            }
        }
        open.sort_unstable();
        open.dedup();
        for group in open.chunk_by(|a, b| a.0 == b.0) {
            let Some((on, _, _)) = group.first() else { continue };
            let consumers = self.consumers.entry(*on).or_default();
            // Some may stand there from before: as those that wait on, or as those that were cancelled.
            consumers.extend(group.iter().map(|(_, task, condition)| (*task, *condition)));
            consumers.sort_unstable();
            consumers.dedup();
            for (_, task, _) in group {
                unmet.entry(*task).and_modify(|count| *count = count.saturating_add(1));
            }
        }
        let mut blocked = BTreeSet::new();
        for (task, unmet) in unmet.into_iter().filter(|(_, unmet)| *unmet > 0) {
            let Some(job) = self.jobs.get_mut(&task.job) else { continue };
            let place = Place::Blocked { unmet };
            job.tasks.live.entry(task.task).or_insert(Live::new(place)).place = place;
            if task.job == id {
                blocked.extend(job.tasks.ordinal(task.task).filter(|ordinal| again.contains(*ordinal)));
            }
        }
        blocked
    }

    /// Tasks with dependencies that run again, and tasks that are blocked and depend on one that does.
    fn waiting_again(&self, id: JobId, again: &Runs) -> BTreeSet<TaskRef> {
        let Some(own) = self.jobs.get(&id) else { return BTreeSet::new() };
        let runs_again = |task: TaskId| own.tasks.ordinal(task).is_some_and(|ordinal| again.contains(ordinal));
        let mut waiting = BTreeSet::new();
        for job in self.jobs.values().filter(|job| job.completed.is_none()) {
            for (dependency, on) in dependencies(job) {
                let live = job.tasks.live.get(&dependency.task);
                let is_blocked = live.is_some_and(|live| matches!(live.place, Place::Blocked { .. }));
                let of_own = job.id == id && runs_again(dependency.task);
                if of_own || (is_blocked && on.job == id && runs_again(on.task)) {
                    waiting.insert(TaskRef { job: job.id, task: dependency.task });
                }
            }
        }
        waiting
    }
}

/// The dependencies of the tasks of a job, with the task that each is on.
fn dependencies(job: &super::jobs::Job) -> impl Iterator<Item = (&Dependency, TaskRef)> + '_ {
    job.submits.iter().flat_map(|submit| &submit.desc.deps).map(|dependency| {
        let on_job = if dependency.on.job.0 == 0 { job.id } else { dependency.on.job };
        (dependency, TaskRef { job: on_job, task: dependency.on.task })
    })
}
