//! Jobs as `job list` and `job info` show them.
//!
//! Scripts read these tables by their labels and the JSON by its keys; both come from the same views.
//!
//! Holds: rows and keys stand in the order and under the conditions that scripts know.

use super::bar::bar_cell;
use super::color::{Palette, Style};
use super::json::Tree;
use super::table::{Cell, Column, Table};
use super::{after, description, resources, shorten, time};
use crate::client::paths;
use crate::grammar::{crash_limit, duration};
use hq_core::id::WorkerId;
use hq_core::idset::IdSet;
use hq_core::task::{SubmitDesc, TaskDesc};
use hq_core::time::Time;
use hq_core::view::{JobDetail, JobState, JobSummary, TaskState};
use serde_json::{Value, json};

/// Failed tasks shown under a job.
const FAILED_SHOWN_MAX: usize = 5;
/// Host names shown in one cell.
const HOSTNAMES_SHOWN_MAX: usize = 2;
/// The word in upper case.
pub fn state_word(state: JobState) -> String {
    state.word().to_ascii_uppercase()
}

/// The table of `job list`, with what is said after it; `total` is the number of jobs that exist.
pub fn list(jobs: &[JobSummary], total: u64, verbose: bool, palette: Palette) -> String {
    let mut columns = vec![Column::right("ID"), Column::left("Name"), Column::left("State"), Column::left("Tasks")];
    if verbose {
        columns.push(Column::left("Cancel Reason"));
    }
    let tagged = verbose && jobs.iter().any(|job| !job.tags.is_empty());
    if tagged {
        columns.push(Column::left("Tags"));
    }
    let mut table = Table::horizontal(columns);
    for job in jobs {
        let open = if job.is_open { "*" } else { "" };
        let mut cells = vec![
            Cell::from(format!("{open}{}", job.id)),
            Cell::from(shorten::name(&job.name)),
            Cell::state(job.state().word()),
            Cell::from(job.counts.total().to_string()),
        ];
        if verbose {
            cells.push(Cell::from(job.cancel_reason.as_deref().unwrap_or_default()));
        }
        if tagged {
            cells.push(Cell::from(tags_text(job)));
        }
        table.row(cells);
    }
    let mut text = table.render(palette);
    if jobs.iter().any(|job| job.is_open) {
        text.push_str("* = Open jobs\n");
    }
    if (jobs.len() as u64) < total {
        let (verb, noun) = if total == 1 { ("is", "job") } else { ("are", "jobs") };
        text.push_str(&format!("There {verb} {total} {noun} in total. Use `--all` to display all jobs.\n"));
    }
    text
}

/// The tags, one a line.
fn tags_text(job: &JobSummary) -> String {
    job.tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
}

/// The lines of `job list` for scripts: `<id> <STATE>`.
pub fn list_quiet(jobs: &[JobSummary]) -> String {
    jobs.iter().map(|job| format!("{} {}\n", job.id, state_word(job.state()))).collect()
}

/// The object of a job in lists.
pub fn summary_json(job: &JobSummary) -> Value {
    json!({
        "id": job.id,
        "name": job.name,
        "task_count": job.counts.total(),
        "is_open": job.is_open,
        "cancel_reason": job.cancel_reason,
        "tags": job.tags,
        "task_stats": {
            "aborted": job.counts.aborted,
            "canceled": job.counts.canceled,
            "failed": job.counts.failed,
            "finished": job.counts.finished,
            "running": job.counts.running,
            "waiting": job.counts.waiting,
        },
    })
}

/// The object of `job info` with the list of tasks. `now` stands for the completion of an open job that idles.
pub fn info_json<'a>(job: &'a JobDetail, tasks: Tree<'a>, now: Time) -> Tree<'a> {
    let unfinished = job.summary.counts.unfinished() > 0;
    let finished_at = if unfinished { None } else { Some(job.completed.unwrap_or(now)) };
    let facts = [
        ("info", summary_json(&job.summary)),
        ("max_fails", json!(job.max_fails)),
        ("started_at", json!(time::rfc3339(job.submitted))),
        ("finished_at", json!(finished_at.map(time::rfc3339))),
    ];
    let after = (!job.after.is_empty()).then(|| ("after", after::list_json(&job.after)));
    let facts = facts.into_iter().chain(after);
    let facts = facts.map(|(key, value)| (key.to_owned(), Tree::Value(value)));
    let submits = job.submits.iter().map(|submit| submit_json(job, submit)).collect();
    Tree::Object(facts.chain([("submits".to_owned(), Tree::List(submits)), ("tasks".to_owned(), tasks)]).collect())
}

fn submit_json<'a>(job: &'a JobDetail, submit: &'a SubmitDesc) -> Tree<'a> {
    let raw = |desc: &TaskDesc| description::to_json(desc, &paths::unresolved(desc));
    let (key, value) = match submit.descs.first() {
        Some(desc) if !submit.graph && submit.file => ("array", Tree::Value(raw(desc))),
        Some(desc) if !submit.graph => {
            let paths = paths::of_description(job.summary.id, &job.server_uid, submit, desc);
            ("array", Tree::Value(description::to_json(desc, &paths)))
        }
        // Descriptions may be shared by many tasks, each of which is shown with its own.
        first => {
            let count = if first.is_none() { 0 } else { submit.desc_of.len().max(1) };
            let make = move |position| submit.desc_at(position).map_or(Value::Null, |desc| raw(desc));
            ("graph", Tree::Made(count, Box::new(make)))
        }
    };
    Tree::Object([(key.to_owned(), value)].into())
}

/// The tables of `job info` for one job.
pub fn info(job: &JobDetail, now: Time, palette: Palette) -> String {
    let summary = &job.summary;
    let mut table = Table::vertical();
    table.line("ID", summary.id.to_string());
    table.line("Name", summary.name.as_str());
    table.line("State", state_cell(summary));
    table.line("Cancel Reason", summary.cancel_reason.as_deref().unwrap_or_default());
    table.line("Session", if summary.is_open { "open" } else { "closed" });
    table.line("Tasks", tasks_text(job));
    if !summary.tags.is_empty() {
        table.line("Tags", tags_text(summary));
    }
    table.line("Workers", workers_text(job));
    if let [submit] = job.submits.as_slice()
        && !submit.graph
    {
        array_lines(&mut table, job, submit);
    }
    if !job.after.is_empty() {
        table.line("After", after::text(job));
    }
    table.line("Submission date", time::utc_seconds(job.submitted));
    if let [submit] = job.submits.as_slice() {
        table.line("Submission directory", submit.submit_dir.as_str());
    }
    let end = job.completed.unwrap_or(now);
    table.line("Makespan", duration::makespan(end.since(job.submitted).to_duration()));
    let mut text = table.render(palette);
    text.push_str(&failed_text(job, palette));
    text
}

fn array_lines(table: &mut Table, job: &JobDetail, submit: &SubmitDesc) {
    let Some(desc) = submit.descs.first() else { return };
    let paths = paths::of_description(job.summary.id, &job.server_uid, submit, desc);
    table.line("Resources", resources::request_text(&desc.request));
    table.line("Pin", description::pin(desc.pin));
    table.line("Priority", desc.priority.to_string());
    table.line("Command", description::command(desc));
    table.line("Stdout", description::output(&paths.stdout));
    table.line("Stderr", description::output(&paths.stderr));
    table.line("Environment", description::environment(desc));
    table.line("Working directory", paths.cwd.as_str());
    table.line("Task time limit", description::time_limit(desc));
    table.line("Crash limit", crash_limit::print(desc.crash_limit));
    description::stop(desc).into_iter().for_each(|text| table.line("Signals", text));
}

/// The word for one task; for more the bar, then one line for each count that is not zero.
fn state_cell(job: &JobSummary) -> Cell {
    let counts = &job.counts;
    if counts.total() == 1 {
        return Cell::state(job.state().word());
    }
    let order = [
        TaskState::Running,
        TaskState::Failed,
        TaskState::Finished,
        TaskState::Canceled,
        TaskState::Waiting,
        TaskState::Aborted,
    ];
    let mut cell = bar_cell(counts);
    for state in order.into_iter().filter(|state| counts.of(*state) > 0) {
        let word = state.word().to_ascii_uppercase();
        let style = Style::of_state(&word);
        cell = cell.then(Style::PLAIN, "\n").then(style, word);
        cell = cell.then(Style::PLAIN, format!(" ({})", counts.of(state)));
    }
    cell
}

fn tasks_text(job: &JobDetail) -> String {
    let total = job.summary.counts.total();
    let ids = match job.submits.as_slice() {
        [submit] if !submit.graph => submit.ids.clone(),
        several => {
            let ranges = several.iter().flat_map(|submit| submit.ids.ranges.iter().copied()).collect();
            IdSet { ranges }.compressed()
        }
    };
    if total == 0 || ids.is_empty() { total.to_string() } else { format!("{total}; Ids: {ids}") }
}

fn workers_text(job: &JobDetail) -> String {
    let mut names: Vec<&str> = Vec::new();
    for worker in &job.workers {
        if !names.contains(&worker.hostname.as_str()) {
            names.push(&worker.hostname);
        }
    }
    let shown = names.iter().take(HOSTNAMES_SHOWN_MAX).copied().collect::<Vec<_>>().join(",");
    if names.len() > HOSTNAMES_SHOWN_MAX { format!("{shown}, … ({} total)", names.len()) } else { shown }
}

fn failed_text(job: &JobDetail, palette: Palette) -> String {
    let failed = job.summary.counts.failed;
    if failed == 0 {
        return String::new();
    }
    let mut table = Table::horizontal([Column::left("Task ID"), Column::left("Worker"), Column::left("Error")]);
    let hostname = |id: &WorkerId| {
        let known = job.workers.iter().find(|worker| worker.id == *id);
        known.map_or("N/A", |worker| worker.hostname.as_str())
    };
    let shown = job.failed.iter().take(FAILED_SHOWN_MAX);
    let mut rows = 0u64;
    for view in shown {
        let workers: Vec<&str> = view.workers.iter().map(hostname).collect();
        let error = view.error.as_deref().unwrap_or_default();
        table.row([view.id.to_string().into(), workers.join("\n").into(), Cell::styled(Style::ERROR, error)]);
        rows += 1;
    }
    let more = if failed > rows { format!(" ({rows} shown)") } else { String::new() };
    format!("{}{failed} tasks failed.{more}\n", table.render(palette))
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
