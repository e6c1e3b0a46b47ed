//! Events of the journal as lines of JSON.
//!
//! Programs that read journals know one line for each happening with fixed names and keys; our events are batches, so
//! one event gives as many lines as it has happenings, each with its own time.
//!
//! Holds: the keys of the known types never change; a batch of any size is passed on in pieces of bounded size.

use super::overview_json::overview;
use super::{after, described};
use super::{attempt, time};
use crate::grammar::utilization;
use hq_core::act::TaskChange;
use hq_core::attempt::TaskVariant;
use hq_core::event::{
    Event, JobSubmitted, TaskFailed, TaskNotified, TaskRetried, TasksEnded, TasksFinished, TasksModified, TasksStarted,
};
use hq_core::id::JobId;
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::resource::{PoolKind, RequestEntry, ResourceRequest, Variant, WorkerResources};
use hq_core::retention::ForgetCause;
use hq_core::retry::Usage;
use hq_core::task::{CrashLimit, SubmitDesc};
use hq_core::time::{Span, Time};
use hq_core::worker::{LostReason, OnServerLost, WorkerConfig};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Task references in one line of a batch.
const BATCH_TASKS_MAX: usize = 10_000;
/// What is told later than this after it happened is told with the time of that.
const LATE_SPAN: Span = Span::from_secs(1);

/// Which types are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Those too that are told only when they have just happened.
    pub is_live: bool,
    /// Those too that readers of before do not know.
    pub all: bool,
}

/// The types of all lines, in the order of the alphabet.
pub const TYPES: [&str; 38] = [
    "details-forgotten",
    "job-cancel",
    "job-close",
    "job-completed",
    "job-created",
    "job-forgotten",
    "job-held",
    "job-idle",
    "job-modified",
    "job-open",
    "job-released",
    "job-restored",
    "server-start",
    "server-stop",
    "task-aborted",
    "task-adopted",
    "task-canceled",
    "task-failed",
    "task-finished",
    "task-notify",
    "task-retried",
    "task-started",
    "tasks-assigned",
    "tasks-described",
    "tasks-due",
    "tasks-held",
    "tasks-modified",
    "tasks-released",
    "tasks-rerun",
    "tasks-returned",
    "worker-away",
    "worker-connected",
    "worker-draining",
    "worker-lost",
    "worker-overview",
    "worker-returned",
    "worker-stopping",
    "worker-unblocked",
];

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When it happened.
    pub at: Time,
    /// The object, with that time.
    pub value: Value,
}

impl Line {
    /// The object as it is told after something of the time `clock`, which moves on: times never decrease in what is told.
    /// Starts and ends of tasks have their own times, which may be before those of events that were told earlier; if that is
    /// so by more than [`LATE_SPAN`], their own time stands beside, as `happened`.
    pub fn in_order(self, clock: &mut Time) -> Value {
        let Self { at, mut value } = self;
        if at >= *clock {
            *clock = at;
            return value;
        }
        if let Some(map) = value.as_object_mut() {
            let own = map.insert("time".to_owned(), json!(to_the_millisecond(*clock)));
            let event = map.get_mut("event").and_then(Value::as_object_mut).filter(|_| clock.since(at) > LATE_SPAN);
            event.into_iter().for_each(|event| event.extend(own.clone().map(|own| ("happened".to_owned(), own))));
        }
        value
    }
}

/// Passes the lines of one event to `emit`, in order.
///
/// `at` is the time of the event's record.
///
/// # Errors
/// The first one that `emit` gives.
pub fn lines<E>(at: Time, event: &Event, wanted: Wanted, emit: &mut dyn FnMut(Line) -> Result<(), E>) -> Result<(), E> {
    let Wanted { is_live, all } = wanted;
    match event {
        Event::TasksStarted(started) => tasks_started(at, started, emit),
        Event::TasksFinished(finished) => tasks_finished(at, finished, emit),
        Event::TasksCanceled(ended) => tasks_ended(at, "task-canceled", ended, emit),
        Event::TasksAborted(ended) => tasks_ended(at, "task-aborted", ended, emit),
        Event::TaskFailed(failed) => emit(task_failed(at, failed)),
        Event::TaskRetried(retried) if all => emit(task_retried(at, retried)),
        Event::JobSubmitted(created) => {
            emit(envelope(at, "job-created", job_created(created, all)))?;
            let more = described::of_tasks(created).take(if all { usize::MAX } else { 0 });
            more.into_iter().try_for_each(|body| emit(envelope(at, "tasks-described", body)))
        }
        Event::TaskNotified(notified) if all || is_live => emit(envelope(at, "task-notify", notice(notified))),
        Event::JobIdle(idle) if all || is_live => emit(envelope(at, "job-idle", json!({"job_id": idle.job}))),
        other => match known(other).or_else(|| if all { internal(other) } else { None }) {
            Some((kind, body)) => emit(envelope(at, kind, body)),
            None => Ok(()),
        },
    }
}

/// The events that are one line each and that every reader knows.
fn known(event: &Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::ServerStarted(e) => ("server-start", json!({"server_uid": e.server_uid})),
        Event::ServerStopped(_) => ("server-stop", json!({})),
        Event::WorkerConnected(e) => {
            ("worker-connected", json!({"id": e.worker, "configuration": configuration(&e.config)}))
        }
        Event::WorkerLost(e) => ("worker-lost", json!({"id": e.worker, "reason": reason(e.reason)})),
        Event::WorkerOverview(e) => ("worker-overview", overview(e)),
        Event::JobOpened(e) => {
            ("job-open", tagged(json!({"job_id": e.job, "name": e.name, "max_fails": e.max_fails}), &e.tags))
        }
        Event::JobClosed(e) => ("job-close", json!({"job_id": e.job})),
        Event::JobCanceled(e) => {
            ("job-cancel", json!({"job_id": e.job, "reason": e.reason.as_deref().unwrap_or_default()}))
        }
        Event::JobCompleted(e) => ("job-completed", json!({"job": e.job})),
        _ => return None,
    })
}

/// The events that only this program writes.
fn internal(event: &Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::JobForgotten(e) => ("job-forgotten", json!({"job_id": e.job})),
        Event::WorkerAway(e) => ("worker-away", json!({"id": e.worker})),
        Event::WorkerReturned(e) => ("worker-returned", json!({"id": e.worker})),
        Event::WorkerStopping(e) => ("worker-stopping", json!({"id": e.worker})),
        Event::WorkerDraining(e) => {
            ("worker-draining", json!({"id": e.worker, "until": e.drain.until.map(time::rfc3339)}))
        }
        Event::WorkerUnblocked(e) => {
            let task =
                |item: &TaskVariant| json!({"job": item.task.job, "task": item.task.task, "variant": item.variant});
            ("worker-unblocked", json!({"id": e.worker, "tasks": e.tasks.iter().map(task).collect::<Vec<_>>()}))
        }
        Event::TasksAssigned(e) => {
            let tasks = id_set(&e.tasks);
            let one = json!({
                "job": e.job, "worker": e.worker, "variant": e.variant, "ahead": e.ahead, "tasks": tasks
            });
            let many = || json!({"job": e.job, "workers": e.nodes, "variant": e.variant, "tasks": tasks});
            ("tasks-assigned", if e.nodes.is_empty() { one } else { many() })
        }
        Event::TasksReturned(e) => (
            "tasks-returned",
            json!({"job": e.job, "worker": e.worker, "rejected": e.rejected, "tasks": id_set(&e.tasks)}),
        ),
        Event::TaskAdopted(e) => (
            "task-adopted",
            json!({
                "job": e.job, "task": e.task, "worker": e.worker,
                "epoch": e.epoch, "instance": e.attempt, "variant": e.variant
            }),
        ),
        Event::JobHeld(e) => ("job-held", json!({"job": e.job})),
        Event::JobReleased(e) => ("job-released", json!({"job": e.job})),
        Event::TasksHeld(e) => ("tasks-held", json!({"job": e.job, "tasks": id_set(&e.tasks)})),
        Event::JobModified(e) => ("job-modified", json!({"job": e.job, "max_fails": e.max_fails})),
        Event::TasksModified(e) => ("tasks-modified", tasks_modified(e)),
        Event::TasksReleased(e) => ("tasks-released", json!({"job": e.job, "tasks": id_set(&e.tasks)})),
        Event::TasksRerun(e) => ("tasks-rerun", json!({"job": e.job, "tasks": id_set(&e.tasks)})),
        Event::TasksDue(e) => ("tasks-due", json!({"job": e.job, "tasks": id_set(&e.tasks)})),
        Event::JobRestored(e) => ("job-restored", json!({"job": e.job})),
        Event::DetailsForgotten(e) => {
            ("details-forgotten", json!({"jobs": id_set(&e.jobs), "cause": forget_cause(e.cause)}))
        }
        _ => return None,
    })
}

/// Why details were forgotten, in a word.
pub fn forget_cause(cause: ForgetCause) -> &'static str {
    match cause {
        ForgetCause::Pruned => "pruned",
        ForgetCause::Size => "size",
        ForgetCause::Age => "age",
    }
}

/// A message of a task.
fn notice(event: &TaskNotified) -> Value {
    json!({
        "task_id": task_ref(event.job, event.task.0), "worker_id": event.worker,
        "message": event.message.as_slice(), "text": String::from_utf8_lossy(&event.message)
    })
}

/// Only what was changed is there.
fn tasks_modified(event: &TasksModified) -> Value {
    let TaskChange { priority, time_limit, request, crash_limit: limit, max_fails: _ } = &event.change;
    let mut change = Map::new();
    let mut put = |key: &str, value: Option<Value>| change.extend(value.map(|value| (key.to_owned(), value)));
    put("priority", priority.map(|priority| json!(priority)));
    put("time_limit", time_limit.map(duration));
    put("resources", request.as_ref().map(resource_request));
    put("crash_limit", limit.map(crash_limit));
    json!({"job": event.job, "tasks": id_set(&event.tasks), "change": change})
}

fn to_the_millisecond(at: Time) -> String {
    time::rfc3339(Time(at.0 / 1_000 * 1_000))
}

fn envelope(at: Time, kind: &'static str, body: Value) -> Line {
    let mut event = match body {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    event.insert("type".to_owned(), json!(kind));
    Line { at, value: json!({"time": to_the_millisecond(at), "event": event}) }
}

fn before(at: Time, ago_us: Option<&u64>) -> Time {
    Time(at.0.saturating_sub(ago_us.copied().unwrap_or(0)))
}

fn tasks_started<E>(at: Time, started: &TasksStarted, emit: &mut dyn FnMut(Line) -> Result<(), E>) -> Result<(), E> {
    for (position, task) in started.tasks.iter().enumerate() {
        let instance = started.attempts.get(position).copied().unwrap_or_default();
        let mut body = json!({"job": started.job, "task": task, "instance": instance});
        if let Some(map) = body.as_object_mut() {
            match started.nodes.as_slice() {
                [] => map.insert("worker".to_owned(), json!(started.worker)),
                nodes => map.insert("workers".to_owned(), json!(nodes)),
            };
        }
        if let Some(map) = body.as_object_mut().filter(|_| started.variant > 0) {
            map.insert("variant".to_owned(), json!(started.variant));
        }
        emit(envelope(before(at, started.ago_us.get(position)), "task-started", body))?;
    }
    Ok(())
}

fn tasks_finished<E>(at: Time, finished: &TasksFinished, emit: &mut dyn FnMut(Line) -> Result<(), E>) -> Result<(), E> {
    for (position, task) in finished.tasks.iter().enumerate() {
        let mut body = json!({"job": finished.job, "task": task});
        let used = (finished.cpu_ms.get(position), finished.memory_kib.get(position));
        if let (Some(cpu_ms), Some(memory_kib), Some(map)) = (used.0, used.1, body.as_object_mut()) {
            map.extend(attempt::usage_json(&Usage { cpu_ms: *cpu_ms, memory_kib: *memory_kib }));
        }
        emit(envelope(before(at, finished.ago_us.get(position)), "task-finished", body))?;
    }
    Ok(())
}

fn task_failed(at: Time, failed: &TaskFailed) -> Line {
    envelope(before(at, Some(&failed.ago_us)), "task-failed", failure(failed))
}

/// What is told of a failure; what is not known is left out.
fn failure(failed: &TaskFailed) -> Value {
    let mut body = json!({"job": failed.job, "task": failed.task, "error": failed.error});
    if let Some(map) = body.as_object_mut() {
        map.extend(attempt::how_json(failed.cause, failed.exit_code, failed.signal));
        map.extend(failed.usage.iter().flat_map(attempt::usage_json));
    }
    body
}

/// A failure after which the task is tried again.
fn task_retried(at: Time, retried: &TaskRetried) -> Line {
    let mut body = failure(&retried.failed);
    if let Some(map) = body.as_object_mut() {
        map.insert("instance".to_owned(), json!(retried.failed.attempt));
        map.insert("delay".to_owned(), json!(time::seconds(retried.delay)));
    }
    envelope(before(at, Some(&retried.failed.ago_us)), "task-retried", body)
}

fn tasks_ended<E>(
    at: Time,
    kind: &'static str,
    ended: &TasksEnded,
    emit: &mut dyn FnMut(Line) -> Result<(), E>,
) -> Result<(), E> {
    let mut ids = ended.tasks.iter().peekable();
    while ids.peek().is_some() {
        let tasks: Vec<Value> = ids.by_ref().take(BATCH_TASKS_MAX).map(|task| task_ref(ended.job, task)).collect();
        let mut body = json!({"tasks": tasks});
        if let Some(map) = body.as_object_mut().filter(|_| !ended.reason.is_empty()) {
            map.insert("reason".to_owned(), json!(ended.reason));
        }
        emit(envelope(at, kind, body))?;
    }
    Ok(())
}

fn task_ref(job: JobId, task: u32) -> Value {
    json!({"job_id": job, "job_task_id": task})
}

fn job_created(created: &JobSubmitted, whole: bool) -> Value {
    let mut created_json = job_created_always(created);
    if let Some(submit) = created_json.get_mut("submit_desc").and_then(Value::as_object_mut) {
        if !created.submit.after.is_empty() {
            submit.insert("after".to_owned(), created.submit.after.iter().map(after::to_json).collect());
        }
        let description = described::of_array(&created.submit, whole);
        submit.extend(description.map(|description| ("description".to_owned(), description)));
    }
    created_json
}

/// The keys that are always there.
fn job_created_always(created: &JobSubmitted) -> Value {
    json!({
        "job": created.job,
        "closed_job": !created.attached,
        "job_desc": tagged(json!({"name": created.name, "max_fails": created.max_fails}), &created.tags),
        "submit_desc": {
            "submit_dir": created.submit.submit_dir,
            "stream_path": created.submit.stream,
            "task_desc": task_desc(&created.submit),
        },
    })
}

/// The object with the tags, if there are any.
fn tagged(mut value: Value, tags: &BTreeMap<String, String>) -> Value {
    if let Some(map) = value.as_object_mut().filter(|_| !tags.is_empty()) {
        map.insert("tags".to_owned(), json!(tags));
    }
    value
}

fn task_desc(submit: &SubmitDesc) -> Value {
    match submit.descs.first() {
        Some(desc) if !submit.graph => json!({
            "ids": id_set(&submit.ids),
            "resources": resource_request(&desc.request),
            "time_limit": desc.time_limit.map(duration),
            "priority": desc.priority,
            "crash_limit": crash_limit(desc.crash_limit),
        }),
        _ => json!({"n_tasks": submit.ids.len()}),
    }
}

/// Ranges with their width, which is not the number of their ids when they are stepped.
fn id_set(ids: &IdSet) -> Value {
    let ranges = ids.ranges.iter().filter(|range| !range.is_empty()).map(|range| {
        let width = u64::from(range.end - range.start) + 1;
        json!({"start": range.start, "count": width, "step": range.step()})
    });
    json!({"ranges": ranges.collect::<Vec<_>>()})
}

fn resource_request(request: &ResourceRequest) -> Value {
    let entry =
        |entry: &RequestEntry| json!({"resource": entry.resource, "policy": super::resources::entry_json(entry)});
    let variant = |variant: &Variant| {
        json!({
            "n_nodes": variant.nodes,
            "resources": variant.entries.iter().map(entry).collect::<Vec<_>>(),
            "min_time": duration(variant.min_time),
            "weight": variant.weight(),
        })
    };
    json!({"variants": request.variants.iter().map(variant).collect::<Vec<_>>()})
}

fn crash_limit(limit: CrashLimit) -> Value {
    match limit {
        CrashLimit::Never => json!("NeverRestart"),
        CrashLimit::Max(count) => json!({"MaxCrashes": count}),
        CrashLimit::Unlimited => json!("Unlimited"),
    }
}

fn duration(span: Span) -> Value {
    let duration = span.to_duration();
    json!({"secs": duration.as_secs(), "nanos": duration.subsec_nanos()})
}

fn reason(reason: LostReason) -> &'static str {
    match reason {
        LostReason::Stopped => "Stopped",
        LostReason::ConnectionLost => "ConnectionLost",
        LostReason::HeartbeatLost => "HeartbeatLost",
        LostReason::IdleTimeout => "IdleTimeout",
        LostReason::TimeLimitReached => "TimeLimitReached",
    }
}

fn configuration(config: &WorkerConfig) -> Value {
    let on_server_lost = match config.on_server_lost {
        OnServerLost::Stop => "Stop",
        OnServerLost::FinishRunning => "FinishRunning",
    };
    json!({
        "resources": worker_resources(&config.resources),
        "listen_address": config.listen_address,
        "hostname": config.hostname,
        "group": config.group,
        "work_dir": config.work_dir,
        "heartbeat_interval": duration(config.heartbeat),
        "retract_check_interval": duration(config.retract_check.unwrap_or(limits::RETRACT_CHECK_DEFAULT)),
        "idle_timeout": config.idle_timeout.map(duration),
        "time_limit": config.time_limit.map(duration),
        "overview_configuration": {
            "send_interval": config.overview_interval.map(duration),
            "gpu_families": gpu_families(&config.resources),
        },
        "on_server_lost": on_server_lost,
        "min_utilization": utilization::number(config.min_utilization_parts),
        "extra": config.extra,
    })
}

/// Whose use is observed: the makers whose GPUs the worker offers.
fn gpu_families(resources: &WorkerResources) -> Vec<&'static str> {
    let families = [("gpus/nvidia", "Nvidia"), ("gpus/amd", "Amd")];
    let offers = |name: &str| resources.pools.iter().any(|pool| pool.name == name);
    families.into_iter().filter(|(name, _)| offers(name)).map(|(_, family)| family).collect()
}

fn worker_resources(resources: &WorkerResources) -> Value {
    let kind = |kind: &PoolKind| match kind {
        PoolKind::Range(range) => json!({"Range": {"start": range.start, "end": range.end}}),
        PoolKind::List(values) => json!({"List": {"values": values}}),
        PoolKind::Groups(groups) => json!({"Groups": {"groups": groups}}),
        PoolKind::Sum(size) => json!({"Sum": {"size": size.0}}),
    };
    let pools: Vec<Value> =
        resources.pools.iter().map(|pool| json!({"name": pool.name, "kind": kind(&pool.kind)})).collect();
    json!({"resources": pools, "coupling": super::resources::coupling_json(&resources.coupling)})
}

#[cfg(test)]
#[path = "event_json_tests.rs"]
mod tests;
