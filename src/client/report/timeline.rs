//! The bars of workers: one row for each, or for some that came one after the other when there are many.
//!
//! Each row has a bounded number of bins for how many of its workers are there, how loaded they are and how many tasks run.
//! When there are more workers than rows, the rows of neighbours become one.
//!
//! Holds: memory is bounded by rows and bins, whatever the number of workers, tasks and hours; while a row is one worker,
//! up to a bounded number of tasks is kept one by one besides.

use super::series::Bins;
use super::workers::TaskKey;
use hq_core::id::WorkerId;

/// Rows.
pub const ROWS_MAX: usize = 64;
/// Bins of a row.
pub const ROW_BINS: usize = 512;
/// Tasks that are drawn one by one.
pub const SPANS_MAX: usize = 2_000;

/// A row.
#[derive(Debug)]
pub struct Row {
    /// The first worker and the last one.
    pub workers: (WorkerId, WorkerId),
    /// How many they are.
    pub count: u64,
    /// How many are there.
    pub present: Bins,
    /// The sum of their loads.
    pub load: Bins,
    /// How many tasks run there.
    pub tasks: Bins,
}

/// How a task's time on a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Running,
    /// It finished.
    Finished,
    /// It failed.
    Failed,
    /// It was canceled or aborted.
    Ended,
    /// It was interrupted, and runs again.
    Interrupted,
}

/// A task's time on a worker.
#[derive(Debug)]
pub struct TaskSpan {
    /// The row of the worker.
    pub order: u32,
    /// The task.
    pub task: TaskKey,
    /// Number of the attempt.
    pub attempt: u32,
    /// From when to when.
    pub span: (u64, u64),
    /// How it ended.
    pub outcome: Outcome,
}

/// All rows.
#[derive(Debug)]
pub struct Timeline {
    /// In the order in which the workers came.
    pub rows: Vec<Row>,
    /// The tasks, while they are few and every row is one worker.
    pub spans: Option<Vec<TaskSpan>>,
    /// Workers of a row: two to this power.
    shift: u32,
    next: u32,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { rows: Vec::new(), spans: Some(Vec::new()), shift: 0, next: 0 }
    }
}

impl Timeline {
    /// A worker came. Gives its place among all workers.
    pub fn connect(&mut self, place: u64, id: WorkerId, from: u64) -> u32 {
        let order = self.next;
        self.next = self.next.saturating_add(1);
        while (order >> self.shift) as usize >= ROWS_MAX {
            self.pair();
        }
        match self.rows.get_mut((order >> self.shift) as usize) {
            Some(row) => {
                row.count += 1;
                row.workers.1 = id;
            }
            None => {
                let bins = || Bins::new(from, ROW_BINS);
                self.rows.push(Row { workers: (id, id), count: 1, present: bins(), load: bins(), tasks: bins() });
            }
        }
        self.change(order, |row| row.present.add(place, 1.0));
        order
    }

    /// Makes one row of two.
    fn pair(&mut self) {
        self.shift += 1;
        self.spans = None;
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        while let Some(mut row) = rows.next() {
            if let Some(next) = rows.next() {
                row.workers.1 = next.workers.1;
                row.count += next.count;
                row.present.join(next.present);
                row.load.join(next.load);
                row.tasks.join(next.tasks);
            }
            self.rows.push(row);
        }
    }

    fn change(&mut self, order: u32, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut((order >> self.shift) as usize) {
            change(row);
        }
    }

    /// A worker went.
    pub fn lose(&mut self, place: u64, order: u32) {
        self.change(order, |row| row.present.add(place, -1.0));
    }

    /// The load of a worker changes.
    pub fn load(&mut self, place: u64, order: u32, delta: f64) {
        self.change(order, |row| row.load.add(place, delta));
    }

    /// The number of tasks of a worker changes.
    pub fn tasks(&mut self, place: u64, order: u32, delta: f64) {
        self.change(order, |row| row.tasks.add(place, delta));
    }

    /// Keeps what a task took of a worker's time, while there is room.
    pub fn keep(&mut self, span: TaskSpan) {
        if let Some(spans) = &mut self.spans {
            spans.push(span);
            if spans.len() > SPANS_MAX {
                self.spans = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_workers_share_rows() {
        let mut timeline = Timeline::default();
        for id in 1..=1_000u32 {
            let order = timeline.connect(0, WorkerId(id), 0);
            timeline.load(0, order, 0.5);
        }
        assert!(timeline.rows.len() <= ROWS_MAX && timeline.spans.is_none());
        assert_eq!(timeline.rows.iter().map(|row| row.count).sum::<u64>(), 1_000);
        assert_eq!(timeline.rows[0].workers, (WorkerId(1), WorkerId(16)));
        assert_eq!(timeline.rows[0].present.means(0), [16.0]);
        assert_eq!(timeline.rows[0].load.means(0), [8.0]);
        timeline.lose(1_000, 999);
        assert_eq!(timeline.rows.last().unwrap().present.means(1_999), [8.0, 7.0]);
    }
}
