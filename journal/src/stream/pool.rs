//! Open files and index blocks of a directory that is read: a few at a time, however many files it has.
//!
//! Years of workers leave thousands of files in one directory, more than a process may have open.
//!
//! **Invariant:** at most [`OPEN_MAX`] files are open, and [`BLOCKS_MAX`] blocks and [`FILTERS_MAX`] groups of filters in
//! memory for one reader.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::filter::Filters;
use super::index::Entry;
use crate::disk::{Access, Disk, File};

/// Files that are open at a time.
const OPEN_MAX: usize = 64;
/// Index blocks that are kept parsed at a time.
const BLOCKS_MAX: usize = 8;
/// Groups of filters that are kept at a time; 1 MiB each at most, a third of that with output of each task.
const FILTERS_MAX: usize = 32;

/// Which block or group of filters: number of the file in the pool, offset.
type BlockName = (usize, u64);
/// A short list, the latest used at the end.
type Recent<K, V> = Mutex<VecDeque<(K, V)>>;

/// What the files of one reader share.
pub(super) struct Pool {
    disk: Arc<dyn Disk>,
    open: Recent<usize, Arc<dyn File>>,
    blocks: Recent<BlockName, Arc<Vec<Entry>>>,
    filters: Recent<BlockName, Arc<Filters>>,
    next: Mutex<usize>,
}

/// A file that is opened when it is read, and again when others were meanwhile.
pub(super) struct Pooled {
    pool: Arc<Pool>,
    number: usize,
    path: PathBuf,
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find<K: PartialEq, V: Clone>(recent: &Recent<K, V>, key: &K) -> Option<V> {
    let mut recent = lock(recent);
    let place = recent.iter().position(|(known, _)| known == key)?;
    let found = recent.remove(place)?;
    let value = found.1.clone();
    recent.push_back(found);
    Some(value)
}

fn keep<K, V>(recent: &Recent<K, V>, key: K, value: V, max: usize) {
    let mut recent = lock(recent);
    while recent.len() >= max {
        recent.pop_front();
    }
    recent.push_back((key, value));
}

impl Pool {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Arc<Self> {
        let (open, blocks, filters) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { disk, open, blocks, filters, next: Mutex::new(0) })
    }

    /// A file of this pool.
    ///
    /// # Errors
    /// The system's error when it cannot be opened.
    pub(super) fn file(self: &Arc<Self>, path: &Path) -> io::Result<Pooled> {
        let number = {
            let mut next = lock(&self.next);
            *next += 1;
            *next
        };
        let file = Pooled { pool: Arc::clone(self), number, path: path.to_path_buf() };
        file.handle()?;
        Ok(file)
    }
}

impl Pooled {
    fn handle(&self) -> io::Result<Arc<dyn File>> {
        if let Some(file) = find(&self.pool.open, &self.number) {
            return Ok(file);
        }
        let file = self.pool.disk.open(&self.path, Access::Read)?;
        keep(&self.pool.open, self.number, Arc::clone(&file), OPEN_MAX);
        Ok(file)
    }

    /// The block at `offset`, from memory or by `load`.
    ///
    /// # Errors
    /// Those of `load`.
    pub(super) fn block<E>(
        &self,
        offset: u64,
        load: impl FnOnce() -> Result<Vec<Entry>, E>,
    ) -> Result<Arc<Vec<Entry>>, E> {
        let name = (self.number, offset);
        if let Some(entries) = find(&self.pool.blocks, &name) {
            return Ok(entries);
        }
        let entries = Arc::new(load()?);
        keep(&self.pool.blocks, name, Arc::clone(&entries), BLOCKS_MAX);
        Ok(entries)
    }

    /// The filters at `offset`, from memory or by `load`, which may not find them.
    ///
    /// # Errors
    /// Those of `load`.
    pub(super) fn filters<E>(
        &self,
        offset: u64,
        load: impl FnOnce() -> Result<Option<Filters>, E>,
    ) -> Result<Option<Arc<Filters>>, E> {
        let name = (self.number, offset);
        if let Some(filters) = find(&self.pool.filters, &name) {
            return Ok(Some(filters));
        }
        let Some(filters) = load()?.map(Arc::new) else { return Ok(None) };
        keep(&self.pool.filters, name, Arc::clone(&filters), FILTERS_MAX);
        Ok(Some(filters))
    }
}

impl File for Pooled {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.handle()?.read_at(offset, buf)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        self.handle()?.bytes()
    }
}
