//! Workers that end on purpose: drained by hand, told by signals, at the end of their time.
//!
//! Batch systems announce the end of an allocation by a signal; administrators empty a node before they touch it. Neither
//! may cost work that could be kept, nor count against a task.
//!
//! Holds: a worker that drains gets nothing new and exits with 0; what is interrupted runs again, and is no crash.

use crate::harness::{Cluster, wait_until_or};
use crate::replay::replayed_equals_live;
use nix::sys::signal::Signal;

/// Says its instance, and goes on until its file is there.
const SCRIPT: &str =
    r#"echo "$HQ_INSTANCE_ID" >> "runs-$HQ_JOB_ID"; while ! test -e "go-$HQ_JOB_ID"; do sleep 0.02; done"#;

fn submit(cluster: &Cluster, options: &[&str]) -> u32 {
    let words = [&["--stdout=none", "--stderr=none", "--crash-limit=1"], options, &["--", "sh", "-c", SCRIPT]];
    cluster.submit(&words.concat())
}

/// A worker with one CPU on which a job runs; another one waits.
fn busy(options: &[&str]) -> (Cluster, u32, u32) {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&[&["--cpus=1"], options].concat());
    let running = submit(&cluster, &[]);
    let waiting = submit(&cluster, &[]);
    cluster.wait_job(running, "RUNNING");
    (cluster, running, waiting)
}

fn worker_states(cluster: &Cluster) -> String {
    cluster.hq(&["--output-mode=quiet", "worker", "list", "--all"]).ok().stdout
}

fn runs(cluster: &Cluster, job: u32) -> String {
    std::fs::read_to_string(cluster.work().join(format!("runs-{job}"))).unwrap_or_default()
}

/// Lets both jobs end on another worker, where they run as these instances.
fn both_end(cluster: &mut Cluster, jobs: [u32; 2], instances: [&str; 2]) {
    for job in jobs {
        cluster.write(&format!("go-{job}"), "");
    }
    cluster.start_worker(2);
    for (job, instances) in jobs.into_iter().zip(instances) {
        cluster.wait_job(job, "FINISHED");
        assert_eq!(runs(cluster, job), instances);
    }
    replayed_equals_live(cluster);
}

/// Tells the worker of its coming end, as a batch system does, and waits until the server knows.
fn announce_end(cluster: &Cluster) {
    cluster.signal_worker(0, Signal::SIGUSR1);
    wait_until_or(
        "the server knows",
        || cluster.logs(),
        || cluster.json(&["worker", "info", "1"])[0]["draining"].is_object(),
    );
}

fn worker_log(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.path().join("worker-0.log")).unwrap()
}

#[test]
fn a_drained_worker_keeps_what_it_runs() {
    let (mut cluster, running, waiting) = busy(&[]);
    cluster.hq(&["worker", "drain", "1,7"]).ok().says("Worker 1 is draining").says("Draining worker 7 failed");
    let shown = cluster.hq(&["worker", "list"]).ok();
    assert!(shown.stdout.contains("RUNNING (draining)"), "{shown}");
    assert_eq!(worker_states(&cluster), "1 RUNNING\n");
    assert_eq!(cluster.json(&["worker", "info", "1"])[0]["draining"]["until"], serde_json::Value::Null);
    // A server that is started again still knows.
    cluster.kill_server();
    cluster.start_server();
    assert!(cluster.json(&["worker", "info", "1"])[0]["draining"].is_object());
    cluster.write(&format!("go-{running}"), "");
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    assert_eq!(worker_states(&cluster), "1 STOPPED\n");
    assert_eq!(cluster.job_state(waiting).as_deref(), Some("WAITING"));
    cluster.hq(&["worker", "drain", "1"]).ok().says("Draining worker 1 failed; worker is already stopped");
    both_end(&mut cluster, [running, waiting], ["0\n", "0\n"]);
}

#[test]
fn a_drain_ends_at_its_timeout() {
    let (mut cluster, running, waiting) = busy(&[]);
    cluster.hq(&["worker", "drain", "all", "--timeout=100ms"]).ok();
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    assert_eq!(worker_states(&cluster), "1 STOPPED\n");
    let log = worker_log(&cluster);
    for line in ["Waiting for stopping running tasks", "All running tasks were stopped", "Worker stopping"] {
        assert!(log.contains(line), "`{line}` is not in\n{log}");
    }
    both_end(&mut cluster, [running, waiting], ["0\n1\n", "0\n"]);
}

#[test]
fn an_announcement_lets_tasks_end() {
    let (mut cluster, running, waiting) = busy(&[]);
    announce_end(&cluster);
    cluster.kill_server();
    cluster.start_server();
    assert!(cluster.json(&["worker", "info", "1"])[0]["draining"].is_object());
    cluster.write(&format!("go-{running}"), "");
    cluster.write(&format!("go-{waiting}"), "");
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    let log = worker_log(&cluster);
    for line in ["Waiting for finishing running tasks", "All running tasks were finished"] {
        assert!(log.contains(line), "`{line}` is not in\n{log}");
    }
    assert_eq!(worker_states(&cluster), "1 STOPPED\n");
    assert_eq!(cluster.job_state(running).as_deref(), Some("FINISHED"));
    both_end(&mut cluster, [running, waiting], ["0\n", "0\n"]);
}

#[test]
fn an_announced_end_by_force_is_no_crash() {
    let (mut cluster, running, waiting) = busy(&[]);
    announce_end(&cluster);
    cluster.kill_worker(0);
    cluster.wait_job(running, "WAITING");
    assert_eq!(worker_states(&cluster), "1 STOPPED\n");
    both_end(&mut cluster, [running, waiting], ["0\n1\n", "0\n"]);
}

#[test]
fn a_signal_after_an_announcement_interrupts() {
    let (mut cluster, running, waiting) = busy(&[]);
    cluster.signal_worker(0, Signal::SIGUSR1);
    wait_until_or("the worker knows", || cluster.logs(), || worker_log(&cluster).contains("the worker drains"));
    cluster.signal_worker(0, Signal::SIGTERM);
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    both_end(&mut cluster, [running, waiting], ["0\n1\n", "0\n"]);
}

#[test]
fn the_end_of_its_time_interrupts() {
    let (mut cluster, running, waiting) = busy(&["--time-limit=4s"]);
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    assert_eq!(worker_states(&cluster), "1 TIME LIMIT REACHED\n");
    cluster.wait_job(running, "WAITING");
    both_end(&mut cluster, [running, waiting], ["0\n1\n", "0\n"]);
}

#[test]
fn a_stop_ends_tasks_whatever_the_policy_without_a_server_is() {
    let (mut cluster, running, waiting) = busy(&["--on-server-lost=finish-running", "--work-dir=own"]);
    cluster.hq(&["worker", "stop", "1"]).ok();
    assert_eq!(cluster.worker_ends(0).code(), Some(0));
    // What the user named stays, and nothing else is left.
    assert!(cluster.work().join("own").is_dir());
    assert_eq!(std::fs::read_dir(cluster.tmp()).unwrap().count(), 0);
    cluster.wait_job(running, "WAITING");
    both_end(&mut cluster, [running, waiting], ["0\n1\n", "0\n"]);
}
