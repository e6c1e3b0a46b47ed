//! Spans of time as users write them: clock time (`HH:MM:SS`) and human time (`1h 30m`), and how they are printed.
//!
//! One reader for every option, job file and configuration; batch systems print clock times, people write the other.
//!
//! Holds: a parsed span fits `core::time::Span`, at most 2^64-1 microseconds; `parse_human(&full(d)) == d` for
//! every such span, down to the nanosecond. A month is 30.44 days and a year 365.25 days.

use super::Error;
use super::cursor::{Cursor, is_blank};
use std::time::Duration;

const SECOND: u128 = 1_000_000_000;
const DAY: u128 = 86_400 * SECOND;
const MONTH: u128 = 2_630_016 * SECOND;
const YEAR: u128 = 31_557_600 * SECOND;
/// Nanoseconds of the longest span.
const SPAN_NS_MAX: u128 = u64::MAX as u128 * 1_000 + 999;
/// Digits after the point that are read; more cannot matter for a span of whole nanoseconds.
const DECIMALS_MAX: usize = 18;

/// Units and their nanoseconds.
const UNITS: &[(&[&str], u128)] = &[
    (&["ns", "nsec", "nanos"], 1),
    (&["us", "usec", "µs", "μs"], 1_000),
    (&["ms", "msec", "millis"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], SECOND),
    (&["m", "min", "mins", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600 * SECOND),
    (&["d", "day", "days"], DAY),
    (&["w", "wk", "wks", "week", "weeks"], 7 * DAY),
    (&["M", "month", "months"], MONTH),
    (&["y", "yr", "yrs", "year", "years"], YEAR),
];

/// Reads human time: `<number><unit>` repeated, blanks optional, decimals allowed; or the single word `0`.
///
/// # Errors
/// A number without unit, an unknown unit, or a span longer than 584,542 years.
pub fn parse_human(text: &str) -> Result<Duration, Error> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut cursor = Cursor::new(text);
    let mut total: u128 = 0;
    cursor.blanks();
    loop {
        let start = cursor.at();
        let (whole, decimals) = number(&mut cursor)?;
        cursor.blanks();
        let unit = unit(&mut cursor)?;
        let scale = 10u128.pow(u32::try_from(decimals.len()).unwrap_or(0));
        let part = decimals.parse::<u128>().unwrap_or(0) * unit / scale;
        let sum = whole.checked_mul(unit).and_then(|ns| total.checked_add(ns)).and_then(|ns| ns.checked_add(part));
        total = match sum {
            Some(sum) if sum <= SPAN_NS_MAX => sum,
            _ => return Err(cursor.refused("the time is longer than 584,542 years", start..cursor.at())),
        };
        cursor.blanks();
        if cursor.is_end() {
            return Ok(from_ns(total));
        }
    }
}

/// Reads clock time: `SS`, `MM:SS` or `HH:MM:SS`; the parts are numbers up to 4294967295.
///
/// # Errors
/// Anything else.
pub fn parse_clock(text: &str) -> Result<Duration, Error> {
    let mut cursor = Cursor::new(text);
    let mut seconds: u64 = 0;
    for part in 0.. {
        seconds = seconds * 60 + u64::from(cursor.uint()?);
        if cursor.is_end() {
            break;
        }
        if part == 2 || !cursor.eat(':') {
            let expected = if part == 2 { "the end" } else { "`:` or the end" };
            return Err(cursor.unexpected(expected));
        }
    }
    Ok(Duration::from_secs(seconds))
}

/// Reads clock time or human time.
///
/// # Errors
/// [`Error::Walltime`] with the reason of the form that the text looks like.
pub fn parse_clock_or_human(text: &str) -> Result<Duration, Error> {
    let is_clock = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '_' || c == ':');
    let parsed = if is_clock { parse_clock(text) } else { parse_human(text) };
    parsed.map_err(|cause| Error::Walltime(Box::new(cause)))
}

/// The whole number and the digits after the point.
fn number<'a>(cursor: &mut Cursor<'a>) -> Result<(u128, &'a str), Error> {
    let start = cursor.at();
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    if digits.is_empty() {
        return Err(cursor.unexpected("a number"));
    }
    let Ok(whole) = digits.parse() else {
        return Err(cursor.refused("the number is too large", start..cursor.at()));
    };
    if !cursor.eat('.') {
        return Ok((whole, ""));
    }
    let start = cursor.at();
    let decimals = cursor.take_while(|c| c.is_ascii_digit());
    if decimals.is_empty() {
        return Err(cursor.unexpected("a digit after the point"));
    }
    if decimals.len() > DECIMALS_MAX {
        return Err(cursor.refused("at most 18 decimals are allowed", start..cursor.at()));
    }
    Ok((whole, decimals))
}

/// Nanoseconds of the unit that stands at the cursor.
fn unit(cursor: &mut Cursor<'_>) -> Result<u128, Error> {
    let start = cursor.at();
    let word = cursor.take_while(|c| !c.is_ascii_digit() && !is_blank(c));
    let found = UNITS.iter().find(|(names, _)| names.contains(&word)).map(|(_, ns)| *ns);
    let expected = "a unit: ns, us, ms, s, m, h, d, w, M or y";
    found.ok_or_else(|| Error::unexpected(expected, cursor.text(), start..cursor.at()))
}

fn from_ns(ns: u128) -> Duration {
    let seconds = u64::try_from(ns / SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(ns % SECOND).unwrap_or(0))
}

/// Prints all units that are not zero, as limits are shown: `1m 10s`, `500ms`, `1year 2months`.
pub fn full(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut parts = Vec::new();
    for (name, ns, counted) in [
        ("year", YEAR, true),
        ("month", MONTH, true),
        ("day", DAY, true),
        ("h", 3_600 * SECOND, false),
        ("m", 60 * SECOND, false),
        ("s", SECOND, false),
        ("ms", 1_000_000, false),
        ("us", 1_000, false),
        ("ns", 1, false),
    ] {
        let count = rest / ns;
        rest %= ns;
        if count > 0 {
            parts.push(format!("{count}{name}{}", if counted && count > 1 { "s" } else { "" }));
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Prints a measured time: cut to minutes from an hour on, to seconds from a minute on, else to milliseconds.
pub fn makespan(duration: Duration) -> String {
    let seconds = duration.as_secs();
    full(match seconds {
        3_600.. => Duration::from_secs(seconds / 60 * 60),
        60.. => Duration::from_secs(seconds),
        _ => Duration::from_millis(seconds * 1_000 + u64::from(duration.subsec_millis())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn reads_human_time() {
        for (text, expected) in [
            ("0", secs(0)),
            ("0s", secs(0)),
            ("1h 30m", secs(5_400)),
            ("1.5h", secs(5_400)),
            ("2h5m10s", secs(7_510)),
            ("500ms", Duration::from_millis(500)),
            ("1 day", secs(86_400)),
            (" 3 min ", secs(180)),
            ("1M", secs(2_630_016)),
            ("1m", secs(60)),
            ("1yr 2wks", secs(31_557_600 + 1_209_600)),
            ("7µs 3nanos", Duration::from_nanos(7_003)),
            ("0.1s", Duration::from_millis(100)),
        ] {
            assert_eq!(parse_human(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_and_points() {
        for (text, place) in [
            ("", 0..0),
            ("5", 1..1),
            ("1h 5", 4..4),
            ("5x", 1..2),
            ("1H", 1..2),
            (".5h", 0..1),
            ("1.h", 2..3),
            ("-1s", 0..1),
            ("h", 0..1),
            ("600000y", 0..7),
            ("99999999999999999999999999999999999999999y", 0..41),
            ("1.0000000000000000001s", 2..21),
        ] {
            assert_eq!(parse_human(text).unwrap_err().bytes(), place, "{text}");
        }
    }

    #[test]
    fn reads_clock_time() {
        for (text, expected) in
            [("5", 5), ("90", 90), ("80:02", 4_802), ("01:00:00", 3_600), ("1:90:61", 9_061), ("1_0", 10)]
        {
            assert_eq!(parse_clock_or_human(text), Ok(secs(expected)), "{text}");
        }
        assert_eq!(parse_clock_or_human("1h"), Ok(secs(3_600)));
        assert_eq!(parse_clock_or_human("0"), Ok(secs(0)));
        for text in ["1:2:3:4", "1:", ":1", "", "abc", "4294967296", "1h 5", "1:2h"] {
            let message = parse_clock_or_human(text).unwrap_err().to_string();
            assert!(message.contains("Could not parse PBS walltime"), "{text}: {message}");
        }
        let most = parse_clock("4294967295:4294967295:4294967295").unwrap();
        assert!(most.as_micros() <= u128::from(u64::MAX));
    }

    #[test]
    fn prints_both_styles() {
        for (duration, expected) in [
            (secs(11_100), "3h 5m"),
            (secs(11_159), "3h 5m"),
            (Duration::from_millis(123_900), "2m 3s"),
            (Duration::from_millis(1_500), "1s 500ms"),
            (Duration::from_micros(40_900), "40ms"),
            (Duration::from_micros(900), "0s"),
            (secs(2 * 86_400 + 4 * 3_600), "2days 4h"),
        ] {
            assert_eq!(makespan(duration), expected);
        }
        assert_eq!(full(secs(70)), "1m 10s");
        assert_eq!(full(Duration::from_millis(500)), "500ms");
        assert_eq!(full(secs(4_215)), "1h 10m 15s");
        assert_eq!(full(secs(31_557_600 + 2 * 2_630_016 + 86_400)), "1year 2months 1day");
        assert_eq!(full(Duration::from_nanos(1_002)), "1us 2ns");
        assert_eq!(full(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(micros in any::<u64>(), shift in 0u32..64, nanos in 0u64..1_000) {
            let duration = Duration::from_micros(micros >> shift) + Duration::from_nanos(nanos);
            prop_assert_eq!(parse_human(&full(duration)), Ok(duration));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "[0-9.:_ smhdMy]{0,12}|\\PC{0,12}") {
            let _ = parse_clock_or_human(&text);
        }

        #[test]
        fn clock_time_is_its_sum(h in any::<u32>(), m in any::<u32>(), s in any::<u32>()) {
            let expected = secs(u64::from(h) * 3_600 + u64::from(m) * 60 + u64::from(s));
            prop_assert_eq!(parse_clock(&format!("{h}:{m:02}:{s:02}")), Ok(expected));
        }
    }
}
