//! Rebuilds what follows from jobs and workers: counters, queues, free resources, consumers.
//!
//! An image holds only what cannot be computed, so that it is small and cannot contradict itself.
//!
//! **Invariant:** the result equals what the interpreter of events keeps as it goes (checked by `audit`).

use super::State;
use super::jobs::Job;
use super::tasks::{Live, Place};
use crate::id::{JobId, TaskRef, WorkerId};
use crate::view::{TaskCounts, TaskState};
use std::collections::BTreeSet;

impl State {
    /// Rebuilds everything that follows from jobs and workers.
    pub(in crate::state) fn rebuild(&mut self, ahead: Vec<(WorkerId, Vec<TaskRef>)>) {
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        self.jobs.values_mut().for_each(|job| count(job));
        for id in &ids {
            if self.jobs.get(id).is_some_and(|job| job.completed.is_none()) {
                self.close_gates_again(*id);
            }
        }
        for id in ids {
            self.rebuild_job(id);
        }
        for (worker, tasks) in ahead {
            for task in tasks {
                if let (Some(level), Some(worker)) = (self.level_given(task), self.workers.get_mut(&worker)) {
                    worker.ahead.push(task, level);
                }
            }
        }
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            self.refresh_open(worker);
        }
    }

    fn rebuild_job(&mut self, id: JobId) {
        let Some(mut job) = self.jobs.remove(&id) else { return };
        for (task, live) in &job.tasks.live {
            let task = TaskRef { job: id, task: *task };
            self.rebuild_on_worker(task, &job, live);
            if let Place::Delayed { until } = live.place {
                self.delayed.insert((until, task));
            }
        }
        for (task, nodes) in &job.tasks.nodes {
            if job.tasks.live.get(task).is_some_and(|live| live.on_worker().is_some()) {
                self.rebuild_gang(TaskRef { job: id, task: *task }, nodes);
            }
        }
        if job.completed.is_some() {
            job.shrink();
        }
        let last = job.last_ordinal().filter(|_| job.counts.waiting > 0);
        self.jobs.insert(id, job);
        if let Some(last) = last {
            self.queue_waiting(id, 0, last);
        }
        self.rebuild_consumers(id);
    }

    fn rebuild_on_worker(&mut self, task: TaskRef, job: &Job, live: &Live) {
        let Some((worker, _)) = live.on_worker() else { return };
        let level = job.tasks.ordinal(task.task).and_then(|ordinal| job.level_given(ordinal, live));
        let class = level.and_then(|level| self.classes.get(level.class));
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        worker.tasks.insert(task);
        match live.place {
            Place::Running { variant, .. } => {
                worker.take(class, variant);
                worker.running += 1;
            }
            Place::Assigned { variant, ahead: false, .. } => worker.take(class, variant),
            _ => {}
        }
    }

    fn rebuild_gang(&mut self, task: TaskRef, nodes: &[WorkerId]) {
        for id in nodes {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.gang = Some(task);
            }
        }
    }

    fn rebuild_consumers(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for dependency in job.submits.iter().flat_map(|submit| submit.desc.deps.iter()) {
            let on_job = if dependency.on.job.0 == 0 { id } else { dependency.on.job };
            let on = TaskRef { job: on_job, task: dependency.on.task };
            let live = job.tasks.live.get(&dependency.task);
            let blocked = live.is_some_and(|live| matches!(live.place, Place::Blocked { .. }));
            let open = self.task_state(on).is_some_and(|state| !state.is_final());
            if blocked && open && seen.insert((dependency.task, on, dependency.condition)) {
                found.push((on, TaskRef { job: id, task: dependency.task }, dependency.condition));
            }
        }
        for (on, consumer, condition) in found {
            self.consumers.entry(on).or_default().push((consumer, condition));
        }
    }
}

/// Counts the tasks of a job by their states.
fn count(job: &mut Job) {
    let mut counts = TaskCounts { waiting: job.tasks.total(), ..TaskCounts::default() };
    for (_, done) in job.tasks.done.iter() {
        counts.waiting -= 1;
        *counter(&mut counts, done.state) += 1;
    }
    for (first, run) in &job.tasks.ended {
        let len = u64::from(run.last - first) + 1;
        counts.waiting -= len;
        *counter(&mut counts, run.state) += len;
    }
    let running = job.tasks.live.values().filter(|live| matches!(live.place, Place::Running { .. })).count() as u64;
    counts.waiting -= running;
    counts.running = running;
    job.counts = counts;
}

fn counter(counts: &mut TaskCounts, state: TaskState) -> &mut u64 {
    match state {
        TaskState::Waiting => &mut counts.waiting,
        TaskState::Running => &mut counts.running,
        TaskState::Finished => &mut counts.finished,
        TaskState::Failed => &mut counts.failed,
        TaskState::Canceled => &mut counts.canceled,
        TaskState::Aborted => &mut counts.aborted,
    }
}
