//! How often a task may lose its worker: `never-restart`, `unlimited`, or a number.
//!
//! Zero has no clear meaning (no crash, or no limit?), so users have to use a word.
//!
//! Holds: parsing the printed form gives the value back.

use super::Error;
use super::cursor::Cursor;
use hq_core::task::CrashLimit;

/// The largest number of losses that can be given.
const LOSSES_MAX: u32 = 65_535;

/// Reads `never-restart`, `unlimited`, or 1 to 65535.
///
/// # Errors
/// Zero, a larger number, or another word.
pub fn parse(text: &str) -> Result<CrashLimit, Error> {
    match text {
        "never-restart" => return Ok(CrashLimit::Never),
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
    if number > LOSSES_MAX {
        return Err(cursor.refused("Crash limit cannot be larger than 65535", all));
    }
    Ok(CrashLimit::Max(number))
}

/// Prints a limit in the form that [`parse`] reads.
pub fn print(limit: CrashLimit) -> String {
    match limit {
        CrashLimit::Never => "never-restart".to_owned(),
        CrashLimit::Max(losses) => losses.to_string(),
        CrashLimit::Unlimited => "unlimited".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_and_numbers() {
        for text in ["never-restart", "unlimited", "1", "5", "65535"] {
            assert_eq!(parse(text).map(print), Ok(text.to_owned()));
        }
        for bad in ["", "0", "65536", "-1", "+1", "1_0", "1 ", "Unlimited", "99999999999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("0").unwrap_err().to_string().contains("Crash limit cannot be 0. Use "));
    }
}
