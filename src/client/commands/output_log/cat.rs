//! `hq output-log DIR cat`: the bytes that tasks wrote.
//!
//! Holds: everything is checked before the first byte is printed; bytes are printed unchanged.

use super::{Directory, choose, passing};
use crate::client::arguments::StreamCatArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::gauge::{Gauge, Pulse, Unit};
use hq_journal::stream::Instance;

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub(super) fn run(dir: &mut Directory, args: &StreamCatArgs, pulse: Pulse, console: &mut Console) -> Result<(), Error> {
    let mut count = 0;
    for_each(dir, args, &mut |newest| {
        count += 1;
        if newest.finished || args.allow_unfinished {
            return Ok(());
        }
        Err(Error::Stream(format!("Stream for task {} is not finished", newest.key.task)))
    })?;
    drop(pulse);
    console.is_raw();
    let mut gauge = Gauge::beside_output("Printing outputs", Unit::Things, Some(count));
    for_each(dir, args, &mut |newest| {
        gauge.add(1);
        let channel = args.channel.number();
        passing(|verdict| dir.streams.read(newest, channel, &mut |_, bytes| verdict(console.bytes(bytes)))).map(drop)
    })
}

fn for_each(
    dir: &Directory,
    args: &StreamCatArgs,
    f: &mut dyn FnMut(&Instance) -> Result<(), Error>,
) -> Result<(), Error> {
    choose::for_each_of_job(&dir.streams, args.job, args.task.as_ref(), &args.filter, &mut |all| {
        all.last().map_or(Ok(()), &mut *f).map(|()| true)
    })
}
