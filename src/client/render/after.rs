//! What a job waits for: other jobs, and tasks of them.
//!
//! Holds: the dependency is shown in the form in which `--after` takes it.

use hq_core::after::condition_word;
use hq_core::task::After;
use hq_core::view::{AfterState, AfterView, JobDetail};
use serde_json::{Value, json};

/// Dependencies that a cell shows.
const LINES_MAX: usize = 20;

/// The cell of `job info`: a line for each dependency.
pub fn text(job: &JobDetail) -> String {
    let is_one = job.submits.len() == 1;
    let mut lines: Vec<String> = job.after.iter().take(LINES_MAX).map(|view| line(view, is_one)).collect();
    let all: usize = job.submits.iter().map(|submit| submit.after.len()).sum();
    if all > lines.len() {
        lines.push(format!("… ({all} total)"));
    }
    lines.join("\n")
}

fn line(view: &AfterView, is_one: bool) -> String {
    let AfterView { after, state, submit, .. } = view;
    let tasks = if after.tasks.is_empty() { String::new() } else { format!(" for tasks {}", after.tasks) };
    let submit = if is_one { String::new() } else { format!(" for submit {}", submit + 1) };
    format!("{after}{tasks}{submit} ({})", state_word(*state))
}

fn state_word(state: AfterState) -> &'static str {
    match state {
        AfterState::Waiting => "waiting",
        AfterState::Met => "met",
        AfterState::Broken => "broken",
    }
}

/// The list of `job info` in JSON.
pub fn list_json(views: &[AfterView]) -> Value {
    let one = |view: &AfterView| {
        let mut value = to_json(&view.after);
        if let Some(object) = value.as_object_mut() {
            object.insert("state".to_owned(), json!(state_word(view.state)));
            object.insert("submit".to_owned(), json!(view.submit));
        }
        value
    };
    views.iter().map(one).collect()
}

/// A dependency as an object; sets of ids as text.
pub fn to_json(after: &After) -> Value {
    let behind = (!after.tasks.is_empty()).then(|| after.tasks.to_string());
    json!({
        "spec": after.to_string(),
        "condition": condition_word(after.condition),
        "each": after.each,
        "job": after.on,
        "job_tasks": after.on_tasks.as_ref().map(ToString::to_string),
        "tasks": behind,
    })
}
