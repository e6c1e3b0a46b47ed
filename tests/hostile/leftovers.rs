//! What stays behind in the directory for temporary files.
//!
//! Compute nodes are used by many jobs one after the other; a worker that leaves a little each time fills them.
//!
//! Holds: after a normal end nothing is left; what a killed worker left is removed by the next one.

use crate::harness::{Cluster, wait_until};
use nix::sys::signal::Signal;

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
    cluster.submit(&["sleep", "600"]);
    wait_until("the job runs", || cluster.job_state(3).as_deref() == Some("RUNNING"));
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    cluster.worker_ends(1);
    assert_eq!(left(&cluster), [""; 0]);
}

#[test]
fn nothing_is_left_after_signals() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut cluster = Cluster::with_worker(1);
        cluster.submit(&["sleep", "600"]);
        cluster.wait_job(1, "RUNNING");
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
    let running = cluster.submit(&["sleep", "600"]);
    cluster.wait_job(running, "RUNNING");
    let before = left(&cluster);
    assert_eq!(before.len(), 2, "{before:?}");
    cluster.kill_worker(0);
    let strange = ["hq-workerlike", "other"].map(|name| cluster.tmp().join(name));
    std::fs::write(&strange[0], "a file of somebody").unwrap();
    std::fs::create_dir(&strange[1]).unwrap();
    cluster.start_worker(1);
    let after = left(&cluster);
    let kept = before.iter().filter(|name| after.contains(name)).count();
    assert_eq!((after.len(), kept), (4, 1), "that of the living worker stays: {before:?} {after:?}");
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
