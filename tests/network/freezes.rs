//! Processes that are stopped for a while, and servers that are gone for longer than a lease.

use crate::harness::{Cluster, signal_to};
use crate::many;
use crate::seed::{Seed, rounds};
use crate::witness::{self, HEARTBEAT, LONGER_THAN_LEASE};
use nix::sys::signal::Signal;
use std::thread::sleep;
use std::time::Duration;

/// Frozen workers and frozen servers in one run of all tests, and how many workers of a campaign are frozen at once.
const FREEZES: u64 = 24;
const SERVER_FREEZES: u64 = 6;
const AT_ONCE_MAX: u64 = 24;

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
    sleep(Duration::from_secs(2));
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

#[test]
fn freezes_of_any_length_cost_no_second_copy_at_a_time() {
    let mut seed = Seed::from_env();
    let (mut left, mut again) = (rounds(FREEZES), 0);
    while left > 0 {
        let count = usize::try_from(left.min(AT_ONCE_MAX)).expect("a small number");
        let mut cluster = Cluster::start();
        let workers: Vec<u32> = (0..count)
            .map(|_| {
                let number = cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
                cluster.worker_pid(number)
            })
            .collect();
        let spans = many::spans(count, many::FROZEN_IN_TIME, &mut seed);
        let send = |signal| move |pid| signal_to(pid, signal);
        let (stop, go) = (send(Signal::SIGSTOP), send(Signal::SIGCONT));
        let spans = (&spans[..], many::FROZEN_IN_TIME);
        again += many::at_once(&mut cluster, spans, |number| stop(workers[number]), |number| go(workers[number]));
        left -= count as u64;
    }
    eprintln!("{} frozen workers; {again} tasks ran a second time, none of them beside the first", rounds(FREEZES));
}

#[test]
fn freezes_of_the_server_cost_no_task() {
    let mut seed = Seed::from_env();
    let mut cluster = Cluster::start();
    for _ in 0..4 {
        cluster.start_worker_with(&["--cpus=1", HEARTBEAT]);
    }
    let jobs: Vec<u32> = (0..4).map(|_| witness::submit_another(&cluster)).collect();
    for freeze in 0..rounds(SERVER_FREEZES) {
        cluster.signal_server(Signal::SIGSTOP);
        // Every third one is longer than a lease.
        let span = if freeze % 3 == 2 { LONGER_THAN_LEASE } else { Duration::from_millis(500 + seed.below(4_000)) };
        sleep(span);
        cluster.signal_server(Signal::SIGCONT);
        witness::wait_states(&cluster, &["RUNNING"; 4]);
        cluster.hq(&["job", "list"]).ok();
    }
    witness::release(&cluster);
    for job in jobs {
        cluster.wait_job(job, "FINISHED");
    }
    assert_eq!(witness::runs(&cluster), ["0"; 4], "{}", cluster.logs());
}
