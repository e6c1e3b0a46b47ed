//! `hq server ...` on the command line.
//!
//! The server is started by one option set that everything else (ports, journal, background) hangs on.
//!
//! Holds: every default is the one that a user on a login node wants.

use super::values::{self, NonEmpty};
use crate::grammar::duration;
use clap::{Args, Subcommand};
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
}

/// Options of `hq server start`.
#[derive(Debug, Clone, Args)]
pub struct ServerStartArgs {
    /// Host name under which clients and workers reach this machine [default: the name of this machine]
    ///
    /// It does not change where the server listens: that is on all interfaces.
    #[arg(long, value_name = "HOST", value_parser = values::non_empty)]
    pub host: Option<NonEmpty>,
    /// Port for clients [default: a free port chosen by the system]
    #[arg(long, value_name = "PORT")]
    pub client_port: Option<u16>,
    /// Port for workers [default: a free port chosen by the system]
    #[arg(long, value_name = "PORT")]
    pub worker_port: Option<u16>,
    /// Directory of the journal; created when missing [default: `journal` in the server directory]
    #[arg(long, value_name = "PATH")]
    pub journal: Option<PathBuf>,
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
