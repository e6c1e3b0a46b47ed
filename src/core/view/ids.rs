//! The ids of the tasks of a job that are in given states, as ranges: the cost is that of what was touched.

use super::TaskState;
use crate::id::JobId;
use crate::idset::IdSet;
use crate::state::State;
use crate::state::tasks::{Place, TaskTable};

/// Consecutive ordinals in one state: first, last, state.
type Stretch = (u32, u32, TaskState);

impl State {
    /// The ids of tasks in one of the states (none given: of all tasks), sorted and compressed; none when there is no
    /// such job.
    pub fn view_task_ids(&self, job: JobId, states: &[TaskState]) -> Option<IdSet> {
        let tasks = &self.job(job)?.tasks;
        if states.is_empty() {
            return Some(tasks.ids().compressed());
        }
        let mut touched = touched(tasks);
        touched.sort_unstable_by_key(|(first, ..)| *first);
        let mut wanted = IdSet::default();
        let mut take = |first: u32, last: u32, state: TaskState| {
            if states.contains(&state) {
                wanted.ranges.extend(tasks.ids_of_run(first, last));
            }
        };
        let mut next = Some(0);
        for (first, last, state) in touched {
            if let Some(from) = next.filter(|from| *from < first) {
                take(from, first - 1, TaskState::Waiting);
            }
            take(first, last, state);
            next = last.checked_add(1);
        }
        let end = tasks.total().checked_sub(1).and_then(|last| u32::try_from(last).ok());
        if let (Some(from), Some(last)) = (next, end)
            && from <= last
        {
            take(from, last, TaskState::Waiting);
        }
        Some(wanted.compressed())
    }
}

/// What does not wait untouched; neighbours in one state are put together.
fn touched(tasks: &TaskTable) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut add = |first: u32, last: u32, state: TaskState| match stretches.last_mut() {
        Some((_, end, same)) if *same == state && end.checked_add(1) == Some(first) => *end = last,
        _ => stretches.push((first, last, state)),
    };
    for (ordinal, done) in tasks.done.iter() {
        add(ordinal, ordinal, done.state);
    }
    for (first, run) in &tasks.ended {
        add(*first, run.last, run.state);
    }
    for (id, live) in &tasks.live {
        let state = if matches!(live.place, Place::Running { .. }) { TaskState::Running } else { TaskState::Waiting };
        if let Some(ordinal) = tasks.ordinal(*id) {
            add(ordinal, ordinal, state);
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idset::IdRange;
    use crate::state::done::Done;
    use crate::state::jobs::Job;
    use crate::state::tasks::{EndedRun, Live};
    use crate::time::{Span, Time};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_ids_are_those_of_the_tasks_in_the_states(
            ranges in proptest::collection::vec((1u32..20, 1u32..4), 1..5),
            what in proptest::collection::vec(0u8..5, 0..80),
            wanted in proptest::collection::btree_set(0usize..6, 0..4),
        ) {
            let mut job = Job::new(JobId(1), "job".into(), None, Time(0));
            let mut start = 0;
            for (len, step) in ranges {
                job.tasks.add(&IdSet { ranges: vec![IdRange::stepped(start, start + len * step - 1, step)] }, 0);
                start += len * step;
            }
            let done = |state| Done { state, started: None, lasted: Span(0), worker: 0.into(), attempt: 0.into(), error: 0 };
            for (ordinal, what) in what.iter().enumerate().take(job.tasks.total() as usize) {
                let ordinal = ordinal as u32;
                match what {
                    1 => job.tasks.done.set(ordinal, &done(TaskState::Finished)),
                    2 => job.tasks.done.set(ordinal, &done(TaskState::Failed)),
                    3 => {
                        let run = EndedRun { last: ordinal, state: TaskState::Canceled, at: Time(0), reason: 0 };
                        job.tasks.ended.insert(ordinal, run);
                    }
                    4 => drop(job.tasks.live.insert(job.tasks.id(ordinal).unwrap(), Live::new(Place::Ready))),
                    _ => {}
                }
            }
            let all = [
                TaskState::Waiting, TaskState::Running, TaskState::Finished,
                TaskState::Failed, TaskState::Canceled, TaskState::Aborted,
            ];
            let states: Vec<TaskState> = wanted.iter().map(|at| all[*at]).collect();
            let expected: Vec<u32> = job
                .tasks
                .ascending_from(0.into())
                .filter(|id| states.is_empty() || states.contains(&job.tasks.status(*id).unwrap().state()))
                .map(|id| id.0)
                .collect();
            let mut state = State::default();
            state.jobs.insert(JobId(1), Box::new(job));
            prop_assert_eq!(state.view_task_ids(JobId(1), &states), Some(IdSet::from_sorted(expected)));
            prop_assert_eq!(state.view_task_ids(JobId(2), &states), None);
        }
    }
}
