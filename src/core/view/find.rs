//! Finding jobs: what somebody asks for is looked up where the jobs are, so that only what is wanted travels.

use super::{JobState, JobSummary};
use crate::glob;
use crate::state::State;
use crate::state::jobs::Job;
use crate::time::Time;

int_choice! {
    /// What found jobs are sorted by.
    pub enum JobOrder {
        /// The number.
        0 => Id,
        /// The name.
        1 => Name,
        /// The state, as the summary of all jobs lists them: what runs first.
        2 => State,
        /// The time of the first submit.
        3 => Submitted,
        /// The number of tasks.
        4 => Tasks,
    }
}

int_struct! {
    /// A tag that a job is to have.
    #[derive(Eq)]
    pub struct TagWanted {
        /// Its key.
        0 => pub key: String,
        /// Its value; none: any.
        1 => pub value: Option<String>,
    }
}

int_struct! {
    /// Which jobs are wanted: those for which everything holds that is said.
    pub struct JobQuery {
        /// Only jobs in one of these states; empty: all.
        0 => pub states: Vec<JobState>,
        /// Only jobs that wait, run or are open.
        1 => pub active: bool,
        /// Only jobs whose name matches all of these patterns ([`crate::glob`]).
        2 => pub names: Vec<String>,
        /// Only jobs with all of these tags.
        3 => pub tags: Vec<TagWanted>,
        /// Only jobs submitted then or later.
        4 => pub since: Option<Time>,
        /// What they are sorted by; the number decides among equals.
        5 => pub order: JobOrder,
        /// Whether the order is turned round.
        6 => pub reverse: bool,
        /// At most so many, the first ones.
        7 => pub limit: Option<u32>,
    }
}

int_struct! {
    /// How many jobs are in which state.
    #[derive(Copy, Eq)]
    pub struct JobCounts {
        /// Waiting.
        0 => pub waiting: u64,
        /// Running.
        1 => pub running: u64,
        /// Finished.
        2 => pub finished: u64,
        /// Failed.
        3 => pub failed: u64,
        /// Canceled.
        4 => pub canceled: u64,
        /// Aborted.
        5 => pub aborted: u64,
        /// Open, and nothing to do.
        6 => pub opened: u64,
    }
}

int_struct! {
    /// The wanted jobs, and how many there are at all.
    pub struct FoundJobs {
        /// The wanted jobs, in the order asked for.
        0 => pub jobs: Vec<JobSummary>,
        /// All jobs.
        1 => pub counts: JobCounts,
    }
}

impl JobCounts {
    /// All jobs.
    pub fn total(&self) -> u64 {
        self.waiting + self.running + self.finished + self.failed + self.canceled + self.aborted + self.opened
    }

    fn of(&mut self, state: JobState) -> &mut u64 {
        match state {
            JobState::Waiting => &mut self.waiting,
            JobState::Running => &mut self.running,
            JobState::Finished => &mut self.finished,
            JobState::Failed => &mut self.failed,
            JobState::Canceled => &mut self.canceled,
            JobState::Aborted => &mut self.aborted,
            JobState::Opened => &mut self.opened,
        }
    }
}

impl State {
    /// The jobs that are wanted.
    pub fn view_found(&self, query: &JobQuery) -> FoundJobs {
        let mut counts = JobCounts::default();
        let mut found: Vec<&Job> = Vec::new();
        for job in self.jobs.values() {
            let state = job.counts.job_state(job.is_open);
            *counts.of(state) += 1;
            if is_wanted(query, job, state) {
                found.push(job);
            }
        }
        match query.order {
            JobOrder::Id => {}
            JobOrder::Name => found.sort_by(|a, b| a.name.cmp(&b.name)),
            JobOrder::State => found.sort_by_key(|job| rank(job.counts.job_state(job.is_open))),
            JobOrder::Submitted => found.sort_by_key(|job| job.submitted),
            JobOrder::Tasks => found.sort_by_key(|job| job.counts.total()),
        }
        if query.reverse {
            found.reverse();
        }
        let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
        FoundJobs { jobs: found.into_iter().take(limit).map(super::build::summary).collect(), counts }
    }
}

fn is_wanted(query: &JobQuery, job: &Job, state: JobState) -> bool {
    let is_active = matches!(state, JobState::Waiting | JobState::Running | JobState::Opened) || job.is_open;
    let has = |wanted: &TagWanted| {
        job.tags.get(&wanted.key).is_some_and(|value| wanted.value.as_ref().is_none_or(|wanted| wanted == value))
    };
    (!query.active || is_active)
        && (query.states.is_empty() || query.states.contains(&state))
        && query.since.is_none_or(|since| job.submitted >= since)
        && query.tags.iter().all(has)
        && query.names.iter().all(|name| glob::matches(name, &job.name))
}

/// The order in which states are listed.
fn rank(state: JobState) -> u8 {
    match state {
        JobState::Running => 0,
        JobState::Waiting => 1,
        JobState::Opened => 2,
        JobState::Finished => 3,
        JobState::Failed => 4,
        JobState::Aborted => 5,
        JobState::Canceled => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;
    use crate::view::TaskCounts;

    fn state() -> State {
        let mut state = State::default();
        let one = |counts: fn(&mut TaskCounts) -> &mut u64, tasks| {
            let mut all = TaskCounts::default();
            *counts(&mut all) = tasks;
            all
        };
        for (id, name, at, counts, is_open, tags) in [
            (1, "beta", 10, one(|counts| &mut counts.finished, 3), false, &[("a", "1")][..]),
            (2, "alpha", 20, one(|counts| &mut counts.running, 1), false, &[("a", "2"), ("b", "")]),
            (3, "alpha", 30, one(|counts| &mut counts.failed, 5), true, &[]),
            (4, "gamma", 40, TaskCounts::default(), true, &[("b", "x")]),
            (5, "gamma", 50, one(|counts| &mut counts.failed, 2), false, &[]),
        ] {
            let mut job = Job::new(JobId(id), name.into(), None, Time(at));
            (job.counts, job.is_open) = (counts, is_open);
            job.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            state.jobs.insert(job.id, Box::new(job));
        }
        state
    }

    fn found(query: &JobQuery) -> Vec<u32> {
        state().view_found(query).jobs.iter().map(|job| job.id.0).collect()
    }

    #[test]
    fn everything_said_has_to_hold() {
        let tag = |key: &str, value: Option<&str>| TagWanted { key: key.into(), value: value.map(str::to_owned) };
        assert_eq!(found(&JobQuery::default()), [1, 2, 3, 4, 5]);
        assert_eq!(found(&JobQuery { active: true, ..JobQuery::default() }), [2, 3, 4]);
        let failed = || JobQuery { states: vec![JobState::Failed], ..JobQuery::default() };
        assert_eq!(found(&failed()), [3, 5]);
        assert_eq!(found(&JobQuery { since: Some(Time(50)), ..failed() }), [5]);
        assert_eq!(found(&JobQuery { names: vec!["*a".into(), "al*".into()], ..JobQuery::default() }), [2, 3]);
        assert_eq!(found(&JobQuery { tags: vec![tag("a", None)], ..JobQuery::default() }), [1, 2]);
        assert_eq!(found(&JobQuery { tags: vec![tag("a", Some("2")), tag("b", None)], ..JobQuery::default() }), [2]);
        assert_eq!(found(&JobQuery { tags: vec![tag("b", Some(""))], ..JobQuery::default() }), [2]);
    }

    #[test]
    fn orders() {
        let by = |order, reverse, limit| found(&JobQuery { order, reverse, limit, ..JobQuery::default() });
        assert_eq!(by(JobOrder::Id, true, Some(2)), [5, 4]);
        assert_eq!(by(JobOrder::Name, false, None), [2, 3, 1, 4, 5]);
        assert_eq!(by(JobOrder::State, false, None), [2, 4, 1, 3, 5]);
        assert_eq!(by(JobOrder::Submitted, true, Some(1)), [5]);
        assert_eq!(by(JobOrder::Tasks, false, None), [4, 2, 5, 1, 3]);
        assert_eq!(by(JobOrder::Id, false, Some(0)), []);
        let counts = state().view_found(&JobQuery { limit: Some(0), ..JobQuery::default() }).counts;
        assert_eq!(counts, JobCounts { running: 1, finished: 1, failed: 2, opened: 1, ..JobCounts::default() });
        assert_eq!(counts.total(), 5);
    }
}
