//! Final tasks, packed: 23 bytes each, in pages by ordinal.
//!
//! Millions of finished tasks stay in memory until their job is forgotten, so each keeps only what lists show:
//! state, times as distances, worker, attempt and the index of an interned error text. Everything else is in the
//! journal.

use crate::id::{AttemptId, WorkerId};
use crate::time::{Span, Time};
use crate::view::TaskState;

/// Bytes of one packed task.
pub const PACKED_BYTES: usize = 23;
/// Tasks of one page.
const PAGE_TASKS: u32 = 256;
/// Below this many tasks a page grows by doubling; above, it takes its full size at once.
const PAGE_SMALL_TASKS: usize = 16;

const STATE_MASK: u8 = 0x07;
const STARTED_FLAG: u8 = 0x08;
const SPAN_MAX: u64 = (1 << 48) - 1;
const SMALL_MAX: u32 = (1 << 24) - 1;

/// A final task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The final state.
    pub state: TaskState,
    /// Start of the last attempt, as distance from the submission of the job; none when it never started.
    pub started: Option<Span>,
    /// End: distance from the start, or from the submission when it never started.
    pub lasted: Span,
    /// Where it ran last; 0 when it never started.
    pub worker: WorkerId,
    /// The last attempt, up to 16,777,215.
    pub attempt: AttemptId,
    /// Index of the text of the error, or of the reason for which it was canceled or aborted, plus one; 0 for none.
    pub error: u32,
}

impl Done {
    /// When the last attempt started, for a job submitted at `base`.
    pub fn started_at(&self, base: Time) -> Option<Time> {
        self.started.map(|span| base.after(span))
    }

    /// When the task ended, for a job submitted at `base`.
    pub fn ended_at(&self, base: Time) -> Time {
        self.started_at(base).unwrap_or(base).after(self.lasted)
    }

    fn pack(&self) -> Packed {
        let mut bytes = [0u8; PACKED_BYTES];
        let flags = (state_code(self.state) & STATE_MASK) | if self.started.is_some() { STARTED_FLAG } else { 0 };
        let started = self.started.map_or(0, |span| span.0.min(SPAN_MAX)).to_le_bytes();
        let lasted = self.lasted.0.min(SPAN_MAX).to_le_bytes();
        let columns: [&[u8]; 6] = [
            &[flags],
            started.get(..6).unwrap_or_default(),
            lasted.get(..6).unwrap_or_default(),
            &self.worker.0.to_le_bytes(),
            &small(self.attempt.0),
            &small(self.error),
        ];
        for (slot, byte) in bytes.iter_mut().zip(columns.iter().flat_map(|column| column.iter())) {
            *slot = *byte;
        }
        Packed(bytes)
    }
}

fn small(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.min(SMALL_MAX).to_le_bytes();
    [a, b, c]
}

fn state_code(state: TaskState) -> u8 {
    match state {
        TaskState::Waiting | TaskState::Running => 0,
        TaskState::Finished => 2,
        TaskState::Failed => 3,
        TaskState::Canceled => 4,
        TaskState::Aborted => 5,
    }
}

/// The packed form; all zero means that there is no final task here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed([u8; PACKED_BYTES]);

impl Packed {
    const EMPTY: Self = Self([0; PACKED_BYTES]);

    fn unpack(&self) -> Option<Done> {
        let number = |from: usize, len: usize| {
            let part = self.0.get(from..from + len).unwrap_or_default();
            part.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
        };
        let flags = number(0, 1) as u8;
        let state = match flags & STATE_MASK {
            2 => TaskState::Finished,
            3 => TaskState::Failed,
            4 => TaskState::Canceled,
            5 => TaskState::Aborted,
            _ => return None,
        };
        Some(Done {
            state,
            started: (flags & STARTED_FLAG != 0).then(|| Span(number(1, 6))),
            lasted: Span(number(7, 6)),
            worker: WorkerId(number(13, 4) as u32),
            attempt: AttemptId(number(17, 3) as u32),
            error: number(20, 3) as u32,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Page {
    number: u32,
    slots: Vec<Packed>,
}

/// The final tasks of a job by ordinal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DonePages {
    pages: Vec<Page>,
}

impl DonePages {
    /// Stores a final task.
    pub fn set(&mut self, ordinal: u32, done: &Done) {
        let (number, offset) = (ordinal / PAGE_TASKS, (ordinal % PAGE_TASKS) as usize);
        let at = match self.pages.binary_search_by_key(&number, |page| page.number) {
            Ok(at) => at,
            Err(at) => {
                self.pages.insert(at, Page { number, slots: Vec::new() });
                at
            }
        };
        let Some(page) = self.pages.get_mut(at) else { return };
        if page.slots.len() <= offset {
            if offset >= PAGE_SMALL_TASKS {
                page.slots.reserve_exact(PAGE_TASKS as usize - page.slots.len());
            }
            page.slots.resize(offset + 1, Packed::EMPTY);
        }
        if let Some(slot) = page.slots.get_mut(offset) {
            *slot = done.pack();
        }
    }

    /// The final task at `ordinal`, if it is final.
    pub fn get(&self, ordinal: u32) -> Option<Done> {
        let number = ordinal / PAGE_TASKS;
        let at = self.pages.binary_search_by_key(&number, |page| page.number).ok()?;
        self.pages.get(at)?.slots.get((ordinal % PAGE_TASKS) as usize)?.unpack()
    }

    /// Takes out the final tasks among `first..=last`, which are not final any more.
    pub fn take(&mut self, first: u32, last: u32) -> Vec<(u32, Done)> {
        let mut taken = Vec::new();
        let from = self.pages.partition_point(|page| page.number < first / PAGE_TASKS);
        for page in self.pages.iter_mut().skip(from).take_while(|page| page.number <= last / PAGE_TASKS) {
            let base = page.number * PAGE_TASKS;
            for (slot, offset) in page.slots.iter_mut().zip(0u32..) {
                let ordinal = base + offset;
                if (first..=last).contains(&ordinal)
                    && let Some(done) = slot.unpack()
                {
                    *slot = Packed::EMPTY;
                    taken.push((ordinal, done));
                }
            }
        }
        taken
    }

    /// Gives the memory back of pages from which all tasks were taken, and what others kept in order to grow.
    pub fn shrink(&mut self) {
        self.pages.retain(|page| page.slots.iter().any(|slot| *slot != Packed::EMPTY));
        self.pages.shrink_to_fit();
        self.pages.iter_mut().for_each(|page| page.slots.shrink_to_fit());
    }

    /// The ordinals of the final tasks of `first..=last`, ascending.
    pub fn within(&self, first: u32, last: u32) -> impl Iterator<Item = u32> + '_ {
        let from = self.pages.partition_point(|page| page.number < first / PAGE_TASKS);
        let pages = self.pages.iter().skip(from).take_while(move |page| page.number <= last / PAGE_TASKS);
        let ordinals = pages.flat_map(|page| {
            let base = page.number * PAGE_TASKS;
            page.slots.iter().zip(0u32..).filter(|(slot, _)| **slot != Packed::EMPTY).map(move |(_, at)| base + at)
        });
        ordinals.filter(move |ordinal| (first..=last).contains(ordinal))
    }

    /// All final tasks with their ordinals, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Done)> + '_ {
        self.pages.iter().flat_map(|page| {
            let base = page.number * PAGE_TASKS;
            page.slots.iter().zip(0u32..).filter_map(move |(slot, offset)| Some((base + offset, slot.unpack()?)))
        })
    }

    /// The final tasks from this ordinal on, ascending.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, Done)> + '_ {
        let from = self.pages.partition_point(|page| page.number < first / PAGE_TASKS);
        self.pages.iter().skip(from).flat_map(move |page| {
            let base = page.number * PAGE_TASKS;
            let slots = page.slots.iter().zip(base..).skip(first.saturating_sub(base) as usize);
            slots.filter_map(|(slot, ordinal)| Some((ordinal, slot.unpack()?)))
        })
    }

    /// Heap bytes in use.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        let slots: usize = self.pages.iter().map(|page| page.slots.capacity() * PACKED_BYTES).sum();
        slots + self.pages.capacity() * size_of::<Page>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn done() -> impl Strategy<Value = Done> {
        let states = [TaskState::Finished, TaskState::Failed, TaskState::Canceled, TaskState::Aborted];
        (
            0usize..4,
            proptest::option::of(0u64..=SPAN_MAX),
            0u64..=SPAN_MAX,
            any::<u32>(),
            0u32..=SMALL_MAX,
            0u32..=SMALL_MAX,
        )
            .prop_map(move |(state, started, lasted, worker, attempt, error)| Done {
                state: states[state],
                started: started.map(Span),
                lasted: Span(lasted),
                worker: WorkerId(worker),
                attempt: AttemptId(attempt),
                error,
            })
    }

    proptest! {
        #[test]
        fn pages_are_a_map(entries in proptest::collection::btree_map(0u32..2_000, done(), 0..80)) {
            let mut pages = DonePages::default();
            for (ordinal, done) in &entries {
                pages.set(*ordinal, done);
            }
            for ordinal in 0..2_000 {
                prop_assert_eq!(pages.get(ordinal), entries.get(&ordinal).copied());
            }
            let within: Vec<u32> = pages.within(300, 1_400).collect();
            let from: Vec<_> = pages.iter_from(700).collect();
            prop_assert_eq!(from, entries.range(700..).map(|(ordinal, done)| (*ordinal, *done)).collect::<Vec<_>>());
            prop_assert_eq!(within, entries.range(300..=1_400).map(|(ordinal, _)| *ordinal).collect::<Vec<_>>());
            prop_assert_eq!(pages.iter().collect::<Vec<_>>(), entries.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn taking_is_that_of_a_map(
            entries in proptest::collection::btree_map(0u32..2_000, done(), 0..80),
            (first, len) in (0u32..2_000, 0u32..900),
        ) {
            let mut pages = DonePages::default();
            for (ordinal, done) in &entries {
                pages.set(*ordinal, done);
            }
            let last = first + len;
            let (inside, outside): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|(ordinal, _)| (first..=last).contains(ordinal));
            prop_assert_eq!(&pages.take(first, last), &inside);
            pages.shrink();
            prop_assert_eq!(pages.iter().collect::<Vec<_>>(), outside);
        }
    }

    #[test]
    fn a_finished_task_takes_less_than_24_bytes() {
        let done = Done {
            state: TaskState::Finished,
            started: Some(Span(1)),
            lasted: Span(2),
            worker: WorkerId(3),
            attempt: AttemptId(0),
            error: 0,
        };
        let mut pages = DonePages::default();
        for ordinal in 0..100_000 {
            pages.set(ordinal, &done);
        }
        assert!(pages.heap_bytes() < 24 * 100_000, "{}", pages.heap_bytes());
    }
}
