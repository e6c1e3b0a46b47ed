//! The worker: runs tasks as processes and tells the server about them.
//!
//! What to do is decided by [`hq_core::agent`]; here it is done: processes, pipes, files, timers and the connection.
//! A worker outlives its server, so the connection is only one of its inputs.
//!
//! What holds:
//! * one thread at a time works with the agent, which takes every input in order; nothing else decides;
//! * heartbeats and the connection do not wait for that thread, nor it for them;
//! * an outcome is reported after the task's output is where it belongs;
//! * nothing of a worker is left when it has ended: no process, no file in the temporary directory.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod control;
mod desk;
mod detect;
mod error;
mod inbox;
pub mod lease;
mod link;
mod local;
mod memory;
mod notices;
mod options;
mod outbound;
mod output;
mod profile;
mod resources;
mod route;
mod sample;
mod spawn;
mod start;
mod stream_file;
mod stream_outcome;
mod temporary;
mod timers;
mod turn;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use memory::MemEnforce;
pub use options::{COUPLING_NONE, WorkerOptions};
pub use resources::{Hardware, look};
pub use start::run;
