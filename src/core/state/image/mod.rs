//! The image of the state: what a checkpoint holds, and the canonical bytes by which two states are compared.
//!
//! An image is a list of parts, each the body of one record. Parts hold only what does not follow from others; the
//! rest (queues, classes, free resources, consumers) is rebuilt by [`State::from_image`].

mod parts;
mod restore;

pub use parts::*;

use super::State;
use super::jobs::{Job, Submit};
use super::revised::Revision;
use super::tasks::{EndedRun, Live, Place};
use super::workers::{Link, PastWorker, Worker};
use crate::event::AwayReason;
use crate::id::TaskId;
use crate::idset::{IdRange, IdSet};
use std::sync::Arc;

/// Final tasks of one part, so that no part grows without bound.
const DONE_PART_TASKS: usize = 8_192;

impl State {
    /// The parts of the image, in canonical order.
    pub fn image(&self) -> impl Iterator<Item = ImagePart> + '_ {
        let server = ImagePart::Server(ImageServer {
            server_uid: self.server_uid.clone(),
            epoch: self.epoch,
            started: self.started,
            last_job: self.last_job,
            last_worker: self.last_worker,
            forgotten: self.forgotten,
        });
        let workers = self.workers.values().map(|worker| ImagePart::Worker(worker_image(worker)));
        let past = self.past_workers.values().map(|past| ImagePart::PastWorker(past_image(past)));
        let jobs = self
            .jobs
            .values()
            .flat_map(|job| further_submits(job).chain([ImagePart::Job(job_image(job))]).chain(done_images(job)));
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
}

fn worker_image(worker: &Worker) -> ImageWorker {
    ImageWorker {
        id: worker.id,
        token: worker.token.clone(),
        config: Arc::clone(&worker.config),
        started: worker.started,
        away_until: match worker.link {
            Link::Away { until, .. } => Some(until),
            Link::Connected => None,
        },
        away_reason: match worker.link {
            Link::Away { reason, .. } => reason,
            Link::Connected => AwayReason::default(),
        },
        stopping: worker.stopping,
        draining: worker.draining,
        last_started: worker.last_started,
        idle_since: worker.idle_since,
        noticed: worker.noticed,
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

fn live_image(task: TaskId, live: &Live) -> ImageLive {
    let Live { next_attempt, crashes, retries, .. } = *live;
    let desc = if live.on_worker().is_some() { live.desc.saturating_add(1) } else { 0 };
    let base = ImageLive { task, next_attempt, crashes, retries, desc, ..ImageLive::default() };
    match live.place {
        Place::Blocked { unmet } => ImageLive { unmet, ..base },
        Place::Ready => ImageLive { place: ImagePlace::Ready, ..base },
        Place::Delayed { until } => ImageLive { place: ImagePlace::Delayed, until, ..base },
        Place::Assigned { worker, fence, variant, ahead } => {
            let place = if ahead { ImagePlace::Ahead } else { ImagePlace::Assigned };
            ImageLive { place, worker, fence, variant, ..base }
        }
        Place::Running { worker, fence, variant, started } => {
            ImageLive { place: ImagePlace::Running, worker, fence, variant, started, ..base }
        }
    }
}

fn ended_image(first: u32, run: &EndedRun) -> ImageEnded {
    let EndedRun { last, state, at, reason } = *run;
    ImageEnded { first, last, state, at, reason }
}

fn revised_image((number, submit): (u32, &Submit)) -> Option<ImageRevised> {
    let revision = |revision: &Revision| ImageRevision { of: revision.of, change: revision.change.clone() };
    let run = |(first, last, index)| ImageRevisedRun { first, last, index };
    (!submit.revisions.is_empty()).then(|| ImageRevised {
        submit: number,
        revisions: submit.revisions.iter().map(revision).collect(),
        runs: submit.revised.iter().map(run).collect(),
    })
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
        submits: job.submits.iter().take(1).map(|submit| Arc::clone(&submit.desc)).collect(),
        live: job.tasks.live.iter().map(|(task, live)| live_image(*task, live)).collect(),
        ended: job.tasks.ended.iter().map(|(first, run)| ended_image(*first, run)).collect(),
        errors: job.errors.all().iter().map(|text| text.to_string()).collect(),
        nodes: job
            .tasks
            .nodes
            .iter()
            .map(|(task, workers)| ImageNodes { task: *task, workers: workers.to_vec() })
            .collect(),
        tags: job.tags.clone(),
        hold: job.hold,
        revised: (0u32..).zip(&job.submits).filter_map(revised_image).collect(),
        held: IdSet { ranges: job.held.iter().map(|(first, last)| IdRange::new(first, last)).collect() },
        opened: job.opened.iter().map(|(submit, index)| ImageGate { submit: *submit, index: *index }).collect(),
        details_gone: job.details_gone,
    }
}

fn further_submits(job: &Job) -> impl Iterator<Item = ImagePart> + '_ {
    let part = |submit: &Submit| ImagePart::Submit(ImageSubmit { job: job.id, submit: Arc::clone(&submit.desc) });
    job.submits.iter().skip(1).map(part)
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
