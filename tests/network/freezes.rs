//! Processes that are stopped for a while, and servers that are gone for longer than a lease.

use crate::harness::{Cluster, signal_to};
use crate::witness::{self, HEARTBEAT, LONGER_THAN_LEASE};
use nix::sys::signal::Signal;
use std::thread::sleep;

/// A server and one worker that runs the task.
fn scene() -> (Cluster, u32) {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
    let job = witness::submit(&cluster);
    (cluster, job)
}

#[test]
fn a_frozen_worker_runs_nothing_when_others_take_over() {
    let (mut cluster, job) = scene();
    let frozen = cluster.worker_pid(0);
    signal_to(frozen, Signal::SIGSTOP);
    cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
    witness::second_copy_runs_alone(&cluster, job);
    witness::wait_states(&cluster, &["HEARTBEAT LOST", "RUNNING"]);
    // It comes back as another worker, and what it has to tell about the task does not count.
    signal_to(frozen, Signal::SIGCONT);
    witness::wait_states(&cluster, &["HEARTBEAT LOST", "RUNNING", "RUNNING"]);
    let tasks = cluster.tasks(job);
    assert_eq!(tasks[0]["state"], "finished", "{tasks:?}");
    let next = cluster.submit(&["--array=1-4", "--wait", "--", "true"]);
    assert_eq!(cluster.job_state(next).as_deref(), Some("FINISHED"));
    assert_eq!(witness::runs(&cluster).len(), 2);
}

#[test]
fn a_worker_that_was_frozen_for_a_moment_goes_on() {
    let (cluster, job) = scene();
    let frozen = cluster.worker_pid(0);
    signal_to(frozen, Signal::SIGSTOP);
    // Longer than the silence that the server notices, shorter than the lease.
    sleep(std::time::Duration::from_secs(2));
    signal_to(frozen, Signal::SIGCONT);
    witness::first_copy_was_the_only_one(&cluster, job);
    witness::wait_states(&cluster, &["RUNNING"]);
}

#[test]
fn a_frozen_server_costs_no_task() {
    let (cluster, job) = scene();
    cluster.signal_server(Signal::SIGSTOP);
    sleep(LONGER_THAN_LEASE);
    assert!(witness::first_is_alive(&cluster), "{}", cluster.logs());
    cluster.signal_server(Signal::SIGCONT);
    witness::first_copy_was_the_only_one(&cluster, job);
    witness::wait_states(&cluster, &["RUNNING"]);
}

#[test]
fn a_server_that_is_dead_for_longer_than_a_lease_costs_no_task() {
    let (mut cluster, job) = scene();
    cluster.kill_server();
    sleep(LONGER_THAN_LEASE);
    assert!(witness::first_is_alive(&cluster), "{}", cluster.logs());
    cluster.start_server();
    witness::first_copy_was_the_only_one(&cluster, job);
}

#[test]
fn a_server_that_ended_in_order_for_longer_than_a_lease_costs_no_task() {
    let (mut cluster, job) = scene();
    cluster.signal_server(Signal::SIGTERM);
    assert!(cluster.server_ends().success());
    sleep(LONGER_THAN_LEASE);
    assert!(witness::first_is_alive(&cluster), "{}", cluster.logs());
    cluster.start_server();
    witness::first_copy_was_the_only_one(&cluster, job);
}

#[test]
fn a_worker_that_is_frozen_while_the_server_starts_again_keeps_nothing_either() {
    let (mut cluster, job) = scene();
    signal_to(cluster.worker_pid(0), Signal::SIGSTOP);
    cluster.kill_server();
    cluster.start_server();
    cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
    witness::second_copy_runs_alone(&cluster, job);
}
