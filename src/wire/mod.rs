//! The wire: sealed, framed, mutually proven connections between clients, workers and the server.
//!
//! Both ports of a server face a network that other users share, so everything that a stranger can
//! send passes through here before any other part of the program sees a byte of it.
//!
//! What holds:
//! * Nothing is acted upon before the peer's first sealed message was opened: a replayed or guessed
//!   beginning has no effect beyond a slot of the gate for [`limits::HANDSHAKE_MS_MAX`].
//! * Every length is checked before memory is taken for it.
//! * No byte of a peer is ever printed.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod connection;
pub mod dial;
pub mod doors;
pub mod error;
pub mod frame;
pub mod gate;
pub mod handshake;
pub mod hello;
pub mod key;
pub mod limits;
pub mod message;
pub mod notice;
pub mod preamble;
pub mod reverse;
pub mod seal;
mod slots;
pub mod stream;

#[cfg(test)]
mod tests;

pub use connection::{Connection, Receiver, Sender};
pub use dial::{DialError, dial, dial_any};
pub use doors::{listen, listen_on};
pub use error::Error;
pub use gate::{Authenticated, Gate, GateLimits, raise_fd_limit, serve};
pub use handshake::{Identity, Stage, initiate, respond};
pub use hello::Hello;
pub use key::SecretKey;
pub use limits::Limits;
pub use preamble::{PROTOCOL_VERSION, Role, ServerUid};
pub use reverse::{accept_server, over_tunnel, receive};
pub use stream::{ReadHalf, WriteHalf};
