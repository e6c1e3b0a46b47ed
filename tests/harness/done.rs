//! What a command of a test printed, and what is asked of it.
//!
//! Holds: a failing assertion shows everything that the command printed.

use serde_json::Value;

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Done {
    /// The words after `hq`.
    pub line: String,
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Done {
    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Fails the test unless the standard error contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` is not in the standard error of {self}");
        self
    }

    /// Fails the test unless the standard output contains `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "`{text}` is not in the standard output of {self}");
        self
    }

    /// The standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error} in {self}"))
    }

    /// The cell right of `label` in a vertical table, the first one of its kind.
    #[track_caller]
    pub fn cell(&self, label: &str) -> String {
        let rows = self.stdout.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let mut values = rows.filter(|row| row.len() == 4 && row[1] == label).map(|row| row[2].to_owned());
        values.next().unwrap_or_else(|| panic!("no row `{label}` in {self}"))
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`hq {}` (exit code {:?})\n--- stdout\n{}\n--- stderr\n{}",
            self.line, self.code, self.stdout, self.stderr
        )
    }
}
