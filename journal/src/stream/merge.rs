//! The merging of the sorted blocks of all files of a directory.
//!
//! Tasks are walked over in their order, whichever file and block they stand in.
//!
//! **Invariant:** a block is looked at when its first key is due, and of each block that is being used only a window is
//! held, so that walking over a million tasks takes little memory, in whatever order they were written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::StreamError;
use super::file::StreamFile;
use super::index::{BlockRef, Entry, Key, Window};
use crate::disk::read_full;
use crate::record::HEADER_BYTES;

/// Entries of a block that are held at a time.
const WINDOW_ENTRIES: u32 = 128;

/// A sorted run of entries: a block, or entries in memory.
struct Run<'f> {
    number: usize,
    file: &'f StreamFile,
    source: Source<'f>,
    window: std::vec::IntoIter<Entry>,
}

enum Source<'f> {
    /// Not looked at yet.
    Block(BlockRef),
    /// Verified; the number of the next entry.
    Rest(BlockRef, u32),
    Memory(std::slice::Iter<'f, Entry>),
    Nothing,
}

impl Run<'_> {
    /// Fills an empty window; `first` is the smallest key that is wanted.
    fn fill(&mut self, first: Key) -> Result<(), StreamError> {
        if !self.window.as_slice().is_empty() {
            return Ok(());
        }
        if let Source::Block(block) = self.source {
            let (entries, is_intact) = self.file.load_block(&block)?;
            let skip = entries.partition_point(|e| e.key < first);
            if !is_intact {
                self.source = Source::Nothing;
                self.window = entries.into_iter().skip(skip).collect::<Vec<_>>().into_iter();
                return Ok(());
            }
            self.source = Source::Rest(block, u32::try_from(skip).unwrap_or(u32::MAX));
        }
        match &mut self.source {
            Source::Rest(block, next) => {
                let window = read_window(self.file, block, *next)?;
                *next = next.saturating_add(WINDOW_ENTRIES);
                self.window = window.into_iter();
            }
            Source::Memory(entries) => {
                let window: Vec<Entry> = entries.by_ref().take(WINDOW_ENTRIES as usize).cloned().collect();
                self.window = window.into_iter();
            }
            Source::Block(_) | Source::Nothing => {}
        }
        Ok(())
    }
}

fn read_window(file: &StreamFile, block: &BlockRef, next: u32) -> Result<Vec<Entry>, StreamError> {
    let fail = |e| StreamError::io("read stream", &file.path, e);
    let read = |place: (u64, usize)| {
        let mut bytes = vec![0; place.1];
        let got = read_full(&file.file, block.offset + HEADER_BYTES as u64 + place.0, &mut bytes).map_err(fail)?;
        bytes.truncate(got);
        Ok::<_, StreamError>(bytes)
    };
    let window = Window::new(block, next, WINDOW_ENTRIES);
    let entries = read(window.entries())?;
    let extents = read(window.extents(&entries))?;
    let parsed = window.parse(&entries, &extents);
    if parsed.is_none() {
        // It was verified a moment ago.
        file.note(&format!("the index at byte {} has changed", block.offset));
    }
    Ok(parsed.unwrap_or_default())
}

/// Walks over the entries of several files in the order of their keys.
pub(super) struct Merge<'f> {
    runs: Vec<Run<'f>>,
    /// Next key of each run; a run that is not loaded yet stands at its first key.
    heap: BinaryHeap<Reverse<(Key, usize)>>,
    job: Option<u32>,
}

impl<'f> Merge<'f> {
    /// All entries of `files`, or of one job only.
    pub(super) fn new(files: &'f [StreamFile], job: Option<u32>) -> Self {
        let mut merge = Self { runs: Vec::new(), heap: BinaryHeap::new(), job };
        let mut add = |key: Key, number, file, source| {
            merge.heap.push(Reverse((key, merge.runs.len())));
            merge.runs.push(Run { number, file, source, window: Vec::new().into_iter() });
        };
        for (n, file) in files.iter().enumerate() {
            for block in &file.blocks {
                if job.is_none_or(|j| block.min.job <= j && j <= block.max.job) {
                    add(block.min, n, file, Source::Block(*block));
                }
            }
            let from = file.loose.partition_point(|e| job.is_some_and(|j| e.key.job < j));
            let rest = file.loose.get(from..).unwrap_or_default();
            if let Some(first) = rest.first() {
                add(first.key, n, file, Source::Memory(rest.iter()));
            }
        }
        merge
    }

    /// The next entry with the number of its file.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Entry)>, StreamError> {
        let first = Key { job: self.job.unwrap_or(0), ..Key::default() };
        while let Some(Reverse((key, n))) = self.heap.pop() {
            let Some(run) = self.runs.get_mut(n) else { continue };
            run.fill(first)?;
            let Some(head) = run.window.as_slice().first().map(|entry| entry.key) else { continue };
            if head > key {
                // It began with what is not wanted.
                self.heap.push(Reverse((head, n)));
                continue;
            }
            if self.job.is_some_and(|job| head.job > job) {
                return Ok(None);
            }
            let Some(entry) = run.window.next() else { continue };
            // The next one may be in the next window.
            run.fill(first)?;
            if let Some(next) = run.window.as_slice().first() {
                self.heap.push(Reverse((next.key, n)));
            }
            return Ok(Some((run.number, entry)));
        }
        Ok(None)
    }
}
