//! Sessions: one task for each connection, between the wire and the turn.

mod attempts;
pub mod client;
mod history;
pub mod inspect;
mod overviews;
mod recall;
mod retry;
pub mod worker;

pub use attempts::submits_of;
