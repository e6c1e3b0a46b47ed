//! Which groups the pools of one request use together: each as few as possible, and then those that are coupled.
//!
//! The least number of groups of one pool does not depend on the others, so the total is least when each is; among the
//! combinations of so many groups the one with the best score is taken. Small numbers of combinations are all looked
//! at. Beyond [`WORK_MAX`] a good one is searched: from the best without couplings, and from those that contain each of
//! the heaviest couplings, groups are exchanged one by one while that makes the score better.
//!
//! What holds: the choice covers every wish with the least number of groups; the same free groups give the same choice.

use super::wish::{GAIN_OF_WEIGHT, Score, Wish};
use crate::resource::CouplingWeight;

/// Combinations times couplings up to which all combinations are looked at: a few milliseconds.
const WORK_MAX: usize = 1 << 17;
/// Beginnings of a search, beside the best without couplings.
const SEEDS_MAX: usize = 4;
/// Exchanges looked at from one beginning.
const EXCHANGES_MAX: usize = 4_000;

/// Two groups that are good to use together, by the places of their entries among the wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    ends: [(usize, usize); 2],
    weight: u32,
}

impl Pair {
    /// A coupling, if both pools are among `pools`, the pools of the wishes.
    pub(super) fn new(coupling: &CouplingWeight, pools: &[usize]) -> Option<Self> {
        let wish = |resource: u32| pools.iter().position(|pool| *pool == resource as usize);
        let first = (wish(coupling.resource1)?, coupling.group1 as usize);
        let second = (wish(coupling.resource2)?, coupling.group2 as usize);
        Some(Self { ends: [first, second], weight: coupling.weight })
    }
}

/// The groups of each wish, ascending, with the weight of the couplings between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) groups: Vec<Vec<usize>>,
    pub(super) coupling: u64,
}

/// What a choice is made from.
struct Problem<'a> {
    wishes: &'a [Wish],
    pairs: &'a [Pair],
    /// Whether the weight of couplings counts before everything else.
    strict: bool,
}

/// Chooses the groups for all wishes.
pub(super) fn choose(wishes: &[Wish], pairs: &[Pair], strict: bool) -> Choice {
    let problem = Problem { wishes, pairs, strict };
    let alone: Vec<Vec<usize>> = wishes.iter().map(Wish::best).collect();
    let groups =
        if pairs.is_empty() { alone } else { problem.best_of_all(&alone).unwrap_or_else(|| problem.search(&alone)) };
    let coupling = problem.coupling(&groups);
    Choice { groups, coupling }
}

impl Problem<'_> {
    fn coupling<G: AsRef<[usize]>>(&self, groups: &[G]) -> u64 {
        let holds = |(wish, group): &(usize, usize)| {
            groups.get(*wish).is_some_and(|chosen| chosen.as_ref().binary_search(group).is_ok())
        };
        let held = self.pairs.iter().filter(|pair| pair.ends.iter().all(holds));
        held.map(|pair| u64::from(pair.weight)).sum()
    }

    fn score(&self, groups: &[Vec<usize>]) -> Score {
        let own = self.wishes.iter().zip(groups).map(|(wish, groups)| wish.score(groups));
        self.with_coupling(groups, sum(own))
    }

    fn with_coupling<G: AsRef<[usize]>>(&self, groups: &[G], own: Score) -> Score {
        let weight = self.coupling(groups);
        let gain = i64::try_from(weight).unwrap_or(i64::MAX).saturating_mul(GAIN_OF_WEIGHT);
        Score { coupling: if self.strict { weight } else { 0 }, gain: own.gain.saturating_add(gain), room: own.room }
    }

    fn is_paired(&self, wish: usize) -> bool {
        self.pairs.iter().any(|pair| pair.ends.iter().any(|(end, _)| *end == wish))
    }

    /// The best of all combinations; `None` if there are too many.
    fn best_of_all(&self, alone: &[Vec<usize>]) -> Option<Vec<Vec<usize>>> {
        let mut max = WORK_MAX / self.pairs.len().max(1);
        let mut all: Vec<Vec<Vec<usize>>> = Vec::with_capacity(self.wishes.len());
        for (at, (wish, alone)) in self.wishes.iter().zip(alone).enumerate() {
            let sets = if self.is_paired(at) { wish.combinations(max)? } else { vec![alone.clone()] };
            max = max.checked_div(sets.len()).filter(|max| *max > 0)?;
            all.push(sets);
        }
        let scores: Vec<Vec<Score>> = (self.wishes.iter().zip(&all))
            .map(|(wish, sets)| sets.iter().map(|groups| wish.score(groups)).collect())
            .collect();
        let mut best: Option<(Score, Vec<usize>)> = None;
        let mut at = vec![0; all.len()];
        let chosen = |at: &[usize]| all.iter().zip(at).map(|(sets, at)| sets.get(*at)).collect::<Option<Vec<_>>>();
        loop {
            let own = sum(scores.iter().zip(&at).filter_map(|(scores, at)| scores.get(*at).copied()));
            let score = self.with_coupling(&chosen(&at)?, own);
            if best.as_ref().is_none_or(|(known, _)| *known < score) {
                best = Some((score, at.clone()));
            }
            let sizes = all.iter().map(Vec::len);
            let Some(moved) = at.iter().zip(sizes).position(|(at, size)| at + 1 < size) else { break };
            at.iter_mut().take(moved).for_each(|at| *at = 0);
            *at.get_mut(moved)? += 1;
        }
        Some(chosen(&best?.1)?.into_iter().cloned().collect())
    }

    /// A good choice, from several beginnings.
    fn search(&self, alone: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let mut heaviest: Vec<&Pair> = self.pairs.iter().collect();
        heaviest.sort_by_key(|pair| std::cmp::Reverse(pair.weight));
        let seeds = heaviest.into_iter().take(SEEDS_MAX).map(|pair| self.seeded(alone, pair));
        let mut best = self.improved(alone.to_vec());
        for seed in seeds.collect::<Vec<_>>() {
            let found = self.improved(seed);
            if found.0 > best.0 {
                best = found;
            }
        }
        best.1
    }

    /// The groups with both ends of a pair among them, where they then still cover the wishes.
    fn seeded(&self, alone: &[Vec<usize>], pair: &Pair) -> Vec<Vec<usize>> {
        let mut groups = alone.to_vec();
        for (wish, group) in pair.ends {
            let (Some(wanted), Some(chosen)) = (self.wishes.get(wish), groups.get_mut(wish)) else { continue };
            let exchanges = (0..chosen.len()).rev().map(|place| exchanged(chosen, place, group));
            let fitting = exchanges.flatten().find(|changed| wanted.covers(changed));
            if let Some(changed) = fitting {
                *chosen = changed;
            }
        }
        groups
    }

    /// Exchanges groups while the score gets better.
    fn improved(&self, mut groups: Vec<Vec<usize>>) -> (Score, Vec<Vec<usize>>) {
        let mut score = self.score(&groups);
        let mut left = EXCHANGES_MAX;
        loop {
            let mut better = None;
            for (at, wish) in self.wishes.iter().enumerate() {
                let chosen = groups.get(at).cloned().unwrap_or_default();
                let places = (0..chosen.len()).flat_map(|place| wish.groups().map(move |group| (place, group)));
                for (place, group) in places {
                    let Some(changed) = exchanged(&chosen, place, group) else { continue };
                    left = match left.checked_sub(1) {
                        Some(left) => left,
                        None => return (score, groups),
                    };
                    if !wish.covers(&changed) {
                        continue;
                    }
                    let mut candidate = groups.clone();
                    candidate.iter_mut().skip(at).take(1).for_each(|groups| groups.clone_from(&changed));
                    let found = self.score(&candidate);
                    if found > better.as_ref().map_or(score, |(best, _)| *best) {
                        better = Some((found, candidate));
                    }
                }
            }
            match better {
                Some((found, candidate)) => (score, groups) = (found, candidate),
                None => return (score, groups),
            }
        }
    }
}

/// The groups with the one at `place` replaced; `None` if the new one is among them.
fn exchanged(groups: &[usize], place: usize, group: usize) -> Option<Vec<usize>> {
    if groups.contains(&group) {
        return None;
    }
    let mut changed = groups.to_vec();
    *changed.get_mut(place)? = group;
    changed.sort_unstable();
    Some(changed)
}

fn sum(scores: impl Iterator<Item = Score>) -> Score {
    scores.fold(Score::default(), |a, b| Score {
        coupling: a.coupling + b.coupling,
        gain: a.gain.saturating_add(b.gain),
        room: a.room.saturating_add(b.room),
    })
}
