//! Packets that vanish, in both directions or in one, between a worker and its server.

use crate::harness::Cluster;
use crate::many;
use crate::namespace::Namespace;
use crate::seed::{Seed, rounds};
use crate::witness::{self, HEARTBEAT};
use std::time::Duration;

/// Partitions in one run of all tests, and how many of a campaign are at once.
const PARTITIONS: u64 = 30;
const AT_ONCE_MAX: u64 = 30;
/// First number of their namespaces; the tests of one partition have the smaller ones.
const FIRST_NET: u8 = 10;

/// A server here and a worker in the namespace, which runs the task; another worker here is ready to take over.
fn scene(namespace: &Namespace) -> (Cluster, u32) {
    let mut cluster = Cluster::offline();
    cluster.server_args = vec![format!("--listen={}", namespace.own_address()), "--listen=127.0.0.1".to_owned()];
    cluster.start_server();
    cluster.wrapper = namespace.wrapper();
    let number = cluster.spawn_worker(&["--cpus=1", HEARTBEAT]);
    cluster.wrapper.clear();
    witness::wait_states(&cluster, &["RUNNING"]);
    assert_eq!(number, 0);
    let job = witness::submit(&cluster);
    cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
    (cluster, job)
}

/// No copy beside the first, whatever direction is broken; afterwards the worker is back.
fn partition(net: u8, chains: &[&str]) {
    let Some(namespace) = Namespace::new(net) else { return };
    let (cluster, job) = scene(&namespace);
    chains.iter().for_each(|chain| namespace.swallow(chain));
    witness::second_copy_runs_alone(&cluster, job);
    namespace.heal();
    witness::wait_states(&cluster, &["HEARTBEAT LOST", "RUNNING", "RUNNING"]);
    assert_eq!(witness::runs(&cluster).len(), 2);
}

#[test]
fn nothing_comes_through() {
    partition(1, &["in", "out"]);
}

#[test]
fn the_server_hears_nothing() {
    partition(2, &["out"]);
}

#[test]
fn the_worker_hears_nothing() {
    partition(3, &["in"]);
}

#[test]
fn a_short_partition_is_survived() {
    let Some(namespace) = Namespace::new(4) else { return };
    let (cluster, job) = scene(&namespace);
    namespace.swallow("in");
    namespace.swallow("out");
    std::thread::sleep(Duration::from_secs(2));
    namespace.heal();
    // The lease is over by now if it was not renewed.
    std::thread::sleep(Duration::from_secs(8));
    witness::first_copy_was_the_only_one(&cluster, job);
}

/// Partitions of all kinds at once; how many tasks ran a second time, or `None` where this is not permitted.
fn many_at_once(count: usize, seed: &mut Seed) -> Option<usize> {
    let namespace = |number: usize| Namespace::new(FIRST_NET + u8::try_from(number).expect("few namespaces"));
    let namespaces: Vec<Namespace> = (0..count).map(namespace).collect::<Option<_>>()?;
    let mut cluster = Cluster::offline();
    cluster.server_args = vec![format!("--listen={}", namespaces[0].own_address()), "--listen=127.0.0.1".to_owned()];
    cluster.start_server();
    for namespace in &namespaces {
        cluster.wrapper = namespace.wrapper();
        cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
        cluster.wrapper.clear();
    }
    let directions: [&[&str]; 3] = [&["in", "out"], &["in"], &["out"]];
    let spans = many::spans(count, many::PARTED_IN_TIME, seed);
    let begin = |number: usize| {
        let broken = directions[number % directions.len()];
        broken.iter().for_each(|direction| namespaces[number].swallow(direction));
    };
    Some(many::at_once(&mut cluster, (&spans, many::PARTED_IN_TIME), begin, |number| namespaces[number].heal()))
}

#[test]
fn partitions_of_any_length_cost_no_second_copy_at_a_time() {
    let mut seed = Seed::from_env();
    let (mut left, mut again) = (rounds(PARTITIONS), 0);
    while left > 0 {
        let count = left.min(AT_ONCE_MAX);
        let Some(second) = many_at_once(usize::try_from(count).expect("a small number"), &mut seed) else { return };
        again += second;
        left -= count;
    }
    eprintln!("{} partitions; {again} tasks ran a second time, none of them beside the first", rounds(PARTITIONS));
}
