//! The progress bar of jobs: forty cells, and the line that `--progress` rewrites.
//!
//! The same bar stands in `job info` and in the progress line, so its arithmetic is in one place.
//!
//! Holds: a bar without colours is 42 characters wide, whatever the counts; a part that is not zero has a cell
//! unless the bar is full before it.

use super::color::{Color, Palette, Style};

/// Cells of the bar.
pub const BAR_CELLS: u64 = 40;
/// Moves to the beginning of the line and clears it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// How many of `total` tasks are in which state; the rest waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    /// All tasks.
    pub total: u64,
    /// Running ones.
    pub running: u64,
    /// Finished ones.
    pub finished: u64,
    /// Failed ones.
    pub failed: u64,
    /// Canceled ones.
    pub canceled: u64,
    /// Aborted ones.
    pub aborted: u64,
}

impl TaskCounts {
    /// Tasks with an outcome.
    pub fn completed(&self) -> u64 {
        [self.finished, self.failed, self.canceled, self.aborted].iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// The bar: `[####......]` with 40 cells, in the colours of the states.
pub fn bar(counts: &TaskCounts, palette: Palette) -> String {
    let mut free = BAR_CELLS;
    let mut out = String::from("[");
    for (style, text) in segments(counts, &mut free) {
        out.push_str(&palette.paint(style, &text));
    }
    out.push_str(&".".repeat(usize::try_from(free).unwrap_or(0)));
    out.push(']');
    out
}

/// The bar's coloured parts, for a table's cell; put `[` before and [`rest`] after them.
fn segments(counts: &TaskCounts, free: &mut u64) -> Vec<(Style, String)> {
    let parts = [
        (Color::Magenta, counts.canceled),
        (Color::Red, counts.failed),
        (Color::Green, counts.finished),
        (Color::Yellow, counts.running),
        (Color::BrightRed, counts.aborted),
    ];
    let mut segments = Vec::new();
    for (color, count) in parts {
        let total = u128::from(counts.total.max(1));
        let wanted = (u128::from(BAR_CELLS) * u128::from(count)).div_ceil(total);
        let cells = u64::try_from(wanted).unwrap_or(u64::MAX).min(*free);
        *free -= cells;
        if cells > 0 {
            segments.push((color.style(), "#".repeat(usize::try_from(cells).unwrap_or(0))));
        }
    }
    segments
}

/// The bar as the first line of a table's cell.
pub fn bar_cell(counts: &TaskCounts) -> super::table::Cell {
    let mut free = BAR_CELLS;
    let mut cell = super::table::Cell::from("[");
    for (style, text) in segments(counts, &mut free) {
        cell = cell.then(style, text);
    }
    cell.then(Style::PLAIN, format!("{}]", ".".repeat(usize::try_from(free).unwrap_or(0))))
}

/// The line that replaces the one before: bar, jobs done, tasks completed, and the counts that are not zero.
pub fn progress_line(jobs_done: u64, jobs: u64, counts: &TaskCounts, palette: Palette) -> String {
    let states = [
        ("RUNNING", counts.running),
        ("FINISHED", counts.finished),
        ("FAILED", counts.failed),
        ("CANCELED", counts.canceled),
        ("ABORTED", counts.aborted),
    ];
    let shown = states.into_iter().filter(|(_, count)| *count > 0).map(|(word, count)| {
        let style = if word == "ABORTED" { Color::BrightRed.style() } else { Style::of_state(word) };
        format!("{count} {}", palette.paint(style, word))
    });
    let (bar, completed, total) = (bar(counts, palette), counts.completed(), counts.total);
    let shown = shown.collect::<Vec<_>>().join(" ");
    format!("{CLEAR_LINE}{bar} {jobs_done}/{jobs} jobs, {completed}/{total} tasks {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::render::table::Table;
    use proptest::prelude::*;

    #[test]
    fn bars() {
        let counts = TaskCounts { total: 4, finished: 1, running: 1, ..TaskCounts::default() };
        assert_eq!(bar(&counts, Palette::OFF), format!("[{}{}]", "#".repeat(20), ".".repeat(20)));
        let colored = format!("[\x1b[32m{0}\x1b[0m\x1b[33m{0}\x1b[0m{1}]", "#".repeat(10), ".".repeat(20));
        assert_eq!(bar(&counts, Palette::ON), colored);
        assert_eq!(bar(&TaskCounts::default(), Palette::OFF), format!("[{}]", ".".repeat(40)));
        let many = TaskCounts { total: 1_000, failed: 1, finished: 999, ..TaskCounts::default() };
        assert!(bar(&many, Palette::ON).starts_with("[\x1b[31m#\x1b[0m\x1b[32m###"));
        let mut table = Table::vertical();
        table.line("State", bar_cell(&counts).then(Style::PLAIN, "\nRUNNING (1)"));
        assert!(table.render(Palette::OFF).contains(&format!("| State | {} |", bar(&counts, Palette::OFF))));
    }

    #[test]
    fn progress_lines() {
        let counts = TaskCounts { total: 10, finished: 3, failed: 1, running: 2, ..TaskCounts::default() };
        let expected = format!(
            "\r\x1b[2K[{}{}] 0/1 jobs, 4/10 tasks 2 RUNNING 3 FINISHED 1 FAILED",
            "#".repeat(24),
            ".".repeat(16)
        );
        assert_eq!(progress_line(0, 1, &counts, Palette::OFF), expected);
    }

    proptest! {
        #[test]
        fn bars_are_equally_wide(total: u64, running: u64, finished: u64, failed: u64, canceled: u64, aborted: u64) {
            let counts = TaskCounts { total, running, finished, failed, canceled, aborted };
            prop_assert_eq!(bar(&counts, Palette::OFF).len(), 42);
        }
    }
}
