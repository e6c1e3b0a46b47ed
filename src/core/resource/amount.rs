//! Amounts of a resource: fixed-point numbers with four decimals.
//!
//! The unit is 1/10000, as in every JSON answer; sums are exact, unlike those of floats.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in units of 1/10000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountError {
    /// Not a number of the form `digits[.digits]`.
    Malformed,
    /// More than four decimals.
    Precision,
    /// Larger than 4294967295 units.
    TooLarge,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "expected a number such as 2 or 0.5",
            Self::Precision => "Resource precision exceeded: at most 4 decimals are allowed",
            Self::TooLarge => "the amount is larger than 4294967295",
        })
    }
}

impl Amount {
    /// How many parts one unit has.
    pub const UNIT: u64 = 10_000;
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// Whole units.
    pub const fn units(units: u32) -> Self {
        Self(units as u64 * Self::UNIT)
    }

    /// The whole units of the amount, rounded down.
    pub const fn whole(self) -> u64 {
        self.0 / Self::UNIT
    }

    /// What remains beyond the whole units, in 1/10000.
    pub const fn fraction(self) -> u64 {
        self.0 % Self::UNIT
    }

    /// Reads `uint [ "." digits ]`; underscores after the first digit of the integer part are ignored.
    ///
    /// # Errors
    /// See [`AmountError`].
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        if !whole.starts_with(|c: char| c.is_ascii_digit()) || !whole.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
            return Err(AmountError::Malformed);
        }
        let digits: String = whole.chars().filter(|c| *c != '_').collect();
        let units: u32 = digits.parse().map_err(|_| AmountError::TooLarge)?;
        let mut value = Self::units(units).0;
        if let Some(fraction) = fraction {
            if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return Err(AmountError::Malformed);
            }
            if fraction.len() > 4 {
                return Err(AmountError::Precision);
            }
            let parts: u64 = format!("{fraction:0<4}").parse().map_err(|_| AmountError::Malformed)?;
            value += parts;
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fraction() == 0 {
            write!(f, "{}", self.whole())
        } else {
            let decimals = format!("{:04}", self.fraction());
            write!(f, "{}.{}", self.whole(), decimals.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_refuses() {
        assert_eq!(Amount::parse("2"), Ok(Amount(20_000)));
        assert_eq!(Amount::parse("1_000.5"), Ok(Amount(10_005_000)));
        assert_eq!(Amount::parse("0.0001"), Ok(Amount(1)));
        for bad in ["", ".5", "1.", "-1", "_1", "1.2.3", "a", "1.x"] {
            assert_eq!(Amount::parse(bad), Err(AmountError::Malformed), "{bad}");
        }
        assert_eq!(Amount::parse("1.00001"), Err(AmountError::Precision));
        assert_eq!(Amount::parse("4294967296"), Err(AmountError::TooLarge));
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(parts in 0u64..=(u32::MAX as u64 * Amount::UNIT)) {
            let amount = Amount(parts);
            prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
        }
    }
}
