//! `hq task cancel|hold|release` and `hq job hold|release`: acting on tasks after submit.
//!
//! Each says how many tasks it touched, in every mode, and does nothing when it is given again.
//!
//! Holds: what does not exist is a log line and the exit code 0; in quiet mode a line `JOB TOUCHED` is all.

use crate::harness::Cluster;
use serde_json::{Value, json};

fn states(cluster: &Cluster, job: u32) -> Vec<String> {
    cluster.tasks(job).iter().map(|task| task["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn held_tasks_wait_for_their_release() {
    let mut cluster = Cluster::start();
    let job = cluster.submit(&["--array=1-4", "true"]);
    cluster.hq(&["task", "hold", "last", "1-2"]).ok().says("INFO Job 1: 2 tasks held\n");
    let again = cluster.hq(&["task", "hold", "1", "2-3"]).ok();
    again.says("INFO Job 1: 1 task held, 1 left as they were\n");
    cluster.start_worker(2);
    let other = cluster.submit(&["--wait", "true"]);
    assert_eq!((job, other), (1, 2));
    assert_eq!(states(&cluster, 1), ["waiting", "waiting", "waiting", "finished"]);
    cluster.hq(&["task", "release", "1", "3,9"]).ok().says("1 task released\n").says("WARN Job 1 has no tasks 9\n");
    cluster.hq(&["job", "release", "1"]).ok().says("2 tasks released, 2 left as they were");
    cluster.hq(&["job", "wait", "1"]).ok();
    assert_eq!(states(&cluster, 1), ["finished"; 4]);
}

#[test]
fn a_held_job_starts_nothing() {
    let cluster = Cluster::with_worker(1);
    let job = cluster.submit(&["--array=0-1", "sleep", "1000"]);
    cluster.wait_job(job, "RUNNING");
    let held = json!({"jobs": [{"id": 1, "found": true, "touched": 1, "untouched": 1}]});
    assert_eq!(cluster.json(&["job", "hold", "1"]), held);
    let again = json!({"jobs": [{"id": 1, "found": true, "touched": 0, "untouched": 2}]});
    assert_eq!(cluster.json(&["job", "hold", "last"]), again);
    let missing = json!({"jobs": [
        {"id": 1, "found": true, "touched": 0, "untouched": 2},
        {"id": 7, "found": false, "touched": 0, "untouched": 0},
    ]});
    assert_eq!(cluster.json(&["job", "hold", "1,7"]), missing);
    cluster.hq(&["job", "hold", "7"]).ok().says("ERROR Job 7 not found");
    // The running one goes on, and its place goes to another job.
    cluster.hq(&["task", "cancel", "1", "0"]).ok().says("INFO Job 1: 1 task canceled\n");
    cluster.submit(&["--wait", "true"]);
    assert_eq!(states(&cluster, 1), ["canceled", "waiting"]);
    cluster.hq(&["job", "release", "all"]).ok().says("Job 1: 1 task released");
    cluster.wait_job(job, "RUNNING");
}

#[test]
fn single_tasks_are_cancelled() {
    let cluster = Cluster::start();
    let job = cluster.submit(&["--array=0-9", "true"]);
    cluster.hq(&["task", "cancel", "1", "2-4", "--reason=not needed"]).ok().says("INFO Job 1: 3 tasks canceled\n");
    cluster.hq(&["task", "cancel", "1", "2-5"]).ok().says("1 task canceled, 3 left as they were");
    let canceled: Vec<Value> = cluster.tasks(job).into_iter().filter(|task| task["state"] == "canceled").collect();
    let ids: Vec<&Value> = canceled.iter().map(|task| &task["id"]).collect();
    assert_eq!(ids, [&json!(2), &json!(3), &json!(4), &json!(5)]);
    assert_eq!((&canceled[0]["reason"], &canceled[3]["reason"]), (&json!("not needed"), &Value::Null));
    let done = cluster.hq(&["task", "info", "1", "2"]).ok();
    assert_eq!(done.cell("Error"), "");
    assert_eq!(cluster.hq(&["task", "info", "-v", "1", "2"]).ok().cell("Error"), "not needed");
    assert_eq!(cluster.job_state(job).as_deref(), Some("WAITING"));
    cluster.hq(&["task", "cancel", "1", "0-9"]).ok();
    assert_eq!(cluster.job_state(job).as_deref(), Some("CANCELED"));
    let long = "x".repeat(201);
    cluster.hq(&["task", "cancel", "1", "0", "--reason", &long]).code(2);
    cluster.hq(&["task", "cancel", "1", "0-"]).code(2);
}

#[test]
fn waiting_tasks_are_modified() {
    let cluster = Cluster::with_worker(2);
    let job = cluster.submit(&["--cpus=8", "--array=0-3", "sleep", "1000"]);
    let changed = json!({"jobs": [{"id": 1, "found": true, "touched": 1, "untouched": 0}]});
    assert_eq!(cluster.json(&["job", "modify", "1", "--tasks=2", "--cpus=2", "--time-limit=1h"]), changed);
    cluster.wait_job(job, "RUNNING");
    assert_eq!(states(&cluster, 1), ["waiting", "waiting", "running", "waiting"]);
    let info = cluster.hq(&["task", "info", "1", "2"]).ok();
    assert_eq!((info.cell("Resources"), info.cell("Time limit")), ("cpus: 2 compact".into(), "1h".into()));
    let info = cluster.hq(&["task", "info", "1", "3"]).ok();
    assert_eq!((info.cell("Resources"), info.cell("Time limit")), ("cpus: 8 compact".into(), "None".into()));
    let done = cluster.hq(&["job", "modify", "last", "--priority=-3", "--crash-limit=unlimited"]).ok();
    done.says("INFO Job 1: 3 tasks modified, 1 left as they were");
    let again = cluster.hq(&["job", "modify", "last", "--priority=-3", "--crash-limit=unlimited"]).ok();
    again.says("INFO Job 1: 0 tasks modified, 4 left as they were");
    let info = cluster.hq(&["task", "info", "1", "0"]).ok();
    assert_eq!((info.cell("Priority"), info.cell("Crash limit")), ("-3".into(), "unlimited".into()));
    cluster.hq(&["job", "modify", "1"]).code(2);
    cluster.hq(&["job", "modify", "1", "--cpus=1", "--resource=cpus=2"]).code(1).says("cannot be combined");
    cluster.submit(&["--nodes=5", "true"]);
    cluster.hq(&["job", "modify", "2", "--cpus=1"]).code(1).says("Error: job 2: multi-node tasks get whole workers");
}

#[test]
fn in_quiet_mode_the_number_of_tasks_is_all() {
    let cluster = Cluster::start();
    cluster.submit(&["--array=0-9", "true"]);
    for (words, line) in [
        (&["task", "hold", "1", "0"][..], "1 1\n"),
        (&["task", "hold", "1", "0"], "1 0\n"),
        (&["task", "release", "1", "0"], "1 1\n"),
        (&["job", "hold", "all"], "1 10\n"),
        (&["job", "release", "1"], "1 10\n"),
        (&["task", "cancel", "1", "0"], "1 1\n"),
        (&["job", "modify", "last", "--priority=4"], "1 9\n"),
        (&["job", "hold", "last"], "1 9\n"),
    ] {
        let words: Vec<&str> = ["--output-mode=quiet"].iter().chain(words).copied().collect();
        let done = cluster.hq(&words).ok();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (line, ""), "{done}");
    }
}

#[test]
fn a_report_asks_for_no_task_that_was_not_tried() {
    let cluster = Cluster::start();
    cluster.submit(&["--array=0-4294967295", "true"]);
    cluster.hq(&["job", "modify", "1", "--tasks=7", "--cpus=2"]).ok().says("1 task modified");
    cluster.hq(&["job", "cancel", "1"]).ok();
    assert_eq!(cluster.json(&["job", "report", "1"]).as_array().map(Vec::len), Some(1));
}
