//! `hq journal replay` and `hq journal stream`: the events of a running server, past ones and those that come.
//!
//! Holds: every line that has arrived is handed on before the next is waited for; the end of the server is a good end.

use super::Lines;
use crate::client::arguments::{EventArgs, GlobalOptions};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::Link;
use crate::wire::message::{HistoryRequest, Request, Response};

/// Prints the past events.
///
/// # Errors
/// Those of the link, and those of the output.
pub fn replay(global: &GlobalOptions, args: &EventArgs, console: &mut Console) -> Result<(), Error> {
    let mut link = Link::open(global)?;
    let mut lines = Lines::new(args, console);
    // The same request as for `stream`, whose first part this is, so that both see the same past.
    link.send(&Request::Stream(request(args)))?;
    while !page(&mut link, &mut lines)? {}
    lines.finish().map(drop)
}

/// Prints the past events, then those that come, until the server ends.
///
/// # Errors
/// As [`replay`].
pub fn stream(global: &GlobalOptions, args: &EventArgs, console: &mut Console) -> Result<(), Error> {
    let mut link = Link::open(global)?;
    let mut lines = Lines::new(args, console);
    link.send(&Request::Stream(request(args)))?;
    loop {
        match page(&mut link, &mut lines) {
            Ok(is_past) => lines.is_live |= is_past,
            Err(Error::Lost { source: None }) => return lines.finish().map(drop),
            Err(error) => return Err(error),
        }
    }
}

fn request(args: &EventArgs) -> HistoryRequest {
    HistoryRequest { from_seq: 0, jobs: args.jobs.clone() }
}

/// Prints what comes next; true at the end of the past.
fn page(link: &mut Link, lines: &mut Lines<'_>) -> Result<bool, Error> {
    let Response::Events(records) = link.receive()? else { return Err(Error::Unexpected) };
    for record in &records {
        lines.record(record.kind, record.time_us, &record.body)?;
    }
    lines.flush()?;
    Ok(records.is_empty())
}
