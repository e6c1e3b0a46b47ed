//! Which indices of which pools a task gets: the books of one worker's resources.
//!
//! The server knows only totals; which CPUs and which part of which GPU a task uses is decided here, at the moment
//! when it starts.
//!
//! What holds:
//! * an index is never handed out twice, and the shares of one split index never exceed one unit;
//! * [`Allocator::release`] of what [`Allocator::allocate`] gave restores the books, the order of a flat pool included;
//! * a request that does not fit changes nothing.

#[cfg(test)]
mod coupling_tests;
mod group;
mod joint;
mod pool;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;
mod wish;

use crate::resource::{Amount, Coupling, Policy, Variant, WorkerResources};
use crate::time::Span;
use joint::{Choice, Pair};
use pool::Books;
pub use pool::Share;
use wish::Wish;

/// The books of all pools of a worker.
#[derive(Debug, Clone)]
pub struct Allocator {
    names: Vec<String>,
    pools: Vec<Books>,
    coupling: Coupling,
    releases: u64,
}

/// A variant of a request, looked up in the pools of one worker once for all tasks that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    entries: Vec<PlanEntry>,
    /// Couplings between entries whose groups are chosen, by their places among those.
    pairs: Vec<Pair>,
    /// Least remaining lifetime of the worker.
    min_time: Span,
    /// With a strict policy: what an idle worker gives, of which nothing less will do.
    strict: Option<Quality>,
}

impl Plan {
    /// Least remaining lifetime of the worker.
    pub fn min_time(&self) -> Span {
        self.min_time
    }
}

/// What one entry of a request needs from one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PlanEntry {
    pool: usize,
    amount: Amount,
    policy: Policy,
    /// Whether its groups are chosen, together with those of other such entries.
    chooses_groups: bool,
}

/// What strict policies look at. The number of groups is the smaller the better, the weight of couplings the larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quality {
    groups: usize,
    coupling: u64,
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
            coupling: resources.coupling.clone(),
            releases: 0,
        }
    }

    /// How often something was given back: what did not fit does not fit until this changes.
    pub fn releases(&self) -> u64 {
        self.releases
    }

    /// Looks a variant up. `None`: it cannot run here even when everything is idle (a resource is missing or too
    /// small, or named twice). A multi-node variant needs nothing of the books, since the worker is its own.
    pub fn plan(&self, variant: &Variant) -> Option<Plan> {
        let entries = Vec::with_capacity(variant.entries.len());
        let mut plan = Plan { entries, pairs: Vec::new(), min_time: variant.min_time, strict: None };
        if variant.nodes > 0 {
            return Some(plan);
        }
        let mut is_strict = false;
        for entry in &variant.entries {
            let pool = self.names.iter().position(|name| *name == entry.resource)?;
            let books = self.pools.get(pool)?;
            if plan.entries.iter().any(|earlier| earlier.pool == pool) || !books.has_size(entry.amount, entry.policy) {
                return None;
            }
            let chooses_groups = books.chooses_groups(entry.policy);
            is_strict |= chooses_groups && matches!(entry.policy, Policy::ForceCompact | Policy::ForceTight);
            let (amount, policy) = (entry.amount, entry.policy);
            plan.entries.push(PlanEntry { pool, amount, policy, chooses_groups });
        }
        let choosing = plan.entries.iter().filter(|entry| entry.chooses_groups);
        let pools: Vec<usize> = choosing.map(|entry| entry.pool).collect();
        plan.pairs = self.coupling.weights.iter().filter_map(|coupling| Pair::new(coupling, &pools)).collect();
        if is_strict {
            let idle = self.pools.iter().map(Books::idle).collect();
            let idle = Self { names: Vec::new(), pools: idle, coupling: Coupling::default(), releases: 0 };
            let (_, quality) = idle.choice(&plan, true)?;
            plan.strict = Some(quality);
        }
        Some(plan)
    }

    /// The groups for the entries that choose some. `None`: some entry is not covered.
    fn choice(&self, plan: &Plan, strict: bool) -> Option<(Choice, Quality)> {
        let choosing = plan.entries.iter().filter(|entry| entry.chooses_groups);
        let wishes: Option<Vec<Wish>> = choosing.map(|entry| self.pools.get(entry.pool)?.wish(entry.amount)).collect();
        let wishes = wishes?;
        let choice = joint::choose(&wishes, &plan.pairs, strict);
        let quality = Quality { groups: wishes.iter().map(Wish::count).sum(), coupling: choice.coupling };
        Some((choice, quality))
    }

    /// The choice of groups of a plan that fits now.
    fn fitting(&self, plan: &Plan) -> Option<Choice> {
        let rigid = plan.entries.iter().filter(|entry| !entry.chooses_groups);
        let fits =
            |entry: &PlanEntry| self.pools.get(entry.pool).is_some_and(|books| books.fits(entry.amount, entry.policy));
        if !rigid.into_iter().all(fits) {
            return None;
        }
        let (choice, quality) = self.choice(plan, plan.strict.is_some())?;
        let will_do = |idle: Quality| quality.groups <= idle.groups && quality.coupling >= idle.coupling;
        plan.strict.is_none_or(will_do).then_some(choice)
    }

    /// Whether [`Allocator::allocate`] would succeed.
    pub fn fits(&self, plan: &Plan) -> bool {
        self.fitting(plan).is_some()
    }

    /// How often what is free would do in total, indices, groups and policies aside: all that the server knows.
    pub fn count_in_total(&self, plan: &Plan) -> usize {
        let count = |entry: &PlanEntry| {
            let books = self.pools.get(entry.pool);
            books.map_or(0, |books| books.count_in_total(entry.amount, entry.policy))
        };
        plan.entries.iter().map(count).min().unwrap_or(usize::MAX)
    }

    /// Takes what the plan needs; `None` and nothing taken when it does not fit now.
    pub fn allocate(&mut self, plan: &Plan) -> Option<Allocation> {
        let choice = self.fitting(plan)?;
        let mut chosen = choice.groups.iter();
        let mut allocation = Allocation { shares: Vec::with_capacity(plan.entries.len()) };
        for entry in &plan.entries {
            let groups = if entry.chooses_groups { chosen.next().map(Vec::as_slice) } else { None };
            let books = self.pools.get_mut(entry.pool);
            match books.and_then(|books| books.take(entry.amount, entry.policy, groups)) {
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
        self.releases += 1;
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

    /// How much an allocation holds of a pool of this name that is a plain sum.
    pub fn sum_of(&self, allocation: &Allocation, name: &str) -> Option<Amount> {
        let of = |(pool, share): &(usize, Share)| match share {
            Share::Sum(amount) => self.names.get(*pool).filter(|known| *known == name).map(|_| *amount),
            Share::Indices { .. } => None,
        };
        allocation.shares.iter().find_map(of)
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
