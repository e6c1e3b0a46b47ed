//! The secret of one role: 32 random bytes.
//!
//! A type of its own keeps the bytes out of logs, panics and core dumps as far as a program can.
//!
//! What holds: `Debug` never shows the bytes, there is no `Display`, and memory is wiped on drop; a port that needs no
//! secret has a key that says so, and never equals one that does.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::error::Error;

/// Length of a key.
pub const KEY_BYTES: usize = 32;

/// A secret shared by the server and everybody who holds the access file of one role.
#[derive(Clone)]
pub struct SecretKey {
    bytes: [u8; KEY_BYTES],
    absent: bool,
}

impl SecretKey {
    /// A fresh key from the operating system's generator.
    ///
    /// # Errors
    /// [`Error::Random`] when the system gives no randomness.
    pub fn random() -> Result<Self, Error> {
        let mut key = SecretKey::from_bytes([0; KEY_BYTES]);
        getrandom::fill(&mut key.bytes).map_err(|_| Error::Random)?;
        Ok(key)
    }

    /// The key of a port whose protection was switched off: known to everybody. Both sides must have it, and say so in
    /// the clear; connections are sealed all the same, but nothing is proven.
    pub fn absent() -> Self {
        SecretKey { bytes: [0; KEY_BYTES], absent: true }
    }

    /// Whether this is the key that everybody knows.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// Takes the bytes as they are.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        SecretKey { bytes, absent: false }
    }

    /// Reads 64 hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`Error::Malformed`] for any other text; the error does not repeat it.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let bad = Error::Malformed { what: "secret key" };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != KEY_BYTES || !rest.is_empty() {
            return Err(bad);
        }
        let mut key = SecretKey::from_bytes([0; KEY_BYTES]);
        for (byte, [high, low]) in key.bytes.iter_mut().zip(pairs) {
            match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(bad),
            }
        }
        Ok(key)
    }

    /// The 64 lower-case hexadecimal digits; the text is wiped when it is dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let digits = self.bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES));
        text.extend(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)));
        text
    }

    /// The bytes, for the handshake only.
    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_there_and_back() {
        let key = SecretKey::random().unwrap();
        let text = key.to_hex();
        assert_eq!(text.len(), 64);
        assert_eq!(SecretKey::from_hex(&text).unwrap().expose(), key.expose());
        assert_eq!(SecretKey::from_hex(&text.to_uppercase()).unwrap().expose(), key.expose());
        assert_ne!(SecretKey::random().unwrap().expose(), key.expose());
    }

    #[test]
    fn bad_hex_is_refused_without_repeating_it() {
        let long = "a".repeat(66);
        let odd = "a".repeat(63);
        let wide = "é".repeat(32);
        let sign = format!("+{}", "a".repeat(63));
        for text in ["", "xyz", long.as_str(), odd.as_str(), wide.as_str(), sign.as_str()] {
            let error = SecretKey::from_hex(text).unwrap_err();
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn debug_hides_the_bytes() {
        let key = SecretKey::from_bytes([7; KEY_BYTES]);
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
}
