//! Checks of the state's own consistency: what follows from other parts is recomputed and compared.
//!
//! Run in tests after each step, and after each replay of a journal. It says what is wrong; it repairs nothing.

use crate::id::{TaskRef, WorkerId};
use crate::state::State;
use crate::state::classes::ResourceIndex;
use crate::state::open::SHOWN_RESOURCES_MAX;
use crate::state::ready::Run;
use crate::state::tasks::Place;
use crate::state::workers::Worker;
use std::collections::{BTreeMap, BTreeSet};

/// Compares the state with one that is rebuilt from its image.
///
/// # Errors
/// A sentence that names the first difference.
pub fn audit(state: &State) -> Result<(), String> {
    let rebuilt = State::from_image(state.image());
    if rebuilt.canonical_bytes() != state.canonical_bytes() {
        return Err("the image of the rebuilt state differs".to_owned());
    }
    audit_jobs(state, &rebuilt)?;
    audit_queues(state, &rebuilt)?;
    audit_workers(state, &rebuilt)?;
    if state.delayed != rebuilt.delayed {
        return Err(format!("delayed: kept {:?}, counted {:?}", state.delayed, rebuilt.delayed));
    }
    audit_consumers(state, &rebuilt)?;
    if state.gates == rebuilt.gates {
        Ok(())
    } else {
        Err(format!("gates: kept {:?}, counted {:?}", state.gates, rebuilt.gates))
    }
}

fn audit_jobs(state: &State, rebuilt: &State) -> Result<(), String> {
    for (id, job) in &state.jobs {
        let Some(other) = rebuilt.jobs.get(id) else { return Err(format!("job {id} is missing in the rebuilt state")) };
        if job.counts != other.counts {
            return Err(format!("job {id}: counted {:?}, kept {:?}", other.counts, job.counts));
        }
        if job.counts.total() != job.tasks.total() {
            return Err(format!("job {id}: {:?} are not {} tasks", job.counts, job.tasks.total()));
        }
        for (task, live) in &job.tasks.live {
            if let Some((worker, _)) = live.on_worker() {
                let task = TaskRef { job: *id, task: *task };
                if !state.workers.get(&worker).is_some_and(|worker| worker.tasks.contains(&task)) {
                    return Err(format!("task {task} is on worker {worker}, which does not know it"));
                }
            }
        }
    }
    Ok(())
}

fn audit_queues(state: &State, rebuilt: &State) -> Result<(), String> {
    let queued = |state: &State| -> BTreeMap<(i64, Vec<u8>), Vec<Run>> {
        let key = |class| state.classes.get(class).map(|class| class.request.canonical()).unwrap_or_default();
        state
            .ready
            .levels()
            .map(|level| ((level.priority(), key(level.class)), state.ready.runs(level).collect()))
            .collect()
    };
    let (kept, counted) = (queued(state), queued(rebuilt));
    if kept != counted {
        return Err(format!("the queues differ: kept {:?}, counted {:?}", kept.values(), counted.values()));
    }
    Ok(())
}

fn audit_workers(state: &State, rebuilt: &State) -> Result<(), String> {
    for (id, worker) in &state.workers {
        let Some(other) = rebuilt.workers.get(id) else { return Err(format!("worker {id} is missing")) };
        if worker.tasks != other.tasks || worker.running != other.running {
            return Err(format!("worker {id}: tasks {:?}, counted {:?}", worker.tasks, other.tasks));
        }
        if worker.gang != other.gang {
            return Err(format!("worker {id}: multi-node task {:?}, counted {:?}", worker.gang, other.gang));
        }
        for index in 0..state.classes.resource_count() {
            let name = state.classes.resource_name(ResourceIndex(index));
            let there = (0..rebuilt.classes.resource_count())
                .map(ResourceIndex)
                .find(|index| rebuilt.classes.resource_name(*index) == name);
            let (kept, counted) = (worker.free(ResourceIndex(index)), there.map_or(0, |index| other.free(index)));
            if kept != counted {
                return Err(format!("worker {id}: free {name} is {kept}, counted {counted}"));
            }
        }
        let ahead: BTreeSet<TaskRef> = worker.ahead.iter().map(|(task, _)| task).collect();
        for task in &worker.tasks {
            let place = state.job(task.job).and_then(|job| job.tasks.live.get(&task.task)).map(|live| live.place);
            let is_ahead = matches!(place, Some(Place::Assigned { ahead: true, .. }));
            if is_ahead != ahead.contains(task) {
                return Err(format!("worker {id}: task {task} is {place:?}, ahead there: {}", !is_ahead));
            }
        }
    }
    audit_open(state, rebuilt)?;
    if state.lookahead.holders().values().map(BTreeSet::len).sum::<usize>() != lying_ahead(state) {
        return Err(format!("ahead: kept {:?}", state.lookahead));
    }
    if state.demanding != rebuilt.demanding {
        return Err(format!("demanding workers: kept {:?}, counted {:?}", state.demanding, rebuilt.demanding));
    }
    if state.groups != rebuilt.groups {
        return Err(format!("groups: kept {:?}, counted {:?}", state.groups, rebuilt.groups));
    }
    Ok(())
}

/// How many queues have tasks ahead, counted on each worker.
fn lying_ahead(state: &State) -> usize {
    let known = |worker: &Worker| {
        let holders = state.lookahead.holders();
        worker.ahead.levels().filter(|level| holders.get(level).is_some_and(|ids| ids.contains(&worker.id))).count()
    };
    let missing = state.workers.values().any(|worker| known(worker) != worker.ahead.levels().count());
    if missing { usize::MAX } else { state.workers.values().map(known).sum() }
}

/// The numbers of resources depend on the order in which names were met, so each worker is compared by name.
fn audit_open(state: &State, rebuilt: &State) -> Result<(), String> {
    // Which ones are shown depends on that order as well.
    let count = state.classes.resource_count().max(rebuilt.classes.resource_count());
    if count > SHOWN_RESOURCES_MAX {
        return Ok(());
    }
    let shown = |state: &State, id: WorkerId| -> BTreeMap<String, (u64, bool)> {
        let Some(worker) = state.workers.get(&id) else { return BTreeMap::new() };
        let resources = (0..state.classes.resource_count()).map(ResourceIndex);
        let free = resources
            .map(|index| (state.classes.resource_name(index).to_owned(), state.open_workers.free(worker, index)));
        free.filter(|(_, (parts, _))| *parts > 0).collect()
    };
    for id in state.workers.keys() {
        let (kept, counted) = (shown(state, *id), shown(rebuilt, *id));
        if kept != counted {
            return Err(format!("open worker {id}: kept {kept:?}, counted {counted:?}"));
        }
    }
    let strangers: Vec<WorkerId> = state.open_workers.shown().map(|(id, _)| id).collect();
    match strangers.iter().find(|id| !state.workers.contains_key(id)) {
        Some(id) => Err(format!("worker {id} is open and not there")),
        None => Ok(()),
    }
}

/// Consumers may outlive their need (a dependent that was cancelled); what counts is those still blocked.
fn audit_consumers(state: &State, rebuilt: &State) -> Result<(), String> {
    let blocked = |state: &State| -> BTreeSet<(TaskRef, TaskRef)> {
        let pairs = state.consumers.iter().flat_map(|(on, all)| all.iter().map(move |(task, _)| (*on, *task)));
        pairs
            .filter(|(on, task)| {
                let live = state.job(task.job).and_then(|job| job.tasks.live.get(&task.task));
                let open = state.task_state(*on).is_some_and(|state| !state.is_final());
                open && live.is_some_and(|live| matches!(live.place, Place::Blocked { .. }))
            })
            .collect()
    };
    if blocked(state) != blocked(rebuilt) {
        return Err(format!("consumers: kept {:?}, counted {:?}", blocked(state), blocked(rebuilt)));
    }
    Ok(())
}
