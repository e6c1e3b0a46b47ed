//! What a worker's report means. Only words with the right fence count; the rest is ignored.

use super::register::{holds, returned};
use super::time::loss_failure;
use crate::attempt::{Attempt, Ending, Outcome, Started, TaskVariant, WorkerReport};
use crate::event::{Event, TaskFailed, TasksFinished, TasksStarted, WorkerUnblocked};
use crate::id::{AttemptId, JobId, TaskId, TaskRef, WorkerId};
use crate::limits;
use crate::retry::{FailureCause, Usage};
use crate::state::State;
use crate::state::tasks::Place;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Tasks that were met. Reports name them mostly in ascending order, for which this is a list.
#[derive(Debug, Default)]
struct Seen {
    ascending: Vec<TaskRef>,
    others: BTreeSet<TaskRef>,
}

impl Seen {
    /// Whether the task is met for the first time.
    fn insert(&mut self, task: TaskRef) -> bool {
        if self.ascending.last().is_none_or(|last| *last < task) {
            self.ascending.push(task);
            return true;
        }
        self.ascending.binary_search(&task).is_err() && self.others.insert(task)
    }
}

/// Starts: those reported, and those of tasks whose end is reported in the same breath.
pub fn starts(state: &State, now: Time, worker: WorkerId, report: &WorkerReport) -> Vec<Event> {
    let ended = report.ended.iter().filter_map(|outcome| {
        outcome.started.map(|at| Started { attempt: outcome.attempt, at, variant: outcome.variant })
    });
    let mut seen = Seen::default();
    let mut columns: BTreeMap<(JobId, u32, Option<TaskId>), TasksStarted> = BTreeMap::new();
    for started in report.started.iter().copied().chain(ended) {
        let task = started.attempt.task;
        if !is_assigned(state, worker, &started.attempt) || !seen.insert(task) {
            continue;
        }
        let variant = known_variant(state, task, started.variant);
        let nodes = state.job(task.job).and_then(|job| job.tasks.nodes.get(&task.task));
        let event = columns.entry((task.job, variant, nodes.map(|_| task.task))).or_insert_with(|| TasksStarted {
            job: task.job,
            worker,
            variant,
            nodes: nodes.map(|nodes| nodes.to_vec()).unwrap_or_default(),
            ..TasksStarted::default()
        });
        event.tasks.push(task.task);
        event.attempts.push(started.attempt.fence.attempt);
        event.ago_us.push(now.since(started.at).0);
    }
    let mut events: Vec<TasksStarted> = columns.into_values().collect();
    for event in &mut events {
        if event.attempts.iter().all(|attempt| *attempt == AttemptId(0)) {
            event.attempts.clear();
        }
    }
    events.into_iter().map(Event::TasksStarted).collect()
}

/// Whether an attempt is the worker's own and has not started.
fn is_assigned(state: &State, worker: WorkerId, attempt: &Attempt) -> bool {
    let TaskRef { job, task } = attempt.task;
    let live = state.job(job).and_then(|job| job.tasks.live.get(&task));
    live.is_some_and(|live| {
        matches!(live.place, Place::Assigned { .. }) && live.on_worker() == Some((worker, attempt.fence))
    })
}

fn known_variant(state: &State, task: TaskRef, variant: u32) -> u32 {
    if variant == 0 {
        return 0;
    }
    let class = state.level_given(task).and_then(|level| state.classes.get(level.class));
    let known = class.is_some_and(|class| (variant as usize) < class.variants.len());
    if known { variant } else { 0 }
}

/// Outcomes that count, by what they lead to. Each task at most once.
#[derive(Debug, Default)]
pub struct Ends {
    /// Successes, one event for each job.
    pub finished: Vec<Event>,
    /// Failures.
    pub failed: Vec<TaskFailed>,
    /// Attempts that were ended without a result: the task runs again, unless one of the failures has ended it.
    pub interrupted: Vec<Attempt>,
}

/// Sorts the outcomes of a report.
pub fn ends(state: &State, now: Time, worker: WorkerId, report: &WorkerReport) -> Ends {
    let mut seen = Seen::default();
    let mut finished: BTreeMap<JobId, TasksFinished> = BTreeMap::new();
    let mut ends = Ends::default();
    for outcome in &report.ended {
        let task = outcome.attempt.task;
        if !holds(state, worker, &outcome.attempt) || !seen.insert(task) {
            continue;
        }
        match outcome.ending {
            Ending::Finished => {
                let event = finished.entry(task.job).or_insert_with(|| TasksFinished {
                    job: task.job,
                    worker,
                    ..TasksFinished::default()
                });
                event.tasks.push(task.task);
                event.ago_us.push(now.since(outcome.ended).0);
                let Usage { cpu_ms, memory_kib } = usage(outcome);
                event.cpu_ms.push(cpu_ms);
                event.memory_kib.push(memory_kib);
            }
            Ending::Failed => ends.failed.push(failure(now, outcome)),
            // Nobody cancelled this attempt as far as the state knows, or its worker ended: it runs again if it may.
            Ending::Canceled | Ending::Interrupted => match loss_failure(state, task, false) {
                Some(error) => {
                    let cause = FailureCause::Node;
                    ends.failed.push(TaskFailed { error, cause, ..failure(now, outcome) });
                }
                None => ends.interrupted.push(outcome.attempt),
            },
        }
    }
    ends.finished = finished.into_values().map(Event::TasksFinished).collect();
    ends
}

fn usage(outcome: &Outcome) -> Usage {
    Usage { cpu_ms: outcome.cpu_us / 1_000, memory_kib: outcome.memory_kib }
}

fn failure(now: Time, outcome: &Outcome) -> TaskFailed {
    let mut error = outcome.error.clone();
    if error.len() > limits::ERROR_BYTES_MAX {
        let cut = (0..=limits::ERROR_BYTES_MAX).rev().find(|at| error.is_char_boundary(*at)).unwrap_or(0);
        error.truncate(cut);
    }
    TaskFailed {
        job: outcome.attempt.task.job,
        task: outcome.attempt.task.task,
        ago_us: now.since(outcome.ended).0,
        error,
        exit_code: outcome.exit_code,
        signal: outcome.signal,
        cause: outcome.cause,
        usage: Some(usage(outcome)),
        attempt: outcome.attempt.fence.attempt,
    }
}

/// Tasks that a worker gives back. Those it was not asked for shall not go there again at once.
pub fn returns(state: &State, worker: WorkerId, report: &WorkerReport, asked: &BTreeSet<Attempt>) -> Vec<Event> {
    let given = report.returned.iter().map(|attempt| (attempt, !asked.contains(attempt)));
    back(state, worker, given.chain(report.rejected.iter().map(|attempt| (attempt, true))))
}

/// Puts the worker's own attempts back into their queues; beside each whether it was rejected.
pub fn back<'a>(state: &State, worker: WorkerId, all: impl Iterator<Item = (&'a Attempt, bool)>) -> Vec<Event> {
    let mut by_job: BTreeMap<(JobId, bool), BTreeSet<u32>> = BTreeMap::new();
    for (attempt, rejected) in all.filter(|(attempt, _)| holds(state, worker, attempt)) {
        by_job.entry((attempt.task.job, rejected)).or_default().insert(attempt.task.task.0);
    }
    by_job.into_iter().map(|((job, rejected), tasks)| returned(job, worker, tasks, rejected)).collect()
}

/// What a worker can place again, if it had rejected any of it. A kind that is not known any more stands for all.
pub fn unblocked(state: &State, worker: WorkerId, tasks: &[TaskVariant]) -> Option<Event> {
    let blocked = &state.workers.get(&worker)?.blocked;
    if tasks.is_empty() || blocked.is_empty() {
        return None;
    }
    let mut kinds = BTreeMap::new();
    for item in tasks {
        match state.class_of(item.task) {
            Some(class) if blocked.contains(&(class, item.variant)) => {
                kinds.entry((class, item.variant)).or_insert(*item)
            }
            // The worker may have rejected it with other values.
            Some(_) if !state.job(item.task.job).is_some_and(|job| job.is_revised()) => continue,
            Some(_) | None => return Some(Event::WorkerUnblocked(WorkerUnblocked { worker, tasks: Vec::new() })),
        };
    }
    let tasks: Vec<TaskVariant> = kinds.into_values().collect();
    (!tasks.is_empty()).then_some(Event::WorkerUnblocked(WorkerUnblocked { worker, tasks }))
}
