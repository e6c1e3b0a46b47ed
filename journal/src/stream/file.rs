//! One stream file as a reader sees it: its head, its index, and what is damaged of them.
//!
//! Whether a file was closed, is still growing, was cut by a crash or damaged, the rest of the reader sees sorted
//! entries.
//!
//! **Invariant:** an index only ever replaces headers that it covers; where it cannot be read, the headers are.
//! **Invariant:** what is damaged is named; a record that is not complete yet, at the end of a file, is no damage.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::filter::{FEW_BLOCKS, Filters};
use super::headers::Headers;
use super::index::{BlockRef, Builder, Entry, Key, parse_block, parse_footer};
use super::pool::{Pool, Pooled};
use super::{StreamError, StreamHead, tag_of};
use crate::disk::{File, read_full};
use crate::record::{
    HEADER_BYTES, Header, KIND_STREAM_CHUNK, KIND_STREAM_FILTERS, KIND_STREAM_FOOTER, KIND_STREAM_INDEX,
    KIND_STREAM_OPEN, KIND_STREAM_TRAILER,
};
use crate::scan::{Found, Scanner};

const TRAILER_BYTES: u64 = HEADER_BYTES as u64 + 8;
/// Behind a damaged head an intact record is looked for within so many bytes.
const HEAD_SEARCH_BYTES: u64 = 4 * 1024 * 1024;
/// Read at once of a record of which nothing is known.
const SHORT_RECORD_BYTES: usize = 512;
/// Sentences about damage that are kept; more are counted.
const SENTENCES_MAX: usize = 1_000;

/// What is damaged, one sentence each, none twice.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<(BTreeSet<String>, BTreeSet<String>)>);

impl Damage {
    fn state(&self) -> std::sync::MutexGuard<'_, (BTreeSet<String>, BTreeSet<String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, sentence: String) {
        let mut state = self.state();
        if state.1.len() < SENTENCES_MAX && state.1.insert(sentence.clone()) {
            state.0.insert(sentence);
        }
    }

    /// What was noted since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state().0).into_iter().collect()
    }
}

/// A stream file and its index.
pub(super) struct StreamFile {
    pub(super) path: PathBuf,
    pub(super) file: Pooled,
    pub(super) head: StreamHead,
    pub(super) bytes: u64,
    pub(super) tag: u16,
    /// Where the records behind the head begin, if that is damaged.
    behind_head: Option<u64>,
    /// Up to where the file was understood; what comes later is read from there.
    pub(super) read_to: u64,
    /// Whether the file was closed: nothing will be added.
    pub(super) is_closed: bool,
    pub(super) blocks: Vec<BlockRef>,
    /// Where the last record of filters of the blocks is; none in files without them.
    filters_at: Option<u64>,
    /// Entries that are in no block.
    pub(super) loose: Vec<Entry>,
    damage: Arc<Damage>,
    /// What of it is damaged alone.
    pub(super) own_damage: Damage,
}

/// The record at `offset` with its body, if it is intact.
pub(super) fn record_at(file: &dyn File, offset: u64) -> io::Result<Option<(Header, Vec<u8>)>> {
    // Most records are short: then this is all that is read.
    let mut start = [0; SHORT_RECORD_BYTES];
    let got = read_full(file, offset, &mut start)?;
    let start = start.get(..got).unwrap_or_default();
    let Ok(header) = Header::parse(start) else {
        return Ok(None);
    };
    let whole = usize::try_from(header.record_bytes()).ok().and_then(|bytes| start.get(HEADER_BYTES..bytes));
    if let Some(body) = whole {
        return Ok(header.body_intact(body).then(|| (header, body.to_vec())));
    }
    let behind = offset.saturating_add(header.record_bytes());
    if behind > file.bytes()? {
        return Ok(None);
    }
    let mut body = vec![0; header.body_bytes as usize];
    let got = read_full(file, offset + HEADER_BYTES as u64, &mut body)?;
    body.truncate(got);
    Ok(header.body_intact(&body).then_some((header, body)))
}

/// What the headers of a part of a file say.
#[derive(Default)]
struct Scan {
    blocks: Vec<BlockRef>,
    loose: Vec<Entry>,
    to: u64,
}

impl StreamFile {
    /// Opens a file and reads its head only; `None` if it is no stream file (yet).
    pub(super) fn open(pool: &Arc<Pool>, path: &Path, damage: &Arc<Damage>) -> Result<Option<Self>, StreamError> {
        let fail = |e| StreamError::io("read stream", path, e);
        let file = pool.file(path).map_err(fail)?;
        let bytes = file.bytes().map_err(fail)?;
        let mut opened = Self {
            path: path.to_path_buf(),
            file,
            head: StreamHead::default(),
            bytes,
            tag: 0,
            behind_head: None,
            read_to: 0,
            is_closed: false,
            blocks: Vec::new(),
            filters_at: None,
            loose: Vec::new(),
            damage: Arc::clone(damage),
            own_damage: Damage::default(),
        };
        if let Some((header, body)) = record_at(&opened.file, 0).map_err(fail)?
            && header.kind == KIND_STREAM_OPEN
            && let Some(head) = StreamHead::parse(&body)
        {
            (opened.head, opened.tag) = (head, header.tag);
            return Ok(Some(opened));
        }
        Ok(opened.find_behind_head().map_err(fail)?.then_some(opened))
    }

    /// Looks for a record of a stream behind a head that is damaged.
    fn find_behind_head(&mut self) -> io::Result<bool> {
        let mut scanner = Scanner::new(&self.file, 0, HEAD_SEARCH_BYTES)?;
        let mut behind = 0;
        while let Some(found) = scanner.next()? {
            match found {
                Found::Damaged { to, .. } => behind = to,
                Found::TornTail { .. } => return Ok(false),
                Found::Valid { record, from, .. } => {
                    if behind == 0 || !(KIND_STREAM_CHUNK..=KIND_STREAM_FILTERS).contains(&record.header.kind) {
                        return Ok(false);
                    }
                    self.tag = record.header.tag;
                    self.behind_head = Some(from);
                    let name = self.path.file_stem().map(|name| name.to_string_lossy().into_owned());
                    self.head.file_id = name.unwrap_or_default();
                    self.note(&format!("bytes 0 to {from}, its head, are damaged"));
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Names something of this file that is damaged.
    pub(super) fn note(&self, what: &str) {
        self.damage.note(format!("{}: {what}", self.path.display()));
        self.own_damage.note(what.to_owned());
    }

    /// Names output that is damaged.
    pub(super) fn note_lost(&self, from: u64, to: u64) {
        self.note(&format!("bytes {from} to {to} are damaged and left out"));
    }

    /// Whether the head is damaged, so that it does not say whose file it is.
    pub(super) fn is_headless(&self) -> bool {
        self.behind_head.is_some()
    }

    /// Whether a file with a damaged head is one of this server: its records have the tag that follows from its name
    /// and the server.
    pub(super) fn could_be_of(&self, server_uid: &str) -> bool {
        tag_of(&self.head.file_id, server_uid) == self.tag
    }

    /// Finds the index: by the footer, or by scanning the headers.
    pub(super) fn load_index(&mut self) -> Result<(), StreamError> {
        let fail = |e| StreamError::io("read stream", &self.path, e);
        if let Some((blocks, end)) = self.footer().map_err(fail)? {
            (self.blocks, self.read_to, self.is_closed) = (blocks, self.bytes, true);
            self.filters_at = (end + TRAILER_BYTES < self.bytes).then_some(end);
            return Ok(());
        }
        let scan = self.scan(self.behind_head.unwrap_or(0), self.bytes, true).map_err(fail)?;
        (self.blocks, self.loose, self.read_to) = (scan.blocks, scan.loose, scan.to);
        Ok(())
    }

    /// What the footer lists, and where it ends.
    fn footer(&self) -> io::Result<Option<(Vec<BlockRef>, u64)>> {
        let Some(at) = self.bytes.checked_sub(TRAILER_BYTES) else {
            return Ok(None);
        };
        let offset = record_at(&self.file, at)?
            .filter(|(h, _)| h.kind == KIND_STREAM_TRAILER && h.tag == self.tag)
            .and_then(|(_, body)| Some(u64::from_le_bytes(body.try_into().ok()?)));
        let Some(offset) = offset else {
            return Ok(None);
        };
        let footer = record_at(&self.file, offset)?.filter(|(h, _)| h.kind == KIND_STREAM_FOOTER && h.tag == self.tag);
        let end = |header: &Header| offset.saturating_add(header.record_bytes());
        Ok(footer.and_then(|(header, body)| Some((parse_footer(&body)?, end(&header)))))
    }

    /// Understands a part of the file by its headers; intact blocks on the way spare the entries that they cover.
    fn scan(&self, from: u64, end: u64, use_blocks: bool) -> io::Result<Scan> {
        let mut headers = Headers::new(&self.file, end);
        let (mut scan, mut builder) = (Scan::default(), Builder::default());
        // A block behind damage may begin anywhere before it; then only the headers are believed.
        let mut trust_block = true;
        let mut at = from;
        while at < end {
            let header = headers.at(at)?.filter(|h| h.tag == self.tag);
            match header {
                Some(header) if at + header.record_bytes() <= end => {
                    if use_blocks && header.kind == KIND_STREAM_INDEX {
                        let block = if trust_block { self.block_at(at)? } else { None };
                        let covered = std::mem::take(&mut builder).into_entries();
                        match block {
                            Some(block) => scan.blocks.push(block),
                            None => scan.loose.extend(covered),
                        }
                        trust_block = true;
                    }
                    let body = headers.end_body(at, &header)?;
                    builder.add(&header, at, body);
                    at += header.record_bytes();
                }
                // The last record is still being written, or never was finished.
                Some(_) => break,
                None => {
                    let Some(next) = self.behind_damage(at, end)? else { break };
                    self.note(&format!("bytes {at} to {next} are damaged"));
                    (at, trust_block) = (next, false);
                }
            }
        }
        scan.to = at;
        scan.loose.extend(builder.into_entries());
        scan.loose.sort_by_key(|e| (e.key, e.channel, e.extents.first().map(|extent| extent.offset)));
        Ok(scan)
    }

    /// Where the damage that begins at `from` ends; `None` if that is no damage but a write that was not finished.
    fn behind_damage(&self, from: u64, end: u64) -> io::Result<Option<u64>> {
        let mut scanner = Scanner::new(&self.file, from, end)?.with_tag(self.tag);
        match scanner.next()? {
            Some(Found::Damaged { to, .. } | Found::Valid { to, .. }) => return Ok(Some(to)),
            Some(Found::TornTail { .. }) | None => {}
        }
        if end - from < HEADER_BYTES as u64 {
            return Ok(None);
        }
        // What was made room for but not written yet reads as zeros.
        let (mut at, mut buf) = (from, vec![0; 64 * 1024]);
        while at < end {
            let got = read_full(&self.file, at, &mut buf)?;
            let rest = buf.get(..got).unwrap_or_default();
            if rest.iter().any(|byte| *byte != 0) {
                return Ok(Some(end));
            }
            if got == 0 {
                break;
            }
            at += got as u64;
        }
        Ok(None)
    }

    fn block_at(&self, offset: u64) -> io::Result<Option<BlockRef>> {
        let Some((header, body)) = record_at(&self.file, offset)? else {
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

    /// The entries of a block; where it is damaged, by the headers that it covers. True: it is intact.
    pub(super) fn load_block(&self, block: &BlockRef) -> Result<(Vec<Entry>, bool), StreamError> {
        let fail = |e| StreamError::io("read stream", &self.path, e);
        let record = record_at(&self.file, block.offset).map_err(fail)?;
        let body = record.filter(|(h, _)| h.kind == KIND_STREAM_INDEX && h.tag == self.tag);
        if let Some(entries) = body.and_then(|(_, body)| parse_block(&body)) {
            return Ok((entries, true));
        }
        self.note(&format!("the index at byte {} is damaged", block.offset));
        let before = self.blocks.iter().rfind(|other| other.offset < block.offset);
        let from =
            before.map_or(self.behind_head.unwrap_or(0), |b| b.offset + HEADER_BYTES as u64 + u64::from(b.bytes));
        Ok((self.scan(from, block.offset, false).map_err(fail)?.loose, false))
    }

    /// Numbers of blocks that surely have nothing of a task, as far as there are filters that say so.
    fn blocks_without(&self, job: u32, task: u32) -> Result<BTreeSet<usize>, StreamError> {
        let fail = |e| StreamError::io("read stream", &self.path, e);
        let mut numbers = BTreeSet::new();
        let mut next = self.filters_at;
        while let Some(at) = next {
            let load = || self.load_filters(at);
            let Some(filters) = self.file.filters(at, load).map_err(fail)? else {
                self.note(&format!("the filters at byte {at} are damaged"));
                break;
            };
            numbers.extend(filters.without(job, task));
            // Those before come before.
            next = Some(filters.before).filter(|before| (1..at).contains(before));
        }
        Ok(numbers)
    }

    fn load_filters(&self, offset: u64) -> io::Result<Option<Filters>> {
        let record = record_at(&self.file, offset)?;
        let body = record.filter(|(h, _)| h.kind == KIND_STREAM_FILTERS && h.tag == self.tag);
        Ok(body.and_then(|(_, body)| Filters::parse(&body)))
    }

    /// The entries of one task.
    pub(super) fn entries_of(&self, job: u32, task: u32) -> Result<Vec<Entry>, StreamError> {
        let of = |k: &Key| (k.job, k.task);
        let spans = |b: &BlockRef| of(&b.min) <= (job, task) && (job, task) <= of(&b.max);
        let mut out = Vec::new();
        let mut take = |entries: &[Entry]| {
            let from = entries.partition_point(|e| of(&e.key) < (job, task));
            out.extend(entries.iter().skip(from).take_while(|e| of(&e.key) == (job, task)).cloned());
        };
        let mut likely: Vec<(usize, &BlockRef)> = self.blocks.iter().enumerate().filter(|(_, b)| spans(b)).collect();
        if likely.len() > FEW_BLOCKS {
            let without = self.blocks_without(job, task)?;
            likely.retain(|(number, _)| !without.contains(number));
        }
        for (_, block) in likely {
            let entries = self.file.block(block.offset, || self.load_block(block).map(|(entries, _)| entries))?;
            take(&entries);
        }
        take(&self.loose);
        Ok(out)
    }
}
