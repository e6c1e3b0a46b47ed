//! Selectors of jobs and workers: `last`, `all`, an array, one id.
//!
//! Each command takes one of three forms; three types keep a command from meeting a form it does not take.
//!
//! Holds: the keywords are lower-case and stand alone; a plain id has no underscore and no sign.

use super::cursor::Cursor;
use super::{Error, array};
use hq_core::idset::IdSet;
use std::fmt;

/// `last`, `all` or an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Every object.
    All,
    /// The highest id ever assigned.
    Last,
    /// The ids, in the order typed.
    Ids(IdSet),
}

/// `last` or an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastOrIds {
    /// The highest id ever assigned.
    Last,
    /// The ids, in the order typed.
    Ids(IdSet),
}

/// `last` or one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastOrId {
    /// The highest id ever assigned.
    Last,
    /// The id.
    Id(u32),
}

impl From<LastOrIds> for Selector {
    fn from(selector: LastOrIds) -> Self {
        match selector {
            LastOrIds::Last => Self::Last,
            LastOrIds::Ids(ids) => Self::Ids(ids),
        }
    }
}

/// Reads `last`, `all` or an array.
///
/// # Errors
/// As [`array::parse`].
pub fn parse(text: &str) -> Result<Selector, Error> {
    match text {
        "all" => Ok(Selector::All),
        _ => parse_last_or_ids(text).map(Selector::from),
    }
}

/// Reads `last` or an array.
///
/// # Errors
/// As [`array::parse`].
pub fn parse_last_or_ids(text: &str) -> Result<LastOrIds, Error> {
    match text {
        "last" => Ok(LastOrIds::Last),
        _ => array::parse(text).map(LastOrIds::Ids),
    }
}

/// Reads `last` or one plain number.
///
/// # Errors
/// As [`parse_id`].
pub fn parse_last_or_id(text: &str) -> Result<LastOrId, Error> {
    match text {
        "last" => Ok(LastOrId::Last),
        _ => parse_id(text).map(LastOrId::Id),
    }
}

/// Reads one plain number, at most 4294967295.
///
/// # Errors
/// Anything but digits, or a number that is too large.
pub fn parse_id(text: &str) -> Result<u32, Error> {
    let mut cursor = Cursor::new(text);
    cursor.take_while(|c| c.is_ascii_digit());
    cursor.end("a digit")?;
    Cursor::new(text).uint()
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Last => f.write_str("last"),
            Self::Ids(ids) => ids.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_stand_alone() {
        assert_eq!(parse("all"), Ok(Selector::All));
        assert_eq!(parse("last"), Ok(Selector::Last));
        assert_eq!(parse("1-3").map(|s| s.to_string()), Ok("1-3".to_owned()));
        for bad in ["last,3", " last", "ALL", "all ", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_last_or_ids("last"), Ok(LastOrIds::Last));
        assert!(parse_last_or_ids("all").is_err());
    }

    #[test]
    fn one_id_is_plain() {
        assert_eq!(parse_last_or_id("last"), Ok(LastOrId::Last));
        assert_eq!(parse_last_or_id("12"), Ok(LastOrId::Id(12)));
        assert_eq!(parse_id("4294967295"), Ok(u32::MAX));
        for bad in ["1_0", "+1", "-1", "1-2", " 1", "1 ", "", "4294967296", "all"] {
            assert!(parse_last_or_id(bad).is_err(), "{bad}");
        }
    }
}
