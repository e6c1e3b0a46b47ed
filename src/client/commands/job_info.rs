//! `hq job info`: jobs in detail.
//!
//! JSON has all tasks of each job, which are fetched while they are printed; tables need only the job.
//!
//! Holds: a job that does not exist is a log line, not a failure.

use crate::client::arguments::JobSelectorArgs;
use crate::client::commands::now;
use crate::client::commands::task_feed::TaskFeed;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::json::Tree;
use crate::client::render::{OutputMode, job};
use crate::client::task_pages::TaskPages;
use std::cell::RefCell;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &JobSelectorArgs, console: &mut Console) -> Result<(), Error> {
    let (jobs, missing) = link.job_details(selector(args.jobs.clone()))?;
    match console.mode() {
        OutputMode::Cli => {
            for detail in &jobs {
                let text = job::info(detail, now(), console.palette());
                console.text(&text)?;
            }
        }
        OutputMode::Json => {
            let feed = TaskFeed::new(link);
            let ids = jobs.iter().map(|detail| detail.summary.id).collect();
            let pages = RefCell::new(TaskPages::new(ids, None, &[]));
            let trees = jobs.iter().map(|detail| job::info_json(detail, feed.tasks(detail, &pages), now()));
            let printed = console.json_tree(&Tree::List(trees.collect()));
            feed.finish(printed)?;
        }
        OutputMode::Quiet => {}
    }
    for id in missing {
        log::error!("Job {id} not found");
    }
    Ok(())
}
