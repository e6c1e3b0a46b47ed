//! The worker's directory for task directories.
//!
//! Without a choice of the user it is a private temporary one, which goes with the worker.
//!
//! A worker that was killed leaves its directory behind; the next worker of the same user on the same machine removes it.
//!
//! What holds: the temporary directory is ours alone (0700, a name that nobody can guess); a directory that the user
//! named is never removed; one that is swept belonged to a process of this machine that is gone, since its lock is.

use super::error::Error;
use crate::platform::{fs, host, random};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What the names of temporary directories begin with.
const NAME_PREFIX: &str = "hq-worker";
/// File with the name of the machine whose worker holds the lock of the directory. Written once the lock is held, so
/// that a directory with it and without a holder is a dead worker's; locks of other machines may not be seen here.
const HOST_FILE_NAME: &str = "host";

/// See the module.
#[derive(Debug)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// What to remove at the end.
    temporary: Option<PathBuf>,
    /// Shows others that this worker lives.
    _lock: Option<File>,
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
            return Ok(Self { path, temporary: None, _lock: None });
        }
        let parent = std::env::temp_dir();
        sweep(&parent);
        let failed = |source| Error::Directory { path: parent.clone(), source };
        let name = random::alphanumeric(12).map_err(|error| failed(io::Error::other(error)))?;
        let root = parent.join(format!("{NAME_PREFIX}{name}"));
        let failed = |error| Error::Directory { path: root.clone(), source: io::Error::other(error) };
        fs::create_private_dir(&root).map_err(failed)?;
        let path = root.join("work");
        fs::create_private_dir(&path).map_err(failed)?;
        let lock = hold(&root).inspect_err(|error| log::debug!("{} is not locked: {error}", root.display())).ok();
        Ok(Self { path, temporary: Some(root), _lock: lock })
    }

    /// The directory, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Some(root) = &self.temporary
            && let Err(error) = std::fs::remove_dir_all(root)
        {
            log::warn!("Cannot remove {}: {error}", root.display());
        }
    }
}

/// Locks a directory of this worker and writes down whose lock it is.
fn hold(root: &Path) -> io::Result<File> {
    let lock = File::open(root)?;
    lock.try_lock()?;
    std::fs::write(root.join(HOST_FILE_NAME), host::name()?)?;
    Ok(lock)
}

/// Removes what dead workers of this user and machine left.
fn sweep(parent: &Path) {
    let (Ok(host), Ok(entries)) = (host::name(), std::fs::read_dir(parent)) else { return };
    for entry in entries.flatten() {
        let root = entry.path();
        if entry.file_name().to_string_lossy().starts_with(NAME_PREFIX)
            && let Some(_lock) = is_left(&root, &host)
            && let Err(error) = std::fs::remove_dir_all(&root)
        {
            log::debug!("Cannot remove {}: {error}", root.display());
        }
    }
}

/// The lock of a directory that a dead worker of this user and machine left; none for any other.
fn is_left(root: &Path, host: &str) -> Option<File> {
    // A link is never followed, and another user's directory never opened.
    root.symlink_metadata().ok().filter(std::fs::Metadata::is_dir)?;
    fs::check_private_dir(root).ok()?;
    let owner = std::fs::read_to_string(root.join(HOST_FILE_NAME)).ok()?;
    let lock = File::open(root).ok().filter(|_| owner == host)?;
    lock.try_lock().ok().map(|()| lock)
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
    fn what_dead_workers_left_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str, owner: Option<&str>| {
            let root = parent.path().join(name);
            fs::create_private_dir(&root.join("work")).unwrap();
            std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).unwrap();
            if let Some(owner) = owner {
                std::fs::write(root.join(HOST_FILE_NAME), owner).unwrap();
            }
            root
        };
        let host = host::name().unwrap();
        let dead = make("hq-workerA", Some(&host));
        let alive = make("hq-workerB", None);
        let lock = hold(&alive).unwrap();
        let kept = [
            make("hq-workerC", None),
            make("hq-workerD", Some("another")),
            make("other", Some(&host)),
            make("hq-workerE", Some(&host)),
        ];
        std::fs::set_permissions(&kept[3], std::fs::Permissions::from_mode(0o777)).unwrap();
        let link = parent.path().join("hq-workerF");
        std::os::unix::fs::symlink(&kept[2], &link).unwrap();
        sweep(parent.path());
        assert!(!dead.exists() && alive.exists() && kept.iter().all(|root| root.exists()) && link.exists());
        drop(lock);
        sweep(parent.path());
        assert!(!alive.exists() && kept.iter().all(|root| root.exists()));
    }

    #[test]
    fn a_named_directory_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        drop(WorkDir::create(Some(&path)).unwrap());
        assert!(path.is_dir());
    }
}
