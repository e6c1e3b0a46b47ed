//! What commands need that read a journal or streams without being a server.
//!
//! They have no business with tails, stores and marks; this is the part of the crate that they may see.
//!
//! **Invariant:** nothing here writes a record, and a journal that a server holds is never touched.

use std::path::Path;

pub use crate::disk::RealDisk;
pub use crate::error::{Error, ReplayError};
pub use crate::journal::{Opened, Reader, read_dir};
pub use crate::lock::Holder;

/// Whether `dir` looks like a journal directory.
pub fn is_journal(dir: &Path) -> bool {
    crate::journal::is_journal_dir(&RealDisk, dir)
}
