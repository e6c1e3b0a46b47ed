//! What the journal asks of a disk: real files, or a model that loses and tears what was not synced.
//!
//! Power loss cannot be provoked in a unit test; a model of it can be run through thousands of seeds, and the same
//! code runs on both because it reaches the disk only through these traits.
//!
//! **Invariant:** files are created with mode 0600 and directories with 0700, whatever the umask.
//! **Invariant:** a name is durable only after `sync_dir` of its directory, bytes only after `sync_data` of their
//! file.

mod model;
mod real;

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::lock::LockError;
use crate::store::{Store, StoreError};

pub use model::{Fault, ModelDisk, Step};
pub use real::{RealDisk, used_bytes};

/// Suffix of a page store that is about to be removed.
pub const OLD_SUFFIX: &str = ".old";

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Existing file, reading only.
    Read,
    /// Existing file, reading and writing.
    Write,
    /// New file, reading and writing; it is an error if the name exists.
    CreateNew,
}

/// An open file. Handles stay valid when the name is removed.
pub trait File: Send + Sync {
    /// Reads at most `buf.len()` bytes at `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// The system's error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The system's error; a part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or extends the file to `bytes`.
    ///
    /// # Errors
    /// The system's error.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes content and length durable (fdatasync).
    ///
    /// # Errors
    /// The system's error; whatever was written since the last success must then be taken as lost.
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    ///
    /// # Errors
    /// The system's error.
    fn bytes(&self) -> io::Result<u64>;
    /// Takes a lock on the file that ends with the handle; false: another process or handle has it.
    ///
    /// # Errors
    /// The system's error, also where files cannot be locked.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// A file system with its page store and its locks.
pub trait Disk: Send + Sync {
    /// Opens a file; links are not followed for files that are created.
    ///
    /// # Errors
    /// The system's error.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;
    /// Creates a directory and its missing parents, mode 0700, and makes its name durable.
    ///
    /// # Errors
    /// The system's error; an existing directory is none.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames inside one directory, replacing what has the new name.
    ///
    /// # Errors
    /// The system's error.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The system's error.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The system's error.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory, sorted; names that are not UTF-8 are left out, since none of ours is such.
    ///
    /// # Errors
    /// The system's error.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens (or creates) the page store in this directory.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unopenable`] when its files are damaged.
    fn open_store(&self, path: &Path) -> Result<Arc<dyn Store>, StoreError>;
    /// Bytes that may still be written in the file system of `dir`, where that is known; a quota may allow less.
    fn free_bytes(&self, dir: &Path) -> Option<u64>;
    /// Copies a page store that nobody has open; `to` is not there yet. The copy need not survive a power loss.
    ///
    /// # Errors
    /// The system's error.
    fn copy_store(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a page store that nobody has open, with all of its files.
    ///
    /// # Errors
    /// The system's error.
    fn remove_store(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock file `path`; the lock lasts until the returned value is dropped.
    ///
    /// # Errors
    /// [`LockError`].
    fn lock(&self, path: &Path) -> Result<Box<dyn Any + Send + Sync>, LockError>;
}

/// Reads exactly `buf.len()` bytes at `offset`, or as many as the file has; returns how many.
pub(crate) fn read_full(file: &dyn File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(offset + done as u64, rest) {
            Ok(0) => break,
            Ok(n) => done += n.min(rest.len()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Bytes in memory as a file that cannot be written; for scanning what is not on disk.
impl File for Vec<u8> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(n)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}
