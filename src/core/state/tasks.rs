//! The tasks of a job: ranges, and exceptions to them.
//!
//! A task that waits untouched costs nothing beyond the range it belongs to. Only tasks that are blocked, assigned,
//! running or were tried before have an entry ([`Live`]); final ones are packed ([`DonePages`]), and ranges that
//! ended without ever being touched stay ranges.
//!
//! Tasks are numbered twice: by the id that users see, and by ordinal, the order of submission. Ordinals are dense,
//! so that stepped arrays cost no more than plain ones.

use super::done::{Done, DonePages};
use crate::id::{AttemptId, Fence, TaskId, WorkerId};
use crate::idset::{self, IdRange, IdSet};
use crate::time::Time;
use crate::view::TaskState;
use std::collections::BTreeMap;

/// Where a live task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Waits for so many dependencies.
    Blocked {
        /// Unmet dependencies.
        unmet: u32,
    },
    /// In the ready queue again, or kept from it (`withhold`).
    Ready,
    /// Failed, and waits for the time of its next attempt.
    Delayed {
        /// That time.
        until: Time,
    },
    /// Given to a worker.
    Assigned {
        /// The worker.
        worker: WorkerId,
        /// The fence.
        fence: Fence,
        /// Index of the request's variant.
        variant: u32,
        /// Whether it lies ahead of free resources and holds none.
        ahead: bool,
    },
    /// Its process runs.
    Running {
        /// The worker.
        worker: WorkerId,
        /// The fence.
        fence: Fence,
        /// Index of the request's variant.
        variant: u32,
        /// When it started.
        started: Time,
    },
}

/// A task that is more than a member of a waiting range, and not final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Where it is.
    pub place: Place,
    /// The number that the next attempt gets.
    pub next_attempt: AttemptId,
    /// Losses of a worker while the task ran.
    pub crashes: u32,
    /// Failed attempts that were followed by another one.
    pub retries: u32,
    /// Index of the description by which it was given to a worker; meaningful while it is on one.
    pub desc: u32,
}

impl Live {
    /// A task that was never tried.
    pub fn new(place: Place) -> Self {
        Self { place, next_attempt: AttemptId(0), crashes: 0, retries: 0, desc: 0 }
    }

    /// Whether there is nothing to remember beyond where it is.
    pub fn is_fresh(&self) -> bool {
        self.next_attempt.0 == 0 && self.crashes == 0 && self.retries == 0
    }

    /// The worker and fence of a task that is on a worker: for a multi-node task, its root.
    pub fn on_worker(&self) -> Option<(WorkerId, Fence)> {
        match self.place {
            Place::Assigned { worker, fence, .. } | Place::Running { worker, fence, .. } => Some((worker, fence)),
            Place::Blocked { .. } | Place::Ready | Place::Delayed { .. } => None,
        }
    }
}

/// Untouched tasks that ended together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRun {
    /// Last ordinal.
    pub last: u32,
    /// Their state.
    pub state: TaskState,
    /// When.
    pub at: Time,
    /// Reference of the reason, 0 for none.
    pub reason: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Indexed {
    range: IdRange,
    base: u32,
    submit: u32,
}

impl Indexed {
    /// The last ordinal.
    fn last(&self) -> u32 {
        self.base + (self.range.len() - 1) as u32
    }
}

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskTable {
    by_base: Vec<Indexed>,
    by_start: BTreeMap<u32, usize>,
    /// Those of `by_start` with a step: only between their ids can others start.
    stepped: BTreeMap<u32, usize>,
    /// Longest distance from the first to the last id of a range with a step.
    widest: u32,
    total: u64,
    max_id: Option<u32>,
    /// Tasks with an entry of their own.
    pub live: BTreeMap<TaskId, Live>,
    /// Final tasks that were touched.
    pub done: DonePages,
    /// Final tasks that were not, by first ordinal.
    pub ended: BTreeMap<u32, EndedRun>,
    /// Workers of the last attempt of multi-node tasks that are on them or have run, the root first.
    pub nodes: BTreeMap<TaskId, Box<[WorkerId]>>,
}

/// What is known about one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TaskStatus {
    /// Waits in its range.
    Untouched,
    /// Has an entry.
    Live(Live),
    /// Is final, and packed.
    Done(Done),
    /// Ended untouched.
    Ended(EndedRun),
}

impl TaskTable {
    /// Adds the ids of a submit; returns the first ordinal.
    pub fn add(&mut self, ids: &IdSet, submit: u32) -> u32 {
        let first = u32::try_from(self.total).unwrap_or(u32::MAX);
        for range in ids.ranges.iter().filter(|range| !range.is_empty()) {
            let base = u32::try_from(self.total).unwrap_or(u32::MAX);
            self.by_start.insert(range.start, self.by_base.len());
            if range.gap > 0 {
                self.stepped.insert(range.start, self.by_base.len());
                self.widest = self.widest.max(range.last() - range.start);
            }
            self.by_base.push(Indexed { range: *range, base, submit });
            self.max_id = self.max_id.max(Some(range.last()));
            self.total += range.len();
        }
        first
    }

    /// Gives the room back that it kept in order to grow.
    pub(super) fn shrink(&mut self) {
        self.by_base.shrink_to_fit();
        self.done.shrink();
        // A map that was emptied keeps a node.
        if self.live.is_empty() {
            self.live = BTreeMap::new();
        }
    }

    /// How many tasks there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Ranges of ids that a look for one id may have to go through.
    pub fn range_steps(&self) -> usize {
        1 + self.stepped.len()
    }

    /// The largest id.
    pub fn max_id(&self) -> Option<u32> {
        self.max_id
    }

    fn find(&self, id: TaskId) -> Option<(&Indexed, u32)> {
        // No other range starts between the ids of one without a step.
        let nearest = self.by_start.range(..=id.0).next_back();
        let stepped = self.stepped.range(id.0.saturating_sub(self.widest)..=id.0).rev();
        nearest.into_iter().chain(stepped).find_map(|(_, at)| {
            let indexed = self.by_base.get(*at)?;
            let position = indexed.range.position(id.0)?;
            Some((indexed, indexed.base + position as u32))
        })
    }

    /// Compares `range` with the ranges that may have ids in common with it, each at the cost of one of `budget`; gives
    /// the smallest common id; none when the budget is spent before.
    pub fn first_common(&self, range: &IdRange, budget: &mut u64) -> Option<Option<TaskId>> {
        let mut found: Option<u32> = None;
        for indexed in self.near(range) {
            *budget = budget.checked_sub(1)?;
            let common = idset::first_common(range, &indexed.range);
            found = [found, common].into_iter().flatten().min();
        }
        Some(found.map(TaskId))
    }

    /// The ordinal of a task, if the job has it.
    pub fn ordinal(&self, id: TaskId) -> Option<u32> {
        self.find(id).map(|(_, ordinal)| ordinal)
    }

    fn at_ordinal(&self, ordinal: u32) -> Option<&Indexed> {
        let after = self.by_base.partition_point(|indexed| indexed.base <= ordinal);
        let indexed = self.by_base.get(after.checked_sub(1)?)?;
        (u64::from(ordinal - indexed.base) < indexed.range.len()).then_some(indexed)
    }

    /// The id of the task with this ordinal.
    pub fn id(&self, ordinal: u32) -> Option<TaskId> {
        let indexed = self.at_ordinal(ordinal)?;
        indexed.range.nth(u64::from(ordinal - indexed.base)).map(TaskId)
    }

    /// The number of the submit that brought the task with this ordinal.
    pub fn submit_of(&self, ordinal: u32) -> Option<u32> {
        self.at_ordinal(ordinal).map(|indexed| indexed.submit)
    }

    /// The number of the submit that brought the task with this ordinal, and the last ordinal of the range of ids
    /// that the task is in.
    pub fn range_at(&self, ordinal: u32) -> Option<(u32, u32)> {
        let indexed = self.at_ordinal(ordinal)?;
        Some((indexed.submit, indexed.last()))
    }

    /// The ids of a run of ordinals, as ranges.
    pub fn ids_of_run(&self, first: u32, last: u32) -> Vec<IdRange> {
        let mut ranges = Vec::new();
        let mut next = Some(first);
        while let Some(ordinal) = next.filter(|ordinal| *ordinal <= last) {
            let Some(indexed) = self.at_ordinal(ordinal) else { break };
            let until = indexed.last().min(last);
            let (from, to) = (ordinal - indexed.base, until - indexed.base);
            if let (Some(start), Some(end)) = (indexed.range.nth(u64::from(from)), indexed.range.nth(u64::from(to))) {
                let gap = if start == end { 0 } else { indexed.range.gap };
                ranges.push(IdRange { start, end, gap });
            }
            next = until.checked_add(1);
        }
        ranges
    }

    /// The ranges of ids that may have members in common with `range`.
    fn near(&self, range: &IdRange) -> impl Iterator<Item = &Indexed> {
        // Ranges without steps do not overlap, so all but the one before start inside.
        let from = self.by_start.range(..=range.start).next_back().map_or(u32::MIN, |(start, _)| *start);
        let reach = range.start.saturating_sub(self.widest).min(from);
        let stepped = self.stepped.range(reach..from);
        let starts = from..=range.last().max(from);
        stepped.chain(self.by_start.range(starts)).filter_map(|(_, at)| self.by_base.get(*at))
    }

    /// The ordinals of the members of `range` that the job has, as runs `(first, last)`.
    pub fn runs_of_ids(&self, range: &IdRange) -> Vec<(u32, u32)> {
        let mut runs = Vec::new();
        for indexed in self.near(range) {
            let (low, high) = (range.start.max(indexed.range.start), range.last().min(indexed.range.last()));
            if range.is_empty() || low > high {
                continue;
            }
            let aligned = indexed.range.gap == range.gap || range.gap == 0;
            if aligned && let Some(run) = aligned_run(indexed, range, low, high) {
                runs.push(run);
            } else if !aligned {
                let members = range.iter().filter_map(|id| indexed.range.position(id));
                runs.extend(members.map(|position| indexed.base + position as u32).map(|ordinal| (ordinal, ordinal)));
            }
        }
        runs
    }

    /// All ids, in the order of submission.
    pub fn ids(&self) -> IdSet {
        IdSet { ranges: self.by_base.iter().map(|indexed| indexed.range).collect() }
    }

    /// The ids from `from` on in ascending order. Interleaved stepped ranges are merged.
    pub fn ascending_from(&self, from: TaskId) -> impl Iterator<Item = TaskId> + '_ {
        let mut heads: std::collections::BTreeSet<(u32, usize)> = std::collections::BTreeSet::new();
        for (at, indexed) in self.by_base.iter().enumerate() {
            if let Some(first) = first_from(&indexed.range, from.0) {
                heads.insert((first, at));
            }
        }
        std::iter::from_fn(move || {
            let (id, at) = heads.pop_first()?;
            if let Some(indexed) = self.by_base.get(at)
                && let Some(position) = indexed.range.position(id)
                && let Some(next) = indexed.range.nth(position + 1)
            {
                heads.insert((next, at));
            }
            Some(TaskId(id))
        })
    }

    /// The parts of `first..=last` that ended untouched, with their states.
    pub fn ended_within(&self, first: u32, last: u32) -> Vec<(u32, u32, TaskState)> {
        let before = self.ended.range(..first).next_back().filter(|(_, run)| run.last >= first);
        let inside = self.ended.range(first..=last.max(first));
        let runs = before.into_iter().chain(inside).filter(|(from, _)| **from <= last);
        runs.map(|(from, run)| ((*from).max(first), run.last.min(last), run.state)).collect()
    }

    /// Takes out the parts of `first..=last` that ended untouched: they wait untouched again.
    pub(in crate::state) fn take_ended(&mut self, first: u32, last: u32) -> Vec<(u32, u32, TaskState)> {
        let taken = self.ended_within(first, last);
        for (from, to, _) in &taken {
            let Some((start, run)) = self.ended.range(..=*from).next_back().map(|(start, run)| (*start, *run)) else {
                continue;
            };
            self.ended.remove(&start);
            if start < *from {
                self.ended.insert(start, EndedRun { last: *from - 1, ..run });
            }
            if run.last > *to {
                self.ended.insert(*to + 1, run);
            }
        }
        taken
    }

    /// What is known about a task; none when the job does not have it.
    pub fn status(&self, id: TaskId) -> Option<TaskStatus> {
        if let Some(live) = self.live.get(&id) {
            return Some(TaskStatus::Live(*live));
        }
        let ordinal = self.ordinal(id)?;
        if let Some(done) = self.done.get(ordinal) {
            return Some(TaskStatus::Done(done));
        }
        if let Some((_, run)) = self.ended.range(..=ordinal).next_back()
            && run.last >= ordinal
        {
            return Some(TaskStatus::Ended(*run));
        }
        Some(TaskStatus::Untouched)
    }
}

impl TaskStatus {
    /// The state that users see.
    pub fn state(&self) -> TaskState {
        match self {
            Self::Untouched => TaskState::Waiting,
            Self::Live(live) if matches!(live.place, Place::Running { .. }) => TaskState::Running,
            Self::Live(_) => TaskState::Waiting,
            Self::Done(done) => done.state,
            Self::Ended(run) => run.state,
        }
    }
}

fn first_from(range: &IdRange, from: u32) -> Option<u32> {
    if from <= range.start {
        return range.nth(0);
    }
    let steps = u64::from(from - range.start).div_ceil(range.step());
    range.nth(steps)
}

/// The run of an index range that lies within `low..=high`, when `range` meets all its members there.
fn aligned_run(indexed: &Indexed, range: &IdRange, low: u32, high: u32) -> Option<(u32, u32)> {
    let first = first_from(&indexed.range, low)?;
    if first > high || (range.gap > 0 && range.position(first).is_none()) {
        return None;
    }
    let start = indexed.range.position(first)?;
    let count = u64::from(high - first) / indexed.range.step();
    Some((indexed.base + start as u32, indexed.base + (start + count) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(ranges: &[IdRange]) -> Option<TaskTable> {
        let set = IdSet { ranges: ranges.to_vec() };
        set.check().ok()?;
        let mut table = TaskTable::default();
        table.add(&set, 0);
        Some(table)
    }

    proptest! {
        #[test]
        fn ids_and_ordinals_agree(
            ranges in proptest::collection::vec((0u32..80, 0u32..30, 1u32..5), 1..6),
            probe in (0u32..120, 0u32..40, 1u32..4),
        ) {
            let ranges: Vec<IdRange> = ranges.iter().map(|(a, n, s)| IdRange::stepped(*a, a + n, *s)).collect();
            let Some(table) = table(&ranges) else { return Ok(()) };
            let ids: Vec<u32> = ranges.iter().flat_map(|range| range.iter()).collect();
            prop_assert_eq!(table.total() as usize, ids.len());
            for (ordinal, id) in ids.iter().enumerate() {
                prop_assert_eq!(table.ordinal(TaskId(*id)), Some(ordinal as u32));
                prop_assert_eq!(table.id(ordinal as u32), Some(TaskId(*id)));
            }
            let mut ascending = ids.clone();
            ascending.sort_unstable();
            let from: Vec<u32> = ascending.iter().copied().filter(|id| *id >= probe.0).collect();
            prop_assert_eq!(table.ascending_from(TaskId(probe.0)).map(|id| id.0).collect::<Vec<_>>(), from);
            let probe = IdRange::stepped(probe.0, probe.0 + probe.1, probe.2);
            let common = probe.iter().find(|id| ids.contains(id)).map(TaskId);
            prop_assert_eq!(table.first_common(&probe, &mut 100), Some(common));
            prop_assert_eq!(table.max_id(), ids.iter().copied().max());
            let mut found: Vec<u32> = table
                .runs_of_ids(&probe)
                .into_iter()
                .flat_map(|(first, last)| first..=last)
                .filter_map(|ordinal| table.id(ordinal))
                .map(|id| id.0)
                .collect();
            found.sort_unstable();
            let expected: Vec<u32> = ascending.iter().copied().filter(|id| probe.position(*id).is_some()).collect();
            prop_assert_eq!(found, expected);
            let back: Vec<u32> = table.ids_of_run(0, ids.len() as u32 - 1).iter().flat_map(|r| r.iter()).collect();
            prop_assert_eq!(back, ids);
        }
    }
}
