//! Rebuilds what follows from jobs and workers: counters, queues, free resources, consumers.
//!
//! An image holds only what cannot be computed, so that it is small and cannot contradict itself.
//!
//! **Invariant:** the result equals what the interpreter of events keeps as it goes (checked by `audit`).

use super::State;
use super::jobs::Job;
use super::ready::Run;
use super::tasks::{Live, Place};
use crate::id::{JobId, TaskRef, WorkerId};
use crate::view::{TaskCounts, TaskState};
use std::collections::BTreeSet;

impl State {
    /// Rebuilds everything that follows from jobs and workers.
    pub(in crate::state) fn rebuild(&mut self, ahead: Vec<(WorkerId, Vec<TaskRef>)>) {
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in ids {
            self.rebuild_job(id);
        }
        for (worker, tasks) in ahead {
            for task in tasks {
                if let (Some(level), Some(worker)) = (self.level_of(task), self.workers.get_mut(&worker)) {
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
        for (task, live) in &job.tasks.live {
            self.rebuild_on_worker(TaskRef { job: id, task: *task }, &job, live);
        }
        for (task, nodes) in &job.tasks.nodes {
            if job.tasks.live.get(task).is_some_and(|live| live.on_worker().is_some()) {
                self.rebuild_gang(TaskRef { job: id, task: *task }, nodes);
            }
        }
        if counts.waiting > 0 {
            self.rebuild_queues(&job);
        }
        self.jobs.insert(id, job);
        self.rebuild_consumers(id);
    }

    fn rebuild_on_worker(&mut self, task: TaskRef, job: &Job, live: &Live) {
        let Some((worker, _)) = live.on_worker() else { return };
        let level = job.tasks.ordinal(task.task).and_then(|ordinal| job.level_of(ordinal));
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

    /// Queues what waits: all ordinals that are neither final, nor live elsewhere.
    fn rebuild_queues(&mut self, job: &Job) {
        let mut taken: Vec<(u32, u32)> = job.tasks.ended.iter().map(|(first, run)| (*first, run.last)).collect();
        for (ordinal, _) in job.tasks.done.iter() {
            match taken.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(ordinal) => *last = ordinal,
                _ => taken.push((ordinal, ordinal)),
            }
        }
        let elsewhere = job.tasks.live.iter().filter(|(_, live)| live.place != Place::Ready);
        taken.extend(elsewhere.filter_map(|(id, _)| job.tasks.ordinal(*id)).map(|ordinal| (ordinal, ordinal)));
        taken.sort_unstable();
        for submit in &job.submits {
            let len = submit.desc.ids.len();
            if len == 0 {
                continue;
            }
            let last = submit.base + (len - 1) as u32;
            let mut next = Some(submit.base);
            // Runs that ended may reach over the border of two submits.
            let from = taken.partition_point(|(_, last_taken)| *last_taken < submit.base);
            for (first_taken, last_taken) in taken.iter().skip(from).copied().take_while(|(first, _)| *first <= last) {
                if let Some(first) = next.filter(|first| *first < first_taken) {
                    self.queue_run(job, first, first_taken - 1);
                }
                next = last_taken.checked_add(1);
            }
            if let Some(first) = next.filter(|first| *first <= last) {
                self.queue_run(job, first, last);
            }
        }
    }

    fn queue_run(&mut self, job: &Job, first: u32, last: u32) {
        let admitted = self.admitted(job, first, last);
        for (level, first, last) in admitted.into_iter().flat_map(|(first, last)| job.stretches(first, last)) {
            self.ready.push(level, Run { job: job.id, first, last });
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
