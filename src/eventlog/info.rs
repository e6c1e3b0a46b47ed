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

/// Looks at a journal that is pruned again and again.
const LOOKS_MAX: u32 = 5;

/// Gathers it from a journal that is open for reading.
///
/// # Errors
/// [`Error`].
pub fn gather(dir: &Path, reader: &Reader, notes: &[String]) -> Result<JournalInfo, Error> {
    gather_with(dir, reader, notes, &mut || {})
}

/// As [`gather`]; `between` is called between the look at the images and that at the records.
fn gather_with(dir: &Path, reader: &Reader, notes: &[String], between: &mut dyn FnMut()) -> Result<JournalInfo, Error> {
    for _ in 0..LOOKS_MAX {
        if let Some(info) = look(dir, reader, notes.to_vec(), between)? {
            return Ok(info);
        }
    }
    let why = "it is being pruned again and again; please try later".to_owned();
    Err(Error::Journal(hq_journal::Error::Refused { why }))
}

/// One look; none when the journal was pruned meanwhile, so that its parts do not belong together.
fn look(
    dir: &Path,
    reader: &Reader,
    mut notes: Vec<String>,
    between: &mut dyn FnMut(),
) -> Result<Option<JournalInfo>, Error> {
    let images = reading::images(dir, &mut notes).map_err(Error::Journal)?;
    between();
    let begun = Instant::now();
    let newest = images.last();
    let mut state = fold::image(newest)?;
    let wanted_seq = newest.map_or(1, |image| image.at.seq + 1);
    let from_seq = wanted_seq.max(reader.base_seq());
    let folded = fold::extend(&mut state, reader, from_seq);
    // The base moves only behind a newer image.
    let is_missing = matches!(folded, Err(Error::Journal(hq_journal::Error::Missing { .. })));
    if (is_missing || from_seq > wanted_seq) && has_image_from(dir, wanted_seq)? {
        return Ok(None);
    }
    let restart_events = folded?.events;
    let restart_took = Span(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    let Sizes { tail, log, images: of_images, other } = reading::sizes(dir).map_err(Error::Journal)?;
    let (first_record, last_record) = (reader.base_seq().max(1), reader.durable().seq);
    notes.truncate(limits::JOURNAL_FAULTS_MAX);
    Ok(Some(JournalInfo {
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
        forgotten: state.view_forgotten(),
    }))
}

fn has_image_from(dir: &Path, seq: u64) -> Result<bool, Error> {
    let images = reading::images(dir, &mut Vec::new()).map_err(Error::Journal)?;
    Ok(images.last().is_some_and(|image| image.at.seq >= seq))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventlog::{draft, image_draft};
    use hq_core::event::{Event, JobChanged, JobOpened, Stamped};
    use hq_core::id::JobId;
    use hq_core::state::State;
    use hq_journal::{Journal, Options};

    fn add(journal: &mut Journal, job: JobId) {
        let opened = JobOpened { job, ..JobOpened::default() };
        for event in [Event::JobOpened(opened), Event::JobClosed(JobChanged { job })] {
            journal.append(&[draft(&Stamped { at: Time(u64::from(job.0)), event })]).unwrap();
        }
        journal.commit().unwrap();
    }

    fn image(journal: &Journal) {
        let mut state = State::default();
        fold::extend(&mut state, &journal.reader(), 1).unwrap();
        let parts = state.image().map(|part| image_draft(&part, 5));
        journal.checkpoint_writer().write_twice(journal.durable(), 5, parts).unwrap();
    }

    #[test]
    fn a_pruning_between_two_looks_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { background: false, ..Options::default() };
        let (mut journal, _) = Journal::open(dir.path(), options).unwrap();
        add(&mut journal, JobId(1));
        image(&journal);
        add(&mut journal, JobId(2));
        let reader = journal.reader();
        let mut prunings = 0;
        let info = gather_with(dir.path(), &reader, &[], &mut || {
            if prunings == 0 {
                journal.pruner().begin_tail();
                add(&mut journal, JobId(3));
                while journal.migrate_step().unwrap() {}
                image(&journal);
                journal.pruner().prune(journal.durable(), 6, &mut |_| false).unwrap();
            }
            prunings += 1;
        });
        let info = info.unwrap();
        assert_eq!((prunings, info.jobs), (2, 3));
        assert!(info.first_record > 4, "{info:?}");
    }
}
