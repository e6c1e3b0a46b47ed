//! What a session was told as new while it reads the past: it is not told as past again.
//!
//! Holds: no more is kept than the events weigh that wait to be told.

use hq_core::event::{Event, JobSubmitted};
use hq_core::id::{JobId, TaskId, WorkerId};
use hq_core::idset::{IdRange, IdSet};
use hq_core::state::runs::Runs;
use hq_core::view::{Happening, Moment};
use std::collections::{BTreeMap, BTreeSet};

/// News of one job.
#[derive(Debug, Default)]
struct JobNews {
    started: Runs,
    ended: Ids,
    /// First tasks of submits.
    submits: BTreeSet<u32>,
    is_completed: bool,
}

/// Ids; those of stepped ranges stay ranges.
#[derive(Debug, Default)]
struct Ids {
    runs: Runs,
    stepped: Vec<IdRange>,
}

impl Ids {
    fn add(&mut self, ids: &IdSet) {
        for range in ids.ranges.iter().filter(|range| !range.is_empty()) {
            if range.step() == 1 || range.len() == 1 {
                self.runs.insert(range.start, range.last());
            } else {
                self.stepped.push(*range);
            }
        }
    }

    fn contains(&self, id: u32) -> bool {
        self.runs.contains(id) || self.stepped.iter().any(|range| range.position(id).is_some())
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct News {
    last_job: JobId,
    last_worker: WorkerId,
    jobs: BTreeMap<JobId, JobNews>,
    lost: BTreeSet<WorkerId>,
}

impl News {
    /// Everything about jobs and workers behind these is new.
    pub fn after(last_job: JobId, last_worker: WorkerId) -> Self {
        Self { last_job, last_worker, ..Self::default() }
    }

    /// Takes note of an event.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::WorkerLost(lost) => drop(self.lost.insert(lost.worker)),
            Event::JobSubmitted(event) if event.attached => {
                let first = event.submit.ids.ranges.first().map(|range| range.start);
                self.job(event.job).submits.extend(first);
            }
            Event::JobCompleted(event) => self.job(event.job).is_completed = true,
            Event::TasksStarted(event) => {
                let job = self.job(event.job);
                event.tasks.iter().for_each(|TaskId(task)| job.started.insert(*task, *task));
            }
            Event::TasksFinished(event) => {
                let job = self.job(event.job);
                event.tasks.iter().for_each(|TaskId(task)| job.ended.runs.insert(*task, *task));
            }
            Event::TaskFailed(event) => self.job(event.job).ended.runs.insert(event.task.0, event.task.0),
            Event::TasksCanceled(event) | Event::TasksAborted(event) => self.job(event.job).ended.add(&event.tasks),
            _ => {}
        }
    }

    fn job(&mut self, job: JobId) -> &mut JobNews {
        self.jobs.entry(job).or_default()
    }

    /// Whether a moment was told as new.
    pub fn has(&self, moment: &Moment) -> bool {
        let worker = WorkerId(moment.number);
        let job = self.jobs.get(&moment.job);
        match moment.what {
            Happening::WorkerConnected => worker > self.last_worker,
            Happening::WorkerLost => worker > self.last_worker || self.lost.contains(&worker),
            _ if moment.job > self.last_job => true,
            Happening::JobOpened | Happening::JobSubmitted => false,
            Happening::JobCompleted => job.is_some_and(|job| job.is_completed),
            Happening::TaskStarted => job.is_some_and(|job| job.started.contains(moment.number)),
            Happening::TaskFinished | Happening::TaskFailed | Happening::TasksAborted | Happening::TasksCanceled => {
                job.is_some_and(|job| job.ended.contains(moment.number))
            }
        }
    }

    /// Whether a submit was told as new.
    pub fn has_submit(&self, event: &JobSubmitted) -> bool {
        let first = event.submit.ids.ranges.first().map(|range| range.start);
        let job = self.jobs.get(&event.job);
        first.zip(job).is_some_and(|(first, job)| job.submits.contains(&first))
    }
}
