//! Random bytes and names from the kernel.
//!
//! Keys, uids, tokens and names of temporary files need values that nobody can guess or meet twice.
//!
//! Invariants: every byte comes from the kernel's generator; alphanumerics are uniform (biased bytes are rejected).

use std::fmt;

/// The kernel gave no random bytes.
#[derive(Debug)]
pub struct Error(getrandom::Error);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cannot get random bytes from the operating system: {}", self.0)
    }
}

impl std::error::Error for Error {}

const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The largest multiple of 62 below 256: bytes from here on would favour the first letters.
const UNBIASED_MAX: u8 = 248;

/// Fills `target` with random bytes.
pub fn fill(target: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(target).map_err(Error)
}

/// An array of `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

/// `length` characters of `A-Za-z0-9`, each equally likely.
pub fn alphanumeric(length: usize) -> Result<String, Error> {
    let mut out = String::with_capacity(length);
    while out.len() < length {
        let wanted = length - out.len();
        let chosen = bytes::<64>()?.into_iter().filter(|byte| *byte < UNBIASED_MAX).take(wanted);
        out.extend(chosen.filter_map(|byte| ALPHANUMERIC.get(usize::from(byte % 62)).map(|c| char::from(*c))));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphanumeric_has_the_length_and_alphabet() {
        for length in [0, 1, 6, 63, 64, 65, 1000] {
            let text = alphanumeric(length).unwrap();
            assert_eq!(text.len(), length);
            assert!(text.bytes().all(|c| c.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn all_letters_occur_and_values_differ() {
        let text = alphanumeric(20_000).unwrap();
        assert!(ALPHANUMERIC.iter().all(|letter| text.as_bytes().contains(letter)));
        assert_ne!(bytes::<16>().unwrap(), bytes::<16>().unwrap());
    }
}
