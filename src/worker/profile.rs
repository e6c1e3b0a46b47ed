//! What a worker tells the server about itself when it registers.
//!
//! Built once at the start, from the options and from what was found.
//!
//! What holds: what was given on the command line wins over what was found.

use super::options::WorkerOptions;
use crate::batch::Allocation;
use crate::platform::host;
use hq_core::resource::WorkerResources;
use hq_core::worker::WorkerConfig;
use serde_json::json;
use std::collections::BTreeMap;

/// Group of a worker outside of allocations.
const GROUP_DEFAULT: &str = "default";
/// Name of the process id among the further facts.
const PROCESS_PID: &str = "ProcessPid";
/// Name of the batch job's facts.
const JOB_MANAGER: &str = "JobManager";

/// Where the worker is, as the parts that its shell has set up tell.
pub(super) struct Place {
    pub(super) hostname: String,
    /// Port that is shown as data provider.
    pub(super) port: u16,
    pub(super) work_dir: String,
    /// The batch job around it.
    pub(super) allocation: Option<Allocation>,
}

/// The configuration of a worker with these resources.
pub(super) fn config(options: &WorkerOptions, resources: WorkerResources, place: Place) -> WorkerConfig {
    let allocation = place.allocation.as_ref();
    let group = options.group.clone().or_else(|| Some(allocation?.id.clone()));
    let mut extra = BTreeMap::from([(PROCESS_PID.to_owned(), host::pid().to_string())]);
    extra.extend(allocation.map(|allocation| (JOB_MANAGER.to_owned(), facts(allocation))));
    WorkerConfig {
        resources,
        listen_address: format!("{}:{}", place.hostname, place.port),
        hostname: place.hostname,
        group: group.unwrap_or_else(|| GROUP_DEFAULT.to_owned()),
        work_dir: place.work_dir,
        heartbeat: options.heartbeat,
        idle_timeout: options.idle_timeout,
        time_limit: options.time_limit.or(allocation.and_then(|allocation| allocation.remaining)),
        on_server_lost: options.on_server_lost,
        min_utilization_parts: options.min_utilization_parts,
        overview_interval: options.overview_interval,
        retract_check: Some(options.retract_check),
        extra,
    }
}

/// The facts about a batch job, as JSON.
fn facts(allocation: &Allocation) -> String {
    let limit = allocation.remaining.map(|span| {
        let span = span.to_duration();
        json!({"secs": span.as_secs(), "nanos": span.subsec_nanos()})
    });
    let facts = json!({
        "manager": allocation.manager.fact(),
        "allocation_id": allocation.id,
        "time_limit": limit,
        "max_memory_mb": allocation.memory_mib,
    });
    facts.to_string()
}
