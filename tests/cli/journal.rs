//! `hq journal export`: of a journal that lies still, and of one that a server holds.
//!
//! Consumers read one JSON object a line and nothing else.
//!
//! Holds: the standard output has only lines of JSON, in every output mode.

use crate::harness::Cluster;
use serde_json::Value;

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|line| line["event"]["type"].as_str().unwrap()).collect()
}

#[test]
fn what_is_no_journal() {
    let cluster = Cluster::offline();
    cluster.hq(&["journal", "export", "missing"]).code(1).says("Cannot open event log file at `missing`: No such file");
    cluster.write("file", "x");
    cluster.hq(&["journal", "export", "file"]).code(1).says("Cannot open event log file at `file`: ");
    cluster.hq(&["journal", "export", "."]).code(1).says("Cannot open event log file at `.`: ");
}

#[test]
fn events_of_a_job() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    cluster.hq(&["submit", "--array=1-3", "--wait", "true"]).ok();
    let script = "exit 3";
    cluster.hq(&["submit", "--wait", "--name=bad", "--", "sh", "-c", script]).ok();
    let live = cluster.hq(&["journal", "export", "journal"]).ok();
    let seen = events(&live.stdout);
    let count = |name: &str| types(&seen).iter().filter(|kind| **kind == name).count();
    assert_eq!(types(&seen)[0], "server-start");
    for (name, expected) in [
        ("worker-connected", 1),
        ("job-created", 2),
        ("task-started", 4),
        ("task-finished", 3),
        ("task-failed", 1),
        ("job-completed", 2),
        ("tasks-assigned", 0),
    ] {
        assert_eq!(count(name), expected, "{name}: {live}");
    }
    live.says(&format!("INFO Outputted {} events", seen.len()));
    let more = cluster.hq(&["--output-mode=json", "journal", "export", "journal", "--all"]).ok();
    assert!(types(&events(&more.stdout)).contains(&"tasks-assigned"), "{more}");

    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    let still = cluster.hq(&["journal", "export", "journal"]).ok();
    let after = events(&still.stdout);
    assert_eq!(after[..seen.len()], seen[..], "{still}");
    assert_eq!(types(&after).last(), Some(&"server-stop"));
}

#[test]
fn a_journal_of_another_server_is_named() {
    let cluster = Cluster::start_with(&["--journal=journal"]);
    let mut command = cluster.command(&["journal", "export", "journal"]);
    let nowhere = cluster.path().join("nowhere");
    command.env("HQ_SERVER_DIR", &nowhere);
    let done = cluster.run(command, b"", "journal export journal").code(1);
    done.says("Cannot open event log file at `journal`: it is in use by process").says("--server-dir");
}
