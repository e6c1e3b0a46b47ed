//! `hq job open`, `forget`, `task-ids` and `wait` on the command line.

use super::job::TaskStateWord;
use crate::grammar::selector::{self, Selector};
use crate::grammar::tag;
use clap::{Args, ValueEnum};
use hq_core::view::JobState;

/// Options of `hq job open`.
#[derive(Debug, Clone, Args)]
pub struct OpenArgs {
    /// Name of the job
    #[arg(long, value_name = "NAME", default_value = "job")]
    pub name: String,
    /// When more than this many tasks have failed, abort all that have not ended; 0 aborts at the first failure
    #[arg(long, value_name = "COUNT")]
    pub max_fails: Option<u32>,
    /// A tag by which the job can be found, for example `project=x`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag::parse)]
    pub tag: Vec<(String, String)>,
}

/// State of a completed job as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletedWord {
    /// All tasks finished successfully
    Finished,
    /// A task failed
    Failed,
    /// Tasks were aborted by the system
    Aborted,
    /// Canceled by a user
    Canceled,
}

/// Options of `hq job forget`.
#[derive(Debug, Clone, Args)]
pub struct ForgetArgs {
    /// Jobs: `all`, `last`, or ids such as `3` or `1-4,7`; only completed ones are forgotten
    #[arg(value_name = "JOBS", value_parser = selector::parse)]
    pub jobs: Selector,
    /// Only jobs in one of these states, separated by commas
    #[arg(
        long,
        value_name = "STATES",
        value_enum,
        value_delimiter = ',',
        default_value = "finished,failed,aborted,canceled"
    )]
    pub filter: Vec<CompletedWord>,
}

/// Options of `hq job task-ids`.
#[derive(Debug, Clone, Args)]
pub struct TaskIdsArgs {
    /// Jobs: `all`, `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse)]
    pub jobs: Selector,
    /// Only tasks in one of these states, separated by commas
    #[arg(long, value_name = "STATES", value_enum, value_delimiter = ',')]
    pub filter: Vec<TaskStateWord>,
}

/// Options of `hq job wait`.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Jobs: `all`, `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse)]
    pub jobs: Selector,
    /// Do not wait until open jobs are closed, only until nothing of them is left to do
    #[arg(long)]
    pub without_close: bool,
}

impl CompletedWord {
    /// The state that the word means.
    pub fn state(self) -> JobState {
        match self {
            Self::Finished => JobState::Finished,
            Self::Failed => JobState::Failed,
            Self::Aborted => JobState::Aborted,
            Self::Canceled => JobState::Canceled,
        }
    }
}
