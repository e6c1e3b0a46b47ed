//! Where a task's output goes: the values of `--stdout` and `--stderr`.
//!
//! The value carries two things, a path and what to do with the file afterwards, so it has a form of its own.
//!
//! Holds: a path never contains `:`; an empty path stands for the default one and comes only with
//! `:rm-if-finished`. Parsing the printed form gives the value back.

use super::Error;
use super::cursor::{Cursor, is_blank};
use hq_core::task::{Destination, DestinationKind};

const RM_IF_FINISHED: &str = "rm-if-finished";

/// Reads `none` or `[path][:rm-if-finished]`, at least one of both.
///
/// # Errors
/// An empty value, or anything else after a `:`.
pub fn parse(text: &str) -> Result<Destination, Error> {
    if text == "none" {
        return Ok(Destination { kind: DestinationKind::Discard, ..Destination::default() });
    }
    let mut cursor = Cursor::new(text);
    let path = cursor.take_while(|c| c != ':').trim_matches(is_blank);
    if cursor.is_end() && !path.is_empty() {
        return Ok(file(path, false));
    }
    if !cursor.eat(':') {
        return Err(cursor.unexpected("`none`, a path or `:rm-if-finished`"));
    }
    if !cursor.eat_word(RM_IF_FINISHED) {
        return Err(cursor.unexpected("`rm-if-finished` after `:`"));
    }
    cursor.end("the end after `:rm-if-finished`")?;
    Ok(file(path, true))
}

fn file(path: &str, remove_if_finished: bool) -> Destination {
    Destination { kind: DestinationKind::File, path: path.to_owned(), remove_if_finished }
}

/// Prints a destination in the form that [`parse`] reads; a stream, which has no such form, as `<Stream>`.
pub fn print(destination: &Destination) -> String {
    match destination.kind {
        DestinationKind::Discard => "none".to_owned(),
        DestinationKind::Stream => "<Stream>".to_owned(),
        DestinationKind::File if destination.remove_if_finished => format!("{}:{RM_IF_FINISHED}", destination.path),
        // Only with the blank is it the path of a file.
        DestinationKind::File if destination.path == "none" => "none ".to_owned(),
        DestinationKind::File => destination.path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_destinations() {
        for (text, expected) in [
            ("none", Destination { kind: DestinationKind::Discard, ..Destination::default() }),
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
            prop_assert_eq!(parse(&print(&destination)), Ok(destination));
        }
    }
}
