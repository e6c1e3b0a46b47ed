//! From an image back to a state, and everything in it that follows from the parts.

use super::{ImageDone, ImageJob, ImageLive, ImagePart, ImagePlace, ImageWorker};
use crate::id::{JobId, TaskRef, WorkerId};
use crate::state::State;
use crate::state::done::Done;
use crate::state::jobs::{ErrorTexts, Job, Submit};
use crate::state::ready::{Level, Run};
use crate::state::tasks::{EndedRun, Live, Place, TaskTable};
use crate::state::workers::{Link, PastWorker, Worker};
use crate::time::Span;
use crate::view::{TaskCounts, TaskState};
use std::collections::BTreeSet;

impl State {
    /// Rebuilds a state.
    pub fn from_image(parts: impl IntoIterator<Item = ImagePart>) -> Self {
        let mut state = Self::default();
        for part in parts {
            match part {
                ImagePart::Server(server) => {
                    state.server_uid = server.server_uid;
                    state.epoch = server.epoch;
                    state.started = server.started;
                    state.last_job = server.last_job;
                    state.last_worker = server.last_worker;
                }
                ImagePart::Worker(image) => {
                    let worker = restore_worker(image, &mut state);
                    state.workers.insert(worker.id, worker);
                }
                ImagePart::PastWorker(past) => {
                    let past = PastWorker {
                        id: past.id,
                        config: past.config,
                        started: past.started,
                        end: past.end,
                        last_started: past.last_started,
                    };
                    state.past_workers.insert(past.id, past);
                }
                ImagePart::Job(image) => {
                    let job = restore_job(image, &mut state);
                    state.jobs.insert(job.id, job);
                }
                ImagePart::Done(image) => restore_done(&mut state, &image),
            }
        }
        state.rebuild();
        state
    }

    /// Rebuilds everything that follows from jobs and workers.
    fn rebuild(&mut self) {
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in ids {
            self.rebuild_job(id);
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

    /// Queues what waits: all ordinals that are neither final, nor live elsewhere.
    fn rebuild_queues(&mut self, job: &Job) {
        let mut taken: BTreeSet<(u32, u32)> = job.tasks.ended.iter().map(|(first, run)| (*first, run.last)).collect();
        taken.extend(job.tasks.done.iter().map(|(ordinal, _)| (ordinal, ordinal)));
        let elsewhere = job.tasks.live.iter().filter(|(_, live)| live.place != Place::Ready);
        taken.extend(elsewhere.filter_map(|(id, _)| job.tasks.ordinal(*id)).map(|ordinal| (ordinal, ordinal)));
        for submit in &job.submits {
            let len = submit.desc.ids.len();
            if len == 0 {
                continue;
            }
            let last = submit.base + (len - 1) as u32;
            let mut next = Some(submit.base);
            let gaps: Vec<(u32, u32)> = taken.range((submit.base, 0)..=(last, u32::MAX)).copied().collect();
            for (first_taken, last_taken) in gaps {
                if let Some(first) = next.filter(|first| *first < first_taken) {
                    self.queue_run(job.id, submit, first, first_taken - 1);
                }
                next = last_taken.checked_add(1);
            }
            if let Some(first) = next.filter(|first| *first <= last) {
                self.queue_run(job.id, submit, first, last);
            }
        }
    }

    fn queue_run(&mut self, job: JobId, submit: &Submit, first: u32, last: u32) {
        if submit.desc.desc_of.is_empty() {
            if let Some(level) = submit.level(first) {
                self.ready.push(level, Run { job, first, last });
            }
            return;
        }
        for ordinal in first..=last {
            if let Some(level) = submit.level(ordinal) {
                self.ready.push(level, Run { job, first: ordinal, last: ordinal });
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

fn restore_worker(image: ImageWorker, state: &mut State) -> Worker {
    let mut worker = Worker::new(image.id, image.token, image.config, image.started, &mut state.classes);
    worker.link = image.away_until.map_or(Link::Connected, |until| Link::Away { until });
    worker.stopping = image.stopping;
    worker.last_started = image.last_started;
    worker.idle_since = image.idle_since;
    worker.ahead = image.ahead.into();
    worker
}

fn restore_live(image: &ImageLive) -> Live {
    let ImageLive { worker, fence, variant, .. } = *image;
    let place = match image.place {
        ImagePlace::Blocked => Place::Blocked { unmet: image.unmet },
        ImagePlace::Ready => Place::Ready,
        ImagePlace::Assigned => Place::Assigned { worker, fence, variant, ahead: false },
        ImagePlace::Ahead => Place::Assigned { worker, fence, variant, ahead: true },
        ImagePlace::Running => Place::Running { worker, fence, variant, started: image.started },
    };
    Live { place, next_attempt: image.next_attempt, crashes: image.crashes }
}

fn restore_job(image: ImageJob, state: &mut State) -> Job {
    let mut tasks = TaskTable::default();
    let mut submits = Vec::new();
    for desc in image.submits {
        let number = u32::try_from(submits.len()).unwrap_or(u32::MAX);
        let base = tasks.add(&desc.ids, number);
        let levels =
            desc.descs.iter().map(|desc| Level::new(desc.priority, state.classes.intern(&desc.request))).collect();
        submits.push(Submit { desc, base, levels });
    }
    tasks.live = image.live.iter().map(|live| (live.task, restore_live(live))).collect();
    tasks.ended =
        image.ended.iter().map(|run| (run.first, EndedRun { last: run.last, state: run.state, at: run.at })).collect();
    let mut errors = ErrorTexts::default();
    for text in &image.errors {
        errors.intern(text);
    }
    Job {
        id: image.id,
        name: image.name,
        max_fails: image.max_fails,
        is_open: image.is_open,
        submitted: image.submitted,
        completed: image.completed,
        cancel_reason: image.cancel_reason,
        submits,
        tasks,
        counts: TaskCounts::default(),
        errors,
    }
}

fn restore_done(state: &mut State, image: &ImageDone) {
    let Some(job) = state.jobs.get_mut(&image.job) else { return };
    let mut ordinal = 0u32;
    for (position, step) in image.ordinal_steps.iter().enumerate() {
        ordinal = ordinal.saturating_add(*step);
        let started = image.started_us.get(position).copied().unwrap_or(0);
        job.tasks.done.set(
            ordinal,
            &Done {
                state: image.states.get(position).copied().unwrap_or_default(),
                started: started.checked_sub(1).map(Span),
                lasted: Span(image.lasted_us.get(position).copied().unwrap_or(0)),
                worker: image.workers.get(position).copied().unwrap_or_default(),
                attempt: image.attempts.get(position).copied().unwrap_or_default(),
                error: image.errors.get(position).copied().unwrap_or(0),
            },
        );
    }
}
