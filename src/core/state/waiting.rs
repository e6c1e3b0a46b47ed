//! Which parts of a run of tasks wait, untouched or not: what is left of it without the final ones, and without
//! those that have an entry and are elsewhere.
//!
//! The queues do not know this, since what is held or has unmet dependencies is in none of them. The work is bounded by
//! the tasks of the run that are more than members of a waiting range.

use super::tasks::{Live, Place, TaskTable};
use crate::id::TaskId;

impl TaskTable {
    /// The parts of `first..=last` that wait without an entry, ascending.
    pub fn untouched(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        self.parts(first, last, |_| false)
    }

    /// The parts of `first..=last` that wait and are neither blocked nor delayed nor on a worker, ascending.
    pub fn queueable(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        self.parts(first, last, |live| live.place == Place::Ready)
    }

    /// The parts of `first..=last` that wait, for whatever reason, ascending.
    pub fn waiting(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        self.parts(first, last, |live| !matches!(live.place, Place::Running { .. }))
    }

    /// The parts of `first..=last` that wait and are on no worker, ascending.
    pub fn unplaced(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        self.parts(first, last, |live| live.on_worker().is_none())
    }

    /// The parts of `first..=last` that are not final, ascending.
    pub fn unfinished(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        self.parts(first, last, |_| true)
    }

    /// The tasks of `first..=last` that have an entry, with their ordinals; in the order of their ids.
    pub fn live_within(&self, first: u32, last: u32) -> impl Iterator<Item = (u32, TaskId, &Live)> {
        let ids = self.ids_of_run(first, last);
        let low = ids.iter().map(|range| range.start).min();
        let high = ids.iter().map(|range| range.last()).max();
        let span = low.zip(high).map(|(low, high)| TaskId(low)..=TaskId(high));
        let entries = span.into_iter().flat_map(|span| self.live.range(span));
        let with_ordinals = entries.filter_map(|(id, live)| Some((self.ordinal(*id)?, *id, live)));
        with_ordinals.filter(move |(ordinal, _, _)| (first..=last).contains(ordinal))
    }

    /// The parts without final tasks, and without those with an entry that `stays` does not want.
    fn parts(&self, first: u32, last: u32, stays: impl Fn(&Live) -> bool) -> Vec<(u32, u32)> {
        let before = self.ended.range(..first).next_back();
        let ended = before.into_iter().chain(self.ended.range(first..=last.max(first)));
        let mut gone: Vec<(u32, u32)> = ended.map(|(start, run)| (*start, run.last)).collect();
        for ordinal in self.done.within(first, last) {
            match gone.last_mut() {
                Some((_, end)) if end.checked_add(1) == Some(ordinal) => *end = ordinal,
                _ => gone.push((ordinal, ordinal)),
            }
        }
        let elsewhere = self.live_within(first, last).filter(|(_, _, live)| !stays(live));
        gone.extend(elsewhere.map(|(ordinal, _, _)| (ordinal, ordinal)));
        gone.sort_unstable();
        let mut parts = Vec::new();
        let mut next = Some(first);
        for (start, end) in gone {
            let Some(from) = next else { break };
            if from < start && from <= last {
                parts.push((from, (start - 1).min(last)));
            }
            next = if end >= from { end.checked_add(1) } else { next };
        }
        parts.extend(next.filter(|from| *from <= last).map(|from| (from, last)));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AttemptId, Epoch, Fence, WorkerId};
    use crate::idset::{IdRange, IdSet};
    use crate::state::done::Done;
    use crate::state::tasks::EndedRun;
    use crate::time::{Span, Time};
    use crate::view::TaskState;
    use proptest::prelude::*;

    fn done() -> Done {
        let (started, lasted, worker) = (None, Span(0), WorkerId(0));
        Done { state: TaskState::Canceled, started, lasted, worker, attempt: AttemptId(0), error: 0 }
    }

    fn place(kind: u8) -> Place {
        let fence = Fence { epoch: Epoch(1), attempt: AttemptId(0) };
        match kind {
            0 => Place::Ready,
            1 => Place::Blocked { unmet: 1 },
            2 => Place::Delayed { until: Time(9) },
            3 => Place::Assigned { worker: WorkerId(1), fence, variant: 0, ahead: false },
            _ => Place::Running { worker: WorkerId(1), fence, variant: 0, started: Time(1) },
        }
    }

    proptest! {
        #[test]
        fn parts_are_what_remains(
            kinds in proptest::collection::vec(0u8..9, 1..700),
            step in 1u32..3,
            probe in (0u32..700, 0u32..700),
        ) {
            let mut table = TaskTable::default();
            let last = kinds.len() as u32 - 1;
            table.add(&IdSet { ranges: vec![IdRange::stepped(5, 5 + last * step, step)] }, 0);
            for (ordinal, kind) in (0u32..).zip(&kinds) {
                match kind {
                    0..=4 => { table.live.insert(TaskId(5 + ordinal * step), Live::new(place(*kind))); }
                    5 => table.done.set(ordinal, &done()),
                    6 => {
                        let run = EndedRun { last: ordinal, state: TaskState::Canceled, at: Time(1), reason: 0 };
                        table.ended.insert(ordinal, run);
                    }
                    _ => {}
                }
            }
            let (first, until) = (probe.0.min(last), (probe.0.min(last) + probe.1).min(last));
            let expected = |wanted: &[u8]| -> Vec<u32> {
                (first..=until).filter(|ordinal| wanted.contains(&kinds[*ordinal as usize])).collect()
            };
            let flat = |parts: Vec<(u32, u32)>| -> Vec<u32> { parts.iter().flat_map(|(a, b)| *a..=*b).collect() };
            prop_assert_eq!(flat(table.untouched(first, until)), expected(&[7, 8]));
            prop_assert_eq!(flat(table.queueable(first, until)), expected(&[0, 7, 8]));
            prop_assert_eq!(flat(table.waiting(first, until)), expected(&[0, 1, 2, 3, 7, 8]));
            prop_assert_eq!(flat(table.unplaced(first, until)), expected(&[0, 1, 2, 7, 8]));
            prop_assert_eq!(flat(table.unfinished(first, until)), expected(&[0, 1, 2, 3, 4, 7, 8]));
        }
    }
}
