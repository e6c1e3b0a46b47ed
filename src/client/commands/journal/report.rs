//! `hq journal report`: writes an HTML file that shows what happened.
//!
//! Holds: the file is whole or as it was before; nothing is printed, in any mode.

use crate::client::arguments::{GlobalOptions, JournalReportArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::journal_events;
use crate::client::render::gauge::{Gauge, Unit};
use crate::client::report::Report;
use crate::platform::fs;
use hq_core::event::Event;
use hq_core::time::{Span, Time};
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// [`Error::Journal`] for a journal that cannot be read, [`Error::Invalid`] for one without a beginning,
/// [`Error::File`] when the file cannot be written.
pub fn run(global: &GlobalOptions, args: &JournalReportArgs, console: &mut Console) -> Result<(), Error> {
    console.is_raw();
    let mut gauge = Gauge::silent("Reading events", Unit::Things, None);
    let mut report = Report::new(args.start_time.map(Span::from_duration), args.end_time.map(Span::from_duration));
    let mut unknown = 0u64;
    journal_events::read(global, &args.journal, &mut |kind, time_us, body| {
        gauge.add(1);
        match Event::decode_body(kind, body) {
            Ok(event) => report.add(Time(time_us), &event).map_err(|error| Error::Invalid(error.to_string())),
            Err(_) => {
                unknown += 1;
                Ok(())
            }
        }
    })?;
    drop(gauge);
    if unknown > 0 {
        log::warn!("{unknown} records are of kinds that this version does not know; they were left out");
    }
    let page = report.finish().map_err(|error| Error::Invalid(error.to_string()))?;
    write(&args.output, page.as_bytes())
}

/// Replaces a file in one step; what is no file, such as a pipe, is written to.
fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::File { doing: "write", path: path.to_owned(), source };
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return std::fs::write(path, content).map_err(failed);
    }
    fs::write_atomic(path, content, fs::PRIVATE_FILE_MODE).map_err(|error| match error {
        fs::Error::Io { source, .. } => failed(source),
        fs::Error::Refused { why, .. } => failed(std::io::Error::other(why)),
    })
}
