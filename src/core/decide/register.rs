//! What to do with a worker that registers: a new one, or one that comes back with attempts and outcomes.

use crate::attempt::{Attempt, HeldAttempt, Outcome, Registration};
use crate::event::{Event, TaskAdopted, TasksReturned};
use crate::id::{Epoch, Fence, JobId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::planted::{self, Planted};
use crate::resource::{CouplingWeight, PoolKind, WorkerResources};
use crate::state::State;
use crate::state::tasks::{Live, Place, TaskStatus};
use crate::state::workers::Worker;
use crate::worker::WorkerConfig;
use std::collections::btree_map::Entry;
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
    if config.min_utilization_parts > 10_000 {
        return Err("the minimal utilization has to be between 0.0 and 1.0".to_owned());
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
        if let PoolKind::Range(range) = &pool.kind
            && range.start > range.end
        {
            return Err(format!(
                "Resource {} has the range {}-{}, which ends before it starts",
                pool.name, range.start, range.end
            ));
        }
        if pool.kind.size().0 == 0 || pool.kind.size().0 > u64::from(u32::MAX) * 10_000 {
            return Err(format!("Resource {} is empty or too large", pool.name));
        }
    }
    check_labels(config)?;
    check_coupling(config)?;
    check_texts(config)
}

/// Labels are unique within a pool, since each stands for one thing; all together they are not too many.
fn check_labels(config: &WorkerConfig) -> Result<(), String> {
    let mut count = 0;
    for pool in &config.resources.pools {
        let groups: &[Vec<String>] = match &pool.kind {
            PoolKind::List(labels) => std::slice::from_ref(labels),
            PoolKind::Groups(groups) => groups,
            PoolKind::Range(_) | PoolKind::Sum(_) => continue,
        };
        let mut labels = BTreeSet::new();
        for group in groups {
            // A group without labels costs memory as well.
            count += 1 + group.len();
            if count > limits::WORKER_LABELS_MAX {
                return Err(format!("the resources have too many labels; at most {}", limits::WORKER_LABELS_MAX));
            }
            for label in group {
                check_text("the label of a resource", label)?;
                if !labels.insert(label) {
                    return Err(format!("Resource {} has the label {label} twice", pool.name));
                }
            }
        }
    }
    Ok(())
}

/// A coupling names groups that are there; a pool without groups counts as one.
fn check_coupling(config: &WorkerConfig) -> Result<(), String> {
    let WorkerResources { pools, coupling } = &config.resources;
    if coupling.weights.len() > limits::WORKER_COUPLINGS_MAX {
        let (count, max) = (coupling.weights.len(), limits::WORKER_COUPLINGS_MAX);
        return Err(format!("{count} couplings are too many; at most {max}"));
    }
    let groups = |place: u32| {
        pools.get(place as usize).map_or(0, |pool| match &pool.kind {
            PoolKind::Groups(groups) => groups.len(),
            PoolKind::Range(_) | PoolKind::List(_) | PoolKind::Sum(_) => 1,
        })
    };
    let is_there = |place: u32, group: u32| (group as usize) < groups(place);
    let ends = |item: &CouplingWeight| (item.resource1, item.group1, item.resource2, item.group2);
    if !coupling.weights.is_sorted_by(|a, b| ends(a) < ends(b)) {
        return Err("couplings are not in order, or one occurs twice".to_owned());
    }
    for item in &coupling.weights {
        let ends = is_there(item.resource1, item.group1) && is_there(item.resource2, item.group2);
        if !ends || item.resource1 > item.resource2 || item.weight > u32::from(u16::MAX) {
            return Err("a coupling names a resource or group that the worker does not have".to_owned());
        }
    }
    Ok(())
}

/// Every text has a limit, since it is kept in the journal and shown in tables.
fn check_texts(config: &WorkerConfig) -> Result<(), String> {
    for pool in &config.resources.pools {
        if pool.name.is_empty() {
            return Err("a resource has no name".to_owned());
        }
        check_text("the name of a resource", &pool.name)?;
    }
    check_text("the host name", &config.hostname)?;
    if config.hostname.contains(['\n', '\r']) {
        return Err("the host name has a line break; each line of a node file is one name".to_owned());
    }
    check_text("the group", &config.group)?;
    check_text("the working directory", &config.work_dir)?;
    check_text("the address", &config.listen_address)?;
    if config.extra.len() > limits::WORKER_FACTS_MAX {
        return Err(format!("{} further facts are too many; at most {}", config.extra.len(), limits::WORKER_FACTS_MAX));
    }
    config.extra.iter().try_for_each(|(name, value)| {
        check_text("the name of a further fact", name)?;
        check_text("a further fact", value)
    })
}

/// Checks the name that a worker's process gave itself.
///
/// # Errors
/// The reason for the refusal.
pub fn check_token(token: &str) -> Result<(), String> {
    check_text("the name of the worker's process", token)
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.len() > limits::WORKER_TEXT_BYTES_MAX {
        let (bytes, max) = (text.len(), limits::WORKER_TEXT_BYTES_MAX);
        return Err(format!("{what} has {bytes} bytes; at most {max} are allowed"));
    }
    Ok(())
}

/// An attempt of which a worker says that it has it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who says so.
    pub worker: WorkerId,
    /// The attempt.
    pub held: HeldAttempt,
    /// Its end, if it has ended.
    pub outcome: Option<Outcome>,
}

/// What becomes of the attempts that a returning worker holds, and of those it should hold.
#[derive(Debug, Default)]
pub struct Reunion {
    /// Assignments that the state does not have, since they were lost with a server; each after the end of the one that
    /// the state has instead, if it has one.
    pub adopted: Vec<Event>,
    /// Attempts that are not the worker's, as far as the state is known before its own outcomes.
    pub foreign: Vec<Claim>,
}

/// Compares what the worker holds with the state.
pub fn reunite(state: &State, worker: WorkerId, registration: &Registration) -> Reunion {
    let mut reunion = Reunion::default();
    let mut adopted: BTreeMap<TaskRef, Attempt> = BTreeMap::new();
    let held = registration.held.iter().map(|held| (*held, None));
    let ended = registration.outbox.iter().map(|outcome| (as_held(outcome), Some(outcome)));
    for (held, outcome) in held.chain(ended) {
        let attempt = held.attempt;
        let is_own = match judge(state, worker, &held) {
            Verdict::Keep => true,
            // Of several attempts of one task the first is the worker's, and of that one there may be an outcome too.
            Verdict::Adopt { from } => match adopted.entry(attempt.task) {
                Entry::Vacant(entry) => {
                    entry.insert(attempt);
                    reunion.adopted.extend(adoption(worker, &held, from));
                    true
                }
                Entry::Occupied(entry) => *entry.get() == attempt,
            },
            Verdict::Wait | Verdict::Drop => false,
        };
        if !is_own {
            reunion.foreign.push(Claim { worker, held, outcome: outcome.cloned() });
        }
    }
    reunion
}

/// The attempt as it was while it ran.
fn as_held(outcome: &Outcome) -> HeldAttempt {
    HeldAttempt { attempt: outcome.attempt, started: outcome.started, variant: outcome.variant }
}

/// What becomes of an attempt that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The state has it there.
    Keep,
    /// It is the worker's own from now on, and not that of the worker that has it as far as is known.
    Adopt {
        /// Who that is.
        from: Option<WorkerId>,
    },
    /// What the task waits for had happened when it was given away, and whoever knows that has not come back: nobody
    /// else gets the task meanwhile.
    Wait,
    /// It is not the worker's.
    Drop,
}

/// Judges one attempt that a worker says it has.
pub fn judge(state: &State, worker: WorkerId, held: &HeldAttempt) -> Verdict {
    let fence = held.attempt.fence;
    // An assignment of an earlier start that never reached the disk. It was made, so the worker can run the task.
    let was_given = || fence.epoch > Epoch(0) && fence.epoch < state.epoch && can_run(state, worker, held.attempt.task);
    let waits_with = |next: u32| fence.attempt.0 >= next && was_given();
    let foreign = if planted::is(Planted::KeepForeign) { Verdict::Keep } else { Verdict::Drop };
    match state.task_status(held.attempt.task) {
        Some(TaskStatus::Live(live)) => match live {
            Live { place: Place::Ready | Place::Delayed { .. }, next_attempt, .. } if waits_with(next_attempt.0) => {
                Verdict::Adopt { from: None }
            }
            Live { place: Place::Blocked { .. }, next_attempt, .. } if waits_with(next_attempt.0) => Verdict::Wait,
            _ if live.on_worker() == Some((worker, fence)) => Verdict::Keep,
            _ if is_outdated(state, live.place, fence) && was_given() => {
                Verdict::Adopt { from: live.on_worker().map(|(before, _)| before) }
            }
            _ => foreign,
        },
        Some(TaskStatus::Untouched) if waits_with(0) => Verdict::Adopt { from: None },
        _ => foreign,
    }
}

/// Whether a server of before has taken the task from the worker that the state names and has given it away with this
/// fence, and neither reached the disk. One that has come back since has said what it holds.
fn is_outdated(state: &State, place: Place, fence: Fence) -> bool {
    let (before, last, least) = match place {
        Place::Assigned { worker, fence, .. } => (worker, fence, fence.attempt.0),
        Place::Running { worker, fence, .. } => (worker, fence, fence.attempt.0.saturating_add(1)),
        _ => return false,
    };
    let is_missing = state.workers.get(&before).is_some_and(Worker::is_missing);
    is_missing && fence.epoch >= last.epoch && fence.attempt.0 >= least
}

/// Whether the worker has what the task needs, leaving its remaining lifetime aside.
fn can_run(state: &State, worker: WorkerId, task: TaskRef) -> bool {
    let class = state.class_of(task).and_then(|class| state.classes.get(class));
    let worker = state.workers.get(&worker);
    let (Some(class), Some(worker)) = (class, worker) else { return false };
    // The assignment of a multi-node task never leaves before it is durable, so none can be lost.
    class.variants.iter().any(|variant| variant.nodes == 0 && worker.is_eligible(variant, worker.started))
}

/// The events by which an attempt becomes the worker's own.
pub fn adoption(worker: WorkerId, held: &HeldAttempt, from: Option<WorkerId>) -> impl Iterator<Item = Event> + use<> {
    let Attempt { task: TaskRef { job, task }, fence } = held.attempt;
    let (epoch, attempt, variant) = (fence.epoch, fence.attempt, held.variant);
    let before = from.map(|before| returned(job, before, [task.0], false));
    before.into_iter().chain([Event::TaskAdopted(TaskAdopted { job, task, worker, epoch, attempt, variant })])
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
        if !known.contains(&Attempt { task: *task, fence }) && !planted::is(Planted::KeepUnknown) {
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
    let holder = live.and_then(|live| live.on_worker());
    if planted::is(Planted::SkipFence) {
        return holder.is_some_and(|(holder, _)| holder == worker);
    }
    holder == Some((worker, attempt.fence))
}
