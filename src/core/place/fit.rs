//! Fitting queues of one priority into what is free.
//!
//! Workers are filled in the order of their ids: load is packed on the oldest ones, so that young ones run empty
//! and can end. Each gets the tasks of several queues that fill it best ([`super::pattern`]).

use super::pattern::{self, Bin, Kind};
use crate::id::{JobId, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::state::State;
use crate::state::classes::{ClassVariant, Need, ResourceIndex};
use crate::state::open::OpenWorkers;
use crate::state::ready::Level;
use crate::state::workers::Worker;
use crate::time::Time;

/// Tasks of one job that go to one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Assign {
    /// The job.
    pub job: JobId,
    /// The tasks.
    pub tasks: IdSet,
    /// Where.
    pub worker: WorkerId,
    /// Index of the variant.
    pub variant: u32,
    /// Whether they lie ahead of free resources.
    pub ahead: bool,
    /// For a multi-node task: its workers, the root first; otherwise empty.
    pub nodes: Vec<WorkerId>,
}

/// The first worker, from `from` on, that can start tasks of some of the queues, with these tasks. `open` is what the
/// queues may see of the workers, `steps` how long may be searched for the best answer.
pub fn fit(
    state: &State,
    now: Time,
    levels: &[Level],
    open: &OpenWorkers,
    from: WorkerId,
    steps: &mut u32,
) -> Option<(WorkerId, Vec<Assign>)> {
    let mut from = from;
    loop {
        let firsts = levels.iter().filter_map(|level| open.first(&state.classes.get(level.class)?.variants, from, now));
        let id = firsts.min()?;
        if let Some(worker) = state.workers.get(&id) {
            let assigns = fill(state, now, levels, open, worker, steps);
            if !assigns.is_empty() {
                return Some((id, assigns));
            }
        }
        from = WorkerId(id.0.checked_add(1)?);
    }
}

/// The tasks that fill one worker best.
fn fill(
    state: &State,
    now: Time,
    levels: &[Level],
    open: &OpenWorkers,
    worker: &Worker,
    steps: &mut u32,
) -> Vec<Assign> {
    let room = worker.room().min(limits::TURN_ASSIGNMENTS_MAX as u32);
    let mut bin = Bin { free: Vec::new(), room, at_least: None };
    let mut kinds = Vec::new();
    for (queue, level) in levels.iter().enumerate() {
        let Some(class) = state.classes.get(level.class) else { continue };
        for (variant, form) in (0u32..).zip(&class.variants) {
            let seen = |resource| open.free(worker, resource);
            if worker.is_eligible(form, now)
                && !worker.is_blocked(level.class, variant)
                && let Some(needs) = needs(state, worker, form, seen, &mut bin)
            {
                kinds.push(Kind { queue, variant, needs, weight: form.weight, rank: 0 });
            }
        }
    }
    let ready: Vec<u64> = levels.iter().map(|level| state.ready.count(*level, u64::from(room))).collect();
    take(state, worker, levels, &kinds, &ready, &bin, steps)
}

/// The tasks that fill one worker best which sets a bound to its utilization; the queues may be of any priorities.
///
/// A task is not placed there unless, with the others, it makes the worker reach its bound.
pub fn fit_demanding(state: &State, now: Time, levels: &[Level], worker: &Worker, steps: &mut u32) -> Vec<Assign> {
    let mut bin = Bin { free: Vec::new(), room: worker.room(), at_least: None };
    let mut kinds: Vec<Kind> = Vec::new();
    let mut ready = vec![0; levels.len()];
    let mut priorities: Vec<i64> = Vec::new();
    for (queue, level) in levels.iter().enumerate() {
        let Some(class) = state.classes.get(level.class) else { continue };
        if kinds.len() >= limits::TURN_FILL_LEVELS_MAX {
            break;
        }
        for (variant, form) in (0u32..).zip(&class.variants) {
            let free = |resource| {
                let free = u64::try_from(worker.free(resource)).unwrap_or(0);
                (free, free > 0 && free == worker.capacity(resource))
            };
            if form.nodes > 0 || !worker.is_eligible(form, now) || worker.is_blocked(level.class, variant) {
                continue;
            }
            if let Some(needs) = needs(state, worker, form, free, &mut bin) {
                if priorities.last() != Some(&level.priority()) {
                    priorities.push(level.priority());
                }
                kinds.push(Kind { queue, variant, needs, weight: form.weight, rank: priorities.len() - 1 });
            }
        }
        if let Some(slot) = ready.get_mut(queue) {
            *slot = state.ready.count(*level, u64::from(bin.room));
        }
    }
    let cpus = state.classes.find_resource(crate::resource::CPUS);
    let bound = cpus.and_then(|cpus| Some((cpus, missing_utilization(worker, cpus)?)));
    if let Some((cpus, parts)) = bound {
        let Some(at) = bin.free.iter().position(|(resource, ..)| *resource == cpus) else { return Vec::new() };
        bin.at_least = Some((at, parts));
    }
    take(state, worker, levels, &kinds, &ready, &bin, steps)
}

/// Parts of its CPUs by which a worker is below its bound.
fn missing_utilization(worker: &Worker, cpus: ResourceIndex) -> Option<u64> {
    let all = worker.capacity(cpus);
    let used = all.saturating_sub(u64::try_from(worker.free(cpus)).unwrap_or(0));
    let bound = u128::from(all) * u128::from(worker.config.min_utilization_parts);
    let bound = u64::try_from(bound.div_ceil(10_000)).unwrap_or(u64::MAX);
    bound.checked_sub(used).filter(|missing| *missing > 0)
}

/// What a task takes of the resources of the bin, which grows by those that it does not have yet; none if it does not
/// fit into what is free.
fn needs(
    state: &State,
    worker: &Worker,
    form: &ClassVariant,
    free: impl Fn(ResourceIndex) -> (u64, bool),
    bin: &mut Bin,
) -> Option<Vec<(usize, u64)>> {
    let mut needs = Vec::with_capacity(form.needs.len());
    for (resource, need) in &form.needs {
        let (free, is_whole) = free(*resource);
        let parts = match need {
            Need::Parts(parts) => *parts,
            Need::All if is_whole => worker.capacity(*resource),
            Need::All => return None,
        };
        if parts > free {
            return None;
        }
        let known = bin.free.iter().position(|(other, ..)| other == resource);
        let at = known.unwrap_or(bin.free.len());
        if known.is_none() {
            let total = state.open_workers.total(*resource).max(worker.capacity(*resource));
            bin.free.push((*resource, free, total));
        }
        needs.push((at, parts));
    }
    Some(needs)
}

/// The assignments of the best way to fill the bin, the most valuable queue first.
fn take(
    state: &State,
    worker: &Worker,
    levels: &[Level],
    kinds: &[Kind],
    ready: &[u64],
    bin: &Bin,
    steps: &mut u32,
) -> Vec<Assign> {
    let counts = match kinds {
        [only] if bin.at_least.is_none() => {
            let fits = only.needs.iter().filter_map(|(at, parts)| bin.free.get(*at)?.1.checked_div(*parts));
            let ready = ready.get(only.queue).copied().unwrap_or(0);
            let count = fits.fold(ready.min(u64::from(bin.room)), u64::min);
            vec![u32::try_from(count).unwrap_or(u32::MAX)]
        }
        _ => pattern::fill(kinds, ready, bin, steps),
    };
    let mut assigns = Vec::new();
    let mut skip = vec![0u64; levels.len()];
    for (kind, count) in kinds.iter().zip(counts).filter(|(_, count)| *count > 0) {
        let (Some(level), Some(skip)) = (levels.get(kind.queue), skip.get_mut(kind.queue)) else { continue };
        assigns.extend(tasks(state, *level, *skip, count, worker.id, kind.variant, false));
        *skip += u64::from(count);
    }
    assigns
}

/// `count` tasks of a queue after the first `skip`, for one worker.
pub(super) fn tasks(
    state: &State,
    level: Level,
    skip: u64,
    count: u32,
    worker: WorkerId,
    variant: u32,
    ahead: bool,
) -> Vec<Assign> {
    let mut assigns: Vec<Assign> = Vec::new();
    let (mut skip, mut wanted) = (skip, u64::from(count));
    for run in state.ready.runs(level) {
        if wanted == 0 {
            break;
        }
        let skipped = run.len().min(skip);
        skip -= skipped;
        let take = (run.len() - skipped).min(wanted);
        let Some(job) = state.job(run.job).filter(|_| take > 0) else { continue };
        wanted -= take;
        let first = run.first + skipped as u32;
        let ranges = job.tasks.ids_of_run(first, first + (take - 1) as u32);
        match assigns.last_mut() {
            Some(last) if last.job == run.job => last.tasks.ranges.extend(ranges),
            _ => {
                let tasks = IdSet { ranges };
                assigns.push(Assign { job: run.job, tasks, worker, variant, ahead, nodes: Vec::new() });
            }
        }
    }
    assigns
}
