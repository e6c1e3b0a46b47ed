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

#[test]
fn why_a_task_waits() {
    let mut cluster = Cluster::start();
    cluster.submit(&["--cpus=2", "--", "sleep", "1000"]);
    let done = cluster.hq(&["task", "explain", "1", "0"]).ok();
    let text = "Task 1@0 is ready to run because it has no dependencies.\nThere is no worker where the task can run.\n";
    assert_eq!(done.stdout, text);
    cluster.start_worker_with(&["--cpus=2"]);
    cluster.submit(&["--cpus=2", "--", "true"]);
    cluster.wait_job(1, "RUNNING");
    let done = cluster.hq(&["task", "explain", "last", "0"]).ok().prints("The task can run on 1 worker: 1\n");
    let done = done.prints("| Worker Id | Runnable | Variant | Type | Provides | Request |");
    let done = done.prints("| 1         | Yes      | 0       | cpus | 2        | 2       |");
    done.prints("It does not start on worker 1 now: 0 of 2 cpus are free, 2 needed.\n");
    let value = cluster.json(&["task", "explain", "2", "0"]);
    assert_eq!(value["task_id"], json!({"job_id": 2, "job_task_id": 0}));
    assert_eq!((&value["explanation"]["n_task_deps"], &value["explanation"]["n_waiting_deps"]), (&json!(0), &json!(0)));
    let item = json!([[{"Resources": {"resource": "cpus", "request_amount": 20_000, "worker_amount": 20_000}}]]);
    assert_eq!(value["explanation"]["workers"][0]["variants"], item);
    assert_eq!(cluster.hq(&["--output-mode=quiet", "task", "explain", "2", "0"]).ok().stdout, "");
    cluster.hq(&["task", "explain", "9", "0"]).code(1).says("Error: Job not found");
    cluster.hq(&["task", "explain", "2", "7"]).code(1).says("Error: Task not found");
    cluster.hq(&["job", "cancel", "2"]).ok();
    cluster.hq(&["task", "explain", "2", "0"]).code(1).says("only for tasks that are WAITING or RUNNING");
}
