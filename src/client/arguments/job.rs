//! `hq job ...` on the command line.
//!
//! A job is what one `hq submit` makes; it is named by its number, several by an array of numbers.
//!
//! Holds: selectors keep the order that was typed.

use super::act::ModifyArgs;
use super::find::JobListArgs;
use super::open::{ForgetArgs, OpenArgs, TaskIdsArgs, WaitArgs};
use super::submit::SubmitArgs;
use crate::grammar::selector::{self, LastOrIds, Selector};
use crate::grammar::{array, free_text};
use clap::{Args, Subcommand, ValueEnum};
use hq_core::idset::IdSet;
use hq_core::view::TaskState;
use std::path::PathBuf;

/// The second word of `hq job`.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs; by default those that are not completed
    List(JobListArgs),
    /// Count jobs by state
    Summary,
    /// Show jobs in detail
    Info(JobSelectorArgs),
    /// Cancel jobs: running tasks are ended, waiting ones never start
    Cancel(CancelArgs),
    /// Keep jobs from starting tasks until they are released; running tasks go on
    ///
    /// Tasks that are added to an open job later are held as well.
    Hold(JobSelectorArgs),
    /// Let held jobs, and all held tasks of jobs, start again
    Release(JobSelectorArgs),
    /// Change values of tasks that have not started: priority, limits, resources
    Modify(ModifyArgs),
    /// Say why jobs are where they are: what they wait for, or why they ended
    Why(JobSelectorArgs),
    /// Keep completed jobs no longer: neither they nor their tasks are shown any more
    Forget(ForgetArgs),
    /// Run tasks again that failed, were canceled or aborted: the same tasks, also of completed jobs
    ///
    /// Numbers of attempts (HQ_INSTANCE_ID) go on. Tasks that wait for one that ended otherwise than they need, and that
    /// does not run again as well, are left as they are.
    Retry(JobRetryArgs),
    /// An older name of `retry`
    #[command(hide = true)]
    Resubmit(JobRetryArgs),
    /// Print what tasks wrote to their output files
    Cat(CatArgs),
    /// Submit a job: a program, or an array of programs
    Submit(Box<SubmitArgs>),
    /// Submit a job that a file describes: different tasks, dependencies, several ways to run
    SubmitFile(SubmitFileArgs),
    /// Tell how the tasks of jobs went: times, memory, the slowest, and what was asked against what was used
    ///
    /// An attempt counts once it has ended. Waiting time is that from the submit, from the end of the attempt before, or
    /// from the rerun to the start.
    Report(JobSelectorArgs),
    /// Wait until jobs are completed; the exit code is 0 also when tasks failed
    Wait(WaitArgs),
    /// Show a progress bar until jobs are completed
    Progress(JobSelectorArgs),
    /// Print the ids of tasks in the form that --array takes
    TaskIds(TaskIdsArgs),
    /// Open a job without tasks, to which `hq submit --job` adds some
    Open(OpenArgs),
    /// Close open jobs: they take no further tasks, and are completed when those that they have are
    Close(JobSelectorArgs),
}

/// State of a task as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskStateWord {
    /// Not running yet, or again
    Waiting,
    /// Its program runs
    Running,
    /// Its program ended with exit code 0
    Finished,
    /// It ended in another way
    Failed,
    /// Canceled by a user
    Canceled,
    /// Aborted by the system
    Aborted,
}

/// Which output of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Channel {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

/// A command that takes jobs and nothing else.
#[derive(Debug, Clone, Args)]
pub struct JobSelectorArgs {
    /// Jobs: `all`, `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse)]
    pub jobs: Selector,
}

/// Shown below the options of `hq job submit-file`.
const JOB_FILE_EXAMPLE: &str = r#"The file is TOML. For example, two tasks of which the second waits for the first:

  [[task]]
  id = 1
  command = ["./prepare"]

  [[task]]
  command = ["./solve", "--fast"]
  deps = [1]
  request = [{ resources = { "gpus/nvidia" = 1 } }, { resources = { cpus = 8 } }]

A task with several requests runs by any of them, the first preferred."#;

/// Options of `hq job submit-file`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = JOB_FILE_EXAMPLE)]
pub struct SubmitFileArgs {
    /// The job file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Add the tasks to this open job
    ///
    /// Ids that the file does not give continue after those of the job. `deps` may name tasks that the job has already;
    /// a number that a task of the file has, also one that it would have in a job of its own, means that task.
    #[arg(long, value_name = "ID", value_parser = selector::parse_id)]
    pub job: Option<u32>,
}

/// Options of `hq job cancel`.
#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    /// Jobs: `all` (those that wait or run), `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse)]
    pub jobs: Selector,
    /// Why, to be shown with the job; at most 200 bytes
    #[arg(long, value_name = "TEXT", value_parser = free_text::parse_cancel_reason)]
    pub reason: Option<String>,
}

/// Options of `hq job retry`.
#[derive(Debug, Clone, Args)]
pub struct JobRetryArgs {
    /// Jobs: `all`, `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse)]
    pub jobs: Selector,
    /// Only tasks in one of these states, separated by commas [default: failed,canceled,aborted]
    #[arg(long, value_name = "STATES", value_enum, value_delimiter = ',')]
    pub filter: Vec<EndedStateWord>,
    /// Only these tasks, for example `0-9,20`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub tasks: Option<IdSet>,
}

/// State of a task that has ended, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EndedStateWord {
    /// It ended in another way than with exit code 0
    Failed,
    /// Canceled by a user
    Canceled,
    /// Aborted by the system
    Aborted,
    /// Its program ended with exit code 0
    Finished,
}

/// Options of `hq job cat`.
#[derive(Debug, Clone, Args)]
pub struct CatArgs {
    /// Jobs: `last` or ids such as `3` or `1-4,7`
    #[arg(value_name = "JOBS", value_parser = selector::parse_last_or_ids)]
    pub jobs: LastOrIds,
    /// Which output
    #[arg(value_enum)]
    pub channel: Channel,
    /// Only these tasks, for example `0-9,20`
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub tasks: Option<IdSet>,
    /// Only tasks in one of these states, separated by commas
    #[arg(long, value_name = "STATES", value_enum, value_delimiter = ',')]
    pub task_status: Vec<TaskStateWord>,
    /// Print the line `# Job J, task T` before the output of each task
    #[arg(long)]
    pub print_task_header: bool,
    /// Go on printing what the tasks write until they have ended, also from a stream directory
    ///
    /// Where several tasks are followed, the line `# Job J, task T` says whose output comes next.
    #[arg(long)]
    pub follow: bool,
}

impl TaskStateWord {
    /// The state that the word means.
    pub fn state(self) -> TaskState {
        match self {
            Self::Waiting => TaskState::Waiting,
            Self::Running => TaskState::Running,
            Self::Finished => TaskState::Finished,
            Self::Failed => TaskState::Failed,
            Self::Canceled => TaskState::Canceled,
            Self::Aborted => TaskState::Aborted,
        }
    }
}

impl EndedStateWord {
    /// The state that the word means.
    pub fn state(self) -> TaskState {
        match self {
            Self::Failed => TaskState::Failed,
            Self::Canceled => TaskState::Canceled,
            Self::Aborted => TaskState::Aborted,
            Self::Finished => TaskState::Finished,
        }
    }
}

impl Channel {
    /// The word, as users write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The number in stream files: 0 for standard output, 1 for standard error.
    pub fn number(self) -> u8 {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}
