//! Writes a kept file, record by record, in the memory of a buffer and the index.
//!
//! Pruning copies what may be most of a journal while the server goes on.
//!
//! **Invariant:** the name is given only after the bytes are durable; a file that was not finished is no kept file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::Index;
use super::{Kept, Sum, kept_name};
use crate::disk::{Access, Disk, File};
use crate::error::Error;
use crate::record::{
    BODY_BYTES_MAX, Header, KIND_KEPT_END, KIND_KEPT_HEAD, KIND_KEPT_INDEX, Point, RecordRef, encode_into,
};
use crate::tail::NEW_SUFFIX;

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Bytes of records after which a block ends.
const BLOCK_BYTES: u64 = 64 * 1024;

/// A kept file that is being made.
pub struct KeptWriter<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    at: Point,
    time_us: u64,
    new: PathBuf,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    written: u64,
    block_at: Option<u64>,
    index: Index,
    sum: Sum,
}

impl<'a> KeptWriter<'a> {
    /// Begins a file that stands for all records up to `at`.
    ///
    /// # Errors
    /// [`Error::Full`] or the system's error.
    pub fn create(disk: &'a dyn Disk, dir: &'a Path, at: Point, time_us: u64) -> Result<Self, Error> {
        let new = dir.join(format!("{}{NEW_SUFFIX}", kept_name(at.seq + 1)));
        let io = |e| Error::io("write", &new, e);
        if disk.open(&new, Access::Read).is_ok() {
            disk.remove(&new).map_err(io)?;
        }
        let file = disk.open(&new, Access::CreateNew).map_err(io)?;
        let Point { seq, epoch, chain: prev } = at;
        let head = Header { kind: KIND_KEPT_HEAD, seq, epoch, time_us, prev, ..Header::default() };
        let mut buffer = Vec::new();
        encode_into(&mut buffer, &head, &[]);
        let (index, sum) = (Index::default(), Sum::default());
        Ok(Self { disk, dir, at, time_us, new, file, buffer, written: 0, block_at: None, index, sum })
    }

    /// Adds a record as it is; they come in the order of their sequences.
    ///
    /// # Errors
    /// As [`KeptWriter::create`].
    pub fn push(&mut self, record: RecordRef<'_>) -> Result<(), Error> {
        let offset = self.written + self.buffer.len() as u64;
        if self.block_at.is_none_or(|begin| offset - begin >= BLOCK_BYTES) {
            self.block_at = Some(offset);
            self.index.begin_block(offset, &record.header);
        }
        self.index.add(&record.header);
        self.sum.add(&record.header);
        encode_into(&mut self.buffer, &record.header, record.body);
        if self.buffer.len() >= BUFFER_BYTES { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> Result<(), Error> {
        self.file.write_at(self.written, &self.buffer).map_err(|e| Error::io("write", &self.new, e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes index and end, makes everything durable, and gives the file its name.
    ///
    /// # Errors
    /// As [`KeptWriter::create`]; [`Error::Refused`] when the index is beyond all measure.
    pub fn finish(mut self) -> Result<Kept, Error> {
        let body = self.index.encode();
        if body.len() > BODY_BYTES_MAX {
            let why = format!("the index of what is kept would have {} bytes", body.len());
            return Err(Error::Refused { why });
        }
        let index_at = self.written + self.buffer.len() as u64;
        let head = Header { kind: KIND_KEPT_INDEX, time_us: self.time_us, ..Header::default() };
        encode_into(&mut self.buffer, &head, &body);
        let Sum { records: seq, checksum: prev } = self.sum;
        let end = Header { kind: KIND_KEPT_END, seq, time_us: self.time_us, prev, ..Header::default() };
        encode_into(&mut self.buffer, &end, &index_at.to_le_bytes());
        self.put()?;
        let path = self.dir.join(kept_name(self.at.seq + 1));
        let io = |e| Error::io("name", &path, e);
        self.file.sync_data().map_err(|e| Error::io("write", &self.new, e))?;
        self.disk.rename(&self.new, &path).map_err(io)?;
        self.disk.sync_dir(self.dir).map_err(io)?;
        // What was written is read back before anything is removed for it.
        let kept = Kept::open(self.disk, &path)?;
        kept.read(0, &mut |_| true)?;
        Ok(kept)
    }

    /// Gives up; what was written goes.
    pub fn abandon(self) {
        // A left-over is cleared at the next start as well.
        let _gone = self.disk.remove(&self.new);
    }
}
