//! Tasks given ahead of free resources, to hide the way to the worker and back, and how they are taken back.
//!
//! **Invariant:** a task that has not started can always be taken back, and is when another worker could start it
//! at once, or when something more important waits.

use super::fit::{Assign, head_tasks};
use crate::attempt::Attempt;
use crate::id::{ClassId, TaskRef, WorkerId};
use crate::limits;
use crate::state::State;
use crate::state::ready::Level;
use crate::state::workers::Worker;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Attempts to be asked back from one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Retraction {
    /// The worker.
    pub worker: WorkerId,
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

/// How many tasks may lie ahead on a worker: as much work as hides the way, by the run times seen there.
fn target(worker: &Worker) -> u32 {
    let Some(mean) = worker.mean_run_us else { return 0 };
    let slots = u64::from(worker.assigned().max(1));
    let tasks = slots.saturating_mul(limits::WORKER_AHEAD_SPAN.0) / mean.max(1);
    // Less than one task per slot is not worth the risk of parking it.
    if tasks < slots { 0 } else { u32::try_from(tasks).unwrap_or(u32::MAX).min(limits::WORKER_AHEAD_TASKS_MAX) }
}

/// Tasks of a queue that go ahead to workers which are full. `served` are workers that already lie ahead for a more
/// important queue in this turn.
pub fn ahead(state: &State, now: Time, level: Level, served: &mut BTreeSet<WorkerId>) -> Vec<(WorkerId, u32, u32)> {
    let mut grants = Vec::new();
    let Some(class) = state.classes.get(level.class) else { return grants };
    for worker in state.workers.values().filter(|worker| worker.accepts()) {
        let blocked = served.contains(&worker.id) || worker.blocked.contains(&level.class);
        if blocked || worker.tasks.is_empty() {
            continue;
        }
        let eligible = (0u32..).zip(&class.variants).find(|(_, needs)| worker.is_eligible(needs, now));
        let Some((variant, _)) = eligible else { continue };
        served.insert(worker.id);
        let held = u32::try_from(worker.ahead.len()).unwrap_or(u32::MAX);
        let target = target(worker).min(held.saturating_add(worker.room()));
        // Topping up in halves makes few large messages out of many small ones.
        if held <= target / 2 && held < target {
            grants.push((worker.id, variant, target - held));
        }
    }
    grants
}

/// The first `count` tasks of the queue as given ahead.
pub fn ahead_tasks(state: &State, level: Level, grant: (WorkerId, u32, u32)) -> Vec<Assign> {
    let (worker, variant, count) = grant;
    head_tasks(state, level, count, worker, variant, true)
}

/// What shall be asked back now. `asked` are attempts that were asked back before.
pub fn retractions(state: &State, now: Time, leftover: &[Level], asked: &BTreeSet<Attempt>) -> Vec<Retraction> {
    let mut result = Vec::new();
    let mut spare: BTreeMap<ClassId, u32> = BTreeMap::new();
    let top = leftover.first();
    for worker in state.workers.values().filter(|worker| worker.accepts() && !worker.ahead.is_empty()) {
        let mut attempts = Vec::new();
        let half = worker.ahead.len().div_ceil(2);
        for task in worker.ahead.iter().rev() {
            let Some((level, attempt)) = level_and_attempt(state, *task) else { continue };
            if asked.contains(&attempt) {
                continue;
            }
            if top.is_some_and(|top| outranked(state, now, worker, *top, level)) {
                attempts.push(attempt);
                continue;
            }
            let room = *spare.entry(level.class).or_insert_with(|| idle_room(state, now, level.class, worker.id));
            if room > 0 && attempts.len() < half.max(room as usize) {
                attempts.push(attempt);
            }
        }
        if !attempts.is_empty() {
            result.push(Retraction { worker: worker.id, attempts });
        }
    }
    result
}

fn level_and_attempt(state: &State, task: TaskRef) -> Option<(Level, Attempt)> {
    let job = state.job(task.job)?;
    let level = job.level_of(job.tasks.ordinal(task.task)?)?;
    let (_, fence) = job.tasks.live.get(&task.task)?.on_worker()?;
    Some((level, Attempt { task, fence }))
}

/// Whether a waiting queue is more important than a task that lies ahead, and could run there.
fn outranked(state: &State, now: Time, worker: &Worker, waiting: Level, ahead: Level) -> bool {
    waiting.priority() > ahead.priority()
        && state
            .classes
            .get(waiting.class)
            .is_some_and(|class| class.variants.iter().any(|needs| worker.is_eligible(needs, now)))
}

/// How many tasks of a class other workers could start at once.
fn idle_room(state: &State, now: Time, class: ClassId, except: WorkerId) -> u32 {
    let Some(found) = state.classes.get(class) else { return 0 };
    let mut room = 0u32;
    for id in state.open_workers.iter().filter(|id| **id != except) {
        let Some(worker) = state.workers.get(id) else { continue };
        if worker.blocked.contains(&class) {
            continue;
        }
        let eligible = found.variants.iter().filter(|needs| worker.is_eligible(needs, now));
        room = room.saturating_add(eligible.map(|needs| worker.fits(needs, 1_024)).max().unwrap_or(0));
    }
    room
}
