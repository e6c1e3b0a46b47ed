//! The server: sessions of clients and workers around one machine and one journal.
//!
//! * [`turn`]: the thread that owns the machine. Commands in, events and effects out, many commands a turn.
//! * [`commit`]: the thread that owns the journal. **Invariant:** nothing that tells somebody about an event leaves the
//!   process before the event is durable; [`commit::Released`] is constructed only there.
//! * [`health`]: what the turn and the sessions know of the journal: trouble, and that decisions were taken back.
//! * [`session`]: one task for each connection; heartbeats, framing and crypto stay on the tokio threads.
//! * [`start`], [`restore`], [`checkpoint`]: how a server begins, what it remembers, and how that stays quick.
//! * `probe`, `entrance`: whether there is a server already, and where this one is to be found.
//! * [`listeners`]: who is told of events where no journal is kept.
//! * `caller`: dials workers that cannot dial.
//! * `sign`: the sign of life for workers that hear nothing.
//! * `dump`: the state as JSON, for who looks for a defect.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

mod caller;
pub mod checkpoint;
pub mod commit;
mod dump;
mod entrance;
pub mod error;
pub mod health;
pub mod listeners;
mod probe;
pub mod requests;
pub mod restore;
pub mod retention;
pub mod session;
pub mod sign;
pub mod start;
pub mod staying;
pub mod turn;
pub mod watch;
pub mod workers;

pub use error::Error;
pub use start::{ServerOptions, run};
