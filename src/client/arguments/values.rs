//! Bridges from the parsers of `grammar` to the command line, and the few values that only it knows.
//!
//! Each option names one of these, so that a refusal is a usage error (exit code 2) with the parser's own sentence.
//!
//! Holds: nothing here interprets a text itself where `grammar` has a parser for it.

use std::fmt;

/// Why a value of the command line is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nothing was given where something has to be.
    Empty,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the value cannot be empty"),
        }
    }
}

impl std::error::Error for Refused {}

/// A text of the command line that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonEmpty(pub String);

/// Reads a text that is not empty.
///
/// # Errors
/// [`Refused::Empty`].
pub fn non_empty(text: &str) -> Result<NonEmpty, Refused> {
    if text.is_empty() { Err(Refused::Empty) } else { Ok(NonEmpty(text.to_owned())) }
}
