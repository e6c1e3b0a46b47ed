//! What a submit waits for: which jobs and tasks are meant, and whether waiting for them can come to an end.
//!
//! Names and `last` are looked up in the turn of the submit, so that no other submit can come in between.

use crate::admission::at_most;
use crate::after::{AfterRequest, AfterSpec, AfterTarget};
use crate::id::{JobId, TaskId};
use crate::idset::{IdRange, IdSet};
use crate::limits;
use crate::state::State;
use crate::state::jobs::Job;
use crate::state::tasks::TaskTable;
use crate::task::{After, Dependency, SubmitDesc};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The submit with everything that it waits for, `wanted` included. `own` is the open job that it is added to.
///
/// # Errors
/// The reason for the refusal: an unknown job or task, a cycle, too many of them.
pub fn resolve(
    state: &State,
    mut submit: Arc<SubmitDesc>,
    wanted: &[AfterRequest],
    own: Option<JobId>,
) -> Result<Arc<SubmitDesc>, String> {
    if wanted.is_empty() && submit.after.is_empty() {
        return Ok(submit);
    }
    let mut after = submit.after.clone();
    for wanted in wanted {
        let room = limits::SUBMIT_GATES_MAX.saturating_sub(after.len());
        after.extend(meant(state, wanted, own, room)?);
    }
    at_most("dependencies on jobs", after.len(), limits::SUBMIT_GATES_MAX)?;
    let ranges = after.iter().map(|after| after.tasks.ranges.len() + after.on_tasks.as_ref().map_or(0, ranges)).sum();
    at_most("ranges of ids in dependencies on jobs", ranges, limits::GATE_RANGES_MAX)?;
    let mut new = TaskTable::default();
    new.add(&submit.ids, 0);
    for after in &after {
        check(state, &new, &submit.ids, after, own)?;
    }
    check_room(state, &after)?;
    if let Some(own) = own {
        check_circle(state, own, &after)?;
    }
    Arc::make_mut(&mut submit).after = after;
    Ok(submit)
}

fn ranges(set: &IdSet) -> usize {
    set.ranges.len()
}

/// The dependencies that the words stand for.
fn meant(state: &State, wanted: &AfterRequest, own: Option<JobId>, room: usize) -> Result<Vec<After>, String> {
    let AfterSpec { condition, each, target, jobs, name, on_tasks } = &wanted.spec;
    let jobs: Vec<JobId> = match target {
        AfterTarget::Ids => {
            at_most("dependencies on jobs", usize::try_from(jobs.len()).unwrap_or(usize::MAX), room)?;
            jobs.iter().map(JobId).collect()
        }
        AfterTarget::Last if state.last_job.0 == 0 => {
            return Err("invalid dependency: `last` means no job, since none was submitted yet".to_owned());
        }
        AfterTarget::Last => vec![state.last_job],
        AfterTarget::Name => vec![newest(state, name)?],
        AfterTarget::Own => {
            let without = "invalid dependency: `@` without a job means tasks of the open job that is submitted to; \
                           give one by --job, or write the job in front of `@`";
            vec![own.ok_or(without)?]
        }
    };
    let after =
        |on| After { tasks: wanted.tasks.clone(), on, on_tasks: on_tasks.clone(), condition: *condition, each: *each };
    Ok(jobs.into_iter().map(after).collect())
}

fn newest(state: &State, name: &str) -> Result<JobId, String> {
    let found = state.jobs.values().rev().find(|job| job.name == name);
    found.map(|job| job.id).ok_or_else(|| {
        let hint = match name.split_once(':') {
            Some(_) => "; conditions are `ok:`, `any:` and `failed:`",
            None => "",
        };
        format!("invalid dependency: there is no job with the name {name:?}{hint}")
    })
}

/// Checks one dependency; `new` are the tasks of the submit, with the ids `ids`.
fn check(state: &State, new: &TaskTable, ids: &IdSet, after: &After, own: Option<JobId>) -> Result<(), String> {
    let target = known(state, after.on)?;
    let text = format!("invalid dependency {after}");
    after.tasks.check().map_err(|range| format!("{text}: the tasks {range} are named twice"))?;
    if let Some(task) = first_missing(new, &after.tasks)? {
        return Err(format!("{text}: task {task} is not part of the submit"));
    }
    if after.each && after.on_tasks.is_some() {
        return Err(format!("{text}: tasks cannot be listed where each waits for the one of its own id"));
    }
    if let Some(tasks) = &after.on_tasks {
        tasks.check().map_err(|range| format!("{text}: the tasks {range} are named twice"))?;
        if tasks.is_empty() {
            return Err(format!("{text}: it names no task"));
        }
        if let Some(task) = first_missing(&target.tasks, tasks)? {
            return Err(format!("{text}: job {} has no task {task}", target.id));
        }
    } else if own == Some(after.on) {
        return Err(format!("{text}: tasks of job {} cannot wait until it is completed (a cycle)", after.on));
    } else if after.each {
        let behind = if after.tasks.is_empty() { ids } else { &after.tasks };
        if let Some(task) = first_missing(&target.tasks, behind)? {
            return Err(format!("{text}: job {} has no task {task} for task {task} to wait for", target.id));
        }
    }
    Ok(())
}

fn known(state: &State, id: JobId) -> Result<&Job, String> {
    state.job(id).ok_or_else(|| {
        let was = if id.0 > 0 && id <= state.last_job { "; it was forgotten" } else { "" };
        format!("invalid dependency: there is no job {id}{was}")
    })
}

/// The first member of a set that a job does not have.
fn first_missing(tasks: &TaskTable, set: &IdSet) -> Result<Option<TaskId>, String> {
    let stepped: u64 = set.ranges.iter().filter(|range| range.gap > 0).map(IdRange::len).sum();
    if stepped > limits::GATE_STEPPED_TASKS_MAX {
        let max = limits::GATE_STEPPED_TASKS_MAX;
        return Err(format!(
            "{stepped} tasks in stepped ranges of a dependency are too many; at most {max} are allowed"
        ));
    }
    if set.ranges.len().saturating_mul(tasks.range_steps()) > limits::ACT_STEPS_MAX {
        return Err("a dependency names tasks by too many ranges; please name parts of them".to_owned());
    }
    Ok(set.ranges.iter().find_map(|range| first_missing_of(tasks, range)))
}

fn first_missing_of(tasks: &TaskTable, range: &IdRange) -> Option<TaskId> {
    let found = |count: u64| -> u64 {
        let Some(end) = count.checked_sub(1).and_then(|last| range.nth(last)) else { return 0 };
        let part = IdRange { end, ..*range };
        let runs = tasks.runs_of_ids(&part).into_iter();
        runs.map(|(first, last)| u64::from(last) - u64::from(first) + 1).sum()
    };
    if found(range.len()) == range.len() {
        return None;
    }
    // All of the first `low` members are there, and not all of the first `high`.
    let (mut low, mut high) = (0, range.len());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if found(middle) == middle { low = middle } else { high = middle }
    }
    range.nth(low).map(TaskId)
}

/// No job has more to tell of its ends than can be told quickly.
fn check_room(state: &State, after: &[After]) -> Result<(), String> {
    let targets: BTreeSet<JobId> = after.iter().map(|after| after.on).collect();
    for on in targets {
        let new = |of_tasks: bool| {
            let all = after.iter().filter(|after| after.on == on);
            all.filter(|after| (after.each || after.on_tasks.is_some()) == of_tasks).count()
        };
        let (jobs, tasks) = (state.gates.watchers(on).count(), state.gates.task_watchers(on).count());
        at_most(&format!("dependencies on job {on}"), jobs + new(false), limits::JOB_GATES_MAX)?;
        at_most(&format!("dependencies on tasks of job {on}"), tasks + new(true), limits::JOB_TASK_GATES_MAX)?;
    }
    Ok(())
}

/// Tasks that are added to an open job must not wait for what waits for that job to be completed.
fn check_circle(state: &State, own: JobId, after: &[After]) -> Result<(), String> {
    if state.gates.watchers(own).next().is_none() {
        return Ok(());
    }
    let mut seen: BTreeSet<(JobId, u32)> = BTreeSet::new();
    let mut next: Vec<(JobId, u32)> = after.iter().flat_map(|after| waited_for(state, after)).collect();
    while let Some((id, number)) = next.pop() {
        if !seen.insert((id, number)) {
            continue;
        }
        let Some(job) = state.job(id).filter(|job| job.completed.is_none()) else { continue };
        let Some(submit) = job.submits.get(number as usize) else { continue };
        for gate in state.gates.at((id, submit.base)) {
            let Some(after) = submit.desc.after.get(gate.index as usize) else { continue };
            if after.on == own && after.on_tasks.is_none() && !after.each {
                return Err(format!(
                    "invalid dependency: tasks of job {id} wait until job {own} is completed, so that tasks of job \
                     {own} cannot wait for them (a cycle)"
                ));
            }
            next.extend(waited_for(state, after));
        }
        next.extend(submits_of_deps(state, id, &submit.desc));
    }
    Ok(())
}

/// The submits to which the tasks belong that a dependency waits for.
fn waited_for(state: &State, after: &After) -> Vec<(JobId, u32)> {
    let on = after.on;
    let Some(target) = state.job(on) else { return Vec::new() };
    let count = u32::try_from(target.submits.len()).unwrap_or(u32::MAX);
    match &after.on_tasks {
        None => (0..count).map(|number| (on, number)).collect(),
        Some(tasks) => {
            let runs = tasks.ranges.iter().flat_map(|range| target.tasks.runs_of_ids(range));
            let mut submits = BTreeSet::new();
            for (first, last) in runs {
                let numbers = (target.tasks.submit_of(first), target.tasks.submit_of(last));
                if let (Some(first), Some(last)) = numbers {
                    submits.extend((first..=last).map(|number| (on, number)));
                }
            }
            submits.into_iter().collect()
        }
    }
}

/// The submits to which the tasks belong that single tasks of a submit wait for.
fn submits_of_deps(state: &State, of: JobId, submit: &SubmitDesc) -> BTreeSet<(JobId, u32)> {
    let submit_of = |dependency: &Dependency| {
        let on = if dependency.on.job.0 == 0 { of } else { dependency.on.job };
        let tasks = &state.job(on)?.tasks;
        Some((on, tasks.submit_of(tasks.ordinal(dependency.on.task)?)?))
    };
    submit.deps.iter().filter_map(submit_of).collect()
}
