//! Reads the headers of a stream file one after another, through a window.
//!
//! A file without an index, or a part of one, is understood by its headers; the bodies of chunks are only passed over.
//!
//! **Invariant:** memory is bounded by the window; large bodies are skipped without being read.

use std::io;

use crate::disk::{File, read_full};
use crate::record::{HEADER_BYTES, Header, KIND_STREAM_END};

/// Bytes read at a time where records are small.
const WINDOW_BYTES: usize = 256 * 1024;
/// Behind a record of so many bytes only a little is read, since the next one is likely to be as long.
const LARGE_BYTES: u64 = 8 * 1024;
/// Bytes read at a time where records are large.
const SMALL_WINDOW_BYTES: usize = 512;
/// Longest body of an end record in bytes.
const END_BYTES_MAX: usize = 4096;

/// A window over a file that is read forwards.
pub(super) struct Headers<'f> {
    file: &'f dyn File,
    buf: Vec<u8>,
    buf_at: u64,
    end: u64,
    is_large: bool,
}

impl<'f> Headers<'f> {
    /// Nothing behind `end` is read.
    pub(super) fn new(file: &'f dyn File, end: u64) -> Self {
        Self { file, buf: Vec::new(), buf_at: 0, end, is_large: false }
    }

    /// The bytes from `at` on, as far as they are loaded.
    fn loaded(&self, at: u64) -> &[u8] {
        let inside = at.checked_sub(self.buf_at).and_then(|n| usize::try_from(n).ok());
        inside.and_then(|n| self.buf.get(n..)).unwrap_or_default()
    }

    fn load(&mut self, at: u64) -> io::Result<()> {
        let most = if self.is_large { SMALL_WINDOW_BYTES } else { WINDOW_BYTES };
        let want = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX).min(most);
        self.buf.resize(want, 0);
        let got = read_full(self.file, at, &mut self.buf)?;
        self.buf.truncate(got);
        self.buf_at = at;
        Ok(())
    }

    /// The intact header at `at`.
    pub(super) fn at(&mut self, at: u64) -> io::Result<Option<Header>> {
        if self.loaded(at).len() < HEADER_BYTES {
            self.load(at)?;
        }
        let header = Header::parse(self.loaded(at)).ok();
        self.is_large = header.is_some_and(|header| header.record_bytes() > LARGE_BYTES);
        Ok(header)
    }

    /// The intact body of the end record at `at`; of other kinds, and when it is damaged, nothing.
    pub(super) fn end_body(&mut self, at: u64, header: &Header) -> io::Result<&[u8]> {
        let bytes = header.body_bytes as usize;
        if header.kind != KIND_STREAM_END || bytes == 0 || bytes > END_BYTES_MAX {
            return Ok(&[]);
        }
        let from = at + HEADER_BYTES as u64;
        if self.loaded(from).len() < bytes {
            self.is_large = false;
            self.load(from)?;
        }
        let body = self.loaded(from).get(..bytes).unwrap_or_default();
        Ok(if header.body_intact(body) { body } else { &[] })
    }
}
