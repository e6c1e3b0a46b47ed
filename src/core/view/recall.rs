//! What happened, as far as the state tells it: the past for those who ask where no journal is kept.
//!
//! The state may hold millions of tasks, changes while somebody reads, and must not be held up. So nothing is copied: a reader
//! asks for *moments*, small keys that sort by time, in slices of bounded work, keeps the earliest of them ([`Earliest`]),
//! asks for the events of those, and begins anew behind the last one.
//!
//! Holds: a moment that the state has throughout is told exactly once; what cannot be known any more is left out, never
//! guessed. Known are workers, jobs with their submits, and the last execution of each task.

use super::build::shown_desc;
use super::{TaskState, WorkerEnd};
use crate::event::{
    Event, JobChanged, JobOpened, JobSubmitted, Stamped, TaskFailed, TasksEnded, TasksFinished, TasksStarted,
    WorkerConnected, WorkerLost,
};
use crate::id::{AttemptId, JobId, TaskId, WorkerId};
use crate::idset::IdSet;
use crate::state::State;
use crate::state::jobs::Job;
use crate::state::tasks::{Place, TaskStatus};
use crate::task::SubmitDesc;
use crate::time::Time;
use crate::worker::WorkerConfig;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// What happened, in the order in which things of one instant are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// A worker registered.
    WorkerConnected,
    /// A job was made.
    JobOpened,
    /// Tasks were submitted.
    JobSubmitted,
    /// A task started.
    TaskStarted,
    /// A worker ended.
    WorkerLost,
    /// A task finished.
    TaskFinished,
    /// A task failed.
    TaskFailed,
    /// Tasks were aborted.
    TasksAborted,
    /// Tasks were canceled.
    TasksCanceled,
    /// Nothing is left of a closed job.
    JobCompleted,
}

/// One thing that happened; sorts by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When.
    pub at: Time,
    /// What.
    pub what: Happening,
    /// The job; 0 for a worker.
    pub job: JobId,
    /// Number of the worker, of the submit, or of the task: of tasks that ended together the first one.
    pub number: u32,
}

/// Where a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// At the workers from this one on.
    Workers(WorkerId),
    /// At the workers that ended, from this one on.
    PastWorkers(WorkerId),
    /// At the jobs from this one on.
    Jobs(JobId),
    /// At the tasks of a job that are not final, from this one on.
    Live(JobId, TaskId),
    /// At its final tasks, from this ordinal on.
    Done(JobId, u32),
    /// At those that ended together, from this ordinal on.
    Ended(JobId, u32),
}

/// Which moments are wanted.
#[derive(Debug, Clone)]
pub struct Window {
    /// Only later ones.
    pub after: Option<Moment>,
    /// Only earlier ones.
    pub before: Option<Moment>,
    /// Nothing after this time.
    pub until: Time,
    /// No job behind this one.
    pub last_job: JobId,
    /// Only of these jobs, and nothing of workers; none: everything.
    pub jobs: Arc<Option<IdSet>>,
}

impl Window {
    fn has(&self, moment: &Moment) -> bool {
        moment.at <= self.until
            && self.after.is_none_or(|after| *moment > after)
            && self.before.is_none_or(|before| *moment < before)
    }

    /// Whether something between these times can be in the window.
    fn meets(&self, from: Time, to: Option<Time>) -> bool {
        from <= self.until
            && self.before.is_none_or(|before| from <= before.at)
            && to.is_none_or(|to| self.after.is_none_or(|after| to >= after.at))
    }

    fn wants(&self, job: JobId) -> bool {
        self.jobs.as_ref().as_ref().is_none_or(|jobs| jobs.contains(job.0))
    }
}

/// What a search found, with the work that is left for it.
struct Search<'a> {
    window: &'a Window,
    moments: Vec<Moment>,
    budget: usize,
}

impl Search<'_> {
    fn see(&mut self, at: Time, what: Happening, job: JobId, number: u32) {
        let moment = Moment { at, what, job, number };
        if self.window.has(&moment) {
            self.moments.push(moment);
        }
    }

    /// Whether one more thing may be looked at.
    fn spend(&mut self) -> bool {
        let is_left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        is_left
    }
}

impl State {
    /// Looks at up to `budget` things from `spot` on; gives the wanted moments among them, in any order, and where to go on.
    pub fn recall(&self, spot: Spot, window: &Window, budget: usize) -> (Vec<Moment>, Option<Spot>) {
        let mut search = Search { window, moments: Vec::new(), budget };
        let mut next = Some(spot);
        while let Some(spot) = next.filter(|_| search.budget > 0) {
            next = match spot {
                Spot::Workers(_) | Spot::PastWorkers(_) if window.jobs.is_some() => Some(Spot::Jobs(JobId(0))),
                Spot::Workers(from) => self.recall_workers(from, &mut search),
                Spot::PastWorkers(from) => self.recall_past_workers(from, &mut search),
                Spot::Jobs(from) => self.recall_job(from, &mut search),
                Spot::Live(id, _) | Spot::Done(id, _) | Spot::Ended(id, _) => match self.jobs.get(&id) {
                    Some(job) => recall_tasks(job, spot, &mut search),
                    None => behind(id),
                },
            };
        }
        (search.moments, next)
    }

    fn recall_workers(&self, from: WorkerId, search: &mut Search<'_>) -> Option<Spot> {
        for worker in self.workers.range(from..).map(|(_, worker)| worker) {
            if !search.spend() {
                return Some(Spot::Workers(worker.id));
            }
            search.see(worker.started, Happening::WorkerConnected, JobId(0), worker.id.0);
        }
        Some(Spot::PastWorkers(WorkerId(0)))
    }

    fn recall_past_workers(&self, from: WorkerId, search: &mut Search<'_>) -> Option<Spot> {
        for worker in self.past_workers.range(from..).map(|(_, worker)| worker) {
            if !search.spend() {
                return Some(Spot::PastWorkers(worker.id));
            }
            search.see(worker.started, Happening::WorkerConnected, JobId(0), worker.id.0);
            search.see(worker.end.at, Happening::WorkerLost, JobId(0), worker.id.0);
        }
        Some(Spot::Jobs(JobId(0)))
    }

    /// Looks at the first job that may have something; its tasks come next.
    fn recall_job(&self, from: JobId, search: &mut Search<'_>) -> Option<Spot> {
        for (id, job) in self.jobs.range(from..).take_while(|(id, _)| **id <= search.window.last_job) {
            if !search.spend() {
                return Some(Spot::Jobs(*id));
            }
            if !search.window.wants(*id) || !search.window.meets(job.submitted, job.completed) {
                continue;
            }
            search.see(job.submitted, Happening::JobOpened, *id, 0);
            for (number, _) in (0u32..).zip(&job.submits) {
                search.see(job.submitted, Happening::JobSubmitted, *id, number);
            }
            if let Some(at) = job.completed {
                search.see(at, Happening::JobCompleted, *id, 0);
            }
            search.budget = search.budget.saturating_sub(job.submits.len());
            return Some(Spot::Live(*id, TaskId(0)));
        }
        None
    }

    /// The events of some moments, in their order; a moment of which the state does not know any more has none. Ends of one
    /// instant for which the same reason is given are one event.
    pub fn recall_events(&self, moments: &[Moment]) -> Vec<Stamped> {
        let mut events: Vec<Stamped> = Vec::new();
        for moment in moments {
            let Some(event) = self.recall_event(moment) else { continue };
            let last = events.last_mut().filter(|last| last.at == moment.at);
            match (last.map(|last| &mut last.event), event) {
                (Some(Event::TasksCanceled(last)), Event::TasksCanceled(ended)) if is_like(last, &ended) => {
                    last.tasks.ranges.extend(ended.tasks.ranges);
                }
                (Some(Event::TasksAborted(last)), Event::TasksAborted(ended)) if is_like(last, &ended) => {
                    last.tasks.ranges.extend(ended.tasks.ranges);
                }
                (_, event) => events.push(Stamped { at: moment.at, event }),
            }
        }
        events
    }

    fn recall_event(&self, moment: &Moment) -> Option<Event> {
        match moment.what {
            Happening::WorkerConnected => {
                let worker = WorkerId(moment.number);
                let config = self.workers.get(&worker).map(|worker| &worker.config);
                let config = config.or_else(|| self.past_workers.get(&worker).map(|worker| &worker.config))?;
                let config: Box<WorkerConfig> = Box::new((**config).clone());
                Some(Event::WorkerConnected(WorkerConnected { worker, config, ..WorkerConnected::default() }))
            }
            Happening::WorkerLost => {
                let worker = WorkerId(moment.number);
                let WorkerEnd { reason, .. } = self.past_workers.get(&worker)?.end;
                Some(Event::WorkerLost(WorkerLost { worker, reason }))
            }
            _ => recall_of_job(self.jobs.get(&moment.job)?, moment),
        }
    }
}

fn is_like(last: &TasksEnded, ended: &TasksEnded) -> bool {
    last.job == ended.job && last.reason == ended.reason
}

fn behind(job: JobId) -> Option<Spot> {
    Some(Spot::Jobs(JobId(job.0.checked_add(1)?)))
}

fn recall_tasks(job: &Job, spot: Spot, search: &mut Search<'_>) -> Option<Spot> {
    match spot {
        Spot::Live(_, from) => {
            for (task, live) in job.tasks.live.range(from..) {
                if !search.spend() {
                    return Some(Spot::Live(job.id, *task));
                }
                if let Place::Running { started, .. } = live.place {
                    search.see(started.max(job.submitted), Happening::TaskStarted, job.id, task.0);
                }
            }
            Some(Spot::Done(job.id, 0))
        }
        Spot::Done(_, from) => {
            for (ordinal, done) in job.tasks.done.iter_from(from) {
                if !search.spend() {
                    return Some(Spot::Done(job.id, ordinal));
                }
                let (started, ended) = (done.started_at(job.submitted), done.ended_at(job.submitted));
                if !search.window.meets(started.unwrap_or(ended), Some(ended)) {
                    continue;
                }
                let Some(task) = job.tasks.id(ordinal) else { continue };
                if let Some(at) = started {
                    search.see(at, Happening::TaskStarted, job.id, task.0);
                }
                if let Some(what) = happening(done.state) {
                    search.see(ended, what, job.id, task.0);
                }
            }
            Some(Spot::Ended(job.id, 0))
        }
        Spot::Ended(_, from) => {
            for (ordinal, run) in job.tasks.ended.range(from..) {
                if !search.spend() {
                    return Some(Spot::Ended(job.id, *ordinal));
                }
                if let (Some(what), Some(task)) = (happening(run.state), job.tasks.id(*ordinal)) {
                    search.see(run.at, what, job.id, task.0);
                }
            }
            behind(job.id)
        }
        Spot::Workers(_) | Spot::PastWorkers(_) | Spot::Jobs(_) => Some(spot),
    }
}

fn happening(state: TaskState) -> Option<Happening> {
    Some(match state {
        TaskState::Finished => Happening::TaskFinished,
        TaskState::Failed => Happening::TaskFailed,
        TaskState::Aborted => Happening::TasksAborted,
        TaskState::Canceled => Happening::TasksCanceled,
        TaskState::Waiting | TaskState::Running => return None,
    })
}

fn recall_of_job(job: &Job, moment: &Moment) -> Option<Event> {
    let (id, task) = (job.id, TaskId(moment.number));
    Some(match moment.what {
        Happening::JobOpened => {
            let (name, tags) = (job.name.clone(), job.tags.clone());
            Event::JobOpened(JobOpened { job: id, name, max_fails: job.max_fails, tags })
        }
        Happening::JobSubmitted => {
            let submit = Arc::clone(&job.submits.get(moment.number as usize)?.desc);
            let name = job.name.clone();
            Event::JobSubmitted(JobSubmitted { job: id, name, submit, attached: true, ..JobSubmitted::default() })
        }
        Happening::JobCompleted => {
            job.completed.filter(|at| *at == moment.at)?;
            Event::JobCompleted(JobChanged { job: id })
        }
        Happening::TaskStarted => {
            let (worker, attempt, variant) = execution(job, task, moment.at)?;
            let nodes = job.tasks.nodes.get(&task).map(|nodes| nodes.to_vec()).unwrap_or_default();
            let (tasks, attempts) = (vec![task], vec![attempt]);
            Event::TasksStarted(TasksStarted { job: id, worker, tasks, attempts, variant, nodes, ..Default::default() })
        }
        _ => ended(job, task, moment)?,
    })
}

/// Where the last execution of a task began at this time, its number, and the index of the variant as far as it is known.
fn execution(job: &Job, task: TaskId, at: Time) -> Option<(WorkerId, AttemptId, u32)> {
    match job.tasks.status(task)? {
        TaskStatus::Live(live) => match live.place {
            Place::Running { worker, fence, variant, started } if started.max(job.submitted) == at => {
                Some((worker, fence.attempt, variant))
            }
            _ => None,
        },
        TaskStatus::Done(done) if done.started_at(job.submitted) == Some(at) => Some((done.worker, done.attempt, 0)),
        _ => None,
    }
}

/// How a task, or tasks together with it, ended at this time.
fn ended(job: &Job, task: TaskId, moment: &Moment) -> Option<Event> {
    let text = |reference| job.errors.get(reference).unwrap_or_default().to_owned();
    let tasks_ended = |tasks, reason| TasksEnded { job: job.id, tasks, reason: text(reason) };
    match job.tasks.status(task)? {
        TaskStatus::Done(done) if done.ended_at(job.submitted) == moment.at => {
            let (job, worker, attempt) = (job.id, done.worker, done.attempt);
            Some(match done.state {
                TaskState::Finished => {
                    Event::TasksFinished(TasksFinished { job, worker, tasks: vec![task], ..TasksFinished::default() })
                }
                TaskState::Failed => Event::TaskFailed(TaskFailed {
                    job,
                    task,
                    error: text(done.error),
                    attempt,
                    ..TaskFailed::default()
                }),
                TaskState::Canceled => Event::TasksCanceled(tasks_ended(IdSet::single(task.0), done.error)),
                TaskState::Aborted => Event::TasksAborted(tasks_ended(IdSet::single(task.0), done.error)),
                TaskState::Waiting | TaskState::Running => return None,
            })
        }
        TaskStatus::Ended(run) if run.at == moment.at => {
            let first = job.tasks.ordinal(task)?;
            let tasks = IdSet { ranges: job.tasks.ids_of_run(first, run.last) };
            match run.state {
                TaskState::Canceled => Some(Event::TasksCanceled(tasks_ended(tasks, run.reason))),
                TaskState::Aborted => Some(Event::TasksAborted(tasks_ended(tasks, run.reason))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A submit as it is told of the past: without standard input and entries, long words replaced by their size.
pub fn recalled_submit(submit: &SubmitDesc) -> SubmitDesc {
    submit.slim(submit.descs.iter().map(|desc| Arc::new(shown_desc(desc))).collect())
}

/// The earliest of the moments that are added.
#[derive(Debug)]
pub struct Earliest {
    heap: BinaryHeap<Moment>,
    max: usize,
    window: Window,
}

impl Earliest {
    /// Keeps up to `max` moments of the window.
    pub fn new(max: usize, window: Window) -> Self {
        Self { heap: BinaryHeap::new(), max, window }
    }

    /// What is still wanted.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Adds one.
    pub fn add(&mut self, moment: Moment) {
        if !self.window.has(&moment) {
            return;
        }
        self.heap.push(moment);
        if self.heap.len() > self.max {
            self.heap.pop();
        }
        if self.heap.len() == self.max {
            self.window.before = self.heap.peek().copied();
        }
    }

    /// The moments in their order, and the window of what is behind them; none when there can be nothing.
    pub fn finish(self) -> (Vec<Moment>, Option<Window>) {
        let is_full = self.heap.len() >= self.max;
        let moments = self.heap.into_sorted_vec();
        let next = Window { after: moments.last().copied(), before: None, ..self.window };
        (moments, is_full.then_some(next))
    }
}
