//! The layout of a server directory, and the link by which everybody finds the running server.
//!
//! ```text
//! <server-dir>/journal/              the event log, over all starts
//! <server-dir>/001/access.json       one numbered directory a start
//! <server-dir>/001/alive             the server's sign of life
//! <server-dir>/001/reverse/          addresses of workers that the server shall dial
//! <server-dir>/001/server.log        the log of a server in the background
//! <server-dir>/hq-current -> 001     while a server is active; an absolute path
//! ```
//!
//! A start gets a number of its own so that a late reader of an old access file never mixes it with
//! a new one.
//!
//! What holds: the link is replaced by one rename, so that a reader finds the old server or the
//! new one, and a server that ends takes the link away only if it is still its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::guard::{self, Trust};

/// Name of the link to the numbered directory of the active server.
pub const CURRENT_LINK_NAME: &str = "hq-current";

/// Name of the access file in a numbered directory.
pub const ACCESS_FILE_NAME: &str = "access.json";

/// Numbers that are tried where others take them meanwhile.
const NUMBER_TRIES_MAX: u64 = 1_000;

/// The server directory that is used when none is given: `.hq-server` in the home directory.
///
/// # Errors
/// [`Error::NoHome`] without a home: a directory that everybody may create in is no place for keys.
pub fn default_server_dir(home: Option<PathBuf>) -> Result<PathBuf, Error> {
    match home {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(".hq-server")),
        _ => Err(Error::NoHome),
    }
}

/// Opens the directory of the active server: what `hq-current` leads to if that is a directory,
/// otherwise the server directory itself.
///
/// # Errors
/// [`Error::InvalidServerDir`] where the server directory is none, and [`Error::Foreign`] or
/// [`Error::Writable`] where somebody else may have written what would be read.
pub(crate) fn current_dir(server_dir: &Path) -> Result<(File, PathBuf), Error> {
    guard::open_dir(server_dir, Trust::Around)?;
    let link = server_dir.join(CURRENT_LINK_NAME);
    let meta = match std::fs::symlink_metadata(&link) {
        Ok(meta) => meta,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return itself(server_dir),
        Err(source) => return Err(Error::io("examine", &link, source)),
    };
    guard::check_owner(&link, &meta)?;
    // A link that leads nowhere is left over from a directory that was removed by hand.
    if !link.is_dir() {
        return itself(server_dir);
    }
    let dir = guard::open_dir(&link, Trust::Within)?;
    let path = std::fs::read_link(&link).map(|target| server_dir.join(target)).unwrap_or(link);
    Ok((dir, path))
}

fn itself(server_dir: &Path) -> Result<(File, PathBuf), Error> {
    Ok((guard::open_dir(server_dir, Trust::Around)?, server_dir.to_owned()))
}

/// The directories of one start of a server.
#[derive(Debug)]
pub struct ServerDir {
    root: PathBuf,
    numbered: PathBuf,
}

impl ServerDir {
    /// Makes sure that the server directory `root` exists and may be trusted, and creates the next
    /// numbered directory in it.
    ///
    /// # Errors
    /// [`Error::InvalidServerDir`], [`Error::Foreign`], [`Error::Writable`], [`Error::Io`].
    pub fn create(root: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(root).map_err(|source| Error::io("find", root, source))?;
        Self::prepare(&root)?;
        let first = next_number(&root)?;
        for number in first..first.saturating_add(NUMBER_TRIES_MAX) {
            let numbered = root.join(format!("{number:03}"));
            // Somebody else may start at the same moment, or a file may have that name.
            if guard::create_dir(&numbered)? {
                return Ok(ServerDir { root, numbered });
            }
        }
        Err(Error::io("create a numbered directory in", &root, io::ErrorKind::AlreadyExists.into()))
    }

    /// Makes sure that the server directory `root` exists, with mode 0700 if it is new, and that it
    /// may be trusted.
    ///
    /// # Errors
    /// As [`ServerDir::create`].
    pub fn prepare(root: &Path) -> Result<(), Error> {
        guard::create_dirs(root)?;
        guard::open_dir(root, Trust::Around).map(|_| ())
    }

    /// Points `hq-current` at this start. To be called when the access file is complete.
    ///
    /// # Errors
    /// [`Error::Io`], also where `hq-current` is a real directory.
    pub fn publish(&self) -> Result<(), Error> {
        let link = self.root.join(CURRENT_LINK_NAME);
        let failed = |source| Error::io("point", &link, source);
        // A name in our own numbered directory cannot be taken by another start.
        let fresh = self.numbered.join(CURRENT_LINK_NAME);
        match std::fs::remove_file(&fresh) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
            _ => symlink(&self.numbered, &fresh).map_err(failed)?,
        }
        std::fs::rename(&fresh, &link).map_err(|source| {
            let _ = std::fs::remove_file(&fresh);
            failed(source)
        })?;
        let dir = File::open(&self.root).and_then(|dir| dir.sync_all());
        dir.map_err(|source| Error::io("sync", &self.root, source))
    }

    /// Takes `hq-current` away if it still points at this start; true if it did.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn withdraw(&self) -> Result<bool, Error> {
        let link = self.root.join(CURRENT_LINK_NAME);
        if std::fs::read_link(&link).ok().as_deref() != Some(&self.numbered) {
            return Ok(false);
        }
        std::fs::remove_file(&link).map_err(|source| Error::io("remove", &link, source))?;
        Ok(true)
    }

    /// The server directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The numbered directory of this start.
    pub fn numbered(&self) -> &Path {
        &self.numbered
    }

    /// Where the access file of this start belongs.
    pub fn access_path(&self) -> PathBuf {
        self.numbered.join(ACCESS_FILE_NAME)
    }

    /// Where the journal of a server directory lies unless another place is given.
    pub fn journal_path(root: &Path) -> PathBuf {
        root.join("journal")
    }
}

/// One more than the greatest number that is the name of a directory.
fn next_number(root: &Path) -> Result<u64, Error> {
    let failed = |source| Error::io("list", root, source);
    let mut greatest = 0;
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let digits = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            greatest = greatest.max(number);
        }
    }
    let taken = || Error::io("count on in", root, io::ErrorKind::AlreadyExists.into());
    greatest.checked_add(1).ok_or_else(taken)
}
