//! Ending all unfinished tasks of a job: by a user, or because too many failed.

use super::depend::{Broken, broken_from};
use crate::attempt::Attempt;
use crate::command::Effect;
use crate::id::{JobId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::state::State;
use crate::view::TaskState;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All unfinished tasks of a job as ranges, sorted and put together: a job of many submits has a range for each.
pub fn unfinished(state: &State, id: JobId) -> IdSet {
    let Some(job) = state.job(id) else { return IdSet::default() };
    let parts = job.last_ordinal().map(|last| job.tasks.unfinished(0, last)).unwrap_or_default();
    super::act::ids(job, &parts).joined()
}

/// Tells workers to kill the attempts of these tasks.
pub fn kills(state: &State, tasks: impl IntoIterator<Item = TaskRef>) -> Vec<Effect> {
    let mut by_worker: BTreeMap<WorkerId, Vec<Attempt>> = BTreeMap::new();
    for task in tasks {
        let live = state.job(task.job).and_then(|job| job.tasks.live.get(&task.task));
        if let Some((worker, fence)) = live.and_then(|live| live.on_worker()) {
            by_worker.entry(worker).or_default().push(Attempt { task, fence });
        }
    }
    by_worker.into_iter().map(|(worker, attempts)| Effect::Cancel { worker, attempts }).collect()
}

/// What waits, anywhere, for the unfinished tasks of a job and can never run once these have the given state.
pub fn broken_by_end(state: &State, id: JobId, became: TaskState) -> Broken {
    let range = TaskRef::new(id.0, 0)..=TaskRef::new(id.0, u32::MAX);
    let ended: Vec<(TaskRef, TaskState)> = state
        .consumers
        .range(range)
        .filter(|(task, _)| state.task_state(**task).is_some_and(|state| !state.is_final()))
        .map(|(task, _)| (*task, became))
        .collect();
    // One reason for all, since the tasks may be very many.
    let reason: Arc<str> = Arc::from(format!("job {id} was {}", became.word()));
    let mut broken = broken_from(state, &ended, |_, _| Arc::clone(&reason));
    broken.retain(|task, _| task.job != id);
    broken
}
