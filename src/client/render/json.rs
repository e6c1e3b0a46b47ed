//! JSON answers: two blanks of indentation, object keys in alphabetical order, a newline at the end.
//!
//! The order is made here and not left to the map type, which other crates can change by a feature flag.
//!
//! Holds: equal values print equal bytes.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
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

/// Writes a value with indentation and a newline.
///
/// # Errors
/// What `out` reports.
pub fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Sorted(value)).map_err(io::Error::from)?;
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
