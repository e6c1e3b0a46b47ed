//! `--journal-keep`: for how long a journal keeps details of completed jobs: `30d`, `10GB`, both, or `all`.
//!
//! A time is one of `duration`, a size has a unit that ends in `B`, so that the two cannot be taken for each other.
//!
//! Holds: a size is at least that at which a journal can work at all.

use super::{Error, duration};
use hq_core::limits;
use hq_core::retention::Keep;
use hq_core::time::Span;

/// Units and their bytes.
const UNITS: &[(&str, u64)] = &[
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("B", 1),
];

/// Reads one or two limits with a comma in between, or the word `all`.
///
/// # Errors
/// Anything else, a limit that is named twice, a size that is too small.
pub fn parse(text: &str) -> Result<Keep, Error> {
    if text == "all" {
        return Ok(Keep::default());
    }
    let mut keep = Keep::default();
    let mut start = 0;
    for part in text.split(',') {
        let end = start + part.len();
        let twice = || Error::refused("this limit is given twice", text, start..end);
        match size(part).map_err(|error| error.within(text, start))? {
            Some(bytes) => {
                if keep.bytes.replace(bytes).is_some() {
                    return Err(twice());
                }
            }
            None => {
                let span = duration::parse_human(part).map_err(|error| error.within(text, start))?;
                let span = Span(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
                if keep.span.replace(span).is_some() {
                    return Err(twice());
                }
            }
        }
        start = end + 1;
    }
    Ok(keep)
}

/// The bytes of a size; none when the text has no unit of one.
fn size(text: &str) -> Result<Option<u64>, Error> {
    let Some((number, unit)) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))) else {
        return Ok(None);
    };
    let digits = number.trim();
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !(decimals.is_empty() || is_number(decimals)) || digits.ends_with('.') {
        return Err(Error::unexpected("a number before the unit", text, 0..number.len()));
    }
    let too_large = || Error::refused("this is more than any disk has", text, 0..text.len());
    let bytes = whole.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(too_large)?;
    // Three places are enough: a thousandth of the unit.
    let thousandths: u64 = format!("{decimals:0<3}").chars().take(3).collect::<String>().parse().unwrap_or(0);
    let bytes = bytes.checked_add(unit * thousandths / 1_000).ok_or_else(too_large)?;
    if bytes < limits::JOURNAL_KEEP_BYTES_MIN {
        let min = limits::JOURNAL_KEEP_BYTES_MIN / 1_000_000;
        return Err(Error::refused(format!("a journal needs at least {min} MB"), text, 0..text.len()));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_sizes_and_both() {
        let day = 86_400_000_000;
        for (text, bytes, span) in [
            ("all", None, None),
            ("30d", None, Some(30 * day)),
            ("10GB", Some(10_000_000_000), None),
            ("1.5 GiB", Some((1 << 30) + (1 << 29)), None),
            ("2TB,1w", Some(2_000_000_000_000), Some(7 * day)),
            ("1h 30m,64MiB", Some(64 << 20), Some(5_400_000_000)),
            ("5000000B", Some(5_000_000), None),
        ] {
            let keep = parse(text).unwrap();
            assert_eq!((keep.bytes, keep.span.map(|span| span.0)), (bytes, span), "{text}");
        }
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (text, place) in [
            ("", 0..0),
            ("10", 2..2),
            ("GB", 0..0),
            ("xGB", 0..1),
            ("1.GB", 0..2),
            ("1KB", 0..3),
            ("30d,10GB,20GB", 9..13),
            ("30d,5d", 4..6),
            ("30d,x", 4..5),
            ("99999999999999TB", 0..16),
        ] {
            assert_eq!(parse(text).unwrap_err().bytes(), place, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_or_refused(text in ".{0,30}") {
            let _either = parse(&text);
        }
    }
}
