//! From records to the state: the image of a checkpoint, and the events after it.
//!
//! The server restores itself by this, its checkpoints are made by it, and so is every check of a journal.

use super::{event, image_part};
use hq_core::cbor::DecodeError;
use hq_core::event::Event;
use hq_core::id::{JobId, TaskId};
use hq_core::state::State;
use hq_core::task::Dependency;
use hq_core::time::Time;
use hq_journal::{Checkpoint, Point, Reader, ReplayError};
use std::fmt;

/// Why records give no state.
#[derive(Debug)]
pub enum Error {
    /// They cannot be read.
    Journal(hq_journal::Error),
    /// One is intact, but nothing that this version knows.
    Event {
        /// Its sequence number.
        seq: u64,
        /// The job in its header; 0: none.
        job: u32,
        /// What is wrong with it.
        cause: DecodeError,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Event { seq, job: 0, cause } => write!(
                f,
                "record {seq} is intact, but no event that this version understands ({cause}); \
                 it was probably written by a newer version"
            ),
            Self::Event { seq, job, cause } => write!(
                f,
                "record {seq}, of job {job}, is intact, but no event that this version understands ({cause}); it was \
                 probably written by a newer version; if not, `hq journal repair` saves everything else"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<ReplayError<Error>> for Error {
    fn from(error: ReplayError<Error>) -> Self {
        match error {
            ReplayError::Stopped(error) => error,
            ReplayError::Journal(error) => Self::Journal(error),
        }
    }
}

/// The state that a checkpoint holds; the empty one without a checkpoint.
///
/// # Errors
/// [`Error`].
pub fn image(checkpoint: Option<&Checkpoint>) -> Result<State, Error> {
    let Some(checkpoint) = checkpoint else { return Ok(State::default()) };
    let mut parts = Vec::new();
    checkpoint.read(&mut |record| {
        let (seq, job) = (record.header.seq, record.header.job);
        parts.push(image_part(&record).map_err(|cause| Error::Event { seq, job, cause })?);
        Ok(())
    })?;
    Ok(State::from_image(parts))
}

/// The job of an event that was applied although nothing had made that job.
pub fn orphan(state: &State, event: &Event) -> Option<JobId> {
    let forgets = matches!(event, Event::JobForgotten(_));
    event.job().filter(|job| !forgets && !state.jobs.contains_key(job))
}

/// The job that an event makes, or adds to.
pub fn made(event: &Event) -> Option<JobId> {
    matches!(event, Event::JobSubmitted(_) | Event::JobOpened(_)).then(|| event.job()).flatten()
}

/// What cannot be in an event that was applied: a dependency on a task of the same job that is not there.
pub fn impossible(state: &State, event: &Event) -> Option<String> {
    let Event::JobSubmitted(submitted) = event else { return None };
    let tasks = &state.job(submitted.job)?.tasks;
    submitted.submit.deps.iter().find_map(|dependency| {
        let Dependency { task, on, .. } = dependency;
        let is_own = on.job == submitted.job || on.job == JobId(0);
        let is_there = |task: TaskId| tasks.ordinal(task).is_some();
        let is_possible = is_there(*task) && (!is_own || is_there(on.task));
        (!is_possible).then(|| format!("its task {task} waits for task {}, and one of them is not there", on.task))
    })
}

/// What was folded.
#[derive(Debug, Clone, Copy)]
pub struct Folded {
    /// The last record.
    pub last: Point,
    /// How many events there were.
    pub events: u64,
    /// The latest of their times; 0 without any.
    pub latest: Time,
}

/// Applies the durable events from a sequence number on.
///
/// # Errors
/// [`Error`].
pub fn extend(state: &mut State, reader: &Reader, from_seq: u64) -> Result<Folded, Error> {
    let (mut events, mut latest) = (0, Time(0));
    let last = reader.replay_whole(from_seq, &mut |record| {
        let (seq, job) = (record.header.seq, record.header.job);
        let stamped = event(&record).map_err(|cause| Error::Event { seq, job, cause })?;
        state.apply(&stamped);
        latest = latest.max(stamped.at);
        events += 1;
        Ok(())
    })?;
    Ok(Folded { last, events, latest })
}
