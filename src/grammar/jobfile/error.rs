//! Why a job file is refused: the line, the column, the key, and a picture of the place.
//!
//! Job files have thousands of lines, so a reason without a place would help nobody.
//!
//! Holds: lines and columns count from 1; columns are characters.

use crate::grammar;
use std::fmt;
use std::ops::Range;

/// What is wrong with a job file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// The key, as in `task[2].request[0].weight`, counted from 0; empty when the text is no TOML.
    pub key: String,
    /// The reason.
    pub cause: grammar::Error,
}

/// A reason with its place in bytes, before the line is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The part of the text.
    pub(super) bytes: Range<usize>,
    /// See [`Error::key`].
    pub(super) key: String,
    /// The sentence for the user.
    pub(super) reason: String,
}

impl Mistake {
    /// The same in a text that begins `by` bytes earlier.
    pub(super) fn shifted(self, by: usize) -> Self {
        Self { bytes: self.bytes.start + by..self.bytes.end + by, ..self }
    }

    /// Finds the line in `text`.
    pub(super) fn locate(self, text: &str) -> Error {
        let start = floor(text, self.bytes.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let end = floor(text, self.bytes.end).clamp(start, line_start + line.len().max(start - line_start));
        let cause = grammar::Error::refused(self.reason, line, start - line_start..end - line_start);
        Error { line: before.matches('\n').count() + 1, column, key: self.key, cause }
    }
}

/// The last boundary of characters up to `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, ", `{}`", self.key)?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn located(text: &str, bytes: Range<usize>) -> Error {
        Mistake { bytes, key: "task[0].id".to_owned(), reason: "no".to_owned() }.locate(text)
    }

    #[test]
    fn points_into_the_line() {
        let text = "a = 1\né = [2,\n3]\n";
        assert_eq!(located(text, 11..15).to_string(), "line 2, column 5, `task[0].id`: no\n  é = [2,\n      ^^^");
        assert_eq!(located("", 0..0).to_string(), "line 1, column 1, `task[0].id`: no");
        assert_eq!(located("a\n", 2..2).line, 2);
        assert_eq!(located("a\r\nb", 1..2).column, 2);
    }

    proptest! {
        #[test]
        fn any_place_of_any_text_is_shown(text in "[a\\né]{0,20}", start in 0usize..30, len in 0usize..30) {
            let error = located(&text, start..start + len);
            prop_assert!(error.line <= text.lines().count() + 1);
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
