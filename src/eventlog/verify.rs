//! Whether a journal holds what it should: every event is applied again, and the states compared with the images.
//!
//! What holds: nothing is changed; a fault is found where it is, and what can be checked after it is.

use super::event;
use super::fold;
use super::info::shown;
use hq_core::audit::audit;
use hq_core::id::JobId;
use hq_core::limits;
use hq_core::state::State;
use hq_core::view::JournalCheck;
use hq_journal::record::{KIND_LOST, KIND_OWN_MIN};
use hq_journal::{Checkpoint, Reader, RecordRef, ReplayError};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Checks a journal that is open for reading; `images` are those that it keeps, oldest first.
pub fn verify(reader: &Reader, images: &[Checkpoint]) -> JournalCheck {
    let base_seq = reader.base_seq().max(1);
    let mut check = Check {
        report: JournalCheck {
            first_record: base_seq,
            last_record: reader.durable().seq,
            images: images.iter().map(shown).collect(),
            ..JournalCheck::default()
        },
        images,
        next_image: 0,
        state: State::default(),
        // Without its beginning a journal says nothing of the state until the first image.
        is_whole: base_seq == 1,
        orphans: BTreeSet::new(),
    };
    check.pass_images(base_seq);
    let read = reader.replay_all(0, &mut |record| check.record(&record, base_seq));
    match read {
        Ok(_) => check.pass_images(u64::MAX),
        Err(ReplayError::Stopped(Broken)) => {}
        Err(ReplayError::Journal(error)) => check.fault(error.to_string()),
    }
    check.finish()
}

/// Nothing more can be checked.
#[derive(Debug)]
struct Broken;

struct Check<'a> {
    report: JournalCheck,
    images: &'a [Checkpoint],
    /// The first one that was not reached.
    next_image: usize,
    state: State,
    /// Whether the state is that of all events so far.
    is_whole: bool,
    orphans: BTreeSet<JobId>,
}

impl Check<'_> {
    fn fault(&mut self, sentence: String) {
        if self.report.damage.len() < limits::JOURNAL_FAULTS_MAX {
            self.report.damage.push(sentence);
        }
    }

    /// Compares the state with the images of before a record.
    fn pass_images(&mut self, seq: u64) {
        while let Some(image) = self.images.get(self.next_image).filter(|image| image.at.seq < seq) {
            let fault = self.compare(image);
            if let Some(shown) = self.report.images.get_mut(self.next_image) {
                shown.fault = fault.unwrap_or_default();
            }
            self.next_image += 1;
        }
    }

    /// What is wrong with an image; where the events say nothing, it is believed.
    fn compare(&mut self, image: &Checkpoint) -> Option<String> {
        if image.at.seq > self.report.last_record && self.is_whole {
            return Some("it is ahead of the log".to_owned());
        }
        let kept = match fold::image(Some(image)) {
            Ok(kept) => kept,
            Err(error) => return Some(error.to_string()),
        };
        if !self.is_whole {
            (self.state, self.is_whole) = (kept, true);
            return None;
        }
        let differs = kept.image().ne(self.state.image());
        differs.then(|| "it is not the state that the events up to there give".to_owned())
    }

    fn record(&mut self, record: &RecordRef<'_>, base_seq: u64) -> Result<(), Broken> {
        let header = record.header;
        self.pass_images(header.seq);
        if header.kind == KIND_LOST {
            self.report.lost += 1;
            self.is_whole = false;
        }
        if header.kind >= KIND_OWN_MIN {
            return Ok(());
        }
        self.report.events += 1;
        let stamped = match event(record) {
            Ok(stamped) => stamped,
            Err(cause) => {
                let (seq, job) = (header.seq, header.job);
                self.fault(fold::Error::Event { seq, job, cause }.to_string());
                self.is_whole = false;
                return Ok(());
            }
        };
        // What is kept of before the base is for those who read, and in the image.
        if header.seq < base_seq || !self.is_whole {
            return Ok(());
        }
        let state = &mut self.state;
        // An event that does not fit changes nothing; should one ever do worse, it has to be found here.
        if catch_unwind(AssertUnwindSafe(|| state.apply(&stamped))).is_err() {
            self.fault(format!("record {} of job {} cannot be applied", header.seq, header.job));
            return Err(Broken);
        }
        if let Some(why) = fold::impossible(&self.state, &stamped.event) {
            self.fault(format!("record {} of job {} cannot be used: {why}", header.seq, header.job));
        }
        // What a repair has put in for a lost beginning comes later.
        fold::made(&stamped.event).map(|job| self.orphans.remove(&job));
        if self.orphans.len() < limits::JOURNAL_FAULTS_MAX {
            self.orphans.extend(fold::orphan(&self.state, &stamped.event));
        }
        Ok(())
    }

    fn finish(mut self) -> JournalCheck {
        if self.is_whole
            && let Err(fault) = audit(&self.state)
        {
            self.fault(format!("the state at the end contradicts itself: {fault}"));
        }
        self.report.jobs = self.state.jobs.len() as u64;
        self.report.tasks = self.state.jobs.values().map(|job| job.counts.total()).sum();
        let orphans = std::mem::take(&mut self.orphans);
        for job in &orphans {
            self.fault(format!("there are events of job {job}, but none that made it"));
        }
        self.report.orphans = orphans.into_iter().collect();
        self.report
    }
}
