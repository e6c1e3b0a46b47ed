//! A set of ordinals as runs: what is held of a job of a billion tasks is two numbers.
//!
//! Holds: runs are disjoint, and neighbours are merged.

use std::collections::BTreeMap;

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// Last ordinals by first ordinal.
    runs: BTreeMap<u32, u32>,
}

impl Runs {
    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether `ordinal` is in the set.
    pub fn contains(&self, ordinal: u32) -> bool {
        self.runs.range(..=ordinal).next_back().is_some_and(|(_, last)| *last >= ordinal)
    }

    /// Adds `first..=last`.
    pub fn insert(&mut self, first: u32, last: u32) {
        let (mut first, mut last) = (first, last);
        let before = self.runs.range(..=first).next_back().map(|(from, to)| (*from, *to));
        if let Some((from, to)) = before
            && to.checked_add(1).is_none_or(|next| next >= first)
        {
            first = from;
            last = last.max(to);
        }
        let until = last.saturating_add(1);
        let swallowed: Vec<(u32, u32)> = self.runs.range(first..=until).map(|(from, to)| (*from, *to)).collect();
        for (from, to) in swallowed {
            self.runs.remove(&from);
            last = last.max(to);
        }
        self.runs.insert(first, last);
    }

    /// Takes out what is there of `first..=last`.
    pub fn remove(&mut self, first: u32, last: u32) {
        for (from, to) in self.within(first, last) {
            let start = self.runs.range(..=from).next_back().map(|(start, end)| (*start, *end));
            let Some((start, end)) = start else { continue };
            self.runs.remove(&start);
            if start < from {
                self.runs.insert(start, from - 1);
            }
            if end > to {
                self.runs.insert(to + 1, end);
            }
        }
    }

    /// The parts of `first..=last` that are in the set, ascending.
    pub fn within(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        let before = self.runs.range(..first).next_back().filter(|(_, to)| **to >= first);
        let inside = self.runs.range(first..=last.max(first));
        before.into_iter().chain(inside).map(|(from, to)| ((*from).max(first), (*to).min(last))).collect()
    }

    /// The parts of `first..=last` that are not in the set, ascending.
    pub fn outside(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        let mut gaps = Vec::new();
        let mut next = Some(first);
        for (from, to) in self.within(first, last) {
            if let Some(start) = next.filter(|start| *start < from) {
                gaps.push((start, from - 1));
            }
            next = to.checked_add(1);
        }
        gaps.extend(next.filter(|start| *start <= last).map(|start| (start, last)));
        gaps
    }

    /// All runs, ascending, as `(first, last)`.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.runs.iter().map(|(first, last)| (*first, *last))
    }
}

impl FromIterator<(u32, u32)> for Runs {
    fn from_iter<T: IntoIterator<Item = (u32, u32)>>(runs: T) -> Self {
        let mut set = Self::default();
        for (first, last) in runs {
            set.insert(first, last);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn runs_are_a_set(operations in proptest::collection::vec((any::<bool>(), 0u32..60, 0u32..12), 0..60)) {
            let (mut runs, mut model) = (Runs::default(), BTreeSet::new());
            for (add, first, len) in operations {
                let last = first + len;
                if add {
                    runs.insert(first, last);
                    model.extend(first..=last);
                } else {
                    runs.remove(first, last);
                    model.retain(|ordinal| !(first..=last).contains(ordinal));
                }
                let kept: Vec<u32> = runs.iter().flat_map(|(a, b)| a..=b).collect();
                prop_assert_eq!(&kept, &model.iter().copied().collect::<Vec<_>>());
                prop_assert!(runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.1 + 1 < b.0));
                let inside: Vec<u32> = runs.within(first, last).iter().flat_map(|(a, b)| *a..=*b).collect();
                prop_assert_eq!(inside, model.range(first..=last).copied().collect::<Vec<_>>());
                let outside: Vec<u32> = runs.outside(first, last).iter().flat_map(|(a, b)| *a..=*b).collect();
                prop_assert_eq!(outside, (first..=last).filter(|o| !model.contains(o)).collect::<Vec<_>>());
                prop_assert_eq!(runs.contains(first), model.contains(&first));
            }
        }
    }

    #[test]
    fn ends_of_the_numbers() {
        let mut runs = Runs::default();
        runs.insert(0, u32::MAX);
        runs.remove(u32::MAX, u32::MAX);
        assert_eq!(runs.iter().collect::<Vec<_>>(), vec![(0, u32::MAX - 1)]);
        runs.insert(u32::MAX, u32::MAX);
        assert_eq!(runs.outside(0, u32::MAX), vec![]);
    }
}
