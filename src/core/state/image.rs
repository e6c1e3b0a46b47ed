//! The image of the state: what a checkpoint holds, and the canonical bytes by which two states are compared.
//!
//! An image is a list of parts, each the body of one record. Parts hold only what does not follow from others; the
//! rest (queues, classes, free resources, consumers) is rebuilt by [`State::from_image`].

use super::State;
use super::done::Done;
use super::jobs::{ErrorTexts, Job, Submit};
use super::ready::Level;
use super::tasks::{EndedRun, Live, Place, TaskTable};
use super::workers::{Link, PastWorker, Worker};
use crate::id::{AttemptId, Epoch, Fence, JobId, TaskId, TaskRef, WorkerId};
use crate::task::SubmitDesc;
use crate::time::{Span, Time};
use crate::view::{LastStarted, TaskCounts, TaskState, WorkerEnd};
use crate::worker::WorkerConfig;
use std::sync::Arc;

/// Final tasks of one part, so that no part grows without bound.
const DONE_PART_TASKS: usize = 8_192;

int_struct! {
    /// Counters and identity.
    pub struct ImageServer {
        /// Uid.
        0 => pub server_uid: String,
        /// Epoch.
        1 => pub epoch: Epoch,
        /// Start of that epoch.
        2 => pub started: Time,
        /// Highest job id given.
        3 => pub last_job: JobId,
        /// Highest worker id given.
        4 => pub last_worker: WorkerId,
    }
}

int_struct! {
    /// A worker that is connected or may come back.
    pub struct ImageWorker {
        /// Its number.
        0 => pub id: WorkerId,
        /// Name of its process.
        1 => pub token: String,
        /// Its configuration.
        2 => pub config: Arc<WorkerConfig>,
        /// When it registered.
        3 => pub started: Time,
        /// End of its lease while it is away.
        4 => pub away_until: Option<Time>,
        /// When it was told to stop.
        5 => pub stopping: Option<Time>,
        /// Last start of a task.
        6 => pub last_started: Option<LastStarted>,
        /// Idle since.
        7 => pub idle_since: Time,
        /// Tasks ahead, in order.
        8 => pub ahead: Vec<TaskRef>,
    }
}

int_struct! {
    /// A worker that ended.
    pub struct ImagePastWorker {
        /// Its number.
        0 => pub id: WorkerId,
        /// Its configuration.
        1 => pub config: Arc<WorkerConfig>,
        /// When it registered.
        2 => pub started: Time,
        /// How it ended.
        3 => pub end: WorkerEnd,
        /// Last start of a task.
        4 => pub last_started: Option<LastStarted>,
    }
}

int_choice! {
    /// Where a live task is.
    pub enum ImagePlace {
        /// Waits for dependencies.
        0 => Blocked,
        /// Queued again.
        1 => Ready,
        /// On a worker, not started.
        2 => Assigned,
        /// On a worker, ahead of free resources.
        3 => Ahead,
        /// Running.
        4 => Running,
    }
}

int_struct! {
    /// A live task.
    pub struct ImageLive {
        /// The task.
        0 => pub task: TaskId,
        /// Where it is.
        1 => pub place: ImagePlace,
        /// Number of the next attempt.
        2 => pub next_attempt: AttemptId,
        /// Crashes.
        3 => pub crashes: u32,
        /// Unmet dependencies, when blocked.
        4 => pub unmet: u32,
        /// The worker, when on one.
        5 => pub worker: WorkerId,
        /// The fence, when on a worker.
        6 => pub fence: Fence,
        /// The variant, when on a worker.
        7 => pub variant: u32,
        /// The start, when running.
        8 => pub started: Time,
    }
}

int_struct! {
    /// Untouched tasks that ended together.
    pub struct ImageEnded {
        /// First ordinal.
        0 => pub first: u32,
        /// Last ordinal.
        1 => pub last: u32,
        /// Their state.
        2 => pub state: TaskState,
        /// When.
        3 => pub at: Time,
    }
}

int_struct! {
    /// A job without its final tasks.
    pub struct ImageJob {
        /// Its number.
        0 => pub id: JobId,
        /// Its name.
        1 => pub name: String,
        /// Failures above which the rest is aborted.
        2 => pub max_fails: Option<u32>,
        /// Whether it is open.
        3 => pub is_open: bool,
        /// When it was submitted.
        4 => pub submitted: Time,
        /// When it was completed.
        5 => pub completed: Option<Time>,
        /// Why it was cancelled.
        6 => pub cancel_reason: Option<String>,
        /// Its submits.
        7 => pub submits: Vec<Arc<SubmitDesc>>,
        /// Tasks with an entry.
        8 => pub live: Vec<ImageLive>,
        /// Tasks that ended untouched.
        9 => pub ended: Vec<ImageEnded>,
        /// Error texts.
        10 => pub errors: Vec<String>,
    }
}

int_struct! {
    /// Some final tasks of a job, in columns.
    pub struct ImageDone {
        /// The job.
        0 => pub job: JobId,
        /// Distances of the ordinals, the first from zero.
        1 => pub ordinal_steps: Vec<u32>,
        /// States.
        2 => pub states: Vec<TaskState>,
        /// Starts plus one in microseconds since submission; 0: never started.
        3 => pub started_us: Vec<u64>,
        /// Run times in microseconds.
        4 => pub lasted_us: Vec<u64>,
        /// Workers.
        5 => pub workers: Vec<WorkerId>,
        /// Attempts; empty: all 0.
        6 => pub attempts: Vec<AttemptId>,
        /// References of error texts; empty: all 0.
        7 => pub errors: Vec<u32>,
    }
}

int_enum! {
    /// One part of an image; the numbers are kinds of checkpoint records.
    pub enum ImagePart {
        /// The first part.
        200 => Server(ImageServer),
        /// A worker.
        201 => Worker(ImageWorker),
        /// An ended worker.
        202 => PastWorker(ImagePastWorker),
        /// A job.
        203 => Job(ImageJob),
        /// Final tasks of the job before.
        204 => Done(ImageDone),
    }
}

impl State {
    /// The parts of the image, in canonical order.
    pub fn image(&self) -> impl Iterator<Item = ImagePart> + '_ {
        let server = ImagePart::Server(ImageServer {
            server_uid: self.server_uid.clone(),
            epoch: self.epoch,
            started: self.started,
            last_job: self.last_job,
            last_worker: self.last_worker,
        });
        let workers = self.workers.values().map(|worker| ImagePart::Worker(worker_image(worker)));
        let past = self.past_workers.values().map(|past| ImagePart::PastWorker(past_image(past)));
        let jobs =
            self.jobs.values().flat_map(|job| std::iter::once(ImagePart::Job(job_image(job))).chain(done_images(job)));
        std::iter::once(server).chain(workers).chain(past).chain(jobs)
    }

    /// The bytes of the image: equal states have equal bytes.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in self.image() {
            crate::cbor::encode_into(&part, &mut bytes);
        }
        bytes
    }

    /// Rebuilds a state.
    pub fn from_image(parts: impl IntoIterator<Item = ImagePart>) -> Self {
        let mut state = Self::default();
        let mut ahead = Vec::new();
        for part in parts {
            match part {
                ImagePart::Server(server) => {
                    state.server_uid = server.server_uid;
                    state.epoch = server.epoch;
                    state.started = server.started;
                    state.last_job = server.last_job;
                    state.last_worker = server.last_worker;
                }
                ImagePart::Worker(mut image) => {
                    ahead.push((image.id, std::mem::take(&mut image.ahead)));
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
        state.rebuild(ahead);
        state
    }
}

fn worker_image(worker: &Worker) -> ImageWorker {
    ImageWorker {
        id: worker.id,
        token: worker.token.clone(),
        config: Arc::clone(&worker.config),
        started: worker.started,
        away_until: match worker.link {
            Link::Away { until } => Some(until),
            Link::Connected => None,
        },
        stopping: worker.stopping,
        last_started: worker.last_started,
        idle_since: worker.idle_since,
        ahead: worker.ahead.iter().map(|(task, _)| task).collect(),
    }
}

fn past_image(past: &PastWorker) -> ImagePastWorker {
    ImagePastWorker {
        id: past.id,
        config: Arc::clone(&past.config),
        started: past.started,
        end: past.end,
        last_started: past.last_started,
    }
}

fn restore_worker(image: ImageWorker, state: &mut State) -> Worker {
    let mut worker = Worker::new(image.id, image.token, image.config, image.started, &mut state.classes);
    worker.link = image.away_until.map_or(Link::Connected, |until| Link::Away { until });
    worker.stopping = image.stopping;
    worker.last_started = image.last_started;
    worker.idle_since = image.idle_since;
    worker
}

fn live_image(task: TaskId, live: &Live) -> ImageLive {
    let base = ImageLive { task, next_attempt: live.next_attempt, crashes: live.crashes, ..ImageLive::default() };
    match live.place {
        Place::Blocked { unmet } => ImageLive { unmet, ..base },
        Place::Ready => ImageLive { place: ImagePlace::Ready, ..base },
        Place::Assigned { worker, fence, variant, ahead } => {
            let place = if ahead { ImagePlace::Ahead } else { ImagePlace::Assigned };
            ImageLive { place, worker, fence, variant, ..base }
        }
        Place::Running { worker, fence, variant, started } => {
            ImageLive { place: ImagePlace::Running, worker, fence, variant, started, ..base }
        }
    }
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

fn job_image(job: &Job) -> ImageJob {
    ImageJob {
        id: job.id,
        name: job.name.clone(),
        max_fails: job.max_fails,
        is_open: job.is_open,
        submitted: job.submitted,
        completed: job.completed,
        cancel_reason: job.cancel_reason.clone(),
        submits: job.submits.iter().map(|submit| Arc::clone(&submit.desc)).collect(),
        live: job.tasks.live.iter().map(|(task, live)| live_image(*task, live)).collect(),
        ended: job
            .tasks
            .ended
            .iter()
            .map(|(first, run)| ImageEnded { first: *first, last: run.last, state: run.state, at: run.at })
            .collect(),
        errors: job.errors.all().iter().map(|text| text.to_string()).collect(),
    }
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

fn done_images(job: &Job) -> impl Iterator<Item = ImagePart> + '_ {
    let mut tasks = job.tasks.done.iter().peekable();
    std::iter::from_fn(move || {
        tasks.peek()?;
        let mut part = ImageDone { job: job.id, ..ImageDone::default() };
        let mut before = 0;
        for (ordinal, done) in tasks.by_ref().take(DONE_PART_TASKS) {
            part.ordinal_steps.push(ordinal - before);
            before = ordinal;
            part.states.push(done.state);
            part.started_us.push(done.started.map_or(0, |span| span.0 + 1));
            part.lasted_us.push(done.lasted.0);
            part.workers.push(done.worker);
            part.attempts.push(done.attempt);
            part.errors.push(done.error);
        }
        if part.attempts.iter().all(|attempt| attempt.0 == 0) {
            part.attempts.clear();
        }
        if part.errors.iter().all(|error| *error == 0) {
            part.errors.clear();
        }
        Some(ImagePart::Done(part))
    })
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
