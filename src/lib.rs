//! The library behind `hq`: shells around the pure core.
//!
//! Modules stand in the order in which they may use each other; `tests/tidy.rs` holds the allowed directions.

pub mod grammar;
pub mod platform;
pub mod wire;

pub mod access;

pub mod client;
