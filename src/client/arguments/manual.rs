//! `hq doc`, `hq generate-completion` and `hq generate-man` on the command line.
//!
//! What a user asks the program about itself.
//!
//! Holds: the names of topics are those that users know, with their aliases.

use clap::{Args, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Options of `hq doc`.
#[derive(Debug, Clone, Args)]
pub struct DocArgs {
    /// Show the page about this
    #[arg(value_enum)]
    pub topic: Option<TopicWord>,
    /// Open the page by the program that BROWSER names, or else by xdg-open, instead of printing its address
    #[arg(long)]
    pub open: bool,
}

/// What there is a page about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TopicWord {
    /// Jobs and their tasks
    #[value(aliases = ["jobs", "tasks"])]
    Job,
    /// Jobs of many tasks
    #[value(name = "taskarray")]
    TaskArray,
    /// What tasks ask for
    Resources,
    /// Workers
    #[value(alias = "workers")]
    Worker,
    /// Workers that are started by Slurm or PBS
    #[value(name = "autoalloc", aliases = ["pbs", "slurm"])]
    AutoAlloc,
    /// The Python package
    #[value(alias = "python")]
    PythonApi,
    /// The most important commands
    Cheatsheet,
    /// What is new in each version
    Changelog,
    /// What users ask
    Faq,
}

/// Options of `hq generate-completion`.
///
/// For example, for Bash: `hq generate-completion bash > ~/.local/share/bash-completion/completions/hq`
#[derive(Debug, Clone, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Options of `hq generate-man`.
///
/// For example: `hq generate-man ~/.local/share/man/man1`, and then `man hq-submit`
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Directory for the pages, such as `~/.local/share/man/man1`; created when missing
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}
