//! An access file under a passphrase: argon2id makes a key of it, AES-256-GCM seals the record.
//!
//! Whoever can read an access file can use the server. Where the file has to travel, or lies on a file system that others
//! back up, a passphrase makes a copy of it worthless.
//!
//! ```text
//! "sealed": { "kdf": "argon2id", "memory_kib": 65536, "passes": 3, "salt": hex,
//!             "cipher": "aes-256-gcm", "nonce": hex, "data": hex }
//! ```
//!
//! What holds: salt and nonce are fresh for each file; the version and the parameters are authenticated with the record;
//! parameters of a file cannot make a reader take more than [`MEMORY_KIB_MAX`]; a passphrase is asked for once a process.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::platform::{host, random, terminal};

/// Memory that making a key of a passphrase takes, in KiB; with [`PASSES`] some 0.2 s.
pub const MEMORY_KIB: u32 = 64 * 1024;
/// Passes over that memory.
pub const PASSES: u32 = 3;
/// What a file may ask of its reader.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

/// Variable with the passphrase itself.
pub const PASSPHRASE_VARIABLE: &str = "HQ_ACCESS_PASSPHRASE";
/// Variable with the number of an open file descriptor whose first line is the passphrase.
pub const PASSPHRASE_FD_VARIABLE: &str = "HQ_ACCESS_PASSPHRASE_FD";

/// Longest passphrase in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// A passphrase; wiped when the last copy is dropped.
#[derive(Clone)]
pub struct Passphrase(Arc<Zeroizing<String>>);

impl Passphrase {
    /// Takes a text without its line end.
    ///
    /// # Errors
    /// [`Trouble::Unusable`] for an empty one and for one of over [`PASSPHRASE_BYTES_MAX`] bytes.
    pub fn new(text: Zeroizing<String>) -> Result<Self, Trouble> {
        match text.len() {
            1..=PASSPHRASE_BYTES_MAX => Ok(Passphrase(Arc::new(text))),
            _ => Err(Trouble::Unusable),
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Why a record cannot be sealed or opened.
#[derive(Debug)]
pub enum Trouble {
    /// The passphrase is empty or too long.
    Unusable,
    /// There is nobody to ask.
    Nobody,
    /// What was typed the second time differs.
    Differs,
    /// The terminal or the descriptor cannot be read.
    Io(std::io::Error),
    /// The passphrase is another one, or the file was changed.
    Wrong,
    /// The seal has not the form that it must have.
    Malformed,
    /// The system gave no randomness, or not the memory that the key takes.
    System,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unusable => write!(f, "a passphrase has 1 to {PASSPHRASE_BYTES_MAX} bytes"),
            Trouble::Nobody => write!(
                f,
                "there is no terminal to ask for it; set {PASSPHRASE_VARIABLE}, or {PASSPHRASE_FD_VARIABLE} to an open \
                 descriptor from which it can be read"
            ),
            Trouble::Differs => write!(f, "the two passphrases differ; nothing was written"),
            Trouble::Io(error) => write!(f, "it cannot be read: {error}"),
            Trouble::Wrong => write!(f, "the passphrase is wrong, or the file was changed"),
            Trouble::Malformed => write!(f, "the seal is damaged or of a form that this version does not know"),
            Trouble::System => write!(f, "the system did not give the memory or the random bytes that it takes"),
        }
    }
}

/// The passphrase of the environment; `None` where neither variable is set.
fn given() -> Result<Option<Passphrase>, Trouble> {
    if let Some(text) = host::variable(PASSPHRASE_VARIABLE) {
        return Passphrase::new(Zeroizing::new(text)).map(Some);
    }
    let Some(number) = host::variable(PASSPHRASE_FD_VARIABLE) else { return Ok(None) };
    let line = number
        .parse()
        .map_err(|_| Trouble::Malformed)
        .and_then(|number| terminal::line_of_descriptor(number, PASSPHRASE_BYTES_MAX).map_err(Trouble::Io))?;
    Passphrase::new(line).map(Some)
}

/// The passphrase for reading the file at `path`: of the environment, or typed by the user. Later calls in the same
/// process give the same one, since a worker reads its access file again and again.
///
/// # Errors
/// [`Trouble::Nobody`] without environment and terminal, and what goes wrong with either.
pub fn known_passphrase(path: &Path) -> Result<Passphrase, Trouble> {
    static KNOWN: OnceLock<Passphrase> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let passphrase = match given()? {
        Some(passphrase) => passphrase,
        None => ask(&format!("Passphrase of {}: ", path.display()))?,
    };
    Ok(KNOWN.get_or_init(|| passphrase).clone())
}

/// A new passphrase: of the environment, or typed twice.
///
/// # Errors
/// As [`known_passphrase`], and [`Trouble::Differs`].
pub fn new_passphrase() -> Result<Passphrase, Trouble> {
    if let Some(passphrase) = given()? {
        return Ok(passphrase);
    }
    let first = ask("New passphrase: ")?;
    let second = ask("The same again: ")?;
    if first.0.as_str() == second.0.as_str() { Ok(first) } else { Err(Trouble::Differs) }
}

fn ask(prompt: &str) -> Result<Passphrase, Trouble> {
    let line = terminal::ask_hidden(prompt, PASSPHRASE_BYTES_MAX).map_err(Trouble::Io)?;
    Passphrase::new(line.ok_or(Trouble::Nobody)?)
}

/// The sealed form of a record as a JSON object; `version` stands beside it in the clear.
pub(crate) fn seal(passphrase: &Passphrase, version: &str, record: &str) -> Result<String, Trouble> {
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    random::fill(&mut salt).and_then(|()| random::fill(&mut nonce)).map_err(|_| Trouble::System)?;
    let key = key(passphrase, &salt, MEMORY_KIB, PASSES)?;
    let aad = bound(version, MEMORY_KIB, PASSES);
    let payload = Payload { msg: record.as_bytes(), aad: aad.as_bytes() };
    let cipher = Aes256Gcm::new_from_slice(key.as_slice()).map_err(|_| Trouble::System)?;
    let data = cipher.encrypt(Nonce::from_slice(&nonce), payload).map_err(|_| Trouble::System)?;
    Ok(format!(
        "{{\n    \"kdf\": \"argon2id\",\n    \"memory_kib\": {MEMORY_KIB},\n    \"passes\": {PASSES},\n    \
         \"salt\": \"{}\",\n    \"cipher\": \"aes-256-gcm\",\n    \"nonce\": \"{}\",\n    \"data\": \"{}\"\n  }}",
        hex(&salt),
        hex(&nonce),
        hex(&data)
    ))
}

/// The record in a sealed form.
pub(crate) fn open(passphrase: &Passphrase, version: &str, sealed: &Value) -> Result<Zeroizing<String>, Trouble> {
    let text = |key: &str| sealed.get(key).and_then(Value::as_str).ok_or(Trouble::Malformed);
    let number = |key: &str, max: u32| {
        let number = sealed.get(key).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| (1..=max).contains(number)).ok_or(Trouble::Malformed)
    };
    if text("kdf")? != "argon2id" || text("cipher")? != "aes-256-gcm" {
        return Err(Trouble::Malformed);
    }
    let (memory_kib, passes) = (number("memory_kib", MEMORY_KIB_MAX)?, number("passes", PASSES_MAX)?);
    let (salt, nonce, data) = (unhex(text("salt")?)?, unhex(text("nonce")?)?, unhex(text("data")?)?);
    if nonce.len() != NONCE_BYTES || salt.len() != SALT_BYTES {
        return Err(Trouble::Malformed);
    }
    let key = key(passphrase, &salt, memory_kib, passes)?;
    let aad = bound(version, memory_kib, passes);
    let payload = Payload { msg: &data, aad: aad.as_bytes() };
    let cipher = Aes256Gcm::new_from_slice(key.as_slice()).map_err(|_| Trouble::System)?;
    let plain = cipher.decrypt(Nonce::from_slice(&nonce), payload).map_err(|_| Trouble::Wrong)?;
    let plain = Zeroizing::new(plain);
    std::str::from_utf8(&plain).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| Trouble::Malformed)
}

fn bound(version: &str, memory_kib: u32, passes: u32) -> String {
    format!("hq access file, argon2id {memory_kib} {passes}, aes-256-gcm, {version}")
}

fn key(passphrase: &Passphrase, salt: &[u8], memory_kib: u32, passes: u32) -> Result<Zeroizing<[u8; 32]>, Trouble> {
    let params = Params::new(memory_kib, passes, 1, Some(32)).map_err(|_| Trouble::Malformed)?;
    let mut key = Zeroizing::new([0; 32]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(passphrase.0.as_bytes(), salt, key.as_mut_slice()).map_err(|_| Trouble::System)?;
    Ok(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Trouble> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Trouble::Malformed);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(Trouble::Malformed);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).map_err(|_| Trouble::Malformed);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    fn sealed(record: &str) -> Value {
        serde_json::from_str(&seal(&passphrase("open sesame"), "1.0", record).unwrap()).unwrap()
    }

    #[test]
    fn only_the_passphrase_opens_what_was_sealed() {
        let value = sealed("{\"a\":1}");
        assert_eq!(open(&passphrase("open sesame"), "1.0", &value).unwrap().as_str(), "{\"a\":1}");
        assert!(matches!(open(&passphrase("open sesam"), "1.0", &value), Err(Trouble::Wrong)));
        assert!(matches!(open(&passphrase("open sesame"), "1.1", &value), Err(Trouble::Wrong)));
        assert!(!value.to_string().contains("a\\\""), "the record is not to be seen");
        let again = sealed("{\"a\":1}");
        assert_ne!((&value["salt"], &value["data"]), (&again["salt"], &again["data"]));
    }

    #[test]
    fn a_changed_seal_is_refused() {
        let value = sealed("record");
        let change = |key: &str, to: Value| {
            let mut changed = value.clone();
            changed[key] = to;
            open(&passphrase("open sesame"), "1.0", &changed).unwrap_err()
        };
        let data = value["data"].as_str().unwrap();
        let flipped = format!("{}{}", if data.starts_with('0') { '1' } else { '0' }, &data[1..]);
        assert!(matches!(change("data", flipped.into()), Trouble::Wrong));
        assert!(matches!(change("passes", 2.into()), Trouble::Wrong));
        for (key, to) in [
            ("memory_kib", Value::from(u32::MAX)),
            ("memory_kib", Value::from(0)),
            ("passes", Value::from(17)),
            ("kdf", "md5".into()),
            ("nonce", "00".into()),
            ("salt", "0g".into()),
            ("data", "0".into()),
            ("data", Value::Null),
        ] {
            assert!(matches!(change(key, to.clone()), Trouble::Malformed), "{key} {to}");
        }
    }

    #[test]
    fn a_passphrase_is_not_shown() {
        assert_eq!(format!("{:?}", passphrase("secret")), "Passphrase(..)");
        assert!(Passphrase::new(Zeroizing::new(String::new())).is_err());
        assert!(Passphrase::new(Zeroizing::new("x".repeat(1_025))).is_err());
    }
}
