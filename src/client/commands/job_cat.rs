//! `hq job cat`: the output files of tasks, as they lie on the disk.
//!
//! The client reads the files itself, from the paths that the worker used.
//!
//! Holds: bytes are printed unchanged; what is missing is a log line, and the exit code is 0.

use super::follow_output::{self, Wanted};
use crate::client::arguments::{CatArgs, Channel};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::paths::{self, Output};
use crate::client::render::escape;
use crate::client::render::gauge::{Gauge, Unit};
use hq_core::view::{JobDetail, TaskState, TaskView};
use std::fs::File;
use std::io::{self, Read};

/// Bytes copied at once.
const COPY_BYTES: usize = 64 * 1024;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &CatArgs, console: &mut Console) -> Result<(), Error> {
    let (jobs, missing) = link.job_details(selector(args.jobs.clone()))?;
    follow_output::check_mode(console, &jobs)?;
    if jobs.is_empty() && missing.is_empty() {
        log::error!("No jobs were found");
    }
    for id in missing {
        log::error!("Job {id} not found");
    }
    if args.follow {
        let states: Vec<TaskState> = args.task_status.iter().map(|word| word.state()).collect();
        let (tasks, headers) = (args.tasks.as_ref(), args.print_task_header);
        let wanted = Wanted { channels: &[args.channel], tasks, states: &states, headers };
        return follow_output::follow(link, &jobs, &wanted, console).map(drop);
    }
    for job in &jobs {
        cat_job(link, args, job, console)?;
    }
    Ok(())
}

fn cat_job(link: &mut Link, args: &CatArgs, job: &JobDetail, console: &mut Console) -> Result<(), Error> {
    let states: Vec<TaskState> = args.task_status.iter().map(|word| word.state()).collect();
    let mut any = false;
    let is_whole = args.tasks.is_none() && states.is_empty();
    let total = is_whole.then(|| job.summary.counts.total());
    let mut gauge = Gauge::beside_output("Printing outputs", Unit::Things, total);
    link.tasks(job.summary.id, args.tasks.as_ref(), &states, &mut |page| {
        any |= !page.tasks.is_empty();
        for id in &page.missing {
            log::warn!("Task {id} of job {} not found", job.summary.id);
        }
        page.tasks.iter().try_for_each(|task| {
            gauge.add(1);
            cat_task(args, job, task, console)
        })
    })?;
    if !any {
        log::warn!("No tasks of job {} were selected", job.summary.id);
    }
    Ok(())
}

fn cat_task(args: &CatArgs, job: &JobDetail, task: &TaskView, console: &mut Console) -> Result<(), Error> {
    if args.print_task_header {
        console.text(&format!("# Job {}, task {}\n", job.summary.id, task.id))?;
    }
    let Some(path) = file_of(args.channel, job, task) else {
        log::warn!("Task {} has no `{}` stream associated with it", task.id, args.channel.word());
        return Ok(());
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => {
            log::warn!("File `{}` cannot be opened: {error}", escape::line(&path));
            return Ok(());
        }
    };
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => console.bytes(buffer.get(..read).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                log::warn!("File `{}` cannot be read: {error}", escape::line(&path));
                return Ok(());
            }
        }
    }
}

/// The file of the task's output; none for a task that has not started or whose output goes elsewhere.
fn file_of(channel: Channel, job: &JobDetail, task: &TaskView) -> Option<String> {
    task.started?;
    let paths = paths::of_task(job, task)?;
    let output = match channel {
        Channel::Stdout => paths.stdout,
        Channel::Stderr => paths.stderr,
    };
    match output {
        Output::File(path) => Some(path),
        Output::Discarded | Output::Streamed => None,
    }
}
