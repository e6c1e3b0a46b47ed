//! The allocator against the worked examples of its specification, and against a naive model.
//!
//! The model counts every index in 1/10000 and knows nothing of stacks, groups or splits.
//!
//! What holds: see the module above; each sentence there has a test here.

use super::*;
use crate::resource::{Pool, PoolKind, RequestEntry};
use proptest::prelude::*;
use std::collections::BTreeMap;

pub(super) fn worker(pools: &[(&str, PoolKind)]) -> Allocator {
    let pools = pools.iter().map(|(name, kind)| Pool { name: (*name).into(), kind: kind.clone() }).collect();
    Allocator::new(&WorkerResources { pools, ..Default::default() })
}

/// A request for one resource in the user's words.
fn request(text: &str) -> Variant {
    request_of("cpus", text)
}

pub(super) fn request_of(resource: &str, text: &str) -> Variant {
    let mut words = text.split(' ');
    let first = words.next().unwrap();
    let (amount, policy) = match (first, words.next()) {
        ("all", _) => (Amount::ZERO, Policy::All),
        (amount, None | Some("compact")) => (Amount::parse(amount).unwrap(), Policy::Compact),
        (amount, Some("compact!")) => (Amount::parse(amount).unwrap(), Policy::ForceCompact),
        (amount, Some("tight")) => (Amount::parse(amount).unwrap(), Policy::Tight),
        (amount, Some("tight!")) => (Amount::parse(amount).unwrap(), Policy::ForceTight),
        (amount, Some("scatter")) => (Amount::parse(amount).unwrap(), Policy::Scatter),
        (_, Some(other)) => panic!("{other}"),
    };
    let entry = RequestEntry { resource: resource.into(), amount, policy };
    Variant { entries: vec![entry], ..Variant::default() }
}

fn take(allocator: &mut Allocator, text: &str) -> Option<(Allocation, String)> {
    let plan = allocator.plan(&request(text))?;
    let allocation = allocator.allocate(&plan)?;
    let labels = allocator.labels(&allocation).into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some((allocation, labels))
}

fn labels(allocator: &mut Allocator, text: &str) -> String {
    take(allocator, text).map_or("waits".into(), |(_, labels)| labels)
}

pub(super) fn groups_of(sizes: &[u32]) -> PoolKind {
    let group = |(at, size): (usize, &u32)| (1..=*size).map(|n| (10 * at as u32 + n).to_string()).collect();
    PoolKind::Groups(sizes.iter().enumerate().map(group).collect())
}

/// How many indices of each group the request gets, ascending by count; the split one counts as one.
fn counts(allocator: &mut Allocator, text: &str) -> Option<Vec<usize>> {
    let (_, labels) = take(allocator, text)?;
    let mut by_group = BTreeMap::new();
    for label in labels.split(',') {
        *by_group.entry(label.parse::<u32>().unwrap() / 10).or_insert(0) += 1;
    }
    let mut counts: Vec<usize> = by_group.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    Some(counts)
}

#[test]
fn flat_pools_hand_out_from_the_top() {
    let range = PoolKind::range(0, 3);
    let letters = PoolKind::List("abcde".chars().map(String::from).collect());
    for (kind, text, expected) in [
        (&range, "2", "3,2"),
        (&letters, "2.5", "e,d,c"),
        (&range, "all", "3,2,1,0"),
        (&range, "2 scatter", "3,2"),
        (&range, "3 tight!", "3,2,1"),
        (&range, "5", "waits"),
        (&range, "3.5", "3,2,1,0"),
        (&range, "4.5", "waits"),
    ] {
        assert_eq!(labels(&mut worker(&[("cpus", kind.clone())]), text), expected, "{text}");
    }
}

#[test]
fn shares_use_the_smallest_sufficient_rest() {
    let mut allocator = worker(&[("cpus", PoolKind::range(0, 3))]);
    for (text, expected) in [("0.3", "3"), ("0.6", "3"), ("0.6", "2"), ("1.2", "1,2"), ("0.1", "3")] {
        assert_eq!(labels(&mut allocator, text), expected, "{text}");
    }
    assert_eq!(allocator.free(), vec![Amount(12_000)]);
}

#[test]
fn a_fraction_is_never_put_together() {
    let mut allocator = worker(&[("cpus", PoolKind::range(0, 1))]);
    assert_eq!(labels(&mut allocator, "0.75"), "1");
    assert_eq!(labels(&mut allocator, "0.75"), "0");
    assert_eq!(labels(&mut allocator, "0.5"), "waits");
    assert_eq!(labels(&mut allocator, "all"), "waits");
}

#[test]
fn sums_subtract() {
    let mut allocator = worker(&[("cpus", PoolKind::range(0, 0)), ("mem", PoolKind::Sum(Amount::units(10)))]);
    let plan = allocator.plan(&request_of("mem", "7.5")).unwrap();
    let first = allocator.allocate(&plan).unwrap();
    assert_eq!(allocator.labels(&first), vec![None]);
    assert_eq!(allocator.allocate(&plan), None);
    let all = allocator.plan(&request_of("mem", "all")).unwrap();
    assert_eq!(allocator.allocate(&all), None);
    allocator.release(&first);
    assert!(allocator.allocate(&all).is_some());
    assert_eq!(allocator.plan(&request_of("mem", "10.0001")), None);
    assert_eq!(allocator.plan(&request_of("gpus", "all")), None);
}

#[test]
fn idle_groups() {
    let three = || worker(&[("cpus", groups_of(&[4, 4, 4]))]);
    for (text, expected) in [
        ("4", vec![4]),
        ("5", vec![3, 2]),
        ("6", vec![3, 3]),
        ("6 compact!", vec![3, 3]),
        ("9", vec![3, 3, 3]),
        ("6 tight", vec![4, 2]),
        ("6 tight!", vec![4, 2]),
        ("9 tight", vec![4, 4, 1]),
        ("6 scatter", vec![2, 2, 2]),
        ("5 scatter", vec![2, 2, 1]),
        ("2 scatter", vec![1, 1]),
        ("2.5", vec![3]),
        ("4.5", vec![3, 2]),
        ("2.5 scatter", vec![1, 1, 1]),
        ("all", vec![4, 4, 4]),
    ] {
        assert_eq!(counts(&mut three(), text), Some(expected), "{text}");
    }
    for text in ["13", "12.5"] {
        assert_eq!(three().plan(&request(text)), None, "{text}");
    }
    assert_eq!(labels(&mut three(), "4"), "1,2,3,4");
}

#[test]
fn partly_used_groups() {
    let busy = || {
        let mut allocator = worker(&[("cpus", groups_of(&[4, 4, 4]))]);
        assert_eq!(labels(&mut allocator, "3"), "2,3,4");
        allocator
    };
    for (text, expected) in [
        ("1", vec![1]),
        ("2", vec![2]),
        ("5", vec![4, 1]),
        ("6", vec![3, 3]),
        ("7 compact!", vec![4, 3]),
        ("8 compact!", vec![4, 4]),
        ("9", vec![4, 4, 1]),
        ("3 scatter", vec![1, 1, 1]),
    ] {
        assert_eq!(counts(&mut busy(), text), Some(expected), "{text}");
    }
    assert_eq!(labels(&mut busy(), "1"), "1");
    assert_eq!(labels(&mut busy(), "all"), "waits");
}

#[test]
fn strict_policies_wait_for_few_groups() {
    let mut allocator = worker(&[("cpus", groups_of(&[4, 4]))]);
    assert_eq!(counts(&mut allocator, "3 compact!"), Some(vec![3]));
    assert_eq!(counts(&mut allocator, "3 compact!"), Some(vec![3]));
    assert_eq!(labels(&mut allocator, "2 compact!"), "waits");
    assert_eq!(counts(&mut allocator, "2"), Some(vec![1, 1]));
    let mut uneven = worker(&[("cpus", groups_of(&[4, 8]))]);
    assert_eq!(counts(&mut uneven, "3"), Some(vec![3]));
    assert_eq!(counts(&mut uneven, "2 compact!"), Some(vec![2]));
}

#[test]
fn a_request_that_fits_in_part_takes_nothing() {
    let mut allocator = worker(&[("cpus", PoolKind::range(0, 3)), ("x", PoolKind::range(0, 0))]);
    let mut both = request("2");
    both.entries.extend(request_of("x", "1").entries);
    let plan = allocator.plan(&both).unwrap();
    let first = allocator.allocate(&plan).unwrap();
    let free = allocator.free();
    assert_eq!(allocator.allocate(&plan), None);
    assert_eq!(allocator.free(), free);
    allocator.release(&first);
    assert!(allocator.is_idle());
    both.entries.extend(request("1").entries);
    assert_eq!(allocator.plan(&both), None, "a resource named twice");
}

/// What the model knows: parts handed out of each index, and which tasks hold what.
struct Model {
    used: BTreeMap<u32, u64>,
}

impl Model {
    fn take(&mut self, share: &Share, amount: Amount, size: u32) {
        let Share::Indices { whole, part } = share else { panic!("an indexed pool gives indices") };
        let parts = part.map_or(0, |(_, parts)| parts);
        assert_eq!(whole.len() as u64 * Amount::UNIT + parts, amount.0);
        let all = whole.iter().map(|index| (*index, Amount::UNIT)).chain(*part);
        for (index, parts) in all {
            assert!(index < size);
            let used = self.used.entry(index).or_insert(0);
            *used += parts;
            assert!(*used <= Amount::UNIT, "index {index} handed out twice");
        }
    }

    fn give_back(&mut self, share: &Share) {
        let Share::Indices { whole, part } = share else { return };
        for (index, parts) in whole.iter().map(|index| (*index, Amount::UNIT)).chain(*part) {
            *self.used.get_mut(&index).unwrap() -= parts;
        }
    }

    /// Whether the amount fits, policies and strictness aside.
    fn fits(&self, amount: Amount, size: u32) -> bool {
        let rest = |index: u32| Amount::UNIT - self.used.get(&index).copied().unwrap_or(0);
        let whole = (0..size).filter(|index| rest(*index) == Amount::UNIT).count() as u64;
        let parts = amount.fraction();
        let shared = (0..size).any(|index| rest(index) != Amount::UNIT && rest(index) >= parts);
        whole >= amount.whole() && (parts == 0 || shared || whole > amount.whole())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Take(u64, Policy),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let amount =
        prop_oneof![(1u64..7).prop_map(|n| n * Amount::UNIT), 1u64..60_000, (1u64..40).prop_map(|n| n * 2_500)];
    let policy = prop_oneof![
        4 => Just(Policy::Compact), 1 => Just(Policy::Tight), 1 => Just(Policy::Scatter),
        1 => Just(Policy::ForceCompact), 1 => Just(Policy::ForceTight)
    ];
    prop_oneof![3 => (amount, policy).prop_map(|(a, p)| Step::Take(a, p)), 2 => any::<usize>().prop_map(Step::Release)]
}

fn run_history(kind: PoolKind, steps: Vec<Step>) {
    let size = u32::try_from(kind.size().whole()).unwrap();
    let mut allocator = worker(&[("cpus", kind)]);
    let mut model = Model { used: BTreeMap::new() };
    let mut held: Vec<Allocation> = Vec::new();
    for step in steps {
        match step {
            Step::Take(parts, policy) => {
                let amount = Amount(parts);
                let entry = RequestEntry { resource: "cpus".into(), amount, policy };
                let variant = Variant { entries: vec![entry], ..Variant::default() };
                let Some(plan) = allocator.plan(&variant) else {
                    assert!(parts.div_ceil(Amount::UNIT) > u64::from(size));
                    continue;
                };
                let before = allocator.free();
                match allocator.allocate(&plan) {
                    Some(allocation) => {
                        model.take(&allocation.shares[0].1, amount, size);
                        held.push(allocation);
                    }
                    None => {
                        let strict = matches!(policy, Policy::ForceCompact | Policy::ForceTight);
                        assert!(strict || !model.fits(amount, size), "{amount} fits by the model");
                        assert_eq!(allocator.free(), before);
                    }
                }
            }
            Step::Release(which) if !held.is_empty() => {
                let allocation = held.swap_remove(which % held.len());
                model.give_back(&allocation.shares[0].1);
                allocator.release(&allocation);
            }
            Step::Release(_) => {}
        }
        let used: u64 = model.used.values().sum();
        assert_eq!(allocator.free(), vec![Amount(u64::from(size) * Amount::UNIT - used)]);
    }
    while let Some(allocation) = held.pop() {
        allocator.release(&allocation);
    }
    assert!(allocator.is_idle());
}

proptest! {
    #[test]
    fn flat_histories_agree_with_the_model(size in 1u32..9, steps in proptest::collection::vec(step(), 0..80)) {
        run_history(PoolKind::range(0, size - 1), steps);
    }

    #[test]
    fn grouped_histories_agree_with_the_model(
        sizes in proptest::collection::vec(1u32..6, 1..5),
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        run_history(groups_of(&sizes), steps);
    }

    #[test]
    fn the_last_in_is_the_first_out(steps in proptest::collection::vec((1u64..30_000, 0u32..5), 1..8)) {
        let mut allocator = worker(&[("cpus", PoolKind::range(0, 9))]);
        for (parts, _) in steps {
            let entry = RequestEntry { resource: "cpus".into(), amount: Amount(parts), policy: Policy::Compact };
            let plan = allocator.plan(&Variant { entries: vec![entry], ..Variant::default() }).unwrap();
            if let Some(first) = allocator.allocate(&plan) {
                allocator.release(&first);
                prop_assert_eq!(allocator.allocate(&plan), Some(first));
            }
        }
    }

    /// The chosen groups against all subsets.
    #[test]
    fn fewest_groups_and_least_left(free in proptest::collection::vec(0u32..7, 1..7), need in 1usize..20) {
        let mut first = 0;
        let groups: Vec<group::Group> = free.iter().map(|size| {
            let group = group::Group::new(first, *size as usize);
            first += size;
            group
        }).collect();
        let subsets = (1u32..1 << free.len()).filter_map(|mask| {
            let members = free.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
            let sum: u32 = members.map(|(_, units)| *units).sum();
            (sum as usize >= need).then_some((mask.count_ones(), sum))
        });
        let chosen = wish::Wish::new(&groups, need, 0).map(|wish| wish.best()).map(|chosen| {
            (chosen.len() as u32, chosen.iter().map(|at| free[*at]).sum::<u32>())
        });
        prop_assert_eq!(chosen, subsets.min());
    }
}
