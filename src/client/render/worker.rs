//! Workers as `worker list`, `worker info` and the start of a worker show them.
//!
//! One view serves all three; a worker that has ended keeps its record.
//!
//! Holds: the reason of an end is a state word; JSON leaves it out, as its readers know it.

use super::color::{Color, Palette, Style};
use super::table::{Cell, Column, Table};
use super::{resources, time};
use crate::grammar::{duration, utilization};
use hq_core::resource::{Pool, PoolKind, WorkerResources};
use hq_core::time::Span;
use hq_core::view::{GangRole, WorkerView};
use hq_core::worker::{LostReason, OnServerLost};
use serde_json::{Value, json};

/// Key of the worker's process id among the further facts.
const PROCESS_PID: &str = "ProcessPid";
/// Key of the batch system's facts, themselves JSON.
const JOB_MANAGER: &str = "JobManager";

/// The state in capitals: `RUNNING`, or why it ended.
pub fn state_word(worker: &WorkerView) -> &'static str {
    match worker.ended.map(|end| end.reason) {
        None => "RUNNING",
        Some(LostReason::Stopped) => "STOPPED",
        Some(LostReason::ConnectionLost) => "CONNECTION LOST",
        Some(LostReason::HeartbeatLost) => "HEARTBEAT LOST",
        Some(LostReason::IdleTimeout) => "IDLE TIMEOUT",
        Some(LostReason::TimeLimitReached) => "TIME LIMIT REACHED",
    }
}

fn state_cell(worker: &WorkerView) -> Cell {
    let color = match worker.ended.map(|end| end.reason) {
        None => Color::Green,
        Some(LostReason::Stopped) => Color::Magenta,
        Some(LostReason::ConnectionLost | LostReason::HeartbeatLost) => Color::Red,
        Some(LostReason::IdleTimeout | LostReason::TimeLimitReached) => Color::Cyan,
    };
    // Scripts read the word by the quiet form or JSON; a person wants to know why nothing starts there.
    let text = state_word(worker).to_owned() + if worker.draining.is_some() { " (draining)" } else { "" };
    Cell::styled(color.style(), text)
}

/// The batch system in which a worker runs.
struct Allocation {
    /// As JSON shows it: `PBS`, `Slurm`.
    manager: &'static str,
    id: String,
}

fn allocation(worker: &WorkerView) -> Option<Allocation> {
    let facts: Value = serde_json::from_str(worker.config.extra.get(JOB_MANAGER)?).ok()?;
    let manager = match facts.get("manager")?.as_str()? {
        "Pbs" => "PBS",
        "Slurm" => "Slurm",
        _ => return None,
    };
    Some(Allocation { manager, id: facts.get("allocation_id")?.as_str()?.to_owned() })
}

fn manager_texts(worker: &WorkerView) -> (String, String) {
    match allocation(worker) {
        Some(allocation) => (allocation.manager.to_uppercase(), allocation.id),
        None => ("None".to_owned(), "N/A".to_owned()),
    }
}

/// The table of `worker list`.
pub fn list(workers: &[WorkerView], palette: Palette) -> String {
    let mut table = Table::horizontal([
        Column::right("ID"),
        Column::left("State"),
        Column::left("Hostname"),
        Column::left("Resources"),
        Column::left("Manager"),
        Column::left("Manager Job ID"),
    ]);
    for worker in workers {
        let (manager, job) = manager_texts(worker);
        table.row([
            worker.id.to_string().into(),
            state_cell(worker),
            worker.config.hostname.as_str().into(),
            resources::worker_line(&worker.config.resources).into(),
            manager.into(),
            job.into(),
        ]);
    }
    table.render(palette)
}

/// The lines of `worker list` for scripts: `<id> <STATE>`.
pub fn list_quiet(workers: &[WorkerView]) -> String {
    workers.iter().map(|worker| format!("{} {}\n", worker.id, state_word(worker))).collect()
}

/// The table of one worker; `with_runtime` adds what it does now, for `worker info`.
pub fn info(worker: &WorkerView, with_runtime: bool, palette: Palette) -> String {
    let config = &worker.config;
    let (manager, manager_job) = manager_texts(worker);
    let mut table = Table::vertical();
    table.line("Worker", worker.id.to_string());
    table.line("State", state_cell(worker));
    table.line("Hostname", config.hostname.as_str());
    table.line("Started", format!("\"{}\"", time::rfc3339(worker.started)));
    table.line("Data provider", config.listen_address.as_str());
    table.line("Working directory", config.work_dir.as_str());
    table.line("Heartbeat", duration::full(config.heartbeat.to_duration()));
    table.line("Idle timeout", span_or_none(config.idle_timeout));
    table.line("Overview interval", span_or_none(config.overview_interval));
    table.line("Resources", resources::worker_lines(&config.resources));
    table.line("Time Limit", span_or_none(config.time_limit));
    table.line("Process pid", config.extra.get(PROCESS_PID).map_or("N/A", String::as_str));
    table.line("Group", config.group.as_str());
    table.line("Manager", manager);
    table.line("Manager Job ID", manager_job);
    let last = worker.last_started.map(|last| format!("{}; Time: \"{}\"", last.task, time::rfc3339(last.at)));
    table.line("Last task started", last.unwrap_or_default());
    if with_runtime && worker.ended.is_none() {
        table.line("Runtime Info", Cell::styled(Style::PLAIN, runtime_text(worker)));
    }
    table.render(palette)
}

fn span_or_none(span: Option<Span>) -> String {
    span.map_or_else(|| "None".to_owned(), |span| duration::full(span.to_duration()))
}

fn runtime_text(worker: &WorkerView) -> String {
    let mut text = match worker.gang {
        GangRole::None => tasks_text(worker),
        GangRole::Root => "running multinode task; main node".to_owned(),
        GangRole::Node => "running multinode task; secondary node".to_owned(),
    };
    if worker.away {
        text.push_str("; connection broken, may come back");
    }
    text
}

fn tasks_text(worker: &WorkerView) -> String {
    let mut text = format!("assigned tasks: {}", worker.assigned_tasks);
    if worker.running_tasks > 0 {
        text.push_str(&format!("; running tasks: {}", worker.running_tasks));
    }
    text
}

/// The object of a worker; `with_runtime` fills what it does now, which lists leave null.
pub fn to_json(worker: &WorkerView, with_runtime: bool) -> Value {
    let config = &worker.config;
    let runtime = (with_runtime && worker.ended.is_none()).then(|| match worker.gang {
        GangRole::None => json!({"SingleNodeTasks": {
            "assigned_tasks": worker.assigned_tasks,
            "running_tasks": worker.running_tasks,
            "is_reserved": false,
        }}),
        role => json!({"MultiNodeTask": {"main_node": role == GangRole::Root}}),
    });
    let last = worker.last_started.map(|last| {
        json!({
            "task_id": {"job_id": last.task.job, "job_task_id": last.task.task},
            "time": time::rfc3339(last.at),
        })
    });
    let mut value = json!({
        "id": worker.id,
        "configuration": {
            "hostname": config.hostname,
            "listen_address": config.listen_address,
            "work_dir": config.work_dir,
            "group": config.group,
            "heartbeat_interval": time::seconds(config.heartbeat),
            "idle_timeout": config.idle_timeout.map(time::seconds),
            "time_limit": config.time_limit.map(time::seconds),
            "on_server_lost": on_server_lost(config.on_server_lost),
            "min_utilization": utilization::number(config.min_utilization_parts),
            "resources": resources_json(&config.resources),
        },
        "allocation": allocation(worker).map(|found| json!({"manager": found.manager, "id": found.id})),
        "started": time::rfc3339(worker.started),
        "ended": worker.ended.map(|end| json!({"at": time::rfc3339(end.at)})),
        "last_task_started": last,
        "runtime_info": runtime,
    });
    // Only where it says something, so that the record of a worker has the keys that scripts know.
    if let (Some(drain), Some(fields)) = (worker.draining, value.as_object_mut()) {
        fields.insert("draining".to_owned(), json!({"until": drain.until.map(time::rfc3339)}));
    }
    value
}

fn on_server_lost(policy: OnServerLost) -> &'static str {
    match policy {
        OnServerLost::Stop => "stop",
        OnServerLost::FinishRunning => "finish-running",
    }
}

/// What a worker offers: `{resources, coupling}`.
pub fn resources_json(worker: &WorkerResources) -> Value {
    json!({
        "resources": worker.pools.iter().map(pool_json).collect::<Vec<_>>(),
        "coupling": resources::coupling_json(&worker.coupling),
    })
}

fn pool_json(pool: &Pool) -> Value {
    let name = &pool.name;
    match &pool.kind {
        PoolKind::Range(range) => json!({"name": name, "kind": "range", "start": range.start, "end": range.end}),
        PoolKind::List(values) => json!({"name": name, "kind": "list", "values": values}),
        PoolKind::Groups(groups) => json!({"name": name, "kind": "groups", "groups": groups}),
        PoolKind::Sum(size) => json!({"name": name, "kind": "sum", "size": size.0}),
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
