//! `hq journal info`: what is in a journal, and how long a restart from it takes.

use crate::client::arguments::{GlobalOptions, JournalArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::journal_events::{self, Found};
use crate::client::render::{OutputMode, journal};
use crate::eventlog::info;
use crate::wire::message::{Empty, Request, Response};

/// Runs the command.
///
/// # Errors
/// [`Error::Journal`] for a journal that cannot be read, those of the link when a server uses it.
pub fn info(global: &GlobalOptions, args: &JournalArgs, console: &mut Console) -> Result<(), Error> {
    let path = &args.journal;
    let (info, user) = match journal_events::find(global, path)? {
        Found::Resting { reader, opened } => {
            let gathered = info::gather(path, &reader, &opened.notes);
            (gathered.map_err(|error| journal_events::failed(path, &error.to_string()))?, None)
        }
        Found::InUse { mut link, holder } => match link.ask(&Request::JournalInfo(Empty {}))? {
            Response::JournalInfo(info) => (info, Some(holder.to_string())),
            _ => return Err(Error::Unexpected),
        },
        Found::Unreadable(error) => return Err(journal_events::failed(path, &error.to_string())),
    };
    match console.mode() {
        OutputMode::Cli => {
            let text = journal::info_table(path, &info, user.as_deref(), console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&journal::info_json(path, &info, user.as_deref())),
        OutputMode::Quiet => Ok(()),
    }
}
