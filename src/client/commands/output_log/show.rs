//! `hq output-log DIR show`: all outputs in the order of time.
//!
//! Holds: numbers are padded to the width of the largest of the whole directory, whatever is chosen of it.

use super::lines::Lines;
use super::{Directory, choose, passing};
use crate::client::arguments::StreamShowArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::gauge::{Gauge, Pulse, Unit};
use std::cell::RefCell;

/// Prints what is there; how further lines are written.
///
/// # Errors
/// See [`Error`].
pub(super) fn run(
    dir: &mut Directory,
    args: &StreamShowArgs,
    pulse: Pulse,
    console: &mut Console,
) -> Result<Lines, Error> {
    console.is_raw();
    let lines = RefCell::new(Lines::new(console.palette()));
    let (mut pulse, mut gauge) = (Some(pulse), Gauge::beside_output("Printing outputs", Unit::Things, None));
    passing(|verdict| {
        dir.streams.for_each_in_time(
            &mut |newest| {
                lines.borrow_mut().widen(newest.key);
                choose::channels(&args.scope, newest)
            },
            &mut |shown| {
                drop(pulse.take());
                gauge.add(1);
                let line = lines.borrow().line(shown.key, shown.channel, shown.bytes);
                verdict(console.text(&line))
            },
        )
    })?;
    dir.name_damage();
    Ok(lines.into_inner())
}
