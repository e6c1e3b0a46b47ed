//! A task description as `job info` and `task info` show it: the cells of the tables and the JSON object.
//!
//! Both commands show the same facts, so each fact has one text here.
//!
//! Holds: the keys and forms of the JSON object are those that scripts read.

use super::{resources, shorten, time};
use crate::client::paths::{Output, Paths};
use crate::grammar::{crash_limit, duration, stop};
use hq_core::task::{CrashLimit, PinMode, StopPlan, TaskDesc};
use serde_json::{Value, json};

/// One line a word; longer words are wrapped.
pub fn command(desc: &TaskDesc) -> String {
    let words: Vec<String> = desc.args.iter().map(|word| shorten::wrap(word, shorten::WORD_COLUMNS_MAX)).collect();
    words.join("\n")
}

/// `K=V` lines sorted by key, without those that begin with `HQ_`.
pub fn environment(desc: &TaskDesc) -> String {
    let shown = desc.env.iter().filter(|(key, _)| !key.starts_with("HQ_"));
    shown.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
}

/// `none`, `taskset` or `omp`.
pub fn pin(mode: PinMode) -> &'static str {
    match mode {
        PinMode::None => "none",
        PinMode::Taskset => "taskset",
        PinMode::Omp => "omp",
    }
}

/// The full duration, or `None`.
pub fn time_limit(desc: &TaskDesc) -> String {
    desc.time_limit.map_or_else(|| "None".to_owned(), |limit| duration::full(limit.to_duration()))
}

/// How the task is warned and ended, one line for each setting that was given; none where there is none.
pub fn stop(desc: &TaskDesc) -> Option<String> {
    let StopPlan { warning, signal, grace } = **desc.stop.as_ref()?;
    let warning = warning.map(|warning| format!("warning: {}", stop::print_warning(&warning)));
    let signal = (signal != 0).then(|| format!("first signal: {}", stop::print_signal(signal)));
    let grace = grace.map(|grace| format!("grace: {}", duration::full(grace.to_duration())));
    Some(warning.into_iter().chain(signal).chain(grace).collect::<Vec<_>>().join("\n"))
}

fn stop_json(plan: &StopPlan) -> Value {
    let warning = plan
        .warning
        .map(|warning| json!({"signal": stop::print_signal(warning.signal), "before": time::seconds(warning.before)}));
    let signal = (plan.signal != 0).then(|| stop::print_signal(plan.signal));
    json!({"warning": warning, "signal": signal, "grace": plan.grace.map(time::seconds)})
}

/// An output in a table.
pub fn output(output: &Output) -> &str {
    match output {
        Output::File(path) => path,
        Output::Discarded => "<None>",
        Output::Streamed => "<Stream>",
    }
}

/// An output in JSON: the path, null, or `<pipe>`.
pub fn output_json(output: &Output) -> Value {
    match output {
        Output::File(path) => json!(path),
        Output::Discarded => Value::Null,
        Output::Streamed => json!("<pipe>"),
    }
}

/// The description with the given paths.
pub fn to_json(desc: &TaskDesc, paths: &Paths) -> Value {
    let pin_mode = match desc.pin {
        PinMode::None => Value::Null,
        PinMode::Taskset => json!("taskset"),
        PinMode::Omp => json!("openmp"),
    };
    let limit = match desc.crash_limit {
        CrashLimit::Max(count) => json!(count),
        other => json!(crash_limit::print(other)),
    };
    let mut json = json!({
        "program": {
            "args": desc.args,
            "cwd": paths.cwd,
            "env": desc.env,
            "stdout": output_json(&paths.stdout),
            "stderr": output_json(&paths.stderr),
        },
        "resources": desc.request.variants.iter().map(resources::variant_json).collect::<Vec<_>>(),
        "pin_mode": pin_mode,
        "priority": desc.priority,
        "time_limit": desc.time_limit.map(time::seconds),
        "task_dir": desc.task_dir,
        "crash_limit": limit,
    });
    if let (Some(plan), Some(object)) = (&desc.stop, json.as_object_mut()) {
        object.insert("stop".to_owned(), stop_json(plan));
    }
    json
}
