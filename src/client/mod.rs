//! `client`: everything that a user types, except what a server or a worker does once it runs.
//!
//! A command asks the server for a view and renders it; it decides nothing.
//!
//! Holds: what a command prints is one value of `core::view`, rendered for the output mode. Results go to the standard
//! output, log lines and errors to the standard error; the exit code is 0, 1 for a failure at run time, 2 for a wrong
//! command line.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

pub mod arguments;
pub mod commands;
pub mod console;
pub mod directives;
pub mod entries;
pub mod error;
pub mod journal_events;
pub mod link;
pub mod live;
pub mod paths;
pub mod render;
pub mod report;
pub mod submission;
pub mod task_pages;

pub use commands::{fail, run};
pub use error::Error;
