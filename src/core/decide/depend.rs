//! What the end of tasks means for those that wait for them.

use crate::event::{Event, TasksEnded};
use crate::id::{JobId, TaskRef};
use crate::idset::IdSet;
use crate::state::tasks::{Place, TaskStatus};
use crate::state::{State, condition_met};
use crate::view::TaskState;
use std::collections::{BTreeMap, BTreeSet};

/// Tasks that can never run once `ended` tasks have the given states: all that wait for them, directly or not,
/// under a condition that is then broken.
pub fn broken_by(state: &State, ended: &[(TaskRef, TaskState)]) -> BTreeSet<TaskRef> {
    let mut broken = BTreeSet::new();
    let mut next: Vec<(TaskRef, TaskState)> = ended.to_vec();
    while let Some((task, became)) = next.pop() {
        for (consumer, condition) in state.consumers.get(&task).into_iter().flatten() {
            let waits = matches!(
                state.task_status(*consumer),
                Some(TaskStatus::Live(live)) if matches!(live.place, Place::Blocked { .. })
            );
            if waits && condition_met(*condition, became) == Some(false) && broken.insert(*consumer) {
                next.push((*consumer, TaskState::Aborted));
            }
        }
    }
    broken
}

/// One event for each job whose tasks are aborted.
pub fn aborts(tasks: impl IntoIterator<Item = TaskRef>) -> Vec<Event> {
    let mut by_job: BTreeMap<JobId, BTreeSet<u32>> = BTreeMap::new();
    for task in tasks {
        by_job.entry(task.job).or_default().insert(task.task.0);
    }
    by_job
        .into_iter()
        .map(|(job, tasks)| {
            Event::TasksAborted(TasksEnded { job, tasks: IdSet::from_sorted(tasks), ..TasksEnded::default() })
        })
        .collect()
}
