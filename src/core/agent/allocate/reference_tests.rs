//! The allocator against a reference that tries all combinations of groups, on small workers with random histories.
//!
//! The reference knows what is taken of each index and nothing else; it computes the score of a combination from the
//! formula of the specification, with the number of groups before everything.
//!
//! What holds: a request starts exactly when the reference says so, and its groups have the best score there is.

use super::tests::{groups_of, worker};
use super::*;
use crate::resource::{CouplingWeight, RequestEntry};
use proptest::prelude::*;

/// Parts taken of each index of each pool, and the size of each group.
#[derive(Debug, Clone)]
struct Reference {
    used: Vec<Vec<u64>>,
    sizes: Vec<Vec<usize>>,
    couplings: Vec<CouplingWeight>,
}

/// The order in which combinations are compared: groups, strict coupling, score in 1/320000, free units.
type Rank = (std::cmp::Reverse<usize>, u64, i64, std::cmp::Reverse<usize>);

impl Reference {
    fn group_of(&self, pool: usize, index: usize) -> usize {
        let mut end = 0;
        self.sizes[pool]
            .iter()
            .position(|size| {
                end += size;
                index < end
            })
            .unwrap()
    }

    /// Free units, and the largest rest that holds `parts`, of a group.
    fn free(&self, pool: usize, group: usize, parts: u64) -> (usize, u64) {
        let of_group = (0..self.used[pool].len()).filter(|index| self.group_of(pool, *index) == group);
        let rests: Vec<u64> = of_group.map(|index| Amount::UNIT - self.used[pool][index]).collect();
        let whole = rests.iter().filter(|rest| **rest == Amount::UNIT).count();
        let split = rests.iter().copied().filter(|rest| parts > 0 && *rest < Amount::UNIT && *rest >= parts);
        (whole, split.max().unwrap_or(0))
    }

    fn covers(&self, entry: &PlanEntry, groups: &[usize]) -> bool {
        let (whole, parts) = (entry.amount.whole() as usize, entry.amount.fraction());
        let free: Vec<(usize, u64)> = groups.iter().map(|group| self.free(entry.pool, *group, parts)).collect();
        let units: usize = free.iter().map(|(units, _)| units).sum();
        let splits = free.iter().filter(|(_, rest)| *rest > 0).count();
        units >= whole && (parts == 0 || units + splits > whole)
    }

    fn rank(&self, entries: &[&PlanEntry], chosen: &[Vec<usize>], strict: bool) -> Rank {
        let holds = |resource: u32, group: u32| {
            let at = entries.iter().position(|entry| entry.pool == resource as usize);
            at.is_some_and(|at| chosen[at].contains(&(group as usize)))
        };
        let coupled = self.couplings.iter().filter(|c| holds(c.resource1, c.group1) && holds(c.resource2, c.group2));
        let coupling: u64 = coupled.map(|c| u64::from(c.weight)).sum();
        let (mut score, mut room) = (coupling as i64 * 320_000, 0);
        for (entry, groups) in entries.iter().zip(chosen) {
            let parts = entry.amount.fraction();
            for group in groups {
                let (units, rest) = self.free(entry.pool, *group, parts);
                score += if parts == 0 { -(units as i64) * 320_000 / 32 } else { 16 * 32 * rest as i64 };
                room += units;
            }
        }
        let count = chosen.iter().map(Vec::len).sum();
        (std::cmp::Reverse(count), if strict { coupling } else { 0 }, score, std::cmp::Reverse(room))
    }

    /// The best rank there is; none when an entry is not covered.
    fn best(&self, entries: &[&PlanEntry], strict: bool) -> Option<Rank> {
        let mut all: Vec<Vec<Vec<usize>>> = vec![vec![]];
        for entry in entries {
            let groups = self.sizes[entry.pool].len();
            let subsets =
                (1u32..1 << groups).map(|mask| (0..groups).filter(|at| mask >> at & 1 == 1).collect::<Vec<_>>());
            let covering: Vec<Vec<usize>> = subsets.filter(|groups| self.covers(entry, groups)).collect();
            let longer = |chosen: &Vec<Vec<usize>>, next: &Vec<usize>| {
                chosen.iter().cloned().chain([next.clone()]).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(|chosen| covering.iter().map(move |next| longer(chosen, next))).collect();
        }
        all.iter().map(|chosen| self.rank(entries, chosen, strict)).max()
    }

    fn idle(&self) -> Self {
        let used = self.used.iter().map(|used| vec![0; used.len()]).collect();
        Self { used, ..self.clone() }
    }

    fn book(&mut self, allocation: &Allocation, sign: i64) {
        for (pool, share) in &allocation.shares {
            let Share::Indices { whole, part } = share else { panic!("an indexed pool gives indices") };
            for (index, parts) in whole.iter().map(|index| (*index, Amount::UNIT)).chain(*part) {
                let used = &mut self.used[*pool][index as usize];
                *used = used.checked_add_signed(sign * parts as i64).unwrap();
                assert!(*used <= Amount::UNIT, "index {index} of pool {pool} handed out twice");
            }
        }
    }

    fn groups_of(&self, pool: usize, share: &Share) -> Vec<usize> {
        let Share::Indices { whole, part } = share else { panic!("an indexed pool gives indices") };
        let indices = whole.iter().copied().chain(part.map(|(index, _)| index));
        let mut groups: Vec<usize> = indices.map(|index| self.group_of(pool, index as usize)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

#[derive(Debug, Clone)]
enum Step {
    Take(Vec<(u64, Policy)>),
    Release(usize),
}

fn step(pools: usize) -> impl Strategy<Value = Step> {
    let amount = prop_oneof![
        4 => (1u64..6).prop_map(|n| n * Amount::UNIT),
        4 => (1u64..9).prop_map(|n| n * 1_200),
        1 => (1u64..24).prop_map(|n| n * 2_500),
    ];
    let policy = proptest::sample::select(vec![
        Policy::Compact,
        Policy::Compact,
        Policy::Tight,
        Policy::ForceCompact,
        Policy::ForceTight,
        Policy::Scatter,
        Policy::All,
    ]);
    let entries = proptest::collection::vec((amount, policy), 1..=pools);
    prop_oneof![3 => entries.prop_map(Step::Take), 2 => any::<usize>().prop_map(Step::Release)]
}

/// Compares one request with the reference, whichever way it goes.
fn take(allocator: &mut Allocator, reference: &mut Reference, plan: &Plan) -> Option<Allocation> {
    let choosing: Vec<&PlanEntry> = plan.entries.iter().filter(|entry| entry.chooses_groups).collect();
    let strict = |entry: &&&PlanEntry| matches!(entry.policy, Policy::ForceCompact | Policy::ForceTight);
    let is_strict = choosing.iter().any(|entry| strict(&entry));
    let rigid = plan.entries.iter().filter(|entry| !entry.chooses_groups).all(|entry| {
        let all: Vec<usize> = (0..reference.sizes[entry.pool].len()).collect();
        match entry.policy {
            Policy::All => reference.used[entry.pool].iter().all(|used| *used == 0),
            _ => reference.covers(entry, &all),
        }
    });
    let now = reference.best(&choosing, is_strict).filter(|_| rigid);
    let idle = reference.idle().best(&choosing, is_strict);
    let expected = now.filter(|now| !is_strict || idle.is_some_and(|idle| (now.0, now.1) >= (idle.0, idle.1)));
    assert_eq!(allocator.fits(plan), expected.is_some(), "{plan:?}");
    let before = allocator.free();
    let Some(allocation) = allocator.allocate(plan) else {
        assert_eq!(expected, None, "{plan:?} waits");
        assert_eq!(allocator.free(), before);
        return None;
    };
    let shares = plan.entries.iter().zip(&allocation.shares).filter(|(entry, _)| entry.chooses_groups);
    let chosen: Vec<Vec<usize>> = shares.map(|(_, (pool, share))| reference.groups_of(*pool, share)).collect();
    assert_eq!(Some(reference.rank(&choosing, &chosen, is_strict)), expected, "{plan:?} {chosen:?}");
    reference.book(&allocation, 1);
    Some(allocation)
}

fn pools() -> impl Strategy<Value = Vec<Vec<u32>>> {
    let sizes =
        proptest::collection::vec(0u32..5, 1..5).prop_filter("not empty", |sizes| sizes.iter().sum::<u32>() > 0);
    proptest::collection::vec(sizes, 1..4)
}

proptest! {
    #[test]
    fn histories_agree_with_the_reference(
        sizes in pools(),
        couplings in proptest::collection::vec((0u32..3, 0u32..4, 0u32..3, 0u32..4, 0u32..600), 0..8),
        steps in proptest::collection::vec(step(3), 0..60),
    ) {
        let names = ["a", "b", "c"];
        let kinds: Vec<(&str, crate::resource::PoolKind)> =
            names.iter().copied().zip(sizes.iter().map(|sizes| groups_of(sizes))).collect();
        let mut allocator = worker(&kinds);
        let couplings = couplings.into_iter().map(|(resource1, group1, resource2, group2, weight)| {
            CouplingWeight { resource1, group1, resource2, group2, weight }
        });
        allocator.coupling.weights = couplings.collect();
        let mut reference = Reference {
            used: sizes.iter().map(|sizes| vec![0; sizes.iter().sum::<u32>() as usize]).collect(),
            sizes: sizes.iter().map(|sizes| sizes.iter().map(|size| *size as usize).collect()).collect(),
            couplings: allocator.coupling.weights.clone(),
        };
        let mut held: Vec<Allocation> = Vec::new();
        for step in steps {
            match step {
                Step::Take(entries) => {
                    let named = entries.into_iter().zip(names).map(|((parts, policy), name)| {
                        RequestEntry { resource: name.into(), amount: Amount(parts), policy }
                    });
                    let variant = Variant { entries: named.collect(), ..Variant::default() };
                    let Some(plan) = allocator.plan(&variant) else { continue };
                    held.extend(take(&mut allocator, &mut reference, &plan));
                }
                Step::Release(which) if !held.is_empty() => {
                    let allocation = held.swap_remove(which % held.len());
                    reference.book(&allocation, -1);
                    allocator.release(&allocation);
                }
                Step::Release(_) => {}
            }
        }
        while let Some(allocation) = held.pop() {
            allocator.release(&allocation);
        }
        prop_assert!(allocator.is_idle());
    }
}
