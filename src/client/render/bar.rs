//! The progress bar of jobs: forty cells, and the line that `--progress` rewrites.
//!
//! The same bar stands in `job info` and in the progress line, so its arithmetic is in one place.
//!
//! Holds: a bar without colours is 42 characters wide, whatever the counts; a part that is not zero has a cell
//! unless the bar is full before it.

use super::color::{Color, Palette, Style};
use super::table::Cell;
use hq_core::view::{ProgressView, TaskCounts, TaskState};

/// Cells of the bar.
pub const BAR_CELLS: u64 = 40;
/// Moves to the beginning of the line and clears it.
const CLEAR_LINE: &str = "\r\x1b[2K";

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

/// The bar's coloured parts; takes their cells from `free`.
fn segments(counts: &TaskCounts, free: &mut u64) -> Vec<(Style, String)> {
    let parts = [
        (Color::Magenta, counts.canceled),
        (Color::Red, counts.failed),
        (Color::Green, counts.finished),
        (Color::Yellow, counts.running),
        (Color::BrightRed, counts.aborted),
    ];
    let total = parts.iter().fold(u128::from(counts.waiting), |sum, (_, count)| sum + u128::from(*count)).max(1);
    let mut segments = Vec::new();
    for (color, count) in parts {
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
pub fn bar_cell(counts: &TaskCounts) -> Cell {
    let mut free = BAR_CELLS;
    let mut cell = Cell::from("[");
    for (style, text) in segments(counts, &mut free) {
        cell = cell.then(style, text);
    }
    cell.then(Style::PLAIN, format!("{}]", ".".repeat(usize::try_from(free).unwrap_or(0))))
}

/// The line that replaces the one before: bar, jobs done, tasks completed, and the counts that are not zero.
pub fn progress_line(progress: &ProgressView, palette: Palette) -> String {
    use TaskState::{Aborted, Canceled, Failed, Finished, Running};
    let counts = &progress.counts;
    let mut line = format!(
        "{CLEAR_LINE}{} {}/{} jobs, {}/{} tasks ",
        bar(counts, palette),
        progress.jobs_done,
        progress.jobs_all,
        counts.total() - counts.unfinished(),
        counts.total()
    );
    let shown = [Running, Finished, Failed, Canceled, Aborted].into_iter().filter(|state| counts.of(*state) > 0);
    let words = shown.map(|state| {
        let style = if state == Aborted { Color::BrightRed.style() } else { Style::of_state(state.word()) };
        format!("{} {}", counts.of(state), palette.paint(style, &state.word().to_uppercase()))
    });
    line.push_str(&words.collect::<Vec<_>>().join(" "));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::render::table::Table;
    use proptest::prelude::*;

    #[test]
    fn bars() {
        let counts = TaskCounts { waiting: 2, finished: 1, running: 1, ..TaskCounts::default() };
        assert_eq!(bar(&counts, Palette::OFF), format!("[{}{}]", "#".repeat(20), ".".repeat(20)));
        let colored = format!("[\x1b[32m{0}\x1b[0m\x1b[33m{0}\x1b[0m{1}]", "#".repeat(10), ".".repeat(20));
        assert_eq!(bar(&counts, Palette::ON), colored);
        assert_eq!(bar(&TaskCounts::default(), Palette::OFF), format!("[{}]", ".".repeat(40)));
        let many = TaskCounts { failed: 1, finished: 999, ..TaskCounts::default() };
        assert!(bar(&many, Palette::ON).starts_with("[\x1b[31m#\x1b[0m\x1b[32m###"));
        let mut table = Table::vertical();
        table.line("State", bar_cell(&counts).then(Style::PLAIN, "\nRUNNING (1)"));
        assert!(table.render(Palette::OFF).contains(&format!("| State | {} |", bar(&counts, Palette::OFF))));
    }

    #[test]
    fn progress_lines() {
        let counts = TaskCounts { waiting: 4, finished: 3, failed: 1, running: 2, ..TaskCounts::default() };
        let expected = format!(
            "\r\x1b[2K[{}{}] 0/1 jobs, 4/10 tasks 2 RUNNING 3 FINISHED 1 FAILED",
            "#".repeat(24),
            ".".repeat(16)
        );
        let progress = ProgressView { jobs_done: 0, jobs_all: 1, counts };
        assert_eq!(progress_line(&progress, Palette::OFF), expected);
    }

    proptest! {
        #[test]
        fn bars_are_equally_wide(waiting: u64, running: u64, finished: u64, failed: u64, canceled: u64, aborted: u64) {
            let counts = TaskCounts { waiting, running, finished, failed, canceled, aborted };
            prop_assert_eq!(bar(&counts, Palette::OFF).len(), 42);
        }
    }
}
