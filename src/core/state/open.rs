//! Which workers have what free: where placing looks.
//!
//! A tree over the workers in the order of their ids: each node knows, for each resource, the most that one worker
//! below it has free. So the first worker that fits a request is found in a few steps, however many workers are full.
//! Copies of the tree serve as drafts, in which a worker shows less than it has.
//!
//! **Invariant:** a worker shows here what is free of it and how long it lives if it accepts tasks and sets no bound
//! to its utilization; otherwise nothing (checked by `audit`).

use super::classes::{ClassVariant, Need, ResourceIndex};
use super::workers::Worker;
use crate::id::WorkerId;
use crate::time::Time;
use std::collections::BTreeSet;

/// Resources that rows have, those that were met first. Of others it is not known here what is free.
pub const SHOWN_RESOURCES_MAX: usize = 32;
/// Values of a row beside those of the resources: when the worker ends.
const OWN_COLUMNS: usize = 1;
/// Values for each resource: what is free, the same if nothing of it is taken, and what there is in all.
const RESOURCE_COLUMNS: usize = 3;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct OpenWorkers {
    /// Workers by leaf, ascending; those that are gone stay until the tree is built anew.
    leaves: Vec<WorkerId>,
    gone: BTreeSet<WorkerId>,
    /// Leaves that there is room for: a power of two, or 0.
    room: usize,
    resources: usize,
    /// Rows: that of node `n` starts at `n * width`; node 1 is the root, leaves start at node `room`.
    rows: Vec<u64>,
}

impl OpenWorkers {
    fn width(&self) -> usize {
        OWN_COLUMNS + RESOURCE_COLUMNS * self.resources
    }

    fn row(&self, node: usize) -> &[u64] {
        let width = self.width();
        self.rows.get(node * width..(node + 1) * width).unwrap_or_default()
    }

    /// Notes what a worker has free now.
    pub fn refresh(&mut self, worker: &Worker) {
        self.show(worker, &[]);
    }

    /// Shows a worker as having less of some resources than it has.
    pub fn show(&mut self, worker: &Worker, held: &[(ResourceIndex, i64)]) {
        let is_open = worker.accepts() && worker.config.min_utilization_parts == 0;
        let Some(leaf) = self.leaf(worker, is_open) else { return };
        let mut row = vec![0; self.width()];
        if is_open {
            fill(&mut row, worker, held);
        }
        self.set(leaf, &row);
    }

    /// The leaf of a worker; none for one that is not there and need not be.
    fn leaf(&mut self, worker: &Worker, is_open: bool) -> Option<usize> {
        let resources = worker.resources().min(SHOWN_RESOURCES_MAX);
        if self.resources < resources {
            self.build(resources, None);
        }
        match self.leaves.binary_search(&worker.id) {
            Ok(leaf) => {
                self.gone.remove(&worker.id);
                Some(leaf)
            }
            Err(_) if !is_open => None,
            Err(leaf) => {
                if leaf < self.leaves.len() || leaf == self.room {
                    self.build(self.resources, Some(worker.id));
                } else {
                    self.leaves.push(worker.id);
                }
                self.leaves.binary_search(&worker.id).ok()
            }
        }
    }

    /// Forgets a worker.
    pub fn remove(&mut self, worker: WorkerId) {
        if let Ok(leaf) = self.leaves.binary_search(&worker) {
            self.gone.insert(worker);
            self.set(leaf, &vec![0; self.width()]);
        }
    }

    fn set(&mut self, leaf: usize, row: &[u64]) {
        let width = self.width();
        let mut node = self.room + leaf;
        if self.row(node) == row {
            return;
        }
        if let Some(own) = self.rows.get_mut(node * width..(node + 1) * width) {
            own.copy_from_slice(row);
        }
        while node > 1 {
            node /= 2;
            if !self.join(node) {
                break;
            }
        }
    }

    /// Makes the row of a node from the two below it; whether that changed it.
    fn join(&mut self, node: usize) -> bool {
        let width = self.width();
        let middle = (2 * node * width).min(self.rows.len());
        let (above, below) = self.rows.split_at_mut(middle);
        let Some(own) = above.get_mut(node * width..(node + 1) * width) else { return false };
        let (left, right) = below.split_at(width.min(below.len()));
        let mut changed = false;
        for (column, ((own, left), right)) in own.iter_mut().zip(left).zip(right).enumerate() {
            let is_sum = column >= OWN_COLUMNS && (column - OWN_COLUMNS) % RESOURCE_COLUMNS == 2;
            let joined = if is_sum { left.saturating_add(*right) } else { *left.max(right) };
            changed |= joined != *own;
            *own = joined;
        }
        changed
    }

    /// Builds the tree anew, with room for more resources or another worker, without those that are gone.
    fn build(&mut self, resources: usize, more: Option<WorkerId>) {
        let old = std::mem::take(self);
        let rows = old.leaves.iter().enumerate().map(|(leaf, id)| (*id, old.row(old.room + leaf)));
        let mut kept: Vec<(WorkerId, &[u64])> = rows.filter(|(id, _)| !old.gone.contains(id)).collect();
        if let Some(id) = more {
            let at = kept.partition_point(|(other, _)| *other < id);
            kept.insert(at, (id, &[]));
        }
        self.resources = resources;
        self.room = (kept.len() * 2).next_power_of_two();
        let width = self.width();
        self.rows = vec![0; 2 * self.room * width];
        for (leaf, (id, row)) in kept.into_iter().enumerate() {
            self.leaves.push(id);
            let start = (self.room + leaf) * width;
            if let Some(own) = self.rows.get_mut(start..start + row.len()) {
                own.copy_from_slice(row);
            }
        }
        for node in (1..self.room).rev() {
            self.join(node);
        }
    }

    /// One more than the largest index of a resource that is shown.
    pub fn resources(&self) -> usize {
        self.resources
    }

    /// Whether no worker has anything free.
    pub fn is_empty(&self) -> bool {
        let row = self.row(1);
        (0..self.resources).all(|resource| row.get(OWN_COLUMNS + resource * RESOURCE_COLUMNS) == Some(&0))
    }

    /// What all workers that show something have of a resource, used or not.
    pub fn total(&self, resource: ResourceIndex) -> u64 {
        self.row(1).get(OWN_COLUMNS + resource.0 * RESOURCE_COLUMNS + 2).copied().unwrap_or(0)
    }

    /// The first worker, from `from` on and ascending, that can start a task of one of the variants at `now`, as far as
    /// is shown here.
    pub fn first(&self, variants: &[ClassVariant], from: WorkerId, now: Time) -> Option<WorkerId> {
        let start = self.leaves.partition_point(|id| *id < from);
        let firsts = variants.iter().filter(|variant| variant.nodes == 0).filter_map(|variant| {
            let leaf = self.search(variant, start, now)?;
            self.leaves.get(leaf).copied()
        });
        firsts.min()
    }

    /// The first leaf from `start` on that satisfies the variant: down where it may be, otherwise on to the right.
    fn search(&self, variant: &ClassVariant, start: usize, now: Time) -> Option<usize> {
        if start >= self.leaves.len() {
            return None;
        }
        let mut node = self.room + start;
        loop {
            if self.satisfies(node, variant, now) {
                if node >= self.room {
                    return Some(node - self.room);
                }
                node *= 2;
                continue;
            }
            // To the next subtree on the right: up while this is a right child.
            while node % 2 == 1 {
                node /= 2;
            }
            if node == 0 {
                return None;
            }
            node += 1;
        }
    }

    fn satisfies(&self, node: usize, variant: &ClassVariant, now: Time) -> bool {
        let row = self.row(node);
        let ends = row.first().copied().unwrap_or(0);
        let lives = variant.min_time_us == 0 || ends.saturating_sub(now.0) >= variant.min_time_us;
        lives
            && variant.needs.iter().filter(|(resource, _)| resource.0 < SHOWN_RESOURCES_MAX).all(|(resource, need)| {
                let column = OWN_COLUMNS + resource.0 * RESOURCE_COLUMNS;
                match need {
                    Need::Parts(parts) => row.get(column).is_some_and(|free| free >= parts),
                    Need::All => row.get(column + 1).is_some_and(|whole| *whole > 0),
                }
            })
    }

    /// What a worker shows as free of a resource, in parts, and whether that is all there is; what is not shown is what
    /// it has.
    pub fn free(&self, worker: &Worker, resource: ResourceIndex) -> (u64, bool) {
        if resource.0 >= SHOWN_RESOURCES_MAX {
            let free = u64::try_from(worker.free(resource)).unwrap_or(0);
            return (free, free > 0 && free == worker.capacity(resource));
        }
        let Ok(leaf) = self.leaves.binary_search(&worker.id) else { return (0, false) };
        let row = self.row(self.room + leaf);
        let column = OWN_COLUMNS + resource.0 * RESOURCE_COLUMNS;
        let value = |at: usize| row.get(at).copied().unwrap_or(0);
        (value(column), value(column + 1) > 0)
    }

    /// The workers that show something, with what they show, for comparison.
    pub fn shown(&self) -> impl Iterator<Item = (WorkerId, &[u64])> {
        let rows = self.leaves.iter().enumerate().map(|(leaf, id)| (*id, self.row(self.room + leaf)));
        rows.filter(|(_, row)| row.iter().any(|value| *value > 0))
    }
}

/// What a worker shows.
fn fill(row: &mut [u64], worker: &Worker, held: &[(ResourceIndex, i64)]) {
    let ends = worker.config.time_limit.map_or(u64::MAX, |limit| worker.started.after(limit).0);
    if let Some(first) = row.first_mut() {
        *first = ends;
    }
    let columns = row.get_mut(OWN_COLUMNS..).unwrap_or_default().chunks_exact_mut(RESOURCE_COLUMNS);
    for (index, columns) in columns.enumerate() {
        let resource = ResourceIndex(index);
        let capacity = worker.capacity(resource);
        let kept: i64 = held.iter().filter(|(other, _)| *other == resource).map(|(_, parts)| *parts).sum();
        let free = u64::try_from(worker.free(resource).saturating_sub(kept)).unwrap_or(0);
        if let [shown, whole, total] = columns {
            *shown = free;
            *whole = if free == capacity { free } else { 0 };
            *total = capacity;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClassId;
    use crate::resource::{Amount, Pool, PoolKind, WorkerResources};
    use crate::state::classes::{Class, Classes};
    use crate::worker::WorkerConfig;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn worker(id: u32, cpus: u32, mem: u32, classes: &mut Classes) -> Worker {
        let pool = |name: &str, units| Pool { name: name.into(), kind: PoolKind::Sum(Amount::units(units)) };
        let pools = vec![pool("cpus", cpus), pool("mem", mem)];
        let config = WorkerConfig { resources: WorkerResources { pools, ..Default::default() }, ..Default::default() };
        Worker::new(WorkerId(id), String::new(), Arc::new(config), Time(0), classes)
    }

    fn variant(cpus: Need, mem: u64) -> ClassVariant {
        let needs = vec![(ResourceIndex(0), cpus), (ResourceIndex(1), Need::Parts(mem * Amount::UNIT))];
        ClassVariant { needs, nodes: 0, min_time_us: 0, weight: 1 }
    }

    fn class(variant: ClassVariant) -> Class {
        Class { id: ClassId(0), request: Arc::default(), variants: vec![variant] }
    }

    proptest! {
        #[test]
        fn finds_what_a_walk_finds(
            steps in proptest::collection::vec((1u32..24, 0u32..5, 1u32..5, 1u64..5, 0u8..6), 1..60),
        ) {
            let (mut classes, mut open, mut model) =
                (Classes::default(), OpenWorkers::default(), BTreeMap::<WorkerId, Worker>::new());
            for (id, used, mem, need, what) in steps {
                let id = WorkerId(id);
                match what {
                    0 => {
                        if model.remove(&id).is_some() {
                            open.remove(id);
                        }
                    }
                    _ => {
                        let mut worker = worker(id.0, 4, mem, &mut classes);
                        worker.take(Some(&class(variant(Need::Parts(u64::from(used) * Amount::UNIT), 0))), 0);
                        open.refresh(&worker);
                        model.insert(id, worker);
                    }
                }
                for wanted in [variant(Need::Parts(need * Amount::UNIT), u64::from(mem)), variant(Need::All, 1)] {
                    for from in [0, id.0, id.0 + 3] {
                        let fitting = model.range(WorkerId(from)..).find(|(_, worker)| worker.fits(&wanted, 1) > 0);
                        let found = open.first(std::slice::from_ref(&wanted), WorkerId(from), Time(0));
                        prop_assert_eq!(found, fitting.map(|(id, _)| *id));
                    }
                }
                let total: u64 = model.values().map(|worker| worker.capacity(ResourceIndex(1))).sum();
                prop_assert_eq!(open.total(ResourceIndex(1)), total);
                prop_assert_eq!(open.is_empty(), model.is_empty());
                prop_assert_eq!(open.shown().count(), model.len());
            }
        }
    }
}
