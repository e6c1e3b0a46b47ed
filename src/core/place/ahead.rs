//! Tasks given ahead of free resources, to hide the way to the worker and back, and how they are taken back.
//!
//! **Invariant:** a task that has not started can always be taken back, and is when another worker could start it
//! at once, or when something more important waits.

use super::fit::{Assign, head_tasks};
use crate::attempt::Attempt;
use crate::id::{ClassId, TaskRef, WorkerId};
use crate::limits;
use crate::state::State;
use crate::state::classes::ClassVariant;
use crate::state::ready::Level;
use crate::state::workers::Worker;
use crate::time::Time;
use std::cmp::Reverse;
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

/// Workers that should have more tasks ahead, with the number. Topping up in halves makes few large messages out of
/// many small ones.
pub fn hungry(state: &State) -> Vec<(WorkerId, u32)> {
    let busy = state.workers.values().filter(|worker| worker.accepts() && !worker.tasks.is_empty());
    busy.filter_map(|worker| {
        let held = u32::try_from(worker.ahead.len()).unwrap_or(u32::MAX);
        let target = target(worker).min(held.saturating_add(worker.room()));
        (held <= target / 2 && held < target).then(|| (worker.id, target - held))
    })
    .collect()
}

/// Tasks of a queue that go ahead to hungry workers which are full. Those that are served leave `hungry`: what lies
/// ahead there is of the most important queue.
pub fn ahead(state: &State, now: Time, level: Level, hungry: &mut Vec<(WorkerId, u32)>) -> Vec<(WorkerId, u32, u32)> {
    let mut grants = Vec::new();
    let Some(class) = state.classes.get(level.class).filter(|class| class.nodes().is_none()) else { return grants };
    hungry.retain(|(id, count)| {
        let Some(worker) = state.workers.get(id) else { return true };
        let placeable = |(variant, needs): &(u32, &ClassVariant)| {
            worker.is_eligible(needs, now) && !worker.is_blocked(level.class, *variant)
        };
        let eligible = (0u32..).zip(&class.variants).find(placeable);
        grants.extend(eligible.map(|(variant, _)| (*id, variant, *count)));
        eligible.is_none()
    });
    grants
}

/// The first `count` tasks of the queue as given ahead.
pub fn ahead_tasks(state: &State, level: Level, grant: (WorkerId, u32, u32)) -> Vec<Assign> {
    let (worker, variant, count) = grant;
    head_tasks(state, level, count, worker, variant, true)
}

/// What shall be asked back now. `asked` are attempts that were asked back before.
///
/// Workers with much ahead give first. Of each class at least as many tasks come back as could start elsewhere at
/// once, and at most half of one worker's more, so that who idles has something ahead too.
pub fn retractions(state: &State, now: Time, leftover: &[Level], asked: &BTreeSet<Attempt>) -> Vec<Retraction> {
    let mut result = Vec::new();
    let mut spare: BTreeMap<ClassId, u32> = BTreeMap::new();
    let top = leftover.first().copied();
    let mut givers = Vec::new();
    for worker in state.workers.values().filter(|worker| worker.accepts() && !worker.ahead.is_empty()) {
        let outranked = top.and_then(|top| outranked_below(state, now, worker, top));
        let gives = worker.ahead.levels().any(|level| {
            let room = || idle_room(state, now, level.class, worker.id);
            outranked.is_some_and(|priority| level.priority() < priority)
                || *spare.entry(level.class).or_insert_with(room) > 0
        });
        if gives {
            givers.push((worker, outranked));
        }
    }
    givers.sort_by_key(|(worker, _)| Reverse(worker.ahead.len()));
    for (worker, outranked) in givers {
        let attempts = given_back(state, worker, outranked, &mut spare, asked);
        if !attempts.is_empty() {
            result.push(Retraction { worker: worker.id, attempts });
        }
    }
    result
}

/// What one worker shall give back, the last tasks first: all below a priority, and what has room elsewhere.
fn given_back(
    state: &State,
    worker: &Worker,
    outranked: Option<i64>,
    spare: &mut BTreeMap<ClassId, u32>,
    asked: &BTreeSet<Attempt>,
) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let half = u32::try_from(worker.ahead.len().div_ceil(2)).unwrap_or(u32::MAX);
    let mut taken: BTreeMap<ClassId, u32> = BTreeMap::new();
    for (task, level) in worker.ahead.iter().rev() {
        let is_outranked = outranked.is_some_and(|priority| level.priority() < priority);
        let room = spare.get(&level.class).copied().unwrap_or(0);
        let count = taken.get(&level.class).copied().unwrap_or(0);
        if !is_outranked && (room == 0 || count >= half.max(room)) {
            continue;
        }
        let Some(attempt) = attempt(state, task).filter(|attempt| !asked.contains(attempt)) else { continue };
        attempts.push(attempt);
        taken.insert(level.class, count + u32::from(!is_outranked));
    }
    for (class, count) in taken {
        spare.entry(class).and_modify(|room| *room = room.saturating_sub(count));
    }
    attempts
}

fn attempt(state: &State, task: TaskRef) -> Option<Attempt> {
    let (_, fence) = state.job(task.job)?.tasks.live.get(&task.task)?.on_worker()?;
    Some(Attempt { task, fence })
}

/// The priority of a waiting queue if its tasks could run on the worker: what lies ahead there with a smaller one is
/// less important.
fn outranked_below(state: &State, now: Time, worker: &Worker, waiting: Level) -> Option<i64> {
    let class = state.classes.get(waiting.class)?;
    class.variants.iter().any(|needs| worker.is_eligible(needs, now)).then(|| waiting.priority())
}

/// How many tasks of a class other workers could start at once.
fn idle_room(state: &State, now: Time, class: ClassId, except: WorkerId) -> u32 {
    let Some(found) = state.classes.get(class) else { return 0 };
    let mut room = 0u32;
    for id in state.open_workers.candidates(found, WorkerId(0)).filter(|id| *id != except) {
        let Some(worker) = state.workers.get(&id) else { continue };
        let eligible = (0u32..)
            .zip(&found.variants)
            .filter(|(variant, needs)| worker.is_eligible(needs, now) && !worker.is_blocked(class, *variant));
        room = room.saturating_add(eligible.map(|(_, needs)| worker.fits(needs, 1_024)).max().unwrap_or(0));
    }
    room
}
