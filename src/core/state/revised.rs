//! Tasks whose values were changed after submit: which of them has which of the changes.
//!
//! A change is kept beside the description that it applies to, so that it costs no copy of a command. Runs of ordinals
//! refer to it by an index that goes on behind those of the descriptions; an index never gets another meaning, since
//! workers remember descriptions by it.
//!
//! Holds: runs are disjoint; neighbours with the same index are merged.

use super::jobs::Submit;
use super::ready::Level;
use crate::act::TaskChange;
use crate::task::TaskDesc;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A description with changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Index of the description as submitted.
    pub of: u32,
    /// All that was changed.
    pub change: TaskChange,
}

/// Runs of ordinals with the index of their revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Revised {
    /// Last ordinal and index by first ordinal.
    runs: BTreeMap<u32, (u32, u32)>,
}

impl Revised {
    /// Whether no task has a revision.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The index of a task that has a revision.
    pub fn get(&self, ordinal: u32) -> Option<u32> {
        let (_, (last, index)) = self.runs.range(..=ordinal).next_back()?;
        (*last >= ordinal).then_some(*index)
    }

    /// Gives `first..=last` a revision, or takes it from them.
    pub fn set(&mut self, first: u32, last: u32, index: Option<u32>) {
        let touching: Vec<(u32, (u32, u32))> = self.touching(first, last);
        for (from, (to, old)) in touching {
            self.runs.remove(&from);
            if from < first {
                self.runs.insert(from, (first - 1, old));
            }
            if to > last {
                self.runs.insert(last + 1, (to, old));
            }
        }
        let Some(index) = index else { return };
        let (mut first, mut last) = (first, last);
        if let Some((&from, &(to, same))) = self.runs.range(..first).next_back()
            && same == index
            && to.checked_add(1) == Some(first)
        {
            self.runs.remove(&from);
            first = from;
        }
        if let Some(next) = last.checked_add(1)
            && let Some(&(to, same)) = self.runs.get(&next)
            && same == index
        {
            self.runs.remove(&next);
            last = to;
        }
        self.runs.insert(first, (last, index));
    }

    fn touching(&self, first: u32, last: u32) -> Vec<(u32, (u32, u32))> {
        let before = self.runs.range(..first).next_back().filter(|(_, (to, _))| *to >= first);
        let inside = self.runs.range(first..=last.max(first));
        before.into_iter().chain(inside).map(|(from, run)| (*from, *run)).collect()
    }

    /// All of `first..=last`, ascending, in pieces with the same revision or none.
    pub fn pieces(&self, first: u32, last: u32) -> Vec<(u32, u32, Option<u32>)> {
        let mut pieces = Vec::new();
        let mut next = Some(first);
        for (from, (to, index)) in self.touching(first, last) {
            if let Some(start) = next.filter(|start| *start < from) {
                pieces.push((start, from - 1, None));
            }
            pieces.push((from.max(first), to.min(last), Some(index)));
            next = to.checked_add(1);
        }
        pieces.extend(next.filter(|start| *start <= last).map(|start| (start, last, None)));
        pieces
    }

    /// All runs, ascending, as `(first, last, index)`.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        self.runs.iter().map(|(first, (last, index))| (*first, *last, *index))
    }
}

impl Submit {
    /// The description with this index, with its changes.
    pub fn desc_at(&self, index: u32) -> Option<Arc<TaskDesc>> {
        match self.revision(index) {
            None => self.desc.descs.get(index as usize).cloned(),
            Some(revision) => {
                let base = self.desc.descs.get(revision.of as usize)?;
                Some(Arc::new(revision.change.applied_to(base)))
            }
        }
    }

    fn revision(&self, index: u32) -> Option<&Revision> {
        self.revisions.get((index as usize).checked_sub(self.desc.descs.len())?)
    }

    /// What the description with this index becomes by a change: the description as submitted, and all changes.
    pub fn changed(&self, index: u32, change: &TaskChange) -> Revision {
        match self.revision(index) {
            None => Revision { of: index, change: TaskChange::default().then(change) },
            Some(revision) => Revision { of: revision.of, change: revision.change.then(change) },
        }
    }

    /// The index of a revision, which is kept if it is new; `level` is the queue of its tasks.
    pub(super) fn keep_revision(&mut self, revision: Revision, level: Level) -> u32 {
        let key = (revision.of, crate::cbor::encode(&revision.change));
        let next = u32::try_from(self.desc.descs.len() + self.revisions.len()).unwrap_or(u32::MAX);
        let index = *self.by_change.entry(key).or_insert(next);
        if index == next {
            self.revisions.push(revision);
            self.levels.push(level);
        }
        index
    }

    /// The tasks of `first..=last`, all of this submit, in pieces of the same description: `(first, last, index)`.
    pub fn alike(&self, first: u32, last: u32) -> Vec<(u32, u32, u32)> {
        let mut alike: Vec<(u32, u32, u32)> = Vec::new();
        for (first, last, index) in self.revised.pieces(first, last) {
            if let Some(index) = index {
                alike.push((first, last, index));
            } else if self.desc.desc_of.is_empty() {
                alike.push((first, last, 0));
            } else {
                for ordinal in first..=last {
                    let index = self.desc_index(ordinal);
                    match alike.last_mut() {
                        Some((_, end, same)) if *same == index && end.checked_add(1) == Some(ordinal) => *end = ordinal,
                        _ => alike.push((ordinal, ordinal, index)),
                    }
                }
            }
        }
        alike
    }

    /// A task has started by this description: so it keeps it.
    pub(super) fn settle(&mut self, ordinal: u32, index: u32) {
        if self.desc_index(ordinal) != index {
            let is_revision = index as usize >= self.desc.descs.len();
            self.revised.set(ordinal, ordinal, is_revision.then_some(index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_a_map(operations in proptest::collection::vec((proptest::option::of(0u32..4), 0u32..60, 0u32..12), 0..60)) {
            let (mut revised, mut model) = (Revised::default(), BTreeMap::new());
            for (index, first, len) in operations {
                let last = first + len;
                revised.set(first, last, index);
                for ordinal in first..=last {
                    match index {
                        Some(index) => model.insert(ordinal, index),
                        None => model.remove(&ordinal),
                    };
                }
                for ordinal in 0..80 {
                    prop_assert_eq!(revised.get(ordinal), model.get(&ordinal).copied());
                }
                let pieces = revised.pieces(3, 40);
                let flat: Vec<_> = pieces.iter().flat_map(|(a, b, index)| (*a..=*b).map(|o| (o, *index))).collect();
                let expected: Vec<_> = (3..=40).map(|ordinal| (ordinal, model.get(&ordinal).copied())).collect();
                prop_assert_eq!(flat, expected);
                let runs: Vec<_> = revised.iter().collect();
                prop_assert!(runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.1 + 1 < b.0 || a.1 < b.0 && a.2 != b.2));
            }
        }
    }
}
