//! The records of a journal for a command that reads one, wherever they are to be had.
//!
//! A journal has one user at a time: one that lies still is read from the disk, one that a server holds is asked for
//! from that server.
//!
//! Holds: the records come in their order, each once; nothing is kept of them here.

use super::arguments::GlobalOptions;
use super::error::Error;
use super::link::Link;
use crate::wire::message::{Empty, HistoryRequest, Request, Response};
use hq_core::idset::IdSet;
use hq_journal::reading::{self, Holder, Opened, Reader, ReplayError};
use std::path::Path;

/// What takes a record: its kind, its time in microseconds since 1970 and its body.
pub type Take<'a> = dyn FnMut(u16, u64, &[u8]) -> Result<(), Error> + 'a;

/// Passes every record of the journal in `path` to `take`.
///
/// # Errors
/// [`Error::Journal`] for a journal that cannot be read, the server's refusal when it is asked, and what `take` gives.
pub fn read(global: &GlobalOptions, path: &Path, take: &mut Take<'_>) -> Result<(), Error> {
    read_of(global, path, None, take)
}

/// As [`read`], only those of some jobs; none: all records.
///
/// # Errors
/// As [`read`].
pub fn read_of(global: &GlobalOptions, path: &Path, jobs: Option<&IdSet>, take: &mut Take<'_>) -> Result<(), Error> {
    match find(global, path)? {
        Found::Resting { reader, opened } => {
            for note in &opened.notes {
                log::warn!("{note}");
            }
            let done = reader.replay(0, &mut |record| {
                let header = record.header;
                let is_wanted = jobs.is_none_or(|jobs| header.job != 0 && jobs.contains(header.job));
                if is_wanted { take(header.kind, header.time_us, record.body) } else { Ok(()) }
            });
            done.map(drop).map_err(|error| match error {
                ReplayError::Stopped(stopped) => stopped,
                ReplayError::Journal(error) => failed(path, &error.to_string()),
            })
        }
        Found::InUse { link, .. } => from_server(link, jobs, take),
        Found::Unreadable(error) => Err(failed(path, &error.to_string())),
    }
}

/// A journal, and how it can be read.
pub enum Found {
    /// No server uses it.
    Resting {
        /// Reads it.
        reader: Reader,
        /// What was found.
        opened: Opened,
    },
    /// A server uses it.
    InUse {
        /// The way to that server.
        link: Box<Link>,
        /// Who it is.
        holder: Holder,
    },
    /// It is damaged so that it cannot be opened.
    Unreadable(reading::Error),
}

/// Finds the journal in `path`.
///
/// # Errors
/// [`Error::Journal`] where there is none, or where it is used by a server that is not the one of the server directory.
pub fn find(global: &GlobalOptions, path: &Path) -> Result<Found, Error> {
    if !reading::is_journal(path) {
        return Err(failed(path, &no_journal(path)));
    }
    match reading::read_dir(path) {
        Ok((reader, opened)) => Ok(Found::Resting { reader, opened }),
        Err(reading::Error::Busy { holder, .. }) => {
            let link = Box::new(server_of(global, path, &holder)?);
            Ok(Found::InUse { link, holder })
        }
        Err(error) if error.is_damage() => Ok(Found::Unreadable(error)),
        Err(error) => Err(failed(path, &error.to_string())),
    }
}

/// Why the journal cannot be read.
pub fn failed(path: &Path, reason: &str) -> Error {
    Error::Journal { path: path.to_owned(), reason: reason.to_owned() }
}

/// Why there is no journal in `path`.
pub fn no_journal(path: &Path) -> String {
    match std::fs::metadata(path) {
        Err(error) => error.to_string(),
        Ok(meta) if meta.is_dir() => "the directory holds no journal".to_owned(),
        Ok(_) => "it is not a directory; a journal is the directory that was given to `hq server start`".to_owned(),
    }
}

/// The way to the server of the server directory, if it is the one that holds the journal.
fn server_of(global: &GlobalOptions, path: &Path, holder: &Holder) -> Result<Link, Error> {
    let not_ours = |reason: &str| {
        failed(path, &format!("it is in use by {holder}, {reason}; give that server's directory by --server-dir"))
    };
    let mut link = Link::open(global).map_err(|error| not_ours(&format!("and there is no server to ask: {error}")))?;
    let Response::Server(server) = link.ask(&Request::ServerInfo(Empty {}))? else { return Err(Error::Unexpected) };
    if server.pid != holder.pid {
        return Err(not_ours(&format!("which is not the server that was found (process {})", server.pid)));
    }
    Ok(link)
}

fn from_server(mut link: Box<Link>, jobs: Option<&IdSet>, take: &mut Take<'_>) -> Result<(), Error> {
    link.send(&Request::History(HistoryRequest { from_seq: 0, jobs: jobs.cloned() }))?;
    loop {
        let Response::Events(records) = link.receive()? else { return Err(Error::Unexpected) };
        if records.is_empty() {
            return Ok(());
        }
        for record in &records {
            take(record.kind, record.time_us, &record.body)?;
        }
    }
}
