//! What a server remembers: the newest checkpoint and the events after it, folded by the core.

use super::Error;
use crate::eventlog::fold;
use hq_core::audit::audit;
use hq_core::machine::Machine;
use hq_core::planted::{self, Planted};
use hq_core::state::State;
use hq_core::time::Time;
use hq_journal::{Checkpoint, Journal, Opened, Options, Reader};
use std::path::Path;

/// An opened journal with what it tells.
pub struct Restored {
    /// The journal, for the commit thread.
    pub journal: Journal,
    /// The machine with the replayed state.
    pub machine: Machine,
    /// Number of this start, durable.
    pub epoch: u32,
    /// Last record that a checkpoint covers.
    pub covered_seq: u64,
    /// When the last thing happened that is recorded. The clock of this start must not be behind, since deadlines of the
    /// state are reckoned from then.
    pub latest: Time,
}

/// Opens the journal of a directory and replays it.
///
/// # Errors
/// When it is held by another server, damaged, or holds what this version does not know.
pub fn open(dir: &Path) -> Result<Restored, Error> {
    open_with(dir, Options::default())
}

/// As [`open`], with a journal that is opened in another way.
///
/// # Errors
/// As [`open`].
pub fn open_with(dir: &Path, options: Options) -> Result<Restored, Error> {
    if dir.metadata().is_ok_and(|found| !found.is_dir()) {
        let why = format!(
            "{} is not a directory; a journal is a directory, which is made when it is missing (a journal file of \
             HyperQueue cannot be read)",
            dir.display()
        );
        return Err(Error::Journal(hq_journal::Error::Refused { why }));
    }
    let (journal, opened) = Journal::open(dir, options)?;
    let Opened { checkpoint, epoch, next_seq, base_seq, notes, .. } = opened;
    for note in notes {
        log::warn!("{note}");
    }
    if next_seq > 2 {
        log::info!("Loading journal {}", dir.display());
    }
    let reader = journal.reader();
    let mut state = image(checkpoint.as_ref())?;
    let covered_seq = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.at.seq);
    // Where a loss was agreed to, the log begins later.
    let folded = fold::extend(&mut state, &reader, base_seq.max(covered_seq + 1))?;
    let latest = checkpoint.as_ref().map_or(Time(0), |checkpoint| Time(checkpoint.time_us)).max(folded.latest);
    let machine = Machine::new(state);
    // Costs more than the replay itself, so that a release leaves it to the thread that writes checkpoints.
    if cfg!(debug_assertions) {
        audit(machine.state()).map_err(Error::Inconsistent)?;
    }
    if !machine.state().server_uid.is_empty() {
        log::info!("State restoration completed");
    }
    Ok(Restored { journal, machine, epoch, covered_seq, latest })
}

/// The state that the durable records of a journal give, and the last of them.
///
/// # Errors
/// As [`open`].
pub fn durable(reader: &Reader) -> Result<(State, hq_journal::Point), Error> {
    loop {
        let newest = reader.newest_image()?;
        let mut state = image(newest.as_ref())?;
        let from = newest.as_ref().map_or(1, |checkpoint| checkpoint.at.seq + 1);
        let from = from + u64::from(planted::is(Planted::CheckpointSkips));
        match extend(&mut state, reader, from) {
            // The journal was pruned just now, behind a newer image.
            Err(Error::Journal(hq_journal::Error::Missing { .. }))
                if from < reader.base_seq() && is_newer(reader, from)? => {}
            other => return other.map(|at| (state, at)),
        }
    }
}

fn is_newer(reader: &Reader, from: u64) -> Result<bool, Error> {
    Ok(reader.newest_image()?.is_some_and(|image| image.at.seq >= from))
}

/// The state that a checkpoint holds; the empty one without a checkpoint.
///
/// # Errors
/// As [`open`].
pub fn image(checkpoint: Option<&Checkpoint>) -> Result<State, Error> {
    fold::image(checkpoint).map_err(Error::from)
}

/// Applies the durable events from a sequence number on; returns the last one read.
///
/// # Errors
/// As [`open`].
pub fn extend(state: &mut State, reader: &Reader, from_seq: u64) -> Result<hq_journal::Point, Error> {
    Ok(fold::extend(state, reader, from_seq)?.last)
}
