//! What leaves the journal, and when: by command, or by itself when the journal has become too large or jobs too old.
//!
//! Jobs that are not completed keep every record, and so do completed ones until their details are forgotten, which is
//! an event like any other; a pruning then takes out the records of those. What the events of the jobs that stay refer
//! to (workers, even when they are gone) stays with them.
//!
//! Holds: who may still need a record has it; nothing here stops the machine or the commits.

use super::checkpoint::{self, fold};
use super::turn::{ClientSender, Input};
use super::{Error, staying::Staying};
use crate::platform::clock;
use crate::wire::message::{PruneResult, Response};
use hq_core::id::JobId;
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::retention::{Candidate, ForgetCause, Keep, older, oldest};
use hq_core::state::State;
use hq_core::time::{Span, Time};
use hq_journal::disk::used_bytes;
use hq_journal::{CheckpointWriter, Journal, Point, Pruned, Pruner, Reader};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use tokio::sync::mpsc;

/// Jobs may become older than they should by this part of the time, so that they are forgotten in groups.
const AGE_PARTS: u64 = 8;
/// The journal is cut back to so many eighths of the size that it may have.
const LEFT_EIGHTHS: u64 = 6;

/// Writes checkpoints and prunes, on a thread of its own.
pub struct Keeper {
    dir: PathBuf,
    reader: Reader,
    writer: CheckpointWriter,
    pruner: Pruner,
    turn: mpsc::Sender<Input>,
    keep: Keep,
    /// Last record of the newest checkpoint.
    covered_seq: u64,
    /// Size of the directory after the last pruning.
    left_bytes: u64,
    /// When the oldest details are too old; none while there are none.
    due: Option<Time>,
}

impl Keeper {
    /// For the journal in a directory; what is to be forgotten is told to the turn.
    pub fn new(dir: PathBuf, journal: &Journal, covered_seq: u64, keep: Keep, turn: mpsc::Sender<Input>) -> Self {
        let (reader, writer, pruner) = (journal.reader(), journal.checkpoint_writer(), journal.pruner());
        // Looked at once soon after the start, whatever happens.
        Self { dir, reader, writer, pruner, turn, keep, covered_seq, left_bytes: 0, due: Some(Time(0)) }
    }

    /// Bytes after which it is worth looking at the size of the journal.
    pub fn step_bytes(&self) -> u64 {
        self.keep.bytes.map_or(u64::MAX, |bytes| bytes / 8)
    }

    /// Writes a checkpoint, and forgets what is to be forgotten.
    pub fn checkpoint(&mut self) {
        match checkpoint::write(&self.reader, &self.writer, clock::wall_us()) {
            Ok((state, at)) => {
                self.covered_seq = at.seq;
                self.review(&state);
            }
            Err(error) => log::warn!("No checkpoint was written: {error}"),
        }
    }

    /// Some time has passed.
    pub fn look(&mut self) {
        if self.has_news() {
            return self.checkpoint();
        }
        let is_due = self.keep.span.is_some() && self.due.is_some_and(|due| due <= Time(clock::wall_us()));
        if is_due {
            match fold(&self.reader) {
                Ok((state, _)) => self.review(&state),
                Err(error) => log::warn!("The journal could not be looked at: {error}"),
            }
        }
    }

    /// The server ends: the next one is to start fast.
    pub fn end(&mut self) {
        if self.has_news()
            && let Err(error) = checkpoint::write(&self.reader, &self.writer, clock::wall_us())
        {
            log::warn!("No checkpoint was written: {error}");
        }
    }

    fn has_news(&self) -> bool {
        self.reader.durable().seq >= self.covered_seq + limits::CHECKPOINT_IDLE_EVENTS
    }

    /// Forgets the details of all completed jobs, and tells whom wanted it.
    pub fn prune_for(&mut self, to: ClientSender) {
        let response = match self.prune(None, ForgetCause::Pruned) {
            Ok(Pruned { kept, gone, .. }) => Response::Pruned(PruneResult { kept, gone }),
            Err(error) => Response::Refused(format!("The journal was not pruned: {error}")),
        };
        drop(self.turn.blocking_send(Input::Tell { to, response }));
    }

    /// Forgets what the rules say.
    fn review(&mut self, state: &State) {
        let candidates = candidates(state);
        if let Err(error) = self.review_age(&candidates).and_then(|()| self.review_size(&candidates)) {
            log::warn!("The journal was not pruned: {error}");
        }
    }

    fn review_age(&mut self, candidates: &[Candidate]) -> Result<(), Error> {
        let Some(span) = self.keep.span else { return Ok(()) };
        let slack = Span(span.0 / AGE_PARTS);
        let oldest = candidates.first().map(|candidate| candidate.completed.after(span).after(slack));
        self.due = oldest;
        let now = Time(clock::wall_us());
        if oldest.is_none_or(|due| due > now) {
            return Ok(());
        }
        let chosen = older(candidates, now, span);
        log::info!(
            "Details of {} jobs that were completed more than {} s ago are forgotten (--journal-keep)",
            chosen.len(),
            span.0 / 1_000_000
        );
        self.prune(Some(ids(chosen)), ForgetCause::Age).map(drop)
    }

    fn review_size(&mut self, candidates: &[Candidate]) -> Result<(), Error> {
        let Some(max) = self.keep.bytes else { return Ok(()) };
        let used = self.used_bytes()?;
        if used <= max || used <= self.left_bytes.saturating_add(self.step_bytes()) {
            return Ok(());
        }
        let chosen = surplus(&self.reader, candidates, used, max)?;
        log::info!(
            "The journal has {used} bytes, more than {max} (--journal-keep): details of the {} jobs that were completed \
             first are forgotten; they are listed as before",
            chosen.len()
        );
        self.prune(Some(ids(chosen)), ForgetCause::Size).map(drop)
    }

    fn used_bytes(&self) -> Result<u64, Error> {
        used_bytes(&self.dir).map_err(|cause| Error::Io { what: "look at the size of the journal", cause })
    }

    /// Forgets details, and takes the records of all jobs without details out of the journal.
    fn prune(&mut self, jobs: Option<IdSet>, cause: ForgetCause) -> Result<Pruned, Error> {
        self.pruner.begin_tail();
        let (done, durable) = sync_channel(1);
        let told = self.turn.blocking_send(Input::ForgetDetails { jobs, cause, done });
        // Without the turn, or its answer, the server is ending.
        if told.is_err() || durable.recv().is_err() {
            return Err(Error::Ending);
        }
        let footing = Footing::write(&self.reader, &self.writer, clock::wall_us())?;
        self.covered_seq = footing.at.seq;
        let pruned = footing.prune(&self.reader, &self.pruner, clock::wall_us())?;
        self.left_bytes = self.used_bytes()?;
        log::info!(
            "The journal was pruned: {} records are gone, {} are kept; it has {} bytes now",
            pruned.gone,
            pruned.kept,
            self.left_bytes
        );
        Ok(pruned)
    }
}

/// What a pruning stands on: the state after everything that may go, of which two images are written.
pub struct Footing {
    state: State,
    at: Point,
}

impl Footing {
    /// Folds what is durable and writes the images.
    ///
    /// # Errors
    /// As [`fold`].
    pub fn write(reader: &Reader, writer: &CheckpointWriter, time_us: u64) -> Result<Self, Error> {
        let (state, at) = fold(reader)?;
        writer.write_twice(at, time_us, checkpoint::image(&state, time_us))?;
        Ok(Self { state, at })
    }

    /// Takes the records of all jobs without details out of the journal, as far as the images reach.
    ///
    /// # Errors
    /// What the journal or its disk says. Nothing was pruned then.
    pub fn prune(&self, reader: &Reader, pruner: &Pruner, time_us: u64) -> Result<Pruned, Error> {
        let staying = Staying::find(&self.state, reader, self.at)?;
        Ok(pruner.prune(self.at, time_us, &mut |record| staying.keeps(record))?)
    }
}

/// The jobs that have to go from a journal of so many bytes, which may have at most `max`: those that were completed first.
///
/// # Errors
/// When the journal cannot be read.
pub fn surplus<'a>(
    reader: &Reader,
    candidates: &'a [Candidate],
    used: u64,
    max: u64,
) -> Result<&'a [Candidate], Error> {
    let (by_job, all) = bytes_by_job(reader, candidates)?;
    // What is used beside the records themselves is taken to shrink with them.
    let goal = u128::from(max) * u128::from(LEFT_EIGHTHS) / 8;
    let left = u64::try_from(u128::from(all) * goal / u128::from(used.max(1))).unwrap_or(all);
    Ok(oldest(candidates, all.saturating_sub(left), |job| by_job.get(&job).copied().unwrap_or(0)))
}

/// Bytes of the records of each candidate, and of all records.
fn bytes_by_job(reader: &Reader, candidates: &[Candidate]) -> Result<(BTreeMap<JobId, u64>, u64), Error> {
    let wanted: BTreeSet<JobId> = candidates.iter().map(|candidate| candidate.job).collect();
    let (mut by_job, mut all) = (BTreeMap::new(), 0u64);
    let read = reader.replay::<Infallible>(0, &mut |record| {
        let bytes = record.header.record_bytes();
        all = all.saturating_add(bytes);
        let job = JobId(record.header.job);
        if wanted.contains(&job) {
            *by_job.entry(job).or_default() += bytes;
        }
        Ok(())
    });
    match read {
        Ok(_) => Ok((by_job, all)),
        Err(hq_journal::ReplayError::Journal(error)) => Err(error.into()),
        Err(hq_journal::ReplayError::Stopped(never)) => match never {},
    }
}

/// The completed jobs that have details, the oldest first.
pub fn candidates(state: &State) -> Vec<Candidate> {
    let has_details = state.jobs.values().filter(|job| job.details_gone.is_none());
    let mut found: Vec<Candidate> =
        has_details.filter_map(|job| Some(Candidate { completed: job.completed?, job: job.id })).collect();
    found.sort_unstable();
    found
}

/// Their numbers.
pub fn ids(chosen: &[Candidate]) -> IdSet {
    let sorted: BTreeSet<u32> = chosen.iter().map(|candidate| candidate.job.0).collect();
    IdSet::from_sorted(sorted)
}

#[cfg(test)]
mod tests;
