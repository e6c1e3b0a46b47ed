//! Why a server cannot start or go on.
//!
//! Each says what happened, on what, and what to do about it; none is a panic.

use std::fmt;
use std::path::PathBuf;

/// See the module's text.
#[derive(Debug)]
pub enum Error {
    /// A server of this directory already runs.
    Online {
        /// The server directory.
        dir: PathBuf,
        /// Its version, where that is not ours.
        version: Option<String>,
    },
    /// The server directory cannot be used.
    Access(crate::access::Error),
    /// The journal cannot be opened or read.
    Journal(hq_journal::Error),
    /// The records of the journal give no state.
    Fold(crate::eventlog::fold::Error),
    /// The replayed state contradicts itself.
    Inconsistent(String),
    /// A port cannot be listened on.
    Listen {
        /// Which: `client` or `worker`.
        what: &'static str,
        /// The port that was asked for.
        port: u16,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The journal was opened, but nothing can be recorded in it.
    Unrecorded(String),
    /// The system refuses something else.
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        cause: std::io::Error,
    },
    /// What was asked for was not done, since the server is ending.
    Ending,
    /// No randomness is to be had.
    Random(crate::platform::random::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online { dir, version } => {
                let dir = dir.display();
                write!(
                    f,
                    "Server at {dir} is already online, please stop it first using `hq server stop --server-dir {dir}`"
                )?;
                match version {
                    Some(version) => write!(f, " of version {}", version.escape_debug()),
                    None => Ok(()),
                }
            }
            Self::Access(error) => write!(f, "{error}"),
            Self::Journal(error) => write!(f, "Cannot use the journal: {error}"),
            Self::Fold(error) => write!(f, "Journal load error: {error}"),
            Self::Inconsistent(what) => write!(f, "Journal load error: the replayed state is inconsistent: {what}"),
            Self::Listen { what: "client", port, cause } => {
                write!(f, "Cannot create HQ server socket\n\nCaused by:\n    client port {port}: {cause}")
            }
            Self::Listen { what, port, cause } => write!(f, "Cannot listen on {what} port {port}: {cause}"),
            Self::Unrecorded(why) => write!(f, "The start cannot be recorded in the journal: {why}"),
            Self::Io { what, cause } => write!(f, "Cannot {what}: {cause}"),
            Self::Ending => write!(f, "the server is ending"),
            Self::Random(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Access(error) => error.source(),
            // The others say their causes themselves.
            _ => None,
        }
    }
}

impl From<crate::access::Error> for Error {
    fn from(error: crate::access::Error) -> Self {
        Self::Access(error)
    }
}

impl From<hq_journal::Error> for Error {
    fn from(error: hq_journal::Error) -> Self {
        Self::Journal(error)
    }
}

impl From<crate::eventlog::fold::Error> for Error {
    fn from(error: crate::eventlog::fold::Error) -> Self {
        match error {
            crate::eventlog::fold::Error::Journal(error) => Self::Journal(error),
            other @ crate::eventlog::fold::Error::Event { .. } => Self::Fold(other),
        }
    }
}
