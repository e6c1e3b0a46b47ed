//! What the interpreter of events costs: time per task, and memory per task.
//!
//! Replay, checkpoints and the live path are this function, and its state is what a server holds in memory.
//!
//! What holds: the bytes are those asked of the allocator, counted, not guessed from sizes of types.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod scene;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hq_core::command::Command;
use hq_core::event::{Event, JobSubmitted, Stamped, TasksAssigned, TasksFinished, TasksStarted};
use hq_core::id::{JobId, TaskId, WorkerId};
use hq_core::idset::IdSet;
use hq_core::state::State;
use hq_core::task::{Entries, SubmitDesc};
use hq_core::time::Time;
use scene::{Scene, array, desc, graph};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TASKS: u32 = 65_536;

/// The events of the life of an array, in groups of `batch` tasks.
fn life(batch: u32) -> [Vec<Stamped>; 3] {
    let (job, worker, variant) = (JobId(1), WorkerId(1), 0);
    let mut life = [Vec::new(), Vec::new(), Vec::new()];
    for first in (0..TASKS).step_by(batch as usize) {
        let tasks: Vec<TaskId> = (first..first + batch).map(TaskId).collect();
        let ago_us: Vec<u64> = (0..u64::from(batch)).collect();
        let ids = IdSet::range(first, first + batch - 1);
        let assigned = TasksAssigned { job, worker, variant, ahead: false, tasks: ids, ..TasksAssigned::default() };
        let started = TasksStarted {
            job,
            worker,
            tasks: tasks.clone(),
            ago_us: ago_us.clone(),
            variant,
            ..TasksStarted::default()
        };
        let finished = TasksFinished { job, worker, tasks, ago_us, ..TasksFinished::default() };
        let events = [Event::TasksAssigned(assigned), Event::TasksStarted(started), Event::TasksFinished(finished)];
        for (events, event) in life.iter_mut().zip(events) {
            events.push(Stamped { at: Time(5_000_000 + u64::from(first)), event });
        }
    }
    life
}

fn with_array() -> State {
    let mut scene = Scene::new(1, 64);
    scene.run(Command::Submit(array(TASKS, 1, 0)));
    scene.machine.state().clone()
}

fn apply(c: &mut Criterion) {
    let mut bench = c.benchmark_group("apply/per_task");
    bench.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    bench.throughput(Throughput::Elements(u64::from(TASKS)));
    for batch in [1u32, 64, 1_024] {
        let life = life(batch);
        for (step, name) in ["assign", "start", "finish"].into_iter().enumerate() {
            bench.bench_with_input(BenchmarkId::new(name, batch), &batch, |b, _| {
                let mut state = with_array();
                life.iter().take(step).flatten().for_each(|stamped| state.apply(stamped));
                let apply = |mut state: State| {
                    life.iter().skip(step).take(1).flatten().for_each(|stamped| state.apply(stamped));
                    state
                };
                b.iter_batched(|| state.clone(), apply, BatchSize::LargeInput);
            });
        }
        bench.bench_with_input(BenchmarkId::new("life_interleaved", batch), &batch, |b, _| {
            let state = with_array();
            let apply = |mut state: State| {
                for group in 0..life.iter().map(Vec::len).min().unwrap_or(0) {
                    life.iter().filter_map(|events| events.get(group)).for_each(|stamped| state.apply(stamped));
                }
                state
            };
            b.iter_batched(|| state.clone(), apply, BatchSize::LargeInput);
        });
    }
    bench.finish();
}

fn bytes_in_use() -> isize {
    let stats = COUNTED.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

fn grown<T>(make: impl FnOnce() -> T) -> (f64, T) {
    let before = bytes_in_use();
    let made = make();
    ((bytes_in_use() - before) as f64, made)
}

/// Prints the bytes per task in each stage of its life.
fn memory(_: &mut Criterion) {
    let million = 1_000_000u32;
    let submitted = |submit: SubmitDesc| {
        let event = JobSubmitted { job: JobId(1), submit: Arc::new(submit), ..JobSubmitted::default() };
        Stamped { at: Time(1), event: Event::JobSubmitted(event) }
    };
    let mut state = State::default();
    let (bytes, _) = grown(|| {
        let ids = IdSet::range(0, million - 1);
        state.apply(&submitted(SubmitDesc { ids, descs: vec![desc(1, 0)], ..SubmitDesc::default() }));
    });
    println!("memory: pending task of an array         {:8.3} B", bytes / f64::from(million));
    let mut state = State::default();
    let (bytes, _) = grown(|| {
        let ids = IdSet::range(0, million - 1);
        let entries = Entries::pack((0..million).map(|_| b"sixteen bytes...".as_slice()));
        state.apply(&submitted(SubmitDesc { ids, descs: vec![desc(1, 0)], entries, ..SubmitDesc::default() }));
    });
    println!("memory: pending task with a 16-byte entry {:7.3} B", bytes / f64::from(million));
    let tasks = 100_000u32;
    let (bytes, _) = grown(|| {
        let mut scene = Scene::new(0, 1);
        scene.run(Command::Submit(graph(100, 1_000, 3)));
        scene
    });
    println!("memory: pending task of a graph, 3 deps  {:8.3} B", bytes / f64::from(tasks));
    let [assigned, started, finished] = life(64);
    let mut state = with_array();
    for (what, events) in [("assigned", assigned), ("running", started), ("finished", finished)] {
        let before = bytes_in_use();
        let mut copy = state.clone();
        let fresh = bytes_in_use() - before;
        events.iter().for_each(|stamped| copy.apply(stamped));
        let now = bytes_in_use() - before;
        std::hint::black_box(fresh);
        state = copy;
        println!("memory: {what:<9} task, state as a whole  {:8.3} B", now as f64 / f64::from(TASKS));
    }
    let mut scene = Scene::new(1, 64);
    let (bytes, ()) = grown(|| {
        scene.run(Command::Submit(array(million, 1, 0)));
        scene.place();
        scene.drain(u64::from(million));
    });
    println!("memory: finished task of a million        {:7.3} B", bytes / f64::from(million));
}

criterion_group!(benches, apply, memory);
criterion_main!(benches);
