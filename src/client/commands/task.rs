//! `hq task list`, `hq task info` and `hq task explain`: tasks of jobs.
//!
//! The first two fetch tasks page by page and show host names, which come with the pages.
//!
//! Holds: jobs in the order of the selector sorted by id, tasks ascending; what is missing is a log line.

use crate::client::arguments::{TaskExplainArgs, TaskInfoArgs, TaskListArgs};
use crate::client::commands::now;
use crate::client::commands::task_feed::TaskFeed;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::OutputMode;
use crate::client::render::explain;
use crate::client::render::json::Tree;
use crate::client::render::task::{self, Hostnames};
use crate::client::task_pages::TaskPages;
use crate::grammar::selector::{LastOrId, LastOrIds};
use crate::wire::message::{ExplainRequest, Request, Response};
use hq_core::id::TaskId;
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::view::{JobDetail, TaskState, TaskView};
use std::cell::RefCell;

/// What was said when errors were cut.
const CUT_NOTICE: &str = "Error messages were shortened; use `-v` to see them in full";

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
    if console.mode() == OutputMode::Json {
        // The keys of an object are sorted as texts; tasks are fetched in the order in which they are printed.
        jobs.sort_by_cached_key(|job| job.summary.id.to_string());
    }
    let ids = jobs.iter().map(|job| job.summary.id).collect();
    let mut pages = TaskPages::new(ids, args.tasks.as_ref(), &states);
    match console.mode() {
        OutputMode::Cli => {
            let (mut hostnames, mut room) = (Hostnames::new(), limits::TABLE_TASKS_MAX);
            let mut found: Vec<(u32, Vec<TaskView>)> = Vec::new();
            for job in &jobs {
                let tasks = rows(link, job, &mut pages, &mut hostnames, &mut room)?;
                found.push((job.summary.id.0, tasks));
            }
            let shown = task::list(&found, &hostnames, args.verbose, now(), console.palette());
            console.text(&shown.text)?;
            notice(shown.is_cut, console)
        }
        OutputMode::Json => {
            let feed = TaskFeed::new(link);
            let pages = RefCell::new(pages);
            let trees = jobs.iter().map(|job| (job.summary.id.to_string(), feed.tasks(job, &pages)));
            let printed = console.json_tree(&Tree::Object(trees.collect()));
            feed.finish(printed).map(drop)
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
    let mut is_cut = false;
    let missing = match console.mode() {
        OutputMode::Json => {
            let feed = TaskFeed::new(link);
            let printed = console.json_tree(&feed.infos(job, &args.tasks));
            feed.finish(printed)?
        }
        mode => {
            let mut missing = Vec::new();
            link.tasks_with_attempts(job.summary.id, &args.tasks, &mut |page, attempts| {
                missing.extend(page.missing);
                let hostnames = page.workers.into_iter().map(|worker| (worker.id, worker.hostname)).collect();
                for view in page.tasks.iter().filter(|_| mode == OutputMode::Cli) {
                    let tried = attempts.get(&view.id).map(Vec::as_slice).unwrap_or_default();
                    let shown = task::info(job, view, tried, &hostnames, args.verbose, now(), console.palette());
                    console.text(&shown.text)?;
                    is_cut |= shown.is_cut;
                }
                Ok(())
            })?;
            missing
        }
    };
    for id in missing {
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

/// The tasks of a job for a table that has room for so many more.
fn rows(
    link: &mut Link,
    job: &JobDetail,
    pages: &mut TaskPages<'_>,
    hostnames: &mut Hostnames,
    room: &mut usize,
) -> Result<Vec<TaskView>, Error> {
    let mut tasks = Vec::new();
    pages.of(link, job.summary.id, &mut |page| {
        *room = room.checked_sub(page.tasks.len()).ok_or_else(|| {
            let max = limits::TABLE_TASKS_MAX;
            Error::Invalid(format!(
                "A table has at most {max} tasks; choose some by --tasks or --task-status, or use --output-mode=json"
            ))
        })?;
        tasks.extend(page.tasks);
        hostnames.extend(page.workers.into_iter().map(|worker| (worker.id, worker.hostname)));
        Ok(())
    })?;
    Ok(tasks)
}

/// Says after the output that errors were cut.
fn notice(is_cut: bool, console: &mut Console) -> Result<(), Error> {
    if is_cut {
        console.flush()?;
        log::info!("{CUT_NOTICE}");
    }
    Ok(())
}
