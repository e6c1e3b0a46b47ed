//! How long a server takes to remember: a journal of a million events, opened and folded.
//!
//! Users wait for this after every restart, and running tasks wait for their server.
//!
//! **Invariant:** the journal is written and read by the same functions as in a server, in a directory that is gone
//! afterwards.

use criterion::{Criterion, criterion_group, criterion_main};
use hq_core::command::Command;
use hq_core::event::{Event, JobChanged, JobSubmitted, ServerStarted, Stamped, TasksAssigned};
use hq_core::event::{TasksFinished, TasksStarted, WorkerConnected};
use hq_core::id::{Epoch, JobId, TaskId, WorkerId};
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use hq_core::retention::ForgetCause;
use hq_core::task::{SubmitDesc, TaskDesc};
use hq_core::time::Time;
use hq_core::worker::WorkerConfig;
use hq_journal::{Journal, Options};
use hyperqueue::eventlog;
use hyperqueue::server::restore;
use hyperqueue::server::staying::Staying;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two happenings, in microseconds.
const STEP_US: u64 = 100;

/// A history of `jobs` arrays of `tasks` tasks, in events of `batch` tasks.
fn history(jobs: u32, tasks: u32, batch: u32) -> Vec<Stamped> {
    let (worker, variant, mut events) = (WorkerId(1), 0, Vec::new());
    let mut at = Time(1_700_000_000_000_000);
    let mut push = |event| {
        at = Time(at.0 + STEP_US);
        events.push(Stamped { at, event });
    };
    let server_uid = "abcdef".to_owned();
    push(Event::ServerStarted(ServerStarted { server_uid, epoch: Epoch(1), version: "bench".into() }));
    push(Event::WorkerConnected(WorkerConnected { worker, token: "token".into(), config: config() }));
    for job in (1..=jobs).map(JobId) {
        push(Event::JobSubmitted(submitted(job, tasks)));
        for first in (0..tasks).step_by(batch as usize) {
            let last = (first + batch).min(tasks) - 1;
            let ids: Vec<TaskId> = (first..=last).map(TaskId).collect();
            let ago_us: Vec<u64> = ids.iter().map(|id| u64::from(id.0) % STEP_US).collect();
            let set = IdSet::range(first, last);
            push(Event::TasksAssigned(TasksAssigned {
                job,
                worker,
                variant,
                ahead: false,
                tasks: set,
                nodes: Vec::new(),
            }));
            let started =
                TasksStarted { job, worker, tasks: ids.clone(), ago_us: ago_us.clone(), ..TasksStarted::default() };
            push(Event::TasksStarted(started));
            push(Event::TasksFinished(TasksFinished { job, worker, tasks: ids, ago_us, ..TasksFinished::default() }));
        }
        push(Event::JobCompleted(JobChanged { job }));
    }
    events
}

fn submitted(job: JobId, tasks: u32) -> JobSubmitted {
    let request = ResourceRequest::cpus(Amount::units(1));
    let desc = TaskDesc { args: vec!["/bin/true".into()], request, ..TaskDesc::default() };
    let ids = IdSet::range(0, tasks - 1);
    let submit = SubmitDesc { ids, descs: vec![Arc::new(desc)], submit_dir: "/tmp".into(), ..SubmitDesc::default() };
    JobSubmitted { job, name: "true".into(), submit: Arc::new(submit), ..JobSubmitted::default() }
}

fn config() -> Box<WorkerConfig> {
    let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, 127) }];
    Box::new(WorkerConfig {
        resources: WorkerResources { pools, ..Default::default() },
        hostname: "node".into(),
        heartbeat: limits::HEARTBEAT_DEFAULT,
        ..WorkerConfig::default()
    })
}

/// Writes a history; returns how many events it has.
fn write(dir: &Path, events: &[Stamped]) -> usize {
    let (mut journal, _) = Journal::open(dir, Options { background: false, ..Options::default() }).expect("a journal");
    for group in events.chunks(5_000) {
        let drafts: Vec<_> = group.iter().map(eventlog::draft).collect();
        journal.append(&drafts).expect("appending");
        journal.commit().expect("committing");
        while journal.migrate_step().expect("migrating") {}
    }
    journal.close().expect("closing");
    events.len()
}

/// Writes a checkpoint of everything, as a server does.
fn write_checkpoint(dir: &Path) {
    let restored = restore::open(dir).expect("a state");
    let journal = restored.journal;
    let (at, state) = (journal.durable(), restored.machine.state());
    let parts = state.image().map(|part| eventlog::image_draft(&part, 1));
    journal.checkpoint_writer().write(at, 1, parts).expect("a checkpoint");
    journal.close().expect("closing");
}

/// Has the details of all jobs forgotten and the journal pruned, as `hq journal prune` does.
fn prune(dir: &Path) {
    let restored = restore::open(dir).expect("a state");
    let (mut journal, mut machine) = (restored.journal, restored.machine);
    journal.pruner().begin_tail();
    let forget = Command::ForgetDetails { jobs: None, cause: ForgetCause::Pruned };
    let events = machine.handle(Time(1_800_000_000_000_000), forget).events;
    let drafts: Vec<_> = events.iter().map(eventlog::draft).collect();
    journal.append(&drafts).expect("appending");
    journal.commit().expect("committing");
    while journal.migrate_step().expect("migrating") {}
    let (at, state) = (journal.durable(), machine.state());
    let parts = state.image().map(|part| eventlog::image_draft(&part, 1));
    journal.checkpoint_writer().write_twice(at, 1, parts).expect("a checkpoint");
    let staying = Staying::find(state, &journal.reader(), at).expect("what stays");
    let pruned = journal.pruner().prune(at, 1, &mut |record| staying.keeps(record)).expect("pruning");
    assert!(pruned.gone > pruned.kept);
    journal.close().expect("closing");
}

fn restart(c: &mut Criterion) {
    let mut bench = c.benchmark_group("restart");
    bench.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    // Batched: a million tasks in groups of 64, as busy workers report them. Single: a million events of one task each.
    for (name, jobs, tasks, batch) in [("1M_tasks_batched", 10, 100_000, 64), ("1M_single_events", 10, 33_333, 1)] {
        let dir = tempfile::tempdir().expect("a directory");
        let events = write(dir.path(), &history(jobs, tasks, batch));
        for step in ["replay", "with_checkpoint", "after_a_prune"] {
            match step {
                "with_checkpoint" => write_checkpoint(dir.path()),
                "after_a_prune" => prune(dir.path()),
                _ => {}
            }
            bench.bench_function(format!("{name}/{events}_events/{step}"), |b| {
                b.iter_custom(|iterations| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..iterations {
                        let begin = Instant::now();
                        let restored = restore::open(dir.path()).expect("a state");
                        spent += begin.elapsed();
                        assert_eq!(restored.machine.state().jobs.len(), jobs as usize);
                        restored.journal.close().expect("closing");
                    }
                    spent
                });
            });
        }
    }
    bench.finish();
}

criterion_group!(benches, restart);
criterion_main!(benches);
