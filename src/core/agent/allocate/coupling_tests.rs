//! Couplings and strict policies against the worked examples of their specification.
//!
//! Requests are written as users write them, results as the number of indices of each group.
//!
//! What holds: see `joint.rs`.

use super::tests::{groups_of, request_of, worker};
use super::*;
use crate::resource::{CouplingWeight, PoolKind};
use std::collections::BTreeMap;

/// A worker with `cpus` and `g` in groups; couplings as (cpus group, g group, weight).
fn coupled(cpus: &[u32], g: &[u32], couplings: &[(u32, u32, u32)]) -> Allocator {
    let mut allocator = worker(&[("cpus", groups_of(cpus)), ("g", groups_of(g))]);
    let weight = |(group1, group2, weight): &(u32, u32, u32)| CouplingWeight {
        resource1: 0,
        group1: *group1,
        resource2: 1,
        group2: *group2,
        weight: *weight,
    };
    allocator.coupling.weights = couplings.iter().map(weight).collect();
    allocator
}

/// `cpus` 3x4 and `g` 3x2 with a coupling along the diagonal.
fn diagonal() -> Allocator {
    coupled(&[4, 4, 4], &[2, 2, 2], &[(0, 0, 256), (1, 1, 256), (2, 2, 256)])
}

/// A request such as `cpus=2 tight, g=1`.
fn variant(text: &str) -> Variant {
    let entries = text.split(", ").map(|entry| {
        let (name, request) = entry.split_once('=').unwrap();
        request_of(name, request).entries.remove(0)
    });
    Variant { entries: entries.collect(), ..Variant::default() }
}

/// How many indices of which group each entry gets; the split one counts as one. `None`: it waits.
fn take(allocator: &mut Allocator, text: &str) -> Option<Vec<BTreeMap<u32, u32>>> {
    let plan = allocator.plan(&variant(text)).unwrap();
    let fits = allocator.fits(&plan);
    let allocation = allocator.allocate(&plan);
    assert_eq!(fits, allocation.is_some());
    let counts = |labels: Option<String>| {
        let mut counts = BTreeMap::new();
        for label in labels.unwrap().split(',') {
            *counts.entry(label.parse::<u32>().unwrap() / 10).or_insert(0) += 1;
        }
        counts
    };
    Some(allocator.labels(&allocation?).into_iter().map(counts).collect())
}

/// The counts alone, large ones first, and whether the groups of the second entry are among those of the first.
fn shape(allocator: &mut Allocator, text: &str) -> (Vec<Vec<u32>>, bool) {
    let taken = take(allocator, text).unwrap();
    let sorted = taken.iter().map(|counts| {
        let mut counts: Vec<u32> = counts.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    });
    let together = taken[1].keys().all(|group| taken[0].contains_key(group))
        || taken[0].keys().all(|group| taken[1].contains_key(group));
    (sorted.collect(), together)
}

#[test]
fn coupled_groups_are_used_together() {
    for (text, cpus, g) in [
        ("cpus=2, g=1", vec![2], vec![1]),
        ("cpus=6, g=2", vec![3, 3], vec![2]),
        ("cpus=2, g=3", vec![2], vec![2, 1]),
        ("cpus=6 tight, g=2 compact", vec![4, 2], vec![2]),
        ("cpus=12, g=0.5", vec![4, 4, 4], vec![1]),
        ("cpus=0.5, g=0.5", vec![1], vec![1]),
    ] {
        assert_eq!(shape(&mut diagonal(), text), (vec![cpus, g], true), "{text}");
    }
    let (counts, _) = shape(&mut diagonal(), "cpus=6 scatter, g=2 tight");
    assert_eq!(counts, [vec![2, 2, 2], vec![2]]);
    // The fullest group of CPUs is not the one with the free g.
    let mut busy = diagonal();
    take(&mut busy, "cpus=3, g=2").unwrap();
    assert_eq!(shape(&mut busy, "cpus=1, g=1"), (vec![vec![1], vec![1]], true));
}

#[test]
fn a_coupling_never_costs_a_group() {
    let mut allocator = worker(&[("cpus", groups_of(&[4, 4, 4]))]);
    let both = CouplingWeight { resource1: 0, group1: 0, resource2: 0, group2: 2, weight: 2_000 };
    allocator.coupling.weights = vec![both];
    assert_eq!(take(&mut allocator, "cpus=2").unwrap()[0].len(), 1);
    let two = take(&mut allocator, "cpus=5").unwrap();
    assert_eq!(two[0].keys().copied().collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn weights_decide() {
    let heavy = [(0, 0, 100), (1, 0, 300), (2, 1, 200)];
    let mut allocator = coupled(&[2, 2, 2], &[1, 1, 1], &heavy);
    let pairs: Vec<(u32, u32)> = (0..3)
        .map(|_| take(&mut allocator, "cpus=2, g=1").unwrap())
        .map(|taken| (*taken[0].keys().next().unwrap(), *taken[1].keys().next().unwrap()))
        .collect();
    assert_eq!(pairs, [(1, 0), (2, 1), (0, 2)]);
}

#[test]
fn strict_requests_wait_for_the_best_coupling() {
    let busy = |couplings: &[(u32, u32, u32)]| {
        let mut allocator = coupled(&[4, 4, 4], &[2, 2, 2], couplings);
        // Free afterwards: cpus in group 2, g in groups 0 and 1.
        let plan = |allocator: &Allocator, text: &str| allocator.plan(&variant(text)).unwrap();
        for text in ["cpus=4", "cpus=4", "g=2", "g=2", "g=2"] {
            let plan = plan(&allocator, text);
            allocator.allocate(&plan).unwrap();
        }
        let groups = [allocator.pools[1].wish(Amount::units(1))];
        assert_eq!(groups, [None]);
        let Books::Indexed { groups, .. } = &mut allocator.pools[1] else { panic!() };
        for (group, indices) in [(0, [0, 1]), (1, [2, 3])] {
            indices.into_iter().for_each(|index| groups[group].push(index));
        }
        allocator
    };
    let along = [(0, 0, 256), (1, 1, 256), (2, 2, 256)];
    assert_eq!(take(&mut busy(&along), "cpus=1 compact!, g=2 compact!"), None);
    assert!(take(&mut busy(&[]), "cpus=1 compact!, g=2 compact!").is_some());
    assert!(take(&mut busy(&along), "cpus=1, g=2").is_some());
    // One strict entry makes the others strict.
    assert_eq!(take(&mut busy(&along), "cpus=1, g=2 tight!"), None);
    assert!(take(&mut diagonal(), "cpus=1 compact!, g=2 compact!").is_some());
}

#[test]
fn strict_policies_look_at_groups_only() {
    let mut uneven = worker(&[("cpus", groups_of(&[4, 8]))]);
    take(&mut uneven, "cpus=3").unwrap();
    assert_eq!(take(&mut uneven, "cpus=2 compact!").unwrap()[0], BTreeMap::from([(1, 2)]));
    let mut two = worker(&[("cpus", groups_of(&[4, 4]))]);
    take(&mut two, "cpus=3 compact!").unwrap();
    take(&mut two, "cpus=3 compact!").unwrap();
    assert_eq!(take(&mut two, "cpus=2 compact!"), None);
    assert_eq!(two.count_in_total(&two.plan(&variant("cpus=2 compact!")).unwrap()), 1);
    assert!(take(&mut two, "cpus=2").is_some());
}

#[test]
fn strict_fractions() {
    let mut pairs = worker(&[("cpus", groups_of(&[2, 2]))]);
    assert_eq!(take(&mut pairs, "cpus=0.3 compact!").unwrap()[0].values().sum::<u32>(), 1);
    let mut pairs = worker(&[("cpus", groups_of(&[2, 2]))]);
    let taken = take(&mut pairs, "cpus=2.5 compact!").unwrap();
    assert_eq!(taken[0].values().copied().collect::<Vec<_>>().iter().sum::<u32>(), 3);
    assert_eq!(taken[0].len(), 2);
}

#[test]
fn flat_and_plain_pools_take_no_part() {
    let mut allocator = worker(&[("cpus", PoolKind::range(0, 3)), ("x", PoolKind::Sum(Amount::units(2)))]);
    for text in ["cpus=2 compact!, x=1 tight!", "cpus=1 tight!, x=0.5 compact!"] {
        let plan = allocator.plan(&variant(text)).unwrap();
        assert_eq!(plan.strict, None);
        assert!(allocator.allocate(&plan).is_some(), "{text}");
    }
}

/// More combinations than are looked at: every choice still covers its wish with the least number of groups, couplings
/// are used, and an idle worker serves strict requests.
#[test]
fn large_machines_are_searched() {
    let along: Vec<(u32, u32, u32)> = (0..24).map(|at| (at, at, 256)).collect();
    let mut allocator = coupled(&[4; 24], &[4; 24], &along);
    let plan = allocator.plan(&variant("cpus=40 compact!, g=32 compact!")).unwrap();
    let idle = allocator.choice(&plan, true).unwrap();
    assert_eq!(idle.1, Quality { groups: 18, coupling: 8 * 256 });
    let allocation = allocator.allocate(&plan).unwrap();
    allocator.release(&allocation);
    assert!(allocator.is_idle());
    // Busy where the beginning of the search would look first.
    take(&mut allocator, "g=32").unwrap();
    take(&mut allocator, "cpus=40").unwrap();
    let (choice, quality) = allocator.choice(&plan, true).unwrap();
    assert_eq!((choice.groups[0].len(), choice.groups[1].len(), quality.coupling), (10, 8, 8 * 256));
}
