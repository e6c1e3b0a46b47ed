//! What the events of tasks do to the state; part of the one interpreter in `apply`.

use super::State;
use super::condition_met;
use super::done::Done;
use super::ready::Run;
use super::tasks::{EndedRun, Live, Place, TaskStatus};
use crate::event::{TaskAdopted, TaskFailed, TasksAssigned, TasksEnded, TasksFinished, TasksReturned, TasksStarted};
use crate::id::{AttemptId, Fence, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdRange;
use crate::time::{Span, Time};
use crate::view::{LastStarted, TaskState};

/// The end of a task, as far as it comes from a worker.
struct End<'a> {
    at: Time,
    state: TaskState,
    error: Option<&'a str>,
}

impl State {
    pub(super) fn apply_assigned(&mut self, event: &TasksAssigned) {
        let epoch = self.epoch;
        for id in event.tasks.iter() {
            let task = TaskRef { job: event.job, task: TaskId(id) };
            self.take_from_queue(task);
            let Some(job) = self.jobs.get_mut(&event.job) else { return };
            let entry = job.tasks.live.entry(task.task).or_insert(Live {
                place: Place::Ready,
                next_attempt: AttemptId(0),
                crashes: 0,
            });
            let fence = Fence { epoch, attempt: entry.next_attempt };
            entry.place = Place::Assigned { worker: event.worker, fence, variant: event.variant, ahead: event.ahead };
            self.put_on_worker(task, event.worker, event.variant, event.ahead);
        }
        self.refresh_open(event.worker);
    }

    pub(super) fn apply_adopted(&mut self, event: &TaskAdopted) {
        let task = TaskRef { job: event.job, task: event.task };
        self.take_from_queue(task);
        let Some(job) = self.jobs.get_mut(&event.job) else { return };
        let fence = Fence { epoch: event.epoch, attempt: event.attempt };
        let place = Place::Assigned { worker: event.worker, fence, variant: event.variant, ahead: false };
        let crashes = job.tasks.live.get(&event.task).map_or(0, |live| live.crashes);
        job.tasks.live.insert(event.task, Live { place, next_attempt: event.attempt, crashes });
        self.put_on_worker(task, event.worker, event.variant, false);
        self.refresh_open(event.worker);
    }

    fn put_on_worker(&mut self, task: TaskRef, worker: WorkerId, variant: u32, ahead: bool) {
        let class = self.class_of(task);
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        worker.tasks.insert(task);
        if ahead {
            worker.ahead.push_back(task);
        } else {
            worker.take(class.and_then(|class| self.classes.get(class)), variant);
        }
    }

    fn take_from_queue(&mut self, task: TaskRef) {
        let Some(job) = self.jobs.get(&task.job) else { return };
        let Some(ordinal) = job.tasks.ordinal(task.task) else { return };
        if let Some(level) = job.level_of(ordinal) {
            self.ready.remove(level, Run { job: task.job, first: ordinal, last: ordinal });
        }
    }

    pub(super) fn apply_returned(&mut self, at: Time, event: &TasksReturned) {
        for id in event.tasks.iter() {
            let task = TaskRef { job: event.job, task: TaskId(id) };
            let Some(job) = self.jobs.get_mut(&event.job) else { return };
            let Some(live) = job.tasks.live.get_mut(&task.task) else { continue };
            let Some((worker, fence)) = live.on_worker() else { continue };
            let place = live.place;
            live.place = Place::Ready;
            if matches!(place, Place::Running { .. }) {
                // It had started, so its number is spent.
                live.next_attempt = AttemptId(fence.attempt.0.saturating_add(1));
                job.count(TaskState::Running, TaskState::Waiting);
            } else if live.next_attempt.0 == 0 && live.crashes == 0 {
                job.tasks.live.remove(&task.task);
            }
            self.leave_worker(task, worker, place, at);
            if event.rejected {
                let class = self.class_of(task);
                if let (Some(worker), Some(class)) = (self.workers.get_mut(&worker), class) {
                    worker.blocked.insert(class);
                }
            }
            self.push_ready(task);
        }
    }

    /// Takes a task off a worker and lets those ahead move up.
    fn leave_worker(&mut self, task: TaskRef, id: WorkerId, place: Place, at: Time) {
        let class = self.class_of(task);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.tasks.remove(&task);
        match place {
            Place::Assigned { ahead: true, .. } => worker.ahead.retain(|other| *other != task),
            Place::Assigned { variant, .. } => worker.give(class.and_then(|class| self.classes.get(class)), variant),
            Place::Running { variant, .. } => {
                worker.give(class.and_then(|class| self.classes.get(class)), variant);
                worker.running = worker.running.saturating_sub(1);
                worker.blocked.clear();
            }
            Place::Blocked { .. } | Place::Ready => {}
        }
        if worker.tasks.is_empty() {
            worker.idle_since = at;
        }
        self.move_up(id);
        self.refresh_open(id);
    }

    /// Gives free resources to the tasks that lie ahead, in order, as the worker does itself.
    fn move_up(&mut self, id: WorkerId) {
        loop {
            let Some(task) = self.workers.get(&id).and_then(|worker| worker.ahead.front().copied()) else { return };
            let class = self.class_of(task);
            let Some(live) = self.jobs.get_mut(&task.job).and_then(|job| job.tasks.live.get_mut(&task.task)) else {
                return;
            };
            let Place::Assigned { worker: holder, fence, variant, ahead: true } = live.place else { return };
            let class = class.and_then(|class| self.classes.get(class));
            let Some(needs) = class.and_then(|class| class.variants.get(variant as usize)) else { return };
            let Some(worker) = self.workers.get_mut(&id) else { return };
            if worker.fits(needs, 1) == 0 {
                return;
            }
            worker.ahead.pop_front();
            worker.take(class, variant);
            live.place = Place::Assigned { worker: holder, fence, variant, ahead: false };
        }
    }

    pub(super) fn apply_started(&mut self, at: Time, event: &TasksStarted) {
        for (position, id) in event.tasks.iter().enumerate() {
            let task = TaskRef { job: event.job, task: *id };
            let started = before(at, event.ago_us.get(position));
            let class = self.class_of(task);
            let Some(job) = self.jobs.get_mut(&event.job) else { return };
            let Some(live) = job.tasks.live.get_mut(id) else { continue };
            let Place::Assigned { worker, fence, variant, ahead } = live.place else { continue };
            live.place = Place::Running { worker, fence, variant: event.variant, started };
            job.count(TaskState::Waiting, TaskState::Running);
            let Some(holder) = self.workers.get_mut(&worker) else { continue };
            let class = class.and_then(|class| self.classes.get(class));
            if ahead {
                if holder.ahead.front() == Some(&task) {
                    holder.ahead.pop_front();
                } else {
                    holder.ahead.retain(|other| *other != task);
                }
            } else {
                holder.give(class, variant);
            }
            holder.take(class, event.variant);
            holder.running += 1;
            holder.last_started = Some(LastStarted { task, at: started });
            self.refresh_open(worker);
        }
    }

    pub(super) fn apply_finished(&mut self, at: Time, event: &TasksFinished) {
        for (position, id) in event.tasks.iter().enumerate() {
            let end = End { at: before(at, event.ago_us.get(position)), state: TaskState::Finished, error: None };
            self.finish(TaskRef { job: event.job, task: *id }, &end);
        }
    }

    pub(super) fn apply_failed(&mut self, at: Time, event: &TaskFailed) {
        let end =
            End { at: before(at, Some(&event.ago_us)), state: TaskState::Failed, error: Some(event.error.as_str()) };
        self.finish(TaskRef { job: event.job, task: event.task }, &end);
    }

    /// Makes a task final that is live, or that waits untouched.
    fn finish(&mut self, task: TaskRef, end: &End<'_>) {
        let Some(job) = self.jobs.get_mut(&task.job) else { return };
        let Some(ordinal) = job.tasks.ordinal(task.task) else { return };
        let (live, was) = match job.tasks.status(task.task) {
            Some(TaskStatus::Live(live)) => (Some(live), TaskStatus::Live(live).state()),
            Some(TaskStatus::Untouched) => (None, TaskState::Waiting),
            _ => return,
        };
        job.tasks.live.remove(&task.task);
        let error = end.error.map_or(0, |text| job.errors.intern(text));
        let done = pack_done(job.submitted, live, end, error);
        job.tasks.done.set(ordinal, &done);
        job.count(was, end.state);
        match live {
            None => self.take_from_queue(task),
            Some(live) if Self::is_requeued(live.place) => self.take_from_queue(task),
            Some(live) => {
                if let Some((worker, _)) = live.on_worker() {
                    if let Place::Running { started, .. } = live.place
                        && let Some(holder) = self.workers.get_mut(&worker)
                    {
                        holder.observe_run(end.at.since(started));
                    }
                    self.leave_worker(task, worker, live.place, end.at);
                }
            }
        }
        self.release_consumers(task, end.state);
    }

    /// Lets tasks go on that waited for this one. Those whose condition was not met get their own event.
    fn release_consumers(&mut self, task: TaskRef, state: TaskState) {
        for (consumer, condition) in self.consumers.remove(&task).unwrap_or_default() {
            if condition_met(condition, state) != Some(true) {
                continue;
            }
            let Some(job) = self.jobs.get_mut(&consumer.job) else { continue };
            let Some(live) = job.tasks.live.get_mut(&consumer.task) else { continue };
            let Place::Blocked { unmet } = live.place else { continue };
            if unmet > 1 {
                live.place = Place::Blocked { unmet: unmet - 1 };
                continue;
            }
            if live.next_attempt.0 == 0 && live.crashes == 0 {
                job.tasks.live.remove(&consumer.task);
            } else {
                live.place = Place::Ready;
            }
            self.push_ready(consumer);
        }
    }

    pub(super) fn apply_ended(&mut self, at: Time, event: &TasksEnded, state: TaskState) {
        for range in &event.tasks.ranges {
            let Some(job) = self.jobs.get(&event.job) else { return };
            let live: Vec<TaskId> = job
                .tasks
                .live
                .range(TaskId(range.start)..=TaskId(range.end.max(range.start)))
                .map(|(id, _)| *id)
                .filter(|id| range.position(id.0).is_some())
                .collect();
            for id in live {
                self.finish(TaskRef { job: event.job, task: id }, &End { at, state, error: None });
            }
            self.end_untouched(at, event.job, range, state);
        }
    }

    /// Ends the members of a range that wait untouched, without an entry for each.
    fn end_untouched(&mut self, at: Time, id: JobId, range: &IdRange, state: TaskState) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let mut ended: Vec<Run> = Vec::new();
        for (first, last) in job.tasks.runs_of_ids(range) {
            for level in job.levels() {
                ended.extend(self.ready.remove(level, Run { job: id, first, last }));
            }
        }
        let mut consumed = Vec::new();
        for run in ended {
            job.tasks.ended.insert(run.first, EndedRun { last: run.last, state, at });
            let count = i64::try_from(run.len()).unwrap_or(i64::MAX);
            job.add(TaskState::Waiting, -count);
            job.add(state, count);
            consumed.extend(job.tasks.ids_of_run(run.first, run.last));
        }
        let waited_for: Vec<TaskRef> = self
            .consumers
            .range(TaskRef { job: id, task: TaskId(0) }..=TaskRef { job: id, task: TaskId(u32::MAX) })
            .map(|(task, _)| *task)
            .filter(|task| consumed.iter().any(|range| range.position(task.task.0).is_some()))
            .collect();
        for task in waited_for {
            self.release_consumers(task, state);
        }
    }
}

fn before(at: Time, ago_us: Option<&u64>) -> Time {
    Time(at.0.saturating_sub(ago_us.copied().unwrap_or(0)))
}

fn pack_done(base: Time, live: Option<Live>, end: &End<'_>, error: u32) -> Done {
    let started = match live.map(|live| live.place) {
        Some(Place::Running { started, .. }) => Some(started),
        _ => None,
    };
    let on_worker = live.and_then(|live| live.on_worker());
    let lasted: Span = end.at.since(started.unwrap_or(base));
    Done {
        state: end.state,
        started: started.map(|started| started.since(base)),
        lasted,
        worker: started.and(on_worker).map_or(WorkerId(0), |(worker, _)| worker),
        attempt: on_worker.map_or(AttemptId(0), |(_, fence)| fence.attempt),
        error,
    }
}
