//! The library behind `hq`: shells around the pure core.
//!
//! Modules stand in the order in which they may use each other; `tests/tidy.rs` holds the allowed directions.

pub mod access;
pub mod batch;
pub mod client;
pub mod eventlog;
pub mod grammar;
pub mod launch;
pub mod platform;
pub mod server;
pub mod wire;
pub mod worker;

/// Version of the program: that of the crate, with `-dev` unless HQ_RELEASE was set when it was built.
pub const VERSION: &str = match option_env!("HQ_RELEASE") {
    Some(_) => env!("CARGO_PKG_VERSION"),
    None => concat!(env!("CARGO_PKG_VERSION"), "-dev"),
};
