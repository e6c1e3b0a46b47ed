//! What stays behind in the directory for temporary files.
//!
//! Compute nodes are used by many jobs one after the other; a worker that leaves a little each time fills them.
//!
//! Holds: after a normal end nothing is left; what a killed worker left is removed by the next one.

use crate::harness::{Cluster, wait_until};
use crate::peer::{Peer, job, staying_task};
use hq_core::idset::IdSet;
use nix::sys::signal::Signal;

/// Tasks that run and have directories of their own.
#[track_caller]
fn running(cluster: &Cluster, tasks: u32) -> u32 {
    let mut desc = staying_task();
    desc.cwd = cluster.work().display().to_string();
    let id = Peer::client(cluster).submit(job("stays", IdSet::range(1, tasks), desc));
    cluster.wait_job(id.0, "RUNNING");
    id.0
}

fn left(cluster: &Cluster) -> Vec<String> {
    let entries = std::fs::read_dir(cluster.tmp()).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn nothing_is_left_after_a_normal_end() {
    let mut cluster = Cluster::with_worker(1);
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "--array=1-5", "--stream=stream", "true"]).ok();
    cluster.hq_with_input(&["submit", "--wait", "--stdin", "cat"], b"data").ok();
    cluster.hq(&["worker", "stop", "1"]).ok();
    assert!(cluster.worker_ends(0).success());
    running(&cluster, 1);
    assert_ne!(left(&cluster), [""; 0], "there is something to leave");
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    cluster.worker_ends(1);
    assert_eq!(left(&cluster), [""; 0]);
}

#[test]
fn nothing_is_left_after_signals() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut cluster = Cluster::with_worker(1);
        running(&cluster, 1);
        crate::harness::signal_to(cluster.worker_pid(0), signal);
        cluster.worker_ends(0);
        cluster.signal_server(signal);
        cluster.server_ends();
        assert_eq!(left(&cluster), [""; 0], "{signal}");
    }
}

#[test]
fn a_new_worker_removes_what_a_killed_one_left() {
    let mut cluster = Cluster::with_worker(1);
    cluster.start_worker(1);
    running(&cluster, 2);
    wait_until("both tasks have directories", || left(&cluster).len() == 2);
    let before = left(&cluster);
    cluster.kill_worker(0);
    let strange = ["hq-workerlike", "other"].map(|name| cluster.tmp().join(name));
    std::fs::write(&strange[0], "a file of somebody").unwrap();
    std::fs::create_dir(&strange[1]).unwrap();
    cluster.start_worker(1);
    let after = left(&cluster);
    let kept = before.iter().filter(|name| after.contains(name)).count();
    let made = after.len() - kept;
    assert!((made == 2 || made == 3) && kept == 1, "that of the living worker stays: {before:?} {after:?}");
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    cluster.worker_ends(1);
    cluster.worker_ends(2);
    assert_eq!(left(&cluster), ["hq-workerlike", "other"]);
}

#[test]
fn a_killed_server_leaves_nothing_but_its_directory() {
    let mut cluster = Cluster::start();
    cluster.submit(&["true"]);
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(left(&cluster), [""; 0]);
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    assert_eq!(left(&cluster), [""; 0]);
}
