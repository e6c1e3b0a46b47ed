//! What a task of a job file runs and how: the keys that single tasks and arrays share.
//!
//! A path in a job file is taken as it is written, unlike on the command line, where `:` splits it.
//!
//! Holds: what `hq submit` would refuse as a value is refused here, with its place.

use super::error::Mistake;
use super::item::{Fields, Item};
use super::notices::Notices;
use super::request;
use crate::grammar::stop::{self, stop_plan};
use crate::grammar::{after, crash_limit, duration, retry};
use hq_core::admission;
use hq_core::after::AfterSpec;
use hq_core::limits;
use hq_core::resource::{Amount, ResourceRequest};
use hq_core::retry::{RetryOn, RetryPolicy};
use hq_core::task::{CrashLimit, Destination, DestinationKind, PinMode, TaskDesc};
use hq_core::time::Span;
use std::collections::BTreeMap;
use toml::de::DeValue;

/// Keys of an individual task, before those of its description.
pub(super) const TASK_KEYS: &[&str] = &["command", "id", "deps", "after"];

/// Keys of an array, before those of its description.
pub(super) const ARRAY_KEYS: &[&str] = &["command", "ids", "entries", "after"];

/// Further keys of both.
pub(super) const DESC_KEYS: &[&str] = &[
    "env",
    "stdin",
    "stdout",
    "stderr",
    "cwd",
    "pin",
    "task_dir",
    "time_limit",
    "priority",
    "crash_limit",
    "signal",
    "kill_signal",
    "grace",
    "request",
    "retries",
    "retry_on",
    "retry_delay",
];

/// Has each entry of the key `after` taken, with its place.
pub(super) fn after(
    fields: &Fields<'_>,
    mut take: impl FnMut(&Item<'_>, AfterSpec) -> Result<(), Mistake>,
) -> Result<(), Mistake> {
    let Some(item) = fields.get("after") else { return Ok(()) };
    let mut entries = item.elements("an array of texts such as `ok:5`")?;
    entries.try_for_each(|entry| take(&entry, entry.parsed(after::parse)?))
}

/// Reads the description; outputs without a key go to the stream if `has_stream`. What was understood but is better
/// written otherwise is added to `notices`.
pub(super) fn desc(fields: &Fields<'_>, has_stream: bool, notices: &mut Notices) -> Result<TaskDesc, Mistake> {
    let cwd = fields.get("cwd").map(|item| item.text()).transpose()?;
    let stdin = fields.get("stdin").map(|item| item.text()).transpose()?;
    let time_limit = fields.get("time_limit").map(|item| item.parsed(duration::parse_human)).transpose()?;
    let warning = fields.get("signal").map(|item| item.parsed(stop::parse_warning)).transpose()?;
    let signal = fields.get("kill_signal").map(|item| item.parsed(stop::parse_signal)).transpose()?;
    let grace = fields.get("grace").map(|item| item.parsed(stop::parse_grace)).transpose()?;
    let crash_limit = fields.get("crash_limit").map_or(Ok(CrashLimit::default()), |item| losses(&item))?;
    let desc = TaskDesc {
        args: fields.need("command")?.texts()?.into_iter().map(str::to_owned).collect(),
        env: fields.get("env").map_or_else(|| Ok(BTreeMap::new()), |item| environment(&item))?,
        cwd: cwd.unwrap_or_default().to_owned(),
        stdout: output(fields.get("stdout"), has_stream)?,
        stderr: output(fields.get("stderr"), has_stream)?,
        stdin: stdin.unwrap_or_default().as_bytes().to_vec().into(),
        request: match fields.get("request") {
            Some(item) => request::read(&item, notices)?,
            None => ResourceRequest::cpus(Amount::units(1)),
        },
        priority: fields.get("priority").map_or(Ok(0), |item| item.number("a 32-bit integer"))?,
        time_limit: time_limit.map(Span::from_duration),
        crash_limit,
        pin: fields.get("pin").map_or(Ok(PinMode::None), |item| pin(&item))?,
        task_dir: fields.get("task_dir").map_or(Ok(false), |item| item.flag())?,
        stop: stop_plan(warning, signal, grace.map(Span::from_duration)),
        retry: retries(fields)?,
    };
    // The server checks the same; here the place is known, and nothing has been sent.
    admission::check_desc(&desc).map_err(|reason| fields.mistake(reason))?;
    Ok(desc)
}

/// When a failed task is tried again.
fn retries(fields: &Fields<'_>) -> Result<Option<Box<RetryPolicy>>, Mistake> {
    let on = fields.get("retry_on").map(|item| causes(&item)).transpose()?;
    let delay = fields.get("retry_delay").map(|item| item.parsed(retry::parse_delay)).transpose()?;
    let Some(max) = fields.get("retries") else {
        return match fields.get("retry_on").or(fields.get("retry_delay")) {
            Some(item) => Err(item.mistake("this needs the key `retries`")),
            None => Ok(None),
        };
    };
    let (item, max) = (max, max.uint()?);
    if max > limits::TASK_RETRIES_MAX {
        return Err(item.mistake(format!("at most {} retries are allowed", limits::TASK_RETRIES_MAX)));
    }
    let delay = delay.unwrap_or_default();
    let on = retry::joined(on);
    Ok((max > 0).then(|| Box::new(RetryPolicy { max, on, delay: delay.first, delay_max: delay.last })))
}

/// A text with causes, or an array of such texts.
fn causes(item: &Item<'_>) -> Result<RetryOn, Mistake> {
    match item.value() {
        DeValue::Array(_) => {
            let lists = item.elements("a string or an array of strings")?.map(|item| item.parsed(retry::parse_on));
            Ok(retry::joined(lists.collect::<Result<Vec<RetryOn>, Mistake>>()?))
        }
        _ => item.parsed(retry::parse_on),
    }
}

fn environment(item: &Item<'_>) -> Result<BTreeMap<String, String>, Mistake> {
    let mut env = BTreeMap::new();
    for (key, value) in item.table("a table of strings")?.all() {
        let text = value.text()?;
        if key.name.is_empty() || key.name.contains(['=', '\0']) || text.contains('\0') {
            return Err(value.mistake("this cannot be an environment variable"));
        }
        env.insert(key.name.to_owned(), text.to_owned());
    }
    Ok(env)
}

fn output(item: Option<Item<'_>>, has_stream: bool) -> Result<Destination, Mistake> {
    let Some(item) = item else {
        let kind = if has_stream { DestinationKind::Stream } else { DestinationKind::File };
        return Ok(Destination { kind, ..Destination::default() });
    };
    let (path, remove_if_finished) = match item.value() {
        DeValue::String(text) if text == "none" => {
            return Ok(Destination { kind: DestinationKind::Discard, ..Destination::default() });
        }
        DeValue::String(text) => (text.as_ref(), false),
        _ => {
            let fields = item.table("a string or a table")?;
            let close = fields.need("on_close")?;
            let remove = match close.text()? {
                "none" => false,
                "rm-if-finished" => true,
                _ => return Err(close.mistake("expected `none` or `rm-if-finished`")),
            };
            (fields.need("path")?.text()?, remove)
        }
    };
    // Within a description an empty path stands for the default one.
    if path.is_empty() {
        return Err(item.mistake("the path cannot be empty; write `none` or leave the key out"));
    }
    Ok(Destination { kind: DestinationKind::File, path: path.to_owned(), remove_if_finished })
}

fn pin(item: &Item<'_>) -> Result<PinMode, Mistake> {
    match item.text()? {
        "none" => Ok(PinMode::None),
        "taskset" => Ok(PinMode::Taskset),
        "omp" => Ok(PinMode::Omp),
        _ => Err(item.mistake("expected `none`, `taskset` or `omp`")),
    }
}

fn losses(item: &Item<'_>) -> Result<CrashLimit, Mistake> {
    match item.value() {
        DeValue::Integer(_) => {
            let number: u32 = item.number("from 1 to 65535")?;
            crash_limit::parse(&number.to_string()).map_err(|error| item.mistake(error.reason()))
        }
        _ => item.parsed(crash_limit::parse),
    }
}
