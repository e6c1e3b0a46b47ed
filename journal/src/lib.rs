//! Bytes that survive: records, the durable event log, checkpoints and the output streams of tasks.
//!
//! The scheduler's state is what replaying its log gives, so everything that it promises rests on this crate: what
//! was committed comes back after `kill -9`, power loss and full disks, and damage is named instead of being read as
//! data.
//!
//! **Invariant:** this crate knows records, not jobs: it never looks into the body of an event.
//! **Invariant:** bytes read from disk are parsed by total functions; no input can end the process.
//! **Invariant:** a failed sync is never counted as a success.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod checkpoint;
pub mod disk;
pub mod error;
pub mod journal;
pub mod kept;
pub mod lock;
pub mod log;
pub mod mark;
pub mod reading;
pub mod record;
pub mod salvage;
pub mod scan;
pub mod store;
pub mod stream;
pub mod tail;

pub use checkpoint::{Checkpoint, CheckpointWriter};
pub use error::{Error, ReplayError};
pub use journal::{AppendedRange, Journal, Opened, Options, Place, Pruned, Pruner, Reader, Stats, read_dir};
pub use record::{Header, Point, Record, RecordDraft, RecordRef};
