//! Actions on tasks after submit, on the command line.
//!
//! Tasks are named by their job and their numbers within the job.
//!
//! Holds: nothing is acted on that was not named.

use crate::grammar::request::{self, NamedRequest, Quantity};
use crate::grammar::selector::{self, LastOrId, Selector};
use crate::grammar::{array, crash_limit, duration, free_text};
use clap::Args;
use hq_core::idset::IdSet;
use hq_core::task::CrashLimit;
use std::time::Duration;

/// Arguments of `hq task hold` and `hq task release`.
#[derive(Debug, Clone, Args)]
pub struct TaskActArgs {
    /// Job: `last` or an id
    #[arg(value_name = "JOB", value_parser = selector::parse_last_or_id)]
    pub job: LastOrId,
    /// Tasks, for example `0-9,20`
    #[arg(value_name = "TASKS", value_parser = array::parse)]
    pub tasks: IdSet,
}

/// Options of `hq task cancel`.
#[derive(Debug, Clone, Args)]
pub struct TaskCancelArgs {
    /// Which tasks.
    #[command(flatten)]
    pub which: TaskActArgs,
    /// Why, to be shown with the tasks; at most 200 bytes
    #[arg(long, value_name = "TEXT", value_parser = free_text::parse_cancel_reason)]
    pub reason: Option<String>,
}

/// Options of `hq job modify`.
#[derive(Debug, Clone, Args)]
pub struct ModifyArgs {
    /// Jobs: `all` (those that are not completed), `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse)]
    pub jobs: Selector,
    /// Only these tasks, for example `0-9,20`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub tasks: Option<IdSet>,
    /// The new values.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// New values for tasks that have not started, and for their job.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct ChangeArgs {
    /// Tasks with a larger number start earlier; a 32-bit integer, for example `--priority=-1`
    #[arg(long, value_name = "NUMBER")]
    pub priority: Option<i32>,
    /// Fail a task that runs longer than this, for example `90` (seconds), `1:30:00` or `1h 30m`; `0` for no limit
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub time_limit: Option<Duration>,
    /// When more than this many tasks of the job have failed, abort all that have not ended
    #[arg(long, value_name = "COUNT")]
    pub max_fails: Option<u32>,
    /// CPUs of each task, as for `hq submit`
    #[arg(long, value_name = "REQUEST", value_parser = request::parse)]
    pub cpus: Option<Quantity>,
    /// Another resource of each task, for example `gpus/nvidia=1`; may be repeated
    ///
    /// What a task asks for of the same name is replaced, the rest stays.
    #[arg(long, value_name = "NAME=REQUEST", value_parser = request::parse_named)]
    pub resource: Vec<NamedRequest>,
    /// How often a task may lose its worker while it runs: `never-restart`, `unlimited`, or 1 to 65535
    #[arg(long, value_name = "LIMIT", value_parser = crash_limit::parse)]
    pub crash_limit: Option<CrashLimit>,
}
