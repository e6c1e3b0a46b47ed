//! `hq task ...` on the command line.
//!
//! A task is named by its job and its number within the job.
//!
//! Holds: ids of tasks are read by the one parser of arrays.

use super::act::{TaskActArgs, TaskCancelArgs};
use super::job::{Channel, TaskStateWord};
use crate::grammar::array;
use crate::grammar::selector::{self, LastOrId, LastOrIds};
use clap::{Args, Subcommand};
use hq_core::idset::IdSet;
use std::ffi::OsString;

/// The second word of `hq task`.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// List the tasks of jobs
    List(TaskListArgs),
    /// Show tasks in detail
    Info(TaskInfoArgs),
    /// Say why a task waits
    Explain(TaskExplainArgs),
    /// Say why a task is where it is, whatever its state
    Why(TaskExplainArgs),
    /// Cancel tasks: running ones are ended, waiting ones never start
    Cancel(TaskCancelArgs),
    /// Keep waiting tasks from starting until they are released; running ones go on
    Hold(TaskActArgs),
    /// Let held tasks start again
    Release(TaskActArgs),
    /// Print what tasks wrote, to files or to a stream directory, also in an earlier attempt
    Cat(TaskCatArgs),
    /// Stay with one task until it has ended: its output and its errors are printed as they come
    ///
    /// The exit code is 0 if the task finishes, 1 if it does not.
    Attach(TaskAttachArgs),
    /// Within a task: say something to whoever listens to its job
    Notify(TaskNotifyArgs),
}

/// Arguments of `hq task notify`.
#[derive(Debug, Clone, Args)]
pub struct TaskNotifyArgs {
    /// Any text of at most 1024 bytes
    #[arg(value_name = "MESSAGE", allow_hyphen_values = true)]
    pub message: OsString,
}

/// Options of `hq task cat`.
#[derive(Debug, Clone, Args)]
pub struct TaskCatArgs {
    /// Job: `last` or an id
    #[arg(value_name = "JOB", value_parser = selector::parse_last_or_id)]
    pub job: LastOrId,
    /// Tasks, for example `0-9,20`
    #[arg(value_name = "TASKS", value_parser = array::parse)]
    pub tasks: IdSet,
    /// Which output
    #[arg(value_enum, default_value = "stdout")]
    pub channel: Channel,
    /// Go on printing what the tasks write until they have ended
    #[arg(long, conflicts_with = "attempt")]
    pub follow: bool,
    /// What was written in this attempt; the newest one if it is not given
    #[arg(long, value_name = "NUMBER")]
    pub attempt: Option<u32>,
}

/// Arguments of `hq task attach`.
#[derive(Debug, Clone, Args)]
pub struct TaskAttachArgs {
    /// Job: `last` or an id
    #[arg(value_name = "JOB", value_parser = selector::parse_last_or_id)]
    pub job: LastOrId,
    /// Task: its number
    #[arg(value_name = "TASK")]
    pub task: u32,
}

/// Options of `hq task list`.
#[derive(Debug, Clone, Args)]
pub struct TaskListArgs {
    /// Jobs: `last` or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse_last_or_ids)]
    pub jobs: LastOrIds,
    /// Only these tasks, for example `0-9,20`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub tasks: Option<IdSet>,
    /// Only tasks in one of these states, separated by commas
    #[arg(long, value_name = "STATES", value_enum, value_delimiter = ',')]
    pub task_status: Vec<TaskStateWord>,
    /// Show error texts in full
    #[arg(short, long)]
    pub verbose: bool,
}

/// Options of `hq task info`.
#[derive(Debug, Clone, Args)]
pub struct TaskInfoArgs {
    /// Job: `last` or an id
    #[arg(value_name = "JOB", value_parser = selector::parse_last_or_id)]
    pub job: LastOrId,
    /// Tasks, for example `0-9,20`
    #[arg(value_name = "TASKS", value_parser = array::parse)]
    pub tasks: IdSet,
    /// Show error texts in full
    #[arg(short, long)]
    pub verbose: bool,
}

/// Options of `hq task explain`.
#[derive(Debug, Clone, Args)]
pub struct TaskExplainArgs {
    /// Job: `last` or an id
    #[arg(value_name = "JOB", value_parser = selector::parse_last_or_id)]
    pub job: LastOrId,
    /// Task: its number
    #[arg(value_name = "TASK")]
    pub task: u32,
}
