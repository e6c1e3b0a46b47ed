//! The worker's directory for task directories.
//!
//! Without a choice of the user it is a private temporary one, which goes with the worker. It is made when the first
//! task needs it: few do, and a worker that is killed leaves nothing then.
//!
//! What holds: the temporary directory is ours alone (0700, a name that nobody can guess); a directory that the user
//! named is never removed.

use super::error::Error;
use crate::platform::{fs, random};
use std::io;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// What to remove at the end.
    temporary: Option<PathBuf>,
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
        let name = random::alphanumeric(12).map_err(|error| failed(io::Error::other(error)))?;
        let root = parent.join(format!("hq-worker{name}"));
        Ok(Self { path: root.join("work"), temporary: Some(root) })
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
