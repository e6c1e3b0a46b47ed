//! What a link of a chain of dependent tasks costs: an end comes in, the assignment of the successor goes out.
//!
//! This is the part of a dependent task's latency that the machine is to blame for.
//!
//! What holds: each link is one report and one placement, as when nothing else happens on the cluster.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod scene;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hq_core::command::Command;
use scene::{Scene, array, graph};
use std::time::Duration;

fn chain(c: &mut Criterion) {
    let mut bench = c.benchmark_group("chain/per_link");
    bench.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for links in [1_000u32, 100_000] {
        bench.throughput(Throughput::Elements(u64::from(links)));
        bench.bench_with_input(BenchmarkId::new("alone", links), &links, |b, _| {
            b.iter_custom(|iterations| (0..iterations).map(|_| run(Scene::new(1, 4), links)).sum());
        });
    }
    bench.throughput(Throughput::Elements(1_000));
    bench.bench_function("on_1024_workers_beside_an_array", |b| {
        b.iter_custom(|iterations| {
            let beside = |_| {
                let mut scene = Scene::new(1_024, 4);
                scene.run(Command::Submit(array(4_000, 1, 0)));
                scene.place();
                // The array holds all but 96 CPUs and stays.
                scene.park();
                run(scene, 1_000)
            };
            (0..iterations).map(beside).sum()
        });
    });
    bench.finish();
}

fn run(mut scene: Scene, links: u32) -> Duration {
    scene.run(Command::Submit(graph(links, 1, 1)));
    scene.place();
    scene.take_spent();
    scene.drain(u64::from(links));
    assert_eq!(scene.turns, u64::from(links));
    scene.take_spent()
}

criterion_group!(benches, chain);
criterion_main!(benches);
