//! The one record layout of the log, the checkpoints and the output streams.
//!
//! A single layout lets one scanner find what is intact in any of these files; this is the only file that knows its
//! offsets.
//!
//! **Invariant:** a header verifies by itself, so that whoever filters by task skips bodies without reading them.
//! **Invariant:** the chain value of a record covers its header, its body and the chain value of the record before
//! it.
//!
//! Layout, little-endian, 64 bytes, followed by the body (`docs/formats.md` describes each field):
//! `0 magic | 4 layout | 5 channel | 6 kind | 8 flags | 10 tag | 12 body bytes | 16 seq | 24 time | 32 epoch | 36
//! job | 40 task | 44 attempt | 48 previous chain | 52 group index | 56 crc32c of body | 60 crc32c of bytes 0..60`.

use std::fmt;

/// Bytes of a record's header on disk.
pub const HEADER_BYTES: usize = 64;
/// Largest body of one record in bytes; a larger length in a header is damage, a larger draft is refused.
pub const BODY_BYTES_MAX: usize = 128 * 1024 * 1024;
/// First bytes of each record. The first byte never occurs in UTF-8 text.
pub const MAGIC: [u8; 4] = [0xF5, b'h', b'q', 0x1A];
/// Version of the layout that this program writes.
pub const LAYOUT: u8 = 1;

/// Kinds from here on belong to this crate and are never handed to the reader of the log.
pub const KIND_OWN_MIN: u16 = 0xFF00;
/// First record of a tail file; its sequence is that of the first event in the file.
pub const KIND_TAIL_HEAD: u16 = 0xFF01;
/// The log was opened by a writer; the header holds the new epoch.
pub const KIND_EPOCH: u16 = 0xFF02;
/// First record of a checkpoint; its sequence is that of the last event in the image.
pub const KIND_CHECKPOINT_HEAD: u16 = 0xFF03;
/// Last record of a complete checkpoint; its sequence is one more than the number of records of the image.
pub const KIND_CHECKPOINT_END: u16 = 0xFF04;
/// The log was continued in a new file after a disk error.
pub const KIND_RECOVERED: u16 = 0xFF05;
/// Stands for a record that a repair could not save, so that sequences and chain go on.
pub const KIND_LOST: u16 = 0xFF06;
/// First record of a kept file; its sequence is that of the last record which the file stands for.
pub const KIND_KEPT_HEAD: u16 = 0xFF07;
/// Where in a kept file the records of each job are.
pub const KIND_KEPT_INDEX: u16 = 0xFF08;
/// Last record of a kept file; its sequence is the number of records, its body the offset of the index.
pub const KIND_KEPT_END: u16 = 0xFF09;
/// First record of a stream file: server, worker and id of the file.
pub const KIND_STREAM_OPEN: u16 = 0xFF10;
/// Bytes that a task wrote to a channel.
pub const KIND_STREAM_CHUNK: u16 = 0xFF11;
/// A channel reached its end, or, with the channel 255, the attempt's output is complete.
pub const KIND_STREAM_END: u16 = 0xFF12;
/// A sorted block of the index over the records before it.
pub const KIND_STREAM_INDEX: u16 = 0xFF13;
/// The list of index blocks, written when the file is closed.
pub const KIND_STREAM_FOOTER: u16 = 0xFF14;
/// Last record of a closed stream file: where the footer is.
pub const KIND_STREAM_TRAILER: u16 = 0xFF15;
/// Which blocks of the index of a stream file a task is not in.
pub const KIND_STREAM_FILTERS: u16 = 0xFF16;

/// Flag: the record concerns several jobs, so it is shown in the history of each of them.
pub const FLAG_SHARED: u16 = 0x0001;
/// Flag: the record means nothing without the next one, with which it was committed. Where a crash has left only the first
/// of several such records, none of them counts.
pub const FLAG_GOES_ON: u16 = 0x0002;

/// A place in the log: everything up to and including `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Point {
    /// Sequence number of the last record; 0 before the first.
    pub seq: u64,
    /// Epoch of the writer of that record.
    pub epoch: u32,
    /// Chain value of that record; 0 before the first.
    pub chain: u32,
}

/// What the fixed header of a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// What the body means. Kinds are never reused; those from [`KIND_OWN_MIN`] on are this crate's.
    pub kind: u16,
    /// Bits such as [`FLAG_SHARED`]; unknown bits are ignored.
    pub flags: u16,
    /// 0 stdout, 1 stderr, 255 all; 0 where it means nothing.
    pub channel: u8,
    /// Number of the record in its log or file, without gaps.
    pub seq: u64,
    /// Epoch of the writer in the log, epoch of the attempt in a stream.
    pub epoch: u32,
    /// Time in microseconds since 1970, UTC.
    pub time_us: u64,
    /// Job, or 0 for none.
    pub job: u32,
    /// Task inside the job.
    pub task: u32,
    /// Attempt (instance) of the task.
    pub attempt: u32,
    /// Random number of the file or journal; a record with another tag was not written into this one.
    pub tag: u16,
    /// Position inside its commit group: all records up to `seq - group_index - 1` were durable when this was
    /// written.
    pub group_index: u32,
    /// Chain value of the record before.
    pub prev: u32,
    /// Length of the body in bytes, at most [`BODY_BYTES_MAX`].
    pub body_bytes: u32,
    /// crc32c of the body.
    pub body_crc: u32,
    /// Chain value of this record: crc32c of the first 60 bytes of the header.
    pub chain: u32,
}

/// Why 64 bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// Fewer than 64 bytes, or another magic.
    NoMagic,
    /// The checksum differs: damaged.
    Checksum,
    /// Intact, but of a layout that this program does not know.
    Layout(u8),
    /// Intact, but with a body longer than allowed.
    TooLong(u32),
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMagic => write!(f, "no record begins here"),
            Self::Checksum => write!(f, "the record's header is damaged"),
            Self::Layout(v) => write!(f, "record layout {v} is unknown; this program reads layout {LAYOUT}"),
            Self::TooLong(n) => write!(f, "the record's body of {n} bytes is over the limit of {BODY_BYTES_MAX}"),
        }
    }
}

impl std::error::Error for HeaderFault {}

fn u16_at(h: &[u8; HEADER_BYTES], at: usize) -> u16 {
    h.get(at..).and_then(|s| s.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
}

fn u32_at(h: &[u8; HEADER_BYTES], at: usize) -> u32 {
    h.get(at..).and_then(|s| s.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(h: &[u8; HEADER_BYTES], at: usize) -> u64 {
    h.get(at..).and_then(|s| s.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

impl Header {
    /// Reads the header at the start of `bytes`; the body is not looked at.
    ///
    /// # Errors
    /// [`HeaderFault`] when no intact header of a known layout is there.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let h: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderFault::NoMagic)?;
        let (covered, _) = h.split_at(60);
        if !covered.starts_with(&MAGIC) {
            return Err(HeaderFault::NoMagic);
        }
        let chain = u32_at(h, 60);
        if crc32c::crc32c(covered) != chain {
            return Err(HeaderFault::Checksum);
        }
        if h[4] != LAYOUT {
            return Err(HeaderFault::Layout(h[4]));
        }
        let body_bytes = u32_at(h, 12);
        if body_bytes as usize > BODY_BYTES_MAX {
            return Err(HeaderFault::TooLong(body_bytes));
        }
        Ok(Self {
            kind: u16_at(h, 6),
            flags: u16_at(h, 8),
            channel: h[5],
            seq: u64_at(h, 16),
            epoch: u32_at(h, 32),
            time_us: u64_at(h, 24),
            job: u32_at(h, 36),
            task: u32_at(h, 40),
            attempt: u32_at(h, 44),
            tag: u16_at(h, 10),
            group_index: u32_at(h, 52),
            prev: u32_at(h, 48),
            body_bytes,
            body_crc: u32_at(h, 56),
            chain,
        })
    }

    /// Bytes of header and body together.
    pub fn record_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    /// Whether `body` is the body that this header was written for.
    pub fn body_intact(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes as usize && crc32c::crc32c(body) == self.body_crc
    }
}

/// Appends header and body to `out`, filling in lengths and checksums, and returns the record's chain value.
///
/// The caller has checked that `body` is at most [`BODY_BYTES_MAX`]; a longer one would be cut by no one and refused
/// by each reader.
pub fn encode_into(out: &mut Vec<u8>, header: &Header, body: &[u8]) -> u32 {
    let mut h = [0u8; 60];
    let fields: [(usize, &[u8]); 14] = [
        (0, &MAGIC),
        (4, &[LAYOUT, header.channel]),
        (6, &header.kind.to_le_bytes()),
        (8, &header.flags.to_le_bytes()),
        (10, &header.tag.to_le_bytes()),
        (12, &u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes()),
        (16, &header.seq.to_le_bytes()),
        (24, &header.time_us.to_le_bytes()),
        (32, &header.epoch.to_le_bytes()),
        (36, &header.job.to_le_bytes()),
        (40, &header.task.to_le_bytes()),
        (44, &header.attempt.to_le_bytes()),
        (48, &header.prev.to_le_bytes()),
        (52, &header.group_index.to_le_bytes()),
    ];
    for (at, bytes) in fields {
        if let Some(place) = h.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    if let Some(place) = h.last_chunk_mut::<4>() {
        *place = crc32c::crc32c(body).to_le_bytes();
    }
    let chain = crc32c::crc32c(&h);
    out.extend_from_slice(&h);
    out.extend_from_slice(&chain.to_le_bytes());
    out.extend_from_slice(body);
    chain
}

/// An intact record, borrowed from the reader's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The header.
    pub header: Header,
    /// The body; verified against the header.
    pub body: &'a [u8],
}

impl RecordRef<'_> {
    /// A copy that owns its body.
    pub fn to_record(&self) -> Record {
        Record { header: self.header, body: self.body.to_vec() }
    }

    /// Whether the record belongs to the history of `job`.
    pub fn concerns(&self, job: u32) -> bool {
        self.header.kind < KIND_OWN_MIN && (self.header.job == job || self.header.flags & FLAG_SHARED != 0)
    }
}

/// An intact record that owns its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The header.
    pub header: Header,
    /// The body: CBOR of an event, or raw bytes of an output chunk.
    pub body: Vec<u8>,
}

impl Record {
    /// The record as a reference.
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef { header: self.header, body: &self.body }
    }
}

/// A record before the journal gave it a place: sequence, epoch and chain are assigned when it is appended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordDraft {
    /// What the body means; below [`KIND_OWN_MIN`].
    pub kind: u16,
    /// Bits such as [`FLAG_SHARED`].
    pub flags: u16,
    /// Channel of a chunk.
    pub channel: u8,
    /// Time in microseconds since 1970, UTC.
    pub time_us: u64,
    /// Job, or 0 for none; selects the history in which the record is found.
    pub job: u32,
    /// Task inside the job.
    pub task: u32,
    /// Attempt of the task.
    pub attempt: u32,
    /// The body, at most [`BODY_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
}

impl RecordDraft {
    /// The header fields that the draft decides.
    pub(crate) fn header(&self) -> Header {
        Header {
            kind: self.kind,
            flags: self.flags,
            channel: self.channel,
            time_us: self.time_us,
            job: self.job,
            task: self.task,
            attempt: self.attempt,
            ..Header::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<u8>, u32) {
        let mut out = Vec::new();
        let header = Header {
            kind: 7,
            flags: 1,
            channel: 1,
            seq: 0x0102_0304_0506_0708,
            epoch: 9,
            time_us: 10,
            job: 11,
            task: 12,
            attempt: 13,
            tag: 14,
            group_index: 15,
            prev: 16,
            ..Header::default()
        };
        let chain = encode_into(&mut out, &header, b"body");
        (out, chain)
    }

    #[test]
    fn header_returns_what_was_written() {
        let (bytes, chain) = sample();
        let h = Header::parse(&bytes).unwrap();
        assert_eq!((h.kind, h.flags, h.channel, h.seq, h.epoch), (7, 1, 1, 0x0102_0304_0506_0708, 9));
        assert_eq!((h.time_us, h.job, h.task, h.attempt), (10, 11, 12, 13));
        assert_eq!((h.tag, h.group_index, h.prev, h.body_bytes, h.chain), (14, 15, 16, 4, chain));
        assert!(h.body_intact(b"body") && !h.body_intact(b"bodx") && !h.body_intact(b"bod"));
        assert_eq!(bytes.len(), HEADER_BYTES + 4);
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed() {
        let (bytes, _) = sample();
        for bit in 0..HEADER_BYTES * 8 {
            let mut copy = bytes.clone();
            copy[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&copy).is_err(), "bit {bit}");
        }
        for cut in 0..HEADER_BYTES {
            assert_eq!(Header::parse(&bytes[..cut]), Err(HeaderFault::NoMagic));
        }
    }

    #[test]
    fn unknown_layout_and_long_body_are_told_apart_from_damage() {
        let (bytes, _) = sample();
        let resealed = |at: usize, with: &[u8]| {
            let mut copy = bytes.clone();
            copy[at..at + with.len()].copy_from_slice(with);
            let crc = crc32c::crc32c(&copy[..60]);
            copy[60..64].copy_from_slice(&crc.to_le_bytes());
            Header::parse(&copy)
        };
        assert_eq!(resealed(4, &[2]), Err(HeaderFault::Layout(2)));
        assert_eq!(resealed(12, &u32::MAX.to_le_bytes()), Err(HeaderFault::TooLong(u32::MAX)));
    }
}
