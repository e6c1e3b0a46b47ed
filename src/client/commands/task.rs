//! `hq task list`, `hq task info` and `hq task explain`: tasks of jobs.
//!
//! The first two fetch tasks page by page and show host names, which come with the pages.
//!
//! Holds: jobs in the order of the selector sorted by id, tasks ascending; what is missing is a log line.

use crate::client::arguments::{TaskExplainArgs, TaskInfoArgs, TaskListArgs};
use crate::client::commands::now;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::OutputMode;
use crate::client::render::explain;
use crate::client::render::json::Tree;
use crate::client::render::task::{self, Hostnames};
use crate::grammar::selector::{LastOrId, LastOrIds};
use crate::wire::message::{ExplainRequest, Request, Response};
use hq_core::id::TaskId;
use hq_core::idset::IdSet;
use hq_core::view::{JobDetail, TaskState, TaskView};

/// What was said when errors were cut.
const CUT_NOTICE: &str = "Error messages were shortened; use `-v` to see them in full";

/// Tasks of one job with what is needed to show them.
struct Found {
    tasks: Vec<TaskView>,
    missing: Vec<TaskId>,
}

/// Runs `hq task list`.
///
/// # Errors
/// See [`Error`].
pub fn list(link: &mut Link, args: &TaskListArgs, console: &mut Console) -> Result<(), Error> {
    let (mut jobs, missing) = link.job_details(selector(args.jobs.clone()))?;
    jobs.sort_by_key(|job| job.summary.id);
    for id in missing {
        log::warn!("Job {id} not found");
    }
    let states: Vec<TaskState> = args.task_status.iter().map(|word| word.state()).collect();
    let mut hostnames = Hostnames::new();
    let mut found: Vec<(u32, Vec<TaskView>)> = Vec::new();
    if console.mode() != OutputMode::Quiet {
        for job in &jobs {
            let tasks = fetch(link, job, args.tasks.as_ref(), &states, &mut hostnames)?.tasks;
            found.push((job.summary.id.0, tasks));
        }
    }
    match console.mode() {
        OutputMode::Cli => {
            let shown = task::list(&found, &hostnames, args.verbose, now(), console.palette());
            console.text(&shown.text)?;
            notice(shown.is_cut, console)
        }
        OutputMode::Json => {
            let trees = jobs.iter().zip(&found);
            let trees = trees.map(|(job, (id, tasks))| (id.to_string(), task::list_json(job, tasks)));
            console.json_tree(&Tree::Object(trees.collect()))
        }
        OutputMode::Quiet => Ok(()),
    }
}

/// Runs `hq task info`.
///
/// # Errors
/// See [`Error`].
pub fn info(link: &mut Link, args: &TaskInfoArgs, console: &mut Console) -> Result<(), Error> {
    let jobs = match args.job {
        LastOrId::Last => LastOrIds::Last,
        LastOrId::Id(id) => LastOrIds::Ids(IdSet::single(id)),
    };
    let (jobs, _) = link.job_details(selector(jobs))?;
    let Some(job) = jobs.first() else {
        log::error!("Cannot find job");
        return Ok(());
    };
    let mut hostnames = Hostnames::new();
    let found = fetch(link, job, Some(&args.tasks), &[], &mut hostnames)?;
    let mut is_cut = false;
    match console.mode() {
        OutputMode::Cli => {
            for view in &found.tasks {
                let shown = task::info(job, view, &hostnames, args.verbose, now(), console.palette());
                console.text(&shown.text)?;
                is_cut |= shown.is_cut;
            }
        }
        OutputMode::Json => {
            console.json_tree(&task::list_json(job, &found.tasks))?;
        }
        OutputMode::Quiet => {}
    }
    for id in found.missing {
        log::warn!("Task {id} not found");
    }
    notice(is_cut, console)
}

/// Runs `hq task explain`.
///
/// # Errors
/// See [`Error`].
pub fn explain(link: &mut Link, args: &TaskExplainArgs, console: &mut Console) -> Result<(), Error> {
    let job = match args.job {
        LastOrId::Last => LastOrIds::Last,
        LastOrId::Id(id) => LastOrIds::Ids(IdSet::single(id)),
    };
    let request = ExplainRequest { job: selector(job), task: TaskId(args.task) };
    let Response::Explained(explanation) = link.ask(&Request::Explain(request))? else {
        return Err(Error::Unexpected);
    };
    match console.mode() {
        OutputMode::Cli => console.text(&explain::text(&explanation, console.palette())),
        OutputMode::Json => console.json(&explain::to_json(&explanation)),
        OutputMode::Quiet => Ok(()),
    }
}

fn fetch(
    link: &mut Link,
    job: &JobDetail,
    ids: Option<&IdSet>,
    states: &[TaskState],
    hostnames: &mut Hostnames,
) -> Result<Found, Error> {
    let mut found = Found { tasks: Vec::new(), missing: Vec::new() };
    link.tasks(job.summary.id, ids, states, &mut |page| {
        found.tasks.extend(page.tasks);
        found.missing.extend(page.missing);
        hostnames.extend(page.workers.into_iter().map(|worker| (worker.id, worker.hostname)));
        Ok(())
    })?;
    Ok(found)
}

/// Says after the output that errors were cut.
fn notice(is_cut: bool, console: &mut Console) -> Result<(), Error> {
    if is_cut {
        console.flush()?;
        log::info!("{CUT_NOTICE}");
    }
    Ok(())
}
