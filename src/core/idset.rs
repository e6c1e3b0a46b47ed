//! Sets of task or job ids as ranges: an array of a billion tasks is three numbers.
//!
//! The ranges are kept as they were typed, since outputs echo them. They never overlap; the parser in `grammar`
//! refuses overlaps, and [`IdSet::check`] does for sets that come from elsewhere.

use crate::limits;
use std::fmt;

int_struct! {
    /// The ids `start`, `start + step`, ... up to `end`.
    #[derive(Copy, Eq, Hash)]
    pub struct IdRange {
        /// First id.
        0 => pub start: u32,
        /// Last id that may be a member; included when the step meets it.
        1 => pub end: u32,
        /// Distance of neighbours, minus one (so that the common step 1 costs nothing in the encoded form).
        2 => pub gap: u32,
    }
}

int_struct! {
    /// A set of ids.
    #[derive(Eq, Hash)]
    pub struct IdSet {
        /// Ranges without common members, in the order given.
        0 => pub ranges: Vec<IdRange>,
    }
}

impl IdRange {
    /// All of `start..=end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end, gap: 0 }
    }

    /// Every `step`-th id of `start..=end`; a step of 0 counts as 1.
    pub const fn stepped(start: u32, end: u32, step: u32) -> Self {
        Self { start, end, gap: step.saturating_sub(1) }
    }

    /// Distance of neighbours, at least 1.
    pub const fn step(&self) -> u64 {
        self.gap as u64 + 1
    }

    /// How many ids the range holds.
    pub const fn len(&self) -> u64 {
        if self.end < self.start { 0 } else { (self.end - self.start) as u64 / self.step() + 1 }
    }

    /// Whether the range holds no id.
    pub const fn is_empty(&self) -> bool {
        self.end < self.start
    }

    /// The largest member; `start` for an empty range.
    pub const fn last(&self) -> u32 {
        if self.is_empty() { self.start } else { self.start + ((self.len() - 1) * self.step()) as u32 }
    }

    /// The member at `position`, if there is one.
    pub fn nth(&self, position: u64) -> Option<u32> {
        (position < self.len()).then(|| (u64::from(self.start) + position * self.step()) as u32)
    }

    /// The position of `id`, if it is a member.
    pub fn position(&self, id: u32) -> Option<u64> {
        let inside = id >= self.start && id <= self.end;
        let offset = u64::from(id.wrapping_sub(self.start));
        (inside && offset.is_multiple_of(self.step())).then(|| offset / self.step())
    }

    /// What remains without the members among `taken`, which ascend: a range for each gap.
    pub fn without(&self, taken: impl IntoIterator<Item = u32>) -> Vec<IdRange> {
        let mut ranges = Vec::new();
        let mut from = 0;
        let mut keep = |from: u64, to: u64| {
            if let (true, Some(start), Some(end)) =
                (from < to, self.nth(from), to.checked_sub(1).and_then(|to| self.nth(to)))
            {
                ranges.push(IdRange { start, end, gap: if start == end { 0 } else { self.gap } });
            }
        };
        for position in taken.into_iter().filter_map(|id| self.position(id)) {
            keep(from, position);
            from = position + 1;
        }
        keep(from, self.len());
        ranges
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<> {
        let range = *self;
        (0..range.len()).filter_map(move |position| range.nth(position))
    }
}

impl IdSet {
    /// One id.
    pub fn single(id: u32) -> Self {
        Self { ranges: vec![IdRange::new(id, id)] }
    }

    /// All of `start..=end`.
    pub fn range(start: u32, end: u32) -> Self {
        Self { ranges: vec![IdRange::new(start, end)] }
    }

    /// Compresses ascending ids into maximal runs with step 1.
    pub fn from_sorted(ids: impl IntoIterator<Item = u32>) -> Self {
        let mut ranges: Vec<IdRange> = Vec::new();
        for id in ids {
            match ranges.last_mut() {
                Some(last) if last.end.checked_add(1) == Some(id) => last.end = id,
                _ => ranges.push(IdRange::new(id, id)),
            }
        }
        Self { ranges }
    }

    /// The same ids sorted, in maximal runs with step 1; stepped ranges of more than
    /// [`limits::LISTED_STEPS_MAX`] ids stay as they are.
    pub fn compressed(&self) -> Self {
        let mut ranges: Vec<IdRange> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.iter().filter(|range| !range.is_empty()) {
            if range.step() == 1 || range.len() > limits::LISTED_STEPS_MAX {
                ranges.push(*range);
            } else {
                ranges.extend(range.iter().map(|id| IdRange::new(id, id)));
            }
        }
        Self { ranges }.joined()
    }

    /// The same ids with the ranges sorted, and neighbours without steps put together.
    pub fn joined(mut self) -> Self {
        self.ranges.sort_unstable_by_key(|range| (range.start, range.end));
        let mut joined: Vec<IdRange> = Vec::new();
        for range in self.ranges {
            match joined.last_mut() {
                Some(last) if last.gap == 0 && range.gap == 0 && u64::from(range.start) <= u64::from(last.end) + 1 => {
                    last.end = last.end.max(range.end);
                }
                _ => joined.push(range),
            }
        }
        Self { ranges: joined }
    }

    /// The same set with all ids from `from` on moved up by `by`, each at the position where it was; none when an id
    /// would be too large.
    pub fn shifted(&self, from: u32, by: u32) -> Option<Self> {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        for range in self.ranges.iter().filter(|range| !range.is_empty()) {
            // Positions below this one stay.
            let stay = u64::from(from.saturating_sub(range.start)).div_ceil(range.step()).min(range.len());
            if let (Some(start), Some(end)) = (range.nth(0), stay.checked_sub(1).and_then(|last| range.nth(last))) {
                ranges.push(IdRange { start, end, gap: if start == end { 0 } else { range.gap } });
            }
            if let Some(start) = range.nth(stay) {
                let (start, end) = (start.checked_add(by)?, range.last().checked_add(by)?);
                ranges.push(IdRange { start, end, gap: if start == end { 0 } else { range.gap } });
            }
        }
        Some(Self { ranges })
    }

    /// How many ids the set holds.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(IdRange::len).sum()
    }

    /// Whether the set holds no id.
    pub fn is_empty(&self) -> bool {
        self.ranges.iter().all(IdRange::is_empty)
    }

    /// The largest member.
    pub fn max(&self) -> Option<u32> {
        self.ranges.iter().filter(|range| !range.is_empty()).map(IdRange::last).max()
    }

    /// Whether `id` is a member.
    pub fn contains(&self, id: u32) -> bool {
        self.ranges.iter().any(|range| range.position(id).is_some())
    }

    /// The members, range by range.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(IdRange::iter)
    }

    /// Checks that no id is named twice.
    ///
    /// # Errors
    /// The first range that meets an earlier one, or at which more than [`limits::INTERLEAVED_RANGES_MAX`] ranges
    /// overlap in span, or [`limits::RANGE_COMPARISONS_MAX`] were compared: that would make the check expensive.
    pub fn check(&self) -> Result<(), IdRange> {
        let mut sorted: Vec<&IdRange> = self.ranges.iter().filter(|range| !range.is_empty()).collect();
        sorted.sort_by_key(|range| range.start);
        let mut open: Vec<&IdRange> = Vec::new();
        let mut compared = 0;
        for range in sorted {
            open.retain(|earlier| earlier.last() >= range.start);
            compared += open.len();
            if compared > limits::RANGE_COMPARISONS_MAX {
                return Err(*range);
            }
            if open.len() >= limits::INTERLEAVED_RANGES_MAX || open.iter().any(|earlier| ranges_meet(earlier, range)) {
                return Err(*range);
            }
            open.push(range);
        }
        Ok(())
    }
}

/// Whether two ranges share an id.
pub fn ranges_meet(a: &IdRange, b: &IdRange) -> bool {
    first_common(a, b).is_some()
}

/// The smallest id that two ranges share: solves `a + i·s = b + j·t` by the extended Euclidean algorithm.
pub fn first_common(a: &IdRange, b: &IdRange) -> Option<u32> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let low = i128::from(a.start.max(b.start));
    let high = i128::from(a.last().min(b.last()));
    if low > high {
        return None;
    }
    let (s, t) = (i128::from(a.step()), i128::from(b.step()));
    let (gcd, x, _) = extended_gcd(s, t);
    let difference = i128::from(b.start) - i128::from(a.start);
    if difference % gcd != 0 {
        return None;
    }
    let period = s / gcd * t;
    let first = i128::from(a.start) + s * ((x * (difference / gcd)).rem_euclid(t / gcd));
    let meeting = low + (first - low).rem_euclid(period);
    if meeting <= high { u32::try_from(meeting).ok() } else { None }
}

fn extended_gcd(a: i128, b: i128) -> (i128, i128, i128) {
    let (mut old, mut new) = ((a, 1, 0), (b, 0, 1));
    while new.0 != 0 {
        let quotient = old.0 / new.0;
        (old, new) = (new, (old.0 - quotient * new.0, old.1 - quotient * new.1, old.2 - quotient * new.2));
    }
    old
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.start == self.end, self.gap) {
            (true, 0) => write!(f, "{}", self.start),
            (_, 0) => write!(f, "{}-{}", self.start, self.end),
            (_, _) => write!(f, "{}-{}:{}", self.start, self.end, self.step()),
        }
    }
}

impl fmt::Display for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn range() -> impl Strategy<Value = IdRange> {
        (0u32..60, 0u32..60, 1u32..9).prop_map(|(a, len, step)| IdRange::stepped(a, a + len, step))
    }

    proptest! {
        #[test]
        fn a_range_is_its_members(range in range()) {
            let members: Vec<u32> = (range.start..=range.end).step_by(range.step() as usize).collect();
            prop_assert_eq!(&range.iter().collect::<Vec<_>>(), &members);
            prop_assert_eq!(range.len() as usize, members.len());
            prop_assert_eq!(range.last(), *members.last().unwrap());
            for id in 0..140 {
                prop_assert_eq!(range.position(id).map(|p| p as usize), members.iter().position(|m| *m == id));
            }
        }

        #[test]
        fn what_remains_is_the_difference(range in range(), taken in proptest::collection::btree_set(0u32..140, 0..20)) {
            let left: Vec<u32> = range.without(taken.iter().copied()).iter().flat_map(|range| range.iter()).collect();
            let expected: Vec<u32> = range.iter().filter(|id| !taken.contains(id)).collect();
            prop_assert_eq!(left, expected);
        }

        #[test]
        fn the_first_common_member_is_found(a in range(), b in range()) {
            let common = a.iter().find(|id| b.position(*id).is_some());
            prop_assert_eq!(first_common(&a, &b), common);
            prop_assert_eq!(ranges_meet(&a, &b), common.is_some());
        }

        #[test]
        fn shifting_moves_the_later_ids(ranges in proptest::collection::vec(range(), 0..4), from in 0u32..140, by in 0u32..9) {
            let set = IdSet { ranges };
            let moved: Vec<u32> = set.shifted(from, by).unwrap().iter().collect();
            let expected: Vec<u32> = set.iter().map(|id| if id >= from { id + by } else { id }).collect();
            prop_assert_eq!(moved, expected);
        }

        #[test]
        fn compressing_sorts_and_joins(ids in proptest::collection::btree_set(0u32..200, 0..60), step in 1u32..4) {
            let single = ids.iter().rev().map(|id| IdRange::stepped(*id, *id, step));
            let set = IdSet { ranges: single.collect() };
            prop_assert_eq!(set.compressed(), IdSet::from_sorted(ids.iter().copied()));
        }

        #[test]
        fn compressing_keeps_the_members(ids in proptest::collection::btree_set(0u32..200, 0..60)) {
            let set = IdSet::from_sorted(ids.iter().copied());
            prop_assert_eq!(&set.iter().collect::<BTreeSet<_>>(), &ids);
            prop_assert_eq!(set.len() as usize, ids.len());
            prop_assert!(set.check().is_ok());
        }
    }

    #[test]
    fn text() {
        let set = IdSet { ranges: vec![IdRange::new(2, 2), IdRange::stepped(20, 30, 5), IdRange::new(40, 41)] };
        assert_eq!(set.to_string(), "2,20-30:5,40-41");
        assert_eq!(IdRange::new(0, u32::MAX).len(), 1 << 32);
    }
}
