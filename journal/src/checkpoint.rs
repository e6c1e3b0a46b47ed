//! Images of the state, so that a restart reads one of them and the events since instead of the whole log.
//!
//! An image is a file of records like any other; what it means is the core's affair.
//!
//! **Invariant:** an image appears under its name only when it is complete and durable; the newest two are kept.
//! **Invariant:** an image never runs ahead of the log: its sequence was durable before it got its name.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Access, Disk, File, read_full};
use crate::error::{Error, ReplayError};
use crate::journal::Shared;
use crate::record::{
    BODY_BYTES_MAX, Header, KIND_CHECKPOINT_END, KIND_CHECKPOINT_HEAD, Point, RecordDraft, RecordRef, encode_into,
};
use crate::scan::{Found, Scanner};
use crate::tail::NEW_SUFFIX;

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Images that are kept.
const KEPT: usize = 2;
/// Behind the number in the name of a second copy.
const COPY_SUFFIX: &str = "-copy";

fn checkpoint_name(seq: u64) -> String {
    format!("checkpoint-{seq:020}.hqc")
}

fn checkpoint_seq(name: &str) -> Option<u64> {
    let number = name.strip_prefix("checkpoint-")?.strip_suffix(".hqc")?;
    number.strip_suffix(COPY_SUFFIX).unwrap_or(number).parse().ok()
}

/// Name of the second copy of an image.
fn copy_name(seq: u64) -> String {
    format!("checkpoint-{seq:020}{COPY_SUFFIX}.hqc")
}

/// A complete image on disk.
#[derive(Clone)]
pub struct Checkpoint {
    /// The last event that is part of the image.
    pub at: Point,
    /// When it was made, in microseconds since 1970, UTC.
    pub time_us: u64,
    /// Number of records in it.
    pub records: u64,
    pub(crate) path: PathBuf,
    file: Arc<dyn File>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, records, path, .. } = self;
        f.debug_struct("Checkpoint").field("at", at).field("records", records).field("path", path).finish()
    }
}

impl Checkpoint {
    /// Its length in bytes; 0 when that cannot be had.
    pub fn bytes(&self) -> u64 {
        self.file.bytes().unwrap_or(0)
    }

    /// Calls `f` for each record of the image in order; their sequences count from 1.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the image is not intact any more, the system's error, or that of `f`.
    pub fn read<E>(&self, f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>) -> Result<(), ReplayError<E>> {
        let mut stopped = None;
        read_image(&*self.file, &self.path, &mut |record| match f(record) {
            Ok(()) => true,
            Err(e) => {
                stopped = Some(e);
                false
            }
        })?;
        stopped.map_or(Ok(()), |e| Err(ReplayError::Stopped(e)))
    }
}

/// Reads an image and returns its head and number of records; an error unless all of it is intact. When `f` returns
/// false the number is that of the records seen.
fn read_image(file: &dyn File, path: &Path, f: &mut dyn FnMut(RecordRef<'_>) -> bool) -> Result<(Header, u64), Error> {
    let io = |e| Error::io("read", path, e);
    let damaged = |from, to, why: &str| Error::Damaged { path: path.to_path_buf(), from, to, why: why.to_owned() };
    let mut scanner = Scanner::new(file, 0, u64::MAX).map_err(io)?;
    let head = match scanner.next().map_err(io)? {
        Some(Found::Valid { record, .. }) if record.header.kind == KIND_CHECKPOINT_HEAD => record.header,
        _ => {
            return Err(damaged(0, 64, "it does not begin with the head of a checkpoint"));
        }
    };
    let (mut seq, mut chain) = (0, head.chain);
    loop {
        let at = scanner.position();
        let record = match scanner.next().map_err(io)? {
            Some(Found::Valid { record, .. }) => record,
            Some(Found::Damaged { from, to } | Found::TornTail { from, to }) => {
                return Err(damaged(from, to, "bytes of the checkpoint are not those that were written"));
            }
            None => return Err(damaged(at, at, "the checkpoint has no end")),
        };
        if record.header.seq != seq + 1 || record.header.prev != chain {
            return Err(damaged(at, scanner.position(), "the chain of records is broken"));
        }
        if record.header.kind == KIND_CHECKPOINT_END {
            return Ok((head, seq));
        }
        (seq, chain) = (seq + 1, record.header.chain);
        if !f(record) {
            return Ok((head, seq));
        }
    }
}

fn open_image(disk: &dyn Disk, path: &Path) -> Result<Checkpoint, Error> {
    let file = disk.open(path, Access::Read).map_err(|e| Error::io("open", path, e))?;
    let (head, records) = read_image(&*file, path, &mut |_| true)?;
    let at = Point { seq: head.seq, epoch: head.epoch, chain: head.prev };
    Ok(Checkpoint { at, time_us: head.time_us, records, path: path.to_path_buf(), file })
}

/// The newest intact image of a journal directory; what is wrong with newer ones is added to `notes`.
///
/// # Errors
/// The system's error.
pub fn newest(disk: &dyn Disk, dir: &Path, notes: &mut Vec<String>) -> Result<Option<Checkpoint>, Error> {
    let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    for name in names.iter().rev().filter(|n| checkpoint_seq(n).is_some()) {
        match open_image(disk, &dir.join(name)) {
            Ok(image) => return Ok(Some(image)),
            Err(e) if e.is_damage() => notes.push(format!("a checkpoint was passed over: {e}")),
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// The intact images of a journal directory, oldest first; what is wrong with others is added to `notes`.
///
/// # Errors
/// The system's error.
pub fn images(disk: &dyn Disk, dir: &Path, notes: &mut Vec<String>) -> Result<Vec<Checkpoint>, Error> {
    let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut images = Vec::new();
    for name in names.iter().filter(|n| checkpoint_seq(n).is_some()) {
        match open_image(disk, &dir.join(name)) {
            Ok(image) => images.push(image),
            Err(e) if e.is_damage() => notes.push(e.to_string()),
            // Another one has taken its place meanwhile.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(images)
}

/// All intact images of a journal directory, newest first.
///
/// # Errors
/// The system's error.
pub fn intact(disk: &dyn Disk, dir: &Path) -> Result<Vec<Checkpoint>, Error> {
    let mut found = images(disk, dir, &mut Vec::new())?;
    found.reverse();
    Ok(found)
}

/// Writes images, from any thread, while the journal goes on committing.
#[derive(Clone)]
pub struct CheckpointWriter {
    shared: Arc<Shared>,
    one_at_a_time: Arc<Mutex<()>>,
}

impl CheckpointWriter {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, one_at_a_time: Arc::default() }
    }

    /// Writes the image of the state after `at`, which must be durable, and removes all but the newest two images.
    ///
    /// # Errors
    /// [`Error::Refused`] when `at` is not durable yet (commit first), [`Error::Full`] or the system's error; what
    /// was there before is then still there.
    pub fn write(&self, at: Point, time_us: u64, records: impl IntoIterator<Item = RecordDraft>) -> Result<(), Error> {
        let _one = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_one(at, time_us, records.into_iter())?;
        self.remove_old()
    }

    /// As [`CheckpointWriter::write`], but the image is written as two files: one is then enough to start from although
    /// everything before it is pruned, whatever becomes of the other.
    ///
    /// # Errors
    /// As [`CheckpointWriter::write`].
    pub fn write_twice(
        &self,
        at: Point,
        time_us: u64,
        records: impl IntoIterator<Item = RecordDraft>,
    ) -> Result<(), Error> {
        let _one = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_one(at, time_us, records.into_iter())?;
        self.name(&copy_name(at.seq), |new| self.copy_file(&checkpoint_name(at.seq), new))?;
        self.remove_old()
    }

    fn write_one(&self, at: Point, time_us: u64, records: impl Iterator<Item = RecordDraft>) -> Result<(), Error> {
        let durable = self.shared.durable();
        if at.seq > durable.seq {
            let why = format!("a checkpoint at record {} is asked for, but only {} are durable", at.seq, durable.seq);
            return Err(Error::Refused { why });
        }
        self.name(&checkpoint_name(at.seq), |new| self.write_file(new, at, time_us, records))
    }

    /// Gives a file its name once `write` has made it durable.
    fn name(&self, name: &str, write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let (disk, dir) = (&*self.shared.disk, self.shared.dir.as_path());
        let (path, new) = (dir.join(name), dir.join(format!("{name}{NEW_SUFFIX}")));
        let written = write(&new).and_then(|()| {
            let io = |e| Error::io("name", &path, e);
            disk.rename(&new, &path).map_err(io)?;
            disk.sync_dir(dir).map_err(io)
        });
        if written.is_err() {
            // A left-over is cleared at the next start as well.
            let _gone = disk.remove(&new);
        }
        written
    }

    fn create(&self, new: &Path) -> Result<Arc<dyn File>, Error> {
        let io = |e| Error::io("write", new, e);
        let disk = &*self.shared.disk;
        if disk.open(new, Access::Read).is_ok() {
            disk.remove(new).map_err(io)?;
        }
        disk.open(new, Access::CreateNew).map_err(io)
    }

    fn copy_file(&self, name: &str, new: &Path) -> Result<(), Error> {
        let from = self.shared.dir.join(name);
        let io = |e| Error::io("copy", &from, e);
        let original = self.shared.disk.open(&from, Access::Read).map_err(io)?;
        let copy = self.create(new)?;
        let (mut at, mut buffer) = (0, vec![0; BUFFER_BYTES]);
        loop {
            let got = read_full(&*original, at, &mut buffer).map_err(io)?;
            let bytes = buffer.get(..got).unwrap_or_default();
            if bytes.is_empty() {
                return copy.sync_data().map_err(|e| Error::io("write", new, e));
            }
            copy.write_at(at, bytes).map_err(|e| Error::io("write", new, e))?;
            at += got as u64;
        }
    }

    fn write_file(
        &self,
        new: &Path,
        at: Point,
        time_us: u64,
        records: impl Iterator<Item = RecordDraft>,
    ) -> Result<(), Error> {
        let io = |e| Error::io("write", new, e);
        let file = self.create(new)?;
        let (seq, epoch) = (at.seq, at.epoch);
        let head = Header { kind: KIND_CHECKPOINT_HEAD, seq, epoch, time_us, prev: at.chain, ..Header::default() };
        let (mut buffer, mut offset, mut seq) = (Vec::new(), 0u64, 0u64);
        let mut prev = encode_into(&mut buffer, &head, &[]);
        for draft in records {
            if draft.body.len() > BODY_BYTES_MAX {
                return Err(Error::Refused { why: format!("a record of {} bytes is too long", draft.body.len()) });
            }
            seq += 1;
            let header = Header { seq, epoch, prev, ..draft.header() };
            prev = encode_into(&mut buffer, &header, &draft.body);
            if buffer.len() >= BUFFER_BYTES {
                file.write_at(offset, &buffer).map_err(io)?;
                offset += buffer.len() as u64;
                buffer.clear();
            }
        }
        let end = Header { kind: KIND_CHECKPOINT_END, seq: seq + 1, epoch, time_us, prev, ..Header::default() };
        encode_into(&mut buffer, &end, &[]);
        file.write_at(offset, &buffer).and_then(|()| file.sync_data()).map_err(io)
    }

    fn remove_old(&self) -> Result<(), Error> {
        let (disk, dir) = (&*self.shared.disk, self.shared.dir.as_path());
        let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
        for name in names.iter().rev().filter(|n| checkpoint_seq(n).is_some()).skip(KEPT) {
            let path = dir.join(name);
            disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(())
    }
}
