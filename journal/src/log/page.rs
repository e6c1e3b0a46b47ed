//! One entry of the log in the store: a page of whole records, or a piece of one large record.
//!
//! The store takes values of at most 4,000 bytes safely and is fastest with few of them, so records are packed.
//!
//! **Invariant:** a page verifies by itself, and says which records it completes without its body being parsed.
//!
//! Layout, little-endian: `0 magic | 4 part | 5 zero | 6 records completed | 8 first sequence | 16 epoch and 20
//! chain value of the last record completed here or before | 24 body bytes | 28 crc32c of bytes 0..28 and body | 32
//! body`.

use crate::record::Point;
use crate::store::VALUE_BYTES_MAX;

/// Bytes before the body.
pub const PAGE_HEADER_BYTES: usize = 32;
/// Largest body of a page.
pub const PAGE_BODY_BYTES_MAX: usize = VALUE_BYTES_MAX - PAGE_HEADER_BYTES;
const MAGIC: [u8; 4] = [0xF5, b'h', b'q', 0x2A];

/// What the body of a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Whole records.
    Whole,
    /// The beginning of one record.
    Begin,
    /// More of that record.
    Middle,
    /// The rest of that record.
    End,
}

/// A page's header and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    /// What the body is.
    pub piece: Piece,
    /// Records that are complete with this page.
    pub records: u16,
    /// Sequence of the first record, also of a piece.
    pub first_seq: u64,
    /// Epoch of the last record completed here or before.
    pub epoch: u32,
    /// Chain value of that record.
    pub chain: u32,
    /// Records, or a piece of one.
    pub body: &'a [u8],
}

impl<'a> Page<'a> {
    /// Reads a page; `None` if it is not intact.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (head, body) = value.split_first_chunk::<PAGE_HEADER_BYTES>()?;
        let (covered, crc) = head.split_at(PAGE_HEADER_BYTES - 4);
        let computed = crc32c::crc32c_append(crc32c::crc32c(covered), body);
        if !covered.starts_with(&MAGIC) || crc != computed.to_le_bytes() {
            return None;
        }
        let u32_at = |at: usize| head.get(at..).and_then(|s| s.first_chunk()).map(|b| u32::from_le_bytes(*b));
        let piece = match head[4] {
            0 => Piece::Whole,
            1 => Piece::Begin,
            2 => Piece::Middle,
            3 => Piece::End,
            _ => return None,
        };
        if u32_at(24)? as usize != body.len() {
            return None;
        }
        Some(Self {
            piece,
            records: u16::from_le_bytes([head[6], head[7]]),
            first_seq: head.get(8..).and_then(|s| s.first_chunk()).map(|b| u64::from_le_bytes(*b))?,
            epoch: u32_at(16)?,
            chain: u32_at(20)?,
            body,
        })
    }

    /// The bytes of the page; the body is at most [`PAGE_BODY_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE_HEADER_BYTES + self.body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[
            match self.piece {
                Piece::Whole => 0,
                Piece::Begin => 1,
                Piece::Middle => 2,
                Piece::End => 3,
            },
            0,
        ]);
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out), self.body);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(self.body);
        out
    }

    /// The last record that is complete with this page; `None` for a piece that completes none.
    pub fn end(&self) -> Option<Point> {
        let records = u64::from(self.records);
        let seq = self.first_seq.checked_add(records.checked_sub(1)?)?;
        Some(Point { seq, epoch: self.epoch, chain: self.chain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_return_and_any_flip_is_noticed() {
        let page = Page { piece: Piece::End, records: 1, first_seq: 70, epoch: 3, chain: 4, body: b"body" };
        let bytes = page.encode();
        assert_eq!(Page::parse(&bytes), Some(page));
        assert_eq!(page.end(), Some(Point { seq: 70, epoch: 3, chain: 4 }));
        for bit in 0..bytes.len() * 8 {
            let mut copy = bytes.clone();
            copy[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Page::parse(&copy), None, "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(Page::parse(&bytes[..cut]), None, "cut {cut}");
        }
    }
}
