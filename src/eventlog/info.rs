//! What is in a journal: sizes, range, images, and how long a restart from it takes.
//!
//! What holds: a restart is not estimated but done, and its state thrown away.

use super::fold::{self, Error};
use hq_core::limits;
use hq_core::time::{Span, Time};
use hq_core::view::{JournalImage, JournalInfo, JournalSizes};
use hq_journal::reading::{self, Sizes};
use hq_journal::{Checkpoint, Reader, ReplayError};
use std::path::Path;
use std::time::Instant;

/// Gathers it from a journal that is open for reading.
///
/// # Errors
/// [`Error`].
pub fn gather(dir: &Path, reader: &Reader, notes: Vec<String>) -> Result<JournalInfo, Error> {
    let mut notes = notes;
    let images = reading::images(dir, &mut notes).map_err(Error::Journal)?;
    let begun = Instant::now();
    let newest = images.last();
    let mut state = fold::image(newest)?;
    let from_seq = newest.map_or(1, |image| image.at.seq + 1).max(reader.base_seq());
    let restart_events = fold::extend(&mut state, reader, from_seq)?.events;
    let restart_took = Span(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    let Sizes { tail, log, images: of_images, other } = reading::sizes(dir).map_err(Error::Journal)?;
    let (first_record, last_record) = (reader.base_seq().max(1), reader.durable().seq);
    notes.truncate(limits::JOURNAL_FAULTS_MAX);
    Ok(JournalInfo {
        sizes: JournalSizes { tail, log, images: of_images, other },
        first_record,
        last_record,
        first: time_from(reader, 0)?,
        last: time_from(reader, last_record)?,
        starts: state.epoch,
        server_uid: state.server_uid.clone(),
        jobs: state.jobs.len() as u64,
        unfinished: state.jobs.values().filter(|job| job.completed.is_none()).count() as u64,
        workers: state.workers.len() as u64,
        images: images.iter().map(shown).collect(),
        restart_events,
        restart_took,
        notes,
    })
}

/// An image as it is shown.
pub(super) fn shown(image: &Checkpoint) -> JournalImage {
    JournalImage {
        record: image.at.seq,
        made: Time(image.time_us),
        parts: image.records,
        bytes: image.bytes(),
        fault: String::new(),
    }
}

/// Time of the first record from a sequence number on.
fn time_from(reader: &Reader, from_seq: u64) -> Result<Option<Time>, Error> {
    let found = reader.replay_all(from_seq, &mut |record| Err(Time(record.header.time_us)));
    match found {
        Ok(_) => Ok(None),
        Err(ReplayError::Stopped(time)) => Ok(Some(time)),
        Err(ReplayError::Journal(error)) => Err(Error::Journal(error)),
    }
}
