//! `hq server ...` on the command line.
//!
//! The server is started by one option set that everything else (ports, journal, background) hangs on.
//!
//! Holds: every default is the one that a user on a login node wants.

use super::values::{self, NonEmpty};
use crate::grammar::{duration, journal_keep};
use clap::{Args, Subcommand};
use hq_core::retention::Keep;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The second word of `hq server`.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Start a server
    ///
    /// It runs until `hq server stop`, SIGINT, SIGTERM or SIGHUP, and keeps what it was told in its journal: started
    /// again with the same options, it continues where it ended, and workers that still run come back to it.
    ///
    /// Example:
    ///   hq server start --daemon
    #[command(verbatim_doc_comment)]
    Start(ServerStartArgs),
    /// Stop the running server and its workers; unfinished jobs continue when it is started again
    Stop,
    /// Show the record of the running server: its uid, host, ports, version, process and journal
    Info,
    /// Say which of the ways from this machine to the server work, and what is wrong with the others
    ///
    /// It ends with 1 if none works.
    Doctor,
    /// Wait until the server answers
    Wait(ServerWaitArgs),
    /// Write access files with fresh keys, for a server that will be started with `--access-file`
    ///
    /// The ports are fixed and the keys known beforehand, so that clients and workers elsewhere can be given theirs
    /// before the server runs.
    ///
    /// Example:
    ///   hq server generate-access hq.json --client-port 4001 --worker-port 4002 --worker-file worker.json
    #[command(verbatim_doc_comment)]
    GenerateAccess(GenerateAccessArgs),
    /// Have the server write what it has in memory to a JSON file, for looking for a defect; the form may change
    DebugDump(DebugDumpArgs),
}

/// Options of `hq server wait`.
#[derive(Debug, Clone, Args)]
pub struct ServerWaitArgs {
    /// Give up after this time, for example `30s` or `1:00:00`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human, default_value = "5m")]
    pub timeout: Duration,
}

/// Options of `hq server generate-access`.
#[derive(Debug, Clone, Args)]
pub struct GenerateAccessArgs {
    /// The full file, for the server; it must not exist yet
    #[arg(value_name = "ACCESS_FILE")]
    pub access_file: PathBuf,
    /// Write a file for clients as well
    #[arg(long, value_name = "PATH")]
    pub client_file: Option<PathBuf>,
    /// Write a file for workers as well
    #[arg(long, value_name = "PATH")]
    pub worker_file: Option<PathBuf>,
    /// Host name under which clients and workers reach the server [default: the name of this machine]
    #[arg(long, value_name = "HOST", value_parser = values::name)]
    pub host: Option<NonEmpty>,
    /// Host name for clients [default: what `--host` says]
    #[arg(long, value_name = "HOST", value_parser = values::name)]
    pub client_host: Option<NonEmpty>,
    /// Host name for workers [default: what `--host` says]
    #[arg(long, value_name = "HOST", value_parser = values::name)]
    pub worker_host: Option<NonEmpty>,
    /// Port for clients
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub client_port: u16,
    /// Port for workers
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub worker_port: u16,
    /// Seal all files under a passphrase
    ///
    /// It is asked for here, and again wherever the files are used; or it is taken from HQ_ACCESS_PASSPHRASE, or from
    /// the file descriptor that HQ_ACCESS_PASSPHRASE_FD names.
    #[arg(long)]
    pub passphrase: bool,
}

/// Options of `hq server debug-dump`.
#[derive(Debug, Clone, Args)]
pub struct DebugDumpArgs {
    /// File that the server writes; a relative path is taken from the server's directory at its start
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// Options of `hq server start`.
#[derive(Debug, Clone, Args)]
pub struct ServerStartArgs {
    /// Host name under which clients and workers reach this machine [default: the name of this machine]
    ///
    /// It does not change where the server listens; see `--listen`.
    #[arg(long, value_name = "HOST", value_parser = values::name)]
    pub host: Option<NonEmpty>,
    /// Port for clients [default: a free port chosen by the system]
    #[arg(long, value_name = "PORT")]
    pub client_port: Option<u16>,
    /// Port for workers [default: a free port chosen by the system]
    #[arg(long, value_name = "PORT")]
    pub worker_port: Option<u16>,
    /// Address of this machine to listen at, such as `10.0.0.1` or `::`; may be given several times
    ///
    /// The addresses are written to the access file beside the host, and tried after it. [default: all IPv4 addresses]
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    pub listen: Vec<IpAddr>,
    /// Take hosts, ports, keys and uid from a file made by `hq server generate-access`
    #[arg(long, value_name = "PATH")]
    pub access_file: Option<PathBuf>,
    /// Let clients connect without a key: whoever reaches the port can run programs as you
    ///
    /// Without `--listen` the port is then open to this machine only.
    #[arg(long)]
    pub disable_client_authentication_and_encryption: bool,
    /// Let workers connect without a key: whoever reaches the port gets your tasks
    ///
    /// Without `--listen` the port is then open to this machine only.
    #[arg(long)]
    pub disable_worker_authentication_and_encryption: bool,
    /// Has no effect: what is acknowledged is on disk already [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub journal_flush_period: Option<Duration>,
    /// Has no effect: placing tasks takes a bounded time by itself [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub scheduler_time_limit: Option<Duration>,
    /// Directory of the journal; created when missing [default: `journal` in the server directory]
    #[arg(long, value_name = "PATH")]
    pub journal: Option<PathBuf>,
    /// Keep details of completed jobs for a time or up to a size of the journal, for example `30d`, `10GB` or `30d,10GB`
    ///
    /// Details are the attempts of tasks with their exit codes and use, and the entries and standard input with which
    /// they could run again. When the journal is larger, those of the jobs that were completed first are forgotten, and
    /// the server's log says so; the jobs are listed as before, with states and times. Jobs that are not completed keep
    /// everything. `all` keeps all details for ever. [default: 1GiB]
    #[arg(long, value_name = "LIMIT", value_parser = journal_keep::parse, conflicts_with = "no_journal")]
    pub journal_keep: Option<Keep>,
    /// Keep no journal: everything is forgotten when the server ends
    #[arg(long, conflicts_with = "journal")]
    pub no_journal: bool,
    /// Stop workers that have had nothing to do for this long, for example `5m` or `1:30:00`
    ///
    /// A worker's own `--idle-timeout` beats it. [default: workers stay]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub idle_timeout: Option<Duration>,
    /// Run in the background, independent of this terminal; the log goes to `server.log` in the server directory
    ///
    /// The command returns once the server accepts connections.
    #[arg(long)]
    pub daemon: bool,
    /// This process is the one that `--daemon` started
    #[arg(long, hide = true, conflicts_with = "daemon")]
    pub in_background: bool,
}
