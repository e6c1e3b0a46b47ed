//! Sessions: one task for each connection, between the wire and the turn.

pub mod client;
mod overviews;
pub mod worker;
