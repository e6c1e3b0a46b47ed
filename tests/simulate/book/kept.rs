//! What the journal has to keep, by what it says itself: every record, but for those of jobs whose details were forgotten,
//! of jobs that were forgotten, and of workers that are gone.
//!
//! Holds: what became spare once stays so; the job may go on, and what happens from then on is kept again.

use super::Book;
use hq_core::event::{Event, Stamped};
use hq_core::id::{JobId, WorkerId};
use hq_core::retention::DetailsForgotten;
use std::collections::{BTreeMap, BTreeSet};

/// Whose record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Job(JobId),
    Worker(WorkerId),
}

/// See the module.
#[derive(Default)]
pub struct Kept {
    /// Records that have to stay for as long as nothing is said about their owner.
    of: BTreeMap<Owner, Vec<u64>>,
    /// Records that may go.
    spare: BTreeSet<u64>,
    /// Jobs that have no details any more.
    slim: BTreeSet<JobId>,
}

impl Kept {
    /// Reads an event.
    pub fn note(&mut self, seq: u64, event: &Event) {
        if let Event::DetailsForgotten(event) = event {
            for job in event.jobs.iter().map(JobId) {
                self.slim.insert(job);
                self.let_go(Owner::Job(job));
            }
        }
        let Some(owner) = owner(event) else { return };
        match event {
            Event::TasksRerun(event) => drop(self.slim.remove(&event.job)),
            Event::JobForgotten(event) => drop(self.slim.insert(event.job)),
            _ => {}
        }
        self.of.entry(owner).or_default().push(seq);
        let is_spare = match owner {
            Owner::Job(job) => self.slim.contains(&job),
            Owner::Worker(_) => matches!(event, Event::WorkerLost(_)),
        };
        if is_spare {
            self.let_go(owner);
        }
    }

    fn let_go(&mut self, owner: Owner) {
        self.spare.extend(self.of.remove(&owner).into_iter().flatten());
    }

    /// Whether a record may be gone.
    pub fn is_spare(&self, seq: u64) -> bool {
        self.spare.contains(&seq)
    }

    /// The records that the history of each job has to have.
    pub fn of_jobs(&self) -> impl Iterator<Item = (JobId, &[u64])> {
        self.of.iter().filter_map(|(owner, seqs)| match owner {
            Owner::Job(job) => Some((*job, seqs.as_slice())),
            Owner::Worker(_) => None,
        })
    }
}

impl Book {
    pub(super) fn details_forgotten(&mut self, event: &DetailsForgotten) -> Result<(), String> {
        match event.jobs.iter().find(|job| self.jobs.get(&JobId(*job)).is_none_or(|sheet| !sheet.is_completed)) {
            Some(job) => Err(format!("details of job {job} are forgotten, and it is not completed")),
            None => Ok(()),
        }
    }
}

fn owner(event: &Event) -> Option<Owner> {
    let worker = match event {
        Event::WorkerConnected(event) => event.worker,
        Event::WorkerAway(event) => event.worker,
        Event::WorkerReturned(event) | Event::WorkerStopping(event) => event.worker,
        Event::WorkerDraining(event) => event.worker,
        Event::WorkerOverview(event) => event.worker,
        Event::WorkerLost(event) => event.worker,
        Event::WorkerUnblocked(event) => event.worker,
        _ => return event.job().map(Owner::Job),
    };
    Some(Owner::Worker(worker))
}

/// The workers that an event of a job names: what it tells cannot be told without them.
pub fn named(stamped: &Stamped) -> Vec<WorkerId> {
    match &stamped.event {
        Event::TasksAssigned(event) => vec![event.worker],
        Event::TasksStarted(event) => vec![event.worker],
        Event::TaskAdopted(event) => vec![event.worker],
        Event::TasksReturned(event) => vec![event.worker],
        Event::TasksFinished(event) => vec![event.worker],
        _ => Vec::new(),
    }
}
