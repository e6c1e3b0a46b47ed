//! The ordered page store behind the log: sled, guarded against what it was measured to do.
//!
//! sled 0.34 is fast as a long-term store but panics on damaged files, does not sync its file, and loses what it
//! spills to `blobs/`; each of these is dealt with here, so that the rest sees a store that returns errors.
//!
//! **Invariant:** no value is larger than [`VALUE_BYTES_MAX`], so that nothing is ever spilled to `blobs/`.
//! **Invariant:** after `sync` returned, everything inserted before is on disk: `flush`, then fdatasync of sled's
//! own file.
//! **Invariant:** a panic inside sled becomes an error; after any error the store takes no changes until it is opened
//! again, and what it gives is checked by who reads it.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Largest value in bytes that is ever inserted.
pub const VALUE_BYTES_MAX: usize = 4000;
/// sled's page cache in bytes; a goal of sled's, not a hard limit.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// How often sled's own thread flushes and collects garbage, in milliseconds.
const FLUSH_EVERY_MS: u64 = 500;
/// How long sled's lock is waited for.
const HELD_MAX: Duration = Duration::from_secs(3);

/// What went wrong in the store.
#[derive(Debug)]
pub enum StoreError {
    /// The system's error.
    Io(io::Error),
    /// The files are there but cannot be opened as a store: damaged.
    Unopenable(String),
    /// An operation failed or panicked; the store must be opened again.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "{e}"),
            Self::Unopenable(text) => write!(f, "its files are damaged: {text}"),
            Self::Failed(text) => write!(f, "{text}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// An ordered map from keys to pages.
pub trait Store: Send + Sync {
    /// Sets a key; durable only after `sync`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
    /// Removes a key if it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    fn remove(&self, key: &[u8]) -> Result<(), StoreError>;
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Calls `f` for each entry in `from..to`, in order or in reverse, until it returns false.
    ///
    /// # Errors
    /// [`StoreError`].
    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        f: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;
    /// Makes everything inserted so far durable.
    ///
    /// # Errors
    /// [`StoreError`]; nothing may then be taken as durable.
    fn sync(&self) -> Result<(), StoreError>;
    /// Whether an operation has failed: no changes are taken then.
    fn has_failed(&self) -> bool;
    /// Opens the store again after an error, so that it takes changes.
    ///
    /// # Errors
    /// [`StoreError`]; it can be tried again, but nothing is read meanwhile.
    fn reopen(&self) -> Result<(), StoreError>;
    /// Has the store's files removed once this handle, which may be reading, is dropped.
    fn retire(&self);
}

/// sled 0.34.7 with its guards.
pub struct SledStore {
    /// None while it is opened again.
    db: RwLock<Option<sled::Db>>,
    db_file: fs::File,
    dir: PathBuf,
    failed: AtomicBool,
    /// Dropped last, when sled has closed its files.
    remover: Remover,
}

/// Removes the directory of a store that was retired.
struct Remover {
    dir: PathBuf,
    retired: AtomicBool,
}

impl Drop for Remover {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            // What is left, since a thread of sled's was still at it, is cleared when the journal is opened.
            let _left = remove_store(&self.dir);
        }
    }
}

/// Copies the directory of a store, so that the copy can be opened, which writes, and the original stays as it is.
///
/// # Errors
/// The system's error.
pub fn copy_store(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_store(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Removes the directory of a store; under another name, so that half of it is never taken for a store.
///
/// # Errors
/// The system's error.
pub fn remove_store(dir: &Path) -> io::Result<()> {
    let mut old = dir.as_os_str().to_owned();
    if !dir.to_string_lossy().ends_with(crate::disk::OLD_SUFFIX) {
        old.push(crate::disk::OLD_SUFFIX);
        fs::rename(dir, &old)?;
    }
    fs::remove_dir_all(old)
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled panicked: {}", text.unwrap_or("without a message"))
}

fn sled_error(e: sled::Error) -> StoreError {
    match e {
        sled::Error::Io(e) => StoreError::Io(e),
        sled::Error::Corruption { .. } => StoreError::Unopenable(e.to_string()),
        other => StoreError::Failed(other.to_string()),
    }
}

/// Opens sled. A store that this process closed a moment ago may still be held by sled's own threads, so a held lock
/// is waited for; another process cannot hold it, since the journal's lock comes first.
fn open_sled(dir: &Path) -> Result<sled::Db, StoreError> {
    let begin = Instant::now();
    loop {
        match open_sled_once(dir) {
            Err(StoreError::Io(e)) if is_held(&e) && begin.elapsed() < HELD_MAX => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// sled wraps the lock's error in a text of its own.
fn is_held(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock || e.to_string().contains("could not acquire lock")
}

fn open_sled_once(dir: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(e)) => Err(sled_error(e)),
        Err(panic) => Err(StoreError::Unopenable(panic_text(&*panic))),
    }
}

/// Moves sled's snapshots aside: opening without them reads the whole log, which cures damage in the snapshot.
fn set_snapshots_aside(dir: &Path) -> io::Result<usize> {
    let mut moved = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with("snap.") {
            fs::rename(&path, dir.join(format!("damaged-{name}")))?;
            moved += 1;
        }
    }
    Ok(moved)
}

fn blobs_empty(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir.join("blobs")) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

impl SledStore {
    /// Opens or creates the store in `dir`, which exists.
    ///
    /// # Errors
    /// [`StoreError::Unopenable`] when the files are damaged also without their snapshot, or the system's error.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let had_data = fs::metadata(dir.join("db")).is_ok_and(|m| m.len() > 0);
        let db = match open_sled(dir) {
            Ok(db) => db,
            Err(StoreError::Unopenable(text)) => match set_snapshots_aside(dir) {
                Ok(0) => return Err(StoreError::Unopenable(text)),
                Ok(_) => open_sled(dir)?,
                Err(e) => return Err(StoreError::Io(e)),
            },
            Err(e) => return Err(e),
        };
        if !blobs_empty(dir).map_err(StoreError::Io)? {
            return Err(StoreError::Unopenable(
                "its blobs folder is not empty, which this program never causes".into(),
            ));
        }
        let db_file = fs::OpenOptions::new().read(true).write(true).open(dir.join("db")).map_err(StoreError::Io)?;
        if had_data {
            db_file.sync_data().map_err(StoreError::Io)?;
        } else {
            sync_new_files(dir).map_err(StoreError::Io)?;
        }
        let remover = Remover { dir: dir.to_path_buf(), retired: AtomicBool::new(false) };
        let (db, failed) = (RwLock::new(Some(db)), AtomicBool::new(false));
        Ok(Self { db, db_file, dir: dir.to_path_buf(), failed, remover })
    }

    /// The open store; clones share it.
    fn db(&self) -> Result<sled::Db, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner).clone();
        db.ok_or_else(|| StoreError::Failed("it could not be opened again after an error".to_owned()))
    }

    fn guarded<T>(&self, f: impl FnOnce(&sled::Db) -> Result<T, sled::Error>) -> Result<T, StoreError> {
        let db = self.db()?;
        let error = match catch_unwind(AssertUnwindSafe(|| f(&db))) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(e)) => sled_error(e),
            Err(panic) => StoreError::Failed(panic_text(&*panic)),
        };
        self.failed.store(true, Ordering::Release);
        Err(error)
    }

    fn guarded_change<T>(&self, f: impl FnOnce(&sled::Db) -> Result<T, sled::Error>) -> Result<T, StoreError> {
        if self.has_failed() {
            return Err(StoreError::Failed("an earlier operation failed".to_owned()));
        }
        self.guarded(f)
    }
}

/// A new store's names and first bytes are made durable once; later syncs concern the `db` file only.
fn sync_new_files(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        fs::File::open(&path)?.sync_all()?;
    }
    fs::File::open(dir)?.sync_all()
}

impl Store for SledStore {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(StoreError::Failed(format!("a value of {} bytes is over the limit", value.len())));
        }
        self.guarded_change(|db| db.insert(key, value).map(drop))
    }

    fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.guarded_change(|db| db.remove(key).map(drop))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.guarded(|db| Ok(db.get(key)?.map(|v| v.to_vec())))
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        f: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.guarded(|db| {
            let mut entries = db.range::<&[u8], _>(from..to);
            loop {
                let next = if backwards { entries.next_back() } else { entries.next() };
                let Some(entry) = next else { return Ok(()) };
                let (key, value) = entry?;
                if !f(&key, &value) {
                    return Ok(());
                }
            }
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.guarded_change(|db| db.flush().map(drop))?;
        let synced = self.db_file.sync_data();
        if synced.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        synced.map_err(StoreError::Io)
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // The old one has to let go of its lock first.
        drop(db.take());
        *db = Some(open_sled(&self.dir)?);
        self.db_file.sync_data().map_err(StoreError::Io)?;
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    fn retire(&self) {
        self.remover.retired.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path()).unwrap();
        for n in 0..500u64 {
            store.insert(&n.to_be_bytes(), &[7; VALUE_BYTES_MAX]).unwrap();
        }
        assert!(store.insert(b"x", &[0; VALUE_BYTES_MAX + 1]).is_err());
        store.sync().unwrap();
        drop(store);
        assert!(blobs_empty(dir.path()).unwrap());
        let store = SledStore::open(dir.path()).unwrap();
        let mut keys = Vec::new();
        let end = u64::MAX.to_be_bytes();
        store
            .range(&[], &end, true, &mut |k, v| {
                assert_eq!(v, [7; VALUE_BYTES_MAX]);
                keys.push(u64::from_be_bytes(k.try_into().unwrap()));
                keys.len() < 3
            })
            .unwrap();
        assert_eq!(keys, [499, 498, 497]);
    }

    #[test]
    fn a_store_that_has_failed_is_read_and_takes_changes_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path()).unwrap();
        store.insert(b"k", b"v").unwrap();
        store.sync().unwrap();
        store.failed.store(true, Ordering::Release);
        assert!(store.insert(b"l", b"w").is_err() && store.sync().is_err());
        assert_eq!(store.get(b"k").unwrap().unwrap(), b"v");
        store.reopen().unwrap();
        assert!(!store.has_failed());
        store.insert(b"l", b"w").unwrap();
        store.sync().unwrap();
        assert_eq!((store.get(b"k").unwrap().unwrap(), store.get(b"l").unwrap().unwrap()), (b"v".into(), b"w".into()));
    }

    #[test]
    fn damaged_snapshot_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path()).unwrap();
        store.insert(b"k", b"v").unwrap();
        store.sync().unwrap();
        drop(store);
        drop(SledStore::open(dir.path()).unwrap());
        let mut snapshots = 0;
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                fs::write(&path, b"garbage that is long enough to be read as a snapshot").unwrap();
                snapshots += 1;
            }
        }
        assert!(snapshots > 0, "sled writes a snapshot when it is opened");
        assert_eq!(SledStore::open(dir.path()).unwrap().get(b"k").unwrap().unwrap(), b"v");
    }
}
