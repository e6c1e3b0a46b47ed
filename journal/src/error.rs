//! Errors of the journal, as values that say what the caller can do.
//!
//! A server answers its clients from these texts, and decides by the variant whether to wait, to refuse changes or
//! to stop.
//!
//! **Invariant:** damage, refusal and failures of the system are different variants.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::lock::Holder;

/// What went wrong with a journal directory.
#[derive(Debug)]
pub enum Error {
    /// The system refused an operation; nothing that was committed is affected.
    Io {
        /// The operation, as in "cannot WHAT PATH".
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The disk is full; the group was taken back and appending works again once there is space.
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// A sync failed: what was appended since the last commit is not durable. Call `recover` before anything else.
    SyncFailed {
        /// The file that was synced.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An earlier failure left the file in doubt; `recover` has to succeed first.
    Poisoned,
    /// Another process writes this journal.
    Busy {
        /// The journal directory.
        path: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// A file holds bytes that are not what was written.
    Damaged {
        /// The file or store.
        path: PathBuf,
        /// First bad byte (or entry, in the store).
        from: u64,
        /// End of the bad range, exclusive.
        to: u64,
        /// What is wrong there.
        why: String,
    },
    /// Records that were durable are no longer there.
    Missing {
        /// First missing sequence number.
        from_seq: u64,
        /// Last missing sequence number.
        to_seq: u64,
        /// How this is known.
        why: String,
    },
    /// The page store (sled) failed.
    Store {
        /// The operation.
        what: &'static str,
        /// What it said.
        detail: String,
    },
    /// The request breaks a rule of this crate; nothing was done.
    Refused {
        /// The rule.
        why: String,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::Full { path: path.to_path_buf() };
        }
        Self::Io { what, path: path.to_path_buf(), source }
    }

    /// Whether more disk space may cure it.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether bytes on disk are wrong or gone, as opposed to an operation that failed.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }
}

pub(crate) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, source } => {
                write!(f, "cannot {what} {}: {source}", path.display())
            }
            Self::Full { path } => {
                write!(f, "the disk is full: {} cannot grow; free some space and try again", path.display())
            }
            Self::SyncFailed { path, source } => {
                write!(f, "the disk did not confirm that {} was written: {source}", path.display())
            }
            Self::Poisoned => {
                write!(f, "the journal cannot be written since an earlier disk error; it must be recovered")
            }
            Self::Busy { path, holder } => {
                write!(f, "the journal {} is in use by {holder}; stop that server first", path.display())
            }
            Self::Damaged { path, from, to, why } => write!(
                f,
                "{} is damaged between {from} and {to}: {why}; `hq journal repair` saves every intact record",
                path.display()
            ),
            Self::Missing { from_seq, to_seq, why } => write!(
                f,
                "records {from_seq} to {to_seq} of the journal are missing: {why}; restore the directory from a \
                 copy, or use `hq journal repair` to go on without them"
            ),
            Self::Store { what, detail } => {
                write!(f, "the journal's page store cannot {what}: {detail}")
            }
            Self::Refused { why } => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::SyncFailed { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a replay ended early: the journal, or the one who reads it.
#[derive(Debug)]
pub enum ReplayError<E> {
    /// The journal could not be read.
    Journal(Error),
    /// The callback returned an error.
    Stopped(E),
}

impl<E> From<Error> for ReplayError<E> {
    fn from(e: Error) -> Self {
        Self::Journal(e)
    }
}

impl<E: fmt::Display> fmt::Display for ReplayError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(e) => write!(f, "{e}"),
            Self::Stopped(e) => write!(f, "{e}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for ReplayError<E> {}
