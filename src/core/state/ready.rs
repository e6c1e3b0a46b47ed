//! Ready tasks: queues of ranges, one for each class and priority.
//!
//! A range is consecutive ordinals of one job, so a billion ready tasks are one entry. Nothing in here is in the
//! image of the state: it follows from the jobs.
//!
//! **Invariant:** a task is in a queue if and only if it waits, has no unmet dependency and is on no worker
//! (checked by `audit`).

use crate::id::{ClassId, JobId};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A queue's place in the walk: larger priorities first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    /// Priority, negated, so that ascending order is the order of the walk.
    negated_priority: i64,
    /// The class.
    pub class: ClassId,
}

impl Level {
    /// The level of a class at a priority.
    pub fn new(priority: i32, class: ClassId) -> Self {
        Self { negated_priority: -i64::from(priority), class }
    }

    /// The priority.
    pub fn priority(&self) -> i64 {
        -self.negated_priority
    }
}

/// A run of consecutive ordinals of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The job.
    pub job: JobId,
    /// First ordinal.
    pub first: u32,
    /// Last ordinal, included.
    pub last: u32,
}

impl Run {
    /// How many tasks the run holds.
    pub fn len(&self) -> u64 {
        u64::from(self.last) - u64::from(self.first) + 1
    }

    /// A run holds at least one task.
    pub fn is_empty(&self) -> bool {
        false
    }
}

type Queue = BTreeMap<(JobId, u32), u32>;

/// All queues.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ready {
    queues: BTreeMap<Level, Queue>,
    /// Runs of jobs up to this one are not shown.
    hidden: Option<JobId>,
}

impl Ready {
    /// Adds a run; it must not be there yet. Joins it with a neighbour that ends just before it.
    pub fn push(&mut self, level: Level, run: Run) {
        let queue = self.queues.entry(level).or_default();
        let mut run = run;
        if let Some((&(job, first), &last)) = queue.range(..(run.job, run.first)).next_back()
            && job == run.job
            && last.checked_add(1) == Some(run.first)
        {
            run.first = first;
        }
        if let Some(next) = run.last.checked_add(1)
            && let Some(last) = queue.remove(&(run.job, next))
        {
            run.last = last;
        }
        queue.insert((run.job, run.first), run.last);
    }

    /// Removes what is there of `span` and returns the removed runs.
    pub fn remove(&mut self, level: Level, span: Run) -> Vec<Run> {
        let Some(queue) = self.queues.get_mut(&level) else { return Vec::new() };
        let mut touched: Vec<((JobId, u32), u32)> = Vec::new();
        if let Some((&key, &last)) = queue.range(..(span.job, span.first)).next_back()
            && key.0 == span.job
            && last >= span.first
        {
            touched.push((key, last));
        }
        touched.extend(queue.range((span.job, span.first)..=(span.job, span.last)).map(|(key, last)| (*key, *last)));
        let mut removed = Vec::with_capacity(touched.len());
        for ((job, first), last) in touched {
            queue.remove(&(job, first));
            if first < span.first {
                queue.insert((job, first), span.first - 1);
            }
            if last > span.last {
                queue.insert((job, span.last + 1), last);
            }
            removed.push(Run { job, first: first.max(span.first), last: last.min(span.last) });
        }
        if queue.is_empty() {
            self.queues.remove(&level);
        }
        removed
    }

    /// The runs of one job at one level.
    pub fn runs_of(&self, level: Level, job: JobId) -> impl Iterator<Item = Run> + '_ {
        self.queues
            .get(&level)
            .into_iter()
            .flat_map(move |queue| queue.range((job, 0)..=(job, u32::MAX)))
            .map(|(key, last)| Run { job: key.0, first: key.1, last: *last })
    }

    /// Hides the runs of jobs up to this one from [`runs`](Self::runs) and all that follows from these, or shows all again.
    pub fn hide(&mut self, jobs: Option<JobId>) {
        self.hidden = jobs;
    }

    /// All runs of a level in the order in which they shall run.
    pub fn runs(&self, level: Level) -> impl Iterator<Item = Run> + '_ {
        let start = self.hidden.map_or(Bound::Unbounded, |job| Bound::Excluded((job, u32::MAX)));
        let queue = self.queues.get(&level).into_iter();
        let runs = queue.flat_map(move |queue| queue.range((start, Bound::Unbounded)));
        runs.map(|(key, last)| Run { job: key.0, first: key.1, last: *last })
    }

    /// The first run of a level.
    pub fn head(&self, level: Level) -> Option<Run> {
        self.runs(level).next()
    }

    /// How many tasks a level has, at most `max`.
    pub fn count(&self, level: Level, max: u64) -> u64 {
        let mut count = 0u64;
        for run in self.runs(level) {
            count += run.len();
            if count >= max {
                return max;
            }
        }
        count
    }

    /// Levels with ready tasks, by descending priority, from one on (itself included) or all.
    pub fn levels_from(&self, from: Option<Level>) -> impl Iterator<Item = Level> + '_ {
        let start = from.map_or(Bound::Unbounded, Bound::Included);
        self.queues.range((start, Bound::Unbounded)).map(|(level, _)| *level)
    }

    /// All levels with ready tasks, by descending priority.
    pub fn levels(&self) -> impl Iterator<Item = Level> + '_ {
        self.queues.keys().copied()
    }

    /// Whether nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_queue_is_a_set(operations in proptest::collection::vec((any::<bool>(), 0u32..60, 0u32..12), 0..60)) {
            let level = Level::new(0, ClassId(0));
            let (mut ready, mut model) = (Ready::default(), BTreeSet::new());
            for (add, first, len) in operations {
                let run = Run { job: JobId(1), first, last: first + len };
                if add {
                    for ordinal in first..=first + len {
                        if model.insert(ordinal) {
                            ready.push(level, Run { job: JobId(1), first: ordinal, last: ordinal });
                        }
                    }
                } else {
                    let removed: Vec<u32> = ready.remove(level, run).iter().flat_map(|r| r.first..=r.last).collect();
                    let expected: Vec<u32> = model.range(first..=first + len).copied().collect();
                    prop_assert_eq!(removed, expected.clone());
                    for ordinal in expected {
                        model.remove(&ordinal);
                    }
                }
                let held: Vec<u32> = ready.runs(level).flat_map(|r| r.first..=r.last).collect();
                prop_assert_eq!(held, model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(ready.is_empty(), model.is_empty());
            }
        }
    }
}
