//! `hq submit` on the command line.
//!
//! The one command that users write into their scripts; everything after the program's name is the program's. The
//! options that describe the job are a struct of their own, since the lines `#HQ` of a script may give them too.
//!
//! Holds: texts that become part of the job are UTF-8, since they travel and are shown.

use super::values::{self, NonEmpty};
use crate::grammar::request::{self, NamedRequest, Quantity};
use crate::grammar::shell_words::ShellWords;
use crate::grammar::{
    after, array, crash_limit, destination, duration, environment, retry, selector, shell_words, stop, tag, weight,
};
use clap::{Args, ValueEnum};
use hq_core::after::AfterSpec;
use hq_core::idset::IdSet;
use hq_core::limits::TASK_RETRIES_MAX;
use hq_core::retry::RetryOn;
use hq_core::task::{CrashLimit, Destination, PinMode, Warning};
use std::path::PathBuf;
use std::time::Duration;

/// Shown below the options of `hq submit`.
const EXAMPLES: &str = "\
Without `--array`, `--each-line` or `--from-json` the job has one task. Paths may contain placeholders:
`%{JOB_ID}`, `%{TASK_ID}`, `%{INSTANCE_ID}`, `%{SUBMIT_DIR}`, `%{SERVER_UID}`, and in outputs `%{CWD}`.

Examples:
  hq submit --cpus 4 -- ./solver input.dat
  hq submit --array 1-100 --stdout 'out/%{TASK_ID}.txt' -- sh -c './run.sh $HQ_TASK_ID'
  hq submit --each-line files.txt --stream logs --wait -- sh -c 'gzip \"$HQ_ENTRY\"'";

/// Options of `hq submit`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SubmitArgs {
    /// Program and its arguments; options of `hq submit` go before it
    ///
    /// It is started directly, without a shell. A word with a `/` is relative to the task's working directory, a bare
    /// word is searched in PATH.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<String>,

    /// What the job is.
    #[command(flatten)]
    pub options: JobOptions,

    /// Add the tasks to this open job; ids that are not given continue after those it has
    #[arg(long, value_name = "ID", value_parser = selector::parse_id)]
    pub job: Option<u32>,

    /// Wait until the job is completed; the exit code is 0 also when tasks failed
    #[arg(long, conflicts_with = "progress")]
    pub wait: bool,

    /// Show a progress bar until the job is completed
    #[arg(long)]
    pub progress: bool,

    /// With --wait or --progress: run this for each message that a task sends by `hq task notify`
    ///
    /// The text is split into words as a shell does it, without replacing anything; the message is added as the last word.
    /// The program finds HQ_JOB_ID, HQ_TASK_ID and HQ_WORKER_ID in its environment. It is run for one message after the
    /// other, and for all of them before this command ends; if it fails, that is logged.
    #[arg(long, value_name = "COMMAND", value_parser = shell_words::parse_command)]
    pub on_notify: Option<ShellWords>,

    /// Read the standard input to its end now and give it to each task as its standard input
    #[arg(long)]
    pub stdin: bool,

    /// Where to look for options in lines `#HQ`: in the program's file if it ends with `.sh`, always, or elsewhere
    ///
    /// Such lines stand at the top of a script, for example `#HQ --cpus=4 --time-limit=1h`; an option of this command
    /// beats them. A first line `#!` is put in front of the command.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = DirectivesWord::Auto)]
    pub directives: DirectivesWord,
}

/// Options that describe the job, on the command line and in the lines `#HQ` of a script.
#[derive(Debug, Clone, Default, Args)]
pub struct JobOptions {
    /// Name of the job [default: the file name of the program]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Working directory of the tasks; created when missing [default: the current directory]
    ///
    /// A relative path is taken from the current directory. Placeholders are replaced, except `%{CWD}`.
    #[arg(long, value_name = "PATH", value_parser = values::non_empty)]
    pub cwd: Option<NonEmpty>,

    /// Set an environment variable of the tasks; may be repeated, the last value of a name wins
    ///
    /// `--env NAME` sets it to nothing. Tasks inherit the environment of their worker, not that of this command.
    #[arg(long, value_name = "KEY=VALUE", value_parser = environment::parse)]
    pub env: Vec<(String, String)>,

    /// File for the standard output, `none` to discard it [default: %{CWD}/job-%{JOB_ID}/%{TASK_ID}.stdout]
    ///
    /// A relative path is taken from the task's working directory. With `:rm-if-finished` behind (or instead of) the
    /// path the file is removed when the task has finished successfully.
    #[arg(long, value_name = "PATH", value_parser = destination::parse)]
    pub stdout: Option<Destination>,

    /// File for the standard error, `none` to discard it [default: %{CWD}/job-%{JOB_ID}/%{TASK_ID}.stderr]
    ///
    /// See --stdout.
    #[arg(long, value_name = "PATH", value_parser = destination::parse)]
    pub stderr: Option<Destination>,

    /// Make one task for each of these ids, for example `1-10`, `0-99:10` or `1,5,20-30`
    ///
    /// A task finds its id in HQ_TASK_ID. With --each-line or --from-json the ids choose among the entries: a task is
    /// made for each entry whose number (from 0) is listed.
    #[arg(long, value_name = "IDS", value_parser = array::parse)]
    pub array: Option<IdSet>,

    /// Make one task for each line of this file; a task finds its line in HQ_ENTRY
    #[arg(long, value_name = "FILE", conflicts_with = "from_json")]
    pub each_line: Option<PathBuf>,

    /// Make one task for each element of the JSON array in this file; a task finds its element in HQ_ENTRY
    #[arg(long, value_name = "FILE")]
    pub from_json: Option<PathBuf>,

    /// CPUs of each task: a number (`4`, `0.5`), optionally with a policy (`4 compact!`), or `all` of a worker
    ///
    /// Policies: `compact` (from as few NUMA nodes as possible, the default), `tight` (as compact, filling one after the
    /// other), `scatter` (over all); with `!` the task waits until the least number of nodes is free. [default: 1]
    #[arg(long, value_name = "REQUEST", value_parser = request::parse)]
    pub cpus: Option<Quantity>,

    /// Another resource of each task, for example `gpus/nvidia=1`, `mem=2048` (MiB) or `fpga=all`; may be repeated
    ///
    /// The request has the form of --cpus. Each name is given once; `cpus` here or as --cpus, not both.
    #[arg(long, value_name = "NAME=REQUEST", value_parser = request::parse_named)]
    pub resource: Vec<NamedRequest>,

    /// Run each task on this many workers of one group, which then run nothing else [default: 0, a task on one worker]
    ///
    /// The command is started on the first of them. It finds the others in the files that HQ_NODE_FILE and
    /// HQ_HOST_FILE name. Other resources are not looked at.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["cpus", "pin"])]
    pub nodes: Option<u32>,

    /// Start a task only on a worker that lives at least this long, for example `1:30:00` or `1h 30m`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub time_request: Option<Duration>,

    /// Importance beside other requests of the same priority; a number above zero with up to four decimals
    ///
    /// A task that uses twice the resources counts as much as one with twice the weight. [default: 1.0]
    #[arg(long, value_name = "NUMBER", value_parser = weight::parse)]
    pub weight: Option<u32>,

    /// Bind each task to the CPUs that it was given
    #[arg(long, value_name = "MODE", value_enum)]
    pub pin: Option<PinWord>,

    /// Give each task an empty directory, which is removed when the task ends; its path is in HQ_TASK_DIR
    #[arg(long)]
    pub task_dir: bool,

    /// Tasks with a larger number start earlier; a 32-bit integer, for example `--priority=-1` [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub priority: Option<i32>,

    /// Fail a task that runs longer than this, for example `90` (seconds), `1:30:00` or `1h 30m`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub time_limit: Option<Duration>,

    /// Warn each task by this signal some time before its time limit or the end of its worker, for example `USR1@120s`
    ///
    /// The signal is a name with or without SIG, or a number; the time is that before the end which comes first, 60 s if it
    /// is left out. It comes one second after the start at the earliest. A task that has no such end gets no warning.
    #[arg(long, value_name = "SIGNAL@TIME", value_parser = stop::parse_warning)]
    pub signal: Option<Warning>,

    /// The signal that asks a task to end, for example `TERM` [default: INT]
    ///
    /// It is sent when the task is canceled, has reached its time limit, or its worker ends.
    #[arg(long, value_name = "SIGNAL", value_parser = stop::parse_signal)]
    pub kill_signal: Option<i32>,

    /// How long after that signal a task is killed that has not ended; at most 1 hour [default: 1 s]
    #[arg(long, value_name = "DURATION", value_parser = stop::parse_grace)]
    pub grace: Option<Duration>,

    /// When more than this many tasks have failed, abort all that have not ended; 0 aborts at the first failure
    #[arg(long, value_name = "COUNT")]
    pub max_fails: Option<u32>,

    /// How often a task may lose its worker while it runs: `never-restart`, `unlimited`, or 1 to 65535
    ///
    /// Only crashes of the worker count (a broken connection, missing heartbeats), not its regular end; with
    /// `never-restart` any end of the worker fails the task. [default: 5]
    #[arg(long, value_name = "LIMIT", value_parser = crash_limit::parse)]
    pub crash_limit: Option<CrashLimit>,

    /// A tag by which the job can be found, for example `project=x`; may be repeated
    ///
    /// Jobs are listed by their tags with `hq job list --filter tag=project=x`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag::parse)]
    pub tag: Vec<(String, String)>,

    /// Try a task again that failed, up to this many times; see --retry-on and --retry-delay
    ///
    /// Each attempt has its own number, which the task finds in HQ_INSTANCE_ID. Only the last failure counts: for
    /// --max-fails, and for what waits for the task.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(..=i64::from(TASK_RETRIES_MAX)))]
    pub retries: Option<u32>,

    /// After which failures: `exit=1,7` (exit codes), `signal`, `timeout`, `oom`, `node`, `any`; may be repeated
    ///
    /// `timeout` is the time limit, `oom` the use of more memory than allowed, `node` the loss of more workers than
    /// --crash-limit allows. [default: any]
    #[arg(long, value_name = "CAUSES", value_parser = retry::parse_on)]
    pub retry_on: Vec<RetryOn>,

    /// Time between a failure and the next attempt, for example `10s`, or `10s..5m` to double it up to the second one
    #[arg(long, value_name = "DELAY", value_parser = retry::parse_delay)]
    pub retry_delay: Option<retry::Delay>,

    /// Start the tasks after other jobs or tasks, for example `5`, `any:last`, `failed:5@1-10`; may be repeated
    ///
    /// `ok:` (or nothing) waits until all of them have finished successfully, `any:` until they have ended however they
    /// did, `failed:` until they have ended and one failed at least. Then come jobs (`5`, `1-3`, `last`, the name of a job,
    /// of which the newest is meant), tasks of them (`5@1-10`), or tasks of the open job that is submitted to (`@1-10`).
    /// With `each:` in front of all each task waits only for the task of the same id there (`each:any:5`). Tasks for which
    /// this can no longer come true are aborted.
    #[arg(long, value_name = "JOBS", value_parser = after::parse)]
    pub after: Vec<AfterSpec>,

    /// Collect outputs in few files of this directory instead of one file per task; read them by `hq output-log`
    ///
    /// Applies to the outputs without --stdout or --stderr. A relative path is taken from the current directory.
    #[arg(long, value_name = "DIR", value_parser = values::non_empty)]
    pub stream: Option<NonEmpty>,

    /// What becomes of a task whose output cannot be written to its stream, on a full disk for example [default: fail]
    #[arg(long, value_name = "WHAT")]
    pub stream_on_error: Option<StreamOnError>,

    /// An older name of --stream
    #[arg(long, value_name = "DIR", value_parser = values::non_empty, hide = true, conflicts_with = "stream")]
    pub log: Option<NonEmpty>,
}

/// What becomes of a task whose stream cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamOnError {
    /// It fails with that reason, and its processes are ended
    Fail,
    /// It waits with its output until it can be written
    Wait,
}

/// Where lines `#HQ` are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DirectivesWord {
    /// In the file named by the first word of the command, if it ends with `.sh`
    Auto,
    /// In the file named by the first word of the command
    File,
    /// In what --stdin reads
    Stdin,
    /// Nowhere
    Off,
}

/// How CPUs are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PinWord {
    /// Run the command under `taskset -c CPUS`
    Taskset,
    /// Set OMP_PROC_BIND=close and OMP_PLACES={CPUS}, unless --env sets them
    Omp,
}

impl PinWord {
    /// The mode that the word means.
    pub fn mode(self) -> PinMode {
        match self {
            Self::Taskset => PinMode::Taskset,
            Self::Omp => PinMode::Omp,
        }
    }
}
