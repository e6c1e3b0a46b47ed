//! `hq worker start`, `list`, `info`, `address`, `wait` and `stop`.
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
    let refused = |code: i32, args: &[&str], text: &str| {
        cluster.hq(&[&["worker", "start"], args].concat()).code(code).says(text);
    };
    refused(1, &["--cpus=1", "--resource=cpus=[0]"], "Parameters --cpus and --resource cpus=... cannot be combined");
    refused(1, &["--detect-resources=mem"], "You have to specify --cpus explicitly when opting out of CPU");
    refused(1, &["--resource=x=[0]", "--resource=x=[1]"], "Resource x defined twice");
    refused(1, &["--resource=x=sum(0)"], "Resource x is empty");
    refused(1, &["--cpus=0x4"], "Resource cpus is empty");
    refused(1, &["--cpus=4x0"], "Resource cpus is empty");
    refused(1, &["--resource=x=[[a],[a]]"], "Non unique indices");
    refused(2, &["--resource=x=[[a],[b,b]]"], "Group items have to be unique");
    refused(2, &["--resource=x=[[a],[]]"], "Each group has to contain at least a single element");
    refused(2, &["--resource=x=sum(1.00001)"], "Resource precision exceeded");
    refused(2, &["--resource=x=5"], "unexpected end of input");
    refused(2, &["--min-utilization=1.1"], "between 0.0 and 1.0");
    refused(2, &["--overview-interval=90"], "unexpected end of input");
    refused(2, &["--detect-resources=cpus,gpus"], "expected `all`, `none`, or a list");
    refused(2, &["--cpus=1", "--hostname=a\nb"], "no line breaks");
    refused(2, &["--cpus=1", "--group=a\tb"], "no other control characters");
    refused(2, &["--max-parallel-downloads=1"], "unexpected argument");
    let pointed = "Invalid group id 2 for resource 'cpus'; the last one is 1\n  cpus[2]:cpus[0]\n       ^";
    refused(1, &["--cpus=2x2", "--coupling=cpus[2]:cpus[0]"], pointed);
    refused(1, &["--cpus=2x2", "--coupling=cpus[1]:mem[0]"], "Resource 'mem' has only a single group");
}

#[test]
fn what_a_worker_offers() {
    let mut cluster = Cluster::start();
    let coupling = "cpus[1]:gpus/amd[0] = 7,cpus[0]:gpus/amd[1]";
    let args = ["--cpus=2x3", "--resource=gpus/amd=[[a],[b,c]]", "--resource", "foo=sum(2.5)", "--group=red"];
    let more = ["--coupling", coupling, "--detect-resources=none", "--min-utilization=0.25", "--overview-interval=1h"];
    cluster.start_worker_with(&[&args[..], &more[..]].concat());
    let list = cluster.hq(&["worker", "list"]).ok();
    let row: Vec<&str> = list.stdout.lines().nth(3).unwrap().split('|').map(str::trim).collect();
    assert_eq!(row[4], "cpus 2x3 [coupled]; foo 2.5; gpus/amd 1x1 1x2 [coupled]");
    let info = cluster.hq(&["worker", "info", "1"]).ok();
    assert_eq!((info.cell("Group"), info.cell("Overview interval")), ("red".into(), "1h".into()));
    let configuration = cluster.json(&["worker", "info", "1"])[0]["configuration"].clone();
    assert_eq!(configuration["min_utilization"], json!(0.25));
    let weight = |cpus: u32, gpus: u32, weight: u32| {
        let (first, second) = (0, 2);
        json!({
            "resource1_idx": first, "group1_idx": cpus, "resource2_idx": second, "group2_idx": gpus, "weight": weight
        })
    };
    assert_eq!(configuration["resources"]["coupling"], json!({"weights": [weight(0, 1, 256), weight(1, 0, 7)]}));
    let job = cluster.submit(&["--cpus=2", "--", "sh", "-c", "echo $HQ_CPUS"]);
    cluster.wait_job(job, "FINISHED");
}

#[test]
fn addresses_and_waiting() {
    let mut cluster = Cluster::start();
    cluster.hq(&["worker", "wait", "0"]).ok();
    cluster.hq(&["worker", "address", "1"]).code(1).says("Worker 1 not found");
    cluster.start_worker_with(&["--cpus=1", "--hostname=node7.cluster"]);
    assert_eq!(cluster.hq(&["worker", "address", "1"]).ok().stdout, "node7.cluster\n");
    assert_eq!(cluster.json(&["worker", "wait", "1"]), json!({}));
    cluster.hq(&["worker", "stop", "1"]).ok();
    assert!(cluster.worker_ends(0).success());
    assert_eq!(cluster.hq(&["worker", "address", "1"]).ok().stdout, "node7.cluster\n");
    cluster.hq(&["worker", "address", "last"]).code(2);
}

#[test]
fn what_must_not_restart_fails_with_its_stopped_worker() {
    let mut cluster = Cluster::with_worker(2);
    let never = cluster.submit(&["--crash-limit=never-restart", "sleep", "1000"]);
    let usual = cluster.submit(&["sleep", "1000"]);
    cluster.wait_job(never, "RUNNING");
    cluster.wait_job(usual, "RUNNING");
    cluster.hq(&["worker", "stop", "1"]).ok();
    assert!(cluster.worker_ends(0).success());
    cluster.wait_job(never, "FAILED");
    let error = cluster.tasks(never)[0]["error"].as_str().unwrap().to_owned();
    assert_eq!(error, "Task was running on a lost worker while never restart flag was set.");
    cluster.wait_job(usual, "WAITING");
}

#[test]
fn a_worker_says_that_there_is_no_server_yet() {
    let mut cluster = Cluster::start();
    cluster.kill_server();
    cluster.spawn_worker(&["--cpus=1"]);
    wait_until("the worker says it", || cluster.logs().contains("Cannot connect to"));
    cluster.start_server();
    cluster.hq(&["worker", "wait", "1"]).ok();
}
