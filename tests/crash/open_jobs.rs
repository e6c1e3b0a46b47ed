//! An open job over the death of the server: it stays open, keeps what it has, and takes more.
//!
//! Holds: a number that was given before the crash is not given again after it.

use crate::harness::{Cluster, wait_until};
use serde_json::json;

#[test]
fn an_open_job_survives_and_takes_more() {
    let mut cluster = Cluster::start();
    cluster.start_worker(1);
    cluster.hq(&["job", "open", "--name=flow", "--tag=a=b"]).ok();
    cluster.hq(&["submit", "--job=1", "--array=0-2", "true"]).ok();
    cluster.hq(&["submit", "--job=1", "--", "sh", "-c", "until test -e go; do sleep 0.01; done"]).ok();
    cluster.hq(&["submit", "--job=1", "--cpus=64", "true"]).ok();
    wait_until("the task runs", || cluster.json(&["job", "list"])[0]["task_stats"]["running"] == json!(1));
    for first in [5, 6] {
        cluster.kill_server();
        cluster.start_server();
        let listed = cluster.json(&["job", "list"]);
        assert_eq!((&listed[0]["is_open"], &listed[0]["name"]), (&json!(true), &json!("flow")));
        assert_eq!((&listed[0]["tags"], &listed[0]["task_count"]), (&json!({"a": "b"}), &json!(first)));
        cluster.hq(&["submit", "--job=1", "true"]).ok();
        assert_eq!(cluster.hq(&["job", "task-ids", "1"]).ok().stdout, format!("0-{first}\n"));
    }
    cluster.write("go", "");
    cluster.hq(&["job", "close", "1"]).ok();
    cluster.kill_server();
    cluster.start_server();
    cluster.hq(&["submit", "--job=1", "true"]).code(1).says("Job 1 is not opened.");
    wait_until("only the large task is left", || {
        let stats = &cluster.json(&["job", "list"])[0]["task_stats"];
        (&stats["finished"], &stats["waiting"]) == (&json!(6), &json!(1))
    });
    cluster.hq(&["job", "cancel", "1"]).ok();
    cluster.hq(&["job", "forget", "1"]).ok().says("1 job were forgotten");
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(cluster.json(&["job", "list", "--all"]), json!([]));
    assert_eq!(cluster.json(&["job", "open"]), json!({"id": 2}));
}
