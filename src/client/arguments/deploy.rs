//! `hq worker deploy-ssh` on the command line.
//!
//! What follows the host file belongs to `hq worker start` on the other machines, and is read here only to be refused
//! early.

use clap::Args;
use std::path::PathBuf;

/// Options of `hq worker deploy-ssh`.
#[derive(Debug, Clone, Args)]
pub struct DeploySshArgs {
    /// Show what the workers print
    #[arg(long)]
    pub show_output: bool,
    /// File with one `host` or `host:port` a line; an IPv6 address with a port stands in brackets (`[fd00::1]:22`)
    #[arg(value_name = "HOSTFILE")]
    pub hostfile: PathBuf,
    /// Options of `hq worker start`; `-- --help` lists them
    #[arg(value_name = "WORKER_ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub worker_args: Vec<String>,
}
