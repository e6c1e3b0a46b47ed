//! The private directory of a worker's process, and what dead workers left of theirs.
//!
//! It holds the control socket, and the directories of tasks unless the user named another place for these. Its name is
//! chosen before anything is made, so that the guardian of the process knows it and can remove it when the worker is
//! killed. If that did not happen, the next worker of the same user on the same machine removes it.
//!
//! What holds: it is ours alone (0700, a name that nobody can guess); one that is swept belonged to a process of this
//! machine that is gone, since its lock is.

use super::error::Error;
use crate::platform::{fs, host, random};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What the names of private directories begin with.
const NAME_PREFIX: &str = "hq-worker";
/// File with the name of the machine whose worker holds the lock of the directory. Written once the lock is held, so
/// that a directory with it and without a holder is a dead worker's; locks of other machines may not be seen here.
const HOST_FILE_NAME: &str = "host";
/// Name of the control socket.
const SOCKET_NAME: &str = "control";
/// The kernel takes no longer path for a socket.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Where the directory is if the path of the socket would be too long in the directory for temporary files.
const SHORT_PARENT: &str = "/tmp";

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Temporary {
    root: PathBuf,
    /// Shows others that this worker lives.
    lock: Arc<OnceLock<Option<File>>>,
}

impl Temporary {
    /// Chooses a name, and removes what dead workers left beside it.
    ///
    /// # Errors
    /// [`Error::Directory`].
    pub(super) fn choose() -> Result<Self, Error> {
        let usual = std::env::temp_dir();
        let name = random::alphanumeric(12)
            .map_err(|error| Error::Directory { path: usual.clone(), source: io::Error::other(error) })?;
        let name = format!("{NAME_PREFIX}{name}");
        let fits = |parent: &Path| parent.join(&name).join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
        let parent = if fits(&usual) { usual } else { PathBuf::from(SHORT_PARENT) };
        sweep(&parent);
        Ok(Self { root: parent.join(name), lock: Arc::default() })
    }

    /// The directory, absolute; it may not be there yet.
    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    /// Where the control socket is, or is to be.
    pub(super) fn socket(&self) -> PathBuf {
        self.root.join(SOCKET_NAME)
    }

    /// Makes the directory, unless it is there.
    ///
    /// # Errors
    /// What the operating system said.
    pub(super) fn make(&self) -> Result<(), fs::Error> {
        let root = &self.root;
        fs::create_private_dir(root)?;
        self.lock.get_or_init(|| hold(root).inspect_err(|e| log::debug!("{} is not locked: {e}", root.display())).ok());
        Ok(())
    }

    /// Removes it, if it was made.
    pub(super) fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.root)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("Cannot remove {}: {error}", self.root.display());
        }
    }
}

/// Locks a directory of this worker and writes down whose lock it is.
fn hold(root: &Path) -> io::Result<File> {
    let lock = File::open(root)?;
    lock.try_lock()?;
    let mut file = fs::create_new(&root.join(HOST_FILE_NAME), fs::PRIVATE_FILE_MODE).map_err(io::Error::other)?;
    file.write_all(host::name()?.as_bytes())?;
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
    fn it_is_made_late_is_private_and_goes() {
        let temporary = Temporary::choose().unwrap();
        let root = temporary.path().to_owned();
        assert!(root.is_absolute() && !root.exists());
        temporary.make().unwrap();
        temporary.make().unwrap();
        assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(temporary.socket().as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        temporary.remove();
        temporary.remove();
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
}
