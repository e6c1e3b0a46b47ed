//! Records that stay when the log before them is pruned: one file that stands for everything before the base.
//!
//! Jobs that are not done keep their whole history, however old it is, while the log around it goes. Their records move
//! as they are, header and all, so that nothing about them changes but their place.
//!
//! **Invariant:** a kept file appears under its name only when it is complete and durable.
//! **Invariant:** what is handed out is intact, in the order of sequences, and all that was put in: the end holds a
//! checksum over the chain values of all records.
//!
//! Layout: the head, the records, one index, the end (`docs/formats.md`). The index divides the records into blocks, so
//! that the history of one job, or what begins at some sequence, is found without reading the rest.

mod index;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, File};
use crate::error::Error;
use crate::log::index::{SHARED_JOB, entries_before, merged, without_first};
use crate::record::{HEADER_BYTES, Header, KIND_KEPT_END, KIND_KEPT_HEAD, KIND_KEPT_INDEX, Point, RecordRef};
use crate::scan::{Found, Scanner};
use index::Index;

pub use writer::KeptWriter;

/// Bytes of the end: a header and the offset of the index.
const END_BYTES: u64 = HEADER_BYTES as u64 + 8;

/// Name of the kept file that stands for everything before `base`.
pub fn kept_name(base: u64) -> String {
    format!("kept-{base:020}.hqk")
}

/// The base in the name of a kept file.
pub fn kept_base(name: &str) -> Option<u64> {
    name.strip_prefix("kept-")?.strip_suffix(".hqk")?.parse().ok()
}

/// A complete kept file.
pub struct Kept {
    /// The last record that the file stands for; the log goes on behind it.
    pub at: Point,
    /// When the log was pruned, in microseconds since 1970, UTC.
    pub time_us: u64,
    /// Number of records in it.
    pub records: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Where it is.
    pub path: PathBuf,
    file: Arc<dyn File>,
    index: Index,
    index_at: u64,
    /// Checksum over the chain values of all records.
    checksum: u32,
}

impl Kept {
    /// Opens a kept file: head, index and end are checked, the records when they are read.
    ///
    /// # Errors
    /// [`Error::Damaged`] when one of these is not intact, or the system's error.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, Error> {
        let io = |e| Error::io("read", path, e);
        let file = disk.open(path, Access::Read).map_err(|e| Error::io("open", path, e))?;
        let bytes = file.bytes().map_err(io)?;
        let head = part(&*file, path, 0, bytes, KIND_KEPT_HEAD)?.0;
        let end_at = bytes.saturating_sub(END_BYTES);
        let (end, body) = part(&*file, path, end_at, bytes, KIND_KEPT_END)?;
        let index_at = body.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let (_, body) = part(&*file, path, index_at, end_at, KIND_KEPT_INDEX)?;
        let why = || damaged(path, index_at, end_at, "the index is not one");
        let index = Index::parse(&body).ok_or_else(why)?;
        Ok(Self {
            at: Point { seq: head.seq, epoch: head.epoch, chain: head.prev },
            time_us: head.time_us,
            records: end.seq,
            bytes,
            path: path.to_path_buf(),
            file,
            index,
            index_at,
            checksum: end.prev,
        })
    }

    /// Calls `f` for each record from `from_seq` on; false when `f` had enough.
    ///
    /// # Errors
    /// [`Error::Damaged`] naming the place, or the system's error.
    pub fn read(&self, from_seq: u64, f: &mut dyn FnMut(RecordRef<'_>) -> bool) -> Result<bool, Error> {
        let first = self.index.block_with(from_seq);
        let mut sum = Sum::default();
        let whole = first == 0;
        let more = self.read_blocks(first, self.index.blocks(), &mut |record| {
            sum.add(&record.header);
            record.header.seq < from_seq || f(record)
        })?;
        let expected = Sum { records: self.records, checksum: self.checksum };
        if more && whole && sum != expected {
            return Err(damaged(&self.path, 0, self.index_at, "records that were kept are missing"));
        }
        Ok(more)
    }

    /// Calls `f` for each record of `job` from `from_us` on, and perhaps some before; false when `f` had enough.
    ///
    /// # Errors
    /// As [`Kept::read`].
    pub fn history(&self, job: u32, from_us: u64, f: &mut dyn FnMut(RecordRef<'_>) -> bool) -> Result<bool, Error> {
        let mut runs = self.index.runs_of(job);
        runs.extend(self.index.runs_of(SHARED_JOB));
        let mut runs = merged(runs);
        if from_us > 0 {
            let skipped = entries_before(&runs, from_us, |block| Ok(self.index.time_of(block)))?;
            runs = without_first(runs, skipped);
        }
        for (first, number) in runs {
            if !self.read_blocks(first, first + number, &mut |record| !record.concerns(job) || f(record))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_blocks(&self, first: u64, end: u64, f: &mut dyn FnMut(RecordRef<'_>) -> bool) -> Result<bool, Error> {
        let io = |e| Error::io("read", &self.path, e);
        let Some(from) = self.index.offset_of(first) else { return Ok(true) };
        let to = self.index.offset_of(end).unwrap_or(self.index_at);
        let mut scanner = Scanner::new(&*self.file, from, to).map_err(io)?;
        let mut last = 0;
        loop {
            let at = scanner.position();
            let record = match scanner.next().map_err(io)? {
                Some(Found::Valid { record, .. }) => record,
                Some(Found::Damaged { from, to } | Found::TornTail { from, to }) => {
                    return Err(damaged(&self.path, from, to, "the bytes are no longer those that were written"));
                }
                None if at < to => return Err(damaged(&self.path, at, to, "the file is shorter than it was")),
                None => return Ok(true),
            };
            if record.header.seq <= last || record.header.seq > self.at.seq {
                return Err(damaged(&self.path, at, to, "its records are out of order"));
            }
            last = record.header.seq;
            if !f(record) {
                return Ok(false);
            }
        }
    }
}

/// What tells that all records are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    records: u64,
    checksum: u32,
}

impl Sum {
    fn add(&mut self, header: &Header) {
        self.records += 1;
        self.checksum = crc32c::crc32c_append(self.checksum, &header.chain.to_le_bytes());
    }
}

fn damaged(path: &Path, from: u64, to: u64, why: &str) -> Error {
    Error::Damaged { path: path.to_path_buf(), from, to, why: why.to_owned() }
}

/// The record of a kind at an offset.
fn part(file: &dyn File, path: &Path, at: u64, end: u64, kind: u16) -> Result<(Header, Vec<u8>), Error> {
    let io = |e| Error::io("read", path, e);
    let mut scanner = Scanner::new(file, at, end).map_err(io)?;
    match scanner.next().map_err(io)? {
        Some(Found::Valid { record, from, .. }) if record.header.kind == kind && from == at => {
            Ok((record.header, record.body.to_vec()))
        }
        _ => Err(damaged(path, at, end, "a part of the kept file is not intact")),
    }
}
