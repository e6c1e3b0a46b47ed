//! JSON that is written while the texts in it are read.
//!
//! The output of a task may be larger than the memory; a text of it is escaped piece by piece.
//!
//! Holds: what is written equals the pretty print of the whole value: bytes that are no UTF-8 become U+FFFD, also where a
//! character lies across two pieces.

use crate::client::console::Console;
use crate::client::error::Error;

/// A JSON text that is being written.
pub(super) struct JsonText<'a> {
    console: &'a mut Console,
    /// The begin of a character whose end has not come.
    rest: Vec<u8>,
}

impl<'a> JsonText<'a> {
    /// Writes the quotation mark in front.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn begin(console: &'a mut Console) -> Result<Self, Error> {
        console.text("\"")?;
        Ok(Self { console, rest: Vec::new() })
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn piece(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (mut text, mut joined) = (String::new(), std::mem::take(&mut self.rest));
        let left = if joined.is_empty() {
            decode(bytes, &mut text)
        } else {
            joined.extend_from_slice(bytes);
            decode(&joined, &mut text)
        };
        self.rest = left.to_vec();
        self.escaped(&text)
    }

    /// Writes what is left, and the quotation mark behind.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn end(self) -> Result<(), Error> {
        if !self.rest.is_empty() {
            self.console.text("\u{FFFD}")?;
        }
        self.console.text("\"")
    }

    fn escaped(&mut self, text: &str) -> Result<(), Error> {
        let quoted = serde_json::Value::from(text).to_string();
        let inner = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
        self.console.text(inner.unwrap_or_default())
    }
}

/// Adds the characters of `bytes` to `text`; what may be the begin of one is given back.
fn decode<'b>(mut bytes: &'b [u8], text: &mut String) -> &'b [u8] {
    loop {
        match std::str::from_utf8(bytes) {
            Ok(all) => {
                text.push_str(all);
                return &[];
            }
            Err(error) => {
                let (good, bad) = bytes.split_at_checked(error.valid_up_to()).unwrap_or_default();
                text.push_str(&String::from_utf8_lossy(good));
                let Some(length) = error.error_len() else { return bad };
                text.push('\u{FFFD}');
                bytes = bad.get(length..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_decode_as_the_whole(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xE2), Just(0x82), Just(0xAC), Just(b'a')], 0..60),
            size in 1usize..7,
        ) {
            let (mut text, mut rest) = (String::new(), Vec::new());
            for piece in bytes.chunks(size) {
                rest.extend_from_slice(piece);
                rest = decode(&rest, &mut text).to_vec();
            }
            if !rest.is_empty() {
                text.push('\u{FFFD}');
            }
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
