//! Moments as users write them: `2030-01-31`, `2030-01-31 08:00`, `2030-01-31T08:00:30Z`; always UTC, as tables show it.
//!
//! Holds: whatever is read lies between 1970 and 9999; printing a moment of whole seconds and reading it gives it back.

use super::Error;
use super::cursor::Cursor;
use chrono::{DateTime, NaiveDate, Utc};
use hq_core::time::Time;

/// Reads a date, optionally with a time of day behind a blank or a `T`.
///
/// # Errors
/// Another form, a day that does not exist, and one before 1970.
pub fn parse(text: &str) -> Result<Time, Error> {
    let mut cursor = Cursor::new(text);
    let year = digits(&mut cursor, 4)?;
    cursor.expect('-')?;
    let month = digits(&mut cursor, 2)?;
    cursor.expect('-')?;
    let day = digits(&mut cursor, 2)?;
    let (mut hour, mut minute, mut second) = (0, 0, 0);
    if !cursor.is_end() {
        if !cursor.eat('T') && !cursor.eat(' ') {
            return Err(cursor.unexpected("a blank and the time of day, or the end"));
        }
        hour = digits(&mut cursor, 2)?;
        cursor.expect(':')?;
        minute = digits(&mut cursor, 2)?;
        if cursor.eat(':') {
            second = digits(&mut cursor, 2)?;
        }
        cursor.eat('Z');
        cursor.end("the end")?;
    }
    let date = i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
    let moment = date.and_then(|date| date.and_hms_opt(hour, minute, second));
    let micros = moment.and_then(|moment| u64::try_from(moment.and_utc().timestamp_micros()).ok());
    micros.map(Time).ok_or_else(|| Error::refused("there is no such moment since 1970", text, 0..text.len()))
}

/// Prints a moment, cut to seconds.
pub fn print(time: Time) -> String {
    let moment = i64::try_from(time.0).ok().and_then(DateTime::<Utc>::from_timestamp_micros).unwrap_or_default();
    moment.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A number of exactly so many digits.
fn digits(cursor: &mut Cursor<'_>, count: usize) -> Result<u32, Error> {
    let start = cursor.at();
    let text = cursor.take_while(|c| c.is_ascii_digit());
    match text.parse() {
        Ok(number) if text.len() == count => Ok(number),
        _ if text.is_empty() => Err(cursor.unexpected(format!("{count} digits"))),
        _ => Err(Error::unexpected(format!("{count} digits"), cursor.text(), start..cursor.at())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_points() {
        let seconds = |text: &str| parse(text).map(|time| time.0 / 1_000_000);
        assert_eq!(seconds("1970-01-01"), Ok(0));
        assert_eq!(seconds("2000-02-29 12:34"), Ok(951_827_640));
        assert_eq!(seconds("2000-02-29T12:34:56Z"), Ok(951_827_696));
        for (text, place) in [
            ("", 0..0),
            ("2000", 4..4),
            ("20-01-01", 0..2),
            ("2000-1-01", 5..6),
            ("2000-01-01x", 10..11),
            ("2000-01-01 9:00", 11..12),
            ("2000-01-01 09:00Zx", 17..18),
            ("2001-02-29", 0..10),
            ("2000-01-01 24:00", 0..16),
            ("1969-12-31", 0..10),
        ] {
            assert_eq!(parse(text).unwrap_err().bytes(), place, "{text}");
        }
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(seconds in 0u64..250_000_000_000) {
            let time = Time(seconds * 1_000_000);
            prop_assert_eq!(parse(&print(time)), Ok(time));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "\\PC{0,20}|[0-9: TZ-]{0,20}") {
            let _ = parse(&text);
        }
    }
}
