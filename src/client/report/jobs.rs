//! Jobs: what was submitted, how far it is, when it was.
//!
//! Arrays stay ranges here too. What a job's tasks ask for is kept until it is completed; the line of the table stays, for a
//! bounded number of jobs.
//!
//! Holds: a job that is not known gets a line of its own at its first task, so that a journal of which the beginning was
//! pruned has a report.

use super::requests::Requests;
use super::window::Window;
use hq_core::id::{JobId, TaskId};
use hq_core::idset::{IdRange, IdSet};
use hq_core::limits;
use hq_core::task::SubmitDesc;
use hq_core::time::Time;
use hq_core::view::{JobState, TaskCounts};
use std::collections::{BTreeMap, BTreeSet};

/// Jobs that are listed; of more, those that were completed first are left out.
pub const LISTED_MAX: usize = 1_000;
/// Tasks of one rerun that are looked at one by one.
const RERUN_MAX: usize = 1_000_000;

/// A job.
#[derive(Debug, Default)]
pub struct Job {
    /// Its name; none when the journal no longer says it.
    pub name: Option<String>,
    /// Whether it takes further tasks.
    pub is_open: bool,
    /// Its tasks; those that wait are counted by the others.
    pub total: u64,
    /// Its tasks by state; `waiting` is not kept up to date here.
    pub counts: TaskCounts,
    /// When it came.
    pub submitted: Option<Time>,
    /// When its first task started.
    pub started: Option<Time>,
    /// When its last task ended.
    pub ended: Option<Time>,
    /// When it was completed.
    pub completed: Option<Time>,
    /// Starts of its tasks.
    pub attempts: u64,
    /// Attempts that failed, also those after which the task was tried again.
    pub failures: u64,
    submits: Vec<Submit>,
    ranges: BTreeMap<u32, Ranged>,
    failed: BTreeSet<u32>,
    canceled: Vec<IdSet>,
    aborted: Vec<IdSet>,
}

/// What is kept of a submit.
#[derive(Debug)]
struct Submit {
    at: Time,
    /// For each kind of task: the class of each variant.
    classes: Vec<Vec<usize>>,
    desc_of: Vec<u32>,
}

/// A range of ids, the submit that it is of, and the position of its first id in that.
#[derive(Debug)]
struct Ranged {
    range: IdRange,
    submit: usize,
    before: u64,
}

impl Job {
    fn add(&mut self, at: Time, submit: &SubmitDesc, requests: &mut Requests) {
        let of = |desc: &std::sync::Arc<hq_core::task::TaskDesc>, requests: &mut Requests| {
            desc.request.variants.iter().map(|variant| requests.of(variant)).collect()
        };
        let classes = submit.descs.iter().map(|desc| of(desc, requests)).collect();
        let index = self.submits.len();
        self.submits.push(Submit { at, classes, desc_of: submit.desc_of.clone() });
        let mut before = 0;
        for range in submit.ids.ranges.iter().filter(|range| !range.is_empty()) {
            self.ranges.insert(range.start, Ranged { range: *range, submit: index, before });
            before += range.len();
        }
    }

    /// When a task was submitted, and the class of one of its variants.
    pub fn look_up(&self, task: TaskId, variant: u32) -> Option<(Time, Option<usize>)> {
        let candidates = self.ranges.range(..=task.0).rev().take(limits::INTERLEAVED_RANGES_MAX);
        let mut found = candidates.filter_map(|(_, ranged)| Some((ranged, ranged.range.position(task.0)?)));
        let (ranged, position) = found.next()?;
        let submit = self.submits.get(ranged.submit)?;
        let desc = match submit.desc_of.get((ranged.before + position) as usize) {
            Some(desc) => *desc as usize,
            None => 0,
        };
        let class = submit.classes.get(desc).and_then(|variants| variants.get(variant as usize)).copied();
        Some((submit.at, class))
    }

    /// The tasks by state.
    pub fn counts(&self) -> TaskCounts {
        let others = [self.counts.running, self.counts.finished, self.counts.failed, self.counts.canceled];
        let others: u64 = others.iter().sum::<u64>() + self.counts.aborted;
        TaskCounts { waiting: self.total.saturating_sub(others), ..self.counts }
    }

    /// The state.
    pub fn state(&self) -> JobState {
        self.counts().job_state(self.is_open)
    }

    /// A task started.
    pub fn starts(&mut self, at: Time) {
        self.attempts += 1;
        self.counts.running += 1;
        self.started = Some(self.started.map_or(at, |first| first.min(at)));
    }

    /// A running task is no longer running.
    pub fn stops(&mut self) {
        self.counts.running = self.counts.running.saturating_sub(1);
    }

    /// Something of it ended.
    pub fn ends(&mut self, at: Time) {
        self.ended = Some(self.ended.map_or(at, |last| last.max(at)));
    }

    /// A task failed for good.
    pub fn fails(&mut self, task: TaskId) {
        self.counts.failed += 1;
        self.failed.insert(task.0);
    }

    /// Tasks were canceled.
    pub fn cancels(&mut self, tasks: &IdSet) {
        self.counts.canceled += tasks.len();
        self.canceled.push(tasks.clone());
    }

    /// Tasks were aborted.
    pub fn aborts(&mut self, tasks: &IdSet) {
        self.counts.aborted += tasks.len();
        self.aborted.push(tasks.clone());
    }

    /// Final tasks wait again.
    pub fn reruns(&mut self, tasks: &IdSet) {
        self.completed = None;
        let holds = |sets: &[IdSet], id| sets.iter().any(|set| set.contains(id));
        for id in tasks.iter().take(RERUN_MAX) {
            let count = if self.failed.remove(&id) {
                &mut self.counts.failed
            } else if holds(&self.canceled, id) {
                &mut self.counts.canceled
            } else if holds(&self.aborted, id) {
                &mut self.counts.aborted
            } else {
                &mut self.counts.finished
            };
            *count = count.saturating_sub(1);
        }
    }

    /// Forgets what only tasks that are still to run need.
    fn completes(&mut self, at: Time) {
        self.completed = Some(at);
        self.is_open = false;
        (self.submits, self.ranges) = (Vec::new(), BTreeMap::new());
    }

    /// When it was over, if it is.
    fn over(&self) -> Option<Time> {
        self.completed
    }
}

/// All jobs.
#[derive(Debug, Default)]
pub struct Jobs {
    /// By their number.
    pub known: BTreeMap<JobId, Job>,
    /// Completed ones that are left out.
    pub left_out: u64,
    completed: BTreeSet<JobId>,
}

impl Jobs {
    /// A job, known or not.
    pub fn get(&mut self, id: JobId) -> &mut Job {
        self.known.entry(id).or_default()
    }

    /// Tasks were submitted.
    pub fn submit(&mut self, at: Time, id: JobId, name: &str, submit: &SubmitDesc, requests: &mut Requests) {
        let job = self.get(id);
        job.name.get_or_insert_with(|| name.to_owned());
        job.submitted.get_or_insert(at);
        job.total += submit.ids.len();
        job.add(at, submit, requests);
    }

    /// A job was opened.
    pub fn open(&mut self, at: Time, id: JobId, name: &str) {
        let job = self.get(id);
        job.name = Some(name.to_owned());
        job.submitted.get_or_insert(at);
        job.is_open = true;
    }

    /// The descriptions of a completed job are there again.
    pub fn restore(&mut self, at: Time, id: JobId, submits: &[std::sync::Arc<SubmitDesc>], requests: &mut Requests) {
        self.completed.remove(&id);
        let job = self.get(id);
        if job.total == 0 {
            job.total = submits.iter().map(|submit| submit.ids.len()).sum();
        }
        for submit in submits {
            job.add(at, submit, requests);
        }
    }

    /// A job was completed.
    pub fn complete(&mut self, window: &Window, at: Time, id: JobId) {
        self.get(id).completes(at);
        self.completed.insert(id);
        while let Some(first) = self.completed.first().copied() {
            let over = self.known.get(&first).and_then(Job::over);
            let is_before = over.is_none_or(|at| at.since(window.base()).0 < window.from());
            if !is_before && self.completed.len() <= LISTED_MAX {
                return;
            }
            self.completed.pop_first();
            self.known.remove(&first);
            self.left_out += u64::from(!is_before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(ids: IdSet) -> SubmitDesc {
        SubmitDesc { ids, ..SubmitDesc::default() }
    }

    #[test]
    fn tasks_are_found_in_their_submits() {
        let (mut jobs, mut requests) = (Jobs::default(), Requests::default());
        let odd = IdSet { ranges: vec![IdRange::stepped(1, 9, 2)] };
        let even = IdSet { ranges: vec![IdRange::stepped(2, 10, 2)] };
        jobs.submit(Time(5), JobId(1), "job", &submit(odd), &mut requests);
        jobs.submit(Time(7), JobId(1), "other", &submit(even), &mut requests);
        let job = jobs.get(JobId(1));
        let at = |task| job.look_up(TaskId(task), 0).map(|(at, _)| at);
        assert_eq!((at(9), at(10), at(11)), (Some(Time(5)), Some(Time(7)), None));
        assert_eq!((job.name.as_deref(), job.total), (Some("job"), 10));
    }

    #[test]
    fn what_runs_again_is_no_longer_final() {
        let (mut jobs, mut requests) = (Jobs::default(), Requests::default());
        jobs.submit(Time(0), JobId(1), "job", &submit(IdSet::range(0, 9)), &mut requests);
        let job = jobs.get(JobId(1));
        job.fails(TaskId(3));
        job.aborts(&IdSet::range(4, 8));
        job.counts.finished += 4;
        assert_eq!(job.counts().waiting, 0);
        job.reruns(&IdSet::range(3, 5));
        let counts = job.counts();
        assert_eq!((counts.waiting, counts.failed, counts.aborted, counts.finished), (3, 0, 3, 4));
        assert_eq!(job.state(), JobState::Waiting);
    }

    #[test]
    fn only_so_many_completed_jobs_are_kept() {
        let (mut jobs, mut requests) = (Jobs::default(), Requests::default());
        let window = Window::new(Time(0), None, None);
        for id in 1..=3_000 {
            jobs.submit(Time(0), JobId(id), "job", &submit(IdSet::single(0)), &mut requests);
            if id != 7 {
                jobs.complete(&window, Time(1), JobId(id));
            }
        }
        assert_eq!((jobs.known.len(), jobs.left_out), (LISTED_MAX + 1, 1_999));
        assert!(jobs.known.contains_key(&JobId(7)));
    }
}
