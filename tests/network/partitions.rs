//! Packets that vanish, in both directions or in one, between a worker and its server.

use crate::harness::Cluster;
use crate::namespace::Namespace;
use crate::witness::{self, HEARTBEAT};
use std::time::Duration;

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
