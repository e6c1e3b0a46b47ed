//! Builds views from the state.
//!
//! The only way from the state to what is shown, so that tables, JSON and pages cannot disagree. Lists come in pages:
//! the work for one answer is bounded.

use super::{GangRole, JobDetail, JobSummary, ProgressView, TaskState, TaskView, WorkerName, WorkerView};
use crate::id::{AttemptId, JobId, TaskId, WorkerId};
use crate::limits;
use crate::state::State;
use crate::state::jobs::{Job, Submit};
use crate::state::tasks::{Place, TaskStatus};
use crate::state::workers::{Link, PastWorker, Worker};
use crate::task::{SubmitDesc, TaskDesc};
use crate::view::TaskCounts;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Failed tasks that a job's detail names.
const FAILED_SHOWN: usize = 5;

impl State {
    /// All jobs, ascending.
    pub fn view_jobs(&self) -> Vec<JobSummary> {
        self.jobs.values().map(|job| summary(job)).collect()
    }

    /// One job with its submits.
    pub fn view_job(&self, id: JobId) -> Option<JobDetail> {
        let job = self.jobs.get(&id)?;
        let workers = workers_of(job);
        Some(JobDetail {
            summary: summary(job),
            max_fails: job.max_fails,
            submitted: job.submitted,
            completed: job.completed,
            submits: job.submits.iter().map(|submit| Arc::new(shown_submit(submit))).collect(),
            server_uid: self.server_uid.clone(),
            failed: first_failed(job),
            workers: self.names(workers),
            after: self.view_after(job),
        })
    }

    pub(super) fn names(&self, workers: impl IntoIterator<Item = WorkerId>) -> Vec<WorkerName> {
        let names = workers
            .into_iter()
            .filter_map(|id| self.hostname(id).map(|hostname| WorkerName { id, hostname: hostname.to_owned() }));
        names.collect()
    }

    /// A worker, also an ended one.
    pub fn view_worker(&self, id: WorkerId) -> Option<WorkerView> {
        match self.workers.get(&id) {
            Some(worker) => Some(view_present(worker)),
            None => self.past_workers.get(&id).map(view_past),
        }
    }

    /// All workers, ended ones included, ascending.
    pub fn view_workers(&self) -> Vec<WorkerView> {
        let mut views: Vec<WorkerView> = self.past_workers.values().map(view_past).collect();
        views.extend(self.workers.values().map(view_present));
        views.sort_by_key(|view| view.id);
        views
    }

    /// What is known about the jobs that somebody watches; unknown ids do not count.
    pub fn view_progress(&self, jobs: &[JobId]) -> ProgressView {
        let mut view = ProgressView { jobs_done: 0, jobs_all: 0, counts: TaskCounts::default() };
        for job in jobs.iter().filter_map(|id| self.jobs.get(id)) {
            view.jobs_all += 1;
            view.jobs_done += u64::from(job.is_done());
            view.counts.add(&job.counts);
        }
        view
    }
}

pub(super) fn summary(job: &Job) -> JobSummary {
    JobSummary {
        id: job.id,
        name: job.name.clone(),
        is_open: job.is_open,
        cancel_reason: job.cancel_reason.clone(),
        counts: job.counts,
        tags: job.tags.clone(),
    }
}

pub(super) fn view_task(job: &Job, id: TaskId) -> Option<TaskView> {
    let ordinal = job.tasks.ordinal(id)?;
    let (submit, found) = job.submit_of(ordinal)?;
    let status = job.tasks.status(id)?;
    let (state, desc) = (status.state(), found.desc_index(ordinal));
    let held = state == TaskState::Waiting && job.is_held(ordinal);
    let base = TaskView { id, state, submit, desc, held, ..TaskView::default() };
    let text = |reference| job.errors.get(reference).map(str::to_owned);
    Some(match status {
        TaskStatus::Untouched => base,
        TaskStatus::Ended(run) => TaskView { ended: Some(run.at), reason: text(run.reason), ..base },
        TaskStatus::Live(live) => match live.place {
            Place::Running { worker, fence, started, .. } => {
                let workers = nodes_or(job, id, worker);
                TaskView { attempt: fence.attempt, workers, started: Some(started), ..base }
            }
            _ => TaskView { attempt: live.next_attempt, ..base },
        },
        TaskStatus::Done(done) => TaskView {
            attempt: AttemptId(done.attempt.0),
            workers: done.started.map_or_else(Vec::new, |_| nodes_or(job, id, done.worker)),
            started: done.started_at(job.submitted),
            ended: Some(done.ended_at(job.submitted)),
            error: text(done.error).filter(|_| done.state == TaskState::Failed),
            reason: text(done.error).filter(|_| done.state != TaskState::Failed),
            ..base
        },
    })
}

/// The workers of a task, the root first: those of a multi-node task, or the one given.
fn nodes_or(job: &Job, task: TaskId, worker: WorkerId) -> Vec<WorkerId> {
    job.tasks.nodes.get(&task).map_or_else(|| vec![worker], |nodes| nodes.to_vec())
}

/// The failed tasks with the lowest ids. A job that failed has few submits, or its tasks are in order anyway.
fn first_failed(job: &Job) -> Vec<TaskView> {
    if job.counts.failed == 0 {
        return Vec::new();
    }
    let failed = job.tasks.done.iter().filter(|(_, done)| done.state == TaskState::Failed);
    let mut ids: Vec<TaskId> = if job.submits.len() == 1 {
        failed.take(FAILED_SHOWN).filter_map(|(ordinal, _)| job.tasks.id(ordinal)).collect()
    } else {
        failed.filter_map(|(ordinal, _)| job.tasks.id(ordinal)).collect()
    };
    ids.sort_unstable();
    ids.truncate(FAILED_SHOWN);
    ids.into_iter().filter_map(|id| view_task(job, id)).collect()
}

fn workers_of(job: &Job) -> BTreeSet<WorkerId> {
    let done = job.tasks.done.iter().filter(|(_, done)| done.started.is_some()).map(|(_, done)| done.worker);
    let running = job.tasks.live.values().filter_map(|live| match live.place {
        Place::Running { worker, .. } => Some(worker),
        _ => None,
    });
    done.chain(running).chain(job.tasks.nodes.values().flatten().copied()).collect()
}

/// A submit as it is shown: without bulk, long words replaced by their size, a long command cut.
fn shown_submit(submit: &Submit) -> SubmitDesc {
    let descs = submit.desc.descs.iter().map(|desc| Arc::new(shown_desc(desc)));
    // Tasks that were modified have descriptions of their own behind those that were submitted.
    let from = submit.desc.descs.len();
    let revised = (from..from + submit.revisions.len()).filter_map(|index| u32::try_from(index).ok());
    let revised = revised.filter_map(|index| submit.desc_at(index)).map(|desc| Arc::new(shown_desc(&desc)));
    submit.desc.slim(descs.chain(revised).collect())
}

pub(super) fn shown_desc(desc: &TaskDesc) -> TaskDesc {
    let word = |word: &String| {
        if word.len() > limits::SHOWN_ARG_BYTES_MAX { format!("<{} bytes>", word.len()) } else { word.clone() }
    };
    TaskDesc {
        args: desc.args.iter().take(limits::SHOWN_ARGS_MAX).map(word).collect(),
        env: desc.env.clone(),
        cwd: desc.cwd.clone(),
        stdout: desc.stdout.clone(),
        stderr: desc.stderr.clone(),
        stdin: Default::default(),
        request: desc.request.clone(),
        priority: desc.priority,
        time_limit: desc.time_limit,
        crash_limit: desc.crash_limit,
        pin: desc.pin,
        task_dir: desc.task_dir,
        retry: desc.retry.clone(),
        stop: desc.stop.clone(),
    }
}

fn view_present(worker: &Worker) -> WorkerView {
    WorkerView {
        id: worker.id,
        config: Box::new((*worker.config).clone()),
        started: worker.started,
        ended: None,
        assigned_tasks: worker.assigned(),
        running_tasks: worker.running,
        last_started: worker.last_started,
        away: worker.link != Link::Connected,
        gang: match worker.gang {
            None => GangRole::None,
            Some(task) if worker.tasks.contains(&task) => GangRole::Root,
            Some(_) => GangRole::Node,
        },
        draining: worker.draining,
    }
}

fn view_past(past: &PastWorker) -> WorkerView {
    WorkerView {
        id: past.id,
        config: Box::new((*past.config).clone()),
        started: past.started,
        ended: Some(past.end),
        assigned_tasks: 0,
        running_tasks: 0,
        last_started: past.last_started,
        away: false,
        gang: GangRole::None,
        draining: None,
    }
}
