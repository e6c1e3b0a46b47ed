//! `hq journal ...` on the command line.
//!
//! The journal is the record of everything that happened; these commands read it, and one repairs it.
//!
//! Holds: none of them changes what the state of the server is.

use super::values;
use crate::grammar::{array, duration};
use clap::{Args, Subcommand};
use hq_core::idset::IdSet;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Write a report with charts and tables, as one HTML file for a browser
    ///
    /// It shows when workers were there and how busy they were, how long tasks took and waited, why some failed, and
    /// every job. The file needs no network and nothing beside it. An existing one is overwritten.
    ///
    /// The journal is read as by `hq journal export`. Example, the first hour of a server:
    ///   hq journal report ~/.hq-server/journal report.html --end-time 1h
    #[command(verbatim_doc_comment)]
    Report(JournalReportArgs),
    /// Print all past events of the running server, one JSON object a line
    Replay(EventArgs),
    /// Print all past events of the running server, then those that come, until the server ends
    ///
    /// Each line is handed on as soon as its event is on disk. A reader that is slow, or that goes away, does not
    /// disturb the server.
    ///
    /// Example, what fails from now on or has failed:
    ///   hq journal stream --type task-failed
    #[command(verbatim_doc_comment)]
    Stream(EventArgs),
    /// Wait until everything that has happened so far is on disk
    ///
    /// It fails with the reason when the journal cannot be written.
    Flush,
    /// Take what completed jobs left out of the journal, which makes it small again
    ///
    /// Completed jobs are listed as before, with their states and times; their details go: the attempts of tasks with
    /// their exit codes and use, and the entries and standard input with which they could run again. Jobs that are not
    /// completed keep everything. The server goes on meanwhile; a server that keeps no journal has nothing to do.
    ///
    /// Example, the size of the journal before and after:
    ///   du -sh ~/.hq-server/journal; hq journal prune; du -sh ~/.hq-server/journal
    #[command(verbatim_doc_comment)]
    Prune,
    /// Show what is in a journal: sizes, times, checkpoints, and how long a restart from it takes
    ///
    /// One that a running server uses is asked for from that server (see --server-dir).
    Info(JournalArgs),
    /// Check a journal: apply every event again and compare the results with the checkpoints
    ///
    /// It ends with 1 if anything is wrong, and says what. One that a running server uses is checked by that server,
    /// beside its work (see --server-dir).
    Verify(JournalArgs),
    /// Save everything of a damaged journal that is intact, and say what is lost
    ///
    /// The repaired journal takes the place of the damaged one, which is kept beside it as `<JOURNAL>.broken-<TIME>`. A job
    /// of which a record cannot be used is held until `hq job release`; one whose beginning is lost stays as a canceled
    /// job without tasks. Nothing is changed where nothing is wrong.
    Repair(RepairArgs),
}

/// Which events are printed.
#[derive(Debug, Clone, Default, Args)]
pub struct EventArgs {
    /// Print only events of these jobs, for example `3` or `1-10,15`
    #[arg(long = "job", value_name = "IDS", value_parser = array::parse)]
    pub jobs: Option<IdSet>,
    /// Print only events of these types, for example `task-failed,job-completed`
    #[arg(long = "type", value_name = "TYPES", value_delimiter = ',', value_parser = values::event_type)]
    pub types: Vec<String>,
    /// Print also the events that tools written for older journals do not know
    ///
    /// These are the types `details-forgotten`, `job-forgotten`, `job-held`, `job-modified`, `job-released`, `job-restored`,
    /// `tasks-assigned`, `tasks-described` (the tasks of graphs, and entries), `tasks-due`, `tasks-held`,
    /// `tasks-modified`, `tasks-released`, `tasks-rerun`, `tasks-returned`, `task-adopted`, `task-retried`,
    /// `worker-away`, `worker-draining`, `worker-returned`, `worker-stopping` and `worker-unblocked`, and of past events
    /// `job-idle` and `task-notify`; and in `job-created` the standard input. --type prints them too.
    #[arg(long)]
    pub all: bool,
}

/// A journal.
#[derive(Debug, Clone, Args)]
pub struct JournalArgs {
    /// Directory of the journal
    pub journal: PathBuf,
}

/// Options of `hq journal repair`.
#[derive(Debug, Clone, Args)]
pub struct RepairArgs {
    /// Directory of the journal
    pub journal: PathBuf,
    /// Make the repaired journal in this new directory and leave the damaged one where it is
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Only say what is wrong and what would become of which job
    #[arg(long, conflicts_with = "output")]
    pub dry_run: bool,
    /// Hold every unfinished job of which something may be lost, until `hq job release`
    #[arg(long)]
    pub hold: bool,
}

/// Options of `hq journal export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Directory of the journal
    pub journal: PathBuf,
    /// Which events.
    #[command(flatten)]
    pub events: EventArgs,
}

/// Options of `hq journal report`.
#[derive(Debug, Clone, Args)]
pub struct JournalReportArgs {
    /// Directory of the journal
    pub journal: PathBuf,
    /// File to write
    pub output: PathBuf,
    /// Leave out what was before, counted from the first event
    ///
    /// Formats: `HH:MM:SS`, `MM:SS`, seconds, or human (`1h 30m`).
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub start_time: Option<Duration>,
    /// Leave out what was after, counted from the first event
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_clock_or_human)]
    pub end_time: Option<Duration>,
}
