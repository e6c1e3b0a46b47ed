//! The operating system, as the rest of the program sees it.
//!
//! Everything that calls the kernel or libc directly lives here, so that the rest is portable, testable and free of
//! `unsafe`. Nothing in here decides anything about jobs.
//!
//! Invariants: this is the only module with `unsafe` code; it depends on no other module of the program.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod browser;
pub mod capture;
pub mod cgroup;
pub mod clock;
pub mod daemon;
pub mod fs;
pub mod hardware;
pub mod host;
pub mod net;
pub mod process;
pub mod random;
pub mod signal;
pub mod terminal;
pub mod usage;
