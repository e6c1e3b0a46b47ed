//! The worker's directory for task directories.
//!
//! Without a choice of the user it is a private temporary one, which goes with the worker.
//!
//! What holds: the temporary directory is ours alone (0700, a name that nobody can guess); a directory that the user
//! named is never removed. A worker holds a lock on its temporary directory, so that the next worker of the same user on
//! the same machine can tell what a killed one left behind, and removes it.

use super::error::Error;
use crate::platform::{fs, host, random};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Beginning of the names of temporary directories.
const NAME_PREFIX: &str = "hq-worker";
/// Name of the file that tells on which machine the directory is used; it is locked while its worker lives.
const LOCK_NAME: &str = "host";
/// Directories of killed workers that one start removes.
const SWEPT_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// What to remove at the end, and the lock that says that it is in use.
    temporary: Option<(PathBuf, File)>,
}

impl WorkDir {
    /// The directory that the user named, created if missing, or else a new temporary one.
    ///
    /// # Errors
    /// [`Error::Directory`].
    pub(super) fn create(wanted: Option<&Path>) -> Result<Self, Error> {
        if let Some(path) = wanted {
            let failed = |source| Error::Directory { path: path.to_owned(), source };
            std::fs::create_dir_all(path).map_err(failed)?;
            let path = std::path::absolute(path).map_err(failed)?;
            return Ok(Self { path, temporary: None });
        }
        let parent = std::env::temp_dir();
        let failed = |source| Error::Directory { path: parent.clone(), source };
        sweep(&parent);
        let name = random::alphanumeric(12).map_err(|error| failed(io::Error::other(error)))?;
        let root = parent.join(format!("{NAME_PREFIX}{name}"));
        let failed = |error| Error::Directory { path: root.clone(), source: io::Error::other(error) };
        fs::create_private_dir(&root).map_err(failed)?;
        let lock = lock(&root).map_err(failed)?;
        let path = root.join("work");
        fs::create_private_dir(&path).map_err(failed)?;
        Ok(Self { path, temporary: Some((root, lock)) })
    }

    /// The directory, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Some((root, _)) = &self.temporary
            && let Err(error) = std::fs::remove_dir_all(root)
        {
            log::warn!("Cannot remove {}: {error}", root.display());
        }
    }
}

/// Marks a directory as used on this machine. The name appears when the lock is held, so that nobody sees it unlocked.
fn lock(root: &Path) -> Result<File, fs::Error> {
    let (made, path) = (root.join("new"), root.join(LOCK_NAME));
    let failed = |source| fs::Error::Io { doing: "lock", path: path.clone(), source };
    let mut file = fs::create_new(&made, fs::PRIVATE_FILE_MODE)?;
    io::Write::write_all(&mut file, host::name().map_err(failed)?.as_bytes()).map_err(failed)?;
    // Where the file system knows no locks the directory is never taken for one that was left behind.
    let named = match file.try_lock() {
        Ok(()) => std::fs::rename(&made, &path),
        Err(_) => std::fs::remove_file(&made),
    };
    named.map_err(failed)?;
    Ok(file)
}

/// Removes what killed workers of this user on this machine left in `parent`.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    let named = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME_PREFIX));
    let left: Vec<PathBuf> = named.map(|entry| entry.path()).filter(|path| was_left(path)).take(SWEPT_MAX).collect();
    for path in left {
        match std::fs::remove_dir_all(&path) {
            Ok(()) => log::debug!("Removed {}, which a killed worker left behind", path.display()),
            Err(error) => log::debug!("Cannot remove {}: {error}", path.display()),
        }
    }
}

/// Whether a directory is ours, of this machine, and no worker uses it.
fn was_left(path: &Path) -> bool {
    let is_ours = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == host::user_id());
    if !is_ours || fs::check_private_dir(path).is_err() {
        return false;
    }
    let (Ok(file), Ok(host)) = (File::open(path.join(LOCK_NAME)), host::name()) else { return false };
    let is_here = std::fs::read_to_string(path.join(LOCK_NAME)).is_ok_and(|name| name == host);
    // A lock on another machine may be invisible here, so that its name decides first.
    is_here && file.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_temporary_directory_is_private_and_goes() {
        let dir = WorkDir::create(None).unwrap();
        let root = dir.path().parent().unwrap().to_owned();
        assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(dir.path().join("x"), "x").unwrap();
        drop(dir);
        assert!(!root.exists());
    }

    #[test]
    fn a_named_directory_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        drop(WorkDir::create(Some(&path)).unwrap());
        assert!(path.is_dir());
    }
}
