//! What can go wrong on a connection, as values.
//!
//! Whoever gets one decides between three things: try again (`Io`, `Cut`, `Timeout`, `Exhausted`),
//! give up (`Version`, `Role`, `WrongKey`, ...), or drop the peer (`Forged`, `Malformed`, ...).
//!
//! What holds: no variant and no text carries unescaped bytes of a peer.

use std::fmt;
use std::io;

/// Failures of frames, handshakes and sealed connections.
#[derive(Debug)]
pub enum Error {
    /// The operating system refused to read or write.
    Io {
        /// What was being done, for the message.
        doing: &'static str,
        /// The reason it gave.
        source: io::Error,
    },
    /// The stream ended without the end mark: the peer died or the network cut the connection.
    Cut,
    /// The system says that the connection was reset: by the machine of the peer, whose process may have died, or by
    /// anything in between, and then the peer may live and know nothing of it.
    Reset,
    /// The handshake did not finish in time.
    Timeout {
        /// The time allowed, in milliseconds.
        ms_max: u64,
    },
    /// A frame was announced that is longer than this stage of the connection allows.
    FrameTooLarge {
        /// The announced length.
        bytes: u32,
        /// The longest allowed.
        bytes_max: u32,
    },
    /// A message is longer than its limit, sent or received.
    MessageTooLarge {
        /// The longest allowed.
        bytes_max: usize,
    },
    /// Bytes that do not have the form of the protocol; says which part.
    Malformed {
        /// The part that was read.
        what: &'static str,
    },
    /// A sealed frame that was altered, replayed, moved, or sealed under other keys.
    Forged,
    /// A well-formed message of a kind or shape that this program does not know. The receiver
    /// stands behind it: receiving may go on.
    Unknown {
        /// The decoder's reason, escaped and cut to a short length.
        reason: String,
    },
    /// A message of our own could not be encoded.
    Encode {
        /// The encoder's reason.
        reason: String,
    },
    /// The session has sealed as many frames as it may; a new connection is needed.
    Exhausted,
    /// The peer speaks another version of the protocol.
    Version {
        /// Our version.
        expected: u16,
        /// The peer's version.
        got: u16,
    },
    /// The peer has another role than the one that this port serves.
    Role {
        /// The role wanted, as shown to users.
        expected: &'static str,
        /// The role found.
        got: &'static str,
    },
    /// One side has a key, the other has none.
    Protection {
        /// Whether it is the peer who has one.
        wanted_by_peer: bool,
    },
    /// The peer asks for a server with another uid.
    WrongServer,
    /// The two sides do not hold the same key.
    WrongKey,
    /// The operating system gave no randomness.
    Random,
}

impl Error {
    /// True where the same peer would be refused again: trying again with the same key, version
    /// and role is useless.
    pub fn is_rejection(&self) -> bool {
        matches!(
            self,
            Error::Version { .. }
                | Error::Role { .. }
                | Error::Protection { .. }
                | Error::WrongServer
                | Error::WrongKey
        )
    }

    /// The kind of failure as an index below [`Error::KINDS`]`.len()`, for counting.
    pub(crate) fn kind(&self) -> usize {
        match self {
            Error::Io { .. } => 0,
            Error::Cut | Error::Reset => 1,
            Error::Timeout { .. } => 2,
            Error::FrameTooLarge { .. } => 3,
            Error::Malformed { .. } | Error::MessageTooLarge { .. } | Error::Unknown { .. } => 4,
            Error::Version { .. } => 5,
            Error::Role { .. } | Error::Protection { .. } => 6,
            Error::WrongServer => 7,
            Error::WrongKey => 8,
            Error::Forged => 9,
            Error::Encode { .. } | Error::Exhausted | Error::Random => 10,
        }
    }

    /// Names of the kinds that [`Error::kind`] counts.
    pub(crate) const KINDS: [&'static str; 11] = [
        "failed input or output",
        "closed early",
        "timed out",
        "announced too large a frame",
        "did not speak the protocol",
        "had another protocol version",
        "had another role or no key",
        "asked for another server",
        "had a wrong key",
        "sent altered or replayed bytes",
        "failed inside",
    ];

    /// Makes an `Unknown` whose reason is safe to print: peers choose parts of a decoder's text.
    pub(crate) fn unknown(reason: &impl fmt::Display) -> Self {
        let reason = reason.to_string().chars().take(160).flat_map(char::escape_debug).collect();
        Error::Unknown { reason }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, source } => write!(f, "Cannot {doing}: {source}"),
            Error::Cut => write!(f, "The connection was cut by the other side or the network"),
            Error::Reset => write!(f, "The connection was reset by the other side or the network"),
            Error::Timeout { ms_max } => {
                write!(f, "Authentication failed: the other side did not answer within {ms_max} ms")
            }
            Error::FrameTooLarge { bytes, bytes_max } => {
                write!(f, "A frame of {bytes} bytes was announced where {bytes_max} are allowed")
            }
            Error::MessageTooLarge { bytes_max } => {
                write!(f, "A message is longer than the {bytes_max} bytes that one message may have; split the request")
            }
            Error::Malformed { what } => {
                write!(f, "The other side does not speak this protocol: bad {what}")
            }
            Error::Forged => {
                write!(f, "A sealed frame cannot be opened: it was altered, replayed or moved on its way")
            }
            Error::Unknown { reason } => {
                write!(f, "A message is of a kind that this version does not know: {reason}")
            }
            Error::Encode { reason } => write!(f, "A message cannot be encoded: {reason}"),
            Error::Exhausted => write!(f, "The session has reached its last frame; connect again"),
            Error::Version { expected, got } => {
                write!(f, "Authentication failed: Invalid version of protocol, expected {expected}, got {got}")
            }
            Error::Role { expected, got } => {
                write!(f, "Authentication failed: Expected peer role {expected}, got {got}")
            }
            Error::Protection { wanted_by_peer: true } => {
                write!(f, "Authentication failed: Peer requests authentication")
            }
            Error::Protection { wanted_by_peer: false } => {
                write!(f, "Authentication failed: Peer does not support authentication")
            }
            Error::WrongServer => {
                write!(f, "Authentication failed: the access file belongs to another server; read it again")
            }
            Error::WrongKey => write!(
                f,
                "Cannot verify challenge: the two sides hold different keys; use the access file of this server"
            ),
            Error::Random => write!(f, "The operating system gave no random bytes"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
