//! `hq journal ...` on the command line.
//!
//! The journal is the record of everything that happened; these commands read it.
//!
//! Holds: none of them changes a journal.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The second word of `hq journal`.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Print all events of a journal, one JSON object a line
    ///
    /// The journal is a directory, by default `journal` in the server directory. A journal that no server uses is read
    /// as it lies on the disk; one that a running server holds is fetched from that server (see --server-dir).
    ///
    /// Example, the names of all submitted jobs:
    ///   hq journal export ~/.hq-server/journal | jq -r 'select(.event.type == "job-created") | .event.job_desc.name'
    #[command(verbatim_doc_comment)]
    Export(ExportArgs),
}

/// Options of `hq journal export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Directory of the journal
    pub journal: PathBuf,
    /// Print also the events that tools written for older journals do not know
    ///
    /// These are `tasks-assigned`, `tasks-returned`, `task-adopted`, `worker-away`, `worker-returned`,
    /// `worker-unblocked`, `worker-stopping` and `worker-draining`.
    #[arg(long)]
    pub all: bool,
}
