//! Whether a submit is accepted. Everything that could hurt later is refused here, with a sentence that says why.

use super::after;
use super::depend::{Broken, outcome};
use crate::admission::{at_most, check_desc};
use crate::cycle;
use crate::event::JobSubmitted;
use crate::id::{JobId, TaskRef};
use crate::limits;
use crate::state::jobs::Job;
use crate::state::tasks::TaskTable;
use crate::state::{State, condition_met};
use crate::task::{SubmitDesc, SubmitRequest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The event of an acceptable submit of a new job.
///
/// # Errors
/// The reason for the refusal.
pub fn new_job(state: &State, request: &SubmitRequest) -> Result<JobSubmitted, String> {
    check_name(&request.name)?;
    check_tags(&request.tags)?;
    check_submit(&request.submit)?;
    check_dependencies(state, &request.submit, None)?;
    let submit = after::resolve(state, Arc::clone(&request.submit), &request.after, None)?;
    Ok(JobSubmitted {
        job: next_job(state)?,
        name: request.name.clone(),
        max_fails: request.max_fails,
        submit,
        attached: false,
        tags: request.tags.clone(),
    })
}

/// The number of the next job.
pub(super) fn next_job(state: &State) -> Result<JobId, String> {
    let next = state.last_job.0.checked_add(1).map(JobId);
    next.ok_or_else(|| "no job id is left: 4294967295 jobs were submitted".to_owned())
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), String> {
    at_most("tags of one job", tags.len(), limits::JOB_TAGS_MAX)?;
    for (key, value) in tags {
        if key.is_empty() || key.contains('=') || key.chars().chain(value.chars()).any(char::is_control) {
            return Err(format!("`{}` cannot be a tag", format!("{key}={value}").escape_default()));
        }
        at_most("bytes in the key of a tag", key.len(), limits::TAG_KEY_BYTES_MAX)?;
        at_most("bytes in the value of a tag", value.len(), limits::TAG_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.contains(['\n', '\t']) {
        return Err("name cannot have a newline or a tab".to_owned());
    }
    at_most("bytes in the name of the job", name.len(), limits::JOB_NAME_BYTES_MAX)
}

pub(super) fn check_submit(submit: &SubmitDesc) -> Result<(), String> {
    let total = submit.ids.len();
    if total > limits::SUBMIT_TASKS_MAX {
        return Err(format!(
            "{total} tasks in one submit are too many; at most {} are allowed",
            limits::SUBMIT_TASKS_MAX
        ));
    }
    at_most("ranges of task ids", submit.ids.ranges.len(), limits::GRAPH_TASKS_MAX)?;
    submit.ids.check().map_err(|range| format!("the task ids {range} overlap with others of the same submit"))?;
    if submit.descs.is_empty() && total > 0 {
        return Err("the submit describes no task".to_owned());
    }
    at_most("descriptions of tasks", submit.descs.len(), limits::GRAPH_TASKS_MAX)?;
    at_most("tasks with a description of their own", submit.desc_of.len(), limits::GRAPH_TASKS_MAX)?;
    at_most("bytes in the directory of the submit", submit.submit_dir.len(), limits::PATH_BYTES_MAX)?;
    at_most("bytes in the stream directory", submit.stream.as_ref().map_or(0, String::len), limits::PATH_BYTES_MAX)?;
    at_most("entries", submit.entries.len(), limits::SUBMIT_ENTRIES_MAX)?;
    at_most("bytes in all entries", submit.entries.bytes.len(), limits::SUBMIT_ENTRIES_BYTES_MAX)?;
    let lengths = [("entries", submit.entries.len()), ("descriptions", submit.desc_of.len())];
    for (what, len) in lengths {
        if len != 0 && len as u64 != total {
            return Err(format!("{total} task ids and {len} {what} do not match"));
        }
    }
    if submit.desc_of.iter().any(|index| *index as usize >= submit.descs.len()) {
        return Err("a task refers to a description that is not there".to_owned());
    }
    let mut start = 0;
    for end in &submit.entries.ends {
        let len = (*end as usize).checked_sub(start).ok_or("the entries are malformed")?;
        at_most("bytes in one entry", len, limits::ENTRY_BYTES_MAX)?;
        start = *end as usize;
    }
    if start > submit.entries.bytes.len() {
        return Err("the entries are malformed".to_owned());
    }
    submit.descs.iter().try_for_each(|desc| check_desc(desc))
}

/// Every dependency names a task that exists or comes with the submit, and the new ones form no cycle. `into` is the
/// open job that the tasks are added to.
pub(super) fn check_dependencies(state: &State, submit: &SubmitDesc, into: Option<&Job>) -> Result<(), String> {
    at_most("dependencies", submit.deps.len(), limits::SUBMIT_DEPS_MAX)?;
    let mut new = TaskTable::default();
    new.add(&submit.ids, 0);
    let mut edges = Vec::new();
    for dependency in &submit.deps {
        if new.ordinal(dependency.task).is_none() {
            return Err(format!("invalid dependency: task {} is not part of the submit", dependency.task));
        }
        if dependency.on.job.0 != 0 {
            if state.task_state(dependency.on).is_none() {
                return Err(format!("invalid dependency: there is no task {}", dependency.on));
            }
            continue;
        }
        if new.ordinal(dependency.on.task).is_none() {
            let on = dependency.on.task;
            match into {
                Some(job) if job.tasks.ordinal(on).is_some() => continue,
                Some(job) => {
                    return Err(format!(
                        "invalid dependency: task {on} is part of neither the submit nor job {}",
                        job.id
                    ));
                }
                None => return Err(format!("invalid dependency: task {on} is not part of the submit")),
            }
        }
        edges.push((dependency.on.task.0, dependency.task.0));
    }
    match cycle::find(edges) {
        Some(circle) => Err(format!("invalid dependency: {}", cycle::text(&circle))),
        None => Ok(()),
    }
}

/// Tasks of a submit that can never run, since a dependency on an earlier task is already broken.
pub fn broken_dependents(state: &State, event: &JobSubmitted) -> Broken {
    let job = event.job;
    let broken = event.submit.deps.iter().filter_map(|dependency| {
        let is_own = dependency.on.job.0 == 0;
        let on = TaskRef { job: if is_own { job } else { dependency.on.job }, task: dependency.on.task };
        // The tasks of a new job wait, all of them.
        let can_be = !is_own || event.attached;
        let became = state.task_state(on).filter(|_| can_be)?;
        let is_broken = condition_met(dependency.condition, became) == Some(false);
        is_broken.then(|| (TaskRef { job, task: dependency.task }, Arc::from(outcome(on, became))))
    });
    broken.collect()
}
