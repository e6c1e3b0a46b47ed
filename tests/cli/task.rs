//! `hq task list` and `hq task info`.
//!
//! Where a task ran, how long, and why it failed.
//!
//! Holds: ascending by id; long errors are cut unless all is asked for.

use crate::harness::Cluster;
use serde_json::json;

#[test]
fn a_list() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=1", "--hostname=node1"]);
    cluster.hq(&["submit", "--wait", "--array=8-10", "--", "sh", "-c", "test $HQ_TASK_ID != 9"]).ok();
    let done = cluster.hq(&["task", "list", "1"]).ok().says("INFO Error messages were shortened");
    let done = done.prints("\n| Task ID | State    | Worker | Makespan ").prints("\n|       9 | FAILED   | node1  | ");
    let done = done.prints("| Program terminat... |");
    assert!(!done.stdout.contains("Job ID"), "{done}");
    cluster.hq(&["task", "list", "1", "-v"]).ok().prints("| Program terminated with exit code 1. |");
    let value = cluster.json(&["task", "list", "1", "--task-status=failed,waiting"]);
    assert_eq!(value["1"].as_array().unwrap().len(), 1);
    assert_eq!((&value["1"][0]["id"], &value["1"][0]["worker"]), (&json!(9), &json!(1)));
    assert_eq!(cluster.json(&["task", "list", "1", "--tasks=10,77"])["1"].as_array().unwrap().len(), 1);
    cluster.hq(&["task", "list", "7"]).ok().says("WARN Job 7 not found").prints("| Job ID | Task ID |");
    assert_eq!(cluster.hq(&["--output-mode=quiet", "task", "list", "1"]).ok().stdout, "");
}

#[test]
fn waiting_tasks_have_nothing_but_a_state() {
    let cluster = Cluster::start();
    cluster.submit(&["--array=0-2", "true"]);
    let expected = json!({"1": [
        {"id": 0, "state": "waiting"}, {"id": 1, "state": "waiting"}, {"id": 2, "state": "waiting"},
    ]});
    assert_eq!(cluster.json(&["task", "list", "last"]), expected);
}

#[test]
fn many_tasks_come_in_pages() {
    let cluster = Cluster::start();
    cluster.submit(&["--array=0-24999", "true"]);
    let tasks = cluster.tasks(1);
    assert_eq!(tasks.len(), 25_000);
    assert!(tasks.iter().enumerate().all(|(at, task)| task["id"] == json!(at)));
}

#[test]
fn details() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["task", "info", "last", "0"]).ok().says("ERROR Cannot find job");
    cluster.hq(&["submit", "--wait", "--", "sh", "-c", "exit 7"]).ok();
    let done = cluster.hq(&["task", "info", "last", "0,5"]).ok().says("WARN Task 5 not found");
    assert_eq!((done.cell("Task ID"), done.cell("State")), ("0".into(), "FAILED".into()));
    assert_eq!(done.cell("Error"), "Program terminated with exit code 7.");
    let work = cluster.work().canonicalize().unwrap();
    assert_eq!(done.cell("Stdout"), format!("{}/job-1/0.stdout", work.display()));
    assert_eq!(cluster.json(&["task", "info", "1", "0"])[0]["error"], "Program terminated with exit code 7.");
}
