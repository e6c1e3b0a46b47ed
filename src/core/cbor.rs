//! CBOR with small integer keys: the two macros that every boundary type of ours is declared with, and the codec.
//!
//! Journals and wires outlive the program that wrote them, so their bytes must be compact, self-describing and
//! open to new fields. Serde's derive writes text keys; the macros here write the integer in front of each field.
//!
//! What holds:
//! * a field that equals its default is not written; a missing field reads as its default; an unknown key is
//!   skipped. Hence fields may be added, and a reader of version N understands N-1 and N+1;
//! * an enum is the two-element array `[kind, body]`; kinds and keys are never reused;
//! * decoding never panics and refuses trailing bytes.

mod metered;

pub use metered::Metered;
use serde::{Serialize, de::DeserializeOwned};
use std::cell::Cell;
use std::fmt;

thread_local! {
    /// Bytes that the structs of the value under decoding may still take.
    static MEMORY_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Lets the structs that `decode` makes, and the elements of what it decodes as [`Metered`], take at most `bytes_max`;
/// beyond that decoding fails.
///
/// A struct whose fields are all absent is one byte on the wire and some hundred in memory, so that the length of a
/// message says little about what it costs.
pub fn within_memory<T>(bytes_max: usize, decode: impl FnOnce() -> T) -> T {
    let outer = MEMORY_LEFT.replace(bytes_max);
    let decoded = decode();
    MEMORY_LEFT.set(outer);
    decoded
}

/// Takes the memory of one struct; for the macros.
///
/// # Errors
/// When the value under decoding is too large.
pub fn charge(bytes: usize) -> Result<(), &'static str> {
    let left = MEMORY_LEFT.get().checked_sub(bytes).ok_or("the value takes too much memory")?;
    MEMORY_LEFT.set(left);
    Ok(())
}

/// Bytes that are not a value of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(pub String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed CBOR: {}", self.0)
    }
}

impl std::error::Error for DecodeError {}

/// Appends the CBOR form of `value` to `out`.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and no type of ours has a serializer that refuses.
    let written = ciborium::into_writer(value, out);
    debug_assert!(written.is_ok());
}

/// The CBOR form of `value`.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Reads one value that fills `bytes` exactly.
///
/// # Errors
/// When the bytes are no such value, or something follows it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|e| DecodeError(e.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError(format!("{} bytes follow the value", rest.len()))) }
}

/// Declares a struct whose serde form is a map with the given integer keys.
#[macro_export]
macro_rules! int_struct {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* $key:literal => pub $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeMap;
                #[allow(unused_mut)]
                let mut len = 0usize;
                $(if self.$field != <$ty as Default>::default() { len += 1; })*
                #[allow(unused_mut)]
                let mut map = serializer.serialize_map(Some(len))?;
                $(if self.$field != <$ty as Default>::default() { map.serialize_entry(&($key as u32), &self.$field)?; })*
                map.end()
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct FieldVisitor;
                impl<'de> ::serde::de::Visitor<'de> for FieldVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a map with integer keys (", stringify!($name), ")"))
                    }
                    fn visit_map<A: ::serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        use ::serde::de::Error;
                        $crate::cbor::charge(std::mem::size_of::<$name>()).map_err(A::Error::custom)?;
                        #[allow(unused_mut)]
                        let mut value = $name::default();
                        while let Some(key) = map.next_key::<u32>()? {
                            match key {
                                $($key => value.$field = map.next_value()?,)*
                                _ => { map.next_value::<::serde::de::IgnoredAny>()?; }
                            }
                        }
                        Ok(value)
                    }
                }
                deserializer.deserialize_map(FieldVisitor)
            }
        }
    };
}

/// Declares an enum whose serde form is `[kind, body]`; each variant holds one value.
#[macro_export]
macro_rules! int_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $kind:literal => $variant:ident($body:ty)),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name { $($(#[$vmeta])* $variant($body)),* }

        impl $name {
            /// The number of this variant in the encoded form.
            pub fn kind(&self) -> u16 {
                match self { $(Self::$variant(_) => $kind),* }
            }

            /// Encodes the body alone; the kind travels elsewhere (in the header of a record).
            pub fn encode_body(&self) -> Vec<u8> {
                match self { $(Self::$variant(body) => $crate::cbor::encode(body)),* }
            }

            /// Decodes a body whose kind is known.
            ///
            /// # Errors
            /// When the kind is unknown or the bytes are no such body.
            pub fn decode_body(kind: u16, bytes: &[u8]) -> Result<Self, $crate::cbor::DecodeError> {
                match kind {
                    $($kind => $crate::cbor::decode::<$body>(bytes).map(Self::$variant),)*
                    other => Err($crate::cbor::DecodeError(format!("unknown kind {other} of {}", stringify!($name)))),
                }
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$variant(body) => ($kind as u16, body).serialize(serializer)),* }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct KindVisitor;
                impl<'de> ::serde::de::Visitor<'de> for KindVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("[kind, body] of ", stringify!($name)))
                    }
                    fn visit_seq<A: ::serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<$name, A::Error> {
                        use ::serde::de::Error;
                        let kind: u16 = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                        let value = match kind {
                            $($kind => seq.next_element::<$body>()?
                                .map($name::$variant)
                                .ok_or_else(|| A::Error::invalid_length(1, &self)),)*
                            other => Err(A::Error::custom(format_args!(
                                "unknown kind {other} of {}", stringify!($name)))),
                        }?;
                        match seq.next_element::<::serde::de::IgnoredAny>()? {
                            None => Ok(value),
                            Some(_) => Err(A::Error::invalid_length(3, &self)),
                        }
                    }
                }
                deserializer.deserialize_tuple(2, KindVisitor)
            }
        }
    };
}

/// Declares a field-less enum whose serde form is its number; the first variant is the default.
#[macro_export]
macro_rules! int_choice {
    ($(#[$meta:meta])* pub enum $name:ident { $(#[$dmeta:meta])* $dkind:literal => $default:ident $(, $(#[$vmeta:meta])* $kind:literal => $variant:ident)* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $name { $(#[$dmeta])* #[default] $default $(, $(#[$vmeta])* $variant)* }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u16(match self { Self::$default => $dkind $(, Self::$variant => $kind)* })
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use ::serde::de::Error;
                match <u16 as ::serde::Deserialize>::deserialize(deserializer)? {
                    $dkind => Ok(Self::$default),
                    $($kind => Ok(Self::$variant),)*
                    other => Err(D::Error::custom(format_args!("unknown {} {other}", stringify!($name)))),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    int_struct! {
        /// Older.
        pub struct Old { 0 => pub a: u32, 1 => pub b: Option<String> }
    }
    int_struct! {
        /// Newer.
        pub struct New { 0 => pub a: u32, 1 => pub b: Option<String>, 7 => pub c: Vec<u32> }
    }
    int_enum! {
        /// Message.
        pub enum Message { 3 => First(Old), 9 => Second(u32) }
    }
    int_choice! {
        /// Choice.
        pub enum Choice { 0 => One, 5 => Two }
    }

    #[test]
    fn defaults_cost_nothing_and_unknown_keys_are_skipped() {
        let new = New { a: 5, b: None, c: vec![1, 2] };
        let bytes = encode(&new);
        assert_eq!(decode::<Old>(&bytes), Ok(Old { a: 5, b: None }));
        assert_eq!(encode(&Old::default()), vec![0xa0]);
        assert_eq!(decode::<New>(&encode(&Old { a: 1, b: Some("x".into()) })).map(|n| n.c), Ok(vec![]));
    }

    #[test]
    fn enums_are_pairs_and_refuse_unknown_kinds() {
        for message in [Message::First(Old { a: 1, b: None }), Message::Second(7)] {
            assert_eq!(decode::<Message>(&encode(&message)), Ok(message.clone()));
            assert_eq!(Message::decode_body(message.kind(), &message.encode_body()), Ok(message));
        }
        assert!(decode::<Message>(&encode(&(4u16, 1u32))).is_err());
        assert!(decode::<Message>(&encode(&(9u16, 1u32, 1u32))).is_err());
        assert!(Message::decode_body(4, &[0]).is_err());
        assert_eq!(decode::<Choice>(&encode(&Choice::Two)), Ok(Choice::Two));
        assert!(decode::<Choice>(&encode(&6u16)).is_err());
    }

    #[test]
    fn a_value_takes_no_more_memory_than_it_may() {
        let bytes = encode(&vec![Old::default(); 100]);
        let size = size_of::<Old>();
        assert_eq!(within_memory(100 * size, || decode::<Vec<Old>>(&bytes)).map(|list| list.len()), Ok(100));
        let error = within_memory(99 * size, || decode::<Vec<Old>>(&bytes)).unwrap_err();
        assert!(error.to_string().contains("too much memory"), "{error}");
        assert!(decode::<Vec<Old>>(&bytes).is_ok(), "the limit ends with the call");
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&7u32);
        bytes.push(0);
        assert!(decode::<u32>(&bytes).is_err());
    }
}
