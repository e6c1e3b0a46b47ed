//! `hq worker start`, `list`, `info` and `stop`.
//!
//! Workers keep their record after they have ended.
//!
//! Holds: a worker that was told to stop ends with 0.

use crate::harness::{Cluster, wait_until};
use serde_json::json;

#[test]
fn lists_and_details() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=2x3", "--hostname=node1", "--time-limit=1h"]);
    let list = cluster.hq(&["worker", "list"]).ok();
    let row: Vec<&str> = list.stdout.lines().nth(3).unwrap().split('|').map(str::trim).collect();
    assert_eq!((row[1], row[2], row[3], row[5], row[6]), ("1", "RUNNING", "node1", "None", "N/A"), "{list}");
    // How much memory there is depends on the machine.
    assert!(row[4].starts_with("cpus 2x3; mem "), "{list}");
    let done = cluster.hq(&["worker", "info", "1-2"]).ok().says("ERROR Worker 2 not found");
    assert_eq!((done.cell("Hostname"), done.cell("Time Limit")), ("node1".into(), "1h".into()));
    assert_eq!(done.cell("Runtime Info"), "assigned tasks: 0");
    assert_eq!(done.cell("Process pid"), cluster.worker_pid(0).to_string());
    let value = cluster.json(&["worker", "info", "1"]);
    let groups = json!({"name": "cpus", "kind": "groups", "groups": [["0", "1", "2"], ["3", "4", "5"]]});
    assert_eq!(value[0]["configuration"]["resources"]["resources"][0], groups);
}

#[test]
fn stopping() {
    let mut cluster = Cluster::with_worker(1);
    cluster.start_worker(1);
    let done = cluster.hq(&["worker", "stop", "1,3"]).ok();
    done.says("INFO Worker 1 stopped").says("ERROR Stopping worker 3 failed; worker not found");
    assert!(cluster.worker_ends(0).success());
    wait_until("the worker is recorded as stopped", || {
        cluster.hq(&["--output-mode=quiet", "worker", "list", "--all"]).ok().stdout == "1 STOPPED\n2 RUNNING\n"
    });
    cluster.hq(&["worker", "stop", "1"]).ok().says("WARN Stopping worker 1 failed; worker is already stopped");
    assert_eq!(cluster.hq(&["--output-mode=quiet", "worker", "list", "--filter=offline"]).ok().stdout, "1 STOPPED\n");
    cluster.hq(&["worker", "stop", "all"]).ok().says("INFO Worker 2 stopped");
    assert!(cluster.worker_ends(1).success());
}

#[test]
fn a_killed_worker_is_lost_and_its_task_runs_again() {
    let mut cluster = Cluster::with_worker(1);
    let script = "if test $HQ_INSTANCE_ID = 0; then sleep 600; fi";
    let job = cluster.submit(&["--", "sh", "-c", script]);
    cluster.wait_job(job, "RUNNING");
    cluster.kill_worker(0);
    cluster.start_worker(1);
    cluster.wait_job(job, "FINISHED");
    let states = cluster.hq(&["--output-mode=quiet", "worker", "list", "--all"]).ok().stdout;
    assert!(states.contains("1 CONNECTION LOST\n"), "{states}");
}

#[test]
fn wrong_definitions() {
    let cluster = Cluster::start();
    cluster.hq(&["worker", "start", "--cpus=sum(4)"]).code(1).says("Resource kind `sum` cannot be used with CPUs");
    cluster.hq(&["worker", "start", "--cpus=0"]).code(1).says("cannot be used with CPUs");
    cluster.hq(&["worker", "start", "--heartbeat=10ms"]).code(2).says("between 200ms and 1h");
    cluster.hq(&["worker", "start", "--cpus=[1,1]"]).code(2).says("List items have to be unique");
}
