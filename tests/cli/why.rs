//! `hq job why` and `hq task why`: one sentence that says what would have to change, and details below it.
//!
//! Every cause is told once by the machine's own tests; here the way to the user is followed.
//!
//! Holds: the first line begins with the state; what does not exist is named.

use crate::harness::Cluster;
use serde_json::json;

#[test]
fn why_something_waits_runs_or_has_ended() {
    let mut cluster = Cluster::start();
    let job = cluster.submit(&["--cpus=8", "--array=0-1", "sleep", "1000"]);
    assert_eq!(cluster.hq(&["job", "why", "1"]).ok().stdout, "waiting: no worker is connected\n");
    cluster.start_worker_with(&["--cpus=4", "--hostname=node1"]);
    let needs = "waiting: needs 8 cpus, the largest connected worker has 4";
    assert_eq!(cluster.hq(&["task", "why", "1", "0"]).ok().stdout, format!("{needs}\n"));
    assert_eq!(
        cluster.json(&["task", "why", "last", "1"]),
        json!({"job": 1, "task": 1, "sentence": needs, "details": []})
    );
    assert_eq!(cluster.hq(&["--output-mode=quiet", "job", "why", "1"]).ok().stdout, format!("{needs}\n"));
    cluster.hq(&["task", "hold", "1", "1"]).ok();
    let done = cluster.hq(&["task", "why", "1", "1"]).ok();
    assert_eq!(done.stdout, "waiting: it is held; `hq task release 1 1` lets it go on\n");
    cluster.hq(&["task", "cancel", "1", "1", "--reason=wrong input"]).ok();
    assert_eq!(cluster.hq(&["task", "why", "1", "1"]).ok().stdout, "canceled: wrong input\n");
    let failed = cluster.submit(&["--max-fails=0", "--array=0-1", "--cpus=4", "--wait", "--", "sh", "-c", "exit 7"]);
    let done = cluster.hq(&["task", "why", "2", "0"]).ok().prints("failed: Program terminated with exit code 7.\n");
    done.prints("on worker 1 (node1).\n");
    let done = cluster.hq(&["task", "why", "2", "1"]).ok();
    assert_eq!(done.stdout, "aborted: more than 0 tasks of the job failed\n");
    let done = cluster.hq(&["job", "why", &format!("{job},{failed},9")]).ok().says("ERROR Job 9 not found");
    done.prints("Job 1 is waiting: needs 8 cpus").prints("Job 2 is failed: 1 of 2 tasks failed\n");
    let runs = cluster.submit(&["--name=runs", "sleep", "1000"]);
    cluster.wait_job(runs, "RUNNING");
    cluster.hq(&["task", "why", "last", "0"]).ok().prints("running: for ").prints("on worker 1 (node1)\n");
    cluster.hq(&["task", "why", "last", "9"]).code(1).says("Error: Task not found");
    cluster.hq(&["task", "why", "9", "0"]).code(1).says("Error: Job not found");
}
