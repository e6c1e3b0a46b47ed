//! The event log in the page store: records in order, and the history of one job without a scan.
//!
//! Records arrive here when their tail file is full, off the critical path, and stay until the whole store is given up by
//! a pruning.
//!
//! **Invariant:** entries are numbered without gaps; records in them continue each other's chain from the base on.
//! **Invariant:** what is read back is checked page by page and record by record; a break is named, never skipped.

pub mod index;
pub mod page;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::record::{FLAG_SHARED, HEADER_BYTES, Header, Point, RecordRef, encode_into};
use crate::store::{Store, StoreError};
use index::{Lists, SHARED_JOB};
use page::{PAGE_BODY_BYTES_MAX, Page, Piece};

/// Pages collected before they are put into the store: 16 MiB.
const BATCH_PAGES_MAX: usize = 4096;
/// Keys of pages are below this; those of the index are above.
const ENTRY_END: u64 = 1 << 60;

/// Turns a store's error into ours.
pub(crate) fn store_error(what: &'static str) -> impl Fn(StoreError) -> Error {
    move |e| match e {
        StoreError::Io(e) if crate::error::is_full(&e) => Error::Full { path: PathBuf::from("the page store") },
        other => Error::Store { what, detail: other.to_string() },
    }
}

/// First and last thing in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// First entry that exists.
    pub first_entry: u64,
    /// Sequence of the first record in it.
    pub first_seq: u64,
    /// The entry after the last one that counts.
    pub next_entry: u64,
    /// The last complete record.
    pub end: Point,
}

impl Extent {
    /// Whether no record is in the store.
    pub fn is_empty(&self) -> bool {
        self.next_entry == self.first_entry
    }
}

/// Where and how the chain in the store breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBreak {
    /// First entry that is wrong or missing.
    pub entry: u64,
    /// The last record before it.
    pub after: Point,
    /// What is wrong.
    pub why: &'static str,
}

/// The log in a store; cheap to clone.
#[derive(Clone)]
pub struct Log {
    store: Arc<dyn Store>,
}

/// How a walk over pages ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walk {
    /// All entries asked for were intact; this is the last record.
    Done(Point),
    /// The callback had enough.
    Stopped,
    /// The chain is broken.
    Broken(LogBreak),
}

impl Log {
    /// The log in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Opens a store that has failed again, so that it takes records.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Full`].
    pub fn heal(&self) -> Result<(), Error> {
        if self.store.has_failed() { self.store.reopen().map_err(store_error("be opened again")) } else { Ok(()) }
    }

    /// Finds what is in the store. Pieces of a record whose end never arrived do not count.
    ///
    /// # Errors
    /// [`Error::Store`]. Pages that are not intact do not count at the end; those before are found by `walk`.
    pub fn extent(&self) -> Result<Extent, Error> {
        let fail = store_error("be read");
        let end_key = ENTRY_END.to_be_bytes();
        let mut extent = Extent::default();
        let mut found = false;
        self.store
            .range(&[0], &end_key, true, &mut |key, value| {
                let Some(entry) = entry_of(key) else {
                    return true;
                };
                let Some(end) = Page::parse(value).and_then(|p| p.end()) else {
                    return true;
                };
                extent.next_entry = entry + 1;
                extent.end = end;
                found = true;
                false
            })
            .map_err(&fail)?;
        if !found {
            return Ok(Extent::default());
        }
        self.store
            .range(&[0], &end_key, false, &mut |key, value| {
                let Some(entry) = entry_of(key) else {
                    return true;
                };
                extent.first_entry = entry;
                extent.first_seq = Page::parse(value).map_or(0, |p| p.first_seq);
                false
            })
            .map_err(&fail)?;
        Ok(extent)
    }

    /// The last record that is complete before `entry`; the record before the extent if there is none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn end_before(&self, extent: &Extent, entry: u64) -> Result<Point, Error> {
        let mut end = Point { seq: extent.first_seq.saturating_sub(1), ..Point::default() };
        let (from, to) = (extent.first_entry.to_be_bytes(), entry.to_be_bytes());
        if extent.first_entry < entry {
            self.store
                .range(&from, &to, true, &mut |_, value| match Page::parse(value).and_then(|p| p.end()) {
                    Some(found) => {
                        end = found;
                        false
                    }
                    None => true,
                })
                .map_err(store_error("be read"))?;
        }
        Ok(end)
    }

    /// Removes all entries from `entry` on; durable after the next sync.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn cut(&self, entry: u64) -> Result<u64, Error> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        self.store
            .range(&entry.to_be_bytes(), &ENTRY_END.to_be_bytes(), false, &mut |key, _| {
                keys.push(key.to_vec());
                true
            })
            .map_err(store_error("be read"))?;
        for key in &keys {
            self.store.remove(key).map_err(store_error("be cut"))?;
        }
        Ok(keys.len() as u64)
    }

    fn first_seq_at(&self, entry: u64) -> Result<Option<u64>, Error> {
        let value = self.store.get(&entry.to_be_bytes()).map_err(store_error("be read"))?;
        Ok(value.and_then(|v| Page::parse(&v).map(|p| p.first_seq)))
    }

    /// The entry from which reading finds `seq` as a whole, by binary search.
    fn entry_before(&self, extent: &Extent, seq: u64) -> Result<u64, Error> {
        let (mut low, mut high) = (extent.first_entry, extent.next_entry);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_seq_at(middle)? {
                Some(first) if first < seq => low = middle + 1,
                Some(_) => high = middle,
                None => return Ok(extent.first_entry),
            }
        }
        if low < extent.next_entry && self.first_seq_at(low)? == Some(seq) {
            return Ok(low);
        }
        Ok(low.saturating_sub(1).max(extent.first_entry))
    }

    /// Calls `f` for each record from `from_seq` to the extent's end, checking pages and chain.
    ///
    /// `before` is the record before `from_seq`, if known, which the first record must then continue.
    ///
    /// # Errors
    /// [`Error::Store`] when the store itself fails.
    pub fn walk(
        &self,
        extent: &Extent,
        from_seq: u64,
        before: Option<Point>,
        f: &mut dyn FnMut(RecordRef<'_>) -> bool,
    ) -> Result<Walk, Error> {
        if extent.is_empty() || from_seq > extent.end.seq {
            return Ok(Walk::Done(extent.end));
        }
        let from_seq = from_seq.max(extent.first_seq);
        let start = self.entry_before(extent, from_seq)?;
        let mut reader = PageReader { entry: start, after: None, wanted: from_seq, before, partial: Vec::new() };
        let mut broken = None;
        let mut stopped = false;
        self.store
            .range(&start.to_be_bytes(), &extent.next_entry.to_be_bytes(), false, &mut |key, value| match reader
                .page(key, value, f)
            {
                Ok(true) => true,
                Ok(false) => {
                    stopped = true;
                    false
                }
                Err(why) => {
                    broken = Some(why);
                    false
                }
            })
            .map_err(store_error("be read"))?;
        let after = reader.after.or(before).unwrap_or_default();
        if broken.is_none() && !stopped && after.seq < extent.end.seq {
            broken = Some("entries are missing");
        }
        Ok(match broken {
            Some(why) => Walk::Broken(LogBreak { entry: reader.entry, after, why }),
            None if stopped => Walk::Stopped,
            None => Walk::Done(after),
        })
    }

    /// Calls `f` for each record of `job`, in order, using the index: those from `from_us` on, and perhaps some before.
    /// Returns false when `f` had enough.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a listed page is not intact, [`Error::Store`].
    pub fn history(
        &self,
        extent: &Extent,
        job: u32,
        from_us: u64,
        f: &mut dyn FnMut(RecordRef<'_>) -> bool,
    ) -> Result<bool, Error> {
        let (low, high) = (extent.first_entry, extent.next_entry);
        let mut runs = index::entries_of(&*self.store, job, low, high)?;
        runs.extend(index::entries_of(&*self.store, SHARED_JOB, low, high)?);
        let mut runs = index::merged(runs);
        if from_us > 0 {
            let skipped = index::entries_before(&runs, from_us, |entry| self.first_time(entry))?;
            runs = index::without_first(runs, skipped);
        }
        for (first, number) in runs {
            let mut wanted = |r: RecordRef<'_>| !r.concerns(job) || f(r);
            let mut reader = PageReader { entry: first, after: None, wanted: 0, before: None, partial: Vec::new() };
            let mut result = Ok(true);
            let last = first + number;
            self.store
                .range(&first.to_be_bytes(), &high.to_be_bytes(), false, &mut |key, value| {
                    // A large record goes on behind the entry that is listed.
                    if reader.entry >= last && reader.partial.is_empty() {
                        return false;
                    }
                    result = reader.page(key, value, &mut wanted);
                    matches!(result, Ok(true))
                })
                .map_err(store_error("be read"))?;
            match result {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => {
                    let (path, from) = (PathBuf::from("the page store"), reader.entry);
                    return Err(Error::Damaged { path, from, to: from + 1, why: why.to_owned() });
                }
            }
        }
        Ok(true)
    }

    /// Time of the first record that begins in an entry.
    fn first_time(&self, entry: u64) -> Result<Option<u64>, Error> {
        let value = self.store.get(&entry.to_be_bytes()).map_err(store_error("be read"))?;
        let page = value.as_deref().and_then(Page::parse);
        let begins = page.filter(|page| matches!(page.piece, Piece::Whole | Piece::Begin));
        Ok(begins.and_then(|page| Header::parse(page.body).ok()).map(|header| header.time_us))
    }

    /// Starts putting records behind the extent's end.
    pub fn appender(&self, extent: &Extent) -> Appender {
        Appender {
            store: Arc::clone(&self.store),
            entry: extent.next_entry,
            body: Vec::new(),
            first_seq: 0,
            records: 0,
            end: extent.end,
            pages: Vec::new(),
            lists: Lists::default(),
        }
    }

    /// Has the store removed once nobody reads it any more.
    pub fn retire(&self) {
        self.store.retire();
    }

    /// Makes everything inserted and removed durable.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn sync(&self) -> Result<(), Error> {
        self.store.sync().map_err(store_error("be synced"))
    }
}

fn entry_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// Takes pages one after another and hands out their records.
struct PageReader {
    entry: u64,
    after: Option<Point>,
    wanted: u64,
    before: Option<Point>,
    partial: Vec<u8>,
}

impl PageReader {
    fn page(
        &mut self,
        key: &[u8],
        value: &[u8],
        f: &mut dyn FnMut(RecordRef<'_>) -> bool,
    ) -> Result<bool, &'static str> {
        if entry_of(key) != Some(self.entry) {
            return Err("an entry is missing");
        }
        let page = Page::parse(value).ok_or("the page is not intact")?;
        let more = match page.piece {
            Piece::Whole if self.partial.is_empty() => self.records(page.body, f)?,
            Piece::Begin if self.partial.is_empty() => {
                self.partial.extend_from_slice(page.body);
                true
            }
            Piece::Middle | Piece::End if self.partial.is_empty() && self.after.is_none() => true,
            Piece::Middle if !self.partial.is_empty() => {
                self.partial.extend_from_slice(page.body);
                true
            }
            Piece::End if !self.partial.is_empty() => {
                self.partial.extend_from_slice(page.body);
                let whole = std::mem::take(&mut self.partial);
                self.records(&whole, f)?
            }
            _ => return Err("the pieces of a large record do not fit together"),
        };
        self.entry += 1;
        Ok(more)
    }

    fn records(&mut self, mut rest: &[u8], f: &mut dyn FnMut(RecordRef<'_>) -> bool) -> Result<bool, &'static str> {
        while !rest.is_empty() {
            let header = Header::parse(rest).map_err(|_| "a record in the page is not intact")?;
            let bytes = HEADER_BYTES + header.body_bytes as usize;
            let body = rest.get(HEADER_BYTES..bytes).ok_or("a record is cut")?;
            // The page's checksum covers the body; a piece of a large record has its own pages' checksums.
            let expected = self.after.or(self.before.filter(|b| b.seq + 1 == header.seq));
            if expected.is_some_and(|e| header.seq != e.seq + 1 || header.prev != e.chain) {
                return Err("the chain of records is broken");
            }
            if self.after.is_none() && self.wanted > 0 && header.seq > self.wanted {
                return Err("records are missing");
            }
            self.after = Some(Point { seq: header.seq, epoch: header.epoch, chain: header.chain });
            if header.seq >= self.wanted && !f(RecordRef { header, body }) {
                return Ok(false);
            }
            rest = rest.get(bytes..).unwrap_or_default();
        }
        Ok(true)
    }
}

/// Packs records into pages and puts them into the store in batches.
pub struct Appender {
    store: Arc<dyn Store>,
    entry: u64,
    body: Vec<u8>,
    first_seq: u64,
    records: u16,
    end: Point,
    pages: Vec<Vec<u8>>,
    lists: Lists,
}

impl Appender {
    /// Adds a record that continues the ones before.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn push(&mut self, record: RecordRef<'_>) -> Result<(), Error> {
        let bytes = HEADER_BYTES + record.body.len();
        if self.body.len() + bytes > PAGE_BODY_BYTES_MAX {
            self.finish_page();
        }
        let header = record.header;
        if header.flags & FLAG_SHARED != 0 {
            self.lists.add(SHARED_JOB, self.next_page_entry());
        } else if header.job != 0 {
            self.lists.add(header.job, self.next_page_entry());
        }
        let point = Point { seq: header.seq, epoch: header.epoch, chain: header.chain };
        if bytes > PAGE_BODY_BYTES_MAX {
            self.push_large(record, point);
        } else {
            if self.records == 0 {
                self.first_seq = header.seq;
            }
            encode_into(&mut self.body, &header, record.body);
            self.records += 1;
            self.end = point;
        }
        if self.pages.len() >= BATCH_PAGES_MAX { self.put() } else { Ok(()) }
    }

    fn next_page_entry(&self) -> u64 {
        self.entry + self.pages.len() as u64
    }

    fn push_large(&mut self, record: RecordRef<'_>, point: Point) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + record.body.len());
        encode_into(&mut bytes, &record.header, record.body);
        let mut pieces = bytes.chunks(PAGE_BODY_BYTES_MAX).peekable();
        let mut piece = Piece::Begin;
        while let Some(body) = pieces.next() {
            let last = pieces.peek().is_none();
            if last {
                piece = Piece::End;
                self.end = point;
            }
            let Point { epoch, chain, .. } = self.end;
            let page = Page { piece, records: u16::from(last), first_seq: point.seq, epoch, chain, body };
            self.pages.push(page.encode());
            piece = Piece::Middle;
        }
    }

    fn finish_page(&mut self) {
        if self.records == 0 {
            return;
        }
        let (piece, records, first_seq) = (Piece::Whole, self.records, self.first_seq);
        let Point { epoch, chain, .. } = self.end;
        self.pages.push(Page { piece, records, first_seq, epoch, chain, body: &self.body }.encode());
        self.body.clear();
        self.records = 0;
    }

    fn put(&mut self) -> Result<(), Error> {
        // The open page belongs to the lists as well, so it must not stay behind them.
        self.finish_page();
        std::mem::take(&mut self.lists).insert_into(&*self.store)?;
        for page in std::mem::take(&mut self.pages) {
            self.store.insert(&self.entry.to_be_bytes(), &page).map_err(store_error("be written"))?;
            self.entry += 1;
        }
        Ok(())
    }

    /// Puts the rest into the store; durable after `Log::sync`. Returns the next entry and the last record.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn finish(mut self) -> Result<(u64, Point), Error> {
        self.put()?;
        Ok((self.entry, self.end))
    }
}

#[cfg(test)]
mod tests;
