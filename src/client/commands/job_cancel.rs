//! `hq job cancel`: end what has not ended.
//!
//! What became of each job is told by log lines, since scripts read only the exit code.
//!
//! Holds: the exit code is 0 whatever became of the jobs.

use crate::client::arguments::CancelArgs;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::wire::message::{CancelRequest, JobCancelResult, Request, Response};
use log::Level;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &CancelArgs) -> Result<(), Error> {
    let request = CancelRequest { selector: selector(args.jobs.clone()), reason: args.reason.clone() };
    let Response::Canceled(mut results) = link.ask(&Request::Cancel(request))? else {
        return Err(Error::Unexpected);
    };
    results.sort_by_key(|result| result.job);
    if results.is_empty() {
        log::info!("There is nothing to cancel");
    }
    for result in &results {
        let (level, line) = line(result);
        log::log!(level, "{line}");
    }
    Ok(())
}

fn line(result: &JobCancelResult) -> (Level, String) {
    let JobCancelResult { job, found, canceled, already_ended } = result;
    match (found, canceled) {
        (false, _) => (Level::Error, format!("Canceling job {job} failed; there is no such job")),
        (true, 0) => (Level::Error, format!("Canceling job {job} failed; all its tasks had ended")),
        (true, _) => {
            let text = format!("Job {job} canceled ({canceled} tasks canceled, {already_ended} tasks had ended)");
            (Level::Info, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::JobId;

    #[test]
    fn lines() {
        let result = JobCancelResult { job: JobId(3), found: true, canceled: 2, already_ended: 1 };
        assert_eq!(line(&result), (Level::Info, "Job 3 canceled (2 tasks canceled, 1 tasks had ended)".to_owned()));
        let nothing = JobCancelResult { canceled: 0, ..result };
        assert!(line(&nothing).1.starts_with("Canceling job 3 failed"));
        let missing = JobCancelResult { found: false, ..nothing };
        assert_eq!(line(&missing), (Level::Error, "Canceling job 3 failed; there is no such job".to_owned()));
    }
}
