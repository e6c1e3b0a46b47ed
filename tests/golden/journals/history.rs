//! A history with every kind of event, as small as it can be.
//!
//! Golden journals hold it in different states; whoever adds a kind of event adds it here, for the journals of the next
//! release.
//!
//! Holds: the same events at the same times, whenever it is made.

use hq_core::act::TaskChange;
use hq_core::event::*;
use hq_core::id::{AttemptId, Epoch, JobId, TaskId, TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use hq_core::retention::{DetailsForgotten, ForgetCause};
use hq_core::retry::FailureCause;
use hq_core::task::{Condition, Dependency, Entries, SubmitDesc, TaskDesc};
use hq_core::time::{Span, Time};
use hq_core::worker::{Drain, LostReason, WorkerConfig};
use hq_journal::RecordDraft;
use hyperqueue::eventlog;
use std::sync::Arc;

/// Time between two events, in microseconds.
const STEP_US: u64 = 100_000;
const BEGIN: Time = Time(1_790_000_000_000_000);

fn config(hostname: &str) -> Box<WorkerConfig> {
    let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, 7) }];
    let resources = WorkerResources { pools, ..WorkerResources::default() };
    Box::new(WorkerConfig {
        resources,
        hostname: hostname.into(),
        group: "default".into(),
        work_dir: "/work".into(),
        heartbeat: Span::from_secs(8),
        ..WorkerConfig::default()
    })
}

fn submit(tasks: u32, entries: &[&str]) -> Arc<SubmitDesc> {
    let request = ResourceRequest::cpus(Amount::units(1));
    let args = vec!["sh".into(), "-c".into(), "exit 3".into()];
    let desc = TaskDesc { args, request, ..TaskDesc::default() };
    let entries = Entries::pack(entries.iter().map(|entry| entry.as_bytes()));
    let (ids, descs) = (IdSet::range(0, tasks - 1), vec![Arc::new(desc)]);
    Arc::new(SubmitDesc { ids, descs, entries, submit_dir: "/home/user".into(), ..SubmitDesc::default() })
}

fn assigned(job: JobId, first: u32, last: u32) -> Event {
    let tasks = IdSet::range(first, last);
    Event::TasksAssigned(TasksAssigned { job, worker: WorkerId(1), tasks, ..TasksAssigned::default() })
}

fn started(job: JobId, tasks: &[u32], attempt: u32) -> Event {
    let attempts = if attempt == 0 { Vec::new() } else { vec![AttemptId(attempt); tasks.len()] };
    let ago_us = vec![500; tasks.len()];
    let tasks = tasks.iter().map(|id| TaskId(*id)).collect();
    let worker = WorkerId(1);
    Event::TasksStarted(TasksStarted { job, worker, tasks, attempts, ago_us, ..TasksStarted::default() })
}

fn finished(job: JobId, tasks: &[u32]) -> Event {
    let (worker, ago_us) = (WorkerId(1), vec![250; tasks.len()]);
    let (cpu_ms, memory_kib) = (vec![4; tasks.len()], vec![1_200; tasks.len()]);
    let tasks = tasks.iter().map(|id| TaskId(*id)).collect();
    Event::TasksFinished(TasksFinished { job, worker, tasks, ago_us, cpu_ms, memory_kib })
}

fn failed(job: JobId, task: u32, attempt: u32) -> TaskFailed {
    TaskFailed {
        job,
        task: TaskId(task),
        ago_us: 100,
        error: "Error: Program terminated with exit code 3".into(),
        exit_code: Some(3),
        cause: FailureCause::Exit,
        attempt: AttemptId(attempt),
        ..TaskFailed::default()
    }
}

fn named(job: JobId, tasks: IdSet) -> TasksNamed {
    TasksNamed { job, tasks }
}

fn submitted(job: JobId, name: &str, submit: Arc<SubmitDesc>, attached: bool) -> Event {
    Event::JobSubmitted(JobSubmitted { job, name: name.into(), submit, attached, ..JobSubmitted::default() })
}

/// A job that fails, is tried again, runs again and is cancelled.
fn retried(job: JobId) -> Vec<Event> {
    let one = IdSet::single(1);
    let whole = submit(4, &["a", "b", "c", "d"]);
    let notice = TaskNotified { job, task: TaskId(0), worker: WorkerId(1), number: 1, ..TaskNotified::default() };
    vec![
        submitted(job, "retried", Arc::clone(&whole), false),
        assigned(job, 0, 3),
        started(job, &[0, 1, 2, 3], 0),
        Event::TaskNotified(notice),
        finished(job, &[0]),
        Event::TaskRetried(TaskRetried { failed: failed(job, 1, 0), delay: Span(STEP_US / 2) }),
        Event::TasksDue(named(job, one.clone())),
        assigned(job, 1, 1),
        started(job, &[1], 1),
        finished(job, &[2, 3]),
        Event::TaskFailed(failed(job, 1, 1)),
        Event::JobCompleted(JobChanged { job }),
        Event::JobRestored(JobRestored { job, submits: vec![whole] }),
        Event::TasksRerun(named(job, one.clone())),
        Event::JobCanceled(JobCanceled { job, reason: Some("enough".into()) }),
        Event::TasksCanceled(TasksEnded { job, tasks: one, reason: "enough".into() }),
        Event::JobCompleted(JobChanged { job }),
    ]
}

/// An open job whose tasks are held, changed, given out and taken back; one runs at the end.
fn open(job: JobId) -> Vec<Event> {
    let worker = WorkerId(1);
    let change = TaskChange { priority: Some(3), ..TaskChange::default() };
    vec![
        Event::JobOpened(JobOpened { job, name: "open".into(), ..JobOpened::default() }),
        submitted(job, "first", submit(5, &[]), true),
        Event::JobHeld(JobChanged { job }),
        Event::JobReleased(JobChanged { job }),
        Event::TasksHeld(named(job, IdSet::single(0))),
        Event::TasksReleased(named(job, IdSet::single(0))),
        Event::JobModified(JobModified { job, max_fails: Some(7) }),
        Event::TasksModified(TasksModified { job, tasks: IdSet::single(1), change }),
        assigned(job, 2, 2),
        Event::TasksReturned(TasksReturned { job, worker, tasks: IdSet::single(2), rejected: true }),
        Event::WorkerUnblocked(WorkerUnblocked { worker, tasks: Vec::new() }),
        Event::WorkerAway(WorkerAway { worker, reason: AwayReason::Silent, silent: Span::from_secs(9) }),
        Event::WorkerReturned(WorkerChanged { worker }),
        Event::TaskAdopted(TaskAdopted { job, task: TaskId(3), worker, epoch: Epoch(1), ..TaskAdopted::default() }),
        started(job, &[3], 0),
        Event::TasksAborted(TasksEnded { job, tasks: IdSet::single(4), reason: "a dependency failed".into() }),
    ]
}

/// A record that is intact and cannot be used, or not as it says, for the journals of these names.
pub fn poison(name: &str) -> Option<RecordDraft> {
    let at = Time(BEGIN.0 + 100 * STEP_US);
    let event = |event| eventlog::draft(&Stamped { at, event });
    let spoiled = |body: &[u8]| RecordDraft { body: body.to_vec(), ..event(finished(JobId(2), &[3])) };
    Some(match name {
        "poisoned-noise" => spoiled(&[0xFF, 0xFF]),
        "poisoned-type" => spoiled(&[0x83, 1, 2, 3]),
        "poisoned-orphan" => event(finished(JobId(77), &[0])),
        "poisoned-dependency" => {
            let deps = vec![Dependency {
                task: TaskId(1),
                on: TaskRef { job: JobId(6), task: TaskId(9) },
                condition: Condition::Ok,
            }];
            let whole = SubmitDesc { deps, ..(*submit(2, &[])).clone() };
            event(submitted(JobId(6), "circular", Arc::new(whole), false))
        }
        _ => return None,
    })
}

/// The whole history.
pub fn history() -> Vec<Stamped> {
    let (first, second) = (WorkerId(1), WorkerId(2));
    let connected = |worker, hostname| {
        let token = format!("token-of-{hostname}");
        Event::WorkerConnected(WorkerConnected { worker, token, config: config(hostname) })
    };
    let server_uid = "gOld42".to_owned();
    let mut events = vec![
        Event::ServerStarted(ServerStarted { server_uid, epoch: Epoch(1), version: "0.1.0-dev".into() }),
        connected(first, "node-1"),
        connected(second, "node-2"),
        Event::WorkerOverview(WorkerOverview { worker: second, state: None }),
    ];
    events.extend(retried(JobId(1)));
    events.extend(open(JobId(2)));
    let (idle, short, forgotten, ended) = (JobId(3), JobId(4), JobId(5), JobChanged { job: JobId(3) });
    let of = |job| JobChanged { job };
    events.extend([
        Event::WorkerDraining(WorkerDraining { worker: second, drain: Drain::default() }),
        Event::WorkerStopping(WorkerChanged { worker: second }),
        Event::WorkerLost(WorkerLost { worker: second, reason: LostReason::Stopped }),
        Event::JobOpened(JobOpened { job: idle, name: "idle".into(), ..JobOpened::default() }),
        Event::JobIdle(of(idle)),
        Event::JobClosed(ended),
        Event::JobCompleted(of(idle)),
        submitted(short, "short", submit(1, &["x"]), false),
        assigned(short, 0, 0),
        started(short, &[0], 0),
        finished(short, &[0]),
        Event::JobCompleted(of(short)),
        Event::DetailsForgotten(DetailsForgotten { jobs: IdSet::single(short.0), cause: ForgetCause::Size }),
        submitted(forgotten, "forgotten", submit(1, &[]), false),
        Event::TasksCanceled(TasksEnded { job: forgotten, tasks: IdSet::single(0), reason: String::new() }),
        Event::JobCompleted(of(forgotten)),
        Event::JobForgotten(of(forgotten)),
        Event::ServerStopped(ServerStopped {}),
    ]);
    let times = (1u64..).map(|n| Time(BEGIN.0 + n * STEP_US));
    events.into_iter().zip(times).map(|(event, at)| Stamped { at, event }).collect()
}
