//! Tests of the wire as a whole: two proven peers, and everything that may stand between them.
//!
//! They run in memory with virtual time, so that deadlines and delays cost nothing, except those
//! of the gate, which need sockets.
//!
//! What holds: a connection is a pair of in-memory pipes with an editor in the middle.

mod gate;
mod handshake;
mod stream;
mod tamper;

use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};

use super::*;

pub(super) type MemoryConnection = Connection<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

pub(super) fn identity(role: Role, key: u8, uid: &str) -> Identity {
    let uid = ServerUid::parse(uid).unwrap();
    Identity::new(role, SecretKey::from_bytes([key; 32]), uid, "1.2.3")
}

/// Both ends of a session over a pipe of `pipe_bytes`.
pub(super) async fn pair(limits: Limits, pipe_bytes: usize) -> (MemoryConnection, MemoryConnection) {
    let identity = Identity { limits, ..identity(Role::Client, 1, "abc123") };
    let (near, far) = duplex(pipe_bytes);
    let ((reader, writer), (far_reader, far_writer)) = (split(near), split(far));
    let (client, server) =
        tokio::join!(initiate(reader, writer, &identity), respond(far_reader, far_writer, &identity, || ()),);
    (client.unwrap(), server.unwrap())
}
