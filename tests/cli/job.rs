//! `hq job list`, `info`, `wait`, `cat`, `cancel` and `progress`.
//!
//! What became of a job is read by people in tables and by scripts in JSON.
//!
//! Holds: what does not exist is a log line and the exit code 0.

use crate::harness::Cluster;
use serde_json::{Value, json};

#[test]
fn a_list() {
    let cluster = Cluster::with_worker(1);
    assert_eq!(cluster.json(&["job", "list"]), json!([]));
    cluster.hq(&["submit", "--wait", "--name=date", "true"]).ok();
    let waiting = cluster.submit(&["--cpus=64", "true"]);
    let done = cluster.hq(&["job", "list", "--all"]).ok();
    let expected = "\
+----+------+----------+-------+
| ID | Name | State    | Tasks |
+----+------+----------+-------+
|  1 | date | FINISHED | 1     |
|  2 | true | WAITING  | 1     |
+----+------+----------+-------+
";
    assert_eq!(done.stdout, expected);
    let done = cluster.hq(&["job", "list"]).ok();
    assert!(!done.stdout.contains("date") && done.stdout.contains("There are 2 jobs in total. "), "{done}");
    assert_eq!(cluster.hq(&["--output-mode=quiet", "job", "list", "--filter=finished"]).ok().stdout, "1 FINISHED\n");
    let value = cluster.json(&["job", "list"]);
    assert_eq!((&value[0]["id"], &value[0]["task_stats"]["waiting"]), (&json!(waiting), &json!(1)));
}

#[test]
fn details() {
    let cluster = Cluster::with_worker(2);
    cluster.hq(&["submit", "--wait", "--array=1-4", "--", "sh", "-c", "exit $((HQ_TASK_ID / 4 * 3))"]).ok();
    let done = cluster.hq(&["job", "info", "1,9"]).ok().says("ERROR Job 9 not found");
    assert_eq!((done.cell("ID"), done.cell("Tasks")), ("1".into(), "4; Ids: 1-4".into()));
    let done = done.prints("FAILED (1)").prints("FINISHED (3)").prints("1 tasks failed.\n");
    done.prints("Program terminated with exit code 3.");
    let value = cluster.json(&["job", "info", "last"]);
    let job = &value[0];
    assert_eq!((&job["info"]["id"], job["tasks"].as_array().unwrap().len()), (&json!(1), 4));
    assert_eq!(job["submits"][0]["array"]["program"]["args"][0], "sh");
    let work = cluster.work().canonicalize().unwrap();
    let stdout = format!("{}/job-1/%{{TASK_ID}}.stdout", work.display());
    assert_eq!(job["submits"][0]["array"]["program"]["stdout"], json!(stdout));
    assert_eq!(job["tasks"][0]["stdout"], json!(stdout.replace("%{TASK_ID}", "1")));
    assert!(job["finished_at"].is_string() && job["started_at"].is_string(), "{job}");
}

#[test]
fn waiting_ends_with_the_job() {
    let cluster = Cluster::with_worker(2);
    cluster.submit(&["--array=1-5", "true"]);
    cluster.submit(&["false"]);
    assert_eq!(cluster.hq(&["job", "wait", "all"]).ok().stdout, "");
    assert_eq!(cluster.job_state(1).as_deref(), Some("FINISHED"));
    assert_eq!(cluster.job_state(2).as_deref(), Some("FAILED"));
    assert_eq!(cluster.json(&["job", "wait", "1-100"]), json!({}));
    cluster.hq(&["job", "progress", "1"]).ok().says("WARN There are no jobs to wait for");
}

#[test]
fn a_lost_server_ends_the_waiting() {
    let mut cluster = Cluster::start();
    cluster.submit(&["true"]);
    let mut command = cluster.command(&["job", "wait", "1"]);
    let mut waiting = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    cluster.kill_server();
    let output = waiting.wait().unwrap();
    assert_eq!(output.code(), Some(1));
}

#[test]
fn cancelling() {
    let cluster = Cluster::with_worker(1);
    let running = cluster.submit(&["sleep", "600"]);
    let waiting = cluster.submit(&["--array=1-3", "--cpus=64", "true"]);
    cluster.wait_job(running, "RUNNING");
    let done = cluster.hq(&["job", "cancel", "all", "--reason=no use"]).ok();
    done.says("INFO Job 1 canceled (1 tasks canceled").says("INFO Job 2 canceled (3 tasks canceled");
    cluster.wait_job(running, "CANCELED");
    cluster.wait_job(waiting, "CANCELED");
    cluster
        .hq(&["job", "cancel", "1,9"])
        .ok()
        .says("ERROR Canceling job 1 failed")
        .says("ERROR Canceling job 9 failed");
    assert_eq!(cluster.hq(&["job", "info", "2"]).ok().cell("Cancel Reason"), "no use");
    cluster.hq(&["job", "cancel", "all"]).ok().says("INFO There is nothing to cancel");
    assert_eq!(cluster.json(&["job", "cancel", "all"]), json!({}));
}

#[test]
fn outputs_are_printed() {
    let cluster = Cluster::with_worker(2);
    cluster.hq(&["job", "cat", "last", "stdout"]).ok().says("ERROR No jobs were found");
    cluster.hq(&["submit", "--wait", "--array=1-3", "--stderr=none", "--", "sh", "-c", "echo $HQ_TASK_ID"]).ok();
    assert_eq!(cluster.hq(&["job", "cat", "1", "stdout"]).ok().stdout, "1\n2\n3\n");
    let done = cluster.hq(&["job", "cat", "last", "stdout", "--tasks=2,7", "--print-task-header"]).ok();
    assert_eq!(done.stdout, "# Job 1, task 2\n2\n");
    done.says("WARN Task 7 of job 1 not found");
    let none = cluster.hq(&["job", "cat", "1", "stderr", "--tasks=1"]).ok();
    none.says("WARN Task 1 has no `stderr` stream associated with it");
    let json = cluster.hq(&["--output-mode=json", "job", "cat", "1", "stdout"]).code(1);
    assert!(json.json()["error"].is_string(), "{json}");
}

#[test]
fn names_cannot_move_the_cursor() {
    let cluster = Cluster::start();
    cluster.submit(&["--name=a\u{1b}[2Jb", "true"]);
    let done = cluster.hq(&["job", "list"]).ok();
    assert!(!done.stdout.contains('\u{1b}'), "{done}");
    let value: Value = cluster.json(&["job", "list"]);
    assert_eq!(value[0]["name"], "a\u{1b}[2Jb");
}
