//! What can be chosen when a worker is started.
//!
//! Plain values: the command line is parsed elsewhere.
//!
//! What holds: a value that the server would refuse is refused by [`WorkerOptions::check`] before any connection.

use super::error::Error;
use super::memory::MemEnforce;
use crate::batch;
use crate::grammar::detection::Detection;
use hq_core::limits;
use hq_core::resource::{Pool, PoolKind};
use hq_core::time::Span;
use hq_core::worker::OnServerLost;
use std::path::PathBuf;

/// Options of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Directory in which the access file is found.
    pub server_dir: PathBuf,
    /// Whether the server dials the worker.
    pub reverse: bool,
    /// Host through which ssh leads to the server.
    pub via_ssh: Option<String>,
    /// CPUs to offer; none: all that this process may use.
    pub cpus: Option<PoolKind>,
    /// Further resources to offer.
    pub resources: Vec<Pool>,
    /// What is looked for beside what is given.
    pub detect: Detection,
    /// Offers only the first hardware thread of each core.
    pub no_hyper_threading: bool,
    /// Which groups are good to use together, as `grammar::coupling` reads it, or [`COUPLING_NONE`]; none: as found.
    pub coupling: Option<String>,
    /// The batch system whose job the worker is in.
    pub manager: batch::Wanted,
    /// Group for multi-node tasks; none: the allocation, or else one for all.
    pub group: Option<String>,
    /// Name shown to users; none: this machine's.
    pub hostname: Option<String>,
    /// Interval of heartbeats.
    pub heartbeat: Span,
    /// Interval of reports about the use of the hardware; none: no reports.
    pub overview_interval: Option<Span>,
    /// Least share of the CPUs that has to be in use for the worker to get anything, in 1/10000.
    pub min_utilization_parts: u32,
    /// How long it may be idle; none: as the server says.
    pub idle_timeout: Option<Span>,
    /// Lifetime; none: as the batch system says.
    pub time_limit: Option<Span>,
    /// What it does when the server stays away.
    pub on_server_lost: OnServerLost,
    /// What becomes of tasks that use more memory than they asked for.
    pub mem_enforce: MemEnforce,
    /// How often tasks that wait here are looked at for the time that they ask for.
    pub retract_check: Span,
    /// Parent of task directories, kept; none: a temporary one.
    pub work_dir: Option<PathBuf>,
    /// Version of this program, which has to be the server's.
    pub version: String,
    /// Runs no process: every task succeeds at once. For measuring scheduling alone.
    pub zero: bool,
}

/// As the coupling: none, and GPUs without groups, whatever the topology is.
pub const COUPLING_NONE: &str = "none";

impl WorkerOptions {
    /// The defaults for a server directory.
    pub fn new(server_dir: PathBuf, version: &str) -> Self {
        Self {
            server_dir,
            reverse: false,
            via_ssh: None,
            cpus: None,
            resources: Vec::new(),
            detect: Detection::ALL,
            no_hyper_threading: false,
            coupling: None,
            manager: batch::Wanted::Detect,
            group: None,
            hostname: None,
            heartbeat: limits::HEARTBEAT_DEFAULT,
            overview_interval: None,
            min_utilization_parts: 0,
            idle_timeout: None,
            time_limit: None,
            on_server_lost: OnServerLost::default(),
            mem_enforce: MemEnforce::default(),
            retract_check: limits::RETRACT_CHECK_DEFAULT,
            work_dir: None,
            version: version.to_owned(),
            zero: false,
        }
    }

    /// Checks what depends on nothing but the options.
    ///
    /// # Errors
    /// [`Error::Heartbeat`].
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.heartbeat < limits::HEARTBEAT_MIN || self.heartbeat > limits::HEARTBEAT_MAX {
            return Err(Error::Heartbeat { given: self.heartbeat });
        }
        Ok(())
    }
}
