//! `hq output-log DIR summary`: how much is stored.
//!
//! Holds: rows, order and keys are fixed; scripts read them.

use super::{Directory, broken};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::gauge::Pulse;
use crate::client::render::{OutputMode, size, table::Table};
use hq_journal::stream::Summary;
use serde_json::{Value, json};

/// Prints it, with the path as it was given.
///
/// # Errors
/// See [`Error`].
pub(super) fn print(path: &str, dir: &Directory, pulse: Pulse, console: &mut Console) -> Result<(), Error> {
    let sum = dir.streams.summary().map_err(broken)?;
    drop(pulse);
    match console.mode() {
        OutputMode::Cli => {
            let text = summary_table(path, &sum).render(console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&summary_json(path, &sum)),
        OutputMode::Quiet => Ok(()),
    }
}

fn summary_table(path: &str, sum: &Summary) -> Table {
    let sizes = |stdout, stderr| format!("{} / {}", size::bytes(stdout), size::bytes(stderr));
    let mut table = Table::vertical();
    table.line("Path", path);
    table.line("Files", sum.files.to_string());
    table.line("Jobs", sum.jobs.to_string());
    table.line("Tasks", sum.tasks.to_string());
    table.line("Opened streams", sum.opened.to_string());
    table.line("Stdout/stderr size", sizes(sum.stdout_bytes, sum.stderr_bytes));
    table.line("Superseded streams", sum.superseded.to_string());
    table.line("Superseded stdout/stderr size", sizes(sum.superseded_stdout_bytes, sum.superseded_stderr_bytes));
    table
}

fn summary_json(path: &str, sum: &Summary) -> Value {
    json!({
        "filename": path,
        "summary": {
            "n_files": sum.files,
            "n_jobs": sum.jobs,
            "n_tasks": sum.tasks,
            "n_streams": sum.streams,
            "n_opened": sum.opened,
            "n_superseded": sum.superseded,
            "stdout_size": sum.stdout_bytes,
            "stderr_size": sum.stderr_bytes,
            "superseded_stdout_size": sum.superseded_stdout_bytes,
            "superseded_stderr_size": sum.superseded_stderr_bytes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::render::color::Palette;

    #[test]
    fn a_summary() {
        let sum = Summary {
            files: 1,
            jobs: 1,
            tasks: 20,
            streams: 21,
            superseded: 1,
            stdout_bytes: 271,
            ..Summary::default()
        };
        let expected = "\
+-------------------------------+-------------+
| Path                          | logs        |
| Files                         | 1           |
| Jobs                          | 1           |
| Tasks                         | 20          |
| Opened streams                | 0           |
| Stdout/stderr size            | 271 B / 0 B |
| Superseded streams            | 1           |
| Superseded stdout/stderr size | 0 B / 0 B   |
+-------------------------------+-------------+
";
        assert_eq!(summary_table("logs", &sum).render(Palette::OFF), expected);
        let value = summary_json("logs", &sum);
        assert_eq!((&value["filename"], &value["summary"]["n_streams"]), (&json!("logs"), &json!(21)));
        assert_eq!(value["summary"].as_object().map(serde_json::Map::len), Some(10));
    }
}
