//! `hq journal export`: all events of a journal.
//!
//! Holds: how many lines were printed is a log line.

use super::Lines;
use crate::client::arguments::{ExportArgs, GlobalOptions};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::journal_events;
use crate::client::render::gauge::{Gauge, Unit};

/// Runs the command.
///
/// # Errors
/// [`Error::Journal`] for a journal that cannot be read, the server's refusal when it is asked.
pub fn export(global: &GlobalOptions, args: &ExportArgs, console: &mut Console) -> Result<(), Error> {
    let mut gauge = Gauge::beside_output("Exporting events", Unit::Things, None);
    let mut lines = Lines::new(&args.events, console);
    journal_events::read_of(global, &args.journal, args.events.jobs.as_ref(), &mut |kind, time_us, body| {
        gauge.add(1);
        lines.record(kind, time_us, body)
    })?;
    let printed = lines.finish()?;
    log::info!("Outputted {printed} event{}", if printed == 1 { "" } else { "s" });
    Ok(())
}
