//! Why a worker did not start, or ended against its will.
//!
//! Each ends the process with exit code 1 and this text.
//!
//! What holds: one variant for each thing that the user can put right.

use crate::{access, batch, grammar, wire};
use hq_core::limits;
use hq_core::time::Span;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// See the module.
#[derive(Debug)]
pub enum Error {
    /// The interval of heartbeats is out of range.
    Heartbeat {
        /// As given.
        given: Span,
    },
    /// The resources to offer do not fit together.
    Resources(grammar::pool::PoolError),
    /// CPUs are given in two ways.
    CpusTwice,
    /// CPUs are neither given nor looked for.
    CpusNotGiven,
    /// No machine's CPU has this name, so its core is not known.
    UnknownCpu(String),
    /// The worker is not in the batch system that was asked for.
    Manager(batch::Missing),
    /// The coupling cannot be read, or names what is not there.
    Coupling(grammar::Error),
    /// The operating system did not give what the worker needs.
    System {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A directory cannot be made.
    Directory {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no server to be found.
    Access(access::Error),
    /// The server cannot be reached.
    Dial(wire::DialError),
    /// The connection broke before the registration was answered.
    Broken(wire::Error),
    /// The server refused the worker.
    Refused(String),
    /// The server stayed away for too long.
    ServerLost,
}

impl Error {
    /// For the `map_err` of system calls.
    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heartbeat { given } => write!(
                f,
                "A heartbeat interval of {:?} is not allowed; it has to be between {:?} and {:?}",
                given.to_duration(),
                limits::HEARTBEAT_MIN.to_duration(),
                limits::HEARTBEAT_MAX.to_duration()
            ),
            Self::Resources(error) => error.fmt(f),
            Self::CpusTwice => f.write_str("Parameters --cpus and --resource cpus=... cannot be combined"),
            Self::CpusNotGiven => {
                f.write_str("You have to specify --cpus explicitly when opting out of CPU automatic detection")
            }
            Self::UnknownCpu(label) => write!(
                f,
                "There is no CPU `{label}` on this machine, so it is not known with which others it shares a core; \
                 leave it out, or `--no-hyper-threading`"
            ),
            Self::Manager(error) => error.fmt(f),
            Self::Coupling(error) => error.fmt(f),
            Self::System { doing, source } => write!(f, "Cannot start the worker: {doing} failed: {source}"),
            Self::Directory { path, source } => write!(f, "Cannot create directory {}: {source}", path.display()),
            Self::Access(access::Error::InvalidServerDir { .. }) => f.write_str("Cannot load server directory"),
            Self::Access(error) => match error.access_file() {
                Some(path) => write!(f, "Cannot load access record from {path:?}"),
                None => error.fmt(f),
            },
            Self::Dial(error) => error.fmt(f),
            Self::Broken(error) => write!(f, "Worker registration failed: {error}"),
            Self::Refused(text) => write!(f, "Worker registration failed: {text}"),
            Self::ServerLost => f.write_str("Server connection closed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Access(error @ access::Error::InvalidServerDir { .. }) => Some(error),
            Self::Access(error) if error.access_file().is_some() => Some(error),
            Self::Access(error) => error.source(),
            Self::Dial(error) => error.source(),
            // These say their causes themselves.
            Self::System { .. } | Self::Directory { .. } | Self::Broken(_) => None,
            Self::UnknownCpu(_)
            | Self::Manager(_)
            | Self::Resources(_)
            | Self::CpusTwice
            | Self::CpusNotGiven
            | Self::Coupling(_) => None,
            Self::Heartbeat { .. } | Self::Refused(_) | Self::ServerLost => None,
        }
    }
}
