//! What commands need that read a journal or streams without being a server.
//!
//! They have no business with tails, stores and marks; this is the part of the crate that they may see.
//!
//! **Invariant:** nothing here writes a record, and a journal that a server holds is never touched.

use std::path::Path;

pub use crate::checkpoint::Checkpoint;
pub use crate::disk::RealDisk;
pub use crate::error::{Error, ReplayError};
pub use crate::journal::{Opened, Reader, read_dir};
pub use crate::lock::Holder;

/// Whether `dir` looks like a journal directory.
pub fn is_journal(dir: &Path) -> bool {
    crate::journal::is_journal_dir(&RealDisk, dir)
}

/// The intact images of the journal in `dir`, oldest first; what is wrong with others is added to `notes`.
///
/// # Errors
/// The system's error.
pub fn images(dir: &Path, notes: &mut Vec<String>) -> Result<Vec<Checkpoint>, Error> {
    crate::checkpoint::images(&RealDisk, dir, notes)
}

/// What the parts of a journal take on the disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Tail files.
    pub tail: u64,
    /// The page store.
    pub log: u64,
    /// Checkpoints.
    pub images: u64,
    /// All other files.
    pub other: u64,
}

/// Adds up the files of the journal in `dir`; files that go meanwhile are not counted.
///
/// # Errors
/// The system's error when the directory cannot be read.
pub fn sizes(dir: &Path) -> Result<Sizes, Error> {
    let mut sizes = Sizes::default();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = bytes_below(&entry.path());
        let part = match name.as_str() {
            crate::journal::LOG_NAME => &mut sizes.log,
            name if name.ends_with(".hqt") => &mut sizes.tail,
            name if name.ends_with(".hqc") => &mut sizes.images,
            _ => &mut sizes.other,
        };
        *part += bytes;
    }
    Ok(sizes)
}

/// Length of a file, or of all files below a directory; links are not followed.
fn bytes_below(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_below(&entry.path())).sum()
}
