//! The tables of the page: jobs, workers, causes of failures.
//!
//! A cell that is shown as words carries its value, by which the script sorts.
//!
//! Holds: each table has a bounded number of rows, and says how many it leaves out.

use super::failures::Failures;
use super::jobs::{Job, LISTED_MAX};
use super::model::Model;
use super::text::{self, escape};
use super::workers::{LISTED_MAX as WORKERS_LISTED, Worker};
use crate::client::render::time;
use hq_core::id::{JobId, WorkerId};
use hq_core::time::{Span, Time};
use std::fmt::Write;

/// Characters of a name.
const NAME_CHARS: usize = 80;
const DAY_US: u64 = 86_400_000_000;
/// By which a shown moment may be later than it was.
const ROUNDING: Span = Span::from_ms(500);

/// A column: its head, and whether it holds numbers.
type Column = (&'static str, bool);

fn open(out: &mut String, id: &str, caption: &str, columns: &[Column]) {
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table id=\"{id}\"><caption>{caption}\
         </caption><thead><tr>"
    );
    for (name, is_number) in columns {
        let class = if *is_number { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}><button type=\"button\">{name}</button></th>");
    }
    out.push_str("</tr></thead><tbody>\n");
}

fn close(out: &mut String) {
    out.push_str("</tbody></table></div>\n");
}

fn words(out: &mut String, text: &str) {
    let _ = write!(out, "<td>{}</td>", escape(text));
}

fn number(out: &mut String, value: u64) {
    let class = if value == 0 { "n dim" } else { "n" };
    let _ = write!(out, "<td class=\"{class}\" data-v=\"{value}\">{}</td>", text::count(value));
}

/// A value with the words for it.
fn valued(out: &mut String, value: Option<f64>, shown: &str) {
    let _ = match value {
        Some(value) => write!(out, "<td class=\"n\" data-v=\"{}\">{}</td>", text::number(value, 6), escape(shown)),
        None => write!(out, "<td class=\"n dim\" data-v=\"-1\">–</td>"),
    };
}

/// A moment: seconds are enough for people, and the day where everything was on one is that of the first event.
fn moment(out: &mut String, model: &Model, at: Option<Time>) {
    let shown = |at: Time| {
        let text = time::utc_seconds(at);
        let text = text.trim_end_matches(" UTC");
        let day = |time: Time| time.0 / DAY_US;
        let is_one_day = day(model.window.base()) == day(model.window.time_at(model.window.end()).after(ROUNDING));
        match text.split_once(' ') {
            Some((_, clock)) if is_one_day => clock.to_owned(),
            _ => text.to_owned(),
        }
    };
    valued(out, at.map(|at| at.0 as f64), &at.map(shown).unwrap_or_default());
}

fn span(out: &mut String, us: Option<f64>) {
    valued(out, us, &us.map(text::span).unwrap_or_default());
}

fn left_out(out: &mut String, count: u64, what: &str) {
    if count > 0 {
        let _ = writeln!(out, "<p class=\"note\">{} {what} are not listed.</p>", text::count(count));
    }
}

/// The jobs that were there within the window.
fn shown_jobs(model: &Model) -> Vec<(JobId, &Job)> {
    let from = model.window.time_at(model.window.from());
    let is_shown = |job: &Job| job.completed.is_none_or(|at| at >= from);
    model.jobs.known.iter().filter(|(_, job)| is_shown(job)).map(|(id, job)| (*id, job)).collect()
}

/// How many jobs there were within the window.
pub fn job_count(model: &Model) -> u64 {
    shown_jobs(model).len() as u64 + model.jobs.left_out
}

/// The table of jobs.
pub fn jobs(out: &mut String, model: &Model) {
    const COLUMNS: &[Column] = &[
        ("Job", true),
        ("Name", false),
        ("State", false),
        ("Tasks", true),
        ("Waiting", true),
        ("Running", true),
        ("Finished", true),
        ("Failed", true),
        ("Canceled", true),
        ("Aborted", true),
        ("Attempts", true),
        ("Failures", true),
        ("Submitted (UTC)", true),
        ("First start", true),
        ("Last end", true),
        ("Makespan", true),
    ];
    let jobs = shown_jobs(model);
    let beyond = jobs.len().saturating_sub(LISTED_MAX);
    open(out, "job-table", "Jobs", COLUMNS);
    for (id, job) in jobs.iter().skip(beyond) {
        job_row(out, model, *id, job);
    }
    close(out);
    left_out(out, beyond as u64 + model.jobs.left_out, "further jobs, those with the lowest numbers,");
}

fn job_row(out: &mut String, model: &Model, id: JobId, job: &Job) {
    let counts = job.counts();
    let state = job.state().word();
    out.push_str("<tr>");
    number(out, u64::from(id.0));
    match &job.name {
        Some(name) => words(out, &text::cut(name, NAME_CHARS)),
        None => out.push_str("<td class=\"dim\">unknown</td>"),
    }
    let _ = write!(out, "<td><span class=\"state {state}\">{}</span></td>", state.to_uppercase());
    for count in [job.total.max(counts.finished), counts.waiting, counts.running] {
        number(out, count);
    }
    for count in [counts.finished, counts.failed, counts.canceled, counts.aborted, job.attempts, job.failures] {
        number(out, count);
    }
    moment(out, model, job.submitted);
    moment(out, model, job.started);
    moment(out, model, job.ended);
    let is_over = counts.waiting == 0 && counts.running == 0;
    let end = if is_over { job.ended } else { Some(model.window.time_at(model.window.end())) };
    let makespan = job.submitted.zip(end).map(|(from, to)| to.since(from).0 as f64);
    span(out, makespan);
    out.push_str("</tr>\n");
}

/// The table of workers.
pub fn workers(out: &mut String, model: &Model) {
    const COLUMNS: &[Column] = &[
        ("Worker", true),
        ("Hostname", false),
        ("Group", false),
        ("Resources", false),
        ("Connected (UTC)", true),
        ("Lost", true),
        ("Reason", false),
        ("Started tasks", true),
        ("Mean load", true),
    ];
    let beyond = model.workers.known.len().saturating_sub(WORKERS_LISTED);
    open(out, "worker-table", "Workers", COLUMNS);
    for (id, worker) in model.workers.known.iter().skip(beyond) {
        worker_row(out, model, *id, worker);
    }
    close(out);
    left_out(out, beyond as u64 + model.workers.left_out, "further workers, those with the lowest numbers,");
}

fn worker_row(out: &mut String, model: &Model, id: WorkerId, worker: &Worker) {
    out.push_str("<tr>");
    number(out, u64::from(id.0));
    words(out, &text::cut(&worker.hostname, NAME_CHARS));
    words(out, &text::cut(&worker.group, NAME_CHARS));
    words(out, model.workers.classes.get(worker.class).map_or("", |class| class.label.as_str()));
    moment(out, model, Some(worker.connected));
    moment(out, model, worker.lost.map(|(at, _)| at));
    words(out, worker.lost.map_or("", |(_, reason)| reason.words()));
    number(out, worker.started);
    let part = (worker.busy.0 > 0.0).then(|| worker.busy.1 / worker.busy.0);
    valued(out, part, &part.map(text::percent).unwrap_or_default());
    out.push_str("</tr>\n");
}

/// The table of causes.
pub fn failures(out: &mut String, failures: &Failures) {
    const COLUMNS: &[Column] = &[
        ("Cause", false),
        ("Failed attempts", true),
        ("Tried again", true),
        ("Last task", false),
        ("Its error", false),
    ];
    open(out, "failure-table", "Failures by cause", COLUMNS);
    for (cause, failure) in failures.by_count() {
        out.push_str("<tr>");
        words(out, cause);
        number(out, failure.count);
        number(out, failure.retried);
        words(out, &failure.example.to_string());
        let _ = writeln!(out, "<td class=\"error\">{}</td></tr>", escape(&failure.text));
    }
    close(out);
}
