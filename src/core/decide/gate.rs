//! What can never run, since a gate in front of it is broken, and the reason that users see.
//!
//! What holds: work is done by runs of tasks, and only for jobs that somebody waits for.

use super::act::{Parts, ids};
use super::depend::{self, Broken};
use crate::after::condition_word;
use crate::id::{JobId, TaskRef};
use crate::idset::IdSet;
use crate::state::gates::{Aim, Gate, Place, ended_as, partners};
use crate::state::jobs::Job;
use crate::state::runs::Runs;
use crate::state::{State, condition_met};
use crate::task::{After, Condition};
use crate::view::TaskState;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tasks of one job that can never run.
#[derive(Debug)]
pub struct Doom {
    /// The job.
    pub job: JobId,
    /// Their ordinals.
    pub parts: Parts,
    /// Why, for users.
    pub reason: String,
}

/// Ordinals of tasks that have just ended, with their state.
pub type Ended = (u32, u32, TaskState);

/// What can never run, now that tasks of this job have ended or it is completed.
pub fn doomed_by(state: &State, on: JobId, ended: &[Ended]) -> Vec<Doom> {
    let mut dooms = Vec::new();
    let places: BTreeSet<Place> = state.gates.watchers(on).chain(state.gates.task_watchers(on)).collect();
    for place in places {
        let Some(job) = state.job(place.0).filter(|job| job.counts.waiting > 0) else { continue };
        for gate in state.gates.at(place).iter().filter(|gate| gate.on == on) {
            match gate.aim {
                Aim::Partner => dooms.extend(ended.iter().filter_map(|ended| by_partner(state, job, gate, *ended))),
                _ => dooms.extend(by_verdict(state, job, gate)),
            }
        }
    }
    dooms
}

/// What of the tasks of a job can never run, since a gate of its own is broken already.
pub fn doomed_in(state: &State, id: JobId) -> Vec<Doom> {
    let Some(job) = state.job(id) else { return Vec::new() };
    let mut dooms = Vec::new();
    for gate in state.gates.of_job(id) {
        match gate.aim {
            Aim::Partner => {
                let finals = [TaskState::Finished, TaskState::Failed, TaskState::Canceled, TaskState::Aborted];
                let breaking = |other: &TaskState| condition_met(gate.condition, *other) == Some(false);
                for other in finals.into_iter().filter(breaking) {
                    let behind = gate.cover.iter().flat_map(|run| with_partners(state, job, gate, run, other));
                    dooms.extend(doom(job, &behind.collect::<Parts>(), || partner_reason(gate, other)));
                }
            }
            _ => dooms.extend(by_verdict(state, job, gate)),
        }
    }
    dooms
}

fn by_verdict(state: &State, job: &Job, gate: &Gate) -> Option<Doom> {
    if state.verdict(gate) != Some(false) {
        return None;
    }
    doom(job, &gate.cover.iter().collect::<Parts>(), || job_reason(state, job, gate))
}

/// The tasks behind a gate whose partners are those that have ended.
fn by_partner(state: &State, job: &Job, gate: &Gate, (first, last, became): Ended) -> Option<Doom> {
    if condition_met(gate.condition, became) != Some(false) {
        return None;
    }
    let target = state.job(gate.on)?;
    let ours = partners(&target.tasks, (first, last), &job.tasks).into_iter();
    let behind: Parts = ours.flat_map(|(first, last)| gate.cover.within(first, last)).collect();
    doom(job, &behind, || partner_reason(gate, became))
}

/// The tasks of a run whose partners are in this state.
fn with_partners(state: &State, job: &Job, gate: &Gate, run: (u32, u32), wanted: TaskState) -> Parts {
    let Some(target) = state.job(gate.on) else { return Vec::new() };
    let theirs = partners(&job.tasks, run, &target.tasks).into_iter();
    let theirs = theirs.flat_map(|run| ended_as(&target.tasks, run, |state| state == wanted));
    theirs.flat_map(|run| partners(&target.tasks, run, &job.tasks)).collect()
}

fn doom(job: &Job, behind: &[(u32, u32)], reason: impl FnOnce() -> String) -> Option<Doom> {
    let parts = unplaced(job, behind);
    if parts.is_empty() { None } else { Some(Doom { job: job.id, parts, reason: reason() }) }
}

fn unplaced(job: &Job, parts: &[(u32, u32)]) -> Parts {
    parts.iter().flat_map(|(first, last)| job.tasks.unplaced(*first, *last)).collect()
}

/// Those of the tasks that wait on no worker, with their ids.
pub fn still_waiting(state: &State, id: JobId, parts: &[(u32, u32)]) -> (Parts, IdSet) {
    let Some(job) = state.job(id) else { return Default::default() };
    let parts = unplaced(job, parts);
    let ids = ids(job, &parts);
    (parts, ids)
}

/// The dependency that a gate stands for.
fn after<'a>(job: &'a Job, gate: &Gate) -> Option<&'a After> {
    job.submits.get(gate.submit as usize)?.desc.after.get(gate.index as usize)
}

fn job_reason(state: &State, job: &Job, gate: &Gate) -> String {
    let text = after(job, gate).map(ToString::to_string).unwrap_or_default();
    let (none, all) =
        if gate.aim == Aim::Job { ("no task", "the tasks") } else { ("none of these tasks", "these tasks") };
    let why = match gate.condition {
        Condition::Failed => format!("{none} of job {} failed", gate.on),
        _ => {
            let unsuccessful = match (&gate.aim, state.job(gate.on)) {
                (Aim::Tasks(_, tally), _) => tally.unsuccessful,
                (_, Some(target)) => target.counts.failed + target.counts.canceled + target.counts.aborted,
                _ => 0,
            };
            format!("{unsuccessful} of {all} of job {} did not finish successfully", gate.on)
        }
    };
    format!("dependency {text} cannot be met: {why}")
}

fn partner_reason(gate: &Gate, became: TaskState) -> String {
    let (word, on) = (condition_word(gate.condition), gate.on);
    let ended = match became {
        TaskState::Finished => "finished",
        TaskState::Failed => "failed",
        TaskState::Canceled => "was canceled",
        _ => "was aborted",
    };
    format!("dependency each:{word}:{on} cannot be met: the task of the same id of job {on} {ended}")
}

/// What waits, anywhere, for some tasks of a job and can never run once these are aborted, which is the reason for all;
/// without these.
pub fn broken_by_runs(state: &State, id: JobId, parts: &[(u32, u32)], reason: &str) -> Broken {
    let Some(job) = state.job(id) else { return Broken::new() };
    let runs: Runs = parts.iter().copied().collect();
    let is_ended = |task: &TaskRef| task.job == id && job.tasks.ordinal(task.task).is_some_and(|at| runs.contains(at));
    let range = TaskRef::new(id.0, 0)..=TaskRef::new(id.0, u32::MAX);
    let waited_for = state.consumers.range(range).map(|(task, _)| *task).filter(|task| is_ended(task));
    let ended: Vec<(TaskRef, TaskState)> = waited_for.map(|task| (task, TaskState::Aborted)).collect();
    let reason: Arc<str> = Arc::from(reason);
    let broken = depend::broken_from(state, &ended, |_, _| Arc::clone(&reason));
    broken.into_iter().filter(|(task, _)| !is_ended(task)).collect()
}
