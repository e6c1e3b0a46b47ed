//! `hq journal prune` and `--journal-keep`: what completed jobs left goes, and nothing else does.
//!
//! A journal that is pruned has to serve like one that was not: for restarts, for jobs that still run, for numbers.
//!
//! Holds: jobs that are not completed keep every event.

use crate::harness::{Cluster, wait_until_or};
use serde_json::Value;
use std::path::Path;

fn events(cluster: &Cluster) -> Vec<Value> {
    let done = cluster.hq(&["journal", "export", "--all", "journal"]).ok();
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The job that an event is about.
fn job_of(event: &Value) -> Option<u64> {
    let event = &event["event"];
    let tasks = event["tasks"].get(0).map(|task| &task["job_id"]).filter(|id| id.is_number());
    event["job"].as_u64().or(event["job_id"].as_u64()).or(tasks.and_then(Value::as_u64))
}

fn of_job(events: &[Value], job: u64) -> Vec<Value> {
    events.iter().filter(|event| job_of(event) == Some(job)).cloned().collect()
}

fn of_type<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"]["type"] == name).collect()
}

/// Bytes of all files below a directory, but for the ballast.
fn bytes_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
    let counted = entries.filter(|entry| entry.file_name() != "ballast");
    let bytes = counted.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_of(&entry.path()),
        // A file may go while it is looked at.
        meta => meta.map_or(0, |meta| meta.len()),
    });
    bytes.sum()
}

fn tells_of_two_forgotten_jobs(cluster: &Cluster) {
    for info in [&["journal", "info", "journal"][..], &["server", "info"]] {
        let told = cluster.json(info);
        let forgotten = &told["forgotten_details"];
        assert_eq!((&forgotten["jobs"], &forgotten["last_job"]), (&2.into(), &2.into()), "{told}");
        assert_eq!((&forgotten["cause"], forgotten["time"].is_string()), (&"pruned".into(), true), "{told}");
        let table = cluster.hq(info).ok();
        assert!(table.cell("Forgotten details").starts_with("2 jobs, up to job 2, since 20"), "{table}");
    }
}

#[test]
fn completed_jobs_go_and_live_ones_keep_everything() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    let gone = cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "--name=done", "--array=1-3", "--", "true"]).ok();
    cluster.write("lines", "a\nb\n");
    cluster.hq(&["submit", "--wait", "--name=entries", "--each-line=lines", "--", "false"]).ok();
    cluster.hq(&["job", "open", "--name=open"]).ok();
    cluster.hq(&["submit", "--job=3", "--array=1-2", "--", "true"]).ok();
    cluster.hq(&["submit", "--name=waiting", "--cpus=64", "--", "true"]).ok();
    cluster.wait_job(3, "OPENED");
    cluster.hq(&["worker", "stop", "1"]).ok();
    cluster.worker_ends(gone);
    cluster.start_worker(1);
    cluster.start_worker(2);
    cluster.hq(&["worker", "stop", "3"]).ok();
    cluster.hq(&["worker", "wait", "1"]).ok();
    let before = events(&cluster);
    let jobs = cluster.json(&["job", "list", "--all"]);
    assert!(cluster.json(&["server", "info"]).get("forgotten_details").is_none());
    assert_eq!(cluster.json(&["journal", "info", "journal"])["forgotten_details"]["jobs"], 0);
    let failed = cluster.json(&["task", "info", "2", "1"]);

    let pruned = cluster.hq(&["journal", "prune"]).ok();
    assert_eq!((pruned.stdout.as_str(), pruned.stderr.as_str()), ("", ""));
    let after = events(&cluster);
    for job in [1, 2] {
        assert!(of_job(&after, job).is_empty(), "job {job}: {after:#?}");
    }
    for job in [3, 4] {
        assert!(!of_job(&before, job).is_empty());
        assert_eq!(of_job(&after, job), of_job(&before, job), "job {job}");
    }
    assert_eq!(of_type(&after, "server-start"), of_type(&before, "server-start"));
    let ids = |name: &str| of_type(&after, name).iter().map(|event| event["event"]["id"].clone()).collect::<Vec<_>>();
    // The first worker ran tasks of the open job, the third one nothing that is left.
    assert_eq!(ids("worker-connected"), [1, 2]);
    assert_eq!(ids("worker-lost"), [1]);
    assert_eq!(of_type(&after, "details-forgotten").len(), 1);

    tells_of_two_forgotten_jobs(&cluster);

    // Everything that the state knows is there as before.
    assert_eq!(cluster.json(&["job", "list", "--all"]), jobs);
    assert_eq!(cluster.json(&["task", "info", "2", "1"])["state"], failed["state"]);
    cluster.hq(&["job", "retry", "2"]).code(1).says("are not kept any more");
    cluster
        .hq(&["job", "report", "2"])
        .ok()
        .says("The journal has no details of job 2 any more, since the journal was pruned");

    // A second pruning finds nothing to do, a restart the same, and numbers go on.
    cluster.hq(&["journal", "prune"]).ok();
    assert_eq!(events(&cluster).len(), after.len());
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(cluster.json(&["job", "list", "--all"]), jobs);
    assert_eq!(of_job(&events(&cluster), 3), of_job(&before, 3));
    assert_eq!(cluster.submit(&["--", "true"]), 5);
    cluster.wait_job(5, "FINISHED");
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    let still = events(&cluster);
    assert_eq!(of_job(&still, 4), of_job(&before, 4));
    assert!(of_job(&still, 5).len() >= 3);
}

#[test]
fn without_a_journal_there_is_nothing_to_prune() {
    let cluster = Cluster::start_with(&["--no-journal"]);
    let done = cluster.hq(&["journal", "prune"]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
    cluster.hq(&["server", "stop"]).ok();
    cluster.hq(&["journal", "prune"]).code(1);
}

#[test]
fn limits_are_read_with_care() {
    let cluster = Cluster::offline();
    cluster.hq(&["server", "start", "--journal-keep=10"]).code(2).says("--journal-keep");
    cluster.hq(&["server", "start", "--journal-keep=1MB"]).code(2).says("a journal needs at least 4 MB");
    cluster.hq(&["server", "start", "--journal-keep=1GB", "--no-journal"]).code(2);
}

#[test]
fn a_journal_stays_within_its_limit() {
    const JOBS: usize = 80;
    let mut cluster = Cluster::start_with(&["--journal=journal", "--journal-keep=4MB"]);
    cluster.start_worker(2);
    let dir = cluster.work().join("journal");
    let input = vec![b'x'; 250_000];
    for _ in 0..JOBS {
        cluster.hq_with_input(&["submit", "--stdin", "--stdout=none", "--stderr=none", "--", "true"], &input).ok();
    }
    cluster.hq(&["job", "wait", "all"]).ok();
    // More small ones, so that the last look comes when all of them are completed.
    let small = || {
        cluster.hq_with_input(&["submit", "--wait", "--stdin", "--stdout=none", "--", "true"], &input[..60_000]).ok();
        bytes_of(&dir) < 5_000_000
    };
    let told = || format!("the journal has {} bytes\n{}", bytes_of(&dir), cluster.logs());
    wait_until_or("a journal within its limit", told, small);
    let listed = cluster.json(&["job", "list", "--all"]);
    assert!(listed.as_array().unwrap().len() >= JOBS);
    assert!(cluster.logs().contains("details of the"), "{}", cluster.logs());
    cluster.hq(&["job", "retry", "1", "--filter=finished"]).code(1).says("are not kept any more");
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(cluster.json(&["job", "list", "--all"]).as_array().unwrap().len(), listed.as_array().unwrap().len());
}
