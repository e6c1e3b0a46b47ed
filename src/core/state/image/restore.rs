//! From an image back to a state, and everything in it that follows from the parts.

use super::{
    ImageDone, ImageEnded, ImageJob, ImageLive, ImagePart, ImagePlace, ImageRevised, ImageRevisedRun, ImageRevision,
    ImageWorker,
};
use crate::state::State;
use crate::state::done::Done;
use crate::state::jobs::{ErrorTexts, Job, Submit};
use crate::state::ready::Level;
use crate::state::revised::Revision;
use crate::state::tasks::{EndedRun, Live, Place, TaskTable};
use crate::state::workers::{Link, PastWorker, Worker};
use crate::time::Span;
use crate::view::TaskCounts;

impl State {
    /// Rebuilds a state.
    pub fn from_image(parts: impl IntoIterator<Item = ImagePart>) -> Self {
        let mut state = Self::default();
        let mut ahead = Vec::new();
        let mut further = Vec::new();
        for part in parts {
            match part {
                ImagePart::Server(server) => {
                    state.server_uid = server.server_uid;
                    state.epoch = server.epoch;
                    state.started = server.started;
                    state.last_job = server.last_job;
                    state.last_worker = server.last_worker;
                    state.forgotten = server.forgotten;
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
                ImagePart::Submit(image) => further.push(image),
                ImagePart::Job(mut image) => {
                    let own = further.drain(..).filter(|part| part.job == image.id);
                    image.submits.extend(own.map(|part| part.submit));
                    let job = restore_job(image, &mut state);
                    state.jobs.insert(job.id, Box::new(job));
                }
                ImagePart::Done(image) => restore_done(&mut state, &image),
            }
        }
        state.rebuild(ahead);
        state
    }
}

fn restore_worker(image: ImageWorker, state: &mut State) -> Worker {
    let mut worker = Worker::new(image.id, image.token, image.config, image.started, &mut state.classes);
    worker.link = match image.away_until {
        Some(until) => Link::Away { reason: image.away_reason, until },
        None => Link::Connected,
    };
    worker.stopping = image.stopping;
    worker.draining = image.draining;
    state.draining.extend(image.draining.map(|_| image.id));
    worker.last_started = image.last_started;
    worker.idle_since = image.idle_since;
    worker.noticed = image.noticed;
    worker
}

fn restore_revised(image: &ImageRevised, submits: &mut [Submit], state: &mut State) {
    let Some(submit) = submits.get_mut(image.submit as usize) else { return };
    for ImageRevision { of, change } in &image.revisions {
        let Some(base) = submit.desc.descs.get(*of as usize) else { continue };
        let level = Level::new(change.priority_of(base), state.classes.intern(&change.request_of(base)));
        submit.keep_revision(Revision { of: *of, change: change.clone() }, level);
    }
    for ImageRevisedRun { first, last, index } in &image.runs {
        submit.revised.set(*first, *last, Some(*index));
    }
}

fn restore_live(image: &ImageLive, tasks: &TaskTable, submits: &[Submit]) -> Live {
    let ImageLive { worker, fence, variant, .. } = *image;
    let place = match image.place {
        ImagePlace::Blocked => Place::Blocked { unmet: image.unmet },
        ImagePlace::Ready => Place::Ready,
        ImagePlace::Delayed => Place::Delayed { until: image.until },
        ImagePlace::Assigned => Place::Assigned { worker, fence, variant, ahead: false },
        ImagePlace::Ahead => Place::Assigned { worker, fence, variant, ahead: true },
        ImagePlace::Running => Place::Running { worker, fence, variant, started: image.started },
    };
    let ImageLive { next_attempt, crashes, retries, .. } = *image;
    let own = || {
        let ordinal = tasks.ordinal(image.task)?;
        Some(submits.get(tasks.submit_of(ordinal)? as usize)?.desc_index(ordinal))
    };
    let desc = image.desc.checked_sub(1).or_else(own).unwrap_or(0);
    Live { place, next_attempt, crashes, retries, desc }
}

fn restore_ended(run: &ImageEnded) -> EndedRun {
    let ImageEnded { last, state, at, reason, .. } = *run;
    EndedRun { last, state, at, reason }
}

fn restore_job(image: ImageJob, state: &mut State) -> Job {
    let mut tasks = TaskTable::default();
    let mut submits = Vec::new();
    for desc in image.submits {
        let number = u32::try_from(submits.len()).unwrap_or(u32::MAX);
        let base = tasks.add(&desc.ids, number);
        let levels =
            desc.descs.iter().map(|desc| Level::new(desc.priority, state.classes.intern(&desc.request))).collect();
        submits.push(Submit::new(desc, base, levels));
    }
    for revised in &image.revised {
        restore_revised(revised, &mut submits, state);
    }
    tasks.live = image.live.iter().map(|live| (live.task, restore_live(live, &tasks, &submits))).collect();
    tasks.ended = image.ended.iter().map(|run| (run.first, restore_ended(run))).collect();
    tasks.nodes = image.nodes.into_iter().map(|nodes| (nodes.task, nodes.workers.into())).collect();
    let errors = ErrorTexts::from_texts(image.errors.iter().map(String::as_str));
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
        tags: image.tags,
        hold: image.hold,
        held: image.held.ranges.iter().map(|range| (range.start, range.end)).collect(),
        opened: image.opened.iter().map(|gate| (gate.submit, gate.index)).collect(),
        details_gone: image.details_gone,
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
