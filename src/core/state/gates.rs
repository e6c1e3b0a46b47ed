//! Gates: dependencies of many tasks at once, on a job or on tasks of one.
//!
//! Nothing is stored for the tasks behind a gate: whether one of them may be queued follows from the gates that cover it.
//! So a million tasks that wait for a job cost as much as one.
//!
//! A gate on a job, or on tasks of one together, opens once and stays open, whatever becomes of these tasks later; it is
//! noted in the job behind it, since the one waited for may be forgotten. Where each task waits for its partner of the
//! same id, the state of the partner decides.
//!
//! **Invariant:** closed gates of a job that is not completed, and only these, are listed here (checked by `audit`).

use super::State;
use super::condition_met;
use super::jobs::Job;
use super::runs::Runs;
use super::tasks::TaskTable;
use crate::id::JobId;
use crate::idset::IdSet;
use crate::task::{After, Condition};
use crate::view::TaskState;
use std::collections::{BTreeMap, BTreeSet};

/// How many of the tasks that a gate waits for are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Not ended.
    pub left: u64,
    /// Failed.
    pub failed: u64,
    /// Ended in another way than by success.
    pub unsuccessful: u64,
}

impl Tally {
    /// Notes the end of tasks.
    pub(super) fn end(&mut self, count: u64, state: TaskState) {
        self.left = self.left.saturating_sub(count);
        self.failed += if state == TaskState::Failed { count } else { 0 };
        self.unsuccessful += if state == TaskState::Finished { 0 } else { count };
    }

    /// Whether the condition is met, cannot be met any more, or is still open (`None`).
    fn verdict(&self, condition: Condition, is_over: bool) -> Option<bool> {
        match condition {
            Condition::Ok if self.unsuccessful > 0 => Some(false),
            _ if !is_over => None,
            Condition::Ok | Condition::Any => Some(true),
            Condition::Failed => Some(self.failed > 0),
        }
    }
}

/// What a gate looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// The whole job, once it is completed.
    Job,
    /// Tasks of it together: their ordinals there, and how many are where.
    Tasks(Runs, Tally),
    /// For each task the one of the same id.
    Partner,
}

/// A gate that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Number of the submit behind it.
    pub submit: u32,
    /// Its place among the dependencies of that submit.
    pub index: u32,
    /// The job waited for.
    pub on: JobId,
    /// What is waited for.
    pub condition: Condition,
    /// See [`Aim`].
    pub aim: Aim,
    /// Ordinals of the tasks behind it.
    pub cover: Runs,
}

/// The gates of one submit, by its job and the ordinal of its first task.
pub type Place = (JobId, u32);

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gates {
    of: BTreeMap<Place, Vec<Gate>>,
    /// By job waited for: who waits for it as a whole.
    on_jobs: BTreeSet<(JobId, Place)>,
    /// By job waited for: who waits for tasks of it.
    on_tasks: BTreeSet<(JobId, Place)>,
}

impl Gates {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether somebody waits for the job, or for tasks of it.
    pub fn is_watched(&self, on: JobId) -> bool {
        !self.is_empty() && (self.watchers(on).next().is_some() || self.has_task_watchers(on))
    }

    /// Whether somebody waits for tasks of the job.
    pub fn has_task_watchers(&self, on: JobId) -> bool {
        !self.on_tasks.is_empty() && self.task_watchers(on).next().is_some()
    }

    /// Who waits for the job as a whole.
    pub fn watchers(&self, on: JobId) -> impl Iterator<Item = Place> + '_ {
        within(&self.on_jobs, on)
    }

    /// Who waits for tasks of the job.
    pub fn task_watchers(&self, on: JobId) -> impl Iterator<Item = Place> + '_ {
        within(&self.on_tasks, on)
    }

    /// The closed gates of one submit.
    pub fn at(&self, place: Place) -> &[Gate] {
        self.of.get(&place).map(Vec::as_slice).unwrap_or_default()
    }

    /// The closed gates of a job.
    pub fn of_job(&self, id: JobId) -> impl Iterator<Item = &Gate> {
        self.of.range((id, 0)..=(id, u32::MAX)).flat_map(|(_, gates)| gates)
    }

    /// The closed gates of the submits that a run of ordinals belongs to.
    fn across(&self, id: JobId, first: u32, last: u32) -> impl Iterator<Item = &Gate> {
        let from = self.of.range(..=(id, first)).next_back().filter(|((job, _), _)| *job == id);
        let from = from.map_or((id, first), |(place, _)| *place);
        self.of.range(from..=(id, last.max(from.1))).flat_map(|(_, gates)| gates)
    }

    pub(super) fn at_mut(&mut self, place: Place) -> &mut [Gate] {
        self.of.get_mut(&place).map(Vec::as_mut_slice).unwrap_or_default()
    }

    pub(super) fn insert(&mut self, place: Place, gate: Gate) {
        self.index(&gate).insert((gate.on, place));
        self.of.entry(place).or_default().push(gate);
    }

    /// Takes out those gates of a submit that are not to stay.
    pub(super) fn remove(&mut self, place: Place, is_to_go: impl Fn(&Gate) -> bool) -> Vec<Gate> {
        let Some(gates) = self.of.remove(&place) else { return Vec::new() };
        let (gone, stay): (Vec<Gate>, Vec<Gate>) = gates.into_iter().partition(is_to_go);
        for gate in &gone {
            self.index(gate).remove(&(gate.on, place));
        }
        for gate in &stay {
            self.index(gate).insert((gate.on, place));
        }
        if !stay.is_empty() {
            self.of.insert(place, stay);
        }
        gone
    }

    /// Takes out all gates of a job.
    pub(super) fn remove_job(&mut self, id: JobId) {
        let places: Vec<Place> = self.of.range((id, 0)..=(id, u32::MAX)).map(|(place, _)| *place).collect();
        for place in places {
            self.remove(place, |_| true);
        }
    }

    fn index(&mut self, gate: &Gate) -> &mut BTreeSet<(JobId, Place)> {
        match gate.aim {
            Aim::Job => &mut self.on_jobs,
            Aim::Tasks(..) | Aim::Partner => &mut self.on_tasks,
        }
    }
}

fn within(set: &BTreeSet<(JobId, Place)>, on: JobId) -> impl Iterator<Item = Place> + '_ {
    let span = (on, (JobId(0), 0))..=(on, (JobId(u32::MAX), u32::MAX));
    set.range(span).map(|(_, place)| *place)
}

/// The ordinals of the members of `set` that the job has.
pub fn ordinals(tasks: &TaskTable, set: &IdSet) -> Runs {
    set.ranges.iter().flat_map(|range| tasks.runs_of_ids(range)).collect()
}

/// The ordinals that the tasks `first..=last` of one job have in another one, as far as it has the same ids.
pub fn partners(from: &TaskTable, (first, last): (u32, u32), to: &TaskTable) -> Vec<(u32, u32)> {
    from.ids_of_run(first, last).iter().flat_map(|range| to.runs_of_ids(range)).collect()
}

impl State {
    /// Whether a gate is met, cannot be met any more, or is still open (`None`); for partners see
    /// [`State::partners_that`].
    pub fn verdict(&self, gate: &Gate) -> Option<bool> {
        let Some(job) = self.jobs.get(&gate.on) else { return Some(true) };
        match &gate.aim {
            Aim::Tasks(_, tally) => tally.verdict(gate.condition, tally.left == 0),
            Aim::Partner => None,
            Aim::Job => {
                let unsuccessful = job.counts.total() - job.counts.unfinished() - job.counts.finished;
                let tally = Tally { left: job.counts.unfinished(), failed: job.counts.failed, unsuccessful };
                tally.verdict(gate.condition, job.completed.is_some())
            }
        }
    }

    /// Those tasks of a run behind a gate on partners whose partners have ended so that the condition is met (`true`) or
    /// cannot be met any more (`false`).
    pub fn partners_that(&self, job: &Job, gate: &Gate, run: (u32, u32), met: bool) -> Vec<(u32, u32)> {
        let Some(target) = self.jobs.get(&gate.on) else { return if met { vec![run] } else { Vec::new() } };
        let theirs = partners(&job.tasks, run, &target.tasks).into_iter();
        let is_so = |state| condition_met(gate.condition, state) == Some(met);
        let ended = theirs.flat_map(|(first, last)| ended_as(&target.tasks, (first, last), is_so));
        let ours: Runs = ended.flat_map(|run| partners(&target.tasks, run, &job.tasks)).collect();
        ours.iter().collect()
    }

    /// The parts of runs of ordinals that no gate keeps from being queued.
    pub(super) fn past_gates(&self, job: &Job, parts: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
        let (Some((first, _)), Some((_, last))) = (parts.first().copied(), parts.last().copied()) else { return parts };
        let mut parts = parts;
        for gate in self.gates.across(job.id, first, last) {
            parts = parts.into_iter().flat_map(|run| self.past_gate(job, gate, run)).collect();
            if parts.is_empty() {
                break;
            }
        }
        parts
    }

    fn past_gate(&self, job: &Job, gate: &Gate, (first, last): (u32, u32)) -> Vec<(u32, u32)> {
        let mut parts = gate.cover.outside(first, last);
        if gate.aim == Aim::Partner {
            let behind = gate.cover.within(first, last).into_iter();
            parts.extend(behind.flat_map(|run| self.partners_that(job, gate, run, true)));
            parts.sort_unstable();
        }
        parts
    }

    /// The gate that a dependency stands for, as if it had never opened; none when the job waited for was forgotten.
    pub fn closed_gate(&self, job: &Job, submit: u32, index: u32, after: &After) -> Option<Gate> {
        let behind = job.submits.get(submit as usize)?;
        let last = u32::try_from(behind.desc.ids.len().checked_sub(1)?).ok()?;
        let whole = (behind.base, behind.base.saturating_add(last));
        let target = self.jobs.get(&after.on)?;
        let aim = match &after.on_tasks {
            _ if after.each => Aim::Partner,
            None => Aim::Job,
            Some(set) => {
                let runs = ordinals(&target.tasks, set);
                let tally = tally(&target.tasks, &runs);
                Aim::Tasks(runs, tally)
            }
        };
        let cover = if after.tasks.is_empty() {
            [whole].into_iter().collect()
        } else {
            ordinals(&job.tasks, &after.tasks).within(whole.0, whole.1).into_iter().collect()
        };
        Some(Gate { submit, index, on: after.on, condition: after.condition, aim, cover })
    }
}

/// The parts of a run of ordinals that have ended in states that `is_so` wants.
pub fn ended_as(tasks: &TaskTable, (first, last): (u32, u32), is_so: impl Fn(TaskState) -> bool) -> Vec<(u32, u32)> {
    let before = tasks.ended.range(..first).next_back();
    let together = before.into_iter().chain(tasks.ended.range(first..=last.max(first)));
    let together = together.filter(|(_, run)| run.last >= first && is_so(run.state));
    let mut parts: Vec<(u32, u32)> = together.map(|(start, run)| ((*start).max(first), run.last.min(last))).collect();
    for ordinal in tasks.done.within(first, last) {
        if !tasks.done.get(ordinal).is_some_and(|done| is_so(done.state)) {
            continue;
        }
        match parts.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(ordinal) => *end = ordinal,
            _ => parts.push((ordinal, ordinal)),
        }
    }
    parts
}

/// Counts where tasks are.
pub(super) fn tally(tasks: &TaskTable, runs: &Runs) -> Tally {
    let mut tally = Tally { left: runs.iter().map(|(first, last)| length(first, last)).sum(), ..Tally::default() };
    for (first, last) in runs.iter() {
        for state in [TaskState::Finished, TaskState::Failed, TaskState::Canceled, TaskState::Aborted] {
            let ended = ended_as(tasks, (first, last), |other| other == state);
            tally.end(ended.iter().map(|(first, last)| length(*first, *last)).sum(), state);
        }
    }
    tally
}

/// How many ordinals a run has.
pub(super) fn length(first: u32, last: u32) -> u64 {
    u64::from(last) - u64::from(first) + 1
}
