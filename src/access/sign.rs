//! The sign of life of a server: a small file beside the access file, with a count that grows while the server lives.
//!
//! A worker that hears nothing cannot tell a dead server from a broken network by the network. Where both see the same
//! file system, they can: a count that stands still means that the server is dead or shows nothing, and a server that
//! shows nothing takes no tasks back.
//!
//! What holds: the file is written in place and opened afresh for each look, so that a shared file system shows the
//! newest count (NFS promises that from close to open); the bytes are always the same number, so that a full disk does
//! not matter.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::directory::{ServerDir, current_dir};
use super::error::Error;
use super::guard;

/// Name of the file in a numbered directory.
pub const SIGN_FILE_NAME: &str = "alive";

/// What a sign says. Two that differ were made by a server that lived in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The whole text: uid, process and count.
    text: String,
}

impl Sign {
    /// The sign with this text.
    pub fn new(text: String) -> Self {
        Self { text }
    }
}

/// Writes the signs of one server start.
#[derive(Debug)]
pub struct SignWriter {
    path: PathBuf,
    name: String,
    count: u64,
}

impl SignWriter {
    /// Makes the file, with mode 0600.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(dir: &ServerDir, server_uid: &str, pid: u32) -> Result<Self, Error> {
        let path = dir.numbered().join(SIGN_FILE_NAME);
        let mut writer = SignWriter { path, name: format!("{server_uid:<16} {pid:>10}"), count: 0 };
        writer.write()?;
        Ok(writer)
    }

    /// Shows the next count.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self) -> Result<(), Error> {
        let failed = |source| Error::io("write", &self.path, source);
        let mut options = OpenOptions::new();
        let file: File =
            options.write(true).create(true).truncate(false).mode(0o600).open(&self.path).map_err(failed)?;
        file.write_all_at(format!("{} {:>20}\n", self.name, self.count).as_bytes(), 0).map_err(failed)?;
        self.count += 1;
        Ok(())
    }
}

/// The sign of the server that the directory leads to; `None` where there is none.
///
/// # Errors
/// What makes the directory untrustworthy or unreadable.
pub fn read_sign(server_dir: &Path) -> Result<Option<Sign>, Error> {
    let (dir, dir_path) = current_dir(server_dir)?;
    let text = guard::read_in(&dir, SIGN_FILE_NAME, &dir_path.join(SIGN_FILE_NAME))?;
    Ok(text.map(|text| Sign { text: text.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_sees_the_newest_sign() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(read_sign(temp.path()).unwrap(), None);
        let dir = ServerDir::create(temp.path()).unwrap();
        let mut writer = SignWriter::create(&dir, "abc123", 77).unwrap();
        dir.publish().unwrap();
        let first = read_sign(temp.path()).unwrap().unwrap();
        assert_eq!(read_sign(temp.path()).unwrap().unwrap(), first);
        writer.write().unwrap();
        let second = read_sign(temp.path()).unwrap().unwrap();
        assert_ne!(first, second);
        assert_eq!(first.text.len(), second.text.len());
        // Another start never repeats the sign of the one before.
        let next = ServerDir::create(temp.path()).unwrap();
        let mut writer = SignWriter::create(&next, "abc123", 78).unwrap();
        writer.write().unwrap();
        next.publish().unwrap();
        let third = read_sign(temp.path()).unwrap().unwrap();
        assert!(third != first && third != second);
        assert!(read_sign(&temp.path().join("none")).is_err());
    }
}
