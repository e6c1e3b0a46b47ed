//! Which tasks an action of a user touches: those selected that are not as wanted already.
//!
//! What holds: the work is bounded by the ranges of the selection and by the tasks of the job that are more than members
//! of a waiting range; a selection that would take more is refused.

use super::time;
use crate::act::TaskChange;
use crate::attempt::Attempt;
use crate::command::Effect;
use crate::id::{TaskRef, WorkerId};
use crate::idset::{IdRange, IdSet};
use crate::limits;
use crate::state::State;
use crate::state::jobs::{Job, Submit};
use crate::state::runs::Runs;
use crate::state::tasks::{Live, Place};
use std::collections::BTreeMap;

/// Ordinals of a job as runs `(first, last)`.
pub type Parts = Vec<(u32, u32)>;

/// The tasks of one job that a user means.
#[derive(Debug, Default)]
pub struct Selection {
    /// Their ordinals, ascending.
    pub parts: Parts,
    /// Ids that the job does not have; of a large selection none are told.
    pub missing: IdSet,
}

/// Finds the tasks of a job.
///
/// # Errors
/// A sentence when looking for them would take too long.
pub fn select(job: &Job, tasks: Option<&IdSet>) -> Result<Selection, String> {
    let Some(set) = tasks else {
        let parts = job.last_ordinal().map(|last| (0, last)).into_iter().collect();
        return Ok(Selection { parts, missing: IdSet::default() });
    };
    let max = job.tasks.max_id().unwrap_or(0);
    let there = set.ranges.iter().filter(|range| !range.is_empty() && range.start <= max);
    let there: Vec<IdRange> = there.map(|range| IdRange { end: range.end.min(max), ..*range }).collect();
    let stepped: u64 = there.iter().filter(|range| range.gap > 0).map(IdRange::len).sum();
    if stepped > limits::ACT_STEPPED_TASKS_MAX {
        let most = limits::ACT_STEPPED_TASKS_MAX;
        return Err(format!("{stepped} tasks in ranges with a step are too many; at most {most} are allowed"));
    }
    if there.len().saturating_mul(job.tasks.range_steps()) > limits::ACT_STEPS_MAX {
        return Err("the selection has too many ranges; please select parts of it".to_owned());
    }
    let runs: Runs = there.iter().flat_map(|range| job.tasks.runs_of_ids(range)).collect();
    let few = set.len() <= limits::PAGE_SCAN_TASKS_MAX as u64;
    let mut missing: Vec<u32> =
        if few { set.iter().filter(|id| job.tasks.ordinal((*id).into()).is_none()).collect() } else { Vec::new() };
    missing.sort_unstable();
    missing.dedup();
    Ok(Selection { parts: runs.iter().collect(), missing: IdSet::from_sorted(missing) })
}

impl Selection {
    /// How many tasks they are.
    pub fn len(&self) -> u64 {
        count(&self.parts)
    }

    /// Whether they are none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Those that have not ended.
    pub fn unfinished(&self, job: &Job) -> Parts {
        self.parts.iter().flat_map(|(first, last)| job.tasks.unfinished(*first, *last)).collect()
    }

    /// Those that wait, and that nobody holds.
    pub fn to_hold(&self, job: &Job) -> Parts {
        self.waiting(job).flat_map(|(first, last)| job.not_held(first, last)).collect()
    }

    /// Those that wait, and that somebody holds.
    pub fn to_release(&self, job: &Job) -> Parts {
        self.waiting(job).flat_map(|(first, last)| job.held_within(first, last)).collect()
    }

    fn waiting<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.parts.iter().flat_map(|(first, last)| job.tasks.waiting(*first, *last))
    }
}

/// Those of the tasks that wait and that a change would change.
///
/// # Errors
/// A sentence when the change is not possible for one of them.
pub fn to_modify(job: &Job, selection: &Selection, change: &TaskChange) -> Result<Parts, String> {
    let mut parts = Parts::new();
    // Whether the tasks of a description change, by submit and index.
    let mut known: BTreeMap<(u32, u32), bool> = BTreeMap::new();
    for (first, last) in selection.waiting(job) {
        let mut next = Some(first);
        while let Some(from) = next.filter(|from| *from <= last) {
            let Some((number, range_last)) = job.tasks.range_at(from) else { break };
            let until = range_last.min(last);
            let Some(submit) = job.submits.get(number as usize) else { break };
            for (first, last, index) in submit.alike(from, until) {
                let changes = match known.get(&(number, index)) {
                    Some(changes) => *changes,
                    None => {
                        let changes = check_change(submit, index, change)?;
                        known.insert((number, index), changes);
                        changes
                    }
                };
                if changes {
                    parts.push((first, last));
                }
            }
            next = until.checked_add(1);
        }
    }
    for (number, submit) in (0u32..).zip(&job.submits) {
        let new = known.range((number, 0)..=(number, u32::MAX)).filter(|(_, changes)| **changes).count();
        if new > 0 && submit.revisions.len() + new > submit.desc.descs.len() + limits::SUBMIT_REVISIONS_MAX {
            let max = limits::SUBMIT_REVISIONS_MAX;
            return Err(format!("its tasks were changed too often; at most {max} different changes are kept"));
        }
    }
    Ok(parts)
}

/// Whether a change changes the description with this index.
fn check_change(submit: &Submit, index: u32, change: &TaskChange) -> Result<bool, String> {
    let Some(before) = submit.desc_at(index) else { return Ok(false) };
    if change.request.is_some() && before.request.variants.iter().any(|variant| variant.nodes > 0) {
        return Err("multi-node tasks get whole workers, so their resources cannot be changed".to_owned());
    }
    let revision = submit.changed(index, change);
    let Some(base) = submit.desc.descs.get(revision.of as usize) else { return Ok(false) };
    let after = revision.change.applied_to(base);
    crate::admission::check_desc(&after)?;
    Ok(after != *before)
}

/// How many tasks there are.
pub fn count(parts: &[(u32, u32)]) -> u64 {
    parts.iter().map(|(first, last)| u64::from(*last) - u64::from(*first) + 1).sum()
}

/// The ids of the tasks.
pub fn ids(job: &Job, parts: &[(u32, u32)]) -> IdSet {
    IdSet { ranges: parts.iter().flat_map(|(first, last)| job.tasks.ids_of_run(*first, *last)).collect() }.joined()
}

/// Those of the tasks that lie on workers and have not started.
pub fn assigned(job: &Job, parts: &[(u32, u32)]) -> BTreeMap<WorkerId, Vec<Attempt>> {
    by_worker(job, parts, |live| matches!(live.place, Place::Assigned { .. }))
}

/// What lies on a worker, has not started, and shall not start, or not by the values with which it was given there.
pub fn unwanted(state: &State, worker: WorkerId) -> Vec<Attempt> {
    let is_unwanted = |attempt: &Attempt| {
        let job = state.job(attempt.task.job);
        let ordinal = job.and_then(|job| job.tasks.ordinal(attempt.task.task));
        job.zip(ordinal).is_some_and(|(job, ordinal)| {
            let given = job.tasks.live.get(&attempt.task.task).map(|live| live.desc);
            let wanted = job.submit_of(ordinal).map(|(_, submit)| submit.desc_index(ordinal));
            job.is_held(ordinal) || given != wanted
        })
    };
    time::not_started(state, worker).into_iter().filter(is_unwanted).collect()
}

/// The messages that have workers kill those of the tasks that are there.
pub fn kills(job: &Job, parts: &[(u32, u32)]) -> Vec<Effect> {
    let there = by_worker(job, parts, |_| true);
    there.into_iter().map(|(worker, attempts)| Effect::Cancel { worker, attempts }).collect()
}

fn by_worker(job: &Job, parts: &[(u32, u32)], wanted: impl Fn(&Live) -> bool) -> BTreeMap<WorkerId, Vec<Attempt>> {
    let mut found: BTreeMap<WorkerId, Vec<Attempt>> = BTreeMap::new();
    for (first, last) in parts {
        for (_, task, live) in job.tasks.live_within(*first, *last).filter(|(_, _, live)| wanted(live)) {
            if let Some((worker, fence)) = live.on_worker() {
                found.entry(worker).or_default().push(Attempt { task: TaskRef { job: job.id, task }, fence });
            }
        }
    }
    found
}
