//! What can be wrong with a server directory or an access file, in the words that users know.
//!
//! Scripts look for several of these texts, and a user with one of them in front of them should
//! know what to do next.
//!
//! What holds: no text contains a key, nor the content of a file that could not be understood.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::sealed::Trouble;

/// Failures of reading or writing a server directory.
#[derive(Debug)]
pub enum Error {
    /// The server directory is missing or is no directory.
    InvalidServerDir {
        /// Says so, with the path.
        cause: NotADirectory,
    },
    /// There is no access file: no server runs here.
    NoServer {
        /// The server directory.
        server_dir: PathBuf,
    },
    /// The access file was written by another version of the program.
    VersionMismatch {
        /// The version in the file.
        found: String,
        /// The version of this program.
        current: String,
    },
    /// The file is there but does not hold what it must.
    Malformed {
        /// The access file.
        path: PathBuf,
        /// The part that is missing or wrong.
        what: &'static str,
    },
    /// The access file is sealed and cannot be opened, or could not be sealed.
    Sealed {
        /// The access file.
        path: PathBuf,
        /// Why.
        reason: Trouble,
    },
    /// Somebody else owns a directory or file that is about to be trusted.
    Foreign {
        /// The directory or file.
        path: PathBuf,
        /// The user id of its owner.
        uid: u32,
    },
    /// Other users could have changed a directory or file that is about to be trusted.
    Writable {
        /// The directory or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is no home directory to put the server directory in.
    NoHome,
    /// The operating system refused.
    Io {
        /// What was being done.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason it gave.
        source: io::Error,
    },
}

/// The cause of [`Error::InvalidServerDir`].
#[derive(Debug)]
pub struct NotADirectory {
    /// The path that is no directory.
    pub path: PathBuf,
}

impl fmt::Display for NotADirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error: {:?} is not a directory", self.path)
    }
}

impl std::error::Error for NotADirectory {}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Error::Io { doing, path: path.to_owned(), source }
    }

    /// The access file that is missing or cannot be used, where it is one of these.
    pub fn access_file(&self) -> Option<PathBuf> {
        match self {
            Error::NoServer { server_dir } => Some(server_dir.join(super::directory::ACCESS_FILE_NAME)),
            Error::Malformed { path, .. } | Error::Sealed { path, .. } => Some(path.clone()),
            _ => None,
        }
    }

    /// The command that starts a server in `server_dir`, for hints; the option is shown only
    /// where the directory is not the default one.
    pub fn start_hint(server_dir: &Path, default_dir: Option<&Path>) -> String {
        match default_dir {
            Some(default) if default == server_dir => "hq server start".to_owned(),
            _ => format!("hq server start --server-dir {}", server_dir.display()),
        }
    }

    /// The text for a server that has an access file and cannot be reached; its cause belongs
    /// behind it.
    pub fn unreachable_text(host: &str, port: u16) -> String {
        let brackets = host.contains(':') && !host.starts_with('[');
        let host = if brackets { format!("[{host}]") } else { host.to_owned() };
        format!(
            "Access token found but HQ server {host}:{port} is unreachable.\n\
             Try checking if the server is running and if this machine can reach it. \
             If it does not run any more, start it again."
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidServerDir { .. } => write!(f, "Invalid server directory"),
            Error::NoServer { server_dir } => write!(
                f,
                "No running instance of HQ found at {server_dir:?}.\nTry starting the server first: `{}`",
                Error::start_hint(server_dir, default_server_dir_of_env().as_deref())
            ),
            Error::VersionMismatch { found, current } => write!(
                f,
                "Hyperqueue version mismatch detected.\n\
                 Access record contains version {}, but the current version is {current}.",
                found.escape_debug()
            ),
            Error::Malformed { path, what } => {
                write!(f, "Access file {path:?} cannot be used: {what} is missing or wrong")
            }
            Error::Sealed { path, reason } => write!(f, "Access file {path:?} is sealed under a passphrase: {reason}"),
            Error::Foreign { path, uid } => {
                write!(f, "{path:?} belongs to the user with id {uid}: it is not trusted. Use a directory of your own")
            }
            Error::Writable { path, mode } => write!(
                f,
                "{path:?} can be changed by other users (mode {:04o}): it is not trusted. \
                 Take the right away: `chmod go-w {}`",
                mode & 0o7777,
                path.display()
            ),
            Error::NoHome => write!(
                f,
                "There is no home directory for the server directory. Set HOME, or give --server-dir or HQ_SERVER_DIR"
            ),
            Error::Io { doing, path, source } => write!(f, "Cannot {doing} {path:?}: {source}"),
        }
    }
}

fn default_server_dir_of_env() -> Option<PathBuf> {
    super::default_server_dir(std::env::home_dir()).ok()
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::InvalidServerDir { cause } => Some(cause),
            _ => None,
        }
    }
}
