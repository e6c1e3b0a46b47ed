//! `hq job report`: how the tasks of jobs went.
//!
//! The attempts come in pages, and each is put into the report and forgotten.
//!
//! Holds: a job that does not exist is a log line, not a failure.

use crate::client::arguments::JobSelectorArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::OutputMode;
use crate::client::render::report::{self, Asked, Report};
use hq_core::id::TaskId;
use hq_core::view::JobDetail;
use serde_json::Value;
use std::collections::BTreeMap;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub fn run(link: &mut Link, args: &JobSelectorArgs, console: &mut Console) -> Result<(), Error> {
    let (mut jobs, missing) = link.job_details(selector(args.jobs.clone()))?;
    jobs.sort_by_key(|job| job.summary.id);
    let mut values: Vec<Value> = Vec::new();
    let mode = console.mode();
    for job in jobs.iter().filter(|_| mode != OutputMode::Quiet) {
        let report = of_job(link, job)?;
        match mode {
            OutputMode::Cli => console.text(&report::text(job, &report, console.palette()))?,
            _ => values.push(report::to_json(job, &report)),
        }
    }
    if mode == OutputMode::Json {
        console.json(&Value::Array(values))?;
    }
    for id in missing {
        log::error!("Job {id} not found");
    }
    Ok(())
}

fn of_job(link: &mut Link, job: &JobDetail) -> Result<Report, Error> {
    let asked: Vec<Vec<Asked>> =
        job.submits.iter().map(|submit| submit.descs.iter().map(|desc| Asked::of(&desc.request)).collect()).collect();
    let of = |submit: usize, desc: usize| asked.get(submit).and_then(|descs| descs.get(desc)).copied();
    let (first, mut own) = (of(0, 0).unwrap_or_default(), BTreeMap::new());
    // Which description a task has is asked only where it matters.
    if asked.iter().flatten().any(|other| *other != first) {
        link.tasks(job.summary.id, None, &[], &mut |page| {
            let wishes = page.tasks.iter().map(|task| (task.id, of(task.submit as usize, task.desc as usize)));
            own.extend(
                wishes.map(|(task, asked)| (task, asked.unwrap_or_default())).filter(|(_, other)| *other != first),
            );
            Ok(())
        })?;
    }
    let wish = |task: TaskId| own.get(&task).copied().unwrap_or(first);
    let mut report = Report::default();
    link.attempts(job.summary.id, None, &mut |page| {
        page.into_iter().for_each(|attempt| {
            let asked = wish(attempt.task);
            report.add(attempt, asked);
        });
        Ok(())
    })?;
    report.finish();
    Ok(report)
}
