//! Open jobs: what may be opened, what may be added, what may be forgotten.
//!
//! The order of the checks is part of what scripts see: an unknown job, then tasks that are there already, then a job
//! that takes no more.

use super::{after, submit};
use crate::after::AfterRequest;
use crate::event::{JobOpened, JobSubmitted};
use crate::id::{JobId, TaskId};
use crate::idset::IdSet;
use crate::limits;
use crate::planted::{self, Planted};
use crate::state::State;
use crate::state::jobs::Job;
use crate::state::tasks::TaskTable;
use crate::task::{Dependency, SubmitDesc, SubmitRequest};
use crate::view::JobState;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The event of an acceptable new job without tasks.
///
/// # Errors
/// The reason for the refusal.
pub fn new_open(
    state: &State,
    name: &str,
    max_fails: Option<u32>,
    tags: &BTreeMap<String, String>,
) -> Result<JobOpened, String> {
    submit::check_name(name)?;
    submit::check_tags(tags)?;
    let job = submit::next_job(state)?;
    Ok(JobOpened { job, name: name.to_owned(), max_fails, tags: tags.clone() })
}

/// The event of an acceptable submit into an open job.
///
/// # Errors
/// The reason for the refusal.
pub fn attach(state: &State, id: JobId, request: SubmitRequest) -> Result<JobSubmitted, String> {
    submit::check_name(&request.name)?;
    submit::check_submit(&request.submit)?;
    let job = state.job(id).ok_or_else(|| format!("Job {id} not found."))?;
    let SubmitRequest { name, submit, free_ids_from, mut after, .. } = request;
    let submit = numbered(job, submit, &mut after, free_ids_from)?;
    check_ids(job, &submit.ids)?;
    if !job.is_open {
        return Err(format!("Job {id} is not opened."));
    }
    if job.submits.len() >= limits::JOB_SUBMITS_MAX {
        let max = limits::JOB_SUBMITS_MAX;
        return Err(format!("job {id} has {max} submits; more are not possible, open another job"));
    }
    submit::check_dependencies(state, &submit, Some(job))?;
    let submit = after::resolve(state, submit, &after, Some(id))?;
    Ok(JobSubmitted { job: id, name, submit, attached: true, ..JobSubmitted::default() })
}

/// The submit with ids that nobody typed moved behind those that the job has.
fn numbered(
    job: &Job,
    submit: Arc<SubmitDesc>,
    after: &mut [AfterRequest],
    free_from: Option<u32>,
) -> Result<Arc<SubmitDesc>, String> {
    let Some(from) = free_from else { return Ok(submit) };
    let none_left = || format!("no task id is left in job {}: the largest is {}", job.id, u32::MAX);
    let by = match job.tasks.max_id() {
        Some(last) => (u64::from(last) + 1).saturating_sub(u64::from(from)),
        None => 0,
    };
    if by == 0 {
        return Ok(submit);
    }
    let by = u32::try_from(by).map_err(|_| none_left())?;
    let mut own = TaskTable::default();
    own.add(&submit.ids, 0);
    // Whoever waits for a number of its own submit means that task, wherever it goes.
    let moved = |task: TaskId| if task.0 >= from { TaskId(task.0.saturating_add(by)) } else { task };
    // The entries may be large, and nobody else holds what has just arrived.
    let mut submit = Arc::unwrap_or_clone(submit);
    submit.ids = submit.ids.shifted(from, by).ok_or_else(none_left)?;
    for Dependency { task, on, .. } in &mut submit.deps {
        *task = moved(*task);
        if on.job.0 == 0 && own.ordinal(on.task).is_some() {
            on.task = moved(on.task);
        }
    }
    let behind = submit.after.iter_mut().map(|after| &mut after.tasks);
    for tasks in behind.chain(after.iter_mut().map(|after| &mut after.tasks)) {
        *tasks = tasks.shifted(from, by).ok_or_else(none_left)?;
    }
    Ok(Arc::new(submit))
}

/// None of the ids is in the job already.
fn check_ids(job: &Job, ids: &IdSet) -> Result<(), String> {
    let mut budget = limits::ATTACH_PAIRS_MAX;
    for range in &ids.ranges {
        match job.tasks.first_common(range, &mut budget) {
            Some(None) => {}
            Some(Some(task)) => return Err(format!("Task {task} already exists in job {}.", job.id)),
            None => {
                let id = job.id;
                return Err(format!("the task ids interleave too much with those of job {id}; use ids without steps"));
            }
        }
    }
    Ok(())
}

/// Whether a job is completed and in one of the states.
pub fn is_forgettable(job: &Job, states: &[JobState]) -> bool {
    (job.completed.is_some() || planted::is(Planted::ForgetRunning))
        && states.contains(&job.counts.job_state(job.is_open))
}
