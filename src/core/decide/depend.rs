//! What the end of tasks means for those that wait for them.
//!
//! Holds: each task that can never run is found once, with the end that it began with.

use crate::event::{Event, TasksEnded};
use crate::id::{JobId, TaskRef};
use crate::idset::IdSet;
use crate::limits;
use crate::state::tasks::{Place, TaskStatus};
use crate::state::{State, condition_met};
use crate::view::TaskState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tasks that can never run, each with the reason for users.
pub type Broken = BTreeMap<TaskRef, Arc<str>>;

/// Tasks that can never run once `ended` tasks have the given states: all that wait for them, directly or not,
/// under a condition that is then broken. The reason of each is the ended task that all began with.
pub fn broken_by(state: &State, ended: &[(TaskRef, TaskState)]) -> Broken {
    broken_from(state, ended, |task, became| Arc::from(outcome(task, became)))
}

/// As [`broken_by`], with the reasons that `reason` gives for the ended tasks.
pub fn broken_from(
    state: &State,
    ended: &[(TaskRef, TaskState)],
    reason: impl Fn(TaskRef, TaskState) -> Arc<str>,
) -> Broken {
    let mut broken = Broken::new();
    for (root, root_became) in ended {
        let mut text: Option<Arc<str>> = None;
        let mut next: Vec<(TaskRef, TaskState)> = vec![(*root, *root_became)];
        while let Some((task, became)) = next.pop() {
            for (consumer, condition) in state.consumers.get(&task).into_iter().flatten() {
                // Asked first, since most ends break nothing.
                if condition_met(*condition, became) != Some(false) {
                    continue;
                }
                let waits = matches!(
                    state.task_status(*consumer),
                    Some(TaskStatus::Live(live)) if matches!(live.place, Place::Blocked { .. })
                );
                if waits && !broken.contains_key(consumer) {
                    let text = text.get_or_insert_with(|| reason(*root, *root_became));
                    broken.insert(*consumer, Arc::clone(text));
                    next.push((*consumer, TaskState::Aborted));
                }
            }
        }
    }
    broken
}

/// How a task ended that others waited for, in words.
pub fn outcome(task: TaskRef, became: TaskState) -> String {
    let TaskRef { job, task } = task;
    let words = match became {
        TaskState::Failed => "failed",
        TaskState::Canceled => "was canceled",
        TaskState::Aborted => "was aborted",
        TaskState::Finished | TaskState::Waiting | TaskState::Running => "did not fail",
    };
    format!("task {task} of job {job} {words}")
}

/// One event for each job whose tasks are aborted, and each reason.
pub fn aborts(tasks: impl IntoIterator<Item = (TaskRef, Arc<str>)>) -> Vec<Event> {
    let mut by_job: BTreeMap<JobId, BTreeMap<Arc<str>, BTreeSet<u32>>> = BTreeMap::new();
    for (task, reason) in tasks {
        by_job.entry(task.job).or_default().entry(reason).or_default().insert(task.task.0);
    }
    let mut events = Vec::new();
    for (job, mut by_reason) in by_job {
        if by_reason.len() > limits::ABORT_REASONS_MAX {
            let all = std::mem::take(&mut by_reason).into_values().flatten().collect();
            by_reason.insert(Arc::from("tasks that it waits for did not end as they have to"), all);
        }
        events.extend(by_reason.into_iter().map(|(reason, tasks)| {
            let tasks = IdSet::from_sorted(tasks);
            Event::TasksAborted(TasksEnded { job, tasks, reason: reason.to_string() })
        }));
    }
    events
}
