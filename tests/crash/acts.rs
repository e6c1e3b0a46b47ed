//! kill -9 keeps what users did to tasks: holds, cancels of single tasks, other values.
//!
//! What was acknowledged is true after any crash, for these as for submits.
//!
//! Holds: a held task does not start over a restart, and one that was modified starts by its new values.

use crate::harness::{Cluster, wait_until_or};
use crate::replay::replayed_equals_live;

fn states(cluster: &Cluster, job: u32) -> Vec<String> {
    cluster.tasks(job).iter().map(|task| task["state"].as_str().unwrap_or_default().to_owned()).collect()
}

fn wait_task(cluster: &Cluster, job: u32, task: usize, state: &str) {
    wait_until_or(&format!("task {task} is {state}"), || cluster.logs(), || states(cluster, job)[task] == state);
}

#[test]
fn a_killed_server_keeps_holds_and_changes() {
    let mut cluster = Cluster::start();
    cluster.start_worker(2);
    cluster.submit(&["--array=0-3", "sleep", "1000"]);
    cluster.wait_job(1, "RUNNING");
    cluster.submit(&["--cpus=8", "--array=0-3", "true"]);
    cluster.hq(&["task", "hold", "2", "1"]).ok().says("1 task held");
    cluster.hq(&["job", "modify", "2", "--tasks=1-2", "--cpus=2", "--priority=3"]).ok().says("2 tasks modified");
    cluster.hq(&["task", "cancel", "2", "3", "--reason=not needed"]).ok();
    cluster.hq(&["job", "hold", "1"]).ok();
    cluster.kill_server();
    cluster.start_server();
    let cell = |task: &str, row: &str| cluster.hq(&["task", "info", "-v", "2", task]).ok().cell(row);
    assert_eq!((cell("0", "Resources"), cell("2", "Resources")), ("cpus: 8 compact".into(), "cpus: 2 compact".into()));
    assert_eq!((cell("1", "Priority"), cell("3", "Error")), ("3".into(), "not needed".into()));
    // The running tasks of the held job go on; the place of what is cancelled goes to the task that was modified.
    cluster.hq(&["task", "cancel", "1", "0-1"]).ok().says("2 tasks canceled");
    wait_task(&cluster, 2, 2, "finished");
    assert_eq!(states(&cluster, 1), ["canceled", "canceled", "waiting", "waiting"]);
    assert_eq!(states(&cluster, 2), ["waiting", "waiting", "finished", "canceled"]);
    cluster.hq(&["task", "release", "2", "1"]).ok().says("1 task released");
    wait_task(&cluster, 2, 1, "finished");
    replayed_equals_live(&mut cluster);
}
