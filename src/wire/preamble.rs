//! The few bytes of a connection that are not sealed: who calls whom, in which version.
//!
//! They choose the key, so that they have to be readable before there is one; as the prologue of
//! the Noise handshake they are nevertheless proven: both sides must have seen the same bytes.
//!
//! What holds: a fixed length, total parsing, and a refusal that is the same bytes for every reason.

use std::fmt;

use super::error::Error;

/// Version of the wire protocol. It changes when an older peer could not understand a session.
pub const PROTOCOL_VERSION: u16 = 1;

/// First bytes of every connection.
pub const MAGIC: [u8; 4] = *b"HQW\n";

/// Length of the encoded preamble.
pub const PREAMBLE_BYTES: usize = 24;

/// Longest server uid.
pub const SERVER_UID_BYTES_MAX: usize = 16;

/// First byte of the server's first frame: an answer follows.
pub const ANSWER: u8 = 1;

/// First byte of the server's first frame: it refuses.
pub const REFUSAL: u8 = 0;

/// Bit of the role's byte of a side that has no key.
const KEYLESS: u8 = 0x80;

/// Who faces the server on a connection; each role has its port and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The command line and everything else that asks.
    Client,
    /// A worker.
    Worker,
}

impl Role {
    fn code(self) -> u8 {
        match self {
            Role::Client => 1,
            Role::Worker => 2,
        }
    }

    /// The name of the dialling side, as shown to users.
    pub fn peer_name(self) -> &'static str {
        match self {
            Role::Client => "hq-client",
            Role::Worker => "worker",
        }
    }

    /// The name of the serving side, as shown to users.
    pub fn server_name(self) -> &'static str {
        match self {
            Role::Client => "hq-server",
            Role::Worker => "server",
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Role::Client, Role::Worker].into_iter().find(|role| role.code() == code)
    }
}

/// Identity of a server that lives as long as its journal: up to 16 ASCII letters and digits.
///
/// The empty uid stands for any server; a worker's access file has none.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ServerUid {
    // Only ASCII letters and digits, at most SERVER_UID_BYTES_MAX.
    text: String,
}

impl ServerUid {
    /// Length of the uids that servers choose for themselves.
    const CHOSEN_BYTES: usize = 6;

    /// Reads a uid, empty included.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is too long or has other characters.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fits = text.len() <= SERVER_UID_BYTES_MAX;
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(ServerUid { text: text.to_owned() });
        }
        Err(Error::Malformed { what: "server uid" })
    }

    /// A fresh uid of six letters and digits.
    ///
    /// # Errors
    /// [`Error::Random`] when the system gives no randomness.
    pub fn random() -> Result<Self, Error> {
        let mut text = String::new();
        while text.len() < Self::CHOSEN_BYTES {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
            // Dropping what is no letter or digit keeps the rest uniform.
            let chosen = bytes.iter().map(|byte| char::from(byte & 127));
            text.extend(chosen.filter(char::is_ascii_alphanumeric));
        }
        text.truncate(Self::CHOSEN_BYTES);
        Ok(ServerUid { text })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True for the uid that stands for any server.
    pub fn is_any(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Display for ServerUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ServerUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// The clear beginning of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) version: u16,
    pub(crate) role: Role,
    /// Whether the side has no key, so that it can only talk to one that has none either.
    pub(crate) keyless: bool,
    pub(crate) server_uid: ServerUid,
}

impl Preamble {
    /// The bytes: magic 4, version 2 (little-endian), role 1 (with [`KEYLESS`]), length of the uid 1, uid 16 (zeros
    /// behind it).
    pub(crate) fn encode(&self) -> [u8; PREAMBLE_BYTES] {
        let uid = self.server_uid.text.as_bytes();
        let length = u8::try_from(uid.len()).unwrap_or_default();
        let head = MAGIC.into_iter().chain(self.version.to_le_bytes());
        let code = self.role.code() | if self.keyless { KEYLESS } else { 0 };
        let source = head.chain([code, length]).chain(uid.iter().copied());
        let mut bytes = [0; PREAMBLE_BYTES];
        for (to, from) in bytes.iter_mut().zip(source) {
            *to = from;
        }
        bytes
    }

    /// Reads what [`Preamble::encode`] wrote; `wanted` is the role that the reader can talk to, `keyless` whether it has
    /// no key.
    ///
    /// # Errors
    /// [`Error::Version`] before anything that another version may have changed, then
    /// [`Error::Role`] and [`Error::Protection`], and [`Error::Malformed`] for all else.
    pub(crate) fn decode(bytes: &[u8], wanted: Role, keyless: bool, own: Side) -> Result<Self, Error> {
        let bad = || Error::Malformed { what: "preamble" };
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or_else(bad)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
        let version = u16::from_le_bytes(*version);
        if *magic != MAGIC {
            return Err(bad());
        }
        if version != PROTOCOL_VERSION {
            return Err(Error::Version { expected: PROTOCOL_VERSION, got: version });
        }
        let ([code, length], rest) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
        let role = Role::from_code(*code & !KEYLESS).ok_or_else(bad)?;
        if role != wanted {
            return Err(Error::Role { expected: own.peer_name(wanted), got: own.peer_name(role) });
        }
        let peer_keyless = *code & KEYLESS != 0;
        if peer_keyless != keyless {
            return Err(Error::Protection { wanted_by_peer: keyless });
        }
        let (uid, zeros) = rest.split_at_checked(usize::from(*length)).ok_or_else(bad)?;
        if rest.len() != SERVER_UID_BYTES_MAX || zeros.iter().any(|byte| *byte != 0) {
            return Err(bad());
        }
        let uid = std::str::from_utf8(uid).map_err(|_| bad())?;
        Ok(Preamble { version, role, keyless, server_uid: ServerUid::parse(uid)? })
    }
}

/// The end of a connection, for naming the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dialling,
    Serving,
}

impl Side {
    fn peer_name(self, role: Role) -> &'static str {
        match self {
            Side::Dialling => role.server_name(),
            Side::Serving => role.peer_name(),
        }
    }
}

/// The body of the frame by which a server of `role` refuses, whatever the reason.
pub(crate) fn refusal(role: Role, keyless: bool) -> Vec<u8> {
    let preamble = Preamble { version: PROTOCOL_VERSION, role, keyless, server_uid: ServerUid::default() };
    [&[REFUSAL], preamble.encode().as_slice()].concat()
}

/// What a refusal tells the dialling side: another version, another role, a key on one side only, or else another key.
pub(crate) fn refused(body: &[u8], role: Role, keyless: bool) -> Error {
    match Preamble::decode(body, role, keyless, Side::Dialling) {
        Ok(_) => Error::WrongKey,
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preamble(uid: &str) -> Preamble {
        let server_uid = ServerUid::parse(uid).unwrap();
        Preamble { version: PROTOCOL_VERSION, role: Role::Worker, keyless: false, server_uid }
    }

    #[test]
    fn encoding_there_and_back() {
        for uid in ["", "aB3xY9", "0123456789abcdef"] {
            let bytes = preamble(uid).encode();
            let back = Preamble::decode(&bytes, Role::Worker, false, Side::Serving).unwrap();
            assert_eq!(back, preamble(uid));
        }
    }

    #[test]
    fn every_single_change_is_refused_or_another_uid() {
        let bytes = preamble("aB3xY9").encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes;
                changed[at] ^= 1 << bit;
                match Preamble::decode(&changed, Role::Worker, false, Side::Serving) {
                    Ok(back) => assert_ne!(back, preamble("aB3xY9")),
                    Err(error) => assert!(at < 8 || matches!(error, Error::Malformed { .. })),
                }
            }
        }
        for length in 0..bytes.len() {
            assert!(Preamble::decode(&bytes[..length], Role::Worker, false, Side::Serving).is_err());
        }
    }

    #[test]
    fn failure_texts_are_those_that_users_know() {
        let mut bytes = preamble("").encode();
        let error = Preamble::decode(&bytes, Role::Client, false, Side::Serving).unwrap_err();
        let text = "Authentication failed: Expected peer role hq-client, got worker";
        assert_eq!(error.to_string(), text);
        bytes[4] = 9;
        let error = Preamble::decode(&bytes, Role::Worker, false, Side::Serving).unwrap_err();
        let text = "Authentication failed: Invalid version of protocol, expected 1, got 9";
        assert_eq!(error.to_string(), text);
        let said = |served: bool, dialled: bool| {
            refused(&refusal(Role::Client, served)[1..], Role::Client, dialled).to_string()
        };
        assert!(said(false, false).contains("Cannot verify challenge"));
        assert_eq!(said(false, true), "Authentication failed: Peer requests authentication");
        assert_eq!(said(true, false), "Authentication failed: Peer does not support authentication");
    }

    #[test]
    fn uids() {
        let uid = ServerUid::random().unwrap();
        assert_eq!(uid.as_str().len(), 6);
        assert_eq!(ServerUid::parse(uid.as_str()).unwrap(), uid);
        assert!(ServerUid::parse("0123456789abcdefg").is_err());
        assert!(ServerUid::parse("a b").is_err());
        assert!(ServerUid::parse("").unwrap().is_any());
    }
}
