//! Which workers have something free, by resource: where placing looks.
//!
//! Most of the time most workers are full, but seldom of everything: CPUs run out while memory is left. So a class
//! looks only at the workers that have something free of the resource, among those it needs, that the fewest have.
//!
//! **Invariant:** a worker is in the set of a resource if and only if it accepts tasks and has a part of it free
//! (checked by `audit`).

use super::classes::{Class, ClassVariant, ResourceIndex};
use super::workers::Worker;
use crate::id::WorkerId;
use std::collections::BTreeSet;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct OpenWorkers {
    by_resource: Vec<BTreeSet<WorkerId>>,
    nowhere: BTreeSet<WorkerId>,
}

impl OpenWorkers {
    /// Notes what a worker has free now.
    pub fn refresh(&mut self, worker: &Worker) {
        if self.by_resource.len() < worker.resources() {
            self.by_resource.resize_with(worker.resources(), BTreeSet::new);
        }
        let accepts = worker.accepts();
        for (index, open) in self.by_resource.iter_mut().enumerate() {
            if accepts && worker.free(ResourceIndex(index)) > 0 {
                open.insert(worker.id);
            } else if !open.is_empty() {
                open.remove(&worker.id);
            }
        }
    }

    /// Forgets a worker.
    pub fn remove(&mut self, worker: WorkerId) {
        for open in &mut self.by_resource {
            open.remove(&worker);
        }
    }

    /// Workers with something free of a resource.
    pub fn of(&self, resource: ResourceIndex) -> &BTreeSet<WorkerId> {
        self.by_resource.get(resource.0).unwrap_or(&self.nowhere)
    }

    /// Whether no worker has anything free.
    pub fn is_empty(&self) -> bool {
        self.by_resource.iter().all(BTreeSet::is_empty)
    }

    /// Workers, from `from` on and ascending, outside of which no task of the class fits.
    pub fn candidates<'a>(&'a self, class: &Class, from: WorkerId) -> impl Iterator<Item = WorkerId> + use<'a> {
        let sets: Vec<&BTreeSet<WorkerId>> = class.variants.iter().map(|variant| self.smallest(variant)).collect();
        let mut from = Some(from);
        std::iter::from_fn(move || {
            let start = from?;
            let next = sets.iter().filter_map(|set| set.range(start..).next()).min().copied();
            from = next.and_then(|id| id.0.checked_add(1)).map(WorkerId);
            next
        })
    }

    fn smallest(&self, variant: &ClassVariant) -> &BTreeSet<WorkerId> {
        let sets = variant.needs.iter().map(|(resource, _)| self.of(*resource));
        sets.min_by_key(|set| set.len()).unwrap_or(&self.nowhere)
    }
}
