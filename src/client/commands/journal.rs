//! `hq journal export`: all events of a journal as lines of JSON.
//!
//! Holds: the standard output has nothing but events, in every mode; how many they were is a log line.

use crate::client::arguments::{ExportArgs, GlobalOptions};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::journal_events;
use crate::client::render::gauge::{Gauge, Unit};
use crate::client::render::{event_json, json};
use hq_core::event::Event;
use hq_core::time::Time;

/// Runs the command.
///
/// # Errors
/// [`Error::Journal`] for a journal that cannot be read, the server's refusal when it is asked.
pub fn export(global: &GlobalOptions, args: &ExportArgs, console: &mut Console) -> Result<(), Error> {
    console.is_raw();
    let gauge = Gauge::beside_output("Exporting events", Unit::Things, None);
    let mut export = Export { all: args.all, console, lines: 0, unknown: 0, gauge };
    journal_events::read(global, &args.journal, &mut |kind, time_us, body| export.record(kind, time_us, body))?;
    export.finish()
}

/// What was printed so far.
struct Export<'a> {
    all: bool,
    console: &'a mut Console,
    lines: u64,
    unknown: u64,
    gauge: Gauge,
}

impl Export<'_> {
    fn record(&mut self, kind: u16, time_us: u64, body: &[u8]) -> Result<(), Error> {
        self.gauge.add(1);
        let Ok(event) = Event::decode_body(kind, body) else {
            self.unknown += 1;
            return Ok(());
        };
        let (console, lines) = (&mut *self.console, &mut self.lines);
        event_json::lines(Time(time_us), &event, self.all, &mut |line| {
            *lines += 1;
            let mut text = json::compact(&line);
            text.push('\n');
            console.text(&text)
        })
    }

    fn finish(self) -> Result<(), Error> {
        self.console.flush()?;
        if self.unknown > 0 {
            log::warn!("{} records are of kinds that this version does not know; they were left out", self.unknown);
        }
        log::info!("Outputted {} event{}", self.lines, if self.lines == 1 { "" } else { "s" });
        Ok(())
    }
}
