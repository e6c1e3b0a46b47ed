//! Pruning while everything else goes on: by command, or since jobs are too old or the journal too large.
//!
//! What the server does on a thread of its own is done here in its three steps: the forgetting becomes durable, two images
//! are written, records go. Between them the others have their turns, and disks fail within them.
//!
//! Holds: the book has read what may go before it goes.

use crate::book::{mark, named};
use crate::faults::Fault;
use crate::world::{Event, World};
use hq_core::event::Event as Happened;
use hq_core::id::WorkerId;
use hq_core::idset::IdSet;
use hq_core::retention::{ForgetCause, older};
use hq_core::time::{Span, Time};
use hq_journal::{Pruner, Reader};
use hyperqueue::eventlog;
use hyperqueue::server::checkpoint::fold;
use hyperqueue::server::restore;
use hyperqueue::server::retention::{self, Footing};
use hyperqueue::server::turn::Input;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, sync_channel};

/// How far it is.
pub enum Pruning {
    /// The turn was told what to forget.
    Forgetting(Receiver<()>),
    /// That is durable.
    Due,
    /// Two images are there.
    Standing(Box<Footing>),
}

impl World {
    pub fn begin_pruning(&mut self) {
        let Some((reader, pruner)) = self.pruner() else { return };
        let Some((jobs, cause)) = self.choose_details(&reader) else { return };
        self.trace.say(self.now, || format!("details are to be forgotten: {jobs:?}, {cause:?}"));
        pruner.begin_tail();
        let (done, forgotten) = sync_channel(1);
        let Some(process) = &mut self.host.process else { return };
        process.inbox.push(Input::ForgetDetails { jobs, cause, done });
        process.pruning = Some(Pruning::Forgetting(forgotten));
        self.turn_soon();
    }

    /// Of a server that works and does not prune.
    fn pruner(&mut self) -> Option<(Reader, Pruner)> {
        let process = self.host.process.as_mut().filter(|process| process.listens && process.pruning.is_none())?;
        let journal = process.commits.journal()?;
        Some((journal.reader(), journal.pruner()))
    }

    /// By command all, by size or age the oldest.
    fn choose_details(&mut self, reader: &Reader) -> Option<(Option<IdSet>, ForgetCause)> {
        if self.dice.permille(400) {
            return Some((None, ForgetCause::Pruned));
        }
        let candidates = retention::candidates(&fold(reader).ok()?.0);
        if self.dice.permille(500) {
            let span = Span(self.dice.span(1_000_000, 600_000_000));
            let chosen = older(&candidates, Time(self.wall()), span);
            return Some((Some(retention::ids(chosen)), ForgetCause::Age));
        }
        let used = self.host.disk.used_bytes();
        let max = self.dice.below(used + 1);
        let chosen = retention::surplus(reader, &candidates, used, max).ok()?;
        Some((Some(retention::ids(chosen)), ForgetCause::Size))
    }

    /// Whether what is to be forgotten is durable.
    pub fn go_on_pruning(&mut self) {
        let Some(process) = &mut self.host.process else { return };
        let Some(Pruning::Forgetting(forgotten)) = &process.pruning else { return };
        if forgotten.try_recv().is_ok() {
            process.pruning = Some(Pruning::Due);
            let (boot, after) = (self.host.boot, self.dice.span(10, 1_000_000));
            self.at(after, Event::Prune { boot });
        }
    }

    pub fn prune(&mut self, boot: u64) {
        if self.host.boot != boot {
            return;
        }
        if self.host.frozen_until > self.now {
            return self.at(self.host.frozen_until - self.now, Event::Prune { boot });
        }
        let Some(pruning) = self.host.process.as_mut().and_then(|process| process.pruning.take()) else { return };
        let Some((reader, pruner)) = self.pruner() else { return };
        if let Pruning::Standing(_) = pruning {
            let Some(process) = self.host.process.take() else { return };
            let is_read = self.read_book(&reader, process.turn.machine().state(), false);
            self.host.process = Some(process);
            if !is_read || self.violation.is_some() {
                return;
            }
        }
        if self.faults_on && self.dice.permille(200) {
            let kinds = [Fault::DiskPower, Fault::DiskError, Fault::DiskFull];
            let kind = self.dice.pick(&kinds).copied().unwrap_or(Fault::DiskPower);
            self.disk_fault(kind, 25);
        }
        let failed = match pruning {
            Pruning::Standing(footing) => match footing.prune(&reader, &pruner, self.wall()) {
                Ok(pruned) => {
                    self.trace.say(self.now, || format!("pruned: {pruned:?}"));
                    self.trace.note(&[pruned.base_seq, pruned.kept, pruned.gone]);
                    return self.check_pruned(&reader);
                }
                Err(error) => error.to_string(),
            },
            _ => match self.write_footing(&reader) {
                Ok(()) => return,
                Err(error) => error,
            },
        };
        self.trace.say(self.now, || format!("not pruned: {failed}"));
    }

    fn write_footing(&mut self, reader: &Reader) -> Result<(), String> {
        let wall = self.wall();
        let Some(process) = &mut self.host.process else { return Ok(()) };
        let Some(writer) = process.commits.journal().map(|journal| journal.checkpoint_writer()) else { return Ok(()) };
        let footing = Footing::write(reader, &writer, wall).map_err(|error| error.to_string())?;
        process.pruning = Some(Pruning::Standing(Box::new(footing)));
        let (boot, after) = (self.host.boot, self.dice.span(10, 2_000_000));
        self.at(after, Event::Prune { boot });
        Ok(())
    }

    /// What has to be there is, and leads to the same state as before.
    fn check_pruned(&mut self, reader: &Reader) {
        let wrong = self.compare_records(reader).or_else(|| self.compare_histories(reader)).or_else(|| {
            let (state, at) = restore::durable(reader).ok()?;
            let is_same = at.seq < self.book.seq || state.canonical_bytes() == self.book.folded.canonical_bytes();
            (!is_same).then(|| "the pruned journal leads to another state".to_owned())
        });
        wrong.into_iter().for_each(|text| self.fail(text));
    }

    /// What is wrong with the records that are there; none when the disk cannot be read.
    pub fn compare_records(&self, reader: &Reader) -> Option<String> {
        let base = reader.base_seq();
        let mut expected = self.book.marks.iter().map(|(seq, mark)| (*seq, *mark)).peekable();
        let lacks = |seq: u64| {
            let is_lost = seq >= base || !self.book.kept.is_spare(seq);
            is_lost.then(|| format!("record {seq} was durable and is gone"))
        };
        let mut workers: BTreeSet<WorkerId> = BTreeSet::new();
        let read = reader.replay(0, &mut |record| {
            let seq = record.header.seq;
            while let Some((gone, _)) = expected.next_if(|(known, _)| *known < seq) {
                lacks(gone).map_or(Ok(()), Err)?;
            }
            let found = mark(record.header.kind, record.header.time_us, record.body);
            if expected.next_if(|(known, _)| *known == seq).is_some_and(|(_, known)| known != found) {
                return Err(format!("record {seq} is another one than before"));
            }
            if seq < base {
                let event = eventlog::event(&record).map_err(|error| format!("record {seq}: {error:?}"))?;
                if let Happened::WorkerConnected(event) = &event.event {
                    workers.insert(event.worker);
                }
                if let Some(worker) = named(&event).iter().find(|worker| !workers.contains(worker)) {
                    return Err(format!("record {seq} names worker {worker}, of which nothing is told before"));
                }
            }
            Ok(())
        });
        match read {
            Ok(_) => expected.find_map(|(seq, _)| lacks(seq)),
            Err(hq_journal::ReplayError::Stopped(wrong)) => Some(wrong),
            Err(hq_journal::ReplayError::Journal(_)) => None,
        }
    }

    /// The index of the kept file knows of all that is in it.
    fn compare_histories(&self, reader: &Reader) -> Option<String> {
        self.book.kept.of_jobs().find_map(|(job, seqs)| {
            let mut found = BTreeSet::new();
            let read = reader.history::<Infallible>(job.0, &mut |record| {
                found.insert(record.header.seq);
                Ok(())
            });
            let lost = seqs.iter().find(|seq| read.is_ok() && !found.contains(seq))?;
            Some(format!("the history of job {job} lacks record {lost}"))
        })
    }
}
