//! The worker's directory for task directories.
//!
//! Without a choice of the user it is a private temporary one, which goes with the worker. It is made when the first
//! task needs it: few do, and a worker that is killed leaves nothing then.
//!
//! A worker that was killed leaves its directory behind; the next worker of the same user on the same machine removes it.
//!
//! What holds: the temporary directory is ours alone (0700, a name that nobody can guess); a directory that the user
//! named is never removed; one that is swept belonged to a process of this machine that is gone, since its lock is.

use super::error::Error;
use crate::platform::{fs, host, random};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What the names of temporary directories begin with.
const NAME_PREFIX: &str = "hq-worker";
/// File with the name of the machine whose worker holds the lock of the directory. Written once the lock is held, so
/// that a directory with it and without a holder is a dead worker's; locks of other machines may not be seen here.
const HOST_FILE_NAME: &str = "host";

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// What to remove at the end.
    temporary: Option<PathBuf>,
    /// Shows others that this worker lives.
    lock: Arc<OnceLock<Option<File>>>,
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
            return Ok(Self { path, temporary: None, lock: Arc::default() });
        }
        let parent = std::env::temp_dir();
        sweep(&parent);
        let failed = |source| Error::Directory { path: parent.clone(), source };
        let name = random::alphanumeric(12).map_err(|error| failed(io::Error::other(error)))?;
        let root = parent.join(format!("{NAME_PREFIX}{name}"));
        Ok(Self { path: root.join("work"), temporary: Some(root), lock: Arc::default() })
    }

    /// The directory, absolute; a temporary one may not be there yet.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory for one task.
    ///
    /// # Errors
    /// What the operating system said.
    pub(super) fn create_task_dir(&self) -> Result<PathBuf, fs::Error> {
        if let Some(root) = &self.temporary {
            fs::create_private_dir(root)?;
            self.lock
                .get_or_init(|| hold(root).inspect_err(|e| log::debug!("{} is not locked: {e}", root.display())).ok());
            fs::create_private_dir(&self.path)?;
        }
        let name = random::alphanumeric(12).map_err(|error| fs::Error::Io {
            doing: "choose a name in",
            path: self.path.clone(),
            source: io::Error::other(error),
        })?;
        let path = self.path.join(format!("t{name}"));
        fs::create_private_dir(&path)?;
        Ok(path)
    }

    /// Removes a temporary directory, if it was made.
    pub(super) fn remove(&self) {
        if let Some(root) = &self.temporary
            && let Err(error) = std::fs::remove_dir_all(root)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("Cannot remove {}: {error}", root.display());
        }
    }
}

/// The files that tell a multi-node task its nodes.
#[derive(Debug)]
pub(super) struct NodeFiles {
    /// With names up to the first dot.
    pub(super) short_names: PathBuf,
    /// With names as they are.
    pub(super) full_names: PathBuf,
}

/// Writes the names of nodes into a task directory, one a line.
///
/// # Errors
/// What the operating system said.
pub(super) fn write_node_files(task_dir: &Path, nodes: &[String]) -> io::Result<NodeFiles> {
    let files = NodeFiles { short_names: task_dir.join("hq-nodefile"), full_names: task_dir.join("hq-hostfile") };
    let lines = |of: fn(&str) -> &str| nodes.iter().map(|name| format!("{}\n", of(name))).collect::<String>();
    std::fs::write(&files.short_names, lines(short_name))?;
    std::fs::write(&files.full_names, lines(|name| name))?;
    Ok(files)
}

/// A host name up to its first dot; an address of IPv4 or IPv6 as it is.
fn short_name(name: &str) -> &str {
    if name.contains(':') || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return name;
    }
    name.split('.').next().unwrap_or(name)
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
    fn the_temporary_directory_is_made_late_is_private_and_goes() {
        let dir = WorkDir::create(None).unwrap();
        let root = dir.path().parent().unwrap().to_owned();
        assert!(!root.exists());
        let task_dir = dir.create_task_dir().unwrap();
        for path in [&root, &task_dir] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert_ne!(dir.create_task_dir().unwrap(), task_dir);
        std::fs::write(task_dir.join("x"), "x").unwrap();
        dir.remove();
        dir.remove();
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
    fn names_of_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = ["n1.cluster.org", "n2", "10.0.0.3", "fe80::1", "1a.b"].map(str::to_owned);
        let files = write_node_files(dir.path(), &nodes).unwrap();
        assert_eq!(std::fs::read_to_string(files.short_names).unwrap(), "n1\nn2\n10.0.0.3\nfe80::1\n1a\n");
        assert_eq!(std::fs::read_to_string(files.full_names).unwrap(), nodes.join("\n") + "\n");
    }

    #[test]
    fn a_named_directory_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = WorkDir::create(Some(&path)).unwrap();
        assert!(path.is_dir());
        assert_eq!(dir.create_task_dir().unwrap().parent(), Some(path.as_path()));
        dir.remove();
        assert!(path.is_dir());
    }
}
