//! Tasks given ahead of free resources, to hide the way to the worker and back, and how they are taken back.
//!
//! **Invariant:** a task that has not started can always be taken back, and is when another worker could start it
//! at once, when something more important waits that could run there, or when the worker is kept for a multi-node task.

use super::fit::{Assign, tasks};
use crate::attempt::Attempt;
use crate::id::{TaskRef, WorkerId};
use crate::limits;
use crate::state::State;
use crate::state::open::OpenWorkers;
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

/// What placing has left, for the decisions about tasks ahead.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// Queues that still have tasks, in the order of the walk.
    pub leftover: &'a [Level],
    /// What they may see of the workers.
    pub open: &'a OpenWorkers,
    /// Workers that are kept for a multi-node task, from tasks of priorities below the one given.
    pub closed: &'a BTreeMap<WorkerId, i64>,
}

/// Tasks that go ahead to a hungry worker: of the most important queue that could run there, or of one of the same
/// priority, if tasks like these run there already. Others would lie there until something quite different ends.
pub fn ahead(state: &State, now: Time, rest: Rest<'_>, id: WorkerId) -> Vec<Assign> {
    let Some(worker) = state.workers.get(&id) else { return Vec::new() };
    let kept_below = rest.closed.get(&id).copied().unwrap_or(i64::MIN);
    let mut band = None;
    for level in rest.leftover {
        if band.is_some_and(|priority| priority != level.priority()) || level.priority() < kept_below {
            break;
        }
        let Some(class) = state.classes.get(level.class) else { continue };
        let eligible: Vec<u32> = (0u32..)
            .zip(&class.variants)
            .filter(|(_, form)| form.nodes == 0 && worker.is_eligible(form, now))
            .map(|(variant, _)| variant)
            .collect();
        if eligible.is_empty() {
            continue;
        }
        band = Some(level.priority());
        let free = eligible.into_iter().find(|variant| !worker.is_blocked(level.class, *variant));
        if let Some(variant) = free.filter(|_| worker.in_use(level.class) > 0 && state.ready.head(*level).is_some()) {
            return tasks(state, *level, 0, worker.wants_ahead(), id, variant, true);
        }
    }
    Vec::new()
}

/// What shall be asked back now. `asked` are attempts that were asked back before.
///
/// Workers with much ahead give first. Of each queue at least as many tasks come back as could start elsewhere at
/// once, and at most half of one worker's more, so that who idles has something ahead too.
pub fn retractions(state: &State, now: Time, rest: Rest<'_>, asked: &BTreeSet<Attempt>) -> Vec<Retraction> {
    let mut by_worker: BTreeMap<WorkerId, Vec<Attempt>> = BTreeMap::new();
    for (level, holders) in state.lookahead.holders() {
        let outranking: Vec<Level> =
            rest.leftover.iter().copied().filter(|other| outranks(state, *other, *level)).collect();
        let mut room = room(state, now, *level, rest.open);
        if outranking.is_empty() && rest.closed.is_empty() && room == 0 {
            continue;
        }
        let mut holders: Vec<&Worker> = holders.iter().filter_map(|id| state.workers.get(id)).collect();
        holders.sort_by_key(|worker| Reverse(worker.ahead.len()));
        for worker in holders {
            let is_closed = rest.closed.get(&worker.id).is_some_and(|below| level.priority() < *below);
            let all = is_closed || outranking.iter().any(|other| could_run(state, now, *other, worker));
            let half = u32::try_from(worker.ahead.len().div_ceil(2)).unwrap_or(u32::MAX);
            let wanted = if all { u32::MAX } else { half.max(room) };
            if !all && room == 0 {
                continue;
            }
            let (attempts, count) = given_back(state, worker, *level, wanted, asked);
            room = room.saturating_sub(count);
            if !attempts.is_empty() {
                by_worker.entry(worker.id).or_default().extend(attempts);
            }
        }
    }
    by_worker.into_iter().map(|(worker, attempts)| Retraction { worker, attempts }).collect()
}

/// Whether tasks of a queue come before those of another. Multi-node tasks close workers instead.
fn outranks(state: &State, other: Level, level: Level) -> bool {
    let is_single = || state.classes.get(other.class).is_some_and(|class| class.nodes().is_none());
    other.priority() > level.priority() && is_single()
}

fn could_run(state: &State, now: Time, level: Level, worker: &Worker) -> bool {
    let class = state.classes.get(level.class);
    class.is_some_and(|class| class.variants.iter().any(|form| worker.is_eligible(form, now)))
}

/// The last `wanted` tasks of a queue that lie on a worker, without those that were asked for, and how many they all are.
fn given_back(
    state: &State,
    worker: &Worker,
    level: Level,
    wanted: u32,
    asked: &BTreeSet<Attempt>,
) -> (Vec<Attempt>, u32) {
    let last = worker.ahead.iter().rev().filter(|(_, of)| *of == level).take(wanted as usize);
    let attempts: Vec<Attempt> = last.filter_map(|(task, _)| attempt(state, task)).collect();
    let count = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
    (attempts.into_iter().filter(|attempt| !asked.contains(attempt)).collect(), count)
}

fn attempt(state: &State, task: TaskRef) -> Option<Attempt> {
    let (_, fence) = state.job(task.job)?.tasks.live.get(&task.task)?.on_worker()?;
    Some(Attempt { task, fence })
}

/// How many tasks of a queue could start at once, somewhere.
fn room(state: &State, now: Time, level: Level, open: &OpenWorkers) -> u32 {
    let Some(class) = state.classes.get(level.class) else { return 0 };
    let (mut room, mut from) = (0u32, WorkerId(0));
    while let Some(id) = open.first(&class.variants, from, now) {
        if let Some(worker) = state.workers.get(&id) {
            let forms = (0u32..)
                .zip(&class.variants)
                .filter(|(variant, form)| worker.is_eligible(form, now) && !worker.is_blocked(level.class, *variant));
            room = room.saturating_add(forms.map(|(_, form)| worker.fits(form, 1_024)).max().unwrap_or(0));
        }
        let Some(next) = id.0.checked_add(1).filter(|_| room < limits::WORKER_AHEAD_TASKS_MAX) else { break };
        from = WorkerId(next);
    }
    room
}
