//! Descriptions that the server has sent, with the class of each variant.
//!
//! A description comes once for many tasks; what follows from it is worked out once as well.
//!
//! What holds: a description that the server let go stays as long as a task that waits needs it, and no longer.

use super::allocate::Allocator;
use super::queue::{ClassId, Queue};
use crate::attempt::{DescKey, SharedDesc};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Descriptions kept at a time; tasks of further ones are given back.
const DESCS_MAX: usize = 1 << 17;

#[derive(Debug, Clone)]
struct Known {
    shared: Arc<SharedDesc>,
    /// Tasks that have not started.
    waiting: usize,
    /// The server said that it will not use it again.
    released: bool,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Descs {
    known: BTreeMap<DescKey, Known>,
}

impl Descs {
    /// Learns a description; the newest word of the server counts.
    pub(super) fn learn(&mut self, key: DescKey, shared: SharedDesc) {
        if let Some(known) = self.known.get_mut(&key) {
            known.released = false;
            if *known.shared != shared {
                known.shared = Arc::new(shared);
            }
        } else if self.known.len() < DESCS_MAX {
            self.known.insert(key, Known { shared: Arc::new(shared), waiting: 0, released: false });
        }
    }

    pub(super) fn get(&self, key: &DescKey) -> Option<&Arc<SharedDesc>> {
        self.known.get(key).map(|known| &known.shared)
    }

    /// The class of a variant; `None` when the description is unknown or the variant never fits this worker.
    pub(super) fn class(
        &self,
        key: &DescKey,
        variant: u32,
        allocator: &Allocator,
        queue: &mut Queue,
    ) -> Option<ClassId> {
        let desc = &self.get(key)?.desc;
        let variant = desc.request.variants.get(usize::try_from(variant).ok()?)?;
        let plan = allocator.plan(variant)?;
        // The weight says nothing to a worker.
        let content = crate::cbor::encode(&(&variant.entries, variant.min_time));
        Some(queue.class(content, desc.priority, &plan))
    }

    /// A task of the description waits.
    pub(super) fn hold(&mut self, key: &DescKey) {
        if let Some(known) = self.known.get_mut(key) {
            known.waiting += 1;
        }
    }

    /// A task of the description does not wait any more. `true`: the description is gone with it.
    pub(super) fn unhold(&mut self, key: &DescKey) -> bool {
        let Some(known) = self.known.get_mut(key) else { return false };
        known.waiting = known.waiting.saturating_sub(1);
        let gone = known.released && known.waiting == 0;
        if gone {
            self.known.remove(key);
        }
        gone
    }

    /// The server lets go. `true`: the description is gone.
    pub(super) fn release(&mut self, key: &DescKey) -> bool {
        let Some(known) = self.known.get_mut(key) else { return false };
        known.released = true;
        let gone = known.waiting == 0;
        if gone {
            self.known.remove(key);
        }
        gone
    }

    /// Forgets everything; gives back what it was.
    pub(super) fn clear(&mut self) -> Vec<DescKey> {
        std::mem::take(&mut self.known).into_keys().collect()
    }
}
