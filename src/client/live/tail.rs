//! A file that grows.
//!
//! Files are looked at again and again, since a file system that is shared over a network announces no changes. What was
//! printed is never printed again; what was overwritten, because the task began anew, is printed from its beginning.
//!
//! Holds: nothing but regular files is opened; nothing waits here.

use super::Sink;
use crate::client::error::Error;
use crate::client::render::escape;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Bytes copied at once.
const COPY_BYTES: usize = 64 * 1024;
/// Bytes of one file that are passed on before others have their turn.
const TURN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file that grows.
#[derive(Debug)]
pub struct Tail {
    pub(super) path: PathBuf,
    open: Option<(File, Identity)>,
    at: u64,
    /// Whether it was seen to begin anew since the attempt was known to have started.
    has_begun_again: bool,
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None, at: 0, has_begun_again: false }
    }

    pub(super) fn read_new(&mut self, sink: &mut Sink<'_>) -> Result<bool, Error> {
        if self.copy(sink)? {
            return Ok(true);
        }
        if self.is_elsewhere() {
            // The last of what was put aside; it is complete by then.
            self.copy_all(sink)?;
            // Now or later: what does not exist yet may come.
            let _ = self.reopen();
            return self.copy(sink);
        }
        Ok(false)
    }

    pub(super) fn read_rest(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        self.copy_all(sink)?;
        // What was written on another machine may show only in a file that is opened anew. One that was removed at the
        // end of its task has been open before.
        match self.reopen() {
            Ok(()) => self.copy_all(sink),
            Err(_) if self.open.is_some() => Ok(()),
            Err(error) => {
                log::warn!("File `{}` cannot be opened: {error}", escape::path(&self.path));
                Ok(())
            }
        }
    }

    /// Another attempt writes to the same path.
    pub(super) fn begin_again(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if self.is_elsewhere() {
            self.copy_all(sink)?;
            self.open = None;
        }
        if self.open.is_none() || !self.has_begun_again {
            self.at = 0;
        }
        self.has_begun_again = false;
        Ok(())
    }

    /// Whether the path leads to another file than the one that is open, or to none.
    fn is_elsewhere(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok();
        self.open.as_ref().map(|(_, known)| *known) != now.as_ref().map(identity) || self.open.is_none()
    }

    /// Opens what the path leads to now; from its beginning, if that is another file.
    fn reopen(&mut self) -> io::Result<()> {
        // A named pipe would hold us up.
        if !std::fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let file = File::open(&self.path)?;
        let found = identity(&file.metadata()?);
        if let Some((_, known)) = &self.open
            && *known != found
        {
            (self.at, self.has_begun_again) = (0, true);
        }
        self.open = Some((file, found));
        Ok(())
    }

    pub(super) fn copy_all(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        while self.copy(sink)? {}
        Ok(())
    }

    /// Copies from where it ended the last time; `true`: it stopped before the end.
    fn copy(&mut self, sink: &mut Sink<'_>) -> Result<bool, Error> {
        let Some((file, _)) = &mut self.open else { return Ok(false) };
        let length = file.metadata().map_or(0, |found| found.len());
        if length < self.at {
            (self.at, self.has_begun_again) = (0, true);
        }
        if length == self.at || file.seek(SeekFrom::Start(self.at)).is_err() {
            return Ok(false);
        }
        let end = self.at.saturating_add(TURN_BYTES_MAX);
        let mut buffer = vec![0; COPY_BYTES];
        while self.at < end {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.at += read as u64;
                    sink(buffer.get(..read).unwrap_or_default())?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    log::warn!("File `{}` cannot be read: {error}", escape::path(&self.path));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(tail: &mut Tail) -> String {
        let mut all = Vec::new();
        while tail.read_new(&mut |bytes| keep(&mut all, bytes)).unwrap() {}
        String::from_utf8(all).unwrap()
    }

    fn rest(tail: &mut Tail) -> String {
        let mut all = Vec::new();
        tail.read_rest(&mut |bytes| keep(&mut all, bytes)).unwrap();
        String::from_utf8(all).unwrap()
    }

    fn begin_again(tail: &mut Tail) -> String {
        let mut all = Vec::new();
        tail.begin_again(&mut |bytes| keep(&mut all, bytes)).unwrap();
        String::from_utf8(all).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is a sink")]
    fn keep(all: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
        all.extend_from_slice(bytes);
        Ok(())
    }

    fn append(path: &std::path::Path, text: &str) {
        File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_is_followed_over_truncation_and_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut tail = Tail::new(path.clone());
        assert_eq!(read(&mut tail), "");
        append(&path, "one\n");
        assert_eq!(read(&mut tail), "one\n");
        assert_eq!(read(&mut tail), "");
        append(&path, "two\n");
        assert_eq!(read(&mut tail), "two\n");
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(read(&mut tail), "new\n");
        // What was written before the file was put aside is not lost.
        append(&path, "end\n");
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        std::fs::write(&path, "other\n").unwrap();
        assert_eq!(read(&mut tail), "end\nother\n");
        append(&path, "last\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(rest(&mut tail), "last\n");
    }

    #[test]
    fn the_next_attempt_is_printed_once_whoever_notices_it_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        // The server tells of the attempt before the file shows it, which is longer than what was there before.
        append(&path, "a\n");
        let mut tail = Tail::new(path.clone());
        assert_eq!(read(&mut tail), "a\n");
        std::fs::write(&path, "b is longer\n").unwrap();
        assert_eq!(begin_again(&mut tail), "");
        assert_eq!(read(&mut tail), "b is longer\n");
        // The file shows it first.
        std::fs::write(&path, "c\n").unwrap();
        assert_eq!(read(&mut tail), "c\n");
        assert_eq!(begin_again(&mut tail), "");
        assert_eq!(read(&mut tail), "");
        // The file was put aside; again in both orders.
        append(&path, "d\n");
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        append(&path, "e\n");
        assert_eq!(begin_again(&mut tail), "d\n");
        assert_eq!(read(&mut tail), "e\n");
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        append(&path, "f\n");
        assert_eq!(read(&mut tail), "f\n");
        assert_eq!(begin_again(&mut tail) + &rest(&mut tail), "");
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(dir.path().into());
        assert_eq!(read(&mut tail) + &rest(&mut tail), "");
        assert!(tail.open.is_none());
    }
}
