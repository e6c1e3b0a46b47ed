//! `grammar`: one parser a value, for everything that users and worker definitions write as text.
//!
//! Each text has one reader, shared by the command line, directives, job files and batch scripts, so that a value
//! means the same wherever it is written.
//!
//! **Invariant:** every function here is total: any text gives a value or an [`Error`] that points at the place.
//! Where a value has a printed form, parsing the printed form gives the value back.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

pub mod after;
pub mod array;
pub mod coupling;
pub mod crash_limit;
mod cursor;
pub mod destination;
pub mod detection;
pub mod directive;
pub mod duration;
pub mod environment;
mod error;
pub mod free_text;
pub mod job_filter;
pub mod jobfile;
pub mod journal_keep;
pub mod moment;
pub mod placeholder;
pub mod pool;
pub mod request;
pub mod retry;
pub mod selector;
pub mod shell_words;
pub mod stop;
pub mod tag;
pub mod utilization;
pub mod weight;

pub use error::Error;
