//! `hq output-log ...` on the command line.
//!
//! With `hq submit --stream=DIR` workers write the outputs of many tasks into few files; this reads them.
//!
//! Holds: works offline, on the files alone.

use super::job::Channel;
use super::values::{self, NonEmpty};
use crate::grammar::{array, duration};
use clap::{Args, Subcommand, ValueEnum};
use hq_core::idset::IdSet;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Print outputs of tasks of one job as JSON
    Export(StreamExportArgs),
    /// Print lines of outputs that match a pattern
    Grep(StreamGrepArgs),
    /// Merge the files of the directory, without what later attempts have superseded
    Compact(StreamCompactArgs),
}

/// How a task stands in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamState {
    /// Its program ended with exit code 0
    Finished,
    /// It ended in another way
    Failed,
    /// A user canceled it
    Canceled,
    /// It runs, or was cut off or ended with its worker
    Unfinished,
}

/// Whose output is meant, of a whole directory.
#[derive(Debug, Clone, Args)]
pub struct StreamScope {
    /// Only this job
    #[arg(long, value_name = "JOB")]
    pub job: Option<u32>,
    /// Only these tasks, for example `0-9,20`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub task: Option<IdSet>,
    /// Only this output
    #[arg(long, value_enum)]
    pub channel: Option<Channel>,
    /// Only tasks in one of these states, separated by commas
    #[arg(long, value_name = "STATES", value_enum, value_delimiter = ',')]
    pub filter: Vec<StreamState>,
}

/// Options of `hq output-log DIR show`.
#[derive(Debug, Clone, Args)]
pub struct StreamShowArgs {
    /// Whose output.
    #[command(flatten)]
    pub scope: StreamScope,
    /// Go on printing what is written, of all attempts, until interrupted
    #[arg(long, conflicts_with = "filter")]
    pub follow: bool,
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
    /// Only tasks in one of these states, separated by commas
    #[arg(long, value_name = "STATES", value_enum, value_delimiter = ',')]
    pub filter: Vec<StreamState>,
    /// Print also what tasks have written that have not ended
    #[arg(long)]
    pub allow_unfinished: bool,
    /// Wait for what is not there yet, and print it while it is written, task after task, until the tasks have ended
    #[arg(long, conflicts_with_all = ["filter", "allow_unfinished"])]
    pub follow: bool,
}

/// Options of `hq output-log DIR compact`.
///
/// Files that workers still write are left as they are; tasks can go on writing into the directory.
#[derive(Debug, Clone, Args)]
pub struct StreamCompactArgs {
    /// Largest file that is made, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_gib: u32,
    /// Also merge files that were never closed, because their worker was killed, if they are as old as this
    ///
    /// A file that a worker holds is never taken, if the file system knows locks over all machines. Where it does not,
    /// choose more time than any task is silent for.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_human)]
    pub unclosed_after: Option<Duration>,
}

/// Options of `hq output-log DIR export`.
#[derive(Debug, Clone, Args)]
pub struct StreamExportArgs {
    /// Job
    pub job: u32,
    /// Only these tasks, printed in this order, for example `3-4,2`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub task: Option<IdSet>,
    /// Only tasks in one of these states, separated by commas
    #[arg(long, value_name = "STATES", value_enum, value_delimiter = ',')]
    pub filter: Vec<StreamState>,
    /// Add the standard error, times, attempt, worker, and how the task ended
    #[arg(long)]
    pub full: bool,
}

/// Options of `hq output-log DIR grep`.
///
/// The exit code is 0 if a line matches, 1 if none does, 2 after an error, also if a part of the output is damaged.
#[derive(Debug, Clone, Args)]
pub struct StreamGrepArgs {
    /// Regular expression, as the crate `regex` defines it
    pub pattern: String,
    /// Whose output.
    #[command(flatten)]
    pub scope: StreamScope,
    /// Take capital and small letters for the same
    #[arg(short, long)]
    pub ignore_case: bool,
    /// Print `JOB.TASK:CHANNEL> NUMBER` with the number of lines that match instead of the lines
    #[arg(short, long, conflicts_with = "list")]
    pub count: bool,
    /// Print the ids of tasks with a line that matches: `TASK` with `--job`, else `JOB.TASK`
    #[arg(short, long)]
    pub list: bool,
}
