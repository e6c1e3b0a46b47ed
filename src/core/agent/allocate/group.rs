//! The free indices of one group of an indexed pool: a stack of whole ones, and the split ones with what is left.
//!
//! A flat pool is one group; a grouped pool has several. What a fraction is taken from is decided here.
//!
//! What holds: an index is in the stack, or split with a rest below one unit, or handed out whole; never two of them.

use crate::resource::Amount;
use std::collections::BTreeMap;

/// One group. Indices are positions in the pool's definition, all groups counted through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    stack: Vec<u32>,
    /// What is left of each split index, in 1/10000, below one unit.
    split: BTreeMap<u32, u64>,
    size: usize,
}

impl Group {
    /// The indices `first..first + size`, all free; the last one is handed out first.
    pub(super) fn new(first: u32, size: usize) -> Self {
        let stack: Vec<u32> = (first..).take(size).collect();
        Self { size: stack.len(), stack, split: BTreeMap::new() }
    }

    /// How many whole indices are free.
    pub(super) fn whole(&self) -> usize {
        self.stack.len()
    }

    /// Whether nothing is handed out.
    pub(super) fn is_idle(&self) -> bool {
        self.stack.len() == self.size
    }

    /// What is free, in 1/10000.
    pub(super) fn free_parts(&self) -> u64 {
        self.stack.len() as u64 * Amount::UNIT + self.split.values().sum::<u64>()
    }

    /// The split index with the smallest rest that holds `parts`.
    pub(super) fn fragment(&self, parts: u64) -> Option<u32> {
        let fitting = self.split.iter().filter(|(_, rest)| **rest >= parts);
        fitting.min_by_key(|(index, rest)| (**rest, **index)).map(|(index, _)| *index)
    }

    /// The largest rest of a split index that holds `parts`; 0 if there is none.
    pub(super) fn best_fragment(&self, parts: u64) -> u64 {
        self.split.values().copied().filter(|rest| *rest >= parts).max().unwrap_or(0)
    }

    /// Takes one whole index.
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.stack.pop()
    }

    /// Takes `parts` of a split index, or else splits a whole one.
    pub(super) fn take_parts(&mut self, parts: u64) -> Option<u32> {
        self.take_fragment(parts).or_else(|| {
            let index = self.stack.pop()?;
            self.split.insert(index, Amount::UNIT.saturating_sub(parts));
            Some(index)
        })
    }

    /// Takes `parts` of an index that is split already.
    pub(super) fn take_fragment(&mut self, parts: u64) -> Option<u32> {
        let index = self.fragment(parts)?;
        let rest = self.split.get_mut(&index)?;
        *rest -= parts;
        Some(index)
    }

    /// Gives back a whole index.
    pub(super) fn push(&mut self, index: u32) {
        self.stack.push(index);
    }

    /// Brings the stack into the order of the definition, so that a group's indices do not get scattered.
    pub(super) fn sort(&mut self) {
        self.stack.sort_unstable();
    }

    /// Gives back `parts` of a split index; it is whole again when nobody holds any of it.
    pub(super) fn give_parts(&mut self, index: u32, parts: u64) {
        if let Some(rest) = self.split.get_mut(&index) {
            *rest += parts;
            if *rest >= Amount::UNIT {
                self.split.remove(&index);
                self.stack.push(index);
            }
        }
    }
}
