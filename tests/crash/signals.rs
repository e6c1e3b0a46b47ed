//! SIGTERM, SIGINT, SIGHUP and `hq server stop` end a server in order.
//!
//! Batch systems, service managers and impatient users end servers by signals; that must cost nothing.
//!
//! Holds: exit code 0 soon, no access link left, nothing for the next start to repair; workers outlive a signal and
//! end by an order.

use crate::harness::{Cluster, is_alive, signal_to, wait_until};
use crate::kills::everything_ends;
use crate::kinds::Interruptions;
use crate::load::Load;
use crate::replay::{replayed_equals_live, shown};
use crate::seed::{Seed, rounds};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// The promised time for an orderly end; what is usual is a fiftieth of it.
const END_SPAN_MAX: Duration = Duration::from_secs(5);

/// Ends of each kind, under load, in one run of all tests.
const ENDS: u64 = 4;

const SCRIPT: &str = r#"echo "$HQ_INSTANCE_ID" >> "runs-$HQ_JOB_ID"; while ! test -e go; do sleep 0.02; done"#;

fn server_log(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.path().join("server.log")).unwrap()
}

/// Fails the test unless the server ends as promised; how long it took.
fn ends_in_order(cluster: &mut Cluster, since: Instant) -> Duration {
    let status = cluster.server_ends();
    let took = since.elapsed();
    assert!(status.success(), "{status}\n{}", cluster.logs());
    assert!(took < END_SPAN_MAX, "it took {took:?}");
    assert!(!cluster.server_dir().join("hq-current").exists());
    took
}

/// Starts the server; it must find nothing to warn of.
fn starts_without_a_warning(cluster: &mut Cluster) {
    let before = server_log(cluster).len();
    cluster.start_server();
    let log = server_log(cluster)[before..].to_owned();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert!(log.contains("State restoration completed"), "{log}");
}

#[test]
fn every_signal_ends_the_server_cleanly() {
    let mut cluster = Cluster::with_worker(2);
    cluster.hq(&["submit", "--wait", "--array=1-20", "--stdout=none", "--stderr=none", "true"]).ok();
    let job = cluster.submit(&["--stdout=none", "--stderr=none", "--", "sh", "-c", SCRIPT]);
    cluster.wait_job(job, "RUNNING");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let before = shown(&cluster);
        let since = Instant::now();
        cluster.signal_server(signal);
        ends_in_order(&mut cluster, since);
        assert!(is_alive(cluster.worker_pid(0)), "{signal}");
        starts_without_a_warning(&mut cluster);
        assert_eq!(shown(&cluster), before, "{signal}");
        // What is submitted now runs on the worker that came back.
        cluster.hq(&["submit", "--wait", "--stdout=none", "--stderr=none", "true"]).ok();
    }
    cluster.write("go", "");
    cluster.wait_job(job, "FINISHED");
    assert_eq!(cluster.read(&format!("runs-{job}")), "0\n");
    assert_eq!(cluster.json(&["worker", "list", "--all"]).as_array().unwrap().len(), 1);
    replayed_equals_live(&mut cluster);
}

#[test]
fn an_order_ends_the_server_and_its_workers() {
    let mut cluster = Cluster::with_worker(2);
    cluster.hq(&["submit", "--wait", "--array=1-20", "--stdout=none", "--stderr=none", "true"]).ok();
    let words = ["--stdout=none", "--stderr=none", "--crash-limit=1", "--", "sh", "-c", SCRIPT];
    let job = cluster.submit(&words);
    cluster.wait_job(job, "RUNNING");
    let jobs = cluster.json(&["task", "list", "1"]);
    let since = Instant::now();
    cluster.hq(&["server", "stop"]).ok();
    ends_in_order(&mut cluster, since);
    assert!(cluster.worker_ends(0).success());
    starts_without_a_warning(&mut cluster);
    assert_eq!(cluster.json(&["task", "list", "1"]), jobs);
    assert_eq!(cluster.job_state(job).as_deref(), Some("WAITING"));
    // A regular end of a worker is no crash, so that the task runs again in spite of its limit.
    cluster.start_worker(2);
    wait_until("the task runs again", || cluster.read(&format!("runs-{job}")) == "0\n1\n");
    cluster.write("go", "");
    cluster.wait_job(job, "FINISHED");
    replayed_equals_live(&mut cluster);
}

#[test]
fn an_order_reaches_workers_that_are_on_their_way_back() {
    let mut cluster = Cluster::with_worker(1);
    let words = ["--stdout=none", "--stderr=none", "--crash-limit=1", "--", "sh", "-c", SCRIPT];
    let job = cluster.submit(&words);
    cluster.wait_job(job, "RUNNING");
    let worker = cluster.worker_pid(0);
    signal_to(worker, Signal::SIGSTOP);
    cluster.kill_server();
    cluster.start_server();
    let since = Instant::now();
    cluster.hq(&["server", "stop"]).ok();
    signal_to(worker, Signal::SIGCONT);
    assert!(cluster.worker_ends(0).success());
    ends_in_order(&mut cluster, since);
    starts_without_a_warning(&mut cluster);
    assert_eq!(cluster.job_state(job).as_deref(), Some("WAITING"));
    assert_eq!(cluster.hq(&["--output-mode=quiet", "worker", "list", "--all"]).ok().stdout, "1 STOPPED\n");
}

/// Ends the server by a signal, or by an order when there is none, which ends the worker as well, and starts it again;
/// how long the end took, and the worker.
fn end(cluster: &mut Cluster, signal: Option<Signal>, worker: usize) -> (Duration, usize) {
    let since = Instant::now();
    match signal {
        Some(signal) => cluster.signal_server(signal),
        // The answer may be lost with the server.
        None => drop(cluster.hq(&["server", "stop"])),
    }
    let took = ends_in_order(cluster, since);
    if let Some(signal) = signal {
        starts_without_a_warning(cluster);
        assert!(is_alive(cluster.worker_pid(worker)), "{signal}\n{}", cluster.logs());
        return (took, worker);
    }
    assert!(cluster.worker_ends(worker).success());
    starts_without_a_warning(cluster);
    (took, cluster.start_worker(4))
}

#[test]
fn every_end_under_load_is_in_order() {
    let mut seed = Seed::from_env();
    let ends = rounds(ENDS);
    let mut cluster = Cluster::start();
    let mut worker = cluster.start_worker(4);
    let mut longest = Duration::ZERO;
    let ledger = Load::default().around(&mut cluster, &mut seed, |cluster, seed, load| {
        for _ in 0..ends {
            for signal in [Some(Signal::SIGTERM), Some(Signal::SIGINT), Some(Signal::SIGHUP), None] {
                load.wait_for_the_moment(cluster, seed);
                let took;
                (took, worker) = end(cluster, signal, worker);
                longest = longest.max(took);
                load.check(cluster);
            }
        }
    });
    everything_ends(&cluster, ledger.clone(), Interruptions::Some);
    replayed_equals_live(&mut cluster);
    ledger.check(&cluster);
    eprintln!("4 x {ends} ends in order, the longest took {longest:?}");
}
