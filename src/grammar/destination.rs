//! Where a task's output goes: the values of `--stdout` and `--stderr`.
//!
//! The value carries two things, a path and what to do with the file afterwards, so it has a form of its own.
//!
//! Holds: a path never contains `:` and is never empty; parsing the printed form gives the value back.

use super::Error;
use super::cursor::{Cursor, is_blank};
use std::fmt;

const RM_IF_FINISHED: &str = "rm-if-finished";

/// What `--stdout` or `--stderr` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `none`: the output is discarded.
    Discard,
    /// A file.
    File {
        /// Its path, with placeholders; `None` stands for the default path.
        path: Option<String>,
        /// Whether the file is deleted once the task has finished successfully.
        rm_if_finished: bool,
    },
}

/// Reads `none` or `[path][:rm-if-finished]`, at least one of both.
///
/// # Errors
/// An empty value, or anything else after a `:`.
pub fn parse(text: &str) -> Result<Destination, Error> {
    if text == "none" {
        return Ok(Destination::Discard);
    }
    let mut cursor = Cursor::new(text);
    let path = cursor.take_while(|c| c != ':').trim_matches(is_blank);
    let path = (!path.is_empty()).then(|| path.to_owned());
    if cursor.is_end() && path.is_some() {
        return Ok(Destination::File { path, rm_if_finished: false });
    }
    if !cursor.eat(':') {
        return Err(cursor.unexpected("`none`, a path or `:rm-if-finished`"));
    }
    if !cursor.eat_word(RM_IF_FINISHED) {
        return Err(cursor.unexpected("`rm-if-finished` after `:`"));
    }
    cursor.end("the end after `:rm-if-finished`")?;
    Ok(Destination::File { path, rm_if_finished: true })
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("none"),
            Self::File { path, rm_if_finished } => {
                let path = path.as_deref().unwrap_or("");
                let blank = if path == "none" && !rm_if_finished { " " } else { "" };
                write!(f, "{path}{blank}{}", if *rm_if_finished { ":rm-if-finished" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str, rm_if_finished: bool) -> Destination {
        Destination::File { path: (!path.is_empty()).then(|| path.to_owned()), rm_if_finished }
    }

    #[test]
    fn reads_destinations() {
        for (text, expected) in [
            ("none", Destination::Discard),
            ("none ", file("none", false)),
            ("none:rm-if-finished", file("none", true)),
            ("out-%{TASK_ID}.txt", file("out-%{TASK_ID}.txt", false)),
            (" a b ", file("a b", false)),
            ("a :rm-if-finished", file("a", true)),
            (":rm-if-finished", file("", true)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for bad in ["", " ", ":", "a:", "a:b", "a:rm-if-finished:", "a:rm-if-finished ", "a:RM-IF-FINISHED", "a: "] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("a:b").unwrap_err().bytes(), 2..3);
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(path in "none|[^:\\s][^:\n\r]{0,6}[^:\\s]", remove in any::<bool>()) {
            let destination = file(&path, remove);
            prop_assert_eq!(parse(&destination.to_string()), Ok(destination));
        }
    }
}
