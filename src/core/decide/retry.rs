//! Whether a task is tried again: by its policy after a failure, or because a user wants it.

use crate::event::TaskFailed;
use crate::id::{JobId, TaskId, TaskRef};
use crate::idset::IdSet;
use crate::retry::FailureCause;
use crate::state::gates::Aim;
use crate::state::jobs::Job;
use crate::state::runs::Runs;
use crate::state::{State, condition_met};
use crate::task::{Condition, CrashLimit};
use crate::time::{Span, Time};
use crate::view::TaskState;
use std::collections::BTreeMap;

/// How long a task whose attempt failed waits for the next one; none: it is not tried again.
///
/// What never restarts is never restarted after the loss of a worker, whatever its policy says.
pub fn delay(state: &State, failed: &TaskFailed) -> Option<Span> {
    let job = state.job(failed.job)?;
    let live = job.tasks.live.get(&failed.task)?;
    let desc = job.desc_of(job.tasks.ordinal(failed.task)?)?;
    let policy = desc.retry.as_ref()?;
    let forbidden = failed.cause == FailureCause::Node && desc.crash_limit == CrashLimit::Never;
    let is_tried = live.retries < policy.max && !forbidden && policy.on.covers(failed);
    is_tried.then(|| policy.delay_after(live.retries))
}

/// Tasks whose delay is over, at most so many, by job.
pub fn due(state: &State, now: Time, max: usize) -> BTreeMap<JobId, IdSet> {
    let mut by_job: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for (_, task) in state.delayed.iter().take_while(|(until, _)| *until <= now).take(max) {
        by_job.entry(task.job).or_default().push(task.task.0);
    }
    let sorted = |mut tasks: Vec<u32>| {
        tasks.sort_unstable();
        IdSet::from_sorted(tasks)
    };
    by_job.into_iter().map(|(job, tasks)| (job, sorted(tasks))).collect()
}

/// What of a job runs again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rerun {
    /// The tasks.
    pub tasks: IdSet,
    /// Numbers of the submits that brought them.
    pub submits: Vec<u32>,
}

/// Those of the tasks (runs of ordinals) that run again: final ones in the given states, or in the usual ones. Left out
/// are tasks that wait for one that has ended otherwise than they need, and does not run again.
pub fn rerun(state: &State, job: &Job, selected: &[(u32, u32)], states: &[TaskState]) -> Rerun {
    const USUAL: [TaskState; 3] = [TaskState::Failed, TaskState::Canceled, TaskState::Aborted];
    let states = if states.is_empty() { &USUAL } else { states };
    let mut wanted = Runs::default();
    for (first, last) in selected.iter().copied() {
        let is_meant = |ordinal: &u32| job.tasks.done.get(*ordinal).is_some_and(|done| states.contains(&done.state));
        let done = job.tasks.done.within(first, last).filter(is_meant).map(|ordinal| (ordinal, ordinal));
        let ended = job.tasks.ended_within(first, last).into_iter().filter(|(_, _, state)| states.contains(state));
        done.chain(ended.map(|(from, to, _)| (from, to))).for_each(|(from, to)| wanted.insert(from, to));
    }
    leave_out_shut_out(state, job, &mut wanted);
    leave_out_broken(state, job, &mut wanted);
    let ranges = wanted.iter().flat_map(|(first, last)| job.tasks.ids_of_run(first, last)).collect();
    let submits = job.submits.iter().zip(0u32..).filter(|(submit, _)| {
        let len = submit.desc.ids.len();
        len > 0 && !wanted.within(submit.base, submit.base + (len - 1) as u32).is_empty()
    });
    Rerun { tasks: IdSet { ranges }, submits: submits.map(|(_, number)| number).collect() }
}

/// Takes out tasks behind gates that can never open.
fn leave_out_shut_out(state: &State, job: &Job, wanted: &mut Runs) {
    for (submit, number) in job.submits.iter().zip(0u32..) {
        let closed = submit.desc.after.iter().zip(0u32..).filter(|(_, index)| !job.opened.contains(&(number, *index)));
        // What waits for tasks of its own job may wait for such that run again as well.
        let elsewhere = closed.filter(|(after, _)| after.on != job.id);
        for gate in elsewhere.filter_map(|(after, index)| state.closed_gate(job, number, index, after)) {
            let behind: Vec<(u32, u32)> = gate.cover.iter().collect();
            let shut_out = match (&gate.aim, state.verdict(&gate)) {
                (Aim::Partner, _) => {
                    behind.iter().flat_map(|run| state.partners_that(job, &gate, *run, false)).collect()
                }
                (_, Some(false)) => behind,
                _ => Vec::new(),
            };
            shut_out.iter().for_each(|(first, last)| wanted.remove(*first, *last));
        }
    }
}

/// Takes out tasks whose dependencies can never be met, and then those that depend on these.
fn leave_out_broken(state: &State, job: &Job, wanted: &mut Runs) {
    let mut inside: BTreeMap<TaskId, Vec<(TaskId, Condition)>> = BTreeMap::new();
    let mut broken: Vec<TaskId> = Vec::new();
    let wants = |wanted: &Runs, task: TaskId| job.tasks.ordinal(task).is_some_and(|ordinal| wanted.contains(ordinal));
    for dependency in job.submits.iter().flat_map(|submit| &submit.desc.deps) {
        if !wants(wanted, dependency.task) {
            continue;
        }
        let is_own = dependency.on.job.0 == 0 || dependency.on.job == job.id;
        let on = TaskRef { job: if is_own { job.id } else { dependency.on.job }, task: dependency.on.task };
        if is_own && wants(wanted, on.task) {
            inside.entry(on.task).or_default().push((dependency.task, dependency.condition));
        } else if state.condition(on, dependency.condition) == Some(false) {
            broken.push(dependency.task);
        }
    }
    while let Some(task) = broken.pop() {
        let Some(ordinal) = job.tasks.ordinal(task).filter(|ordinal| wanted.contains(*ordinal)) else { continue };
        wanted.remove(ordinal, ordinal);
        let Some(stays) = state.task_state(TaskRef { job: job.id, task }) else { continue };
        let consumers = inside.get(&task).into_iter().flatten();
        let hopeless = consumers.filter(|(_, condition)| condition_met(*condition, stays) == Some(false));
        broken.extend(hopeless.map(|(consumer, _)| *consumer));
    }
}
