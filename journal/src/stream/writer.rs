//! Writes one stream file: chunks as they come, blocks of the index now and then, a footer at the end.
//!
//! A worker keeps one per stream directory; a task is reported as ended only after its output was handed to the
//! system.
//!
//! **Invariant:** after a failed write nothing more goes into the file, since its length is in doubt, unless the same bytes
//! are written again (`mend`).
//! **Invariant:** memory is bounded: the buffer, one index block, the filters of 64 blocks, and 48 bytes per
//! block written before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::filter::{FEW_BLOCKS, Filters, GROUP_BLOCKS_MAX};
use super::index::{BlockRef, Builder, Key, encode_footer};
use super::{CHANNEL_ALL, EXTENSION, Outcome, StreamError, StreamHead, tag_of};
use crate::disk::{Access, Disk, File};
use crate::record::{
    HEADER_BYTES, Header, KIND_STREAM_CHUNK, KIND_STREAM_END, KIND_STREAM_FILTERS, KIND_STREAM_FOOTER,
    KIND_STREAM_INDEX, KIND_STREAM_OPEN, KIND_STREAM_TRAILER, encode_into,
};

/// Bytes collected before they are handed to the system.
const BUFFER_BYTES: usize = 64 * 1024;
/// Longest body of one chunk; longer output is split.
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// An open stream file that is being written.
pub struct StreamWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes in the file, without the buffer.
    written_bytes: u64,
    tag: u16,
    seq: u64,
    prev: u32,
    /// Number of the merged file from which the next records come.
    origin: u32,
    builder: Builder,
    blocks: Vec<BlockRef>,
    /// Of the blocks since the last record of filters.
    filters: Filters,
    broken: bool,
}

impl StreamWriter {
    /// Makes `dir` if needed (mode 0700) and in it the new file `NAME.hqs`, where the name is `head.file_id`: random
    /// letters and digits, so that files of different workers never collide. The first write happens with the first
    /// `flush`.
    ///
    /// # Errors
    /// [`StreamError::BadName`], or the system's error.
    pub fn create(disk: &dyn Disk, dir: &Path, head: &StreamHead, time_us: u64) -> Result<Self, StreamError> {
        let name = &head.file_id;
        if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(StreamError::BadName(name.clone()));
        }
        disk.create_dir(dir).map_err(|e| StreamError::io("create stream directory", dir, e))?;
        Self::create_at(disk, &dir.join(format!("{name}.{EXTENSION}")), head, time_us)
    }

    /// As [`Self::create`], for a file that gets its name later.
    pub(super) fn create_at(
        disk: &dyn Disk,
        path: &Path,
        head: &StreamHead,
        time_us: u64,
    ) -> Result<Self, StreamError> {
        let (name, path) = (&head.file_id, path.to_path_buf());
        let file = disk.open(&path, Access::CreateNew).map_err(|e| StreamError::io("create stream file", &path, e))?;
        // Who merges files can so tell that this one is being written. Some file systems know no locks.
        let _held = file.try_lock();
        let mut writer = Self {
            file,
            path,
            buffer: Vec::with_capacity(BUFFER_BYTES + HEADER_BYTES),
            written_bytes: 0,
            tag: tag_of(name, &head.server_uid),
            seq: 0,
            prev: 0,
            origin: 0,
            builder: Builder::default(),
            blocks: Vec::new(),
            filters: Filters::default(),
            broken: false,
        };
        writer.put(Header { kind: KIND_STREAM_OPEN, time_us, ..Header::default() }, &head.encode());
        Ok(writer)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says from which merged file the next records come.
    pub(super) fn set_origin(&mut self, origin: u32) {
        self.origin = origin;
    }

    fn put(&mut self, header: Header, body: &[u8]) -> u64 {
        let offset = self.written_bytes + self.buffer.len() as u64;
        let header = Header { seq: self.seq, tag: self.tag, prev: self.prev, group_index: self.origin, ..header };
        self.prev = encode_into(&mut self.buffer, &header, body);
        self.seq += 1;
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.builder.add(&Header { body_bytes: bytes, ..header }, offset, body);
        offset
    }

    pub(super) fn put_index(&mut self) {
        let builder = std::mem::take(&mut self.builder);
        if let Some((body, block)) = builder.encode() {
            let offset = self.put(Header { kind: KIND_STREAM_INDEX, ..Header::default() }, &body);
            self.blocks.push(BlockRef { offset, ..block });
            self.filters.blocks.push(builder.filter());
            if self.filters.blocks.len() >= GROUP_BLOCKS_MAX {
                self.put_filters();
            }
        }
    }

    fn put_filters(&mut self) {
        let body = self.filters.encode();
        let before = self.put(Header { kind: KIND_STREAM_FILTERS, ..Header::default() }, &body);
        let first = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.filters = Filters { before, first, blocks: Vec::new() };
    }

    fn after_put(&mut self) -> Result<(), StreamError> {
        if self.broken {
            return Err(StreamError::Broken(self.path.clone()));
        }
        if self.builder.is_full() {
            self.put_index();
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Appends what an attempt wrote to a channel (0 stdout, 1 stderr); kept in the buffer until it is full or
    /// `flush`.
    ///
    /// # Errors
    /// The system's error when the buffer had to be written; [`StreamError::Broken`] ever after.
    pub fn append_chunk(&mut self, time_us: u64, key: Key, channel: u8, bytes: &[u8]) -> Result<(), StreamError> {
        for part in bytes.chunks(CHUNK_BYTES_MAX) {
            let header = Self::header(KIND_STREAM_CHUNK, time_us, key, channel);
            self.put(header, part);
            self.after_put()?;
        }
        Ok(())
    }

    /// Notes that a channel reached its end.
    ///
    /// # Errors
    /// As `append_chunk`.
    pub fn append_end(&mut self, time_us: u64, key: Key, channel: u8) -> Result<(), StreamError> {
        self.put(Self::header(KIND_STREAM_END, time_us, key, channel), &[]);
        self.after_put()
    }

    /// Notes that all streamed channels of an attempt reached their end: its output is complete.
    ///
    /// # Errors
    /// As `append_chunk`.
    pub fn append_finished(&mut self, time_us: u64, key: Key) -> Result<(), StreamError> {
        self.append_end(time_us, key, CHANNEL_ALL)
    }

    /// As [`Self::append_finished`], and says how the attempt ended.
    ///
    /// # Errors
    /// As `append_chunk`.
    pub fn append_outcome(&mut self, time_us: u64, key: Key, outcome: Outcome) -> Result<(), StreamError> {
        self.put(Self::header(KIND_STREAM_END, time_us, key, CHANNEL_ALL), &outcome.encode());
        self.after_put()
    }

    fn header(kind: u16, time_us: u64, key: Key, channel: u8) -> Header {
        let Key { job, task, epoch, attempt } = key;
        Header { kind, time_us, job, task, epoch, attempt, channel, ..Header::default() }
    }

    /// Hands everything to the system (without fsync), so that readers see it.
    ///
    /// # Errors
    /// The system's error; [`StreamError::Broken`] ever after.
    pub fn flush(&mut self) -> Result<(), StreamError> {
        if self.broken {
            return Err(StreamError::Broken(self.path.clone()));
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(e) = self.file.write_at(self.written_bytes, &self.buffer) {
            self.broken = true;
            return Err(StreamError::io("write to stream", &self.path, e));
        }
        self.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// After a failed write: the next `flush` tries again with the same bytes in the same place, so that nothing is lost or
    /// doubled whatever part of them had been written.
    pub fn mend(&mut self) {
        self.broken = false;
    }

    /// Bytes that readers cannot see yet.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Writes the rest of the index and the footer, and syncs the file.
    ///
    /// # Errors
    /// The system's error; the file is readable by a scan all the same.
    pub fn close(mut self) -> Result<(), StreamError> {
        self.put_index();
        let footer = encode_footer(&self.blocks);
        let offset = self.put(Header { kind: KIND_STREAM_FOOTER, ..Header::default() }, &footer);
        if self.blocks.len() > FEW_BLOCKS {
            // Behind the footer, where it is found; those before follow from it.
            self.put_filters();
        }
        self.put(Header { kind: KIND_STREAM_TRAILER, ..Header::default() }, &offset.to_le_bytes());
        self.flush()?;
        self.file.sync_data().map_err(|e| StreamError::io("sync stream", &self.path, e))
    }
}
