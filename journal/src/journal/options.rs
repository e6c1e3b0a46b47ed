//! How a journal is opened, and what it reports about itself.
//!
//! These are the values that the server reads and shows; the journal keeps its own state apart from them.
//!
//! **Invariant:** the defaults are those of a server in production.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::checkpoint::Checkpoint;
use crate::disk::{Disk, RealDisk};
use crate::record::Point;

/// How a journal is opened.
#[derive(Clone)]
pub struct Options {
    /// Where it is.
    pub disk: Arc<dyn Disk>,
    /// Length in bytes from which on a tail file is full and moves into the log.
    pub rotate_bytes: u64,
    /// Largest sum of uncommitted bytes.
    pub group_bytes_max: usize,
    /// How long the mark may lag behind the commits.
    pub mark_every: Duration,
    /// Size of the ballast file in bytes, less where there is little space; 0 for none.
    pub ballast_bytes: usize,
    /// Whether full tail files move into the log on a thread of its own; otherwise by `migrate_step`.
    pub background: bool,
    /// Open although the mark says that durable records at the end are missing.
    pub accept_loss: bool,
    /// Time of the opening in microseconds since 1970; the clock's if `None`.
    pub time_us: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            disk: Arc::new(RealDisk),
            rotate_bytes: 8 * 1024 * 1024,
            group_bytes_max: 256 * 1024 * 1024,
            mark_every: Duration::from_secs(1),
            ballast_bytes: 4 * 1024 * 1024,
            background: true,
            accept_loss: false,
            time_us: None,
        }
    }
}

impl Options {
    /// Microseconds since 1970.
    pub(super) fn now_us(&self) -> u64 {
        let clock =
            || SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| u64::try_from(d.as_micros()).ok());
        self.time_us.or_else(clock).unwrap_or(0)
    }
}

/// What was found when a journal was opened.
#[derive(Debug)]
pub struct Opened {
    /// The newest intact image of the state; the events after `checkpoint.at.seq` complete it.
    pub checkpoint: Option<Checkpoint>,
    /// The epoch of this opening, larger than any before and durable.
    pub epoch: u32,
    /// Sequence that the next appended record will have.
    pub next_seq: u64,
    /// First sequence from which the log is whole (1 unless pruned or rebuilt).
    pub base_seq: u64,
    /// Whether the last writer closed it in an orderly way (also true for a new journal).
    pub clean: bool,
    /// Things that somebody should read in the server's log, one sentence each.
    pub notes: Vec<String>,
}

/// The place that an appended group got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendedRange {
    /// Sequence of the first record.
    pub first_seq: u64,
    /// The last record; durable once `commit` returns a sequence that is not below.
    pub last: Point,
}

/// Figures of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Last durable record.
    pub durable: Point,
    /// Last appended record.
    pub end_seq: u64,
    /// First sequence from which the log is whole.
    pub base_seq: u64,
    /// Last record that the page store holds.
    pub log_end_seq: u64,
    /// Entries of the page store that are in use.
    pub log_entries: u64,
    /// Tail files, the one being written included.
    pub tail_files: usize,
    /// Their length in bytes.
    pub tail_bytes: u64,
    /// The disk was full and the ballast was given up: new work should be refused until `low_space` is false again.
    pub low_space: bool,
    /// A disk error left the last group in doubt; `recover` is needed.
    pub poisoned: bool,
    /// Why the last attempt to move records into the page store failed, if it did.
    pub migration_error: Option<String>,
}
