//! The worker's directory for task directories.
//!
//! Without a choice of the user it is in the worker's private directory, which goes with the worker. It is made when the
//! first task needs it: few do.
//!
//! What holds: a directory that the user named is never removed.

use super::error::Error;
use super::temporary::Temporary;
use crate::platform::{fs, random};
use std::io;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// What it lies in, if it is not the user's.
    temporary: Option<Temporary>,
}

impl WorkDir {
    /// The directory that the user named, created if missing, or else one within the private directory.
    ///
    /// # Errors
    /// [`Error::Directory`].
    pub(super) fn create(wanted: Option<&Path>, temporary: &Temporary) -> Result<Self, Error> {
        let Some(path) = wanted else {
            let path = temporary.path().join("work");
            return Ok(Self { path, temporary: Some(temporary.clone()) });
        };
        let failed = |source| Error::Directory { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let path = std::path::absolute(path).map_err(failed)?;
        Ok(Self { path, temporary: None })
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
        if let Some(temporary) = &self.temporary {
            temporary.make()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_temporary_directory_is_made_late_and_is_private() {
        let temporary = Temporary::choose().unwrap();
        let dir = WorkDir::create(None, &temporary).unwrap();
        assert!(!temporary.path().exists());
        let task_dir = dir.create_task_dir().unwrap();
        for path in [temporary.path(), dir.path(), &task_dir] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert_ne!(dir.create_task_dir().unwrap(), task_dir);
        std::fs::write(task_dir.join("x"), "x").unwrap();
        temporary.remove();
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_named_directory_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let temporary = Temporary::choose().unwrap();
        let dir = WorkDir::create(Some(&path), &temporary).unwrap();
        assert!(path.is_dir());
        assert_eq!(dir.create_task_dir().unwrap().parent(), Some(path.as_path()));
        assert!(!temporary.path().exists());
    }

    #[test]
    fn names_of_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = ["n1.cluster.org", "n2", "10.0.0.3", "fe80::1", "1a.b"].map(str::to_owned);
        let files = write_node_files(dir.path(), &nodes).unwrap();
        assert_eq!(std::fs::read_to_string(files.short_names).unwrap(), "n1\nn2\n10.0.0.3\nfe80::1\n1a\n");
        assert_eq!(std::fs::read_to_string(files.full_names).unwrap(), nodes.join("\n") + "\n");
    }
}
