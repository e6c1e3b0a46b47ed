//! `render`: the primitives with which answers become text: tables, colours, times, sizes, bars, JSON, log lines.
//!
//! Commands compose these; none of them knows a command, a server or a clock.
//!
//! **Invariant:** text that comes from users is shown without control characters in tables, bars, errors and log
//! lines, so that a name cannot move the cursor or forge a line. Colour goes only to `cli` output.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

pub mod after;
pub mod attempt;
pub mod bar;
pub mod color;
mod described;
pub mod description;
pub mod error;
pub mod escape;
pub mod event_json;
pub mod explain;
pub mod gauge;
pub mod hardware;
pub mod job;
pub mod job_summary;
pub mod journal;
pub mod json;
pub mod log;
mod overview_json;
pub mod repair;
pub mod report;
pub mod resources;
pub mod server;
pub mod shorten;
pub mod size;
pub mod table;
pub mod task;
pub mod time;
pub mod worker;

/// The format of a command's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OutputMode {
    /// Tables and sentences for people.
    #[default]
    Cli,
    /// One JSON value.
    Json,
    /// Minimal lines for scripts.
    Quiet,
}
