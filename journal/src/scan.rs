//! Turns the bytes of a file into intact records and named ranges of damage.
//!
//! After a crash a file may hold anything; whoever reads it needs to know what is certain, what is damaged in the
//! middle, and what is an unfinished end. The scanner says so and leaves the judgement to its callers.
//!
//! **Invariant:** a record is returned only when header and body match their checksums; nothing is ever guessed.
//! **Invariant:** memory is bounded by the largest record, and no length is believed before the header's checksum is.
//! **Invariant:** every byte of the range belongs to exactly one of the results.

use std::io;

use crate::disk::{File, read_full};
use crate::record::{HEADER_BYTES, Header, MAGIC, RecordRef};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What the scanner met.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An intact record.
    Valid {
        /// The record.
        record: RecordRef<'a>,
        /// Offset of its first byte.
        from: u64,
        /// Offset after its last byte.
        to: u64,
    },
    /// Bytes that are no record, followed by an intact record.
    Damaged {
        /// First bad byte.
        from: u64,
        /// Where the next intact record begins.
        to: u64,
    },
    /// Bytes that are no record, up to the end: a write that was not finished, or damage.
    TornTail {
        /// First bad byte.
        from: u64,
        /// The end of the file.
        to: u64,
    },
}

/// Reads records from a range of a file.
pub struct Scanner<'f> {
    file: &'f dyn File,
    pos: u64,
    end: u64,
    buf: Vec<u8>,
    buf_at: u64,
    tag: Option<u16>,
    known_good: bool,
}

impl<'f> Scanner<'f> {
    /// A scanner over `from..end` of `file`; `end` is cut to the file's length.
    ///
    /// # Errors
    /// The system's error when the length cannot be read.
    pub fn new(file: &'f dyn File, from: u64, end: u64) -> io::Result<Self> {
        let end = end.min(file.bytes()?);
        Ok(Self { file, pos: from, end, buf: Vec::new(), buf_at: from, tag: None, known_good: false })
    }

    /// Accepts only records with this tag when looking for the next record behind damage.
    #[must_use]
    pub fn with_tag(mut self, tag: u16) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Where the next call starts reading.
    pub fn position(&self) -> u64 {
        self.pos
    }

    /// Makes `at..at + bytes` available; false when the file ends before.
    fn load(&mut self, at: u64, bytes: usize) -> io::Result<bool> {
        let Some(left) = self.end.checked_sub(at).filter(|left| *left >= bytes as u64) else {
            return Ok(false);
        };
        if at >= self.buf_at && at + bytes as u64 <= self.buf_at + self.buf.len() as u64 {
            return Ok(true);
        }
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.max(CHUNK_BYTES));
        if self.buf.capacity() > 4 * CHUNK_BYTES && want <= CHUNK_BYTES {
            self.buf = Vec::new();
        }
        self.buf.resize(want, 0);
        let got = read_full(self.file, at, &mut self.buf)?;
        self.buf.truncate(got);
        self.buf_at = at;
        Ok(got >= bytes)
    }

    /// The loaded bytes from `at` on.
    fn loaded(&self, at: u64) -> &[u8] {
        at.checked_sub(self.buf_at).and_then(|n| self.buf.get(usize::try_from(n).ok()?..)).unwrap_or_default()
    }

    fn header_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        if !self.load(at, HEADER_BYTES)? {
            return Ok(None);
        }
        Ok(Header::parse(self.loaded(at)).ok())
    }

    /// The intact record at `at`, loaded as a whole.
    fn record_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let Some(header) = self.header_at(at)? else {
            return Ok(None);
        };
        let bytes = HEADER_BYTES + header.body_bytes as usize;
        if !self.load(at, bytes)? {
            return Ok(None);
        }
        let body = self.loaded(at).get(HEADER_BYTES..bytes).unwrap_or_default();
        Ok(header.body_intact(body).then_some(header))
    }

    fn tag_fits(&self, header: &Header) -> bool {
        self.tag.is_none_or(|tag| tag == header.tag)
    }

    /// The next intact record at `from` or later that belongs to this file.
    fn resync(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while self.load(at, HEADER_BYTES)? {
            let window = self.loaded(at);
            let Some(skip) = window.windows(MAGIC.len()).position(|w| w == MAGIC) else {
                at += (window.len() - (MAGIC.len() - 1)) as u64;
                continue;
            };
            at += skip as u64;
            match self.record_at(at)? {
                Some(header) if self.tag_fits(&header) => return Ok(Some(at)),
                _ => at += 1,
            }
        }
        Ok(None)
    }

    /// The next thing in the file, or `None` at its end.
    ///
    /// # Errors
    /// The system's error; the position does not move, so the call may be repeated.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        if self.pos >= self.end {
            return Ok(None);
        }
        let from = self.pos;
        let intact = if self.known_good { self.header_at(from)? } else { None };
        self.known_good = false;
        let intact = match intact {
            Some(header) => Some(header),
            None => self.record_at(from)?,
        };
        if let Some(header) = intact {
            self.tag.get_or_insert(header.tag);
            let bytes = HEADER_BYTES + header.body_bytes as usize;
            // Loaded a moment ago; loading again only matters when the record was found by a search.
            self.load(from, bytes)?;
            let to = from + bytes as u64;
            self.pos = to;
            let body = self.loaded(from).get(HEADER_BYTES..bytes).unwrap_or_default();
            return Ok(Some(Found::Valid { record: RecordRef { header, body }, from, to }));
        }
        // With an intact header its length tells where the next record is; only the body is bad. Looking inside the
        // body could find records that a task printed.
        let behind = self.header_at(from)?.map(|h| from + h.record_bytes());
        let next = match behind {
            Some(at) if at < self.end && self.record_at(at)?.is_some() => Some(at),
            Some(at) if at == self.end => None,
            _ => self.resync(from + 1)?,
        };
        match next {
            Some(to) => {
                self.pos = to;
                self.known_good = true;
                Ok(Some(Found::Damaged { from, to }))
            }
            None => {
                self.pos = self.end;
                Ok(Some(Found::TornTail { from, to: self.end }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::encode_into;

    fn file_of(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
        let (mut out, mut starts, mut prev) = (Vec::new(), Vec::new(), 0);
        for (n, body) in bodies.iter().enumerate() {
            starts.push(out.len() as u64);
            let header = Header { seq: n as u64 + 1, tag: 77, prev, ..Header::default() };
            prev = encode_into(&mut out, &header, body);
        }
        (out, starts)
    }

    type Scan = (Vec<(u64, Vec<u8>)>, Vec<(u64, u64)>, Option<u64>);

    fn scan(bytes: &Vec<u8>) -> Scan {
        let mut scanner = Scanner::new(bytes, 0, u64::MAX).unwrap();
        let (mut records, mut damage, mut torn, mut covered) = (Vec::new(), Vec::new(), None, 0);
        while let Some(found) = scanner.next().unwrap() {
            let (from, to) = match found {
                Found::Valid { record, from, to } => {
                    records.push((record.header.seq, record.body.to_vec()));
                    (from, to)
                }
                Found::Damaged { from, to } => {
                    damage.push((from, to));
                    (from, to)
                }
                Found::TornTail { from, to } => {
                    torn = Some(from);
                    (from, to)
                }
            };
            assert_eq!(from, covered);
            covered = to;
        }
        assert_eq!(covered, bytes.len() as u64);
        (records, damage, torn)
    }

    #[test]
    fn every_cut_is_a_torn_tail() {
        let (bytes, starts) = file_of(&[b"one".to_vec(), vec![], vec![9; 300]]);
        for cut in 0..=bytes.len() {
            let (records, damage, torn) = scan(&bytes[..cut].to_vec());
            let ends: Vec<u64> = starts.iter().skip(1).copied().chain([bytes.len() as u64]).collect();
            let whole = ends.iter().filter(|e| **e <= cut as u64).count();
            assert_eq!(records.len(), whole, "cut {cut}");
            assert!(damage.is_empty());
            let boundary = cut == 0 || ends.contains(&(cut as u64));
            assert_eq!(torn.is_none(), boundary, "cut {cut}");
        }
    }

    #[test]
    fn records_inside_a_damaged_body_are_not_taken_for_records() {
        let (inner, _) = file_of(&[b"printed by a task".to_vec()]);
        let (mut bytes, starts) = file_of(&[b"a".to_vec(), inner, b"c".to_vec()]);
        let at = usize::try_from(starts[1]).unwrap() + HEADER_BYTES + 2;
        bytes[at] ^= 1;
        let (records, damage, _) = scan(&bytes);
        assert_eq!(records.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(damage, [(starts[1], starts[2])]);
    }

    #[test]
    fn bodies_over_the_chunk_size_are_read() {
        let (bytes, _) = file_of(&[vec![1; 3 * CHUNK_BYTES], b"x".to_vec(), vec![2; CHUNK_BYTES]]);
        let (records, damage, torn) = scan(&bytes);
        assert_eq!(records.len(), 3);
        assert!(damage.is_empty() && torn.is_none());
    }

    proptest! {
        #[test]
        fn a_flipped_byte_loses_at_most_its_record(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8),
            at in any::<proptest::sample::Index>(),
            bit in 0u8..8,
        ) {
            let (mut bytes, starts) = file_of(&bodies);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let hit = starts.iter().rposition(|s| *s <= at as u64).unwrap();
            let (records, _, _) = scan(&bytes);
            let expected: Vec<_> = (0..bodies.len()).filter(|n| *n != hit)
                .map(|n| (n as u64 + 1, bodies[n].clone())).collect();
            prop_assert_eq!(records, expected);
        }

        #[test]
        fn noise_is_survived(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let (records, _, _) = scan(&noise);
            prop_assert!(records.is_empty());
        }
    }
}
