//! Control characters shown as escapes: `\x1b`, `\n`, `\u{202e}`.
//!
//! Names, errors and arguments come from anywhere; raw, they could move the cursor, hide text or reverse it.
//!
//! Holds: the result of [`line()`] has no control character, no line separator and no character that changes the
//! direction of text; the result of [`text()`] has newlines besides.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes everything that could leave the line.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe)
}

/// Escapes as [`line()`] does, but keeps newlines.
pub fn text(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && is_unsafe(c))
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
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

    #[test]
    fn shows_escapes() {
        assert_eq!(line("a\u{1b}[2J\u{7}\r\n\tb"), "a\\x1b[2J\\x07\\r\\n\\tb");
        assert_eq!(line("x\u{202e}y\u{9b}z\u{2028}"), "x\\u{202e}y\\u{9b}z\\u{2028}");
        assert_eq!(text("a\nb\u{7f}"), "a\nb\\x7f");
        assert!(matches!(line("žluťoučký 👩‍🔬 日本"), Cow::Borrowed(_)));
    }
}
