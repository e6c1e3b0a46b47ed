//! What the passing of time means: leases that ended, workers that idle, workers that do not stop.

use crate::attempt::Attempt;
use crate::event::{AwayReason, Event, TaskFailed, WorkerLost};
use crate::id::{AttemptId, TaskRef, WorkerId};
use crate::limits;
use crate::planted::{self, Planted};
use crate::retry::FailureCause;
use crate::state::State;
use crate::state::tasks::Place;
use crate::state::workers::{Link, Worker};
use crate::task::CrashLimit;
use crate::time::Time;
use crate::worker::LostReason;

/// Since when, without a gap, the server has shown on the file system that it lives; none: it cannot.
#[derive(Debug, Clone, Copy)]
pub struct Witnessed(pub Option<Time>);

impl Default for Witnessed {
    fn default() -> Self {
        Self(Some(Time(0)))
    }
}

/// Workers whose time is over, with the reason.
pub fn overdue_workers(state: &State, now: Time, witnessed: Witnessed) -> Vec<(WorkerId, LostReason)> {
    let overdue = state.workers.values().filter_map(|worker| {
        let end = link_end(worker, witnessed)?;
        let reason = match worker.link {
            _ if worker.stopping.is_some() => LostReason::Stopped,
            Link::Away { reason: AwayReason::Silent, .. } => LostReason::HeartbeatLost,
            _ => LostReason::ConnectionLost,
        };
        (now >= end).then_some((worker.id, reason))
    });
    overdue.collect()
}

/// When a worker that is away, or does not stop, is lost. One that may still run its tasks keeps them until it must
/// have ended them: its lease has ended, and it could have seen for as long that the server lives. Without that it
/// may take the server for dead, and then its tasks are its own for the long lease.
fn link_end(worker: &Worker, witnessed: Witnessed) -> Option<Time> {
    match (worker.link, worker.stopping) {
        // Also one that was told to stop: its process may live, and then it runs its tasks until it hears of that.
        (Link::Away { reason: AwayReason::Closed, until }, _) => Some(until),
        (Link::Away { .. }, _) if planted::is(Planted::ShortPatience) => Some(Time(0)),
        (Link::Away { until, .. }, _) => {
            let long = until.after(limits::SERVER_LOST_LEASE_SPAN);
            Some(witnessed.0.map_or(long, |since| since.after(worker.config.patience()).max(until).min(long)))
        }
        (Link::Connected, stopping) => stopping.map(|at| at.after(limits::WORKER_STOP_SPAN)),
    }
}

/// Connected workers that have been idle for longer than they want to be. Some have what the state does not know of.
pub fn idle_workers(state: &State, now: Time, is_busy: &dyn Fn(WorkerId) -> bool) -> Vec<WorkerId> {
    let is_over = |worker: &&Worker| idle_end(worker, is_busy).is_some_and(|end| now >= end);
    state.workers.values().filter(is_over).map(|worker| worker.id).collect()
}

fn idle_end(worker: &Worker, is_busy: &dyn Fn(WorkerId) -> bool) -> Option<Time> {
    let timeout = worker.config.idle_timeout?;
    let is_idle = worker.tasks.is_empty() && worker.accepts() && !is_busy(worker.id);
    is_idle.then(|| worker.idle_since.after(timeout))
}

/// Connected workers that drain and have nothing left, unless they end by themselves, or no time left.
pub fn drained_workers(state: &State, now: Time) -> Vec<WorkerId> {
    let found = state.draining.iter().filter_map(|id| state.workers.get(id));
    let found = found.filter(|worker| worker.link == Link::Connected && worker.stopping.is_none());
    let over = |worker: &Worker| worker.draining.and_then(|drain| drain.until).is_some_and(|until| now >= until);
    let is_done = |worker: &Worker| worker.tasks.is_empty() && worker.gang.is_none();
    let waits = |worker: &Worker| worker.draining.is_some_and(|drain| !drain.own);
    found.filter(|worker| (waits(worker) && is_done(worker)) || over(worker)).map(|worker| worker.id).collect()
}

/// Attempts that lie on a worker and have not started as far as is known.
pub fn not_started(state: &State, worker: WorkerId) -> Vec<Attempt> {
    let tasks = state.workers.get(&worker).into_iter().flat_map(|worker| worker.tasks.iter());
    tasks
        .filter_map(|task| {
            let live = state.job(task.job)?.tasks.live.get(&task.task)?;
            let (_, fence) = live.on_worker().filter(|_| matches!(live.place, Place::Assigned { .. }))?;
            Some(Attempt { task: *task, fence })
        })
        .collect()
}

/// The next moment at which one of the above may change.
pub fn next_deadline(state: &State, witnessed: Witnessed, is_busy: &dyn Fn(WorkerId) -> bool) -> Option<Time> {
    let deadline = |worker: &Worker| {
        let drained = worker.draining.filter(|_| worker.link == Link::Connected && worker.stopping.is_none());
        [link_end(worker, witnessed), idle_end(worker, is_busy), drained.and_then(|drain| drain.until)]
            .into_iter()
            .flatten()
            .min()
    };
    state.workers.values().filter_map(deadline).min()
}

/// The loss of a worker, and the failures that it means for tasks that ran there too often.
pub fn loss(state: &State, worker: WorkerId, reason: LostReason) -> (Event, Vec<TaskFailed>) {
    let mut failed = Vec::new();
    for task in state.workers.get(&worker).into_iter().flat_map(|worker| worker.tasks.iter()) {
        if let Some(error) = loss_failure(state, *task, reason.is_crash()) {
            let live = state.job(task.job).and_then(|job| job.tasks.live.get(&task.task));
            failed.push(TaskFailed {
                job: task.job,
                task: task.task,
                error,
                cause: FailureCause::Node,
                attempt: live.and_then(|live| live.on_worker()).map_or(AttemptId(0), |(_, fence)| fence.attempt),
                ..TaskFailed::default()
            });
        }
    }
    (Event::WorkerLost(WorkerLost { worker, reason }), failed)
}

/// The error of a task that runs on a worker that ends and may not run again; a crash counts against its limit.
pub(super) fn loss_failure(state: &State, task: TaskRef, is_crash: bool) -> Option<String> {
    let job = state.job(task.job)?;
    let live = job.tasks.live.get(&task.task)?;
    if !matches!(live.place, Place::Running { .. }) {
        return None;
    }
    match job.desc_of(job.tasks.ordinal(task.task)?)?.crash_limit {
        CrashLimit::Never => Some("Task was running on a lost worker while never restart flag was set.".to_owned()),
        CrashLimit::Max(limit) if is_crash && live.crashes + 1 >= limit => Some(format!(
            "Task was running on a worker that was lost; the task has occurred {} times in this situation and limit was reached.",
            live.crashes + 1
        )),
        CrashLimit::Max(_) | CrashLimit::Unlimited => None,
    }
}
