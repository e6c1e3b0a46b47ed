//! Which tasks of several queues fill one worker best.
//!
//! The value of a task is its weight times the sum, over its resources, of its share of all there is. The search takes
//! as many as fit of the most valuable kind, then of the next, which is the greedy answer, and improves on it while
//! a bounded number of steps lasts: depth first, cutting what cannot become better (branch and bound for the knapsack
//! problem with several constraints; Kellerer, Pferschy, Pisinger, Knapsack Problems, 2004, chapter 9).
//!
//! What holds: the answer fits, and is never worse than the greedy one.

use crate::state::classes::ResourceIndex;

/// Steps of one search beyond the greedy answer.
const STEPS_MAX: u32 = 300;
/// By how much an answer has to be better to count as better: sums of fractions are not exact.
const BETTER: f64 = 1.0 + 1e-9;

/// One way in which tasks of one queue can run.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// The queue: index into the counts of what is ready.
    pub queue: usize,
    /// Index of the variant.
    pub variant: u32,
    /// What a task takes: parts of each of the resources in [`Bin::free`], by index.
    pub needs: Vec<(usize, u64)>,
    /// Weight in 1/10000.
    pub weight: u32,
    /// Kinds of a lower rank are worth nothing beside one of a higher rank; 0 is the highest.
    pub rank: usize,
}

/// What is to be filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    /// The resources, with what is free and what all workers have together, in parts.
    pub free: Vec<(ResourceIndex, u64, u64)>,
    /// How many tasks it takes at most.
    pub room: u32,
    /// Parts of one of the resources that have to be taken at least, or nothing is: its index and the parts.
    pub at_least: Option<(usize, u64)>,
}

struct Search<'a> {
    kinds: &'a [Kind],
    scales: &'a [f64],
    free: Vec<u64>,
    ready: Vec<u64>,
    room: u32,
    at_least: Option<(usize, u64)>,
    steps: u32,
    counts: Vec<u32>,
    best: Option<(Vec<f64>, Vec<u32>)>,
    /// What no answer can exceed, when all kinds have one rank.
    ceiling: f64,
}

/// What a task of a kind is worth.
fn value(kind: &Kind, scales: &[f64]) -> f64 {
    let parts = kind.needs.iter().map(|(at, parts)| *parts as f64 * scales.get(*at).copied().unwrap_or(0.0));
    parts.sum::<f64>() * f64::from(kind.weight)
}

/// How many tasks of each kind are taken. `ready` says how many tasks each queue has; `steps` is how long the search may
/// be, and what is left of that. Without any the answer is the greedy one.
pub fn fill(kinds: &[Kind], ready: &[u64], bin: &Bin, steps: &mut u32) -> Vec<u32> {
    let scales: Vec<f64> = bin.free.iter().map(|(_, _, total)| 1.0 / (*total).max(1) as f64).collect();
    // The most valuable first; of equal ones that of the queue that comes first. Of one queue the smallest form comes
    // first, so that of equal answers the one with more tasks wins.
    let mut order: Vec<(usize, &Kind)> = kinds.iter().enumerate().collect();
    let largest = |queue: usize| {
        let values = kinds.iter().filter(|kind| kind.queue == queue).map(|kind| value(kind, &scales));
        values.fold(0.0, f64::max)
    };
    order.sort_by(|(_, a), (_, b)| {
        let by_queue = largest(b.queue).total_cmp(&largest(a.queue)).then(a.queue.cmp(&b.queue));
        a.rank.cmp(&b.rank).then(by_queue).then(value(a, &scales).total_cmp(&value(b, &scales)))
    });
    let sorted: Vec<Kind> = order.iter().map(|(_, kind)| (*kind).clone()).collect();
    let mut search = Search {
        kinds: &sorted,
        scales: &scales,
        free: bin.free.iter().map(|(_, free, _)| *free).collect(),
        ready: ready.to_vec(),
        room: bin.room,
        at_least: bin.at_least.filter(|(_, parts)| *parts > 0),
        steps: STEPS_MAX.min(*steps),
        counts: vec![0; sorted.len()],
        best: None,
        ceiling: f64::INFINITY,
    };
    let granted = search.steps;
    if sorted.iter().all(|kind| kind.rank == 0) {
        search.ceiling = search.bound(0, 0.0);
    }
    search.descend(0, 0.0);
    *steps -= granted - search.steps;
    let mut counts = vec![0; kinds.len()];
    let best = search.best.map(|(_, counts)| counts).unwrap_or_default();
    for ((at, _), count) in order.iter().zip(best) {
        if let Some(slot) = counts.get_mut(*at) {
            *slot = count;
        }
    }
    counts
}

/// Euclid's algorithm.
fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Search<'_> {
    /// Chooses the counts of the kinds from `at` on; `worth` is what those before are worth.
    fn descend(&mut self, at: usize, worth: f64) {
        let kinds = self.kinds;
        let Some(kind) = kinds.get(at) else {
            self.judge();
            return;
        };
        for count in (0..=self.fits(kind)).rev() {
            self.take(kind, count);
            let worth = worth + f64::from(count) * value(kind, self.scales);
            if let Some(slot) = self.counts.get_mut(at) {
                *slot = count;
            }
            if self.may_win(at + 1, worth) {
                self.descend(at + 1, worth);
            }
            self.give(kind, count);
            // The first way down always ends in an answer.
            if self.steps == 0 || self.is_best_possible() {
                break;
            }
            self.steps -= 1;
        }
    }

    fn is_best_possible(&self) -> bool {
        self.best.as_ref().is_some_and(|(best, _)| best.first().is_some_and(|best| best * BETTER >= self.ceiling))
    }

    fn fits(&self, kind: &Kind) -> u32 {
        let ready = self.ready.get(kind.queue).copied().unwrap_or(0).min(u64::from(self.room));
        let fits = kind.needs.iter().map(|(at, parts)| self.free.get(*at).copied().unwrap_or(0) / (*parts).max(1));
        u32::try_from(fits.fold(ready, u64::min)).unwrap_or(u32::MAX)
    }

    fn take(&mut self, kind: &Kind, count: u32) {
        for (at, parts) in &kind.needs {
            if let Some(free) = self.free.get_mut(*at) {
                *free -= parts * u64::from(count);
            }
        }
        if let Some(ready) = self.ready.get_mut(kind.queue) {
            *ready -= u64::from(count);
        }
        self.room -= count;
    }

    fn give(&mut self, kind: &Kind, count: u32) {
        for (at, parts) in &kind.needs {
            if let Some(free) = self.free.get_mut(*at) {
                *free += parts * u64::from(count);
            }
        }
        if let Some(ready) = self.ready.get_mut(kind.queue) {
            *ready += u64::from(count);
        }
        self.room += count;
    }

    /// Whether something better than the best can still come of the kinds from `at` on.
    fn may_win(&self, at: usize, worth: f64) -> bool {
        match &self.best {
            Some((best, _)) if self.ceiling.is_finite() => {
                best.first().is_none_or(|best| self.bound(at, worth) > best * BETTER)
            }
            _ => true,
        }
    }

    /// What the kinds from `at` on can make of `worth`: no more than all that is free, as far as their needs divide it,
    /// at the largest weight among them; nor than as many of each as fit by themselves.
    fn bound(&self, at: usize, worth: f64) -> f64 {
        let rest = self.kinds.get(at..).unwrap_or_default();
        let weight = rest.iter().map(|kind| kind.weight).max().unwrap_or(0);
        let by_free: f64 = (0..self.free.len()).map(|resource| self.usable(rest, resource)).sum();
        let by_count = rest.iter().map(|kind| f64::from(self.fits(kind)) * value(kind, self.scales)).sum::<f64>();
        worth + (by_free * f64::from(weight)).min(by_count)
    }

    /// The share of all there is of a resource that some of the kinds could take.
    fn usable(&self, kinds: &[Kind], resource: usize) -> f64 {
        let needs = kinds.iter().flat_map(|kind| kind.needs.iter()).filter(|(other, _)| *other == resource);
        let divisor = needs.fold(0, |divisor, (_, parts)| common_divisor(divisor, *parts));
        let free = self.free.get(resource).copied().unwrap_or(0);
        let usable = free.checked_div(divisor).unwrap_or(0) * divisor;
        usable as f64 * self.scales.get(resource).copied().unwrap_or(0.0)
    }

    /// Keeps the counts if they are allowed and better than the best.
    fn judge(&mut self) {
        let mut taken = vec![0.0; self.scales.len()];
        let mut scores = vec![0.0; self.kinds.last().map_or(0, |kind| kind.rank + 1)];
        for (rank, score) in scores.iter_mut().enumerate() {
            // Sums of whole parts are exact, so equal answers are equal.
            let mut weighted = vec![0.0; self.scales.len()];
            for (kind, count) in self.kinds.iter().zip(&self.counts).filter(|(kind, _)| kind.rank == rank) {
                for (at, parts) in &kind.needs {
                    let parts = *parts as f64 * f64::from(*count);
                    if let (Some(taken), Some(weighted)) = (taken.get_mut(*at), weighted.get_mut(*at)) {
                        *taken += parts;
                        *weighted += parts * f64::from(kind.weight);
                    }
                }
            }
            *score = weighted.iter().zip(self.scales).map(|(weighted, scale)| weighted * scale).sum();
        }
        let allowed = |(at, parts): (usize, u64)| taken.get(at).is_some_and(|taken| *taken >= parts as f64);
        if self.at_least.is_some_and(|bound| !allowed(bound)) {
            return;
        }
        let better = |best: &[f64]| {
            let differs = scores.iter().zip(best).find(|(new, old)| **new > **old * BETTER || **old > **new * BETTER);
            differs.is_some_and(|(new, old)| new > old)
        };
        if self.best.as_ref().is_none_or(|(best, _)| better(best)) {
            self.best = Some((scores, self.counts.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNIT: u64 = 10_000;

    fn fill(kinds: &[Kind], ready: &[u64], bin: &Bin) -> Vec<u32> {
        super::fill(kinds, ready, bin, &mut 100_000)
    }

    fn kind(queue: usize, variant: u32, cpus: u64, weight: f64) -> Kind {
        let weight = (weight * 10_000.0) as u32;
        Kind { queue, variant, needs: vec![(0, cpus * UNIT)], weight, rank: 0 }
    }

    fn cpus(free: u64) -> Bin {
        Bin { free: vec![(ResourceIndex(0), free * UNIT, free * UNIT)], room: 1_000, at_least: None }
    }

    #[test]
    fn weights_decide_between_what_does_not_fit_together() {
        for (weight, expected) in [(1.49, [1, 0]), (1.51, [0, 1])] {
            assert_eq!(fill(&[kind(0, 0, 3, 1.0), kind(1, 0, 2, weight)], &[1, 1], &cpus(4)), expected);
        }
    }

    #[test]
    fn what_fills_the_worker_beats_the_largest_task() {
        assert_eq!(fill(&[kind(0, 0, 3, 1.0), kind(1, 0, 2, 1.0)], &[5, 5], &cpus(4)), [0, 2]);
        assert_eq!(fill(&[kind(0, 0, 5, 1.0), kind(1, 0, 4, 1.0)], &[5, 1], &cpus(8)), [1, 0]);
    }

    #[test]
    fn the_largest_form_when_alone_and_more_tasks_under_load() {
        let kinds = [kind(0, 0, 8, 1.0), kind(0, 1, 4, 1.0), kind(0, 2, 1, 1.0)];
        assert_eq!(fill(&kinds, &[1], &cpus(8)), [1, 0, 0]);
        assert_eq!(fill(&kinds, &[2], &cpus(8)), [0, 2, 0]);
        assert_eq!(fill(&kinds, &[100], &cpus(8)), [0, 0, 8]);
    }

    #[test]
    fn a_bound_from_below_is_reached_or_nothing_is_taken() {
        let bin = |parts: u64| Bin { at_least: Some((0, parts)), ..cpus(12) };
        let three = |weight| kind(0, 0, 3, weight);
        assert_eq!(fill(&[three(1.0)], &[2], &bin(6 * UNIT)), [2]);
        assert_eq!(fill(&[three(1.0)], &[2], &bin(61_200)), [0]);
        assert_eq!(fill(&[three(2.0), kind(1, 0, 12, 1.0)], &[3, 1], &bin(12 * UNIT)), [0, 1]);
        assert_eq!(fill(&[three(2.0), kind(1, 0, 12, 1.0)], &[4, 1], &bin(12 * UNIT)), [4, 0]);
        assert_eq!(fill(&[three(2.0), kind(1, 0, 6, 1.0)], &[3, 3], &bin(12 * UNIT)), [2, 1]);
    }

    #[test]
    fn a_higher_rank_counts_first() {
        let low = Kind { rank: 1, ..kind(1, 0, 4, 100.0) };
        assert_eq!(fill(&[kind(0, 0, 3, 1.0), low.clone()], &[1, 1], &cpus(4)), [1, 0]);
        let bin = Bin { at_least: Some((0, 4 * UNIT)), ..cpus(4) };
        assert_eq!(fill(&[kind(0, 0, 3, 1.0), low], &[1, 1], &bin), [0, 1]);
    }

    /// Every answer that fits.
    fn all(kinds: &[Kind], ready: &[u64], free: &[u64]) -> Vec<Vec<u32>> {
        let Some((kind, rest)) = kinds.split_first() else { return vec![Vec::new()] };
        let mut answers = Vec::new();
        for count in 0u32.. {
            let mut left = free.to_vec();
            let fits = kind.needs.iter().all(|(at, parts)| {
                let needed = parts * u64::from(count);
                left[*at] = left[*at].saturating_sub(needed);
                free[*at] >= needed
            });
            if !fits || u64::from(count) > ready[kind.queue] {
                return answers;
            }
            let mut ready = ready.to_vec();
            ready[kind.queue] -= u64::from(count);
            answers.extend(all(rest, &ready, &left).into_iter().map(|answer| [vec![count], answer].concat()));
        }
        answers
    }

    proptest! {
        /// Small puzzles are solved exactly, and what comes out always fits.
        #[test]
        fn equals_trying_everything(
            needs in proptest::collection::vec((1u64..5, 0u64..3, 1u32..4, 0usize..3), 1..4),
            ready in proptest::collection::vec(0u64..4, 3),
            free in (0u64..8, 0u64..4),
        ) {
            let kinds: Vec<Kind> = needs.iter().map(|(a, b, weight, queue)| {
                let needs = if *b > 0 { vec![(0, *a), (1, *b)] } else { vec![(0, *a)] };
                Kind { queue: *queue, variant: 0, needs, weight: *weight, rank: 0 }
            }).collect();
            let bin = Bin {
                free: vec![(ResourceIndex(0), free.0, 8), (ResourceIndex(1), free.1, 4)],
                room: 100,
                at_least: None,
            };
            let worth = |counts: &[u32]| {
                let one = |(kind, count): (&Kind, &u32)| value(kind, &[0.125, 0.25]) * f64::from(*count);
                kinds.iter().zip(counts).map(one).sum::<f64>()
            };
            let answers = all(&kinds, &ready, &[free.0, free.1]);
            let found = fill(&kinds, &ready, &bin);
            prop_assert!(answers.contains(&found), "{found:?} does not fit");
            let best = answers.iter().map(|answer| worth(answer)).fold(0.0, f64::max);
            prop_assert!(worth(&found) >= best * 0.999_999, "{found:?} is worth {} of {best}", worth(&found));
        }
    }
}
