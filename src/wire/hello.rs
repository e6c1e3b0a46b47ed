//! The first sealed message of each side: what it is and what it can do.
//!
//! Sealed, it proves that the sender took part in this very handshake; its list of features lets
//! programs of neighbouring versions agree on what both know.
//!
//! What holds: keys and features that are not known are skipped, and every text is bounded and
//! plain ASCII, so that it may be printed.

use ciborium::Value;

use super::error::Error;
use super::preamble::ServerUid;

const KEY_VERSION: u8 = 0;
const KEY_FEATURES: u8 = 1;
const KEY_SERVER_UID: u8 = 2;

/// Longest program version or name of a feature in bytes; longer ones are left out when reading.
const TEXT_BYTES_MAX: usize = 64;

/// Features read from a peer; the rest is left out.
const FEATURES_MAX: usize = 64;

/// What one side says about itself. A CBOR map with integer keys: 0 = version of the program,
/// 1 = array of names of features, 2 = uid of the server (sent by servers).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Version of the program, at most 64 printable ASCII characters.
    pub version: String,
    /// Names of optional parts of the protocol that the side knows, each at most 64 bytes.
    pub features: Vec<String>,
    /// The server's uid; empty from clients and workers.
    pub server_uid: ServerUid,
}

impl Hello {
    /// A hello of this program without optional features.
    pub fn new(version: &str) -> Self {
        Hello { version: version.to_owned(), ..Hello::default() }
    }

    /// True where the side knows the feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let features = self.features.iter().map(|name| Value::from(name.as_str())).collect();
        let value = Value::Map(vec![
            (KEY_VERSION.into(), self.version.as_str().into()),
            (KEY_FEATURES.into(), Value::Array(features)),
            (KEY_SERVER_UID.into(), self.server_uid.as_str().into()),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&value, &mut bytes).map_err(|error| Error::Encode { reason: error.to_string() })?;
        Ok(bytes)
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, Error> {
        let bad = || Error::Malformed { what: "hello" };
        let value: Value = ciborium::from_reader(&mut bytes).map_err(|_| bad())?;
        let entries = value.into_map().map_err(|_| bad())?;
        if !bytes.is_empty() {
            return Err(bad());
        }
        let mut hello = Hello::default();
        for (key, value) in entries {
            match key.as_integer().and_then(|key| u8::try_from(key).ok()) {
                Some(KEY_VERSION) => hello.version = plain(value).ok_or_else(bad)?,
                Some(KEY_FEATURES) => {
                    let names = value.into_array().map_err(|_| bad())?;
                    hello.features = names.into_iter().filter_map(plain).take(FEATURES_MAX).collect();
                }
                Some(KEY_SERVER_UID) => {
                    let text = value.into_text().map_err(|_| bad())?;
                    hello.server_uid = ServerUid::parse(&text)?;
                }
                _ => {}
            }
        }
        Ok(hello)
    }
}

fn plain(value: Value) -> Option<String> {
    let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let text = value.into_text().ok()?;
    (text.len() <= TEXT_BYTES_MAX && text.bytes().all(printable)).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello() -> Hello {
        Hello {
            version: "0.1.0-dev".to_owned(),
            features: vec!["zstd".to_owned(), "b".to_owned()],
            server_uid: ServerUid::parse("abc123").unwrap(),
        }
    }

    #[test]
    fn there_and_back() {
        let back = Hello::decode(&hello().encode().unwrap()).unwrap();
        assert_eq!(back, hello());
        assert!(back.has("zstd") && !back.has("z"));
    }

    #[test]
    fn unknown_keys_are_skipped() {
        let map = Value::Map(vec![
            (Value::from(77), Value::Array(vec![Value::Null])),
            (Value::from("x"), Value::from(1)),
            (Value::from(0), Value::from("1.2")),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&map, &mut bytes).unwrap();
        assert_eq!(Hello::decode(&bytes).unwrap().version, "1.2");
    }

    #[test]
    fn escapes_and_trailing_bytes_do_not_get_in() {
        let evil = Hello { version: "\x1b[2J".to_owned(), ..hello() };
        assert!(Hello::decode(&evil.encode().unwrap()).is_err());
        let mut bytes = hello().encode().unwrap();
        bytes.push(0);
        assert!(Hello::decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Hello::decode(&bytes);
        }
    }
}
