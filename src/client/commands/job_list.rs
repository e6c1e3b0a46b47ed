//! `hq job list`: jobs in one line each.
//!
//! By default what still needs attention: jobs that wait, run or are open.
//!
//! Holds: ascending by id.

use crate::client::arguments::JobListArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::{OutputMode, job};
use crate::wire::message::{Empty, Request, Response};
use hq_core::view::{JobState, JobSummary};
use serde_json::Value;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &JobListArgs, console: &mut Console) -> Result<(), Error> {
    let Response::Jobs(mut jobs) = link.ask(&Request::JobList(Empty {}))? else { return Err(Error::Unexpected) };
    let total = jobs.len();
    jobs.retain(|job| is_listed(args, job));
    match console.mode() {
        OutputMode::Cli => {
            let text = job::list(&jobs, total, args.verbose, console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&Value::Array(jobs.iter().map(job::summary_json).collect())),
        OutputMode::Quiet => console.text(&job::list_quiet(&jobs)),
    }
}

fn is_listed(args: &JobListArgs, job: &JobSummary) -> bool {
    if args.all {
        return true;
    }
    if args.filter.is_empty() {
        let is_active = matches!(job.state(), JobState::Waiting | JobState::Running | JobState::Opened);
        return is_active || job.is_open;
    }
    args.filter.iter().any(|word| word.state() == job.state())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::arguments::JobStateWord;
    use hq_core::view::TaskCounts;

    #[test]
    fn what_is_listed() {
        let args = JobListArgs { all: false, filter: Vec::new(), verbose: false };
        let job = |counts, is_open| JobSummary { counts, is_open, ..JobSummary::default() };
        let failed = job(TaskCounts { failed: 1, ..TaskCounts::default() }, false);
        let open_failed = JobSummary { is_open: true, ..failed.clone() };
        let running = job(TaskCounts { running: 1, ..TaskCounts::default() }, false);
        let listed = |args: &JobListArgs| [&failed, &open_failed, &running].map(|job| is_listed(args, job));
        assert_eq!(listed(&args), [false, true, true]);
        assert_eq!(listed(&JobListArgs { all: true, ..args.clone() }), [true; 3]);
        let only = JobListArgs { filter: vec![JobStateWord::Failed], ..args };
        assert_eq!(listed(&only), [true, true, false]);
    }
}
