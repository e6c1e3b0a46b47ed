//! `hq job close`: open jobs take no further tasks; those that they have go on.
//!
//! Holds: the exit code is 0 whatever became of the jobs.

use crate::client::arguments::JobSelectorArgs;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::wire::message::{JobCloseResult, JobCloseStatus, Request, Response};
use log::Level;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &JobSelectorArgs) -> Result<(), Error> {
    let Response::Closed(mut results) = link.ask(&Request::CloseJobs(selector(args.jobs.clone())))? else {
        return Err(Error::Unexpected);
    };
    results.sort_by_key(|result| result.job);
    if results.is_empty() {
        log::info!("There is nothing to close");
    }
    for result in &results {
        let (level, line) = line(result);
        log::log!(level, "{line}");
    }
    Ok(())
}

fn line(result: &JobCloseResult) -> (Level, String) {
    let job = result.job;
    match result.status {
        JobCloseStatus::Closed => (Level::Info, format!("Job {job} closed")),
        JobCloseStatus::AlreadyClosed => (Level::Error, format!("Closing job {job} failed; job is already closed")),
        JobCloseStatus::NotFound => (Level::Error, format!("Closing job {job} failed; there is no such job")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::JobId;

    #[test]
    fn lines() {
        let of = |status| line(&JobCloseResult { job: JobId(3), status });
        assert_eq!(of(JobCloseStatus::Closed), (Level::Info, "Job 3 closed".to_owned()));
        let (level, text) = of(JobCloseStatus::AlreadyClosed);
        assert!(level == Level::Error && text.contains("job is already closed"), "{text}");
        assert_eq!(of(JobCloseStatus::NotFound).0, Level::Error);
    }
}
