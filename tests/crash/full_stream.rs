//! Streams whose disk is really full: tasks fail with that reason, or wait, as they asked for.
//!
//! Holds: a task that fails leaves no process behind; one that waits loses no byte and doubles none; tasks with other
//! directories notice nothing.

use crate::harness::{Cluster, wait_until_or};
use crate::small_disk::SmallDisk;

const DISK_KIB: u64 = 4 * 1024;
/// What the tasks write, in bytes.
const OUTPUT_BYTES: usize = 3_000_000;

fn cluster() -> Option<(Cluster, SmallDisk, String)> {
    let mut cluster = Cluster::offline();
    let at = cluster.path().join("disk");
    std::fs::create_dir(&at).unwrap();
    let disk = SmallDisk::mount(&at, DISK_KIB)?;
    cluster.wrapper = disk.wrapper(&cluster.work());
    cluster.start_server();
    cluster.start_worker(3);
    Some((cluster, disk, at.join("logs").display().to_string()))
}

/// Writes [`OUTPUT_BYTES`], then lines for as long as it lives, or none.
fn writer(goes_on: bool) -> String {
    let rest = if goes_on { "while sleep 0.05; do echo more; done" } else { "true" };
    format!("touch begun; head -c {OUTPUT_BYTES} /dev/zero | tr '\\0' x; {rest}")
}

fn output_of(cluster: &Cluster, logs: &str, job: u32) -> String {
    cluster.hq(&["output-log", logs, "cat", &job.to_string(), "stdout"]).ok().stdout
}

#[test]
fn a_task_whose_stream_is_full_fails_with_the_reason_and_ends() {
    let Some((cluster, disk, logs)) = cluster() else { return };
    disk.fill(1_000_000);
    let job = cluster.submit(&[&format!("--stream={logs}"), "--", "sh", "-c", &writer(true)]);
    cluster.wait_job(job, "FAILED");
    let error = cluster.tasks(job)[0]["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.starts_with("Streaming: ") && error.contains("No space left on device (os error 28)"), "{error}");
    // The next one gets a file of its own once there is space.
    disk.free();
    let job = cluster.submit(&[&format!("--stream={logs}"), "--", "echo", "again"]);
    cluster.wait_job(job, "FINISHED");
    assert_eq!(output_of(&cluster, &logs, job), "again\n");
}

#[test]
fn a_task_that_waits_for_its_stream_loses_and_doubles_nothing() {
    let Some((cluster, disk, logs)) = cluster() else { return };
    disk.fill(0);
    let stream = format!("--stream={logs}");
    // The directory cannot even be made.
    let job = cluster.submit(&[&stream, "--stream-on-error=wait", "--", "sh", "-c", &writer(false)]);
    wait_until_or("the task runs", || cluster.logs(), || cluster.work().join("begun").exists());
    wait_until_or("the worker says so", || cluster.logs(), || cluster.logs().contains("Tasks wait for their stream"));
    let other = cluster.submit(&["--stream=elsewhere", "--", "echo", "here"]);
    cluster.wait_job(other, "FINISHED");
    // Then it fills up in the middle of a write, again and again.
    for free in [100_000, 1_500_000] {
        disk.fill(free);
        assert_eq!(cluster.job_state(job).as_deref(), Some("RUNNING"));
    }
    disk.free();
    cluster.wait_job(job, "FINISHED");
    assert_eq!(output_of(&cluster, &logs, job), "x".repeat(OUTPUT_BYTES));
}

#[test]
fn a_task_that_waits_for_its_stream_can_be_ended() {
    let Some((cluster, disk, logs)) = cluster() else { return };
    disk.fill(0);
    let stream = format!("--stream={logs}");
    let wait = "--stream-on-error=wait";
    let limited = cluster.submit(&[&stream, wait, "--time-limit=1s", "--", "sh", "-c", &writer(true)]);
    cluster.wait_job(limited, "FAILED");
    // All its output is read, and only the file is missing.
    let short = cluster.submit(&[&stream, wait, "--cpus=3", "--", "sh", "-c", "echo short; touch said"]);
    wait_until_or("the task has spoken", || cluster.logs(), || cluster.work().join("said").exists());
    assert_eq!(cluster.job_state(short).as_deref(), Some("RUNNING"));
    cluster.hq(&["job", "cancel", &short.to_string()]).ok();
    cluster.wait_job(short, "CANCELED");
    // All CPUs are free again.
    let next = cluster.submit(&["--cpus=3", "--", "true"]);
    cluster.wait_job(next, "FINISHED");
}
