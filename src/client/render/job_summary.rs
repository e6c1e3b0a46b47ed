//! Counts of jobs by state, as `job summary` shows them.
//!
//! Holds: the same six states in the same order, also those that no job is in; open jobs that idle are told only in
//! JSON, and only if there are any.

use super::color::Palette;
use super::table::{Cell, Column, Table};
use hq_core::view::{JobCounts, JobState};
use serde_json::{Value, json};

/// The states in the order of the rows.
fn rows(counts: &JobCounts) -> [(JobState, u64); 6] {
    [
        (JobState::Running, counts.running),
        (JobState::Waiting, counts.waiting),
        (JobState::Finished, counts.finished),
        (JobState::Failed, counts.failed),
        (JobState::Aborted, counts.aborted),
        (JobState::Canceled, counts.canceled),
    ]
}

/// The table.
pub fn table(counts: &JobCounts, palette: Palette) -> String {
    let mut table = Table::horizontal([Column::left("Status"), Column::right("Count")]);
    for (state, count) in rows(counts) {
        table.row([Cell::state(state.word()), count.to_string().into()]);
    }
    table.render(palette)
}

/// The object.
pub fn to_json(counts: &JobCounts) -> Value {
    let mut value = json!({
        "Aborted": counts.aborted,
        "Canceled": counts.canceled,
        "Failed": counts.failed,
        "Finished": counts.finished,
        "Running": counts.running,
        "Waiting": counts.waiting,
    });
    if let Some(map) = value.as_object_mut().filter(|_| counts.opened > 0) {
        map.insert("Opened".to_owned(), json!(counts.opened));
    }
    value
}

/// The lines for scripts: `<STATE> <n>`.
pub fn lines(counts: &JobCounts) -> String {
    rows(counts).iter().map(|(state, count)| format!("{} {count}\n", super::job::state_word(*state))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms() {
        let counts = JobCounts { running: 1, failed: 12, opened: 3, ..JobCounts::default() };
        let expected = "\
+----------+-------+
| Status   | Count |
+----------+-------+
| RUNNING  |     1 |
| WAITING  |     0 |
| FINISHED |     0 |
| FAILED   |    12 |
| ABORTED  |     0 |
| CANCELED |     0 |
+----------+-------+
";
        assert_eq!(table(&counts, Palette::OFF), expected);
        let value = to_json(&counts);
        assert_eq!((&value["Failed"], &value["Opened"]), (&json!(12), &json!(3)));
        assert_eq!(to_json(&JobCounts { opened: 0, ..counts }).get("Opened"), None);
        assert_eq!(lines(&counts), "RUNNING 1\nWAITING 0\nFINISHED 0\nFAILED 12\nABORTED 0\nCANCELED 0\n");
    }
}
