//! Why a text is refused, with a picture that marks the place.
//!
//! A user who typed a long value sees which character is wrong, not only that something is.
//!
//! Holds: the picture is one line of printable characters and one line of marks, each at most [`PICTURE_COLUMNS`]
//! columns wide, whatever the input was.

use std::fmt;
use std::ops::Range;
use unicode_width::UnicodeWidthChar;

/// Columns of the longest picture.
pub const PICTURE_COLUMNS: usize = 72;
/// Columns shown before the marked place when the text is cut.
const LEAD_COLUMNS: usize = 30;

/// Why a text does not stand for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A character, or the end of the text, where something else has to stand.
    Unexpected {
        /// What could stand there.
        expected: String,
        /// Where.
        place: Place,
    },
    /// A well-formed part whose value is not allowed.
    Refused {
        /// The sentence for the user.
        reason: String,
        /// The part.
        place: Place,
    },
    /// A text that is neither a clock time nor a human time.
    Walltime(Box<Error>),
}

/// A part of a text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    text: String,
    bytes: Range<usize>,
}

impl Error {
    pub(super) fn unexpected(expected: impl Into<String>, text: &str, bytes: Range<usize>) -> Self {
        Self::Unexpected { expected: expected.into(), place: Place { text: text.to_owned(), bytes } }
    }

    pub(super) fn refused(reason: impl Into<String>, text: &str, bytes: Range<usize>) -> Self {
        Self::Refused { reason: reason.into(), place: Place { text: text.to_owned(), bytes } }
    }

    /// The same mistake in a text of which the one that was read is a part that begins at `start`.
    pub(super) fn within(self, whole: &str, start: usize) -> Self {
        let moved =
            |place: Place| Place { text: whole.to_owned(), bytes: place.bytes.start + start..place.bytes.end + start };
        match self {
            Self::Unexpected { expected, place } => Self::Unexpected { expected, place: moved(place) },
            Self::Refused { reason, place } => Self::Refused { reason, place: moved(place) },
            Self::Walltime(cause) => cause.within(whole, start),
        }
    }

    /// The part of the text that is wrong, as a range of bytes.
    pub fn bytes(&self) -> Range<usize> {
        self.place().bytes.clone()
    }

    /// The sentence without the picture, for a text that stands in a larger one.
    pub fn reason(&self) -> String {
        match self {
            Self::Unexpected { expected, place } if place.bytes.start >= place.text.len() => {
                format!("unexpected end of input, expected {expected}")
            }
            Self::Unexpected { expected, .. } => format!("unexpected token, expected {expected}"),
            Self::Refused { reason, .. } => reason.clone(),
            Self::Walltime(cause) => format!("Could not parse PBS walltime: {}", cause.reason()),
        }
    }

    fn place(&self) -> &Place {
        match self {
            Self::Unexpected { place, .. } | Self::Refused { place, .. } => place,
            Self::Walltime(cause) => cause.place(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.reason(), self.place())
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Place {
    /// A newline, the text, a newline, and marks under the part; nothing for an empty text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            return Ok(());
        }
        let (mut line, mut lead, mut marks) = (String::new(), 0, 0);
        let (mut used, mut skipped) = (0, self.lead_to_skip());
        for (at, c) in self.text.char_indices() {
            let (shown, width) = match c.width() {
                Some(width) if !c.is_control() => (c, width),
                _ => (char::REPLACEMENT_CHARACTER, 1),
            };
            if skipped >= width && skipped > 0 {
                skipped -= width;
                continue;
            }
            if used + width > PICTURE_COLUMNS {
                break;
            }
            used += width;
            line.push(shown);
            if at < self.bytes.start {
                lead += width;
            } else if at < self.bytes.end {
                marks += width;
            }
        }
        write!(f, "\n  {line}\n  {}{}", " ".repeat(lead), "^".repeat(marks.max(1)))
    }
}

impl Place {
    /// Columns to leave out at the beginning so that the marked place is in the picture.
    fn lead_to_skip(&self) -> usize {
        let columns = |text: &str| text.chars().map(|c| c.width().unwrap_or(1)).sum::<usize>();
        let before = columns(self.text.get(..self.bytes.start).unwrap_or(""));
        let all = columns(&self.text);
        if all <= PICTURE_COLUMNS { 0 } else { before.saturating_sub(LEAD_COLUMNS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn points_at_the_place() {
        let error = Error::unexpected("a number", "1,,2", 2..3);
        assert_eq!(error.to_string(), "unexpected token, expected a number\n  1,,2\n    ^");
        let error = Error::unexpected("a number", "1-", 2..2);
        assert_eq!(error.to_string(), "unexpected end of input, expected a number\n  1-\n    ^");
        let error = Error::refused("invalid range", "7,5-3", 2..5);
        assert_eq!(error.to_string(), "invalid range\n  7,5-3\n    ^^^");
        assert_eq!(Error::unexpected("x", "", 0..0).to_string(), "unexpected end of input, expected x");
    }

    #[test]
    fn shows_no_control_characters() {
        let text = Error::refused("no", "a\u{1b}[2Jb", 1..2).to_string();
        assert_eq!(text, "no\n  a\u{fffd}[2Jb\n   ^");
    }

    proptest! {
        #[test]
        fn pictures_stay_small(text in "\\PC{0,300}", start in 0usize..320, len in 0usize..320) {
            let shown = Error::refused("r", &text, start..start + len).to_string();
            for line in shown.lines().skip(1) {
                let width: usize = line.chars().filter_map(UnicodeWidthChar::width).sum();
                prop_assert!(width <= PICTURE_COLUMNS + 3);
            }
        }
    }
}
