//! Scheduler weights of requests: a positive number with four decimals.
//!
//! Weights are kept in 1/10000 like amounts, so that comparing and summing them is exact.
//!
//! Holds: a parsed weight is 1 to 4294967295 parts; parsing the printed form gives the value back.

use super::Error;

/// Parts of the weight 1.0.
pub const PARTS_PER_UNIT: u32 = 10_000;

/// Reads a decimal number above zero, rounded to four decimals; the result is in 1/10000.
///
/// # Errors
/// No number, zero or less, or more than 429496.7295.
pub fn parse(text: &str) -> Result<u32, Error> {
    let all = 0..text.len();
    let Ok(value) = text.parse::<f64>() else {
        return Err(Error::unexpected("a number above zero such as 2.5", text, all));
    };
    from_number(value).map_err(|reason| Error::refused(reason, text, all))
}

/// The parts of a weight that was given as a number, as job files do.
///
/// # Errors
/// The reason: not positive, or too large.
pub fn from_number(value: f64) -> Result<u32, &'static str> {
    let parts = (value * f64::from(PARTS_PER_UNIT)).round();
    if parts > f64::from(u32::MAX) {
        return Err("Resource weight is larger than 429496.7295");
    }
    // The comparison is false for NaN; the cast is exact, since `parts` is a whole number in range.
    if parts >= 1.0 { Ok(parts as u32) } else { Err("Resource weight has to be positive number") }
}

/// Prints parts as a number without trailing zeros: `2.5`, `1`.
pub fn print(parts: u32) -> String {
    hq_core::resource::Amount(u64::from(parts)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_weights() {
        assert_eq!(parse("1"), Ok(10_000));
        assert_eq!(parse("2.5"), Ok(25_000));
        assert_eq!(parse("0.00012"), Ok(1));
        for bad in ["0", "-1", "0.00001", "nan", "-inf"] {
            let message = parse(bad).unwrap_err().to_string();
            assert!(message.contains("Resource weight has to be positive number"), "{bad}: {message}");
        }
        for bad in ["", "x", "1 ", "inf", "1e9"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(parts in 1u32..) {
            prop_assert_eq!(parse(&print(parts)), Ok(parts));
        }
    }
}
