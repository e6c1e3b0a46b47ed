//! `hq journal repair`: saves every intact record of a damaged journal, and says what is lost.
//!
//! Holds: the damaged journal stays, under another name; what takes its place was checked before; a journal in which
//! nothing is wrong is not touched.

use crate::client::arguments::RepairArgs;
use crate::client::commands::now;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::journal_events::failed;
use crate::client::render::{OutputMode, repair as shown};
use crate::eventlog::repair::{self, Survey};
use crate::eventlog::verify;
use crate::platform::fs;
use hq_journal::reading::{self, RealDisk};
use hq_journal::salvage::Salvage;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs the command.
///
/// # Errors
/// [`Error::Journal`] when the journal cannot be read, is in use, or the new one is not sound; [`Error::File`] when a
/// directory cannot be written.
pub fn repair(args: &RepairArgs, console: &mut Console) -> Result<(), Error> {
    let path = args.journal.as_path();
    let journal = |error: hq_journal::Error| failed(path, &error.to_string());
    if !reading::is_journal(path) && !path.join("log").is_dir() {
        return Err(failed(path, &crate::client::journal_events::no_journal(path)));
    }
    let to = args.output.clone().unwrap_or_else(|| beside(path, "unfinished-repair"));
    let salvage = Salvage::open(Arc::new(RealDisk), path, &beside(&to, "pages")).map_err(journal)?;
    let survey = repair::survey(&salvage, now(), args.hold).map_err(journal)?;
    let is_wanted = !args.dry_run && (args.output.is_some() || !survey.is_sound());
    let (mut made, mut backup) = (None, None);
    if is_wanted {
        if args.output.is_none() {
            remove_unfinished(path, &to)?;
        }
        salvage.rebuild(&to, &survey.plan).map_err(journal)?;
        check(path, &to)?;
        if args.output.is_none() {
            let broken = broken(path);
            take_place(path, &to, &broken)?;
            backup = Some(broken);
        }
        made = Some(if args.output.is_none() { path.to_owned() } else { to });
    }
    show(path, &survey, (made.as_deref(), backup.as_deref()), console)
}

fn show(
    path: &Path,
    survey: &Survey,
    places: (Option<&Path>, Option<&Path>),
    console: &mut Console,
) -> Result<(), Error> {
    match console.mode() {
        OutputMode::Cli => {
            let text = shown::text(path, survey, places, console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&shown::to_json(path, survey, places)),
        OutputMode::Quiet => Ok(()),
    }
}

/// A name beside the journal: `NAME.WORD`.
fn beside(path: &Path, word: &str) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!(".{word}"));
    path.with_file_name(name)
}

/// The name under which the damaged journal is kept, which nothing has yet.
fn broken(path: &Path) -> PathBuf {
    let word = format!("broken-{}", now().0 / 1_000_000);
    let numbered = (1..u32::MAX).map(|number| format!("{word}-{number}"));
    let mut paths = std::iter::once(word.clone()).chain(numbered).map(|word| beside(path, &word));
    paths.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| beside(path, &word))
}

/// Removes what a repair that was interrupted left: the damaged journal never has that name, and nobody else repairs it
/// while it is locked.
fn remove_unfinished(path: &Path, left: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(left) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed(path, &format!("cannot remove the unfinished repair {}: {error}", left.display())))
        }
        _ => Ok(()),
    }
}

/// The new journal has to open and to be sound; otherwise nothing takes the place of anything.
fn check(path: &Path, new: &Path) -> Result<(), Error> {
    let unsound = |why: &str| {
        failed(path, &format!("what was saved is in {} and is not sound: {why}; nothing was replaced", new.display()))
    };
    let (reader, _) = reading::read_dir(new).map_err(|error| unsound(&error.to_string()))?;
    let mut faults = Vec::new();
    let images = reading::images(new, &mut faults).map_err(|error| unsound(&error.to_string()))?;
    faults.extend(verify::verify(&reader, &images).faults());
    faults.first().map_or(Ok(()), |fault| Err(unsound(fault)))
}

/// Puts the new journal where the old one is; the old one gets the name `broken`, by the step that exchanges them.
fn take_place(path: &Path, new: &Path, broken: &Path) -> Result<(), Error> {
    std::fs::rename(new, broken).map_err(|error| failed(path, &format!("cannot name the new journal: {error}")))?;
    let error = |error: fs::Error| failed(path, &format!("cannot put the new journal into its place: {error}"));
    fs::exchange(path, broken).map_err(error)
}
