//! The commands of `hq journal`, one file each, and what they have in common: printing events as lines of JSON.
//!
//! Holds: the standard output has nothing but events, in every mode, and their times never decrease; a line is printed whole or
//! not at all. Of `report` there is nothing on it.

mod export;
mod flush;
mod info;
mod listen;
mod prune;
mod repair;
mod report;
mod verify;

pub use export::export;
pub use flush::flush;
pub use info::info;
pub use listen::{replay, stream};
pub use prune::prune;
pub use repair::repair;
pub use report::run as report;
pub use verify::verify;

use crate::client::arguments::EventArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::event_json::{self, Wanted};
use crate::client::render::json;
use hq_core::event::Event;
use hq_core::time::Time;
use serde_json::Value;

/// Prints events as lines, as far as they are wanted.
struct Lines<'a> {
    args: &'a EventArgs,
    console: &'a mut Console,
    /// Whether what comes has just happened.
    is_live: bool,
    /// The latest time that was told.
    clock: Time,
    printed: u64,
    unknown: u64,
}

impl<'a> Lines<'a> {
    fn new(args: &'a EventArgs, console: &'a mut Console) -> Self {
        console.is_raw();
        Self { args, console, is_live: false, clock: Time(0), printed: 0, unknown: 0 }
    }

    /// Prints the lines of a record.
    fn record(&mut self, kind: u16, time_us: u64, body: &[u8]) -> Result<(), Error> {
        let Ok(event) = Event::decode_body(kind, body) else {
            self.unknown += 1;
            return Ok(());
        };
        let types = &self.args.types;
        let wanted = Wanted { is_live: self.is_live, all: self.args.all || !types.is_empty() };
        let (console, printed, clock) = (&mut *self.console, &mut self.printed, &mut self.clock);
        event_json::lines(Time(time_us), &event, wanted, &mut |line| {
            let line = line.in_order(clock);
            let is_wanted = |line: &Value| {
                let kind = line.pointer("/event/type").and_then(Value::as_str).unwrap_or_default();
                types.is_empty() || types.iter().any(|name| name == kind)
            };
            if !is_wanted(&line) {
                return Ok(());
            }
            *printed += 1;
            let mut text = json::compact(&line);
            text.push('\n');
            console.text(&text)
        })
    }

    /// Hands everything to whoever reads the output.
    fn flush(&mut self) -> Result<(), Error> {
        self.console.flush()
    }

    /// Flushes, and says what was left out; gives the number of printed lines.
    fn finish(mut self) -> Result<u64, Error> {
        self.flush()?;
        if self.unknown > 0 {
            log::warn!("{} records are of kinds that this version does not know; they were left out", self.unknown);
        }
        Ok(self.printed)
    }
}
