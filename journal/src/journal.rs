//! The journal of a server: one writer that appends groups, makes them durable, and moves old records into the log.
//!
//! Everything that the server acknowledges waits for `commit`; everything that it knows after a restart comes from
//! `replay`.
//!
//! **Invariant:** readers see durable records only.
//! **Invariant:** after a failed sync nothing is counted as durable until `recover` wrote it into a new file.
//! **Invariant:** a group that could not be written as a whole is taken back as a whole.
//! **Invariant:** what `take_back` gave up is never read as a record, unless it says so.

mod migrate;
mod open;
mod options;
mod prune;
mod reader;
mod space;
mod stores;
mod survey;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::checkpoint::CheckpointWriter;
use crate::disk::{Access, Disk, File};
use crate::error::Error;
use crate::kept::Kept;
use crate::log::{Extent, Log};
use crate::mark::MarkFile;
use crate::record::{BODY_BYTES_MAX, Header, KIND_OWN_MIN, Point, RecordDraft, encode_into};
use crate::tail::{self, Part};

pub use options::{AppendedRange, Opened, Options, Stats};
pub use prune::{Pruned, Pruner};
pub use reader::{Place, Reader};
pub use stores::{store_name, store_number};

/// Name of the lock file in the journal directory.
pub const LOCK_NAME: &str = "lock";
/// Name of the first page store's directory; later ones have a number behind it.
pub const LOG_NAME: &str = "log";
/// Name of the file that is removed to gain space.
pub const BALLAST_NAME: &str = "ballast";
/// Full tail files that are kept although the log holds their records.
pub const SEALED_KEPT: usize = 2;

/// What readers see: durable records only.
#[derive(Clone)]
pub(crate) struct View {
    /// The page store, and what is in it.
    pub(crate) log: Log,
    pub(crate) store_number: u64,
    pub(crate) extent: Extent,
    /// What was kept of the records before the base.
    pub(crate) kept: Option<Arc<Kept>>,
    pub(crate) base_seq: u64,
    /// Oldest first; the last one is being written.
    pub(crate) parts: Vec<Part>,
    pub(crate) durable: Point,
    pub(crate) migration_error: Option<String>,
}

/// What the writer, the readers and the migration share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    view: Mutex<View>,
    /// Held by who puts records into the page store or takes them out.
    migrating: Mutex<()>,
    /// None for readers, and once the journal is closed.
    mark: Mutex<Option<MarkFile>>,
    /// Whether the next commit begins a new tail file.
    wants_tail: AtomicBool,
    /// Held until the last reader is gone, since the page store stays open as long.
    _lock: Box<dyn Any + Send + Sync>,
}

impl Shared {
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn durable(&self) -> Point {
        self.view().durable
    }

    fn mark(&self) -> MutexGuard<'_, Option<MarkFile>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the mark with this base, unless the journal was closed meanwhile.
    fn write_mark(&self, base_seq: u64) -> Result<(), Error> {
        let mut mark = self.mark();
        let durable = self.durable();
        match mark.as_mut() {
            Some(mark) => mark.write(durable, base_seq, false),
            None => Err(Error::Refused { why: "the journal was closed".to_owned() }),
        }
    }
}

/// The one writer of a journal directory. Its calls block; a thread of its own should own it.
pub struct Journal {
    shared: Arc<Shared>,
    options: Options,
    epoch: u32,
    tag: u16,
    generation: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    /// Durable length of the current tail file.
    durable_bytes: u64,
    durable: Point,
    end: Point,
    /// Encoded records since the last commit; kept so that `recover` can write them elsewhere.
    pending: Vec<u8>,
    group_index: u32,
    poisoned: bool,
    /// Whether bytes behind the durable ones were cut off and that was not synced: a power loss may show them.
    unsynced_cut: bool,
    /// Whether the next tail file may be there, with the pending records in it: `recover` failed half-way.
    doubtful_tail: bool,
    ballast: bool,
    /// Size of the ballast, also while it is given up; 0 if there was never space for one.
    ballast_bytes: usize,
    marked: Instant,
    migrator: Option<migrate::Migrator>,
}

impl Journal {
    /// Opens or creates the journal in `dir`: takes the lock, checks what is there, repairs what a crash may leave
    /// behind, and makes a new epoch durable.
    ///
    /// # Errors
    /// [`Error::Busy`] with the holder; [`Error::Damaged`] or [`Error::Missing`] naming what is wrong, in which case
    /// nothing was changed; [`Error::Full`]; the system's error.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Opened), Error> {
        open::open(dir, options)
    }

    /// Assigns sequences to the group, chains it, and writes it to the tail. It is durable only after `commit`.
    ///
    /// # Errors
    /// [`Error::Full`]: nothing of the group was kept, try again later. [`Error::Refused`] for a record over the
    /// limits. [`Error::Poisoned`] until `recover`. Otherwise the system's error, and nothing of the group was kept.
    pub fn append(&mut self, group: &[RecordDraft]) -> Result<AppendedRange, Error> {
        if let Some(bad) = group.iter().find(|d| d.kind >= KIND_OWN_MIN || d.body.len() > BODY_BYTES_MAX) {
            let why = format!("a record of kind {} with {} bytes cannot be appended", bad.kind, bad.body.len());
            return Err(Error::Refused { why });
        }
        self.append_any(group)
    }

    fn append_any(&mut self, group: &[RecordDraft]) -> Result<AppendedRange, Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let start = self.pending.len();
        let (mut end, mut group_index) = (self.end, self.group_index);
        for draft in group {
            let seq = end.seq + 1;
            let header =
                Header { seq, epoch: self.epoch, tag: self.tag, group_index, prev: end.chain, ..draft.header() };
            let chain = encode_into(&mut self.pending, &header, &draft.body);
            end = Point { seq, epoch: self.epoch, chain };
            group_index = group_index.saturating_add(1);
        }
        if self.pending.len() > self.options.group_bytes_max {
            self.pending.truncate(start);
            let why = format!("more than {} bytes are waiting to be committed", self.options.group_bytes_max);
            return Err(Error::Refused { why });
        }
        if let Err(e) = self.write_pending(start) {
            self.pending.truncate(start);
            return Err(e);
        }
        let first_seq = self.end.seq + 1;
        (self.end, self.group_index) = (end, group_index);
        Ok(AppendedRange { first_seq, last: end })
    }

    /// Writes the pending bytes from `start` on, giving up the ballast if the disk is full; takes a partial write
    /// back.
    fn write_pending(&mut self, start: usize) -> Result<(), Error> {
        let at = self.durable_bytes + start as u64;
        let mut retried = false;
        loop {
            let bytes = self.pending.get(start..).unwrap_or_default();
            let Err(e) = self.file.write_at(at, bytes) else {
                return Ok(());
            };
            self.unsynced_cut = true;
            if self.file.set_len(at).is_err() {
                // Unknown bytes stay behind the good ones, so nothing may be written after them.
                self.poisoned = true;
                return Err(Error::io("write", &self.path, e));
            }
            if retried || !crate::error::is_full(&e) || !self.release_ballast() {
                return Err(Error::io("write", &self.path, e));
            }
            retried = true;
        }
    }

    /// Makes everything appended so far durable with one fdatasync, and returns the last durable sequence.
    ///
    /// # Errors
    /// [`Error::SyncFailed`]: nothing since the last commit is durable; `recover` must succeed before anything else.
    /// [`Error::Poisoned`] after that.
    pub fn commit(&mut self) -> Result<u64, Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        if self.pending.is_empty() {
            self.begin_wanted_tail();
            return Ok(self.durable.seq);
        }
        if let Err(source) = self.file.sync_data() {
            self.poisoned = true;
            return Err(Error::SyncFailed { path: self.path.clone(), source });
        }
        self.unsynced_cut = false;
        self.durable_bytes += self.pending.len() as u64;
        self.pending.clear();
        self.pending.shrink_to(self.options.group_bytes_max.min(1 << 20));
        self.group_index = 0;
        self.durable = self.end;
        let (durable, bytes) = (self.durable, self.durable_bytes);
        {
            let mut view = self.shared.view();
            view.durable = durable;
            if let Some(part) = view.parts.last_mut() {
                (part.end, part.bytes) = (durable, bytes);
            }
        }
        if self.durable_bytes >= self.options.rotate_bytes {
            self.rotate();
        }
        self.begin_wanted_tail();
        if self.marked.elapsed() >= self.options.mark_every {
            self.write_mark(false);
        }
        Ok(self.durable.seq)
    }

    fn begin_wanted_tail(&mut self) {
        // A new file has no records yet that would supersede what a power loss may show of this one.
        if self.unsynced_cut {
            return;
        }
        let is_empty = self.shared.view().parts.last().is_some_and(Part::is_empty);
        if self.shared.wants_tail.swap(false, Ordering::AcqRel) && !is_empty {
            self.rotate();
        }
    }

    /// Starts a new tail file. Without space the old one simply goes on growing, and the next commit tries again.
    fn rotate(&mut self) {
        let generation = self.generation + 1;
        let made =
            tail::create(&*self.shared.disk, &self.shared.dir, generation, self.tag, self.durable, self.durable, &[]);
        if let Ok(part) = made {
            self.continue_in(part);
            if let Some(migrator) = &self.migrator {
                migrator.wake();
            }
        }
    }

    /// Makes `part` the file that is written.
    fn continue_in(&mut self, part: Part) {
        self.generation = part.generation;
        self.path = part.path.clone();
        self.file = Arc::clone(&part.file);
        self.durable_bytes = part.bytes;
        self.shared.view().parts.push(part);
    }

    /// Writes the mark. It only guards against silent loss, so a failure does not fail the commit it follows.
    fn write_mark(&mut self, clean: bool) -> bool {
        self.marked = Instant::now();
        let mut mark = self.shared.mark();
        // Looked at only now, since a pruning moves it under the same lock.
        let base_seq = self.shared.view().base_seq;
        let durable = Point { epoch: self.epoch, ..self.durable };
        mark.as_mut().is_some_and(|mark| mark.write(durable, base_seq, clean).is_ok())
    }

    /// Moves one full tail file into the log; false when there is none. Only needed without the background thread.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Full`] or [`Error::Damaged`]; the tail file is then kept and nothing is lost.
    pub fn migrate_step(&mut self) -> Result<bool, Error> {
        migrate::step(&self.shared)
    }

    /// A handle that prunes from another thread.
    pub fn pruner(&self) -> Pruner {
        Pruner::new(Arc::clone(&self.shared))
    }

    /// A handle that writes checkpoints from another thread.
    pub fn checkpoint_writer(&self) -> CheckpointWriter {
        CheckpointWriter::new(Arc::clone(&self.shared))
    }

    /// A handle that reads durable records from any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// The last appended record.
    pub fn end(&self) -> Point {
        self.end
    }

    /// The last durable record.
    pub fn durable(&self) -> Point {
        self.durable
    }

    /// The epoch of this opening.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Figures for displays and alarms.
    pub fn stats(&self) -> Stats {
        let view = self.shared.view();
        Stats {
            durable: self.durable,
            end_seq: self.end.seq,
            base_seq: view.base_seq,
            log_end_seq: view.extent.end.seq,
            log_entries: view.extent.next_entry - view.extent.first_entry,
            tail_files: view.parts.len(),
            tail_bytes: view.parts.iter().map(|p| p.bytes).sum(),
            low_space: self.is_short_of_space(),
            poisoned: self.poisoned,
            migration_error: view.migration_error.clone(),
        }
    }

    /// Commits what is appended and marks the journal as closed in an orderly way.
    ///
    /// # Errors
    /// As `commit`; the journal is closed in any case, and the next opening treats it as after a crash.
    pub fn close(mut self) -> Result<(), Error> {
        let committed = self.commit();
        self.migrator.take();
        committed?;
        self.write_mark(true);
        self.shared.mark().take();
        Ok(())
    }
}

/// Opens a journal directory for reading only, with its lock: for commands that look at a journal without a server.
///
/// # Errors
/// [`Error::Busy`] with the holder when a server writes it (ask that server instead); otherwise as [`Journal::open`].
pub fn read_dir(dir: &Path) -> Result<(Reader, Opened), Error> {
    read_dir_on(dir, &Options::default())
}

/// As [`read_dir`], on any disk.
///
/// # Errors
/// As [`read_dir`].
pub fn read_dir_on(dir: &Path, options: &Options) -> Result<(Reader, Opened), Error> {
    open::open_reader(dir, options)
}

/// Whether `dir` looks like a journal directory.
pub fn is_journal_dir(disk: &dyn Disk, dir: &Path) -> bool {
    disk.open(&dir.join(crate::mark::MARK_NAME), Access::Read).is_ok()
        || disk.list(dir).is_ok_and(|names| names.iter().any(|n| tail::part_generation(n).is_some()))
}
