//! The state as JSON, for who looks for a defect of the program.
//!
//! It shows what the machine holds in memory, which the tables of the command line hide on purpose.
//!
//! What holds: the size is bounded, since the dump is made on the thread of the machine; no key and no content of a
//! user's input is in it.

use hq_core::id::TaskRef;
use hq_core::state::State;
use hq_core::state::tasks::{Live, Place};
use hq_core::state::workers::{Link, Worker};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Tasks that are listed; further ones are only counted.
const TASKS_MAX: usize = 50_000;

/// The dump, as text.
pub(super) fn state(state: &State) -> Vec<u8> {
    let mut groups: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for worker in state.workers.values() {
        groups.entry(&worker.config.group).or_default().push(worker.id.0);
    }
    let groups: Vec<Value> = groups.iter().map(|(name, workers)| json!({"name": name, "workers": workers})).collect();
    let total: u64 = state.jobs.values().map(|job| job.counts.unfinished()).sum();
    let value = json!({
        "tako": {
            "workers": state.workers.values().map(worker).collect::<Vec<_>>(),
            "worker_groups": groups,
            "tasks": tasks(state),
        },
        "hq": {
            "server_uid": state.server_uid,
            "epoch": state.epoch.0,
            "unfinished_tasks": total,
            "tasks_listed_at_most": TASKS_MAX,
            "jobs": state.jobs.len(),
            "past_workers": state.past_workers.len(),
            "classes_with_ready_tasks": !state.ready.is_empty(),
        },
    });
    serde_json::to_vec_pretty(&value).unwrap_or_default()
}

fn worker(worker: &Worker) -> Value {
    let away_until = match worker.link {
        Link::Connected => None,
        Link::Away { until, .. } => Some(until.0),
    };
    let config = &worker.config;
    let pools: Vec<Value> =
        config.resources.pools.iter().map(|pool| json!({"name": pool.name, "size": pool.kind.size().0})).collect();
    json!({
        "id": worker.id.0,
        "assignment": worker.tasks.iter().take(TASKS_MAX).map(name).collect::<Vec<_>>(),
        "flags": {
            "stopping": worker.stopping.is_some(),
            "draining": worker.draining.is_some(),
            "accepts": worker.accepts(),
            "away_until_us": away_until,
        },
        "termination_time": config.time_limit.map(|limit| worker.started.after(limit).0),
        "idle_timestamp": worker.tasks.is_empty().then_some(worker.idle_since.0),
        "last_heartbeat": null,
        "configuration": {
            "hostname": config.hostname,
            "group": config.group,
            "work_dir": config.work_dir,
            "heartbeat_us": config.heartbeat.0,
            "idle_timeout_us": config.idle_timeout.map(|span| span.0),
            "resources": pools,
        },
    })
}

fn name(task: &TaskRef) -> String {
    format!("{}@{}", task.job.0, task.task.0)
}

/// Tasks that have an entry of their own; those that wait untouched in a range are the `unfinished` rest.
fn tasks(state: &State) -> Vec<Value> {
    let live = state
        .jobs
        .values()
        .flat_map(|job| job.tasks.live.iter().map(|(id, live)| (TaskRef { job: job.id, task: *id }, live)));
    live.take(TASKS_MAX).map(|(id, live)| task(state, id, live)).collect()
}

fn task(state: &State, id: TaskRef, live: &Live) -> Value {
    let word = match live.place {
        Place::Assigned { ahead: true, .. } => "Prefilled",
        Place::Assigned { .. } => "Assigned",
        Place::Running { .. } => "Running",
        _ => "Waiting",
    };
    let consumers = state.consumers.get(&id).map(Vec::as_slice).unwrap_or_default();
    json!({
        "id": name(&id),
        "state": {"state": word, "worker": live.on_worker().map(|(worker, _)| worker.0)},
        "consumers": consumers.iter().map(|(task, _)| name(task)).collect::<Vec<_>>(),
        "task_deps": match live.place { Place::Blocked { unmet } => unmet, _ => 0 },
        "instance_id": live.on_worker().map_or(live.next_attempt.0, |(_, fence)| fence.attempt.0),
        "crash_counter": live.crashes,
        "configuration": {"class": state.class_of(id).map(|class| format!("{class:?}"))},
    })
}
