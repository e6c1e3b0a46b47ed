//! `hq output-log ...` on the command line.
//!
//! With `hq submit --stream=DIR` workers write the outputs of many tasks into few files; this reads them.
//!
//! Holds: works offline, on the files alone.

use super::job::Channel;
use super::values::{self, NonEmpty};
use crate::grammar::array;
use clap::{Args, Subcommand};
use hq_core::idset::IdSet;
use std::path::PathBuf;

/// Options of `hq output-log`.
#[derive(Debug, Args)]
#[command(subcommand_precedence_over_arg = true)]
pub struct OutputLogArgs {
    /// Stream directory: what was given to `--stream`
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// Use only files written for the server with this uid
    #[arg(long, value_name = "UID", value_parser = values::non_empty)]
    pub server_uid: Option<NonEmpty>,
    /// What to print.
    #[command(subcommand)]
    pub command: OutputLogCommand,
}

/// What to print of a stream directory.
#[derive(Debug, Subcommand)]
pub enum OutputLogCommand {
    /// Print how much is stored
    Summary,
    /// Print the ids of all jobs in the directory, one a line
    Jobs,
    /// Print all outputs as lines `JOB.TASK:CHANNEL> DATA` in the order of time
    Show(StreamShowArgs),
    /// Print the raw output of tasks of one job
    Cat(StreamCatArgs),
}

/// Options of `hq output-log DIR show`.
#[derive(Debug, Clone, Args)]
pub struct StreamShowArgs {
    /// Only this job
    #[arg(long, value_name = "JOB")]
    pub job: Option<u32>,
    /// Only these tasks, for example `0-9,20`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub task: Option<IdSet>,
    /// Only this output
    #[arg(long, value_enum)]
    pub channel: Option<Channel>,
}

/// Options of `hq output-log DIR cat`.
#[derive(Debug, Clone, Args)]
pub struct StreamCatArgs {
    /// Job
    pub job: u32,
    /// Which output
    #[arg(value_enum)]
    pub channel: Channel,
    /// Only these tasks, printed in this order, for example `3-4,2`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub task: Option<IdSet>,
    /// Print also what tasks have written that have not ended
    #[arg(long)]
    pub allow_unfinished: bool,
}
