//! How often a task may lose its worker: `never-restart`, `unlimited`, or a number.
//!
//! Zero has no clear meaning (no crash, or no limit?), so users have to use a word.
//!
//! Holds: parsing the printed form gives the value back.

use super::Error;
use super::cursor::Cursor;
use std::fmt;
use std::num::NonZeroU16;

/// The value of `--crash-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashLimit {
    /// `never-restart`: the task is not started a second time.
    NeverRestart,
    /// The task fails when its worker was lost this many times.
    AtMost(NonZeroU16),
    /// `unlimited`.
    Unlimited,
}

/// Reads `never-restart`, `unlimited`, or 1 to 65535.
///
/// # Errors
/// Zero, a larger number, or another word.
pub fn parse(text: &str) -> Result<CrashLimit, Error> {
    match text {
        "never-restart" => return Ok(CrashLimit::NeverRestart),
        "unlimited" => return Ok(CrashLimit::Unlimited),
        _ => {}
    }
    let mut cursor = Cursor::new(text);
    if !cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        return Err(cursor.unexpected("`never-restart`, `unlimited` or a number"));
    }
    cursor.take_while(|c| c.is_ascii_digit());
    cursor.end("a digit")?;
    let number = Cursor::new(text).uint()?;
    let all = 0..text.len();
    if number == 0 {
        let reason = "Crash limit cannot be 0. Use `never-restart` or `unlimited` instead";
        return Err(cursor.refused(reason, all));
    }
    let limit = u16::try_from(number).ok().and_then(NonZeroU16::new);
    limit.map(CrashLimit::AtMost).ok_or_else(|| cursor.refused("Crash limit cannot be larger than 65535", all))
}

impl fmt::Display for CrashLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRestart => f.write_str("never-restart"),
            Self::AtMost(limit) => limit.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_and_numbers() {
        for text in ["never-restart", "unlimited", "1", "5", "65535"] {
            assert_eq!(parse(text).map(|limit| limit.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "0", "65536", "-1", "+1", "1_0", "1 ", "Unlimited", "99999999999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("0").unwrap_err().to_string().contains("Crash limit cannot be 0. Use "));
    }
}
