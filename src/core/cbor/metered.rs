//! Counts the memory of what is decoded, element by element.
//!
//! An empty text is one byte on the wire and twenty-four in a list; so is everything that is small. Who decodes what
//! others sent wraps the type in [`Metered`], and every element of every list and map is charged with the size that it
//! takes there, before it is made.
//!
//! What holds: what lies beyond an element (the bytes of a text) is never more than the bytes that were sent for it.

use super::charge;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use std::fmt;

/// A value whose decoding is charged.
#[derive(Debug)]
pub struct Metered<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Metered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(Meter(deserializer)).map(Metered)
    }
}

/// Wraps whatever stands between a value and its bytes.
struct Meter<X>(X);

/// Charges for one element of a list or a map.
fn element<T, E: Error>() -> Result<(), E> {
    charge(size_of::<T>()).map_err(E::custom)
}

macro_rules! pass_on {
    ($($name:ident),* $(,)?) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$name(Meter(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Meter<D> {
    type Error = D::Error;

    pass_on!(
        deserialize_any,
        deserialize_bool,
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64,
        deserialize_i128,
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64,
        deserialize_u128,
        deserialize_f32,
        deserialize_f64,
        deserialize_char,
        deserialize_str,
        deserialize_string,
        deserialize_bytes,
        deserialize_byte_buf,
        deserialize_option,
        deserialize_unit,
        deserialize_seq,
        deserialize_map,
        deserialize_identifier,
        deserialize_ignored_any,
    );

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Meter(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Meter(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Meter(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Meter(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Meter(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Meter(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($name:ident: $value:ty),* $(,)?) => {
        $(fn $name<E: Error>(self, value: $value) -> Result<V::Value, E> {
            self.0.$name(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Meter<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit!(
        visit_bool: bool,
        visit_i8: i8,
        visit_i16: i16,
        visit_i32: i32,
        visit_i64: i64,
        visit_i128: i128,
        visit_u8: u8,
        visit_u16: u16,
        visit_u32: u32,
        visit_u64: u64,
        visit_u128: u128,
        visit_f32: f32,
        visit_f64: f64,
        visit_char: char,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    );

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Meter(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Meter(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Meter(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Meter(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Meter(data))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Meter<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        element::<T::Value, A::Error>()?;
        self.0.next_element_seed(Meter(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Meter<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        element::<K::Value, A::Error>()?;
        self.0.next_key_seed(Meter(seed))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        element::<T::Value, A::Error>()?;
        self.0.next_value_seed(Meter(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Meter<A> {
    type Error = A::Error;
    type Variant = Meter<A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Meter(seed))?;
        Ok((value, Meter(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Meter<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.newtype_variant_seed(Meter(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Meter(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Meter(visitor))
    }
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Meter<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        self.0.deserialize(Meter(deserializer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::{decode, encode, within_memory};
    use std::collections::BTreeMap;

    fn costs<T: serde::Serialize + for<'de> Deserialize<'de>>(value: &T, bytes_max: usize) -> bool {
        let bytes = encode(value);
        within_memory(bytes_max, || decode::<Metered<T>>(&bytes)).is_err()
    }

    #[test]
    fn every_element_is_charged() {
        let texts = vec![String::new(); 1_000];
        assert!(costs(&texts, 1_000 * size_of::<String>()), "the end of the list is asked for as well");
        assert!(!costs(&texts, 1_001 * size_of::<String>()));
        assert!(costs(&vec![texts; 3], 3_000 * size_of::<String>()));
        let map: BTreeMap<u32, String> = (0..1_000).map(|key| (key, String::new())).collect();
        assert!(costs(&map, 1_000 * size_of::<String>()) && !costs(&map, 1_001 * size_of::<(u64, String)>()));
        assert!(!costs(&vec![0_u32; 1_000], 1_001 * size_of::<u32>()));
        assert!(!costs(&"x".repeat(1_000_000), 0), "as long as what was sent");
    }

    #[test]
    fn values_are_what_they_are_without() {
        let value = (Some(7_u8), "text".to_owned(), true);
        let back: Metered<(Option<u8>, String, bool)> = decode(&encode(&value)).unwrap();
        assert_eq!(back.0, value);
        let value = BTreeMap::from([(1_u8, None::<f64>), (2, Some(0.5))]);
        let back: Metered<BTreeMap<u8, Option<f64>>> = decode(&encode(&value)).unwrap();
        assert_eq!(back.0, value);
    }
}
