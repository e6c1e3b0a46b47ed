//! `hq output-log DIR export`: outputs of the tasks of a job as a JSON list.
//!
//! Holds: without `--full` an element has the three keys `finished`, `id` and `stdout` that scripts compare; it is written
//! while it is read, so that neither many tasks nor long outputs need memory.

use super::json_text::JsonText;
use super::{Directory, broken, choose, passing};
use crate::client::arguments::StreamExportArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::gauge::{Gauge, Pulse, Unit};
use crate::client::render::time;
use hq_core::time::Time;
use hq_journal::stream::{CHANNEL_STDERR, CHANNEL_STDOUT, Ending, Instance};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What stands behind a key.
enum Field {
    Value(Value),
    Output(u8),
}

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub(super) fn run(
    dir: &mut Directory,
    args: &StreamExportArgs,
    pulse: Pulse,
    console: &mut Console,
) -> Result<(), Error> {
    // Everything that can be wrong shows before anything is printed.
    for_each(dir, args, &mut |_| Ok(()))?;
    drop(pulse);
    console.is_raw();
    let mut gauge = Gauge::beside_output("Printing outputs", Unit::Things, None);
    let mut is_first = true;
    console.text("[")?;
    for_each(dir, args, &mut |all| {
        gauge.add(1);
        console.text(if std::mem::take(&mut is_first) { "\n  {" } else { ",\n  {" })?;
        let Some((newest, old)) = all.split_last() else { return Ok(()) };
        let mut separator = "";
        for (key, field) in fields(dir, newest, old.len(), args.full)? {
            console.text(&format!("{separator}\n    \"{key}\": "))?;
            separator = ",";
            match field {
                Field::Value(value) => console.text(&value.to_string())?,
                Field::Output(channel) => print_output(dir, newest, channel, console)?,
            }
        }
        console.text("\n  }")
    })?;
    console.text(if is_first { "]\n" } else { "\n]\n" })
}

fn for_each(
    dir: &Directory,
    args: &StreamExportArgs,
    f: &mut dyn FnMut(&[Instance]) -> Result<(), Error>,
) -> Result<(), Error> {
    choose::for_each_of_job(&dir.streams, args.job, args.task.as_ref(), &args.filter, &mut |all| f(all).map(|()| true))
}

fn print_output(dir: &Directory, instance: &Instance, channel: u8, console: &mut Console) -> Result<(), Error> {
    let mut text = JsonText::begin(console)?;
    passing(|verdict| dir.streams.read(instance, channel, &mut |_, bytes| verdict(text.piece(bytes))))?;
    text.end()
}

/// The keys of a task, in their order.
fn fields(
    dir: &Directory,
    newest: &Instance,
    superseded: usize,
    full: bool,
) -> Result<BTreeMap<&'static str, Field>, Error> {
    let mut fields = BTreeMap::from([
        ("finished", Field::Value(json!(newest.finished))),
        ("id", Field::Value(json!(newest.key.task))),
        ("stdout", Field::Output(CHANNEL_STDOUT)),
    ]);
    if !full {
        return Ok(fields);
    }
    let writer = dir.streams.writer(newest).map_err(broken)?;
    let hostname = writer.as_ref().and_then(|writer| writer.meta.iter().find(|(key, _)| key == "hostname"));
    let outcome = newest.outcome;
    let at = |time_us| json!(time::rfc3339(Time(time_us)));
    let more = [
        ("attempt", json!(newest.key.attempt)),
        ("epoch", json!(newest.key.epoch)),
        ("exit_code", json!(outcome.and_then(|outcome| outcome.exit_code))),
        ("first_at", at(newest.first_us)),
        ("hostname", json!(hostname.map(|(_, name)| name))),
        ("job", json!(newest.key.job)),
        ("last_at", at(newest.last_us)),
        ("outcome", json!(outcome.map(|outcome| word(outcome.ending)))),
        ("signal", json!(outcome.and_then(|outcome| outcome.signal))),
        ("stderr_size", json!(newest.bytes(CHANNEL_STDERR))),
        ("stdout_size", json!(newest.bytes(CHANNEL_STDOUT))),
        ("superseded", json!(superseded)),
        ("worker", json!(writer.as_ref().map(|writer| writer.worker_id))),
    ];
    fields.extend(more.map(|(key, value)| (key, Field::Value(value))));
    fields.insert("stderr", Field::Output(CHANNEL_STDERR));
    Ok(fields)
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Finished => "finished",
        Ending::Failed => "failed",
        Ending::Canceled => "canceled",
        Ending::Interrupted => "interrupted",
    }
}
