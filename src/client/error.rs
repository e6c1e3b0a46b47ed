//! What makes a client command fail, in the words that users and their scripts know.
//!
//! Most "not found" conditions are no failures: they are log lines, and the exit code is 0.
//!
//! Holds: each of these gives exit code 1, but for those of a search, which give 2; a wrong command line (also 2) never gets
//! here.

use super::render::escape;
use crate::access;
use crate::wire::{self, DialError};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// There is no usable access file.
    Access(access::Error),
    /// There is an access file, but nothing to talk to.
    Unreachable {
        /// Host of the access file.
        host: String,
        /// Port of the access file.
        port: u16,
        /// Why.
        source: DialError,
    },
    /// The connection ended before the answer came.
    Lost {
        /// Why; `None` when the server closed it in good order.
        source: Option<wire::Error>,
    },
    /// A request cannot be sent, or an answer not be read, while the connection is fine.
    Message(wire::Error),
    /// The server answered with something else than what was asked for.
    Unexpected,
    /// The server refused; its own words.
    Refused(String),
    /// Something that was given cannot be used; the whole sentence.
    Invalid(String),
    /// A file or directory cannot be read or written.
    File {
        /// What was being done, as in `Cannot read`.
        doing: &'static str,
        /// The path as it was given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The standard input cannot be read.
    Input(io::Error),
    /// The standard output cannot be written.
    Output(io::Error),
    /// The operating system refused something that every command needs.
    System {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A stream directory cannot be read.
    Stream(String),
    /// Nothing was found that matches; not told, but by the exit code 1.
    NoMatch,
    /// A search failed; the exit code is 2, as 1 says that nothing matches.
    Search(Box<Error>),
    /// A journal does not hold what it should.
    Damaged {
        /// The directory as it was given.
        path: PathBuf,
        /// How much.
        reason: String,
    },
    /// A journal cannot be read.
    Journal {
        /// The directory as it was given.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(error) => error.fmt(f),
            Self::Unreachable { host, port, .. } => f.write_str(&access::Error::unreachable_text(host, *port)),
            Self::Lost { .. } => f.write_str(
                "The server closed the connection before it answered; check it with `hq server info` and try again",
            ),
            Self::Message(error) => error.fmt(f),
            Self::Unexpected => f.write_str(
                "Error: The server gave an answer that this program does not understand; are both of the same version?",
            ),
            Self::Refused(text) => write!(f, "Error: {text}"),
            Self::Invalid(text) | Self::Stream(text) => f.write_str(text),
            Self::NoMatch => f.write_str("Nothing matches"),
            Self::Search(error) => error.fmt(f),
            Self::File { doing, path, .. } => write!(f, "Cannot {doing} {}", escape::path(path)),
            Self::Input(_) => f.write_str("Cannot read the standard input"),
            Self::Output(_) => f.write_str("Cannot write to the standard output"),
            Self::System { doing, .. } => write!(f, "Cannot {doing}"),
            Self::Damaged { path, reason } => write!(
                f,
                "The journal {} is damaged: {reason}; `hq journal repair` saves every intact record",
                escape::path(path)
            ),
            Self::Journal { path, reason } => {
                write!(f, "Cannot open event log file at `{}`: {reason}", escape::path(path))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Access(error) => error.source(),
            Self::Unreachable { source, .. } => Some(source),
            Self::Lost { source } => source.as_ref().map(|source| source as &dyn std::error::Error),
            Self::Message(error) => error.source(),
            Self::File { source, .. } | Self::System { source, .. } | Self::Input(source) | Self::Output(source) => {
                Some(source)
            }
            Self::Search(error) => error.source(),
            Self::Unexpected
            | Self::Refused(_)
            | Self::Invalid(_)
            | Self::Stream(_)
            | Self::NoMatch
            | Self::Journal { .. }
            | Self::Damaged { .. } => None,
        }
    }
}

impl From<access::Error> for Error {
    fn from(error: access::Error) -> Self {
        Self::Access(error)
    }
}
