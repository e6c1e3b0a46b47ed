//! What the machine costs a task: reports in, placement, assignments out.
//!
//! One thread runs the machine for a whole cluster, so this is what bounds the tasks per second of a server.
//!
//! What holds: only time inside the machine is measured, and each sample starts with a fresh machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod scene;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hq_core::command::Command;
use scene::{Scene, array, graph, scattered};
use std::time::Duration;

/// The life of an array on so many workers of 64 CPUs, each of which reports all it has at once.
fn array_on_workers(c: &mut Criterion) {
    let mut bench = c.benchmark_group("place/array_per_task");
    bench.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for workers in [1u32, 16, 256, 1024] {
        let tasks = (workers * 64 * 4).max(50_000);
        bench.throughput(Throughput::Elements(u64::from(tasks)));
        bench.bench_with_input(BenchmarkId::new("workers", workers), &workers, |b, _| {
            b.iter_custom(|iterations| {
                let run = |_| {
                    let mut scene = Scene::new(workers, 64);
                    scene.take_spent();
                    scene.run(Command::Submit(array(tasks, 1, 0)));
                    scene.place();
                    scene.drain(u64::from(tasks));
                    scene.take_spent()
                };
                (0..iterations).map(run).sum()
            });
        });
    }
    bench.finish();
}

/// One task ends on one of many full workers, with a million tasks waiting: what a single turn costs.
fn one_end(c: &mut Criterion) {
    let mut bench = c.benchmark_group("place/turn_of_one_end");
    bench.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, classes) in [("1_class", 1u32), ("16_classes", 16)] {
        for workers in [1u32, 256, 1024] {
            let mut scene = Scene::new(workers, 64);
            for class in 0..classes {
                scene.run(Command::Submit(array(1_000_000, 1 + class % 16, 0)));
            }
            scene.place();
            scene.report_tasks = 1;
            scene.turn();
            bench.bench_with_input(BenchmarkId::new(name, workers), &workers, |b, _| {
                b.iter_custom(|iterations| {
                    scene.take_spent();
                    for _ in 0..iterations {
                        scene.turn_of_one();
                    }
                    scene.take_spent()
                });
            });
        }
    }
    bench.finish();
}

/// Sixteen arrays of different needs and priorities on 256 workers.
fn mixed(c: &mut Criterion) {
    let mut bench = c.benchmark_group("place/mixed_per_task");
    bench.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for (name, priorities) in [("16_classes", 1u32), ("16_classes_4_priorities", 4)] {
        let tasks = 5_000u32;
        bench.throughput(Throughput::Elements(u64::from(tasks) * 16));
        bench.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let run = |_| {
                    let mut scene = Scene::new(256, 64);
                    scene.take_spent();
                    for class in 0..16u32 {
                        let priority = i32::try_from(class % priorities).unwrap_or(0);
                        scene.run(Command::Submit(array(tasks, 1 + class, priority)));
                    }
                    scene.place();
                    scene.drain(u64::from(tasks) * 16);
                    scene.take_spent()
                };
                (0..iterations).map(run).sum()
            });
        });
    }
    bench.finish();
}

/// Graphs of 100,000 tasks: submit, and all of their life on 16 workers, beside tasks that wait for nothing.
fn graphs(c: &mut Criterion) {
    let mut bench = c.benchmark_group("place/graph_per_task");
    bench.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    bench.throughput(Throughput::Elements(100_000));
    bench.bench_function("submit", |b| {
        let request = graph(100, 1_000, 3);
        b.iter_custom(|iterations| {
            let run = |_| {
                let mut scene = Scene::new(0, 64);
                scene.take_spent();
                scene.run(Command::Submit(request.clone()));
                scene.take_spent()
            };
            (0..iterations).map(run).sum()
        });
    });
    let life = [
        ("independent", graph(1, 100_000, 0)),
        ("ten_layers", graph(10, 10_000, 2)),
        ("hundred_layers", graph(100, 1_000, 3)),
        ("scattered", scattered(100_000, 3)),
    ];
    for (name, request) in life {
        bench.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let run = |_| {
                    let mut scene = Scene::new(16, 64);
                    scene.run(Command::Submit(request.clone()));
                    scene.take_spent();
                    scene.place();
                    scene.drain(100_000);
                    scene.take_spent()
                };
                (0..iterations).map(run).sum()
            });
        });
    }
    bench.finish();
}

criterion_group!(benches, array_on_workers, one_end, mixed, graphs);
criterion_main!(benches);
