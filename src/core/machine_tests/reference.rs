//! Which tasks may be queued, found by brute force from the definition of dependencies: what the random histories compare
//! the queues with.

use crate::id::{JobId, TaskRef};
use crate::state::State;
use crate::state::tasks::Place;
use crate::task::{After, Condition};
use crate::view::TaskState;
use std::collections::{BTreeMap, BTreeSet};

/// Finds by brute force which tasks may be queued, and remembers which gates have opened.
#[derive(Default)]
pub(super) struct Reference {
    opened: BTreeSet<(JobId, usize, usize)>,
}

impl Reference {
    /// Compares the queues with what may be in them; call it after each command.
    pub(super) fn check(&mut self, state: &State) -> Result<(), String> {
        self.note_opened(state);
        let mut queued: BTreeMap<JobId, BTreeSet<u32>> = BTreeMap::new();
        for run in state.ready.levels().flat_map(|level| state.ready.runs(level)) {
            queued.entry(run.job).or_default().extend(run.first..=run.last);
        }
        for job in state.jobs.values() {
            let queued = queued.remove(&job.id).unwrap_or_default();
            for ordinal in 0..job.tasks.total() as u32 {
                let task = TaskRef { job: job.id, task: job.tasks.id(ordinal).unwrap() };
                let place = job.tasks.live.get(&task.task).map(|live| live.place);
                let waits = state.task_state(task) == Some(TaskState::Waiting);
                let is_free = waits && place.is_none_or(|place| matches!(place, Place::Ready | Place::Blocked { .. }));
                let verdicts = self.verdicts(state, task, ordinal);
                if is_free && verdicts.contains(&Some(false)) {
                    return Err(format!("{task} waits behind a broken gate"));
                }
                let may = is_free && place.is_none_or(|place| place == Place::Ready) && !job.is_held(ordinal);
                let may = may && verdicts.iter().all(|verdict| *verdict == Some(true));
                if queued.contains(&ordinal) != may {
                    return Err(format!("{task} is queued: {}, may be: {may}; gates {verdicts:?}", !may));
                }
            }
        }
        Ok(())
    }

    fn note_opened(&mut self, state: &State) {
        for job in state.jobs.values() {
            for (number, submit) in job.submits.iter().enumerate() {
                for (index, after) in submit.desc.after.iter().enumerate().filter(|(_, after)| !after.each) {
                    if together(state, after) == Some(true) {
                        self.opened.insert((job.id, number, index));
                    }
                }
            }
        }
    }

    fn verdicts(&self, state: &State, task: TaskRef, ordinal: u32) -> Vec<Option<bool>> {
        let job = state.job(task.job).unwrap();
        let (number, submit) = job.submit_of(ordinal).unwrap();
        let covers = |after: &After| after.tasks.is_empty() || after.tasks.contains(task.task.0);
        let after = submit.desc.after.iter().enumerate().filter(|(_, after)| covers(after));
        let verdict = |(index, after): (usize, &After)| {
            if after.each {
                return match state.job(after.on) {
                    Some(_) => state.condition(TaskRef { job: after.on, task: task.task }, after.condition),
                    None => Some(true),
                };
            }
            if self.opened.contains(&(task.job, number as usize, index)) { Some(true) } else { together(state, after) }
        };
        after.map(verdict).collect()
    }
}

/// Whether a condition on all that is waited for together is met.
fn together(state: &State, after: &After) -> Option<bool> {
    let Some(target) = state.job(after.on) else { return Some(true) };
    let ids = (0..target.tasks.total() as u32).filter_map(|ordinal| target.tasks.id(ordinal));
    let wanted = ids.filter(|id| after.on_tasks.as_ref().is_none_or(|set| set.contains(id.0)));
    let states: Vec<TaskState> =
        wanted.map(|task| state.task_state(TaskRef { job: after.on, task }).unwrap()).collect();
    let unsuccessful = |state: &TaskState| state.is_final() && *state != TaskState::Finished;
    let is_over = match after.on_tasks {
        Some(_) => states.iter().all(|state| state.is_final()),
        None => target.completed.is_some(),
    };
    match after.condition {
        Condition::Ok if states.iter().any(unsuccessful) => Some(false),
        _ if !is_over => None,
        Condition::Ok | Condition::Any => Some(true),
        Condition::Failed => Some(states.contains(&TaskState::Failed)),
    }
}
