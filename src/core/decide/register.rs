//! What to do with a worker that registers: a new one, or one that comes back with attempts and outcomes.

use crate::attempt::{Attempt, HeldAttempt, Outcome, Registration};
use crate::event::{Event, TaskAdopted, TasksReturned};
use crate::id::{JobId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::state::State;
use crate::state::tasks::{Live, Place, TaskStatus};
use crate::worker::WorkerConfig;
use std::collections::{BTreeMap, BTreeSet};

/// Checks what a worker says about itself.
///
/// # Errors
/// The reason for the refusal.
pub fn check_config(config: &WorkerConfig) -> Result<(), String> {
    let heartbeat = config.heartbeat;
    if heartbeat < limits::HEARTBEAT_MIN || heartbeat > limits::HEARTBEAT_MAX {
        return Err(format!(
            "a heartbeat interval of {:?} is not allowed; it has to be between {:?} and {:?}",
            heartbeat.to_duration(),
            limits::HEARTBEAT_MIN.to_duration(),
            limits::HEARTBEAT_MAX.to_duration()
        ));
    }
    if config.resources.pools.len() > limits::RESOURCES_MAX {
        return Err(format!(
            "{} resources are too many; at most {}",
            config.resources.pools.len(),
            limits::RESOURCES_MAX
        ));
    }
    let mut names = BTreeSet::new();
    for pool in &config.resources.pools {
        if !names.insert(&pool.name) {
            return Err(format!("Resource {} defined twice", pool.name));
        }
        if pool.kind.size().0 == 0 || pool.kind.size().0 > u64::from(u32::MAX) * 10_000 {
            return Err(format!("Resource {} is empty or too large", pool.name));
        }
    }
    Ok(())
}

/// What becomes of the attempts that a returning worker holds, and of those it should hold.
#[derive(Debug, Default)]
pub struct Reunion {
    /// Assignments that the state does not have, since they were lost with a server.
    pub adopted: Vec<Event>,
    /// Held attempts that are the worker's own.
    pub kept: Vec<HeldAttempt>,
    /// Held attempts that it must kill and forget.
    pub drop: Vec<Attempt>,
}

/// Compares what the worker holds with the state.
pub fn reunite(state: &State, worker: WorkerId, registration: &Registration) -> Reunion {
    let mut reunion = Reunion::default();
    let mut seen = BTreeSet::new();
    let outcomes = registration.outbox.iter().map(outcome_as_held);
    for (held, is_outcome) in registration.held.iter().map(|held| (*held, false)).chain(outcomes) {
        if !seen.insert(held.attempt.task) {
            continue;
        }
        match judge(state, worker, &held) {
            Verdict::Keep => {}
            Verdict::Adopt => reunion.adopted.push(adoption(worker, &held)),
            Verdict::Drop => {
                if !is_outcome {
                    reunion.drop.push(held.attempt);
                }
                continue;
            }
        }
        if !is_outcome {
            reunion.kept.push(held);
        }
    }
    reunion
}

fn outcome_as_held(outcome: &Outcome) -> (HeldAttempt, bool) {
    (HeldAttempt { attempt: outcome.attempt, started: outcome.started, variant: outcome.variant }, true)
}

enum Verdict {
    Keep,
    Adopt,
    Drop,
}

fn judge(state: &State, worker: WorkerId, held: &HeldAttempt) -> Verdict {
    let fence = held.attempt.fence;
    let waits_with = |next: u32| fence.epoch < state.epoch && fence.attempt.0 >= next;
    match state.task_status(held.attempt.task) {
        Some(TaskStatus::Live(live)) => match live {
            Live { place: Place::Ready, next_attempt, .. } if waits_with(next_attempt.0) => Verdict::Adopt,
            _ if live.on_worker() == Some((worker, fence)) => Verdict::Keep,
            _ => Verdict::Drop,
        },
        Some(TaskStatus::Untouched) if waits_with(0) => Verdict::Adopt,
        _ => Verdict::Drop,
    }
}

fn adoption(worker: WorkerId, held: &HeldAttempt) -> Event {
    Event::TaskAdopted(TaskAdopted {
        job: held.attempt.task.job,
        task: held.attempt.task.task,
        worker,
        epoch: held.attempt.fence.epoch,
        attempt: held.attempt.fence.attempt,
        variant: held.variant,
    })
}

/// Tasks that the state has on the worker, but the worker does not know: they never reached it.
pub fn unknown_to_worker(state: &State, worker: WorkerId, registration: &Registration) -> Vec<Event> {
    let known: BTreeSet<Attempt> = registration
        .held
        .iter()
        .map(|held| held.attempt)
        .chain(registration.outbox.iter().map(|outcome| outcome.attempt))
        .collect();
    let mut by_job: BTreeMap<JobId, Vec<u32>> = BTreeMap::new();
    for task in state.workers.get(&worker).into_iter().flat_map(|worker| worker.tasks.iter()) {
        let live = state.job(task.job).and_then(|job| job.tasks.live.get(&task.task));
        let Some((_, fence)) = live.and_then(|live| live.on_worker()) else { continue };
        if !known.contains(&Attempt { task: *task, fence }) {
            by_job.entry(task.job).or_default().push(task.task.0);
        }
    }
    by_job.into_iter().map(|(job, tasks)| returned(job, worker, tasks, false)).collect()
}

/// The event that puts tasks back into their queue.
pub fn returned(job: JobId, worker: WorkerId, tasks: impl IntoIterator<Item = u32>, rejected: bool) -> Event {
    Event::TasksReturned(TasksReturned { job, worker, tasks: IdSet::from_sorted(tasks), rejected })
}

/// Whether an attempt is the worker's own.
pub fn holds(state: &State, worker: WorkerId, attempt: &Attempt) -> bool {
    let TaskRef { job, task } = attempt.task;
    let live = state.job(job).and_then(|job| job.tasks.live.get(&task));
    live.and_then(|live| live.on_worker()) == Some((worker, attempt.fence))
}
