//! The command line as types: every command, option and help text.
//!
//! Scripts depend on names, defaults and refusals, so they stand in one place; what a command does is in
//! `client::commands`, and how the server and a worker run is theirs.
//!
//! Holds: a value that reaches a command was read by its one parser in `grammar`; an option that is not listed here
//! is refused with exit code 2.

mod act;
mod deploy;
mod find;
mod global;
mod job;
mod journal;
mod manual;
mod open;
mod output_log;
mod server;
mod submit;
mod task;
mod values;
mod worker;

pub use act::{ChangeArgs, ModifyArgs, TaskActArgs, TaskCancelArgs};
pub use deploy::DeploySshArgs;
pub use find::JobListArgs;
pub use global::GlobalOptions;
pub use job::{CancelArgs, CatArgs, Channel, JobCommand, JobRetryArgs, JobSelectorArgs, SubmitFileArgs, TaskStateWord};
pub use journal::{EventArgs, ExportArgs, JournalArgs, JournalCommand, JournalReportArgs, RepairArgs};
pub use manual::{CompletionArgs, DocArgs, ManArgs, TopicWord};
pub use open::{ForgetArgs, OpenArgs, TaskIdsArgs, WaitArgs};
pub use output_log::{
    OutputLogArgs, OutputLogCommand, StreamCatArgs, StreamCompactArgs, StreamExportArgs, StreamGrepArgs, StreamScope,
    StreamShowArgs, StreamState,
};
pub use server::{DebugDumpArgs, GenerateAccessArgs, ServerCommand, ServerStartArgs, ServerWaitArgs};
pub use submit::{DirectivesWord, JobOptions, PinWord, StreamOnError, SubmitArgs};
pub use task::{TaskAttachArgs, TaskCatArgs, TaskCommand, TaskExplainArgs, TaskInfoArgs, TaskListArgs, TaskNotifyArgs};
pub use values::NonEmpty;
pub use worker::{
    HwDetectArgs, ManagerWord, MemEnforceWord, OnServerLostWord, WorkerAddressArgs, WorkerCommand, WorkerDrainArgs,
    WorkerFilter, WorkerListArgs, WorkerSelectorArgs, WorkerStartArgs, WorkerWaitArgs,
};

use clap::{Args, Parser, Subcommand};

/// Schedules many small programs over the nodes of a cluster, inside allocations of Slurm or PBS or on any machines.
///
/// A server (on a login node) keeps the jobs, workers (on compute nodes) run them:
///
///   hq server start --daemon
///   hq worker start
///   hq submit --array 1-100 --wait -- ./simulate.sh
///   hq job list --all
#[derive(Debug, Parser)]
#[command(
    name = "hyperqueue",
    bin_name = "hq",
    version = crate::VERSION,
    disable_help_subcommand = true,
    max_term_width = 120,
    verbatim_doc_comment
)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: GlobalOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The first word.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start, show and stop the server that keeps the jobs
    Server(ServerGroup),
    /// Submit, watch and cancel jobs
    Job(JobGroup),
    /// An older form of `hq job list`
    #[command(hide = true)]
    Jobs(JobListArgs),
    /// Submit a job: a program, or an array of programs (the same command as `hq job submit`)
    Submit(Box<SubmitArgs>),
    /// Show the tasks of jobs
    Task(TaskGroup),
    /// Start, show and stop the workers that run tasks
    Worker(WorkerGroup),
    /// Read the outputs that `hq submit --stream=DIR` collected; needs no server
    OutputLog(OutputLogArgs),
    /// Read the server's journal of events
    Journal(JournalGroup),
    /// Say where the manual is; needs no server
    Doc(DocArgs),
    /// Print a script that completes the command lines of `hq` in a shell; needs no server
    GenerateCompletion(CompletionArgs),
    /// Write manual pages for `man`, one for each command; needs no server
    GenerateMan(ManArgs),
}

impl Command {
    /// Whether the command starts a server or a worker, which has a log of its own.
    pub fn is_service(&self) -> bool {
        match self {
            Self::Server(group) => matches!(group.command, ServerCommand::Start(_)),
            Self::Worker(group) => matches!(group.command, WorkerCommand::Start(_)),
            _ => false,
        }
    }
}

/// `hq server ...`
#[derive(Debug, Args)]
pub struct ServerGroup {
    /// What to do with the server.
    #[command(subcommand)]
    pub command: ServerCommand,
}

/// `hq job ...`
#[derive(Debug, Args)]
pub struct JobGroup {
    /// What to do with jobs.
    #[command(subcommand)]
    pub command: JobCommand,
}

/// `hq task ...`
#[derive(Debug, Args)]
pub struct TaskGroup {
    /// What to do with tasks.
    #[command(subcommand)]
    pub command: TaskCommand,
}

/// `hq worker ...`
#[derive(Debug, Args)]
pub struct WorkerGroup {
    /// What to do with workers.
    #[command(subcommand)]
    pub command: WorkerCommand,
}

/// `hq journal ...`
#[derive(Debug, Args)]
pub struct JournalGroup {
    /// What to do with the journal.
    #[command(subcommand)]
    pub command: JournalCommand,
}

#[cfg(test)]
mod tests;
