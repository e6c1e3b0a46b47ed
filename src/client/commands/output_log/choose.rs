//! Which tasks of a stream directory are meant: by job, ids, and how they ended.
//!
//! Holds: tasks come in ascending order, or in the order in which they were asked for; one at a time, so that a million
//! of them need no memory.

use super::broken;
use crate::client::arguments::{StreamScope, StreamState};
use crate::client::error::Error;
use hq_core::idset::IdSet;
use hq_journal::stream::{Ending, Instance, Key, StreamDir};

/// Takes the instances of a task, the newest last; false: no more are wanted.
type Take<'a> = dyn FnMut(&[Instance]) -> Result<bool, Error> + 'a;

/// Whether an instance is in one of the states; without states each is.
pub(super) fn is_in(instance: &Instance, states: &[StreamState]) -> bool {
    let state = match instance.outcome.filter(|_| instance.finished).map(|outcome| outcome.ending) {
        Some(Ending::Finished) => StreamState::Finished,
        Some(Ending::Failed) => StreamState::Failed,
        Some(Ending::Canceled) => StreamState::Canceled,
        Some(Ending::Interrupted) => StreamState::Unfinished,
        // Its output is complete; how it ended was not recorded.
        None if instance.finished => return states.is_empty(),
        None => StreamState::Unfinished,
    };
    states.is_empty() || states.contains(&state)
}

/// Calls `f` with each task of a job that is meant.
///
/// # Errors
/// `Job N not found`, `Task N not found`, those of the reading and those of `f`.
pub(super) fn for_each_of_job(
    dir: &StreamDir,
    job: u32,
    tasks: Option<&IdSet>,
    states: &[StreamState],
    f: &mut Take<'_>,
) -> Result<(), Error> {
    let mut any = false;
    let mut f = |all: &[Instance]| {
        any = true;
        if all.last().is_some_and(|newest| is_in(newest, states)) { f(all) } else { Ok(true) }
    };
    match tasks {
        None => for_each(dir, Some(job), &mut f)?,
        Some(ids) => {
            for task in ids.iter() {
                let all = dir.instances(job, task).map_err(broken)?;
                if all.is_empty() {
                    let found = dir.has_job(job).map_err(broken)?;
                    let what = if found { format!("Task {task}") } else { format!("Job {job}") };
                    return Err(Error::Stream(format!("{what} not found")));
                }
                if !f(&all)? {
                    return Ok(());
                }
            }
        }
    }
    if any { Ok(()) } else { Err(Error::Stream(format!("Job {job} not found"))) }
}

/// Calls `f` with each task of a directory that is meant; what is not there is passed over.
///
/// # Errors
/// Those of the reading and those of `f`.
pub(super) fn for_each_in_scope(dir: &StreamDir, scope: &StreamScope, f: &mut Take<'_>) -> Result<(), Error> {
    let mut f = |all: &[Instance]| {
        if all.last().is_some_and(|newest| is_in(newest, &scope.filter)) { f(all) } else { Ok(true) }
    };
    if let (Some(job), Some(ids)) = (scope.job, &scope.task) {
        // A range may be far larger than what is there.
        let few = ids.len() <= 1_000;
        if few {
            for task in ids.iter() {
                let all = dir.instances(job, task).map_err(broken)?;
                if !all.is_empty() && !f(&all)? {
                    return Ok(());
                }
            }
            return Ok(());
        }
    }
    for_each(dir, scope.job, &mut |all| {
        let is_meant = all.last().is_some_and(|newest| holds(scope, newest));
        if is_meant { f(all) } else { Ok(true) }
    })
}

/// Whether job and task are those of the scope.
fn holds(scope: &StreamScope, instance: &Instance) -> bool {
    scope.job.is_none_or(|job| job == instance.key.job)
        && scope.task.as_ref().is_none_or(|ids| ids.contains(instance.key.task))
}

/// Whether an output is in the scope, whatever becomes of its task.
pub(super) fn is_shown(scope: &StreamScope, key: Key, channel: u8) -> bool {
    scope.job.is_none_or(|job| job == key.job)
        && scope.task.as_ref().is_none_or(|ids| ids.contains(key.task))
        && scope.channel.is_none_or(|only| only.number() == channel)
}

/// Which outputs of an instance are in the scope.
pub(super) fn channels(scope: &StreamScope, instance: &Instance) -> [bool; 2] {
    let is_meant = holds(scope, instance) && is_in(instance, &scope.filter);
    [0, 1].map(|channel| is_meant && scope.channel.is_none_or(|only| only.number() == channel))
}

fn for_each(dir: &StreamDir, job: Option<u32>, f: &mut Take<'_>) -> Result<(), Error> {
    let mut failure = None;
    dir.for_each_task(job, &mut |all| {
        f(all).unwrap_or_else(|error| {
            failure = Some(error);
            false
        })
    })
    .map_err(broken)?;
    failure.map_or(Ok(()), Err)
}
