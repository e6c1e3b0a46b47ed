//! `hq worker ...` on the command line.
//!
//! A worker offers the resources of one machine to the server and runs tasks there.
//!
//! Holds: durations are accepted both as clock time and as human time.

use super::values::{self, NonEmpty};
use crate::grammar::detection::{self, Detection};
use crate::grammar::selector::{self, Selector};
use crate::grammar::{duration, pool, utilization};
use clap::{Args, Subcommand, ValueEnum};
use hq_core::resource::{Pool, PoolKind};
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
    Start(Box<WorkerStartArgs>),
    /// Start workers on other machines by ssh, and stay until they have ended
    ///
    /// Example:
    ///   hq worker deploy-ssh hosts.txt --cpus 8
    #[command(verbatim_doc_comment)]
    DeploySsh(super::DeploySshArgs),
    /// Stop workers; their running tasks are ended and run again elsewhere
    Stop(WorkerSelectorArgs),
    /// Have workers end without losing work: they get nothing new, and end once what runs there has
    Drain(WorkerDrainArgs),
    /// List workers; by default those that are connected
    List(WorkerListArgs),
    /// Show workers in detail
    Info(WorkerSelectorArgs),
    /// Print the host name of a worker
    Address(WorkerAddressArgs),
    /// Show what a worker would find on this machine; needs no server
    #[command(name = "hwdetect")]
    HwDetect(HwDetectArgs),
    /// Wait until so many workers are connected
    Wait(WorkerWaitArgs),
}

/// What a worker does when the server stays away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnServerLostWord {
    /// End running tasks and exit
    Stop,
    /// Let running tasks end, start no others, then exit
    FinishRunning,
}

/// Where a worker looks for the batch job that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ManagerWord {
    /// In PBS, else in Slurm, else nowhere
    Detect,
    /// Nowhere
    None,
    /// In PBS; it is an error if there is none
    Pbs,
    /// In Slurm; it is an error if there is none
    Slurm,
}

/// What becomes of tasks that use more memory than they asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MemEnforceWord {
    /// Nothing
    Off,
    /// Say it in the worker's log, and in the error of the task if it fails
    Warn,
    /// Kill the task; it fails with an error that names what it used and what it asked for
    Kill,
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

/// Arguments of `hq worker drain`.
#[derive(Debug, Clone, Args)]
pub struct WorkerDrainArgs {
    /// Workers: `all`, `last`, or ids such as `3` or `1-4,7`
    #[arg(value_name = "WORKERS", value_parser = selector::parse)]
    pub workers: Selector,
    /// What still runs after this time is ended and runs again elsewhere, for example `10m` [default: it may end]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub timeout: Option<Duration>,
}

/// Arguments of `hq worker address`.
#[derive(Debug, Clone, Copy, Args)]
pub struct WorkerAddressArgs {
    /// Id of the worker
    #[arg(value_name = "ID")]
    pub worker: u32,
}

/// Options of `hq worker hwdetect`.
#[derive(Debug, Clone, Copy, Args)]
pub struct HwDetectArgs {
    /// Show only the first hardware thread of each core
    #[arg(long)]
    pub no_hyper_threading: bool,
    /// Show also how the machine is built: packages, NUMA nodes, caches, cores, threads and GPUs
    #[arg(long)]
    pub topology: bool,
}

/// Arguments of `hq worker wait`.
#[derive(Debug, Clone, Copy, Args)]
pub struct WorkerWaitArgs {
    /// How many workers have to be connected
    #[arg(value_name = "COUNT")]
    pub count: u32,
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
    /// Let the server dial this worker, for networks that let connections out of the server's machine only
    ///
    /// The address goes through the server directory, which both have to see.
    #[arg(long, conflicts_with = "via")]
    pub reverse: bool,
    /// Reach the server through another machine: `ssh:HOST` uses your ssh, which has to need no password
    #[arg(long, value_name = "WAY", value_parser = values::ssh_host)]
    pub via: Option<NonEmpty>,
    /// CPUs to offer: a number, or a pool such as `2x4` (2 NUMA nodes of 4), `[0,2,4]` or `range(4-7)`
    ///
    /// [default: the CPUs that this process may use, grouped by NUMA node]
    #[arg(long, value_name = "DEF", value_parser = pool::parse_cpus)]
    pub cpus: Option<PoolKind>,
    /// A further resource to offer; repeatable
    ///
    /// `gpus=[a,b]` is a list, `gpus=2x4` are 2 groups of 4, `gpus=range(0-3)` numbers, `license=sum(2.5)` an amount.
    #[arg(long, value_name = "NAME=DEF", value_parser = pool::parse)]
    pub resource: Vec<Pool>,
    /// What to look for on this machine: `all`, `none`, or a list of cpus, mem, gpus/nvidia, gpus/amd
    #[arg(long, value_name = "LIST", value_parser = detection::parse, default_value = "all")]
    pub detect_resources: Detection,
    /// An older form of `--detect-resources=none`
    #[arg(long, hide = true, conflicts_with = "detect_resources")]
    pub no_detect_resources: bool,
    /// Groups that are good to use together, for example `cpus[0]:gpus/nvidia[0],cpus[1]:gpus/nvidia[1]=512`
    ///
    /// The number is the weight, 256 when it is missing; `none` keeps GPUs without groups and uncoupled.
    ///
    /// [default: CPUs and GPUs of one NUMA node, where several nodes have GPUs]
    #[arg(long, value_name = "SPEC")]
    pub coupling: Option<String>,
    /// Offer only the first hardware thread of each core
    #[arg(long)]
    pub no_hyper_threading: bool,
    /// The batch system whose job this worker is in; its remaining time, memory and id are used
    #[arg(long, value_name = "MANAGER", value_enum, default_value = "detect")]
    pub manager: ManagerWord,
    /// Group of workers within which multi-node tasks run [default: the batch job's id, else `default`]
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub group: Option<NonEmpty>,
    /// Take tasks only if then at least this share of the CPUs is in use, from 0.0 to 1.0
    #[arg(long, value_name = "SHARE", value_parser = utilization::parse, default_value = "0")]
    pub min_utilization: u32,
    /// How often to report how busy CPUs, GPUs, memory and network are, for example `5s`; `0s`: never
    ///
    /// [default: never]
    #[arg(long, value_name = "DURATION", value_parser = values::overview_interval)]
    pub overview_interval: Option<Duration>,
    /// Name of this machine, shown to users [default: the machine's own name]
    #[arg(long, value_name = "NAME", value_parser = values::name)]
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
    /// [default: what is left to the batch job, else unlimited]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub time_limit: Option<Duration>,
    /// What to do when the server stays away for longer than the worker's lease (40 minutes)
    #[arg(long, value_name = "POLICY", value_enum, default_value = "stop")]
    pub on_server_lost: OnServerLostWord,
    /// What to do with tasks that use more memory than they asked for by `--resource mem=...`
    ///
    /// The kernel enforces it where the worker may make control groups (cgroup v2 with delegation, for example under
    /// `systemd-run --user --scope -p Delegate=yes`); elsewhere tasks are looked at every quarter of a second.
    #[arg(long, value_name = "POLICY", value_enum, default_value = "warn")]
    pub mem_enforce: MemEnforceWord,
    /// How often to look whether waiting tasks still have the time that they ask for (`hq submit --time-request`)
    ///
    /// Those that have not go back to the server. Right before a start it is looked at in any case.
    #[arg(long, value_name = "DURATION", value_parser = values::check_interval, default_value = "30s")]
    pub retract_check_interval: Duration,
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
