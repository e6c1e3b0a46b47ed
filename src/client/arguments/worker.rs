//! `hq worker ...` on the command line.
//!
//! A worker offers the resources of one machine to the server and runs tasks there.
//!
//! Holds: durations are accepted both as clock time and as human time.

use super::values::{self, NonEmpty};
use crate::grammar::duration;
use crate::grammar::pool;
use crate::grammar::selector::{self, Selector};
use clap::{Args, Subcommand, ValueEnum};
use hq_core::resource::PoolKind;
use hq_core::worker::OnServerLost;
use std::path::PathBuf;
use std::time::Duration;

/// The second word of `hq worker`.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Start a worker on this machine
    ///
    /// It offers the CPUs of this machine (those that the process may use) to the server and runs tasks until it is
    /// stopped by `hq worker stop`, SIGINT or SIGTERM, or one of the limits below is reached. When the server goes away,
    /// it keeps its tasks running and comes back to the server once that is started again.
    ///
    /// Example:
    ///   hq worker start --cpus 8 --idle-timeout 10m
    #[command(verbatim_doc_comment)]
    Start(WorkerStartArgs),
    /// Stop workers; their running tasks are ended and run again elsewhere
    Stop(WorkerSelectorArgs),
    /// List workers; by default those that are connected
    List(WorkerListArgs),
    /// Show workers in detail
    Info(WorkerSelectorArgs),
}

/// What a worker does when the server stays away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnServerLostWord {
    /// End running tasks and exit
    Stop,
    /// Let running tasks end, start no others, then exit
    FinishRunning,
}

/// Which workers are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkerFilter {
    /// Those that are connected
    Running,
    /// Those that have ended
    Offline,
}

/// A command that takes workers and nothing else.
#[derive(Debug, Clone, Args)]
pub struct WorkerSelectorArgs {
    /// Workers: `all`, `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "WORKERS", value_parser = selector::parse)]
    pub workers: Selector,
}

/// Options of `hq worker list`.
#[derive(Debug, Clone, Args)]
pub struct WorkerListArgs {
    /// List also workers that have ended
    #[arg(long, conflicts_with = "filter")]
    pub all: bool,
    /// List only these workers
    #[arg(long, value_enum)]
    pub filter: Option<WorkerFilter>,
}

/// Options of `hq worker start`.
#[derive(Debug, Clone, Args)]
pub struct WorkerStartArgs {
    /// CPUs to offer: a number, or a pool such as `2x4` (2 NUMA nodes of 4), `[0,2,4]` or `range(4-7)`
    ///
    /// [default: the CPUs that this process may use, grouped by NUMA node]
    #[arg(long, value_name = "DEF", value_parser = pool::parse_cpus)]
    pub cpus: Option<PoolKind>,
    /// Name of this machine, shown to users [default: the machine's own name]
    #[arg(long, value_name = "NAME", value_parser = values::non_empty)]
    pub hostname: Option<NonEmpty>,
    /// How often the worker tells the server that it is alive, from 200ms to 1h
    ///
    /// The server calls a worker lost when it has heard nothing for two of these.
    #[arg(long, value_name = "DURATION", value_parser = values::heartbeat, default_value = "8s")]
    pub heartbeat: Duration,
    /// Stop when there has been nothing to do for this long, for example `5m`
    ///
    /// [default: what the server was started with, else never]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub idle_timeout: Option<Duration>,
    /// Stop after this time, for example `1:30:00` or `2h`; running tasks are ended and run again elsewhere
    ///
    /// [default: unlimited]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub time_limit: Option<Duration>,
    /// What to do when the server stays away for longer than the worker's lease (40 minutes)
    #[arg(long, value_name = "POLICY", value_enum, default_value = "stop")]
    pub on_server_lost: OnServerLostWord,
    /// Directory for files of tasks; created when missing [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "PATH")]
    pub work_dir: Option<PathBuf>,
}

impl OnServerLostWord {
    /// The policy that the word means.
    pub fn policy(self) -> OnServerLost {
        match self {
            Self::Stop => OnServerLost::Stop,
            Self::FinishRunning => OnServerLost::FinishRunning,
        }
    }
}
