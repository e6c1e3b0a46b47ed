//! Output of many tasks in few files: each worker appends to a file of its own, readers seek by task.
//!
//! A million tasks must not make a million files, and the output of one of them must not cost a scan of all.
//!
//! **Invariant:** a stream file is readable at any moment while it is written; an index only makes reading faster.
//! **Invariant:** an execution is known by (job, task, epoch, attempt) and its file, so that two of them are never
//! mixed.
//! **Invariant:** a damaged chunk costs that chunk: it is named, and all other output is still read.

mod index;
mod merge;
mod outcome;
mod read;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ciborium::value::Value;

pub use index::{Extent, Key};
pub use outcome::{Ending, Outcome};
pub use read::{Chunk, Instance, Output, ReadReport, StreamDir, Summary};
pub use writer::StreamWriter;

/// Extension of stream files; the reader looks at nothing else.
pub const EXTENSION: &str = "hqs";
/// Channel of standard output.
pub const CHANNEL_STDOUT: u8 = 0;
/// Channel of standard error.
pub const CHANNEL_STDERR: u8 = 1;
/// Stands for all channels in the record that ends an attempt.
pub const CHANNEL_ALL: u8 = 255;
/// Longest description of a file in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What the first record of a stream file says about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamHead {
    /// The server whose tasks these are.
    pub server_uid: String,
    /// The worker that wrote the file.
    pub worker_id: u32,
    /// Unique id of the file: its name when it was made. A copy under another name is recognised by it.
    pub file_id: String,
    /// Further facts, such as the host name.
    pub meta: Vec<(String, String)>,
}

impl StreamHead {
    fn encode(&self) -> Vec<u8> {
        let text = |s: &String| Value::Text(s.clone());
        let meta = self.meta.iter().map(|(k, v)| (text(k), text(v))).collect();
        let map = Value::Map(vec![
            (Value::from(0), text(&self.server_uid)),
            (Value::from(1), Value::from(self.worker_id)),
            (Value::from(2), text(&self.file_id)),
            (Value::from(3), Value::Map(meta)),
        ]);
        let mut out = Vec::new();
        // Writing into memory does not fail; an empty body would be refused by every reader.
        if ciborium::into_writer(&map, &mut out).is_err() {
            out.clear();
        }
        out
    }

    fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > HEAD_BYTES_MAX {
            return None;
        }
        let value: Value = ciborium::from_reader(body).ok()?;
        let mut head = Self::default();
        for (key, value) in value.as_map()? {
            match key.as_integer().and_then(|k| u8::try_from(k).ok()) {
                Some(0) => value.as_text()?.clone_into(&mut head.server_uid),
                Some(1) => head.worker_id = value.as_integer().and_then(|n| u32::try_from(n).ok())?,
                Some(2) => value.as_text()?.clone_into(&mut head.file_id),
                Some(3) => {
                    let pairs = value.as_map()?.iter();
                    let texts = pairs.filter_map(|(k, v)| Some((k.as_text()?.to_owned(), v.as_text()?.to_owned())));
                    head.meta = texts.collect();
                }
                // Later versions may say more.
                _ => {}
            }
        }
        Some(head)
    }
}

/// What went wrong with a stream.
#[derive(Debug)]
pub enum StreamError {
    /// The system refused an operation.
    Io {
        /// The operation, as in "Cannot WHAT PATH".
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory holds no stream file.
    NoFiles,
    /// The files are of several servers, and none was chosen.
    SeveralServers(Vec<String>),
    /// An earlier write of this file failed; go on with a new file.
    Broken(PathBuf),
    /// The name is not made of letters and digits.
    BadName(String),
}

impl StreamError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_path_buf(), source }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, source } => {
                write!(f, "Cannot {what} {}: {source}", path.display())
            }
            Self::NoFiles => write!(f, "No log files found"),
            Self::SeveralServers(uids) => write!(
                f,
                "Found streams from multiple server instances:\n{}\nUse --server-uid=... to specify server uid",
                uids.join("\n")
            ),
            Self::Broken(path) => {
                write!(f, "Cannot write to {}: an earlier write failed; a new file is needed", path.display())
            }
            Self::BadName(name) => {
                write!(f, "A stream file cannot be named {name:?}: only letters and digits are allowed")
            }
        }
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
