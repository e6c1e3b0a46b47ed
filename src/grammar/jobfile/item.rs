//! Values of a TOML document with their keys: typed access whose refusals know where they stand.
//!
//! Reading through serde would tell a type's name but neither the key nor, for what is wrong beyond types, the place.
//!
//! Holds: an item names the path from the root; nothing is copied but what is asked for.

use super::error::Mistake;
use crate::grammar;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    value: &'a Spanned<DeValue<'a>>,
    step: Step<'a>,
    parent: Option<&'a Item<'a>>,
}

/// The last part of a path.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A table all of whose keys are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    item: &'a Item<'a>,
    table: &'a DeTable<'a>,
}

/// A key that the user chose.
#[derive(Debug, Clone)]
pub(super) struct Key<'a> {
    /// Its text.
    pub(super) name: &'a str,
    bytes: Range<usize>,
    item: Item<'a>,
}

impl Key<'_> {
    /// Has `check` look at the text.
    ///
    /// # Errors
    /// What `check` refuses.
    pub(super) fn checked(&self, check: impl FnOnce(&str) -> Result<(), grammar::Error>) -> Result<(), Mistake> {
        check(self.name).map_err(|error| self.item.within(self.bytes.clone(), self.name, &error))
    }
}

impl<'a> Item<'a> {
    /// The whole document.
    pub(super) fn root(value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { value, step: Step::Root, parent: None }
    }

    /// The value.
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// A mistake of this value.
    pub(super) fn mistake(&self, reason: impl Into<String>) -> Mistake {
        Mistake { bytes: self.value.span(), key: self.to_string(), reason: reason.into() }
    }

    fn wrong_type(&self, expected: &str) -> Mistake {
        self.mistake(format!("invalid type: {}, expected {expected}", self.value().type_str()))
    }

    /// The text of a string.
    ///
    /// # Errors
    /// Another type.
    pub(super) fn text(&self) -> Result<&'a str, Mistake> {
        self.value().as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// What `parse` makes of the text of a string.
    ///
    /// # Errors
    /// Another type, and what `parse` refuses.
    pub(super) fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, grammar::Error>) -> Result<T, Mistake> {
        let text = self.text()?;
        parse(text).map_err(|error| self.within(self.value.span(), text, &error))
    }

    /// A mistake within a text that stands in the file at `span`.
    fn within(&self, span: Range<usize>, text: &str, error: &grammar::Error) -> Mistake {
        let at = error.bytes();
        let bytes = match span.len().checked_sub(text.len()) {
            Some(0) => span.start + at.start..span.start + at.end,
            // Quotes, and no escapes in between.
            Some(2) => span.start + 1 + at.start..span.start + 1 + at.end,
            _ => span,
        };
        Mistake { bytes, ..self.mistake(error.reason()) }
    }

    /// A boolean.
    ///
    /// # Errors
    /// Another type.
    pub(super) fn flag(&self) -> Result<bool, Mistake> {
        self.value().as_bool().ok_or_else(|| self.wrong_type("a boolean"))
    }

    /// A whole number that fits `T`; `range` says which do.
    ///
    /// # Errors
    /// Another type, and a number out of range.
    pub(super) fn number<T: TryFrom<i64>>(&self, range: &str) -> Result<T, Mistake> {
        let Some(number) = self.value().as_integer() else { return Err(self.wrong_type("a whole number")) };
        let fits =
            i64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|number| T::try_from(number).ok());
        fits.ok_or_else(|| self.mistake(format!("the number has to be {range}")))
    }

    /// A whole number from 0 to 4294967295.
    ///
    /// # Errors
    /// See [`Item::number`].
    pub(super) fn uint(&self) -> Result<u32, Mistake> {
        self.number("from 0 to 4294967295")
    }

    /// A number, whole or not.
    ///
    /// # Errors
    /// Another type.
    pub(super) fn float(&self) -> Result<f64, Mistake> {
        let parsed = match self.value() {
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => return Err(self.wrong_type("a number")),
        };
        parsed.ok_or_else(|| self.mistake("the number cannot be read"))
    }

    /// The elements of an array; `expected` says what could stand here.
    ///
    /// # Errors
    /// Another type.
    pub(super) fn elements<'s>(
        &'s self,
        expected: &str,
    ) -> Result<impl ExactSizeIterator<Item = Item<'s>> + use<'s, 'a>, Mistake> {
        let Some(array) = self.value().as_array() else { return Err(self.wrong_type(expected)) };
        let element = |(at, value)| Item { value, step: Step::Index(at), parent: Some(self) };
        Ok(array.iter().enumerate().map(element))
    }

    /// The first element of an array, as the one with this number: for an array whose other elements are elsewhere.
    ///
    /// # Errors
    /// Another type, or no element.
    pub(super) fn only_element_as<'s>(&'s self, number: usize) -> Result<Item<'s>, Mistake> {
        let first = self.value().as_array().and_then(|array| array.first());
        let value = first.ok_or_else(|| self.wrong_type("an array of tables"))?;
        Ok(Item { value, step: Step::Index(number), parent: Some(self) })
    }

    /// The texts of an array of strings.
    ///
    /// # Errors
    /// Another type.
    pub(super) fn texts(&self) -> Result<Vec<&'a str>, Mistake> {
        let Some(array) = self.value().as_array() else { return Err(self.wrong_type("an array of strings")) };
        let wrong = |at, value| Item { value, step: Step::Index(at), parent: Some(self) }.wrong_type("a string");
        let text =
            |(at, value): (usize, &'a Spanned<DeValue<'a>>)| value.get_ref().as_str().ok_or_else(|| wrong(at, value));
        array.iter().enumerate().map(text).collect()
    }

    /// A table that has keys of these lists only; a refusal names them in this order.
    ///
    /// # Errors
    /// Another type, and an unknown key.
    pub(super) fn fields<'s>(&'s self, known: &[&[&str]]) -> Result<Fields<'s>, Mistake> {
        let fields = self.table("a table")?;
        match fields.table.keys().find(|key| !known.iter().any(|keys| keys.contains(&key.get_ref().as_ref()))) {
            None => Ok(fields),
            Some(key) => {
                let names =
                    known.iter().copied().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let reason = format!("unknown field `{}`, expected one of {names}", key.get_ref());
                Err(Mistake { bytes: key.span(), ..self.mistake(reason) })
            }
        }
    }

    /// A table with any keys.
    ///
    /// # Errors
    /// Another type; `expected` says what could stand here.
    pub(super) fn table<'s>(&'s self, expected: &str) -> Result<Fields<'s>, Mistake> {
        let table = self.value().as_table().ok_or_else(|| self.wrong_type(expected))?;
        Ok(Fields { item: self, table })
    }
}

impl<'a> Fields<'a> {
    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'a>> {
        let value = self.table.get(key)?;
        Some(Item { value, step: Step::Key(key), parent: Some(self.item) })
    }

    /// The value of a key that has to be there.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn need(&self, key: &'static str) -> Result<Item<'a>, Mistake> {
        self.get(key).ok_or_else(|| self.item.mistake(format!("missing field `{key}`")))
    }

    /// All keys with their values, sorted by key.
    pub(super) fn all(&self) -> impl Iterator<Item = (Key<'a>, Item<'a>)> + use<'a> {
        let parent = self.item;
        self.table.iter().map(move |(key, value)| {
            let name = key.get_ref().as_ref();
            let item = Item { value, step: Step::Key(name), parent: Some(parent) };
            (Key { name, bytes: key.span(), item }, item)
        })
    }

    /// A mistake of the whole table.
    pub(super) fn mistake(&self, reason: impl Into<String>) -> Mistake {
        self.item.mistake(reason)
    }
}

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_root = self.parent.is_none_or(|parent| matches!(parent.step, Step::Root));
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) if at_root => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(at) => write!(f, "[{at}]"),
        }
    }
}
