//! One open stream file as a reader sees it, and the merging of the sorted blocks of all files.
//!
//! Whether a file was closed, is still growing, or was cut by a crash, the rest of the reader sees sorted entries.
//!
//! **Invariant:** blocks are loaded when their first key is due and dropped when they are used up, so that walking
//! over a million tasks holds a few blocks only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::{BlockRef, Builder, Entry, Key, parse_block, parse_footer};
use super::{StreamError, StreamHead};
use crate::disk::{Access, Disk, File, read_full};
use crate::record::{
    HEADER_BYTES, Header, KIND_STREAM_END, KIND_STREAM_FOOTER, KIND_STREAM_INDEX, KIND_STREAM_OPEN, KIND_STREAM_TRAILER,
};
use crate::scan::{Found, Scanner};

const TRAILER_BYTES: u64 = HEADER_BYTES as u64 + 8;
/// Bytes read at a time while headers are scanned.
const SCAN_BYTES: usize = 1024 * 1024;
/// Longest body of an end record in bytes.
const END_BYTES_MAX: usize = 4096;

/// A stream file and its index.
pub(super) struct StreamFile {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) head: StreamHead,
    pub(super) bytes: u64,
    tag: u16,
    blocks: Vec<BlockRef>,
    /// Entries that are in no block.
    loose: Vec<Entry>,
    /// What is damaged, one sentence each.
    pub(super) notes: Vec<String>,
}

/// The record at `offset` with its body, if it is intact.
pub(super) fn record_at(file: &dyn File, offset: u64) -> io::Result<Option<(Header, Vec<u8>)>> {
    let mut head = [0; HEADER_BYTES];
    read_full(file, offset, &mut head)?;
    let Ok(header) = Header::parse(&head) else {
        return Ok(None);
    };
    let behind = offset.saturating_add(header.record_bytes());
    if behind > file.bytes()? {
        return Ok(None);
    }
    let mut body = vec![0; header.body_bytes as usize];
    let got = read_full(file, offset + HEADER_BYTES as u64, &mut body)?;
    body.truncate(got);
    Ok(header.body_intact(&body).then_some((header, body)))
}

impl StreamFile {
    /// Opens a file and reads its head only; `None` if it is no stream file (yet).
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, StreamError> {
        let fail = |e| StreamError::io("read stream", path, e);
        let file = disk.open(path, Access::Read).map_err(fail)?;
        let Some((header, body)) = record_at(&*file, 0).map_err(fail)? else {
            return Ok(None);
        };
        let Some(head) = StreamHead::parse(&body).filter(|_| header.kind == KIND_STREAM_OPEN) else {
            return Ok(None);
        };
        let bytes = file.bytes().map_err(fail)?;
        let (blocks, loose, notes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Some(Self { path: path.to_path_buf(), file, head, bytes, tag: header.tag, blocks, loose, notes }))
    }

    /// Finds the index: by the footer, or by scanning the headers.
    pub(super) fn load_index(&mut self) -> Result<(), StreamError> {
        match self.footer().map_err(|e| StreamError::io("read stream", &self.path, e))? {
            Some(blocks) => self.blocks = blocks,
            None => self.scan(true)?,
        }
        Ok(())
    }

    fn footer(&self) -> io::Result<Option<Vec<BlockRef>>> {
        let Some(at) = self.bytes.checked_sub(TRAILER_BYTES) else {
            return Ok(None);
        };
        let offset = record_at(&*self.file, at)?
            .filter(|(h, _)| h.kind == KIND_STREAM_TRAILER && h.tag == self.tag)
            .and_then(|(_, body)| Some(u64::from_le_bytes(body.try_into().ok()?)));
        let Some(offset) = offset else {
            return Ok(None);
        };
        let footer = record_at(&*self.file, offset)?.filter(|(h, _)| h.kind == KIND_STREAM_FOOTER && h.tag == self.tag);
        Ok(footer.and_then(|(_, body)| parse_footer(&body)))
    }

    /// Builds the index from the records' headers; intact blocks on the way spare the entries they cover.
    fn scan(&mut self, use_blocks: bool) -> Result<(), StreamError> {
        let path = self.path.clone();
        let fail = |e| StreamError::io("read stream", &path, e);
        let mut headers = Headers { file: Arc::clone(&self.file), buf: Vec::new(), buf_at: 0, end: self.bytes };
        let mut builder = Builder::default();
        self.blocks.clear();
        let mut at = 0;
        while at < self.bytes {
            let header = headers.at(at).map_err(fail)?.filter(|h| h.tag == self.tag);
            match header {
                Some(header) if at + header.record_bytes() <= self.bytes => {
                    let indexed = use_blocks && header.kind == KIND_STREAM_INDEX;
                    let block = if indexed { self.block_at(at).map_err(fail)? } else { None };
                    if let Some(block) = block {
                        self.blocks.push(block);
                        builder = Builder::default();
                    }
                    let body = headers.body(at, &header).map_err(fail)?;
                    builder.add(&header, at, body);
                    at += header.record_bytes();
                }
                // The last record is still being written, or never was finished.
                Some(_) => break,
                None => {
                    let Some(next) = self.next_intact(at).map_err(fail)? else {
                        break;
                    };
                    self.notes.push(format!("{}: bytes {at} to {next} are damaged", self.path.display()));
                    at = next;
                }
            }
        }
        self.loose = builder.into_entries();
        Ok(())
    }

    fn next_intact(&self, from: u64) -> io::Result<Option<u64>> {
        let mut scanner = Scanner::new(&*self.file, from, self.bytes)?.with_tag(self.tag);
        Ok(match scanner.next()? {
            Some(Found::Damaged { to, .. }) => Some(to),
            Some(Found::Valid { to, .. }) => Some(to),
            Some(Found::TornTail { .. }) | None => None,
        })
    }

    fn block_at(&self, offset: u64) -> io::Result<Option<BlockRef>> {
        let Some((header, body)) = record_at(&*self.file, offset)? else {
            return Ok(None);
        };
        let Some(entries) = parse_block(&body) else {
            return Ok(None);
        };
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(None);
        };
        let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        Ok(Some(BlockRef { offset, bytes: header.body_bytes, entries: number, min: first.key, max: last.key }))
    }

    fn load_block(&self, block: &BlockRef) -> Result<Option<Vec<Entry>>, StreamError> {
        let record = record_at(&*self.file, block.offset).map_err(|e| StreamError::io("read stream", &self.path, e))?;
        let body = record.filter(|(h, _)| h.kind == KIND_STREAM_INDEX && h.tag == self.tag);
        Ok(body.and_then(|(_, body)| parse_block(&body)))
    }

    /// The entries of one task.
    pub(super) fn entries_of(&mut self, job: u32, task: u32) -> Result<Vec<Entry>, StreamError> {
        let mine = |k: &Key| (k.job, k.task) == (job, task);
        let spans = |b: &&BlockRef| (b.min.job, b.min.task) <= (job, task) && (job, task) <= (b.max.job, b.max.task);
        let mut out = Vec::new();
        let blocks: Vec<BlockRef> = self.blocks.iter().filter(spans).copied().collect();
        for block in &blocks {
            match self.load_block(block)? {
                Some(entries) => out.extend(entries.into_iter().filter(|e| mine(&e.key))),
                None => {
                    self.rebuild(block)?;
                    return self.entries_of(job, task);
                }
            }
        }
        let from = self.loose.partition_point(|e| (e.key.job, e.key.task) < (job, task));
        out.extend(self.loose.iter().skip(from).take_while(|e| mine(&e.key)).cloned());
        Ok(out)
    }

    /// Drops a damaged index and reads the headers instead.
    fn rebuild(&mut self, block: &BlockRef) -> Result<(), StreamError> {
        self.notes.push(format!("{}: the index at byte {} is damaged", self.path.display(), block.offset));
        self.scan(false)
    }

    /// Makes sure that every block can be loaded, so that a walk over all of them meets no surprise.
    pub(super) fn check_blocks(&mut self) -> Result<(), StreamError> {
        for block in self.blocks.clone() {
            if self.load_block(&block)?.is_none() {
                return self.rebuild(&block);
            }
        }
        Ok(())
    }
}

/// Reads headers one after another through a window, skipping bodies.
struct Headers {
    file: Arc<dyn File>,
    buf: Vec<u8>,
    buf_at: u64,
    end: u64,
}

impl Headers {
    fn at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let inside = at.checked_sub(self.buf_at).and_then(|n| usize::try_from(n).ok());
        if let Some(bytes) = inside.and_then(|n| self.buf.get(n..n + HEADER_BYTES)) {
            return Ok(Header::parse(bytes).ok());
        }
        self.load(at)?;
        Ok(Header::parse(&self.buf).ok())
    }

    /// The intact body of the end record at `at`; of other kinds, and when it is damaged, nothing.
    fn body(&mut self, at: u64, header: &Header) -> io::Result<&[u8]> {
        let bytes = header.body_bytes as usize;
        if header.kind != KIND_STREAM_END || bytes == 0 || bytes > END_BYTES_MAX {
            return Ok(&[]);
        }
        let from = at + HEADER_BYTES as u64;
        let is_loaded = |buf_at: u64, len: usize| from >= buf_at && from + bytes as u64 <= buf_at + len as u64;
        if !is_loaded(self.buf_at, self.buf.len()) {
            self.load(from)?;
        }
        let begin = usize::try_from(from.saturating_sub(self.buf_at)).unwrap_or(usize::MAX);
        let body = self.buf.get(begin..begin.saturating_add(bytes)).unwrap_or_default();
        Ok(if header.body_intact(body) { body } else { &[] })
    }

    fn load(&mut self, at: u64) -> io::Result<()> {
        let want = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX).min(SCAN_BYTES);
        self.buf.resize(want, 0);
        let got = read_full(&*self.file, at, &mut self.buf)?;
        self.buf.truncate(got);
        self.buf_at = at;
        Ok(())
    }
}

/// A sorted run of entries: a block that is loaded when it is due, or entries in memory.
struct Run<'f> {
    file: usize,
    block: Option<(&'f StreamFile, BlockRef)>,
    entries: std::vec::IntoIter<Entry>,
}

/// Walks over the entries of several files in the order of their keys.
pub(super) struct Merge<'f> {
    runs: Vec<Run<'f>>,
    /// Next key of each run; a run that is not loaded yet stands at its first key.
    heap: BinaryHeap<Reverse<(Key, usize)>>,
}

impl<'f> Merge<'f> {
    /// All entries of `files`, or of one job only.
    pub(super) fn new(files: &'f [StreamFile], job: Option<u32>) -> Self {
        let mut merge = Self { runs: Vec::new(), heap: BinaryHeap::new() };
        for (n, file) in files.iter().enumerate() {
            for block in &file.blocks {
                if job.is_none_or(|j| block.min.job <= j && j <= block.max.job) {
                    merge.heap.push(Reverse((block.min, merge.runs.len())));
                    merge.runs.push(Run { file: n, block: Some((file, *block)), entries: Vec::new().into_iter() });
                }
            }
            if let Some(first) = file.loose.first() {
                merge.heap.push(Reverse((first.key, merge.runs.len())));
                merge.runs.push(Run { file: n, block: None, entries: file.loose.clone().into_iter() });
            }
        }
        merge
    }

    /// The next entry with the number of its file.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Entry)>, StreamError> {
        let Some(Reverse((_, n))) = self.heap.pop() else {
            return Ok(None);
        };
        let Some(run) = self.runs.get_mut(n) else {
            return Ok(None);
        };
        if let Some((file, block)) = run.block.take() {
            // Blocks were checked before; one that broke since then has nothing to offer.
            run.entries = file.load_block(&block)?.unwrap_or_default().into_iter();
        }
        let entry = run.entries.next();
        if let Some(next) = run.entries.as_slice().first() {
            self.heap.push(Reverse((next.key, n)));
        }
        Ok(entry.map(|e| (run.file, e)))
    }
}
