//! Which indices of which pools a task gets: the books of one worker's resources.
//!
//! The server knows only totals; which CPUs and which part of which GPU a task uses is decided here, at the moment
//! when it starts.
//!
//! What holds:
//! * an index is never handed out twice, and the shares of one split index never exceed one unit;
//! * [`Allocator::release`] of what [`Allocator::allocate`] gave restores the books, the order of a flat pool included;
//! * a request that does not fit changes nothing.

mod choose;
mod group;
mod pool;
#[cfg(test)]
mod tests;

use crate::resource::{Amount, Policy, Variant, WorkerResources};
use pool::Books;
pub use pool::Share;

/// The books of all pools of a worker.
#[derive(Debug, Clone)]
pub struct Allocator {
    names: Vec<String>,
    pools: Vec<Books>,
}

/// A variant of a request, looked up in the pools of one worker once for all tasks that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    entries: Vec<PlanEntry>,
}

/// What one entry of a request needs from one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PlanEntry {
    pool: usize,
    amount: Amount,
    policy: Policy,
    /// Most groups that it may use: for strict policies as many as an idle pool needs, else no bound.
    groups_max: usize,
}

/// What a task holds, one share for each entry of its variant, in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    shares: Vec<(usize, Share)>,
}

impl Allocation {
    /// How much it holds of which pool, by the pool's place among the worker's pools.
    pub fn amounts(&self) -> impl Iterator<Item = (usize, Amount)> {
        self.shares.iter().map(|(pool, share)| (*pool, share.amount()))
    }
}

impl Allocator {
    /// Books of an idle worker.
    pub fn new(resources: &WorkerResources) -> Self {
        Self {
            names: resources.pools.iter().map(|pool| pool.name.clone()).collect(),
            pools: resources.pools.iter().map(|pool| Books::new(&pool.kind)).collect(),
        }
    }

    /// Looks a variant up. `None`: it cannot run here even when everything is idle (a resource is missing or too
    /// small, or named twice), or it is a multi-node variant, which needs no books.
    pub fn plan(&self, variant: &Variant) -> Option<Plan> {
        if variant.nodes > 0 {
            return None;
        }
        let mut entries: Vec<PlanEntry> = Vec::with_capacity(variant.entries.len());
        for entry in &variant.entries {
            let pool = self.names.iter().position(|name| *name == entry.resource)?;
            let idle = self.pools.get(pool)?.idle();
            if entries.iter().any(|earlier| earlier.pool == pool) || !idle.has_size(entry.amount, entry.policy) {
                return None;
            }
            let strict = matches!(entry.policy, Policy::ForceCompact | Policy::ForceTight);
            let groups_max = if strict { idle.groups_needed(entry.amount) } else { usize::MAX };
            entries.push(PlanEntry { pool, amount: entry.amount, policy: entry.policy, groups_max });
        }
        Some(Plan { entries })
    }

    /// Takes what the plan needs; `None` and nothing taken when it does not fit now.
    pub fn allocate(&mut self, plan: &Plan) -> Option<Allocation> {
        let mut allocation = Allocation { shares: Vec::with_capacity(plan.entries.len()) };
        for entry in &plan.entries {
            let books = self.pools.get_mut(entry.pool);
            match books.and_then(|books| books.take(entry.amount, entry.policy, entry.groups_max)) {
                Some(share) => allocation.shares.push((entry.pool, share)),
                None => {
                    self.release(&allocation);
                    return None;
                }
            }
        }
        Some(allocation)
    }

    /// Gives back what [`Allocator::allocate`] gave.
    pub fn release(&mut self, allocation: &Allocation) {
        for (pool, share) in allocation.shares.iter().rev() {
            if let Some(books) = self.pools.get_mut(*pool) {
                books.give_back(share);
            }
        }
    }

    /// The labels of each entry joined by commas, the shared index last; none for plain sums.
    pub fn labels(&self, allocation: &Allocation) -> Vec<Option<String>> {
        let of = |(pool, share): &(usize, Share)| self.pools.get(*pool).and_then(|books| books.labels(share));
        allocation.shares.iter().map(of).collect()
    }

    /// How much of each pool is free, shares of split indices included; in the order of the pools.
    pub fn free(&self) -> Vec<Amount> {
        self.pools.iter().map(Books::free).collect()
    }

    /// Whether nothing is handed out.
    pub fn is_idle(&self) -> bool {
        self.pools.iter().all(Books::is_idle)
    }
}
