//! A cursor over a text: the few steps from which all the parsers are built.
//!
//! It never leaves the text and never splits a character, so parsers need no indexing.
//!
//! Holds: `at` is a character boundary of `text`, at most its length.

use super::Error;
use std::ops::Range;

/// A text and a position in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The position in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The whole text.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The text from an earlier position to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Whether nothing is left.
    pub(super) fn is_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Steps over the next character, if it is `wanted`.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Steps over `word`, if it stands here.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Steps over characters as long as they match; gives them.
    pub(super) fn take_while(&mut self, matches: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c: char| !matches(c)).unwrap_or(rest.len());
        let start = self.at;
        self.at += length;
        self.since(start)
    }

    /// Steps over blanks and tabulators.
    pub(super) fn blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Steps over `wanted`, which has to be the next character.
    ///
    /// # Errors
    /// [`Error::Unexpected`], naming what was expected.
    pub(super) fn expect(&mut self, wanted: char) -> Result<(), Error> {
        if self.eat(wanted) { Ok(()) } else { Err(self.unexpected(format!("`{wanted}`"))) }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`Error::Unexpected`] with `expected`.
    pub(super) fn end(&self, expected: &str) -> Result<(), Error> {
        if self.is_end() { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// A digit, then digits and underscores; the underscores are ignored.
    ///
    /// # Errors
    /// [`Error::Unexpected`] without a digit here, [`Error::Refused`] above 4294967295.
    pub(super) fn uint(&mut self) -> Result<u32, Error> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(self.unexpected("a number"));
        }
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '_');
        let mut value: u32 = 0;
        for digit in digits.bytes().filter(u8::is_ascii_digit) {
            let next = value.checked_mul(10).and_then(|tens| tens.checked_add(u32::from(digit - b'0')));
            value = next.ok_or_else(|| self.refused("the number is larger than 4294967295", start..self.at))?;
        }
        Ok(value)
    }

    /// The error that the next character, or the end, cannot stand here.
    pub(super) fn unexpected(&self, expected: impl Into<String>) -> Error {
        let width = self.peek().map_or(0, char::len_utf8);
        Error::unexpected(expected, self.text, self.at..self.at + width)
    }

    /// The error that a part of the text is not allowed.
    pub(super) fn refused(&self, reason: impl Into<String>, bytes: Range<usize>) -> Error {
        Error::refused(reason, self.text, bytes)
    }
}

/// What counts as a blank within a value.
pub(super) fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}
