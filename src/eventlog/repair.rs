//! What can be saved of a damaged journal, and what becomes of the jobs that the damage touches.
//!
//! Every intact record that this version understands is saved. A job of which the rest may tell a wrong story is
//! quarantined: one that is not completed is held, so that nothing of it starts until its owner has looked; one whose
//! beginning is lost is put in as a canceled job without tasks, so that its number is not given again. Where the last jobs may
//! be among what was lost, such a job stands for the last number that may have been given.
//!
//! What holds: what happened before an intact checkpoint touches no job, since the checkpoint has its outcome.

use super::fold;
use super::{draft, event};
use hq_core::event::{Event, JobCanceled, JobChanged, JobOpened, Stamped};
use hq_core::id::JobId;
use hq_core::limits;
use hq_core::state::State;
use hq_core::time::Time;
use hq_journal::record::KIND_OWN_MIN;
use hq_journal::salvage::{Plan, Report, Salvage};
use hq_journal::{Checkpoint, Error, RecordDraft, RecordRef, reading};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why the job of a lost beginning is canceled.
const LOST_REASON: &str = "its beginning was lost with damaged records of the journal";
/// Why there is a job that nobody made.
const RESERVED_REASON: &str = "up to its number jobs may have been lost with damaged records of the journal";
/// Numbers that are passed over at most.
const RESERVED_MAX: u64 = 10_000_000;

/// A record that is intact and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Its sequence number.
    pub seq: u64,
    /// Its job.
    pub job: Option<JobId>,
    /// What is wrong with it.
    pub why: String,
}

/// What becomes of a job that the damage touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is held until it is released.
    Held,
    /// It is completed, and stays as it is.
    Completed,
    /// Only its number and what was known of its name are left.
    Lost,
    /// It goes on; something of it may have been in what was lost.
    GoesOn,
    /// No job is known: up to this number jobs may have been made in what was lost behind the last one that is known.
    Reserved,
}

/// A job that the damage touches, or may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The job.
    pub job: JobId,
    /// Its name, if it is known.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What was found.
#[derive(Debug)]
pub struct Survey {
    /// What of the records is there.
    pub report: Report,
    /// Intact records that cannot be used.
    pub poison: Vec<Poison>,
    /// What is wrong with checkpoints, one sentence each.
    pub images: Vec<String>,
    /// Everything up to here is told by a checkpoint.
    pub told_until: u64,
    /// Jobs that the damage touches, or may touch, ascending.
    pub jobs: Vec<Touched>,
    /// What the new journal is to be like.
    pub plan: Plan,
}

impl Survey {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        let Report { lost, damaged, .. } = &self.report;
        let is_lost = |touched: &Touched| touched.fate == Fate::Lost;
        lost.is_empty()
            && damaged.is_empty()
            && self.poison.is_empty()
            && self.images.is_empty()
            && !self.jobs.iter().any(is_lost)
    }
}

/// Looks at everything that is left; with `holds_all` every job of which something may be lost is held.
///
/// # Errors
/// That of the journal: the directory cannot be read.
pub fn survey(salvage: &Salvage, now: Time, holds_all: bool) -> Result<Survey, Error> {
    let mut images = Vec::new();
    let intact = reading::images(salvage.dir(), &mut images)?;
    let usable: Vec<&Checkpoint> = intact.iter().filter(|image| is_usable(image, &mut images)).collect();
    let mut poison: BTreeMap<u64, Poison> = BTreeMap::new();
    loop {
        let newest = usable.last().copied();
        let state = fold::image(newest).unwrap_or_default();
        let told_until = newest.map_or(0, |image| image.at.seq);
        let told_jobs = state.last_job;
        let (names, orphans, again) = (BTreeMap::new(), BTreeSet::new(), false);
        let last_made = (told_jobs, told_until);
        let mut look = Look { state, told_until, told_jobs, last_made, poison, names, orphans, again };
        let report = salvage.scan(&mut |record| {
            look.record(&record);
            Ok(())
        })?;
        if !look.again {
            let (jobs, appended) = look.judge(&report, now, holds_all);
            let dropped = look.poison.keys().copied().collect();
            let plan = Plan { dropped, images: usable.iter().copied().cloned().collect(), appended };
            let poison = look.poison.into_values().collect();
            return Ok(Survey { report, poison, images, told_until, jobs, plan });
        }
        // The state of after an event that could not be applied is worth nothing: all again, without that one.
        poison = look.poison;
    }
}

/// Whether a checkpoint gives a state; what is wrong with it is added to `faults`.
fn is_usable(image: &Checkpoint, faults: &mut Vec<String>) -> bool {
    let fault = match catch_unwind(AssertUnwindSafe(|| fold::image(Some(image)).map(drop))) {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it gives no state".to_owned(),
    };
    faults.push(format!("the checkpoint at record {} cannot be used: {fault}", image.at.seq));
    false
}

/// One reading of all records.
struct Look {
    state: State,
    told_until: u64,
    /// The last job that the checkpoint knows.
    told_jobs: JobId,
    /// The last job that is known to have been made, and the first record that knows it.
    last_made: (JobId, u64),
    poison: BTreeMap<u64, Poison>,
    names: BTreeMap<JobId, String>,
    /// Jobs of which there are events although nothing made them.
    orphans: BTreeSet<JobId>,
    /// Whether the state is of no use.
    again: bool,
}

impl Look {
    fn record(&mut self, record: &RecordRef<'_>) {
        let header = record.header;
        let seq = header.seq;
        if header.kind >= KIND_OWN_MIN || self.again {
            return;
        }
        let job = (header.job != 0).then_some(JobId(header.job));
        let stamped = match event(record) {
            Ok(stamped) => stamped,
            Err(error) => {
                let why = format!("it is no event that this version understands ({error})");
                self.poison.entry(seq).or_insert(Poison { seq, job, why });
                return;
            }
        };
        // Not what is added to the last one: before that the next may have been made.
        if let Some(made) = fold::made(&stamped.event).filter(|made| *made > self.last_made.0) {
            self.last_made = (made, seq);
        }
        match &stamped.event {
            Event::JobSubmitted(event) => drop(self.names.entry(event.job).or_insert_with(|| event.name.clone())),
            Event::JobOpened(event) => drop(self.names.insert(event.job, event.name.clone())),
            _ => {}
        }
        // Of a poisoned one no more than the name is of use.
        if seq <= self.told_until || self.poison.contains_key(&seq) {
            return;
        }
        let state = &mut self.state;
        if catch_unwind(AssertUnwindSafe(|| state.apply(&stamped))).is_err() {
            self.poison.insert(seq, Poison { seq, job, why: "it cannot be applied".to_owned() });
            self.again = true;
            return;
        }
        if let Some(why) = fold::impossible(&self.state, &stamped.event) {
            self.poison.insert(seq, Poison { seq, job, why });
            self.again = true;
            return;
        }
        // What an earlier repair has put in for a lost beginning comes later.
        fold::made(&stamped.event).map(|job| self.orphans.remove(&job));
        self.orphans.extend(fold::orphan(&self.state, &stamped.event));
    }

    /// The number up to which jobs may have been made in what was lost behind the last one that is known: each lost record may
    /// have made one.
    fn reserved(&self, report: &Report) -> Option<JobId> {
        let (last, seq) = self.last_made;
        let from = seq.max(self.told_until);
        let lost = report.lost.iter().map(|lost| (lost.to_seq + 1).saturating_sub(lost.from_seq.max(from + 1))).sum();
        let margin = u32::try_from(RESERVED_MAX.min(lost)).ok().filter(|margin| *margin > 0)?;
        let last = last.max(self.state.last_job);
        last.0.checked_add(margin).map(JobId)
    }

    /// What becomes of which jobs, and the events that say so.
    fn judge(&self, report: &Report, now: Time, holds_all: bool) -> (Vec<Touched>, Vec<RecordDraft>) {
        let is_unsure = report.lost.iter().any(|lost| lost.to_seq > self.told_until);
        let poisoned = self.poison.values().filter(|poison| poison.seq > self.told_until);
        let mut touched: BTreeSet<JobId> = poisoned.filter_map(|poison| poison.job).collect();
        touched.extend(&self.orphans);
        if is_unsure || !touched.is_empty() {
            // Numbers are given one after the other, so who is missing among them was lost.
            let numbers = (self.told_jobs.0..self.state.last_job.0).map(|before| JobId(before + 1));
            let missing = numbers.filter(|job| !self.names.contains_key(job));
            touched.extend(missing.take(limits::JOURNAL_FAULTS_MAX));
        }
        let others = self.state.jobs.values().filter(|job| is_unsure && job.completed.is_none()).map(|job| job.id);
        let reserved = self.reserved(report);
        let all: BTreeSet<JobId> = touched.iter().copied().chain(others).chain(reserved).collect();
        let (mut jobs, mut drafts) = (Vec::new(), Vec::new());
        for job in all {
            let known = self.state.job(job);
            let fate = match known {
                None if reserved == Some(job) && !touched.contains(&job) => Fate::Reserved,
                _ if !touched.contains(&job) && !holds_all => Fate::GoesOn,
                None => Fate::Lost,
                Some(known) if known.completed.is_some() => Fate::Completed,
                Some(_) => Fate::Held,
            };
            let name = known.map(|known| known.name.clone()).or_else(|| self.names.get(&job).cloned());
            let name = name.unwrap_or_default();
            drafts.extend(events(job, &name, fate).into_iter().map(|event| draft(&Stamped { at: now, event })));
            jobs.push(Touched { job, name, fate });
        }
        (jobs, drafts)
    }
}

/// The events that quarantine a job.
fn events(job: JobId, name: &str, fate: Fate) -> Vec<Event> {
    match fate {
        Fate::Held => vec![Event::JobHeld(JobChanged { job })],
        Fate::Lost | Fate::Reserved => {
            let (otherwise, reason) =
                if fate == Fate::Lost { ("lost", LOST_REASON) } else { ("reserved", RESERVED_REASON) };
            let name = if name.is_empty() { otherwise.to_owned() } else { name.to_owned() };
            vec![
                Event::JobOpened(JobOpened { job, name, ..JobOpened::default() }),
                Event::JobCanceled(JobCanceled { job, reason: Some(reason.to_owned()) }),
                Event::JobClosed(JobChanged { job }),
                Event::JobCompleted(JobChanged { job }),
            ]
        }
        Fate::Completed | Fate::GoesOn => Vec::new(),
    }
}
