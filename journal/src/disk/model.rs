//! A disk in memory that drops, tears and reorders what was not synced, fills up, and fails on request.
//!
//! It is the adversary of the journal's tests: after `crash` only those 512-byte sectors of unsynced writes survive
//! that the seed picks, and of unsynced names only a prefix of the changes.
//!
//! **Invariant:** the same seed and the same operations give the same disk.
//! **Invariant:** writes that were pending when a sync failed never become durable, though readers go on seeing them.

mod change;
mod edit;
mod step;
mod store;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, Disk, File};
use crate::lock::{Holder, LockError};
use crate::store::{Store, StoreError};

use change::{Change, apply, apply_torn, random};
use step::Target;
use store::{ModelLock, ModelStore};

pub use step::Step;

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// That operation fails with an I/O error, the next ones work.
    Eio,
    /// That operation finds the disk full, the next ones work.
    Full,
    /// The power goes: this operation and all later ones fail until [`ModelDisk::crash`].
    PowerLoss,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Link(p, _) | Self::Unlink(p) | Self::Rename(_, p) => p.parent(),
        }
    }

    fn operation(&self) -> &'static str {
        match self {
            Self::Link(..) => "create",
            Self::Unlink(_) => "remove",
            Self::Rename(..) => "rename",
        }
    }

    /// The name that is made or goes.
    fn path(&self) -> &Path {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(path, _) => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

type Pages = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
struct StoreState {
    durable: Pages,
    current: Pages,
    pending: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    failed: bool,
    retired: bool,
}

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    inode_next: u64,
    names: BTreeMap<PathBuf, u64>,
    names_durable: BTreeMap<PathBuf, u64>,
    names_pending: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    stores: BTreeMap<PathBuf, StoreState>,
    locks: BTreeSet<PathBuf>,
    boot: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    met: Option<Step>,
    trace: Option<Vec<Step>>,
    powerless: bool,
    capacity_bytes: Option<u64>,
    syncs_lie: bool,
}

/// The model; clones share the same disk.
#[derive(Debug, Clone, Default)]
pub struct ModelDisk {
    state: Arc<Mutex<State>>,
}

fn eio() -> io::Error {
    io::Error::other("injected I/O error")
}

impl State {
    /// Counts an operation and decides whether it fails; `Ok(true)` means that it is the last before the power goes.
    fn step(&mut self, operation: &'static str, target: Target<'_>) -> io::Result<bool> {
        if self.powerless {
            return Err(eio());
        }
        self.operations += 1;
        let fault = self.fault.filter(|(at, _)| *at == self.operations).map(|(_, fault)| fault);
        if fault.is_some() || self.trace.is_some() {
            self.note(operation, target, fault.is_some());
        }
        match fault {
            None => Ok(false),
            Some(Fault::Eio) => Err(eio()),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::PowerLoss) => {
                self.powerless = true;
                Ok(true)
            }
        }
    }

    fn used_bytes(&self) -> u64 {
        let live: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.iter().filter(|(n, _)| live.contains(n)).map(|(_, i)| i.current.len() as u64).sum()
    }

    fn rename_now(&mut self, change: NameChange) -> io::Result<()> {
        let last = self.step(change.operation(), Target::Path(change.path()))?;
        change.apply(&mut self.names);
        self.names_pending.push(change);
        if last { Err(eio()) } else { Ok(()) }
    }
}

impl ModelDisk {
    /// An empty disk without limits.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far; each call that changes or opens something counts as one.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets the `at`-th operation (counted from 1 since the disk was made) meet `fault`.
    pub fn fault_at(&self, at: u64, fault: Fault) {
        self.state().fault = Some((at, fault));
    }

    /// Takes back any planned fault.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Limits the sum of all file lengths; `None` is without limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Lets `sync_data` report success without doing anything: a disk on which a sound test must see losses.
    pub fn let_syncs_lie(&self) {
        self.state().syncs_lie = true;
    }

    /// Bytes in all files that have a name.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Whether the power has gone and no [`ModelDisk::crash`] has followed.
    pub fn is_powerless(&self) -> bool {
        self.state().powerless
    }

    /// Power loss and start: of what was not synced, the seed picks what survives. Open handles become useless.
    pub fn crash(&self, seed: u64) {
        let mut seed = seed;
        let mut state = self.state();
        let state = &mut *state;
        let chance = random(&mut seed) % 5;
        for inode in state.inodes.values_mut() {
            for change in std::mem::take(&mut inode.pending) {
                apply_torn(&mut inode.durable, &change, chance, &mut seed);
            }
            inode.current = inode.durable.clone();
        }
        let pending = std::mem::take(&mut state.names_pending);
        let kept = usize::try_from(random(&mut seed)).unwrap_or(0) % (pending.len() + 1);
        for change in pending.iter().take(kept) {
            change.apply(&mut state.names_durable);
        }
        state.names = state.names_durable.clone();
        let live: BTreeSet<u64> = state.names.values().copied().collect();
        state.inodes.retain(|n, _| live.contains(n));
        for store in state.stores.values_mut() {
            let pending = std::mem::take(&mut store.pending);
            let kept = usize::try_from(random(&mut seed)).unwrap_or(0) % (pending.len() + 1);
            for (key, value) in pending.into_iter().take(kept) {
                put(&mut store.durable, key, value);
            }
            store.current = store.durable.clone();
            (store.failed, store.retired) = (false, false);
        }
        state.locks.clear();
        state.powerless = false;
        state.fault = None;
        state.boot += 1;
    }

    /// Death of the process only (`kill -9`): everything that was written is still there.
    pub fn kill(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.boot += 1;
        for store in state.stores.values_mut() {
            (store.failed, store.retired) = (false, false);
        }
    }
}

fn put(pages: &mut Pages, key: Vec<u8>, value: Option<Vec<u8>>) {
    match value {
        Some(value) => {
            pages.insert(key, value);
        }
        None => {
            pages.remove(&key);
        }
    }
}

struct ModelFile {
    disk: ModelDisk,
    inode: u64,
    boot: u64,
}

impl ModelFile {
    fn change(&self, change: Change, growth: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.boot != self.boot {
            return Err(eio());
        }
        let operation = if matches!(change, Change::Write(..)) { "write" } else { "set length of" };
        let last = state.step(operation, Target::Inode(self.inode))?;
        let room = state.capacity_bytes.map(|c| c.saturating_sub(state.used_bytes()));
        let inode = state.inodes.entry(self.inode).or_default();
        let change = match (room, change) {
            // A full disk takes what fits and then fails, as write(2) does.
            (Some(room), Change::Write(at, bytes)) if growth > room => {
                let fits = bytes.len().saturating_sub(usize::try_from(growth - room).unwrap_or(usize::MAX));
                let part = Change::Write(at, bytes.into_iter().take(fits).collect());
                apply(&mut inode.current, &part);
                inode.pending.push(part);
                return Err(io::ErrorKind::StorageFull.into());
            }
            (_, change) => change,
        };
        apply(&mut inode.current, &change);
        inode.pending.push(change);
        if last { Err(eio()) } else { Ok(()) }
    }
}

impl File for ModelFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        if state.boot != self.boot || state.powerless {
            return Err(eio());
        }
        state.inodes.get(&self.inode).map_or(Ok(0), |inode| inode.current.read_at(offset, buf))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let growth = (offset + bytes.len() as u64).saturating_sub(self.bytes()?);
        self.change(Change::Write(offset, bytes.to_vec()), growth)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(Change::SetLen(bytes), 0)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.boot != self.boot {
            return Err(eio());
        }
        let step = state.step("sync", Target::Inode(self.inode));
        if state.syncs_lie {
            return Ok(());
        }
        let Some(inode) = state.inodes.get_mut(&self.inode) else {
            return Ok(());
        };
        match step {
            Ok(false) => {
                let Inode { durable, pending, .. } = inode;
                for change in pending.drain(..) {
                    apply(durable, &change);
                }
                Ok(())
            }
            Ok(true) => Err(eio()),
            Err(e) => {
                inode.pending.clear();
                Err(e)
            }
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        let state = self.disk.state();
        if state.boot != self.boot {
            return Err(eio());
        }
        Ok(state.inodes.get(&self.inode).map_or(0, |i| i.current.len() as u64))
    }
}

impl Disk for ModelDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        let operation = if access == Access::CreateNew { "create" } else { "open" };
        let last = state.step(operation, Target::Path(path))?;
        let found = state.names.get(path).copied();
        let inode = match (found, access) {
            (Some(_), Access::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => inode,
            (None, Access::CreateNew) => {
                if state.capacity_bytes.is_some_and(|c| state.used_bytes() >= c) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                state.inode_next += 1;
                let inode = state.inode_next;
                state.inodes.insert(inode, Inode::default());
                state.names.insert(path.to_path_buf(), inode);
                state.names_pending.push(NameChange::Link(path.to_path_buf(), inode));
                inode
            }
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        if last {
            return Err(eio());
        }
        Ok(Arc::new(ModelFile { disk: self.clone(), inode, boot: state.boot }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("create directory", Target::Path(path))?;
        state.dirs.insert(path.to_path_buf());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) && state.stores.contains_key(from) {
            state.step("rename", Target::Path(from))?;
            if let Some(store) = state.stores.remove(from) {
                state.stores.insert(to.to_path_buf(), store);
            }
            return Ok(());
        }
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename_now(NameChange::Rename(from.to_path_buf(), to.to_path_buf()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename_now(NameChange::Unlink(path.to_path_buf()))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.step("sync directory", Target::Path(path))? {
            return Err(eio());
        }
        let pending = std::mem::take(&mut state.names_pending);
        for change in pending {
            if change.directory() == Some(path) {
                change.apply(&mut state.names_durable);
            } else {
                state.names_pending.push(change);
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let names = state.names.keys().chain(state.stores.keys());
        let inside = names.filter(|p| p.parent() == Some(path));
        let mut names: Vec<String> = inside.filter_map(|p| p.file_name()?.to_str().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn open_store(&self, path: &Path) -> Result<Arc<dyn Store>, StoreError> {
        let mut state = self.state();
        state.step("open", Target::Path(path)).map_err(StoreError::Io)?;
        state.stores.entry(path.to_path_buf()).or_default();
        Ok(Arc::new(ModelStore { disk: self.clone(), path: path.to_path_buf(), boot: state.boot }))
    }

    fn free_bytes(&self, _dir: &Path) -> Option<u64> {
        let state = self.state();
        state.capacity_bytes.map(|c| c.saturating_sub(state.used_bytes()))
    }

    fn copy_store(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("copy", Target::Path(from))?;
        let current = state.stores.get(from).map(|store| store.current.clone()).ok_or(io::ErrorKind::NotFound)?;
        state.stores.insert(to.to_path_buf(), StoreState { current, ..StoreState::default() });
        Ok(())
    }

    fn remove_store(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.step("remove", Target::Path(path))? {
            return Err(eio());
        }
        state.stores.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        let mut state = self.state();
        if !state.locks.insert(path.to_path_buf()) {
            return Err(LockError::Held(Holder { host: "model".to_owned(), pid: 1, since_s: 1 }));
        }
        Ok(Box::new(ModelLock { disk: self.clone(), path: path.to_path_buf(), boot: state.boot }))
    }
}
