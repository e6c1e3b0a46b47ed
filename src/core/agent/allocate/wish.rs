//! Which groups of one pool a request uses: as few as possible, and among those the combination that leaves least free.
//!
//! Few groups keep a task's CPUs near each other; the tightest combination keeps large groups whole for large tasks; a
//! fraction goes where an index is split already. What several pools of one request use together is in `joint.rs`.
//!
//! What holds: a combination that is given out covers the request, and no smaller one would.

use super::group::Group;

/// Cells of the table of reachable sums up to which the best combination is searched; beyond it a good one is taken.
const TABLE_CELLS_MAX: usize = 1 << 20;

/// How good a combination of groups is. Larger is better; compared in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Score {
    /// Weight of couplings, where it counts before everything else (strict policies).
    pub(super) coupling: u64,
    /// Weight of couplings against free units and split indices; one weight is 320,000.
    pub(super) gain: i64,
    /// Free units of the chosen groups, negative.
    pub(super) room: i64,
}

/// [`Score::gain`] of one weight of coupling, so that one free unit is 10,000 and one part of a split index 512.
pub(super) const GAIN_OF_WEIGHT: i64 = 320_000;
const GAIN_OF_UNIT: i64 = 10_000;
const GAIN_OF_PART: i64 = 512;

/// A group that has something for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offer {
    /// Its place in the pool.
    group: usize,
    /// Whole units that are free.
    units: usize,
    /// The largest rest of a split index that holds the fraction, in 1/10000; 0 if there is none.
    fragment: u64,
}

/// What a request wants of one pool, with what the pool's groups have for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    offers: Vec<Offer>,
    whole: usize,
    parts: u64,
    /// The least number of groups.
    count: usize,
    /// Some combination of that many groups, ascending.
    some: Vec<usize>,
}

impl Wish {
    /// `parts` is the fraction in 1/10000, 0 for none. `None` when all groups together do not cover the request.
    pub(super) fn new(groups: &[Group], whole: usize, parts: u64) -> Option<Self> {
        let offer = |(group, found): (usize, &Group)| {
            let fragment = if parts > 0 { found.best_fragment(parts) } else { 0 };
            Offer { group, units: found.whole(), fragment }
        };
        let offers = groups.iter().enumerate().map(offer).filter(|offer| offer.units > 0 || offer.fragment > 0);
        let mut wish = Self { offers: offers.collect(), whole, parts, count: 0, some: Vec::new() };
        wish.some = wish.largest()?;
        wish.count = wish.some.len();
        Some(wish)
    }

    /// The least number of groups.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// As few of the largest groups as cover the request. With a fraction that a split index serves, that is as good as
    /// one unit more, so that the largest such group may have to be among them.
    fn largest(&self) -> Option<Vec<usize>> {
        let mut by_size: Vec<Offer> = self.offers.clone();
        by_size.sort_by_key(|offer| (std::cmp::Reverse(offer.units), offer.group));
        let split = by_size.iter().enumerate().find(|(_, offer)| offer.fragment > 0).map(|(at, o)| (at, o.units));
        let (mut sum, mut before) = (0, 0);
        for (at, offer) in by_size.iter().enumerate() {
            sum += offer.units;
            let last = match split {
                _ if sum >= self.whole + usize::from(self.parts > 0) => Some(at),
                Some((split, _)) if split <= at && sum >= self.whole => Some(at),
                Some((split, units)) if split > at && before + units >= self.whole => Some(split),
                _ => None,
            };
            if let Some(last) = last {
                let rest = by_size.iter().take(at).chain(by_size.get(last));
                let mut groups: Vec<usize> = rest.map(|offer| offer.group).collect();
                groups.sort_unstable();
                return Some(groups);
            }
            before = sum;
        }
        None
    }

    fn offer(&self, group: usize) -> Option<&Offer> {
        let at = self.offers.binary_search_by_key(&group, |offer| offer.group).ok()?;
        self.offers.get(at)
    }

    /// All groups that have something, ascending.
    pub(super) fn groups(&self) -> impl Iterator<Item = usize> {
        self.offers.iter().map(|offer| offer.group)
    }

    /// Whether the groups cover the request.
    pub(super) fn covers(&self, groups: &[usize]) -> bool {
        let offers = || groups.iter().filter_map(|group| self.offer(*group));
        let units: usize = offers().map(|offer| offer.units).sum();
        units >= self.whole && (self.parts == 0 || units > self.whole || offers().any(|offer| offer.fragment > 0))
    }

    /// How good the groups are, couplings aside.
    pub(super) fn score(&self, groups: &[usize]) -> Score {
        let mut score = Score::default();
        for offer in groups.iter().filter_map(|group| self.offer(*group)) {
            let units = i64::try_from(offer.units).unwrap_or(i64::MAX / GAIN_OF_UNIT);
            score.gain += match self.parts {
                0 => -GAIN_OF_UNIT * units,
                _ => GAIN_OF_PART * i64::try_from(offer.fragment).unwrap_or(0),
            };
            score.room -= units;
        }
        score
    }

    /// The best combination of the least number of groups, couplings aside; ascending.
    pub(super) fn best(&self) -> Vec<usize> {
        if self.count == 1 {
            let alone = self.offers.iter().map(|offer| offer.group).filter(|group| self.covers(&[*group]));
            // Of equal ones the first, hence the comparison from behind.
            let best = alone.rev().max_by_key(|group| self.score(&[*group]));
            return best.map_or_else(|| self.some.clone(), |group| vec![group]);
        }
        self.best_of_table().unwrap_or_else(|| self.some.clone())
    }

    /// The best combination by the table of reachable pairs of (number of groups, sum of units) with the largest sum of
    /// split rests of each (knapsack by dynamic programming). `None`: the table would be too large.
    fn best_of_table(&self) -> Option<Vec<usize>> {
        let mut sizes: Vec<usize> = self.offers.iter().map(|offer| offer.units).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let width = sizes.iter().take(self.count).sum::<usize>() + 1;
        let layer = width.checked_mul(self.count + 1)?;
        layer.checked_mul(self.offers.len()).filter(|cells| *cells <= TABLE_CELLS_MAX)?;
        let mut rests: Vec<Option<u64>> = vec![None; layer];
        let mut took = vec![false; layer * self.offers.len()];
        *rests.first_mut()? = Some(0);
        for (seen, offer) in self.offers.iter().enumerate() {
            for from in (0..self.count * width).rev() {
                // A sum beyond the width is none of so few groups.
                let to = from + width + offer.units;
                let fits = from % width + offer.units < width;
                let Some(rest) = rests.get(from).copied().flatten().filter(|_| fits) else { continue };
                let cell = rests.get_mut(to)?;
                if cell.is_none_or(|known| known < rest + offer.fragment) {
                    *cell = Some(rest + offer.fragment);
                    *took.get_mut(seen * layer + to)? = true;
                }
            }
        }
        let reached = (self.whole..width).filter_map(|sum| Some((sum, rests.get(self.count * width + sum).copied()??)));
        let covering = reached.filter(|(sum, rest)| self.parts == 0 || *sum > self.whole || *rest > 0);
        let (sum, _) = covering.max_by_key(|(sum, rest)| (*rest, std::cmp::Reverse(*sum)))?;
        let mut at = self.count * width + sum;
        let mut chosen = Vec::with_capacity(self.count);
        for (seen, offer) in self.offers.iter().enumerate().rev() {
            if took.get(seen * layer + at).copied().unwrap_or(false) {
                chosen.push(offer.group);
                at = at.checked_sub(width + offer.units)?;
            }
        }
        chosen.reverse();
        Some(chosen)
    }

    /// All combinations of the least number of groups that cover the request; `None` if more than `max` are to be
    /// looked at.
    pub(super) fn combinations(&self, max: usize) -> Option<Vec<Vec<usize>>> {
        let mut all = 1_usize;
        for taken in 0..self.count {
            all = all.checked_mul(self.offers.len() - taken)? / (taken + 1);
            if all > max {
                return None;
            }
        }
        let mut found = Vec::new();
        let mut places: Vec<usize> = (0..self.count).collect();
        loop {
            let groups = places.iter().filter_map(|at| self.offers.get(*at)).map(|offer| offer.group);
            let groups: Vec<usize> = groups.collect();
            if self.covers(&groups) {
                found.push(groups);
            }
            // The next combination: the last place that can move does, those behind it follow closely.
            let spare = self.offers.len() - self.count;
            let Some(moved) = (0..self.count).rev().find(|at| places.get(*at).is_some_and(|place| *place < at + spare))
            else {
                return Some(found);
            };
            let base = places.get(moved).map_or(0, |place| place + 1 - moved);
            places.iter_mut().enumerate().skip(moved).for_each(|(at, place)| *place = base + at);
        }
    }
}
