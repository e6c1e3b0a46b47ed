//! Output of many tasks in few files: each worker appends to a file of its own, readers seek by task.
//!
//! A million tasks must not make a million files, and the output of one of them must not cost a scan of all.
//!
//! **Invariant:** a stream file is readable at any moment while it is written; an index only makes reading faster.
//! **Invariant:** an execution is known by (job, task, epoch, attempt) and its file, so that two of them are never
//! mixed.
//! **Invariant:** a damaged chunk costs that chunk: it is named, and all other output is still read.

mod compact;
#[cfg(test)]
mod compact_tests;
#[cfg(test)]
mod damage_tests;
mod file;
mod filter;
mod follow;
mod headers;
mod index;
mod instance;
#[cfg(test)]
mod many_tests;
mod merge;
mod outcome;
mod pool;
mod read;
#[cfg(test)]
mod tests;
mod timeline;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ciborium::value::Value;

pub use compact::{CompactHelp, CompactOptions, Compacted, Left, compact};
pub use follow::{Follower, News};
pub use index::{Extent, Key};
pub use instance::{Instance, Output};
pub use outcome::{Ending, Outcome};
pub use read::{StreamDir, Summary};
pub use timeline::{Shown, Wanted};
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
const HEAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The tag of the records of a file: so they can be told from records that a task printed, and a file whose head is
/// damaged from one of another server.
fn tag_of(file_id: &str, server_uid: &str) -> u16 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(file_id.as_bytes()), server_uid.as_bytes());
    (crc ^ (crc >> 16)) as u16
}

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
    /// The files that were merged into this one; records say by their number, from 1, from which they come.
    pub origins: Vec<Origin>,
}

/// A file that was merged into another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Its unique id.
    pub file_id: String,
    /// The worker that wrote it.
    pub worker_id: u32,
    /// Its length when it was merged; a longer one has more than what was merged.
    pub bytes: u64,
    /// Further facts, such as the host name.
    pub meta: Vec<(String, String)>,
}

/// A list of pairs of texts as CBOR.
fn meta_value(meta: &[(String, String)]) -> Value {
    Value::Map(meta.iter().map(|(k, v)| (Value::Text(k.clone()), Value::Text(v.clone()))).collect())
}

fn parse_meta(value: &Value) -> Option<Vec<(String, String)>> {
    let pairs = value.as_map()?.iter();
    Some(pairs.filter_map(|(k, v)| Some((k.as_text()?.to_owned(), v.as_text()?.to_owned()))).collect())
}

impl Origin {
    fn encode(&self) -> Value {
        let id = Value::Text(self.file_id.clone());
        Value::Array(vec![id, self.worker_id.into(), self.bytes.into(), meta_value(&self.meta)])
    }

    fn parse(value: &Value) -> Option<Self> {
        let [id, worker, bytes, meta, ..] = value.as_array()?.as_slice() else { return None };
        Some(Self {
            file_id: id.as_text()?.to_owned(),
            worker_id: worker.as_integer()?.try_into().ok()?,
            bytes: bytes.as_integer()?.try_into().ok()?,
            meta: parse_meta(meta)?,
        })
    }
}

impl StreamHead {
    fn encode(&self) -> Vec<u8> {
        let text = |s: &String| Value::Text(s.clone());
        let mut entries = vec![
            (Value::from(0), text(&self.server_uid)),
            (Value::from(1), Value::from(self.worker_id)),
            (Value::from(2), text(&self.file_id)),
            (Value::from(3), meta_value(&self.meta)),
        ];
        if !self.origins.is_empty() {
            entries.push((Value::from(4), Value::Array(self.origins.iter().map(Origin::encode).collect())));
        }
        let map = Value::Map(entries);
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
                Some(3) => head.meta = parse_meta(value)?,
                Some(4) => head.origins = value.as_array()?.iter().map(Origin::parse).collect::<Option<_>>()?,
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
    /// The directory is being merged by another process: which.
    Busy(PathBuf, String),
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
            Self::Busy(path, holder) => {
                write!(f, "The files of {} are being merged by {holder}; try again when that has ended", path.display())
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
