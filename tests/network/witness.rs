//! A task that tells on itself: each of its copies writes down whether the one before it was still running.
//!
//! What the server believes is not what these tests are about, but what ran where.

use crate::harness::{Cluster, is_alive, wait_until_or};
use std::time::Duration;

/// Heartbeats that make leases as short as they get: the lease is 8 s, and the server waits 10.6 s.
pub const HEARTBEAT: &str = "--heartbeat=200ms";
/// Longer than the lease, and than what the server waits.
pub const LONGER_THAN_LEASE: Duration = Duration::from_secs(12);

/// The first copy waits for the file `go`; later ones end at once. One that has ended and is not reaped, since its parent
/// is frozen, does not run.
const SCRIPT: &str = r#"
before=$(cat first.pid 2>/dev/null)
state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$before/status" 2>/dev/null)
case "$state" in ''|Z|X) with=alone ;; *) with=together ;; esac
[ "$HQ_INSTANCE_ID" = 0 ] && echo $$ > first.pid
echo "$HQ_INSTANCE_ID $with" >> runs
[ "$HQ_INSTANCE_ID" = 0 ] || exit 0
while [ ! -e go ]; do sleep 0.05; done
"#;

/// Submits the task and waits until its first copy runs; gives the job.
#[track_caller]
pub fn submit(cluster: &Cluster) -> u32 {
    let job = cluster.submit(&["--", "sh", "-c", SCRIPT]);
    let ran = || cluster.work().join("runs").exists();
    wait_until_or("the first copy runs", || cluster.logs(), ran);
    job
}

/// Submits a task that only says when it begins, and waits until it runs; gives the job.
#[track_caller]
pub fn submit_another(cluster: &Cluster) -> u32 {
    let script = r#"echo "$HQ_INSTANCE_ID" >> runs; while [ ! -e go ]; do sleep 0.1; done"#;
    let job = cluster.submit(&["--", "sh", "-c", script]);
    cluster.wait_job(job, "RUNNING");
    job
}

/// Lets the first copy end.
pub fn release(cluster: &Cluster) {
    cluster.write("go", "");
}

/// What the copies wrote.
pub fn runs(cluster: &Cluster) -> Vec<String> {
    cluster.read("runs").lines().map(str::to_owned).collect()
}

/// Whether the first copy still runs.
pub fn first_is_alive(cluster: &Cluster) -> bool {
    is_alive(cluster.read("first.pid").trim().parse().expect("a process id"))
}

/// Waits until the job ended by a second copy, and fails the test unless that ran alone.
#[track_caller]
pub fn second_copy_runs_alone(cluster: &Cluster, job: u32) {
    cluster.wait_job(job, "FINISHED");
    let runs = runs(cluster);
    assert_eq!(runs.len(), 2, "{runs:?}\n{}", cluster.logs());
    assert!(runs.iter().all(|run| run.ends_with("alone")), "{runs:?}\n{}", cluster.logs());
    assert!(!first_is_alive(cluster));
}

/// Lets the first copy end, and fails the test unless it was the only one.
#[track_caller]
pub fn first_copy_was_the_only_one(cluster: &Cluster, job: u32) {
    release(cluster);
    cluster.wait_job(job, "FINISHED");
    assert_eq!(runs(cluster), ["0 alone"], "{}", cluster.logs());
}

/// States of all workers, by number.
pub fn worker_states(cluster: &Cluster) -> Vec<String> {
    let done = cluster.hq(&["--output-mode=quiet", "worker", "list", "--all"]).ok();
    done.stdout.lines().map(|line| line.split_once(' ').map_or(line, |(_, state)| state).to_owned()).collect()
}

/// Waits until the workers have these states.
#[track_caller]
pub fn wait_states(cluster: &Cluster, states: &[&str]) {
    let what = format!("the workers are {states:?}");
    let last = || format!("they are {:?}\n{}", worker_states(cluster), cluster.logs());
    wait_until_or(&what, last, || worker_states(cluster) == states);
}
