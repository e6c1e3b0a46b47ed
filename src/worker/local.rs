//! The worker's directory for task directories.
//!
//! Without a choice of the user it is a private temporary one, which goes with the worker.
//!
//! What holds: the temporary directory is ours alone (0700, a name that nobody can guess); a directory that the user
//! named is never removed.

use super::error::Error;
use crate::platform::{fs, random};
use std::io;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug)]
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
        let failed = |error| Error::Directory { path: root.clone(), source: io::Error::other(error) };
        fs::create_private_dir(&root).map_err(failed)?;
        let path = root.join("work");
        fs::create_private_dir(&path).map_err(failed)?;
        Ok(Self { path, temporary: Some(root) })
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
