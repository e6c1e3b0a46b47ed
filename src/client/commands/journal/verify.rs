//! `hq journal verify`: reads everything, applies it again, and compares the states with the checkpoints.
//!
//! Holds: the exit code is 0 only if nothing is wrong.

use crate::client::arguments::{GlobalOptions, JournalArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::journal_events::{self, Found};
use crate::client::render::{OutputMode, journal};
use crate::eventlog::verify;
use crate::wire::message::{Empty, Request, Response};
use hq_core::view::JournalCheck;
use hq_journal::reading;
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// [`Error::Journal`] when something is wrong, or it cannot be read; those of the link when a server uses it.
pub fn verify(global: &GlobalOptions, args: &JournalArgs, console: &mut Console) -> Result<(), Error> {
    let path = &args.journal;
    let check = match journal_events::find(global, path)? {
        Found::Resting { reader, .. } => {
            let mut faults = Vec::new();
            let images = reading::images(path, &mut faults);
            let images = images.map_err(|error| journal_events::failed(path, &error.to_string()))?;
            let mut check = verify::verify(&reader, &images);
            check.damage.splice(0..0, faults);
            check
        }
        Found::InUse { mut link, .. } => match link.ask(&Request::JournalVerify(Empty {}))? {
            Response::JournalVerified(check) => check,
            _ => return Err(Error::Unexpected),
        },
        // It does not even open; whatever else is wrong, a repair will say.
        Found::Unreadable(error) => JournalCheck { damage: vec![error.to_string()], ..JournalCheck::default() },
    };
    match console.mode() {
        OutputMode::Cli => {
            let text = journal::check_table(path, &check, console.palette());
            console.text(&text)?;
        }
        OutputMode::Json => console.json(&journal::check_json(path, &check))?,
        OutputMode::Quiet => {}
    }
    judge(path, &check)
}

fn judge(path: &Path, check: &JournalCheck) -> Result<(), Error> {
    let faults: Vec<String> = check.faults().collect();
    if faults.is_empty() {
        return Ok(());
    }
    for fault in &faults {
        log::error!("{fault}");
    }
    let count = faults.len();
    let reason = format!("{count} {} wrong with it", if count == 1 { "thing is" } else { "things are" });
    Err(Error::Damaged { path: path.to_owned(), reason })
}
