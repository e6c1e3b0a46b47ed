//! Options that every command takes, at any position.
//!
//! They say which server is meant and how results are printed, never what a command does.
//!
//! Holds: the command line beats the environment, the environment beats the default.

use crate::client::render::OutputMode;
use crate::client::render::color::ColorPolicy;
use clap::Args;
use std::path::PathBuf;

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "GLOBAL OPTIONS")]
pub struct GlobalOptions {
    /// Directory where the server keeps its access file, its journal and its log
    ///
    /// Client, worker and server meet through it, so it has to be the same for all, usually on a shared file system.
    /// A relative path is taken from the current directory. [default: $HOME/.hq-server]
    #[arg(long, value_name = "DIR", global = true, env = "HQ_SERVER_DIR", hide_short_help = true)]
    pub server_dir: Option<PathBuf>,

    /// How results are printed on the standard output; log lines and errors go to the standard error
    #[arg(
        long,
        value_name = "MODE",
        global = true,
        env = "HQ_OUTPUT_MODE",
        hide_short_help = true,
        value_enum,
        default_value = "cli"
    )]
    pub output_mode: OutputMode,

    /// When results are coloured; applies to the mode `cli` only
    #[arg(long, value_name = "POLICY", global = true, hide_short_help = true, value_enum, default_value = "auto")]
    pub colors: ColorPolicy,

    /// Log more, with the time in milliseconds and the module; RUST_LOG refines it
    #[arg(long, global = true, env = "HQ_DEBUG", hide_short_help = true)]
    pub debug: bool,
}
