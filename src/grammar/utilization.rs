//! Shares of a whole such as 0.5, kept in 1/10000 like amounts.
//!
//! Holds: a parsed share is 0 to 10000 parts.

use super::Error;

/// Parts of the whole.
pub const PARTS_PER_WHOLE: u32 = 10_000;

/// Reads a decimal number from 0 to 1, rounded to four decimals; the result is in 1/10000.
///
/// # Errors
/// No number, or one out of range.
pub fn parse(text: &str) -> Result<u32, Error> {
    let all = 0..text.len();
    match text.parse::<f64>() {
        // The cast is exact: the value is a whole number from 0 to 10000.
        Ok(value) if (0.0..=1.0).contains(&value) => Ok((value * f64::from(PARTS_PER_WHOLE)).round() as u32),
        Ok(_) => Err(Error::refused("the utilization has to be between 0.0 and 1.0", text, all)),
        Err(_) => Err(Error::unexpected("a number from 0.0 to 1.0", text, all)),
    }
}

/// The parts as a number from 0 to 1.
pub fn number(parts: u32) -> f64 {
    f64::from(parts) / f64::from(PARTS_PER_WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (text, parts) in [("0", 0), ("0.51", 5_100), ("1.0", 10_000), ("1", 10_000), ("-0.0", 0), (".5", 5_000)] {
            assert_eq!(parse(text), Ok(parts), "{text}");
            assert!((number(parts) - text.parse::<f64>().unwrap()).abs() < 1e-9);
        }
        for text in ["1.1", "-0.1", "nan", "inf", "", "x", "50%"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
