//! Control characters shown as escapes: `\x1b`, `\n`, `\u{202e}`.
//!
//! Names, errors and arguments come from anywhere; raw, they could move the cursor, hide text or reverse it.
//!
//! Holds: the result of [`line()`] has no control character, no line separator, no character that changes the direction of
//! text and none that is not to be seen, but those that join letters; the result of [`text()`] has newlines besides.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

/// Characters that are no control characters and still change how others look: hyphens that terminals show or hide, marks
/// of direction, separators of lines, invisible blanks and operators, annotations, tags. The joiners U+200C and U+200D stay,
/// without which some scripts cannot be written.
const UNSAFE: [(char, char); 11] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200b}'),
    ('\u{200e}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e007f}'),
];

/// Escapes everything that could leave the line.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe)
}

/// Escapes as [`line()`] does, but keeps newlines.
pub fn text(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && is_unsafe(c))
}

/// Escapes as [`text()`] does, but keeps tabs: for what programs print, on a terminal.
pub fn output(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && c != '\t' && is_unsafe(c))
}

/// A path for a message: on one line, whatever it contains.
pub fn path(path: &Path) -> String {
    line(&path.to_string_lossy()).into_owned()
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || c >= '\u{ad}' && UNSAFE.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

fn escape(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // Writing to a string cannot fail.
        let _ = match c {
            c if !hides(c) => write!(shown, "{c}"),
            '\n' => write!(shown, "\\n"),
            '\r' => write!(shown, "\\r"),
            '\t' => write!(shown, "\\t"),
            c if c.is_ascii() => write!(shown, "\\x{:02x}", u32::from(c)),
            c => write!(shown, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_line_stays_one_line(given in "\\PC{0,9}|[\u{0}-\u{a0}\u{ad}\u{2000}-\u{2070}a]{0,9}") {
            let shown = line(&given);
            let is_bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}' | '\u{200b}');
            prop_assert!(!shown.contains(is_bad), "{shown:?}");
            prop_assert_eq!(&line(&shown), &shown);
            let lines = text(&given);
            prop_assert!(lines.lines().all(|one| line(one) == one), "{lines:?}");
        }
    }

    #[test]
    fn shows_escapes() {
        assert_eq!(line("a\u{1b}[2J\u{7}\r\n\tb"), "a\\x1b[2J\\x07\\r\\n\\tb");
        assert_eq!(line("x\u{202e}y\u{9b}z\u{2028}"), "x\\u{202e}y\\u{9b}z\\u{2028}");
        assert_eq!(line("in\u{200b}visible\u{ad}\u{e0041}"), "in\\u{200b}visible\\u{ad}\\u{e0041}");
        assert_eq!(text("a\nb\u{7f}"), "a\nb\\x7f");
        assert_eq!(output("a\tb\r\n"), "a\tb\\r\n");
        assert_eq!(path(Path::new("a\nb")), "a\\nb");
        assert!(matches!(line("žluťoučký 👩‍🔬 日本 שלום می\u{200c}خواهم"), Cow::Borrowed(_)));
    }
}
