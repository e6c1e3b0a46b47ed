//! What clients were told, and whether a server still says so.
//!
//! A promise is what somebody was told; so the tests keep a list of that and of nothing else.
//!
//! Holds: what is in the ledger was printed by a command; it is never taken out or changed.

use crate::harness::Cluster;
use crate::kinds::Kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Jobs of one `task list`.
const JOBS_AT_ONCE: usize = 200;

/// See the module.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    /// Acknowledged jobs with their numbers of tasks.
    pub submitted: BTreeMap<u64, u64>,
    /// What these jobs do.
    pub kinds: BTreeMap<u64, Kind>,
    /// Jobs of which a command said that they are completed.
    pub completed: BTreeSet<u64>,
    /// Tasks that were shown as finished, as they were shown.
    pub finished: BTreeMap<(u64, u64), Value>,
    /// Jobs that somebody asked to forget, whatever the answer was.
    pub asked_to_forget: BTreeSet<u64>,
    /// Those of them that are forgotten, as a command said.
    pub forgotten: BTreeSet<u64>,
    /// Whether somebody asked to prune the journal, whatever the answer was.
    pub asked_to_prune: bool,
    /// How often that was told to be done.
    pub prunings: u64,
    /// How often somebody waited for the end of a job and was told of it.
    pub waits: u64,
}

impl Ledger {
    /// Tasks of which it is not known that they have ended.
    pub fn backlog(&self) -> u64 {
        let open = self.submitted.iter().filter(|(job, _)| !self.completed.contains(job));
        open.map(|(_, tasks)| tasks).sum()
    }

    /// The largest id that somebody was told, 0 when none was.
    pub fn last_id(&self) -> u64 {
        self.submitted.keys().next_back().copied().unwrap_or(0)
    }

    /// Enters the finished tasks of an answer of `task list`.
    pub fn enter_tasks(&mut self, answer: &Value) {
        for (place, task) in tasks(answer).filter(|(_, task)| task["state"] == "finished") {
            let shown = self.finished.entry(place).or_insert_with(|| task.clone());
            assert_eq!(shown, task, "task {place:?} was shown in another way before");
        }
    }

    /// Fails the test unless the server says all that is in the ledger.
    #[track_caller]
    pub fn check(&self, cluster: &Cluster) {
        self.check_while(cluster, || self.asked_to_forget.clone());
    }

    /// As [`Ledger::check`] while clients are at work; `asked_to_forget` says which jobs they have asked to forget by now.
    #[track_caller]
    pub fn check_while(&self, cluster: &Cluster, asked_to_forget: impl FnOnce() -> BTreeSet<u64>) {
        let rows = cluster.json(&["job", "list", "--all"]);
        let rows: BTreeMap<u64, &Value> = elements(&rows).map(|row| (number(&row["id"]), row)).collect();
        let answers = task_lists(cluster, rows.keys().next_back().copied().unwrap_or(0));
        let asked_to_forget = asked_to_forget();
        for job in &self.forgotten {
            assert!(!rows.contains_key(job), "job {job} was forgotten and is back");
        }
        let kept = |job: &u64| !asked_to_forget.contains(job);
        for (job, count) in self.submitted.iter().filter(|(job, _)| kept(job)) {
            let row = rows.get(job).unwrap_or_else(|| panic!("job {job} was acknowledged and is gone"));
            assert_eq!(number(&row["task_count"]), *count, "job {job}: {row}");
        }
        for job in self.completed.iter().filter(|job| kept(job)) {
            let row = rows[job];
            assert_eq!(row["task_stats"]["finished"], row["task_count"], "job {job} was told to be completed: {row}");
        }
        let shown: BTreeMap<(u64, u64), &Value> = answers.iter().flat_map(tasks).collect();
        for (place, task) in self.finished.iter().filter(|((job, _), _)| kept(job)) {
            assert_eq!(shown.get(place), Some(&task), "task {place:?} was shown as finished");
        }
    }
}

/// Answers of `task list` for all jobs up to `last`, which together would take a busy machine too long.
pub fn task_lists(cluster: &Cluster, last: u64) -> Vec<Value> {
    let firsts = (1..=last).step_by(JOBS_AT_ONCE);
    let range = |first: u64| format!("{first}-{}", last.min(first + JOBS_AT_ONCE as u64 - 1));
    firsts.map(|first| cluster.json(&["task", "list", &range(first)])).collect()
}

/// Elements of a JSON array.
pub fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}")).iter()
}

/// A JSON number.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// The tasks of an answer of `task list`, by job and task.
pub fn tasks(answer: &Value) -> impl Iterator<Item = ((u64, u64), &Value)> {
    let jobs = answer.as_object().unwrap_or_else(|| panic!("no object: {answer}"));
    jobs.iter().flat_map(|(job, tasks)| {
        let job = job.parse().expect("the id of a job");
        elements(tasks).map(move |task| ((job, number(&task["id"])), task))
    })
}
