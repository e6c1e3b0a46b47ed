//! Why a program could not be started, in the words that users know.
//!
//! Scripts match these texts in the error of a failed task, so they are made in one place.
//!
//! Invariants: one variant for each thing that the user can put right; the text needs nothing but the value.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A program was not started.
#[derive(Debug)]
pub enum SpawnError {
    /// There are no words.
    NoCommand,
    /// The working directory is missing and cannot be created, or cannot be entered.
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The directory of an output file is missing and cannot be created.
    OutputDirectory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An output file cannot be created.
    OutputFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A pipe, a file in memory or the thread that learns of ends cannot be had.
    Plumbing {
        /// What could not be done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The program cannot be executed.
    Execute {
        /// The program and its arguments.
        words: Vec<OsString>,
        /// The working directory.
        cwd: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The lease has ended since the start was ordered.
    LeaseOver,
    /// As many children as this process may have are alive.
    TooMany {
        /// How many that is.
        children_max: usize,
    },
}

impl SpawnError {
    /// Whether it is about where the output shall go, and not about the program.
    pub fn concerns_output(&self) -> bool {
        matches!(self, Self::OutputDirectory { .. } | Self::OutputFile { .. })
    }

    /// The text for the user: what happened and, where it can be guessed, what to do; may have several lines.
    pub fn describe(&self) -> String {
        match self {
            SpawnError::NoCommand => "Cannot start the task: no command arguments".into(),
            SpawnError::WorkingDirectory { path, source } => {
                format!("Cannot use working directory {}: {source}", path.display())
            }
            SpawnError::OutputDirectory { path, source } => {
                format!("Cannot create output directory {}: {source}", path.display())
            }
            SpawnError::OutputFile { path, source } => {
                format!("creating stream file failed: {}: {source}", path.display())
            }
            SpawnError::Plumbing { doing, source } => format!("Cannot start the task: {doing} failed: {source}"),
            SpawnError::Execute { words, cwd, source } => describe_execute(words, cwd, source),
            SpawnError::LeaseOver => "Not started: the server may have given the task to another worker".into(),
            SpawnError::TooMany { children_max } => {
                format!("Cannot start the task: {children_max} processes run already")
            }
        }
    }

    /// The number of the operating system's error, if there is one.
    #[cfg(test)]
    pub fn os_error(&self) -> Option<i32> {
        match self {
            SpawnError::NoCommand | SpawnError::LeaseOver | SpawnError::TooMany { .. } => None,
            SpawnError::WorkingDirectory { source, .. }
            | SpawnError::OutputDirectory { source, .. }
            | SpawnError::OutputFile { source, .. }
            | SpawnError::Plumbing { source, .. }
            | SpawnError::Execute { source, .. } => source.raw_os_error(),
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl std::error::Error for SpawnError {}

fn describe_execute(words: &[OsString], cwd: &std::path::Path, source: &io::Error) -> String {
    let joined = words.join(OsStr::new(" "));
    let mut text = format!("Cannot execute \"{}\": {source}", joined.to_string_lossy());
    let Some(word) = words.first() else { return text };
    let shown = word.to_string_lossy();
    match source.kind() {
        io::ErrorKind::NotFound => {
            text += &format!("\nThe program that you have tried to execute (`{shown}`) was not found.");
            let bytes = word.as_bytes();
            let plain = !bytes.is_empty() && !bytes.starts_with(b"/") && !bytes.starts_with(b"./");
            let file = cwd.join(word);
            if plain && file.is_file() {
                let file = file.display();
                text += &format!("\nThe file `{file}` exists, maybe you have meant `./{shown}` instead?");
            }
        }
        io::ErrorKind::PermissionDenied if word.as_bytes().ends_with(b".sh") => {
            text += &format!("\nThe script that you have tried to execute (`{shown}`) is not executable.");
            text += "\nTry making it executable or add a shebang line to it.";
        }
        _ => {}
    }
    text
}
