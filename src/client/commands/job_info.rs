//! `hq job info`: jobs in detail.
//!
//! JSON has all tasks of each job, so they are fetched page by page; tables need only the job.
//!
//! Holds: a job that does not exist is a log line, not a failure.

use crate::client::arguments::JobSelectorArgs;
use crate::client::commands::now;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::json::Tree;
use crate::client::render::{OutputMode, job};
use hq_core::view::{JobDetail, TaskView};

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
            let mut tasks = Vec::new();
            for detail in &jobs {
                tasks.push(all_tasks(link, detail)?);
            }
            let trees = jobs.iter().zip(&tasks).map(|(detail, tasks)| job::info_json(detail, tasks, now()));
            console.json_tree(&Tree::List(trees.collect()))?;
        }
        OutputMode::Quiet => {}
    }
    for id in missing {
        log::error!("Job {id} not found");
    }
    Ok(())
}

fn all_tasks(link: &mut Link, job: &JobDetail) -> Result<Vec<TaskView>, Error> {
    let mut tasks = Vec::new();
    link.tasks(job.summary.id, None, &[], &mut |page| {
        tasks.extend(page.tasks);
        Ok(())
    })?;
    Ok(tasks)
}
