//! The index of a stream file: sorted blocks that say where the output of each attempt is.
//!
//! A block is written whenever enough was collected, so neither the writer nor the reader ever holds the index of a
//! whole file that a million tasks went into.
//!
//! **Invariant:** the entries of a block are sorted by key and channel, and cover every record since the block
//! before.
//!
//! Block body, little-endian: `0 entries u32 | 4 extents u32 | entries of 56 bytes | extents of 16 bytes`; the
//! offsets inside an entry are in `Entry::encode`.

use std::collections::BTreeMap;

use crate::record::{Header, KIND_STREAM_CHUNK, KIND_STREAM_END};
use crate::stream::{CHANNEL_ALL, Outcome, filter};

const ENTRY_BYTES: usize = 56;
const EXTENT_BYTES: usize = 16;
const BLOCK_REF_BYTES: usize = 48;
/// Entries after which a block is written.
pub(super) const BLOCK_ENTRIES_MAX: usize = 8192;
/// Extents after which a block is written.
pub(super) const BLOCK_EXTENTS_MAX: usize = 32_768;
/// Flag of an entry: the channel reached its end.
pub(super) const FLAG_ENDED: u8 = 1;
/// Flag of an entry: the attempt's output is complete.
pub(super) const FLAG_FINISHED: u8 = 2;

/// One execution of a task. Larger is newer, for the same job and task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key {
    /// Job.
    pub job: u32,
    /// Task inside the job.
    pub task: u32,
    /// Epoch of the server that started the attempt.
    pub epoch: u32,
    /// Number of the attempt (instance).
    pub attempt: u32,
}

impl Key {
    pub(super) fn of(header: &Header) -> Self {
        Self { job: header.job, task: header.task, epoch: header.epoch, attempt: header.attempt }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for n in [self.job, self.task, self.epoch, self.attempt] {
            out.extend_from_slice(&n.to_le_bytes());
        }
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        Some(Self { job: take_u32(rest)?, task: take_u32(rest)?, epoch: take_u32(rest)?, attempt: take_u32(rest)? })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(head)
}

pub(super) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(|b| u32::from_le_bytes(*b))
}

pub(super) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(|b| u64::from_le_bytes(*b))
}

/// Consecutive records of one attempt and channel in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset of the first record's header.
    pub offset: u64,
    /// Bytes up to the end of the last record, headers included.
    pub bytes: u32,
    /// Number of records.
    pub records: u32,
}

/// What a block knows about one channel of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) channel: u8,
    pub(super) flags: u8,
    pub(super) chunks: u32,
    pub(super) bytes: u64,
    pub(super) first_us: u64,
    pub(super) last_us: u64,
    /// How the attempt ended; with the channel that stands for all.
    pub(super) outcome: Option<Outcome>,
    pub(super) extents: Vec<Extent>,
}

impl Entry {
    fn new(key: Key, channel: u8, time_us: u64) -> Self {
        let (flags, chunks, bytes, outcome, extents) = (0, 0, 0, None, Vec::new());
        Self { key, channel, flags, chunks, bytes, first_us: time_us, last_us: time_us, outcome, extents }
    }

    fn encode(&self, out: &mut Vec<u8>, extent_at: u32) {
        self.key.encode(out);
        let [way, number] = Outcome::pack(self.outcome);
        out.extend_from_slice(&[self.channel, self.flags, way, number]);
        out.extend_from_slice(&u32::try_from(self.extents.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&extent_at.to_le_bytes());
        out.extend_from_slice(&self.chunks.to_le_bytes());
        for n in [self.bytes, self.first_us, self.last_us] {
            out.extend_from_slice(&n.to_le_bytes());
        }
    }

    /// Reads an entry; `extents` begins with the extent of the number `first_extent`.
    fn take(rest: &mut &[u8], extents: &[u8], first_extent: usize) -> Option<Self> {
        let key = Key::take(rest)?;
        let [channel, flags, way, number_of] = *take::<4>(rest)?;
        let outcome = Outcome::unpack([way, number_of]);
        let (number, at) = (take_u32(rest)? as usize, take_u32(rest)? as usize);
        let chunks = take_u32(rest)?;
        let (bytes, first_us, last_us) = (take_u64(rest)?, take_u64(rest)?, take_u64(rest)?);
        let from = at.checked_sub(first_extent)?.checked_mul(EXTENT_BYTES)?;
        let mut raw = extents.get(from..from.checked_add(number.checked_mul(EXTENT_BYTES)?)?)?;
        let mut extents = Vec::with_capacity(number);
        while !raw.is_empty() {
            let (offset, bytes, records) = (take_u64(&mut raw)?, take_u32(&mut raw)?, take_u32(&mut raw)?);
            extents.push(Extent { offset, bytes, records });
        }
        Some(Self { key, channel, flags, chunks, bytes, first_us, last_us, outcome, extents })
    }
}

/// Where a block is and which keys it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockRef {
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) entries: u32,
    pub(super) min: Key,
    pub(super) max: Key,
}

/// Body of the footer.
pub(super) fn encode_footer(blocks: &[BlockRef]) -> Vec<u8> {
    let mut out = Vec::with_capacity(blocks.len() * BLOCK_REF_BYTES);
    for block in blocks {
        out.extend_from_slice(&block.offset.to_le_bytes());
        out.extend_from_slice(&block.bytes.to_le_bytes());
        out.extend_from_slice(&block.entries.to_le_bytes());
        block.min.encode(&mut out);
        block.max.encode(&mut out);
    }
    out
}

/// The blocks that a footer lists.
pub(super) fn parse_footer(mut body: &[u8]) -> Option<Vec<BlockRef>> {
    let mut blocks = Vec::with_capacity(body.len() / BLOCK_REF_BYTES);
    let rest = &mut body;
    while !rest.is_empty() {
        let (offset, bytes, entries) = (take_u64(rest)?, take_u32(rest)?, take_u32(rest)?);
        blocks.push(BlockRef { offset, bytes, entries, min: Key::take(rest)?, max: Key::take(rest)? });
    }
    Some(blocks)
}

/// The entries of a block.
pub(super) fn parse_block(mut body: &[u8]) -> Option<Vec<Entry>> {
    let rest = &mut body;
    let (entries, extents) = (take_u32(rest)? as usize, take_u32(rest)? as usize);
    let entry_bytes = entries.checked_mul(ENTRY_BYTES)?;
    if rest.len() != entry_bytes.checked_add(extents.checked_mul(EXTENT_BYTES)?)? {
        return None;
    }
    let (mut raw, extents) = rest.split_at_checked(entry_bytes)?;
    let mut out = Vec::with_capacity(entries);
    for _ in 0..entries {
        out.push(Entry::take(&mut raw, extents, 0)?);
    }
    out.is_sorted_by(|a, b| (a.key, a.channel) < (b.key, b.channel)).then_some(out)
}

/// A part of the entries of a block that was verified, for reading them a few at a time.
pub(super) struct Window {
    total: u32,
    first: u32,
    count: u32,
}

impl Window {
    /// At most `max` entries from the one with the number `first` on.
    pub(super) fn new(block: &BlockRef, first: u32, max: u32) -> Self {
        Self { total: block.entries, first, count: block.entries.saturating_sub(first).min(max) }
    }

    /// Where in the body they are, and how many bytes.
    pub(super) fn entries(&self) -> (u64, usize) {
        (8 + u64::from(self.first) * ENTRY_BYTES as u64, self.count as usize * ENTRY_BYTES)
    }

    /// Numbers of the first extent of `entries`, and of the one behind the last.
    fn span(entries: &[u8]) -> Option<(usize, usize)> {
        let of = |entry: &[u8]| {
            let rest = &mut entry.get(20..)?;
            let (number, at) = (take_u32(rest)? as usize, take_u32(rest)? as usize);
            Some((at, at.checked_add(number)?))
        };
        let last = entries.len().checked_sub(ENTRY_BYTES)?;
        Some((of(entries)?.0, of(entries.get(last..)?)?.1))
    }

    /// Where in the body the extents of these `entries` are, and how many bytes.
    pub(super) fn extents(&self, entries: &[u8]) -> (u64, usize) {
        let (from, to) = Self::span(entries).unwrap_or_default();
        // A block has no more; what says otherwise is not read.
        let count = to.saturating_sub(from).min(BLOCK_EXTENTS_MAX + 1);
        let begin = 8 + u64::from(self.total) * ENTRY_BYTES as u64 + from as u64 * EXTENT_BYTES as u64;
        (begin, count * EXTENT_BYTES)
    }

    /// The entries.
    pub(super) fn parse(&self, mut entries: &[u8], extents: &[u8]) -> Option<Vec<Entry>> {
        let (first, _) = Self::span(entries).unwrap_or_default();
        (0..self.count).map(|_| Entry::take(&mut entries, extents, first)).collect()
    }
}

/// Collects entries while records are written or scanned.
#[derive(Debug, Clone, Default)]
pub(super) struct Builder {
    entries: BTreeMap<(Key, u8), Entry>,
    extents: usize,
}

impl Builder {
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= BLOCK_ENTRIES_MAX || self.extents >= BLOCK_EXTENTS_MAX
    }

    /// Notes a record that begins at `offset`; other kinds than chunk and end are ignored. Only the body of an end is
    /// looked at, which the caller has checked.
    pub(super) fn add(&mut self, header: &Header, offset: u64, body: &[u8]) {
        if header.kind != KIND_STREAM_CHUNK && header.kind != KIND_STREAM_END {
            return;
        }
        let key = Key::of(header);
        let entry = self
            .entries
            .entry((key, header.channel))
            .or_insert_with(|| Entry::new(key, header.channel, header.time_us));
        entry.first_us = entry.first_us.min(header.time_us);
        entry.last_us = entry.last_us.max(header.time_us);
        if header.kind == KIND_STREAM_END {
            entry.flags |= if header.channel == CHANNEL_ALL { FLAG_FINISHED } else { FLAG_ENDED };
            entry.outcome = Outcome::parse(body).or(entry.outcome);
            return;
        }
        entry.chunks = entry.chunks.saturating_add(1);
        entry.bytes += u64::from(header.body_bytes);
        let bytes = u32::try_from(header.record_bytes()).unwrap_or(u32::MAX);
        match entry.extents.last_mut() {
            Some(last) if last.offset + u64::from(last.bytes) == offset && last.bytes.checked_add(bytes).is_some() => {
                last.bytes += bytes;
                last.records += 1;
            }
            _ => {
                entry.extents.push(Extent { offset, bytes, records: 1 });
                self.extents += 1;
            }
        }
    }

    /// The sorted entries.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries.into_values().collect()
    }

    /// The filter that tells which tasks are not in the block.
    pub(super) fn filter(&self) -> Vec<u8> {
        filter::of_keys(self.entries.keys().map(|(key, _)| *key))
    }

    /// The body of a block, and what the footer says about it but for its offset.
    pub(super) fn encode(&self) -> Option<(Vec<u8>, BlockRef)> {
        let (min, _) = *self.entries.keys().next()?;
        let (max, _) = *self.entries.keys().next_back()?;
        let entries = u32::try_from(self.entries.len()).ok()?;
        let extents: usize = self.entries.values().map(|e| e.extents.len()).sum();
        let mut out = Vec::with_capacity(8 + self.entries.len() * ENTRY_BYTES + extents * EXTENT_BYTES);
        out.extend_from_slice(&entries.to_le_bytes());
        out.extend_from_slice(&u32::try_from(extents).ok()?.to_le_bytes());
        let mut at = 0;
        for entry in self.entries.values() {
            entry.encode(&mut out, at);
            at += u32::try_from(entry.extents.len()).ok()?;
        }
        for extent in self.entries.values().flat_map(|e| &e.extents) {
            out.extend_from_slice(&extent.offset.to_le_bytes());
            out.extend_from_slice(&extent.bytes.to_le_bytes());
            out.extend_from_slice(&extent.records.to_le_bytes());
        }
        let bytes = u32::try_from(out.len()).ok()?;
        Some((out, BlockRef { offset: 0, bytes, entries, min, max }))
    }
}
