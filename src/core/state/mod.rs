//! The state of the scheduler: what replaying the journal gives, and nothing else.
//!
//! **Invariant:** everything in here changes only in [`State::apply`]. Decisions read it and answer with events.
//!
//! The parts that follow from others (queues, classes, free resources, consumers) are kept beside for speed;
//! `audit` recomputes and compares them.

pub mod ahead;
mod apply;
mod apply_acts;
mod apply_gates;
mod apply_jobs;
mod apply_retry;
mod apply_tasks;
pub mod classes;
pub mod done;
pub mod gates;
pub mod groups;
pub mod image;
pub mod jobs;
pub mod lookahead;
pub mod open;
pub mod ready;
mod rebuild;
pub mod revised;
pub mod runs;
pub mod tasks;
mod waiting;
mod withhold;
pub mod workers;

use crate::id::{ClassId, Epoch, JobId, TaskRef, WorkerId};
use crate::retention::Forgotten;
use crate::task::Condition;
use crate::time::Time;
use crate::view::TaskState;
use classes::Classes;
use gates::Gates;
use groups::Groups;
use jobs::Job;
use lookahead::Lookahead;
use open::OpenWorkers;
use ready::{Level, Ready};
use std::collections::{BTreeMap, BTreeSet};
use tasks::TaskStatus;
use workers::{Link, PastWorker, Worker};

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Six alphanumerics; empty before the first start.
    pub server_uid: String,
    /// Number of the current start.
    pub epoch: Epoch,
    /// When the current server started.
    pub started: Time,
    /// Jobs that are not forgotten; boxed, since nodes of a map are half empty when keys come in ascending order.
    pub jobs: BTreeMap<JobId, Box<Job>>,
    /// The highest job id ever given.
    pub last_job: JobId,
    /// Workers that are connected or may come back.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Workers that ended.
    pub past_workers: BTreeMap<WorkerId, PastWorker>,
    /// The highest worker id ever given.
    pub last_worker: WorkerId,
    /// Jobs whose details the journal was allowed to forget.
    pub forgotten: Forgotten,
    /// Interned requests.
    pub classes: Classes,
    /// Ready tasks.
    pub ready: Ready,
    /// Tasks that wait for a task, with what they wait for.
    pub consumers: BTreeMap<TaskRef, Vec<(TaskRef, Condition)>>,
    /// Closed gates.
    pub gates: Gates,
    /// Tasks that wait for the time of their next attempt, by that time.
    pub delayed: BTreeSet<(Time, TaskRef)>,
    /// Workers that drain.
    pub draining: BTreeSet<WorkerId>,
    /// Connected workers that have something free.
    pub open_workers: OpenWorkers,
    /// Workers by group, for multi-node tasks.
    pub groups: Groups,
    /// What lies ahead of free resources.
    pub lookahead: Lookahead,
    /// Workers that accept tasks and set a bound to their utilization.
    pub demanding: BTreeSet<WorkerId>,
}

impl State {
    /// The job.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id).map(Box::as_ref)
    }

    /// What is known about a task.
    pub fn task_status(&self, task: TaskRef) -> Option<TaskStatus> {
        self.jobs.get(&task.job)?.tasks.status(task.task)
    }

    /// The state of a task as users see it.
    pub fn task_state(&self, task: TaskRef) -> Option<TaskState> {
        self.task_status(task).map(|status| status.state())
    }

    /// The queue of a task.
    pub fn level_of(&self, task: TaskRef) -> Option<Level> {
        let job = self.jobs.get(&task.job)?;
        job.level_of(job.tasks.ordinal(task.task)?)
    }

    /// The class of a task.
    pub fn class_of(&self, task: TaskRef) -> Option<ClassId> {
        self.level_of(task).map(|level| level.class)
    }

    /// The queue from which a task was given to the worker that it is on; that of the task for one that is on none.
    pub fn level_given(&self, task: TaskRef) -> Option<Level> {
        let job = self.jobs.get(&task.job)?;
        let ordinal = job.tasks.ordinal(task.task)?;
        match job.tasks.live.get(&task.task).filter(|live| live.on_worker().is_some()) {
            Some(live) => job.level_given(ordinal, live),
            None => job.level_of(ordinal),
        }
    }

    /// The worker whose process has this name, if it is connected or may come back.
    pub fn worker_by_token(&self, token: &str) -> Option<&Worker> {
        self.workers.values().find(|worker| worker.token == token)
    }

    /// Whether a worker is away.
    pub fn somebody_is_away(&self) -> bool {
        self.workers.values().any(|worker| worker.link != Link::Connected)
    }

    /// Workers of before the last start of a server that have not come back: they may run tasks whose assignment did not
    /// reach the disk.
    pub fn missing_since_restart(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(|worker| worker.is_missing())
    }

    /// Host name of a worker, ended ones included.
    pub fn hostname(&self, worker: WorkerId) -> Option<&str> {
        let config = match self.workers.get(&worker) {
            Some(worker) => &worker.config,
            None => &self.past_workers.get(&worker)?.config,
        };
        Some(&config.hostname)
    }

    /// Whether a condition on a task is met, cannot be met any more, or is still open (`None`).
    pub fn condition(&self, on: TaskRef, condition: Condition) -> Option<bool> {
        condition_met(condition, self.task_state(on)?)
    }

    /// Live tasks of a job that are on a worker.
    pub fn on_workers(&self, job: JobId) -> impl Iterator<Item = TaskRef> + '_ {
        self.jobs.get(&job).into_iter().flat_map(move |found| {
            found
                .tasks
                .live
                .iter()
                .filter(|(_, live)| live.on_worker().is_some())
                .map(move |(id, _)| TaskRef { job, task: *id })
        })
    }

    /// Keeps the indices of workers that can take something.
    pub(crate) fn refresh_open(&mut self, worker: WorkerId) {
        match self.workers.get_mut(&worker) {
            Some(worker) => {
                self.open_workers.refresh(worker);
                if worker.listed != Some(worker.is_vacant()) {
                    worker.listed = Some(worker.is_vacant());
                    self.groups.refresh(worker);
                }
                self.lookahead.refresh(worker);
                if worker.config.min_utilization_parts > 0 && worker.accepts() {
                    self.demanding.insert(worker.id);
                } else if !self.demanding.is_empty() {
                    self.demanding.remove(&worker.id);
                }
            }
            None => {
                self.open_workers.remove(worker);
                self.lookahead.remove(worker);
                self.demanding.remove(&worker);
            }
        }
    }
}

/// Whether a final state meets a condition; none while the state is not final.
pub fn condition_met(condition: Condition, state: TaskState) -> Option<bool> {
    if !state.is_final() {
        return None;
    }
    Some(match condition {
        Condition::Ok => state == TaskState::Finished,
        Condition::Any => true,
        Condition::Failed => state == TaskState::Failed,
    })
}
