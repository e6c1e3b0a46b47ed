//! What the events of tasks do to the state; part of the one interpreter in `apply`.

use super::State;
use super::condition_met;
use super::done::Done;
use super::ready::Run;
use super::tasks::{EndedRun, Live, Place, TaskStatus};
use crate::event::{
    TaskAdopted, TaskFailed, TasksAssigned, TasksEnded, TasksFinished, TasksReturned, TasksStarted, WorkerUnblocked,
};
use crate::id::{AttemptId, ClassId, Fence, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdRange;
use crate::planted::{self, Planted};
use crate::time::{Span, Time};
use crate::view::{LastStarted, TaskState};
use std::collections::{BTreeMap, BTreeSet};

/// The end of a task, as far as it comes from a worker.
struct End<'a> {
    at: Time,
    state: TaskState,
    /// The error of a failed task, the reason of a canceled or aborted one.
    text: &'a str,
}

impl State {
    /// Gives those of the tasks that are ready to the worker.
    pub(super) fn apply_assigned(&mut self, event: &TasksAssigned) {
        let TasksAssigned { worker: id, variant, ahead, .. } = *event;
        let epoch = self.epoch;
        let Some(job) = self.jobs.get_mut(&event.job) else { return };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let runs = event.tasks.ranges.iter().flat_map(|range| job.tasks.runs_of_ids(range));
        let stretches: Vec<_> = runs.flat_map(|(first, last)| job.stretches(first, last)).collect();
        let mut given = None;
        for (level, first, last) in stretches {
            for run in self.ready.remove(level, Run { job: event.job, first, last }) {
                let ids = job.tasks.ids_of_run(run.first, run.last);
                let submit = job.tasks.submit_of(run.first).and_then(|number| job.submits.get(number as usize));
                for (ordinal, task) in (run.first..=run.last).zip(ids.iter().flat_map(IdRange::iter).map(TaskId)) {
                    let live = job.tasks.live.entry(task).or_insert(Live::new(Place::Ready));
                    let fence = Fence { epoch, attempt: live.next_attempt };
                    live.place = Place::Assigned { worker: id, fence, variant, ahead };
                    live.desc = submit.map_or(0, |submit| submit.desc_index(ordinal));
                    let task = TaskRef { job: event.job, task };
                    given = Some(task);
                    worker.tasks.insert(task);
                    if ahead {
                        worker.ahead.push(task, level);
                    }
                }
                if !ahead {
                    let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
                    worker.take_many(self.classes.get(level.class), variant, count);
                }
            }
        }
        self.refresh_open(id);
        if let Some(task) = given.filter(|_| !event.nodes.is_empty()) {
            self.band(task, &event.nodes);
        }
    }

    /// Gives workers to a multi-node task, for itself.
    fn band(&mut self, task: TaskRef, nodes: &[WorkerId]) {
        let Some(job) = self.jobs.get_mut(&task.job) else { return };
        job.tasks.nodes.insert(task.task, nodes.into());
        for id in nodes {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.gang = Some(task);
            }
            self.refresh_open(*id);
        }
    }

    /// Frees the workers of a multi-node task that leaves them; [`State::settle_workers`] has to follow for these.
    pub(super) fn disband(&mut self, task: TaskRef) -> impl Iterator<Item = WorkerId> + use<> {
        let nodes = self.jobs.get(&task.job).and_then(|job| job.tasks.nodes.get(&task.task));
        let mut left = nodes.map(|nodes| nodes.to_vec()).unwrap_or_default();
        left.retain(|id| {
            let member = self.workers.get_mut(id).filter(|worker| worker.gang == Some(task));
            member.map(|worker| worker.gang = None).is_some()
        });
        left.into_iter()
    }

    pub(super) fn apply_adopted(&mut self, event: &TaskAdopted) {
        let task = TaskRef { job: event.job, task: event.task };
        self.take_from_queue(task);
        self.forget_delay(task);
        let Some(job) = self.jobs.get_mut(&event.job) else { return };
        let fence = Fence { epoch: event.epoch, attempt: event.attempt };
        let place = Place::Assigned { worker: event.worker, fence, variant: event.variant, ahead: false };
        let before = job.tasks.live.get(&event.task).copied().unwrap_or(Live::new(place));
        let ordinal = job.tasks.ordinal(event.task);
        let desc = ordinal.and_then(|at| Some(job.submit_of(at)?.1.desc_index(at))).unwrap_or(0);
        job.tasks.live.insert(event.task, Live { place, next_attempt: event.attempt, desc, ..before });
        let class = self.class_of(task);
        if let Some(worker) = self.workers.get_mut(&event.worker) {
            worker.tasks.insert(task);
            worker.take(class.and_then(|class| self.classes.get(class)), event.variant);
        }
        self.refresh_open(event.worker);
    }

    pub(super) fn take_from_queue(&mut self, task: TaskRef) {
        let Some(job) = self.jobs.get(&task.job) else { return };
        let Some(ordinal) = job.tasks.ordinal(task.task) else { return };
        if let Some(level) = job.level_of(ordinal) {
            self.ready.remove(level, Run { job: task.job, first: ordinal, last: ordinal });
        }
    }

    pub(super) fn apply_returned(&mut self, at: Time, event: &TasksReturned) {
        let mut left = BTreeMap::new();
        for id in event.tasks.iter() {
            let task = TaskRef { job: event.job, task: TaskId(id) };
            let Some(job) = self.jobs.get_mut(&event.job) else { return };
            let Some(given) = job.tasks.live.get(&task.task).copied() else { continue };
            let level = job.tasks.ordinal(task.task).and_then(|ordinal| job.level_given(ordinal, &given));
            let class = level.map(|level| level.class);
            let Some(live) = job.tasks.live.get_mut(&task.task) else { continue };
            let Some((worker, fence)) = live.on_worker() else { continue };
            let place = live.place;
            live.place = Place::Ready;
            if matches!(place, Place::Running { .. }) {
                // It had started, so its number is spent.
                live.next_attempt = AttemptId(fence.attempt.0.saturating_add(1));
                job.count(TaskState::Running, TaskState::Waiting);
            } else if live.is_fresh() {
                job.tasks.live.remove(&task.task);
            }
            self.leave_worker(task, worker, place, class);
            left.insert(worker, at);
            left.extend(self.disband(task).map(|member| (member, at)));
            self.forget_nodes(task);
            if event.rejected
                && let (Some(worker), Some(class)) = (self.workers.get_mut(&worker), class)
                && let Place::Assigned { variant, .. } | Place::Running { variant, .. } = place
            {
                worker.blocked.insert((class, variant));
            }
            self.push_ready(task);
        }
        self.settle_workers(left);
    }

    /// A worker can place again what it rejected.
    pub(super) fn apply_unblocked(&mut self, event: &WorkerUnblocked) {
        let kinds = event.tasks.iter().filter_map(|item| Some((self.class_of(item.task)?, item.variant)));
        let kinds: Vec<(ClassId, u32)> = kinds.collect();
        let Some(worker) = self.workers.get_mut(&event.worker) else { return };
        if event.tasks.is_empty() {
            worker.blocked.clear();
        }
        for kind in kinds {
            worker.blocked.remove(&kind);
        }
        self.move_up(event.worker);
        self.refresh_open(event.worker);
    }

    /// Takes a task off a worker; [`State::settle_workers`] has to follow.
    pub(super) fn leave_worker(&mut self, task: TaskRef, id: WorkerId, place: Place, class: Option<ClassId>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.tasks.remove(&task);
        match place {
            Place::Assigned { ahead: true, .. } => drop(worker.ahead.remove(task)),
            Place::Assigned { variant, .. } => worker.give(class.and_then(|class| self.classes.get(class)), variant),
            Place::Running { variant, .. } => {
                worker.give(class.and_then(|class| self.classes.get(class)), variant);
                worker.running = worker.running.saturating_sub(1);
            }
            Place::Blocked { .. } | Place::Ready | Place::Delayed { .. } => {}
        }
    }

    /// Lets those ahead move up on workers that tasks have left, the last one at the time given.
    pub(super) fn settle_workers(&mut self, left: BTreeMap<WorkerId, Time>) {
        for (id, at) in left {
            if let Some(worker) = self.workers.get_mut(&id)
                && worker.tasks.is_empty()
                && worker.gang.is_none()
            {
                worker.idle_since = at;
            }
            self.move_up(id);
            self.refresh_open(id);
        }
    }

    /// Gives free resources to the tasks that lie ahead as the worker does itself: in order, but one that does not fit
    /// does not hold up those of other queues.
    fn move_up(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        loop {
            let fitting = worker.ahead.heads().into_iter().find_map(|(task, level)| {
                let place = self.jobs.get(&task.job)?.tasks.live.get(&task.task)?.place;
                let Place::Assigned { fence, variant, ahead: true, .. } = place else { return None };
                let class = self.classes.get(level.class)?;
                let fits = class.variants.get(variant as usize).is_some_and(|form| worker.fits(form, 1) > 0);
                let fits = fits && !worker.is_blocked(level.class, variant);
                fits.then_some((task, class, fence, variant))
            });
            let Some((task, class, fence, variant)) = fitting else { return };
            worker.ahead.remove(task);
            worker.take(Some(class), variant);
            let live = self.jobs.get_mut(&task.job).and_then(|job| job.tasks.live.get_mut(&task.task));
            if let Some(live) = live {
                live.place = Place::Assigned { worker: id, fence, variant, ahead: false };
            }
        }
    }

    pub(super) fn apply_started(&mut self, at: Time, event: &TasksStarted) {
        let Some(job) = self.jobs.get_mut(&event.job) else { return };
        let mut changed = BTreeSet::new();
        let is_revised = job.is_revised();
        for (position, id) in event.tasks.iter().enumerate() {
            let task = TaskRef { job: event.job, task: *id };
            let started = before(at, event.ago_us.get(position));
            let Some(live) = job.tasks.live.get_mut(id) else { continue };
            let Place::Assigned { worker, fence, variant, ahead } = live.place else { continue };
            live.place = Place::Running { worker, fence, variant: event.variant, started };
            let given = *live;
            if is_revised {
                job.settle(*id, given.desc);
            }
            job.count(TaskState::Waiting, TaskState::Running);
            if !job.held.is_empty()
                && let Some(ordinal) = job.tasks.ordinal(*id)
            {
                job.drop_hold(ordinal, ordinal);
            }
            let Some(holder) = self.workers.get_mut(&worker) else { continue };
            holder.running += 1;
            holder.last_started = Some(LastStarted { task, at: started });
            if ahead || variant != event.variant {
                let level = if ahead { holder.ahead.remove(task) } else { None };
                let level = level.or_else(|| job.level_given(job.tasks.ordinal(*id)?, &given));
                let class = level.and_then(|level| self.classes.get(level.class));
                if !ahead {
                    holder.give(class, variant);
                }
                holder.take(class, event.variant);
                changed.insert(worker);
            }
        }
        for worker in changed {
            self.refresh_open(worker);
        }
    }

    pub(super) fn apply_finished(&mut self, at: Time, event: &TasksFinished) {
        let mut left = BTreeMap::new();
        for (position, id) in event.tasks.iter().enumerate() {
            let end = End { at: before(at, event.ago_us.get(position)), state: TaskState::Finished, text: "" };
            self.finish(TaskRef { job: event.job, task: *id }, &end, &mut left);
        }
        self.settle_workers(left);
    }

    pub(super) fn apply_failed(&mut self, at: Time, event: &TaskFailed) {
        let end = End { at: before(at, Some(&event.ago_us)), state: TaskState::Failed, text: &event.error };
        let mut left = BTreeMap::new();
        self.finish(TaskRef { job: event.job, task: event.task }, &end, &mut left);
        self.settle_workers(left);
    }

    /// Makes a task final that is live, or that waits untouched. The workers that it has left are added to `left`.
    fn finish(&mut self, task: TaskRef, end: &End<'_>, left: &mut BTreeMap<WorkerId, Time>) {
        self.forget_delay(task);
        let Some(job) = self.jobs.get_mut(&task.job) else { return };
        let Some(ordinal) = job.tasks.ordinal(task.task) else { return };
        let live = job.tasks.live.remove(&task.task);
        let was = match live {
            Some(live) => TaskStatus::Live(live).state(),
            None if job.tasks.status(task.task) == Some(TaskStatus::Untouched) => TaskState::Waiting,
            None => return,
        };
        let error = match end.state {
            TaskState::Failed => job.errors.intern(end.text),
            _ => job.errors.intern_reason(end.text),
        };
        let done = pack_done(job.submitted, live, end, error);
        job.tasks.done.set(ordinal, &done);
        job.count(was, end.state);
        if planted::is(Planted::CountTwice) {
            job.add(end.state, 1);
        }
        job.drop_hold(ordinal, ordinal);
        let level = match &live {
            Some(live) if live.on_worker().is_some() => job.level_given(ordinal, live),
            _ => job.level_of(ordinal),
        };
        if let Some((worker, place)) = live.and_then(|live| Some((live.on_worker()?.0, live.place))) {
            if let Place::Running { started, .. } = place
                && let Some(holder) = self.workers.get_mut(&worker)
            {
                holder.observe_run(end.at.since(started));
            }
            let class = level.map(|level| level.class);
            let leaks = planted::is(Planted::LeakCanceled) && end.state == TaskState::Canceled;
            self.leave_worker(task, worker, place, class.filter(|_| !leaks));
            left.insert(worker, end.at);
            left.extend(self.disband(task).map(|member| (member, end.at)));
            if !matches!(place, Place::Running { .. }) {
                self.forget_nodes(task);
            }
        } else if let Some(level) = level
            && live.is_none_or(|live| live.place == Place::Ready)
        {
            self.ready.remove(level, Run { job: task.job, first: ordinal, last: ordinal });
        }
        self.release_consumers(task, end.state);
        self.pass_end(task.job, (ordinal, ordinal), end.state);
    }

    /// Forgets the workers of a multi-node task that has not run on them, or that will run again.
    pub(super) fn forget_nodes(&mut self, task: TaskRef) {
        if let Some(job) = self.jobs.get_mut(&task.job)
            && !job.tasks.nodes.is_empty()
        {
            job.tasks.nodes.remove(&task.task);
        }
    }

    /// Lets tasks go on that waited for this one. Those whose condition was not met get their own event.
    fn release_consumers(&mut self, task: TaskRef, state: TaskState) {
        if self.consumers.is_empty() {
            return;
        }
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
            if live.is_fresh() {
                job.tasks.live.remove(&consumer.task);
            } else {
                live.place = Place::Ready;
            }
            self.push_ready(consumer);
        }
    }

    pub(super) fn apply_ended(&mut self, at: Time, event: &TasksEnded, state: TaskState) {
        let mut left = BTreeMap::new();
        let end = End { at, state, text: &event.reason };
        for range in &event.tasks.ranges {
            let Some(job) = self.jobs.get(&event.job) else { break };
            let live: Vec<TaskId> = job
                .tasks
                .live
                .range(TaskId(range.start)..=TaskId(range.end.max(range.start)))
                .map(|(id, _)| *id)
                .filter(|id| range.position(id.0).is_some())
                .collect();
            for id in live {
                self.finish(TaskRef { job: event.job, task: id }, &end, &mut left);
            }
            self.end_untouched(event.job, range, &end);
        }
        self.settle_workers(left);
    }

    /// Ends the members of a range that wait untouched, without an entry for each.
    fn end_untouched(&mut self, id: JobId, range: &IdRange, end: &End<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (at, state) = (end.at, end.state);
        let runs = job.tasks.runs_of_ids(range).into_iter();
        let mut ended: Vec<(u32, u32)> = runs.flat_map(|(first, last)| job.tasks.untouched(first, last)).collect();
        let reason = if ended.is_empty() { 0 } else { job.errors.intern_reason(end.text) };
        for (first, last) in &ended {
            for (level, first, last) in job.stretches(*first, *last) {
                self.ready.remove(level, Run { job: id, first, last });
            }
            job.drop_hold(*first, *last);
            job.tasks.ended.insert(*first, EndedRun { last: *last, state, at, reason });
            let count = i64::from(*last) - i64::from(*first) + 1;
            job.add(TaskState::Waiting, -count);
            job.add(state, count);
        }
        ended.sort_unstable();
        let tasks = &job.tasks;
        let has_ended = |task: TaskId| {
            let Some(ordinal) = tasks.ordinal(task) else { return false };
            let after = ended.partition_point(|(first, _)| *first <= ordinal);
            after.checked_sub(1).and_then(|at| ended.get(at)).is_some_and(|(_, last)| *last >= ordinal)
        };
        let waited_for: Vec<TaskRef> = self
            .consumers
            .range(TaskRef { job: id, task: TaskId(0) }..=TaskRef { job: id, task: TaskId(u32::MAX) })
            .map(|(task, _)| *task)
            .filter(|task| has_ended(task.task))
            .collect();
        for task in waited_for {
            self.release_consumers(task, state);
        }
        for run in ended {
            self.pass_end(id, run, state);
        }
    }
}

pub(super) fn before(at: Time, ago_us: Option<&u64>) -> Time {
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
        // What runs again gets a larger number.
        attempt: match (on_worker, live) {
            (Some((_, fence)), _) => fence.attempt,
            (None, live) => live.map_or(AttemptId(0), |live| live.next_attempt),
        },
        error,
    }
}
