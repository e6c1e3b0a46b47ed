//! The tasks that lie ahead of free resources on one worker, in the order in which they shall start.
//!
//! Placement asks in every turn whether any of them should be taken back, so they are counted by queue: the answer
//! takes as long as there are queues here, not as long as there are tasks.
//!
//! **Invariant:** the counts are those of the tasks.

use super::ready::Level;
use crate::id::TaskRef;
use std::collections::VecDeque;

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ahead {
    tasks: VecDeque<(TaskRef, Level)>,
    /// Sorted; mostly one.
    levels: Vec<(Level, u32)>,
}

impl Ahead {
    /// Adds a task of a queue as the last one to start.
    pub fn push(&mut self, task: TaskRef, level: Level) {
        self.tasks.push_back((task, level));
        match self.levels.binary_search_by_key(&level, |(level, _)| *level) {
            Ok(at) => {
                if let Some((_, count)) = self.levels.get_mut(at) {
                    *count += 1;
                }
            }
            Err(at) => self.levels.insert(at, (level, 1)),
        }
    }

    /// The first task of each queue, with that queue, in the order in which they shall start.
    pub fn heads(&self) -> Vec<(TaskRef, Level)> {
        let mut heads: Vec<(TaskRef, Level)> = Vec::with_capacity(self.levels.len());
        for (task, level) in &self.tasks {
            if heads.len() == self.levels.len() {
                break;
            }
            if heads.iter().all(|(_, seen)| seen != level) {
                heads.push((*task, *level));
            }
        }
        heads
    }

    /// Takes a task out; returns the queue it came from. Quick at both ends, where tasks start and are taken back.
    pub fn remove(&mut self, task: TaskRef) -> Option<Level> {
        let (first, last) = (self.tasks.front()?, self.tasks.back()?);
        let (_, level) = if first.0 == task {
            self.tasks.pop_front()
        } else if last.0 == task {
            self.tasks.pop_back()
        } else {
            let at = self.tasks.iter().rposition(|(other, _)| *other == task)?;
            self.tasks.remove(at)
        }?;
        if let Ok(at) = self.levels.binary_search_by_key(&level, |(level, _)| *level)
            && let Some((_, count)) = self.levels.get_mut(at)
        {
            *count -= 1;
            if *count == 0 {
                self.levels.remove(at);
            }
        }
        Some(level)
    }

    /// The tasks with their queues, in the order in which they shall start.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (TaskRef, Level)> + '_ {
        self.tasks.iter().copied()
    }

    /// The queues that the tasks came from, each once.
    pub fn levels(&self) -> impl Iterator<Item = Level> + '_ {
        self.levels.iter().map(|(level, _)| *level)
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClassId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tasks_keep_their_order_and_are_counted(
            operations in proptest::collection::vec((any::<bool>(), 0u32..12, 0u32..3), 0..60),
        ) {
            let (mut ahead, mut model) = (Ahead::default(), Vec::new());
            for (add, number, class) in operations {
                let (task, level) = (TaskRef::new(1, number), Level::new(0, ClassId(class)));
                let position = model.iter().position(|(other, _)| *other == task);
                match position {
                    None if add => {
                        model.push((task, level));
                        ahead.push(task, level);
                    }
                    Some(at) if !add => prop_assert_eq!(ahead.remove(task), Some(model.remove(at).1)),
                    None => prop_assert_eq!(ahead.remove(task), None),
                    Some(_) => {}
                }
                prop_assert_eq!(ahead.iter().collect::<Vec<_>>(), model.clone());
                prop_assert_eq!(ahead.heads().first().copied(), model.first().copied());
                let mut levels: Vec<Level> = model.iter().map(|(_, level)| *level).collect();
                levels.sort_unstable();
                levels.dedup();
                prop_assert_eq!(ahead.levels().collect::<Vec<_>>(), levels.clone());
                prop_assert_eq!(ahead.heads().len(), levels.len());
            }
        }
    }
}
