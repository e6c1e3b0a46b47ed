//! Cutting and wrapping long texts for tables.
//!
//! Limits are in bytes, as scripts know them, but cuts happen between characters.
//!
//! Holds: nothing here splits a character; a text within its limit is returned as it is.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Bytes of a job's name in a list.
pub const NAME_BYTES_MAX: usize = 50;
/// Bytes of an error in a list of tasks; an error this long is cut already.
pub const ERROR_BYTES_CUT: usize = 16;
/// Columns of a command's word before it is wrapped.
pub const WORD_COLUMNS_MAX: usize = 80;

/// A name for a list: over 50 bytes, the first 24 and the last 23 with `...` between.
pub fn name(text: &str) -> Cow<'_, str> {
    if text.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let end = boundary_from(text, text.len() - 23);
    Cow::Owned(format!("{}...{}", head(text, 24), text.get(end..).unwrap_or("")))
}

/// Cuts a text of `bytes` or more to its first `bytes` and `...`; says whether it did.
pub fn end(text: &str, bytes: usize) -> (Cow<'_, str>, bool) {
    if text.len() < bytes {
        return (Cow::Borrowed(text), false);
    }
    (Cow::Owned(format!("{}...", head(text, bytes))), true)
}

/// Breaks a text into lines of at most `columns`; a newline in it also breaks. Some characters are wider together than one by
/// one (a sign and the selector that makes a picture of it), others narrower; no line is too wide either way, unless a single
/// character is.
pub fn wrap(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut used, mut begin) = (0, 0);
    for c in text.chars() {
        let width = c.width().unwrap_or(1);
        let end = out.len();
        out.push(c);
        if c == '\n' {
            (used, begin) = (0, out.len());
        } else if used > 0 && (used + width > columns || out.get(begin..).is_some_and(|line| line.width() > columns)) {
            out.insert(end, '\n');
            (used, begin) = (width, end + 1);
        } else {
            used += width;
        }
    }
    out
}

fn head(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

fn boundary_from(text: &str, start: usize) -> usize {
    (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_longer_than_its_limit(text in "\\PC{0,60}|[aé日👩\u{301}\u{200d}]{0,60}", columns in 3_usize..9) {
            prop_assert!(name(&text).len() <= NAME_BYTES_MAX);
            let (cut, is_cut) = end(&text, ERROR_BYTES_CUT);
            prop_assert!(cut.len() <= ERROR_BYTES_CUT + 3 && is_cut == (text.len() >= ERROR_BYTES_CUT));
            prop_assert!(text.starts_with(cut.trim_end_matches("...")) || !is_cut);
            let wrapped = wrap(&text, columns);
            prop_assert_eq!(wrapped.replace('\n', ""), text.clone());
            let is_within = |line: &str| line.chars().map(|c| c.width().unwrap_or(1)).sum::<usize>() <= columns;
            prop_assert!(wrapped.lines().all(|line| is_within(line) && line.width() <= columns), "{:?}", wrapped);
        }
    }

    #[test]
    fn cuts_names_in_the_middle() {
        assert_eq!(name(&"x".repeat(50)), "x".repeat(50));
        let long = format!("{}{}{}", "a".repeat(24), "b".repeat(10), "c".repeat(23));
        assert_eq!(name(&long), format!("{}...{}", "a".repeat(24), "c".repeat(23)));
        let odd = "é".repeat(40);
        assert_eq!(name(&format!("x{odd}")), format!("x{}...{}", "é".repeat(11), "é".repeat(11)));
    }

    #[test]
    fn cuts_the_end() {
        assert_eq!(end("fifteen bytes !", 16), (Cow::Borrowed("fifteen bytes !"), false));
        assert_eq!(end("exactly sixteen!", 16), (Cow::Borrowed("exactly sixteen!..."), true));
        assert_eq!(end("xéééééééééééé", 16).0, "xééééééé...");
    }

    #[test]
    fn wraps() {
        assert_eq!(wrap("abcdef", 4), "abcd\nef");
        assert_eq!(wrap("abcd", 4), "abcd");
        assert_eq!(wrap("ab\ncdef", 3), "ab\ncde\nf");
        assert_eq!(wrap("日本語", 4), "日本\n語");
        assert_eq!(wrap("®\u{fe0f}a", 2), "®\u{fe0f}\na");
    }
}
