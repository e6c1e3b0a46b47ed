//! The page store and the locks of the model disk.
//!
//! A crash test of the journal needs a store that forgets what was not synced, as a damaged or lying one would.
//!
//! **Invariant:** after a crash a prefix of the unsynced changes survives, as plain ordered inserts do in sled.

use std::path::PathBuf;

use super::step::Target;
use super::{ModelDisk, StoreState, eio, put};
use crate::store::{Store, StoreError};

pub(super) struct ModelLock {
    pub(super) disk: ModelDisk,
    pub(super) path: PathBuf,
    pub(super) boot: u64,
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

pub(super) struct ModelStore {
    pub(super) disk: ModelDisk,
    pub(super) path: PathBuf,
    pub(super) boot: u64,
}

impl ModelStore {
    fn with<T>(&self, f: impl FnOnce(&mut StoreState) -> T) -> Result<T, StoreError> {
        let mut state = self.disk.state();
        if state.boot != self.boot || state.powerless {
            return Err(StoreError::Io(eio()));
        }
        match state.stores.get_mut(&self.path) {
            Some(store) => Ok(f(store)),
            None => Err(StoreError::Failed("the model store is not there".to_owned())),
        }
    }

    fn change(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let operation = if value.is_some() { "insert into" } else { "remove from" };
        self.disk.state().step(operation, Target::Path(&self.path)).map_err(StoreError::Io)?;
        if self.has_failed() {
            return Err(StoreError::Failed("the model store failed earlier".to_owned()));
        }
        self.with(|store| {
            put(&mut store.current, key.to_vec(), value.map(<[u8]>::to_vec));
            store.pending.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        })
    }
}

impl Drop for ModelStore {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        let retired = state.stores.get(&self.path).is_some_and(|store| store.retired);
        if retired && state.boot == self.boot && !state.powerless {
            state.stores.remove(&self.path);
        }
    }
}

impl Store for ModelStore {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.change(key, Some(value))
    }

    fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.change(key, None)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|store| store.current.get(key).cloned())
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        f: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let found: Vec<_> = self.with(|store| {
            store.current.range(from.to_vec()..to.to_vec()).map(|(k, v)| (k.clone(), v.clone())).collect()
        })?;
        let mut forwards = found.iter();
        loop {
            let next = if backwards { forwards.next_back() } else { forwards.next() };
            match next {
                Some((key, value)) if f(key, value) => {}
                _ => return Ok(()),
            }
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.has_failed() {
            return Err(StoreError::Failed("the model store failed earlier".to_owned()));
        }
        let step = self.disk.state().step("sync", Target::Path(&self.path));
        let failed = !matches!(step, Ok(false));
        self.with(|store| {
            if failed {
                store.failed = true;
            } else {
                for (key, value) in std::mem::take(&mut store.pending) {
                    put(&mut store.durable, key, value);
                }
            }
        })?;
        if failed { Err(StoreError::Io(eio())) } else { Ok(()) }
    }

    fn has_failed(&self) -> bool {
        self.with(|store| store.failed).unwrap_or(true)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.disk.state().step("open again", Target::Path(&self.path)).map_err(StoreError::Io)?;
        self.with(|store| store.failed = false)
    }

    fn retire(&self) {
        // A store that failed is given up as well.
        if let Some(store) = self.disk.state().stores.get_mut(&self.path) {
            store.retired = true;
        }
    }
}
