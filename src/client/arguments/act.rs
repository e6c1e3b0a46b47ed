//! Actions on tasks after submit, on the command line.
//!
//! Tasks are named by their job and their numbers within the job.
//!
//! Holds: nothing is acted on that was not named.

use crate::grammar::selector::{self, LastOrId};
use crate::grammar::{array, free_text};
use clap::Args;
use hq_core::idset::IdSet;

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
