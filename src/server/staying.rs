//! Which records stay when the journal is pruned.
//!
//! A record of a job stays with the job's details. One of a worker stays while the worker may come back, and while an
//! event that stays names it: what a task went through can only be told with the worker on which it did.
//!
//! Holds: no event that stays names a worker whose connection is not told before it.

use super::Error;
use crate::eventlog::{self, fold};
use hq_core::event::Event;
use hq_core::id::{JobId, WorkerId};
use hq_core::planted::{self, Planted};
use hq_core::state::State;
use hq_journal::{Point, Reader, RecordRef, ReplayError};
use std::collections::BTreeSet;

/// What stays.
pub struct Staying<'a> {
    state: &'a State,
    /// Workers that events of the jobs name.
    workers: BTreeSet<WorkerId>,
}

/// Why the first look at the records ended.
enum Stop {
    /// What is behind the point does not matter.
    Enough,
    /// A record is no event.
    Unreadable(fold::Error),
}

impl<'a> Staying<'a> {
    /// Looks at all records up to a point, for which `state` is the state.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn find(state: &'a State, reader: &Reader, at: Point) -> Result<Self, Error> {
        let mut staying = Self { state, workers: state.workers.keys().copied().collect() };
        let read = reader.replay(0, &mut |record| {
            if record.header.seq > at.seq {
                return Err(Stop::Enough);
            }
            if record.header.job != 0 && staying.has_details(JobId(record.header.job)) {
                let (seq, job) = (record.header.seq, record.header.job);
                let unreadable = |cause| Stop::Unreadable(fold::Error::Event { seq, job, cause });
                let stamped = eventlog::event(&record).map_err(unreadable)?;
                staying.note(&stamped.event);
            }
            Ok(())
        });
        match read {
            Ok(_) | Err(ReplayError::Stopped(Stop::Enough)) => Ok(staying),
            Err(ReplayError::Stopped(Stop::Unreadable(error))) => Err(error.into()),
            Err(ReplayError::Journal(error)) => Err(error.into()),
        }
    }

    fn has_details(&self, job: JobId) -> bool {
        let is_lost = planted::is(Planted::PruneLive);
        self.state.job(job).is_some_and(|job| job.details_gone.is_none() && !(is_lost && job.completed.is_none()))
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::TasksAssigned(e) => {
                self.workers.insert(e.worker);
                self.workers.extend(&e.nodes);
            }
            Event::TasksStarted(e) => {
                self.workers.insert(e.worker);
                self.workers.extend(&e.nodes);
            }
            Event::TaskAdopted(e) => drop(self.workers.insert(e.worker)),
            Event::TasksReturned(e) => drop(self.workers.insert(e.worker)),
            Event::TasksFinished(e) => drop(self.workers.insert(e.worker)),
            Event::TaskNotified(e) => drop(self.workers.insert(e.worker)),
            _ => {}
        }
    }

    /// Whether a record stays. One that is not understood does.
    pub fn keeps(&self, record: &RecordRef<'_>) -> bool {
        if record.header.job != 0 {
            return self.has_details(JobId(record.header.job));
        }
        let Ok(stamped) = eventlog::event(record) else { return true };
        let worker = match &stamped.event {
            // Only for workers that are there: they are many, and no task needs them.
            Event::WorkerOverview(e) => return self.state.workers.contains_key(&e.worker),
            Event::WorkerConnected(e) => e.worker,
            Event::WorkerAway(e) => e.worker,
            Event::WorkerReturned(e) | Event::WorkerStopping(e) => e.worker,
            Event::WorkerDraining(e) => e.worker,
            Event::WorkerLost(e) => e.worker,
            Event::WorkerUnblocked(e) => e.worker,
            _ => return true,
        };
        self.workers.contains(&worker) && !planted::is(Planted::PruneWorkers)
    }
}
