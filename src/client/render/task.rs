//! Tasks as `task list`, `task info` and the JSON of jobs show them.
//!
//! The JSON of a task is the same in three commands, and it leaves out what is not known yet.
//!
//! Holds: a waiting task is exactly its id and its state, unless somebody holds it.

use super::color::{Palette, Style};
use super::table::{Cell, Column, Table};
use super::{attempt, description, resources, shorten, time};
use crate::client::paths;
use crate::grammar::{crash_limit, duration, retry};
use hq_core::id::WorkerId;
use hq_core::time::Time;
use hq_core::view::{AttemptView, JobDetail, TaskState, TaskView};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Bytes of an error in `task info` without `-v`.
const INFO_ERROR_BYTES: usize = 237;

/// Attempts of one task that are listed without `-v`, the last ones.
const ATTEMPTS_SHOWN_MAX: usize = 20;

/// Host names by worker.
pub type Hostnames = BTreeMap<WorkerId, String>;

/// A text, and whether error texts in it were cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// For the standard output.
    pub text: String,
    /// Whether `-v` would show more.
    pub is_cut: bool,
}

/// The object of a task.
pub fn to_json(job: &JobDetail, task: &TaskView) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), json!(task.id));
    object.insert("state".into(), json!(task.state.word()));
    let has_result = matches!(task.state, TaskState::Finished | TaskState::Failed);
    let has_paths = has_result || matches!(task.state, TaskState::Running | TaskState::Canceled);
    if let Some(started) = task.started {
        if let Some(paths) = paths::of_task(job, task).filter(|_| has_paths) {
            object.insert("cwd".into(), json!(paths.cwd));
            object.insert("stdout".into(), description::output_json(&paths.stdout));
            object.insert("stderr".into(), description::output_json(&paths.stderr));
        }
        if has_result || task.state == TaskState::Running {
            object.insert("started_at".into(), json!(time::rfc3339(started)));
            match task.workers.as_slice() {
                [one] => object.insert("worker".into(), json!(one)),
                others => object.insert("workers".into(), json!(others)),
            };
        }
    }
    if has_result {
        object.insert("finished_at".into(), json!(task.ended.map(time::rfc3339)));
    }
    if task.state == TaskState::Failed {
        object.insert("error".into(), json!(task.error.as_deref().unwrap_or_default()));
    }
    if let Some(reason) = &task.reason {
        object.insert("reason".into(), json!(reason));
    }
    if task.held {
        object.insert("held".into(), json!(true));
    }
    Value::Object(object)
}

/// The object of a task with its attempts, and what its last one used.
pub fn info_json(job: &JobDetail, task: &TaskView, attempts: &[AttemptView]) -> Value {
    let mut value = to_json(job, task);
    if let Some(object) = value.as_object_mut() {
        let last = attempts.last().filter(|_| task.state.is_final());
        for (key, of_last) in last.iter().flat_map(|last| {
            let used = last.usage.iter().flat_map(attempt::usage_json);
            attempt::how_json(last.cause, last.exit_code, last.signal).into_iter().chain(used).collect::<Vec<_>>()
        }) {
            object.insert(key, of_last);
        }
        object.insert("attempts".into(), attempts.iter().map(attempt::to_json).collect());
    }
    value
}

/// The word in upper case, coloured.
pub fn state_cell(state: TaskState) -> Cell {
    Cell::state(state.word())
}

/// Host names, one a line; `N/A` for a worker that is not known.
pub fn worker_cell(task: &TaskView, hostnames: &Hostnames) -> Cell {
    let names = task.workers.iter().map(|id| hostnames.get(id).map_or("N/A", String::as_str));
    Cell::from(names.collect::<Vec<_>>().join("\n"))
}

/// From the start to the end or to now; nothing for a task that has not started.
fn makespan(task: &TaskView, now: Time) -> String {
    let Some(started) = task.started else { return String::new() };
    let end = task.ended.unwrap_or(now);
    duration::makespan(end.since(started).to_duration())
}

/// The table of `task list`: jobs with their tasks, with the column `Job ID` unless there is exactly one job.
pub fn list(jobs: &[(u32, Vec<TaskView>)], hostnames: &Hostnames, verbose: bool, now: Time, palette: Palette) -> Shown {
    let with_job = jobs.len() != 1;
    let mut columns = vec![
        Column::right("Task ID"),
        Column::left("State"),
        Column::left("Worker"),
        Column::left("Makespan"),
        Column::left("Error"),
    ];
    if with_job {
        columns.insert(0, Column::right("Job ID"));
    }
    let mut table = Table::horizontal(columns);
    let mut is_cut = false;
    for (job, tasks) in jobs {
        for task in tasks {
            let (error, cut) = error_cell(task, if verbose { None } else { Some(shorten::ERROR_BYTES_CUT) });
            is_cut |= cut;
            let mut cells = vec![
                Cell::from(task.id.to_string()),
                state_cell(task.state),
                worker_cell(task, hostnames),
                Cell::from(makespan(task, now)),
                error,
            ];
            if with_job {
                cells.insert(0, Cell::from(job.to_string()));
            }
            table.row(cells);
        }
    }
    Shown { text: table.render(palette), is_cut }
}

fn error_cell(task: &TaskView, bytes: Option<usize>) -> (Cell, bool) {
    // Why a task was canceled or aborted is shown where everything is.
    let reason = task.reason.as_deref().filter(|_| bytes.is_none());
    let error = task.error.as_deref().or(reason).unwrap_or_default();
    let (text, is_cut) = bytes.map_or((error.into(), false), |bytes| shorten::end(error, bytes));
    (Cell::styled(Style::ERROR, text), is_cut)
}

/// The table of `task info`. Attempts are listed if there are several, or with `verbose`.
pub fn info(
    job: &JobDetail,
    task: &TaskView,
    attempts: &[AttemptView],
    hostnames: &Hostnames,
    verbose: bool,
    now: Time,
    palette: Palette,
) -> Shown {
    let submit = job.submits.get(task.submit as usize);
    let desc = submit.and_then(|submit| submit.descs.get(task.desc as usize));
    let paths = paths::of_task(job, task).filter(|_| task.started.is_some());
    let of_desc = |text: &dyn Fn(&hq_core::task::TaskDesc) -> String| desc.map(|desc| text(desc)).unwrap_or_default();
    let path = |text: &dyn Fn(&paths::Paths) -> String| paths.as_ref().map(text).unwrap_or_default();
    let mut table = Table::vertical();
    table.line("Task ID", task.id.to_string());
    table.line("State", state_cell(task.state));
    table.line("Command", of_desc(&description::command));
    table.line("Environment", of_desc(&description::environment));
    table.line("Worker", worker_cell(task, hostnames));
    table.line("Start", task.started.map(time::local).unwrap_or_default());
    table.line("End", task.ended.map(time::local).unwrap_or_default());
    table.line("Makespan", makespan(task, now));
    table.line("Workdir", path(&|paths| paths.cwd.clone()));
    table.line("Stdout", path(&|paths| description::output(&paths.stdout).to_owned()));
    table.line("Stderr", path(&|paths| description::output(&paths.stderr).to_owned()));
    table.line("Time limit", of_desc(&description::time_limit));
    table.line("Resources", of_desc(&|desc| resources::request_text(&desc.request)));
    table.line("Priority", of_desc(&|desc| desc.priority.to_string()));
    table.line("Pin", of_desc(&|desc| description::pin(desc.pin).to_owned()));
    table.line("Task dir", of_desc(&|desc| if desc.task_dir { "yes" } else { "no" }.to_owned()));
    table.line("Crash limit", of_desc(&|desc| crash_limit::print(desc.crash_limit)));
    desc.and_then(|desc| description::stop(desc)).into_iter().for_each(|text| table.line("Signals", text));
    if let Some(policy) = desc.and_then(|desc| desc.retry.as_deref()) {
        table.line("Retries", retry::print_policy(policy));
    }
    table.line("Dependencies", dependencies(job, task));
    let (error, is_cut) = error_cell(task, if verbose { None } else { Some(INFO_ERROR_BYTES) });
    table.line("Error", error);
    attempt_lines(&mut table, task, attempts, verbose, now);
    Shown { text: table.render(palette), is_cut }
}

/// What is told of attempts in `task info`.
fn attempt_lines(table: &mut Table, task: &TaskView, attempts: &[AttemptView], verbose: bool, now: Time) {
    if let Some(last) = attempts.last().filter(|_| verbose && task.state.is_final()) {
        let exit = match (last.exit_code, last.signal) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => String::new(),
        };
        table.line("Exit code", exit);
        table.line("CPU time", last.usage.as_ref().map(attempt::cpu_time).unwrap_or_default());
        table.line("Peak memory", last.usage.as_ref().map(attempt::peak_memory).unwrap_or_default());
    }
    if attempts.len() > 1 || (verbose && !attempts.is_empty()) {
        let skipped = attempts.len().saturating_sub(ATTEMPTS_SHOWN_MAX);
        let more = (skipped > 0 && !verbose).then(|| format!("({skipped} earlier ones are shown with `-v`)"));
        let shown = attempts.iter().skip(if verbose { 0 } else { skipped }).map(|attempt| attempt::line(attempt, now));
        table.line("Attempts", more.into_iter().chain(shown).collect::<Vec<_>>().join("\n"));
    }
}

fn dependencies(job: &JobDetail, task: &TaskView) -> String {
    let deps = job.submits.get(task.submit as usize).map_or(&[][..], |submit| submit.deps.as_slice());
    let own = deps.iter().filter(|dep| dep.task == task.id);
    let name = |dep: &hq_core::task::Dependency| match dep.on.job.0 {
        0 => dep.on.task.to_string(),
        job_id if job_id == job.summary.id.0 => dep.on.task.to_string(),
        _ => dep.on.to_string(),
    };
    own.map(name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
