//! Environment variables of tasks: `KEY=VALUE`.
//!
//! Values may contain anything, also `=`; only the first one splits.
//!
//! Holds: a key is never empty and contains no `=`; neither part contains a NUL, which no process could be given.

use super::Error;
use std::collections::BTreeMap;

/// Reads `KEY=VALUE`, or `KEY` alone for an empty value.
///
/// # Errors
/// An empty key, or a NUL character.
pub fn parse(text: &str) -> Result<(String, String), Error> {
    if let Some(at) = text.find('\0') {
        return Err(Error::refused("an environment variable cannot contain a NUL character", text, at..at + 1));
    }
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(Error::unexpected("the name of an environment variable", text, 0..text.len().min(1)));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Puts variables together, the last one of a name wins; says whether any was overwritten.
pub fn collect(variables: impl IntoIterator<Item = (String, String)>) -> (BTreeMap<String, String>, bool) {
    let mut map = BTreeMap::new();
    let mut overwritten = false;
    for (key, value) in variables {
        overwritten |= map.insert(key, value).is_some();
    }
    (map, overwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_equals_sign() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse("A=b"), pair("A", "b"));
        assert_eq!(parse("A=b=c d"), pair("A", "b=c d"));
        assert_eq!(parse("A"), pair("A", ""));
        assert_eq!(parse("A="), pair("A", ""));
        for bad in ["", "=b", "A=b\0c"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_last_one_wins() {
        let parsed = |texts: &[&str]| collect(texts.iter().map(|text| parse(text).unwrap()));
        let (map, overwritten) = parsed(&["A=1", "B=2", "A=3"]);
        assert_eq!(map.into_iter().map(|(k, v)| k + &v).collect::<Vec<_>>(), ["A3", "B2"]);
        assert!(overwritten);
        assert!(!parsed(&["A=1", "B=1"]).1);
    }
}
