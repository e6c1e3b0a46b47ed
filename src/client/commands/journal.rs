//! `hq journal export`: all events of a journal as lines of JSON.
//!
//! A journal has one user at a time: one that lies still is read from the disk, one that a server holds is asked for
//! from that server.
//!
//! Holds: the standard output has nothing but events, in every mode; how many they were is a log line.

use crate::client::arguments::{ExportArgs, GlobalOptions};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::client::render::gauge::{Gauge, Unit};
use crate::client::render::{event_json, json};
use crate::wire::message::{Empty, HistoryRequest, Request, Response};
use hq_core::event::Event;
use hq_core::time::Time;
use hq_journal::reading::{self, Holder, ReplayError};
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// [`Error::Journal`] for a journal that cannot be read, the server's refusal when it is asked.
pub fn export(global: &GlobalOptions, args: &ExportArgs, console: &mut Console) -> Result<(), Error> {
    console.is_raw();
    let gauge = Gauge::beside_output("Exporting events", Unit::Things, None);
    let mut export = Export { all: args.all, console, lines: 0, unknown: 0, gauge };
    if !reading::is_journal(&args.journal) {
        return Err(failed(&args.journal, &no_journal(&args.journal)));
    }
    match reading::read_dir(&args.journal) {
        Ok((reader, opened)) => {
            for note in &opened.notes {
                log::warn!("{note}");
            }
            reader
                .replay(0, &mut |record| export.record(record.header.kind, record.header.time_us, record.body))
                .map_err(|error| match error {
                    ReplayError::Stopped(stopped) => stopped,
                    ReplayError::Journal(error) => failed(&args.journal, &error.to_string()),
                })?;
        }
        Err(reading::Error::Busy { holder, .. }) => from_server(global, &args.journal, &holder, &mut export)?,
        Err(error) => return Err(failed(&args.journal, &error.to_string())),
    }
    export.finish()
}

fn failed(path: &Path, reason: &str) -> Error {
    Error::Journal { path: path.to_owned(), reason: reason.to_owned() }
}

fn no_journal(path: &Path) -> String {
    match std::fs::metadata(path) {
        Err(error) => error.to_string(),
        Ok(meta) if meta.is_dir() => "the directory holds no journal".to_owned(),
        Ok(_) => "it is not a directory; a journal is the directory that was given to `hq server start`".to_owned(),
    }
}

/// Asks the server of the server directory, if it is the one that holds the journal.
fn from_server(global: &GlobalOptions, path: &Path, holder: &Holder, export: &mut Export<'_>) -> Result<(), Error> {
    let not_ours = |reason: &str| {
        failed(path, &format!("it is in use by {holder}, {reason}; give that server's directory by --server-dir"))
    };
    let mut link = Link::open(global).map_err(|error| not_ours(&format!("and there is no server to ask: {error}")))?;
    let Response::Server(server) = link.ask(&Request::ServerInfo(Empty {}))? else { return Err(Error::Unexpected) };
    if server.pid != holder.pid {
        return Err(not_ours(&format!("which is not the server that was found (process {})", server.pid)));
    }
    link.send(&Request::History(HistoryRequest { from_seq: 0 }))?;
    loop {
        let Response::Events(records) = link.receive()? else { return Err(Error::Unexpected) };
        if records.is_empty() {
            return Ok(());
        }
        for record in &records {
            export.record(record.kind, record.time_us, &record.body)?;
        }
    }
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
