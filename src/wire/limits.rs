//! The limits of the wire, each named with its unit last.
//!
//! They stand in one place because together they are the promise of what a stranger, and what a
//! holder of a key, can cost a server.
//!
//! What holds: a limit is compared before memory is taken or a task is started, never afterwards.

use super::preamble::Role;

/// Longest frame, without its length field, before both sides have proven themselves.
pub const PREAUTH_FRAME_BYTES_MAX: u32 = 4 * 1024;

/// Longest sealed frame, without its length field: the longest message that the Noise protocol
/// allows (specification revision 34, section 3).
pub const SEALED_FRAME_BYTES_MAX: u32 = 65_535;

/// Bytes that sealing adds to a frame: the authentication tag of AES-GCM.
pub const TAG_BYTES: usize = 16;

/// Bytes of message that fit in one sealed frame: the rest is the tag and one byte for the kind.
pub const CHUNK_BYTES_MAX: usize = SEALED_FRAME_BYTES_MAX as usize - TAG_BYTES - 1;

/// Sealed frames in one direction of one session; reconnecting gives fresh keys and counters.
pub const FRAMES_MAX: u64 = 1 << 32;

/// Time for the whole handshake, seen from each side, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 5_000;

/// A refusal leaves the server at a multiple of this time after the connection began, so that its
/// delay does not tell what was wrong. Milliseconds.
pub const REFUSAL_MS_STEP: u64 = 200;

/// Time for writing a refusal to a peer that may not be reading, in milliseconds.
pub const REFUSAL_WRITE_MS_MAX: u64 = 100;

/// Time for one attempt to reach one address of a server, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 5_000;

/// Silence of a connection after which the system asks whether the other machine is still there, in seconds.
pub const KEEPALIVE_IDLE_S: u32 = 20;

/// Time between two such questions, in seconds.
pub const KEEPALIVE_STEP_S: u32 = 5;

/// Questions without an answer after which the connection is broken.
pub const KEEPALIVE_PROBES: u32 = 4;

/// Time for which bytes may stay unacknowledged before the connection is broken, in milliseconds.
pub const UNACKNOWLEDGED_MS_MAX: u32 = 40_000;

/// A further address of a server is tried when those before have not led to it for this long, in milliseconds
/// (RFC 8305 calls it the connection attempt delay).
pub const ATTEMPT_MS_STEP: u64 = 250;

/// Addresses of a server that are tried; further ones are left out.
pub const ADDRESSES_MAX: usize = 16;

/// Longest message between a client and the server, in either direction.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest message between a worker and the server, in either direction.
pub const WORKER_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Connections of one port that have not proven themselves yet.
pub const UNPROVEN_MAX: usize = 64;

/// Connections of one port that the system has accepted and the program has not. One more loses its first packet and
/// is only tried again after a second, so that a flood must not fill this; the system may allow less.
pub const BACKLOG_MAX: u32 = 4_096;

/// Open files that are kept for everything but unproven connections: journal, sessions, runtime.
pub const FILES_RESERVED: u64 = 64;

/// Connections of one port and one source address that have not proven themselves yet.
pub const UNPROVEN_PER_SOURCE_MAX: usize = 16;

/// What one session may carry. The counts hold for each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message in bytes of CBOR.
    pub message_bytes_max: usize,
    /// Sealed frames before the session must be replaced by a new one; at most [`FRAMES_MAX`].
    pub frames_max: u64,
}

impl Limits {
    /// The limits of a connection on which `role` faces the server.
    pub fn of(role: Role) -> Self {
        let message_bytes_max = match role {
            Role::Client => CLIENT_MESSAGE_BYTES_MAX,
            Role::Worker => WORKER_MESSAGE_BYTES_MAX,
        };
        Limits { message_bytes_max, frames_max: FRAMES_MAX }
    }
}
