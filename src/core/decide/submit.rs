//! Whether a submit is accepted. Everything that could hurt later is refused here, with a sentence that says why.

use super::after;
use super::depend::{Broken, outcome};
use crate::cycle;
use crate::event::JobSubmitted;
use crate::id::{JobId, TaskRef};
use crate::limits;
use crate::resource::{Amount, Policy, ResourceRequest, Variant};
use crate::state::jobs::Job;
use crate::state::tasks::TaskTable;
use crate::state::{State, condition_met};
use crate::task::{StopPlan, SubmitDesc, SubmitRequest, TaskDesc, Warning};
use crate::time::Span;
use std::collections::{BTreeMap, BTreeSet};
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

/// Whether a description can be submitted.
///
/// # Errors
/// The reason for the refusal.
pub fn check_desc(desc: &TaskDesc) -> Result<(), String> {
    for (what, path) in [
        ("bytes in the working directory", &desc.cwd),
        ("bytes in the path for the standard output", &desc.stdout.path),
        ("bytes in the path for the standard error", &desc.stderr.path),
    ] {
        at_most(what, path.len(), limits::PATH_BYTES_MAX)?;
        if path.contains('\0') {
            return Err("a path contains a zero byte".to_owned());
        }
    }
    if let Some(name) = desc.env.keys().find(|name| name.is_empty() || name.contains('=')) {
        return Err(format!("`{name}` cannot be the name of an environment variable"));
    }
    at_most("words in the command", desc.args.len(), limits::TASK_ARGS_MAX)?;
    let words: usize = desc.args.iter().map(String::len).sum();
    let variables: usize = desc.env.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    at_most("bytes in the command and its environment", words + variables, limits::TASK_ARGS_BYTES_MAX)?;
    at_most("bytes of standard input", desc.stdin.len(), limits::TASK_STDIN_BYTES_MAX)?;
    if desc.args.iter().any(|word| word.contains('\0'))
        || desc.env.iter().any(|(k, v)| k.contains('\0') || v.contains('\0'))
    {
        return Err("the command or its environment contains a zero byte".to_owned());
    }
    if let Some(stop) = &desc.stop {
        check_stop(stop, desc.time_limit)?;
    }
    check_request(&desc.request)
}

fn check_stop(stop: &StopPlan, time_limit: Option<Span>) -> Result<(), String> {
    let StopPlan { warning, signal, grace } = *stop;
    let signals = warning.map(|warning| warning.signal).into_iter().chain((signal != 0).then_some(signal));
    if let Some(wrong) = signals.into_iter().find(|signal| !(1..=limits::SIGNAL_MAX).contains(signal)) {
        return Err(format!("{wrong} is not the number of a signal"));
    }
    let seconds = |span: Span| span.0.div_ceil(1_000_000);
    if let (Some(Warning { before, .. }), Some(limit)) = (warning, time_limit)
        && before >= limit
    {
        let (before, limit) = (seconds(before), seconds(limit));
        return Err(format!("the warning would come {before} s before the end, and the time limit is {limit} s"));
    }
    match grace {
        Some(grace) if grace > limits::KILL_GRACE_MAX => {
            let (grace, max) = (seconds(grace), seconds(limits::KILL_GRACE_MAX));
            Err(format!("the grace is {grace} s, at most {max} s are allowed"))
        }
        _ => Ok(()),
    }
}

fn check_request(request: &ResourceRequest) -> Result<(), String> {
    if request.variants.is_empty() {
        return Err("the resource request is empty".to_owned());
    }
    at_most("variants of a resource request", request.variants.len(), limits::REQUEST_VARIANTS_MAX)?;
    if request.variants.len() > 1 && request.variants.iter().any(|variant| variant.nodes > 0) {
        return Err("a multi-node request cannot be one of several variants".to_owned());
    }
    request.variants.iter().try_for_each(check_variant)
}

fn check_variant(variant: &Variant) -> Result<(), String> {
    at_most("nodes for one task", variant.nodes as usize, limits::TASK_NODES_MAX as usize)?;
    if variant.entries.is_empty() && variant.nodes == 0 {
        return Err("the resource request names no resource".to_owned());
    }
    at_most("resources in one request", variant.entries.len(), limits::RESOURCES_MAX)?;
    let mut names = BTreeSet::new();
    for entry in &variant.entries {
        at_most("bytes in the name of a resource", entry.resource.len(), limits::PATH_BYTES_MAX)?;
        if entry.amount == Amount::ZERO && entry.policy != Policy::All {
            return Err("Zero resources cannot be requested".to_owned());
        }
        if !names.insert(&entry.resource) {
            return Err(format!("Resource '{}' defined more than once", entry.resource));
        }
    }
    Ok(())
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

fn at_most(what: &str, count: usize, max: usize) -> Result<(), String> {
    if count > max { Err(format!("{count} {what} are too many; at most {max} are allowed")) } else { Ok(()) }
}
