//! kill -9 of workers.
//!
//! Nodes die; their tasks have to run again elsewhere, but not for ever, and never beside their first execution.
//!
//! Holds: the processes of a dead worker's tasks are gone; a later execution has a larger instance id; crashes are
//! counted exactly, also over restarts of the server.

use crate::harness::{Cluster, is_alive, wait_until};
use crate::replay::replayed_equals_live;
use std::time::{Duration, Instant};

/// Says its instance and its processes (itself and two children, one of which ignores what can be ignored), then waits.
const SCRIPT: &str = r#"
sleep 1000 & a=$!
(trap '' TERM INT HUP; exec sleep 1000) & b=$!
echo "$HQ_INSTANCE_ID $$ $a $b" >> "runs-$HQ_TASK_ID"
wait
"#;

/// The promise is two seconds; the test leaves room for a machine that does other things.
const GONE_SPAN_MAX: Duration = Duration::from_secs(10);

/// Instance and processes of each execution of a task.
fn executions(cluster: &Cluster, task: u32) -> Vec<Vec<u32>> {
    let runs = std::fs::read_to_string(cluster.work().join(format!("runs-{task}"))).unwrap_or_default();
    let complete = runs.lines().filter(|_| runs.ends_with('\n'));
    complete.map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect()).collect()
}

/// Starts a worker, waits until the task runs on it for the `number`-th time, kills it, and waits for its processes.
fn crash(cluster: &mut Cluster, number: usize) {
    let worker = cluster.start_worker(2);
    wait_until("the task runs", || executions(cluster, 0).len() == number);
    let job = 1;
    wait_until("the server knows", || cluster.job_state(job).as_deref() == Some("RUNNING"));
    cluster.kill_worker(worker);
    processes_are_gone(cluster, 0);
}

fn processes_are_gone(cluster: &Cluster, task: u32) {
    let since = Instant::now();
    let last = executions(cluster, task).pop().unwrap();
    wait_until("the processes are gone", || last[1..].iter().all(|pid| !is_alive(*pid)));
    assert!(since.elapsed() < GONE_SPAN_MAX, "it took {:?}", since.elapsed());
}

fn temporary_directories(cluster: &Cluster) -> usize {
    std::fs::read_dir(cluster.path().join("tmp")).unwrap().count()
}

fn task(cluster: &Cluster) -> (String, String) {
    let task = cluster.tasks(1).pop().unwrap();
    (task["state"].as_str().unwrap().to_owned(), task["error"].as_str().unwrap_or_default().to_owned())
}

fn submit(cluster: &Cluster, limit: &str) {
    let limit = format!("--crash-limit={limit}");
    cluster.submit(&[&limit, "--stdout=none", "--stderr=none", "--", "sh", "-c", SCRIPT]);
}

#[test]
fn crashes_are_counted_exactly() {
    let mut cluster = Cluster::start();
    submit(&cluster, "3");
    for number in 1..=3 {
        assert_eq!(task(&cluster).0, "waiting");
        crash(&mut cluster, number);
        wait_until("the crash is known", || task(&cluster).0 != "running");
        match number {
            1 => {}
            2 => {
                cluster.kill_server();
                cluster.start_server();
            }
            _ => assert_eq!(task(&cluster).0, "failed"),
        }
    }
    let instances: Vec<u32> = executions(&cluster, 0).iter().map(|execution| execution[0]).collect();
    assert_eq!(instances, [0, 1, 2]);
    let (_, error) = task(&cluster);
    assert!(error.contains("3 times") && error.contains("limit was reached"), "{error}");
    assert_eq!(cluster.job_state(1).as_deref(), Some("FAILED"));
    replayed_equals_live(&mut cluster);
}

#[test]
fn a_worker_that_dies_during_an_outage_has_crashed() {
    let mut cluster = Cluster::with_worker(2);
    submit(&cluster, "1");
    wait_until("the task runs", || executions(&cluster, 0).len() == 1 && task(&cluster).0 == "running");
    cluster.kill_server();
    cluster.kill_worker(0);
    processes_are_gone(&cluster, 0);
    cluster.start_server();
    // The server gives the worker time to come back; others can work meanwhile.
    assert_eq!(task(&cluster).0, "running");
    cluster.start_worker(2);
    cluster.hq(&["submit", "--wait", "true"]).ok();
    wait_until("the crash is known", || task(&cluster).0 == "failed");
    assert_eq!(executions(&cluster, 0).len(), 1);
    replayed_equals_live(&mut cluster);
}

#[test]
fn tasks_of_a_dead_worker_run_on_another() {
    let mut cluster = Cluster::with_worker(4);
    let words = ["--array=1-4", "--stdout=none", "--stderr=none", "--", "sh", "-c", SCRIPT];
    cluster.submit(&words);
    wait_until("all run", || (1..=4).all(|id| executions(&cluster, id).len() == 1));
    let second = cluster.start_worker(4);
    cluster.kill_worker(0);
    for id in 1..=4 {
        processes_are_gone(&cluster, id);
    }
    wait_until("all run again", || (1..=4).all(|id| executions(&cluster, id).len() == 2));
    for id in 1..=4 {
        let runs = executions(&cluster, id);
        assert!(runs[1][0] > runs[0][0], "{runs:?}");
    }
    cluster.hq(&["job", "cancel", "1"]).ok();
    cluster.wait_job(1, "CANCELED");
    for id in 1..=4 {
        processes_are_gone(&cluster, id);
    }
    assert!(is_alive(cluster.worker_pid(second)));
    // The guardian of the dead worker removes its directory.
    wait_until("only the living worker has one", || temporary_directories(&cluster) == 1);
    replayed_equals_live(&mut cluster);
}
