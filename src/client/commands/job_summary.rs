//! `hq job summary`: how many jobs are in which state.

use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::{OutputMode, job_summary};
use crate::wire::message::{Request, Response};
use hq_core::view::JobQuery;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, console: &mut Console) -> Result<(), Error> {
    let query = JobQuery { limit: Some(0), ..JobQuery::default() };
    let Response::FoundJobs(found) = link.ask(&Request::FindJobs(query))? else { return Err(Error::Unexpected) };
    match console.mode() {
        OutputMode::Cli => {
            let table = job_summary::table(&found.counts, console.palette());
            console.text(&table)
        }
        OutputMode::Json => console.json(&job_summary::to_json(&found.counts)),
        OutputMode::Quiet => console.text(&job_summary::lines(&found.counts)),
    }
}
