//! A server that comes back takes over the tasks that its workers run.
//!
//! A dead login node must not cost a second of what compute nodes do.
//!
//! Holds: nothing runs twice; results and times of tasks that ended meanwhile are kept; workers keep their ids.

use crate::harness::{Cluster, wait_until};
use crate::ledger::elements;
use crate::replay::replayed_equals_live;
use chrono::{DateTime, FixedOffset};
use serde_json::{Value, json};
use std::path::Path;

/// Says when it begins, waits for its file, says that it ends, and ends with its number.
const SCRIPT: &str = r#"
echo $$ > "pid-$HQ_TASK_ID"
echo "begin $HQ_TASK_ID $HQ_INSTANCE_ID" >> runs
while ! test -e "go-$HQ_TASK_ID"; do sleep 0.02; done
echo "end $HQ_TASK_ID" >> runs
exit $((HQ_TASK_ID % 2))
"#;

fn lines(cluster: &Cluster, word: &str) -> usize {
    let runs = std::fs::read_to_string(cluster.work().join("runs")).unwrap_or_default();
    runs.lines().filter(|line| line.starts_with(word)).count()
}

fn states(cluster: &Cluster, job: u32) -> Vec<String> {
    cluster.tasks(job).iter().map(|task| task["state"].as_str().unwrap().to_owned()).collect()
}

fn is_reaped(cluster: &Cluster, task: u32) -> bool {
    !Path::new("/proc").join(cluster.read(&format!("pid-{task}")).trim()).exists()
}

/// Ids and ends of all workers.
fn workers(cluster: &Cluster) -> Vec<(Value, Value)> {
    let list = cluster.json(&["worker", "list", "--all"]);
    elements(&list).map(|worker| (worker["id"].clone(), worker["ended"].clone())).collect()
}

/// A time that is shown, in one of the forms of RFC 3339.
fn time(value: &Value) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[test]
fn running_tasks_are_adopted() {
    let mut cluster = Cluster::start();
    cluster.start_worker(4);
    cluster.start_worker(4);
    let job = cluster.submit(&["--array=1-8", "--stdout=none", "--stderr=none", "--", "sh", "-c", SCRIPT]);
    wait_until("all tasks run", || {
        lines(&cluster, "begin") == 8 && states(&cluster, job).iter().all(|s| s == "running")
    });
    let before = cluster.tasks(job);
    cluster.kill_server();
    for id in 1..=4 {
        cluster.write(&format!("go-{id}"), "");
    }
    wait_until("the worker knows that four tasks have ended", || (1..=4).all(|id| is_reaped(&cluster, id)));
    cluster.start_server();
    let restart = time(&cluster.json(&["server", "info"])["start_date"]);
    wait_until("what ended meanwhile is known", || {
        states(&cluster, job).iter().filter(|state| *state != "running").count() == 4
    });
    let after = cluster.tasks(job);
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        let expected = ["failed", "finished", "failed", "finished", "running", "running", "running", "running"][index];
        assert_eq!(after["state"], expected, "{after}");
        assert_eq!((&before["started_at"], &before["worker"]), (&after["started_at"], &after["worker"]));
        assert!(index >= 4 || time(&after["finished_at"]) < restart, "{after}, restart at {restart}");
    }
    // Once more, so that a task is adopted that had been adopted before.
    cluster.kill_server();
    cluster.start_server();
    for id in 5..=8 {
        cluster.write(&format!("go-{id}"), "");
    }
    cluster.wait_job(job, "FAILED");
    assert_eq!((lines(&cluster, "begin"), lines(&cluster, "end")), (8, 8));
    assert_eq!(workers(&cluster), [(json!(1), Value::Null), (json!(2), Value::Null)]);
    let last: Vec<Value> = cluster.tasks(job).into_iter().take(4).collect();
    assert_eq!(last, after[..4]);
    replayed_equals_live(&mut cluster);
}

#[test]
fn a_task_that_has_just_begun_is_adopted() {
    let mut cluster = Cluster::with_worker(2);
    for round in 1..=5 {
        let job = cluster.submit(&["--stdout=none", "--stderr=none", "--", "sh", "-c", SCRIPT]);
        // Its assignment need not be on the disk yet.
        wait_until("the task runs", || lines(&cluster, "begin") == round);
        cluster.kill_server();
        cluster.write("go-0", "");
        cluster.start_server();
        cluster.wait_job(job, "FINISHED");
        assert_eq!((lines(&cluster, "begin"), lines(&cluster, "end")), (round, round));
        std::fs::remove_file(cluster.work().join("go-0")).unwrap();
    }
    assert_eq!(lines(&cluster, "begin 0 0"), 5, "{}", cluster.read("runs"));
    replayed_equals_live(&mut cluster);
}
