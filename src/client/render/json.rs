//! JSON answers: two blanks of indentation, object keys in alphabetical order, a newline at the end.
//!
//! The order is made here and not left to the map type, which other crates can change by a feature flag.
//!
//! Holds: equal values print equal bytes.

use serde::Serialize;
use serde::ser::{Error as _, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A value that serialises its objects in the order of their keys.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => {
                let mut entries: Vec<(&String, &Value)> = object.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &Sorted(value))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Sorted(item))?;
                }
                list.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

/// A value with long lists whose elements are made while they are printed, since a million tasks as values would take
/// a gigabyte.
pub enum Tree<'a> {
    /// A value.
    Value(Value),
    /// An object.
    Object(BTreeMap<String, Tree<'a>>),
    /// A list of few parts.
    List(Vec<Tree<'a>>),
    /// A list; the number is handed to the function, up to the length, to make the elements.
    Made(usize, Box<dyn Fn(usize) -> Value + 'a>),
    /// A list of unknown length; the function hands over the elements one by one.
    Told(Box<Teller<'a>>),
}

/// Hands elements to the function until that wants no more. False when there are more that could not be told.
pub type Teller<'a> = dyn Fn(&mut dyn FnMut(&Value) -> bool) -> bool + 'a;

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Value(value) => Sorted(value).serialize(serializer),
            Tree::Object(entries) => serializer.collect_map(entries),
            Tree::List(parts) => serializer.collect_seq(parts),
            Tree::Made(length, make) => {
                let mut list = serializer.serialize_seq(Some(*length))?;
                for number in 0..*length {
                    list.serialize_element(&Sorted(&make(number)))?;
                }
                list.end()
            }
            Tree::Told(tell) => {
                let mut list = serializer.serialize_seq(None)?;
                let mut refused = None;
                let is_whole = tell(&mut |element| {
                    refused = list.serialize_element(&Sorted(element)).err();
                    refused.is_none()
                });
                match refused {
                    Some(error) => Err(error),
                    None if is_whole => list.end(),
                    None => Err(S::Error::custom("the list breaks off")),
                }
            }
        }
    }
}

/// Writes a value with indentation and a newline.
///
/// # Errors
/// What `out` reports.
pub fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    write_any(out, &Sorted(value))
}

/// As [`write()`], for a value that is made while it is printed.
///
/// # Errors
/// What `out` reports.
pub fn write_tree(out: &mut impl Write, tree: &Tree<'_>) -> io::Result<()> {
    write_any(out, tree)
}

fn write_any(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// The value with indentation and a newline.
pub fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail, and the printer writes only UTF-8.
    let _ = write(&mut bytes, value);
    String::from_utf8(bytes).unwrap_or_default()
}

/// The value on one line, without blanks and without a newline, keys in order.
pub fn compact(value: &Value) -> String {
    serde_json::to_string(&Sorted(value)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_while_printing_prints_as_the_plain_value() {
        let plain = serde_json::json!({"a": [{"z": 0, "b": 1}, {"z": 1, "b": 1}], "k": {"x": []}, "l": [null],
            "t": [{"z": 0, "b": 1}, {"z": 1, "b": 1}, {"z": 2, "b": 1}], "u": []});
        let element = |number| serde_json::json!({"z": number, "b": 1});
        let tree = Tree::Object(BTreeMap::from([
            ("l".to_owned(), Tree::List(vec![Tree::Value(Value::Null)])),
            ("k".to_owned(), Tree::Value(plain["k"].clone())),
            ("a".to_owned(), Tree::Made(2, Box::new(element))),
            ("t".to_owned(), Tree::Told(Box::new(move |take| (0..3).all(|number| take(&element(number)))))),
            ("u".to_owned(), Tree::Told(Box::new(|_| true))),
        ]));
        let (mut expected, mut made) = (Vec::new(), Vec::new());
        write(&mut expected, &plain).unwrap();
        write_tree(&mut made, &tree).unwrap();
        assert_eq!(String::from_utf8(made).unwrap(), String::from_utf8(expected).unwrap());
        assert!(write_tree(&mut Vec::new(), &Tree::Told(Box::new(|_| false))).is_err());
    }

    #[test]
    fn prints_sorted_and_indented() {
        let value: Value =
            serde_json::from_str(r#"{"b": [1, {"z": 1.5, "a": null}], "a": {}, "é": "x\u001b"}"#).unwrap();
        let expected = r#"{
  "a": {},
  "b": [
    1,
    {
      "a": null,
      "z": 1.5
    }
  ],
  "é": "x\u001b"
}
"#;
        assert_eq!(pretty(&value), expected);
        assert_eq!(compact(&value), "{\"a\":{},\"b\":[1,{\"a\":null,\"z\":1.5}],\"é\":\"x\\u001b\"}");
        assert_eq!(pretty(&serde_json::json!({})), "{}\n");
        assert_eq!(compact(&serde_json::from_str("1e3").unwrap()), "1000.0");
    }
}
