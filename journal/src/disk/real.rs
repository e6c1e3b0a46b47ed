//! The disk of the operating system.
//!
//! Modes are set twice, at creation and on the open file, because the umask only takes bits away from the first and
//! an existing looser file keeps its own.
//!
//! **Invariant:** no descriptor is inherited by tasks (std opens with close-on-exec).

use std::any::Any;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Access, Disk, File};
use crate::lock::{Lock, LockError};
use crate::store::{SledStore, Store, StoreError, copy_store, remove_store};

/// Files of the operating system, sled as page store, `flock` as lock.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl File for fs::File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fs::File::set_len(self, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        fs::File::sync_data(self)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match fs::File::try_lock(self) {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::Write => {
                options.write(true);
            }
            Access::CreateNew => {
                options.write(true).create_new(true).mode(0o600);
            }
        }
        let file = options.open(path)?;
        if access == Access::CreateNew {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(Arc::new(file))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = path;
        while !at.as_os_str().is_empty() && !at.is_dir() {
            missing.push(at.to_path_buf());
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        for dir in missing.iter().rev() {
            match DirBuilder::new().mode(0o700).create(dir) {
                Ok(()) => fs::set_permissions(dir, Permissions::from_mode(0o700))?,
                // Another process made it in the meantime: it is there, which is all that was asked.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => continue,
                Err(e) => return Err(e),
            }
            self.sync_dir(dir)?;
            if let Some(parent) = dir.parent() {
                self.sync_dir(parent)?;
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match fs::File::open(path)?.sync_all() {
            // Some network file systems cannot sync a directory; names there are durable by the server's rules.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            other => other,
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open_store(&self, path: &Path) -> Result<Arc<dyn Store>, StoreError> {
        self.create_dir(path).map_err(StoreError::Io)?;
        Ok(Arc::new(SledStore::open(path)?))
    }

    fn free_bytes(&self, dir: &Path) -> Option<u64> {
        let stats = nix::sys::statvfs::statvfs(dir).ok()?;
        Some(stats.blocks_available().saturating_mul(stats.fragment_size()))
    }

    fn copy_store(&self, from: &Path, to: &Path) -> io::Result<()> {
        copy_store(from, to)
    }

    fn remove_store(&self, path: &Path) -> io::Result<()> {
        remove_store(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        Ok(Box::new(Lock::take(path)?))
    }
}

/// Bytes of all files of a journal directory, but for the ballast, which is there to be given up.
///
/// # Errors
/// The system's error; what vanishes meanwhile is none.
pub fn used_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0u64;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let counted = match entry.metadata() {
            Ok(meta) if meta.is_dir() => used_bytes(&entry.path()),
            Ok(_) if entry.file_name() == crate::journal::BALLAST_NAME => Ok(0),
            other => other.map(|meta| meta.len()),
        };
        match counted {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            counted => bytes = bytes.saturating_add(counted?),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_private_and_existing_directories_are_kept() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("a/b");
        RealDisk.create_dir(&dir).unwrap();
        RealDisk.create_dir(&dir).unwrap();
        for d in [&dir, &base.path().join("a")] {
            assert_eq!(fs::metadata(d).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let file = dir.join("f");
        RealDisk.open(&file, Access::CreateNew).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(RealDisk.open(&file, Access::CreateNew).is_err());
        assert_eq!(RealDisk.list(&dir).unwrap(), ["f"]);
    }
}
