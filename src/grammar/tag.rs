//! Tags of jobs: `KEY=VALUE`, by which jobs are found again.
//!
//! A key is a word, so that it can stand in filters without quotes; a value is any text on one line.
//!
//! Holds: a key is made of ASCII letters, digits and `_ - . / :`; printing `KEY=VALUE` and reading it gives the tag back.

use super::Error;
use super::cursor::Cursor;
use hq_core::limits::{TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX};

/// Reads `KEY=VALUE`; the value may be empty, and may contain anything but control characters.
///
/// # Errors
/// A key that is no word, no `=`, a control character, and what is too long.
pub fn parse(text: &str) -> Result<(String, String), Error> {
    let mut cursor = Cursor::new(text);
    let key = key(&mut cursor)?;
    cursor.expect('=')?;
    Ok((key, value(text, cursor.at())?))
}

/// Checks a key that stands alone.
///
/// # Errors
/// What is no word, and what is too long.
pub fn check_key(text: &str) -> Result<(), Error> {
    let mut cursor = Cursor::new(text);
    key(&mut cursor)?;
    cursor.end("a letter, a digit or one of `_-./:`")
}

/// Checks a value that stands alone.
///
/// # Errors
/// A control character, and what is too long.
pub fn check_value(text: &str) -> Result<(), Error> {
    value(text, 0).map(drop)
}

/// Reads the key at the cursor.
pub(super) fn key(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let start = cursor.at();
    let key = cursor.take_while(is_of_key);
    if key.is_empty() {
        return Err(cursor.unexpected("the key of a tag: letters, digits and `_-./:`"));
    }
    if key.len() > TAG_KEY_BYTES_MAX {
        let reason = format!("the key of a tag has at most {TAG_KEY_BYTES_MAX} characters");
        return Err(cursor.refused(reason, start..cursor.at()));
    }
    Ok(key.to_owned())
}

/// The value that stands from a position to the end.
fn value(text: &str, from: usize) -> Result<String, Error> {
    let value = text.get(from..).unwrap_or_default();
    if let Some((at, c)) = value.char_indices().find(|(_, c)| c.is_control()) {
        let place = from + at..from + at + c.len_utf8();
        return Err(Error::refused("the value of a tag cannot contain control characters", text, place));
    }
    if value.len() > TAG_VALUE_BYTES_MAX {
        let reason = format!("the value of a tag has at most {TAG_VALUE_BYTES_MAX} bytes");
        return Err(Error::refused(reason, text, from..text.len()));
    }
    Ok(value.to_owned())
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./:".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_points() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse("a=b"), pair("a", "b"));
        assert_eq!(parse("project/x.y:1_2-3=é = ,"), pair("project/x.y:1_2-3", "é = ,"));
        assert_eq!(parse("a="), pair("a", ""));
        for (text, place) in [("", 0..0), ("=b", 0..1), ("a", 1..1), ("a b=c", 1..2), ("é=1", 0..2), ("a=x\ny", 3..4)]
        {
            assert_eq!(parse(text).unwrap_err().bytes(), place, "{text}");
        }
        assert_eq!(parse(&format!("{}=", "k".repeat(65))).unwrap_err().bytes(), 0..65);
        assert_eq!(parse(&format!("k={}", "v".repeat(257))).unwrap_err().bytes(), 2..259);
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(key in "[A-Za-z0-9_./:-]{1,64}", value in "\\PC{0,60}") {
            prop_assert_eq!((check_key(&key), check_value(&value)), (Ok(()), Ok(())));
            prop_assert_eq!(parse(&format!("{key}={value}")), Ok((key, value)));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "\\PC{0,30}|[a=]{0,9}") {
            let read = parse(&text);
            prop_assert!(check_key(&text).is_err() || read.is_err());
        }
    }
}
