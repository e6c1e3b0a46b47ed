//! What tests do to the disk behind the journal's back: damage in files and pages, and copies to damage.
//!
//! A campaign damages one journal in thousands of ways, so that making the same disk again has to be cheap.
//!
//! **Invariant:** a copy has what readers see, all of it durable, and shares nothing with the original.

use std::path::Path;

use super::{Inode, ModelDisk, Pages, State, StoreState};

impl ModelDisk {
    /// Changes the content of a file behind the journal's back; the result is durable.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let inode = state.names.get(path).copied();
        if let Some(inode) = inode.and_then(|n| state.inodes.get_mut(&n)) {
            change(&mut inode.current);
            inode.durable = inode.current.clone();
            inode.pending.clear();
        }
    }

    /// Changes the entries of a page store behind the journal's back; the result is durable.
    pub fn edit_store(&self, path: &Path, change: impl FnOnce(&mut Pages)) {
        if let Some(store) = self.state().stores.get_mut(path) {
            change(&mut store.current);
            store.durable = store.current.clone();
            store.pending.clear();
        }
    }

    /// Another disk with the same files and stores, on which nothing is open, planned or limited.
    pub fn copy(&self) -> Self {
        let state = self.state();
        let inode = |i: &Inode| Inode { durable: i.current.clone(), current: i.current.clone(), pending: Vec::new() };
        let store = |s: &StoreState| StoreState {
            durable: s.current.clone(),
            current: s.current.clone(),
            ..StoreState::default()
        };
        let copy = State {
            inodes: state.inodes.iter().map(|(n, i)| (*n, inode(i))).collect(),
            inode_next: state.inode_next,
            names: state.names.clone(),
            names_durable: state.names.clone(),
            dirs: state.dirs.clone(),
            stores: state.stores.iter().map(|(path, s)| (path.clone(), store(s))).collect(),
            ..State::default()
        };
        Self { state: std::sync::Arc::new(std::sync::Mutex::new(copy)) }
    }
}
