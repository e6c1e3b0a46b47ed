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
use hq_core::id::{JobId, TaskId};
use hq_core::idset::IdSet;
use hq_core::view::JobDetail;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Tasks whose descriptions are asked for at once.
const TASKS_A_QUESTION: usize = 10_000;

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

/// The tasks of a job that were tried: an array may have billions of others.
fn tried(link: &mut Link, job: JobId) -> Result<BTreeSet<u32>, Error> {
    let mut tried = BTreeSet::new();
    link.attempts(job, None, &mut |page| {
        tried.extend(page.iter().map(|attempt| attempt.task.0));
        Ok(())
    })?;
    Ok(tried)
}

fn of_job(link: &mut Link, job: &JobDetail) -> Result<Report, Error> {
    let asked: Vec<Vec<Asked>> =
        job.submits.iter().map(|submit| submit.descs.iter().map(|desc| Asked::of(&desc.request)).collect()).collect();
    let of = |submit: usize, desc: usize| asked.get(submit).and_then(|descs| descs.get(desc)).copied();
    let (first, mut own) = (of(0, 0).unwrap_or_default(), BTreeMap::new());
    // Which description a task has is asked only where it matters, and only of tasks that were tried.
    if asked.iter().flatten().any(|other| *other != first) {
        let tried: Vec<u32> = tried(link, job.summary.id)?.into_iter().collect();
        for part in tried.chunks(TASKS_A_QUESTION) {
            let part = IdSet::from_sorted(part.iter().copied());
            link.tasks(job.summary.id, Some(&part), &[], &mut |page| {
                let wishes = page.tasks.iter().map(|task| (task.id, of(task.submit as usize, task.desc as usize)));
                own.extend(
                    wishes.map(|(task, asked)| (task, asked.unwrap_or_default())).filter(|(_, other)| *other != first),
                );
                Ok(())
            })?;
        }
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
