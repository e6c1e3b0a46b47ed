//! `hq journal stream`, `replay` and `flush`: events of a running server, and readers that behave badly.
//!
//! A reader must never be able to disturb the writer, however slow it is and whenever it goes.
//!
//! Holds: what is past and what comes fit together without a gap and without a repetition.

use crate::harness::{Cluster, wait_until_or};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

/// A `journal stream` whose lines are read one by one.
pub(crate) struct Listener {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listener {
    pub(crate) fn start(cluster: &Cluster, words: &[&str]) -> Self {
        let words: Vec<&str> = ["journal", "stream"].iter().chain(words).copied().collect();
        let mut child = cluster.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line; none at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The events up to the first one of a type, this one included.
    pub(crate) fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line: &Value| line["event"]["type"] != kind) {
            seen.push(self.next().unwrap_or_else(|| panic!("no `{kind}` came after {seen:?}")));
        }
        seen
    }
}

pub(crate) fn exported(cluster: &Cluster, words: &[&str]) -> Vec<Value> {
    let done = cluster.hq(words).ok();
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn past_and_present_fit_together() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    cluster.hq(&["submit", "--array=1-20", "--wait", "true"]).ok();
    let mut listener = Listener::start(&cluster, &[]);
    let mut seen = listener.until("job-completed");
    cluster.hq(&["submit", "--array=1-20", "--wait", "true"]).ok();
    seen.extend(listener.until("job-completed"));
    let past = exported(&cluster, &["journal", "replay"]);
    assert_eq!(seen, past);
    assert_eq!(past, exported(&cluster, &["journal", "export", "journal"]));
    // The end of the server is the end of the stream, and no event of it.
    cluster.hq(&["server", "stop"]).ok();
    let rest: Vec<Value> = std::iter::from_fn(|| listener.next()).collect();
    let types: Vec<&str> = rest.iter().map(|line| line["event"]["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["worker-lost"]);
    assert_eq!(listener.child.wait().unwrap().code(), Some(0));
    assert!(cluster.server_ends().success());
    let done = cluster.hq(&["journal", "replay"]).code(1);
    done.says("No running instance of HQ found");
    cluster.start_server();
    let kinds: Vec<Value> = exported(&cluster, &["journal", "replay", "--type=server-start,server-stop"]);
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[test]
fn an_open_job_that_has_nothing_left_is_news() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(1);
    cluster.hq(&["job", "open"]).ok();
    let mut listener = Listener::start(&cluster, &["--job=1"]);
    listener.until("job-open");
    cluster.hq(&["submit", "--wait", "true"]).ok();
    cluster.hq(&["submit", "--job=1", "true"]).ok();
    let types: Vec<String> =
        listener.until("job-idle").iter().map(|line| line["event"]["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["job-created", "task-started", "task-finished", "job-idle"]);
    listener.child.kill().unwrap();
    listener.child.wait().unwrap();
    // It is for those who listen; whoever asks by name gets it from the past too.
    let count =
        |words: &[&str]| exported(&cluster, words).iter().filter(|line| line["event"]["type"] == "job-idle").count();
    assert_eq!(count(&["journal", "replay"]), 0);
    assert_eq!(count(&["journal", "export", "journal"]), 0);
    assert_eq!(count(&["journal", "replay", "--type=job-idle"]), 1);
    assert_eq!(count(&["journal", "export", "journal", "--all"]), 1);
}

#[test]
fn only_wanted_events() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    for _ in 0..3 {
        cluster.hq(&["submit", "--array=1-2", "--wait", "true"]).ok();
    }
    for command in [&["journal", "replay"][..], &["journal", "export", "journal"]] {
        let with = |more: &[&str]| {
            let words: Vec<&str> = command.iter().chain(more).copied().collect();
            exported(&cluster, &words)
        };
        let completed = with(&["--job=2-3", "--type=job-completed"]);
        let jobs: Vec<u64> = completed.iter().map(|line| line["event"]["job"].as_u64().unwrap()).collect();
        assert_eq!(jobs, [2, 3]);
        assert_eq!(with(&["--job=2"]).len(), 6);
        assert!(with(&["--type=worker-connected"]).len() == 1);
    }
    let wrong = cluster.hq(&["journal", "replay", "--type=job-ended"]).code(2);
    wrong.says("the types of events are ").says(", job-cancel, ");
}

#[test]
fn readers_that_stall_or_vanish_disturb_nobody() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    // Some megabytes, far more than the buffers of a connection hold.
    let long = "x".repeat(100_000);
    for _ in 0..60 {
        cluster.hq(&["submit", "--cpus=9", "--", "echo", &long]).ok();
    }
    cluster.hq(&["submit", "--array=1-100", "--wait", "true"]).ok();
    let pid = cluster.server_pid();
    let before = resident_kib(pid);
    let mut stalled = Vec::new();
    for number in 0..20 {
        let mut child = cluster.command(&["journal", "stream"]).stdout(Stdio::piped()).spawn().unwrap();
        if number % 2 == 0 {
            // Goes away in the middle of the past.
            let mut first = [0; 4096];
            child.stdout.take().unwrap().read_exact(&mut first).unwrap();
            child.wait().unwrap();
        } else {
            let mut first = [0; 1];
            child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
            stalled.push(child);
        }
    }
    for _ in 0..5 {
        cluster.hq(&["submit", "--array=1-200", "--wait", "true"]).ok();
    }
    cluster.hq(&["journal", "flush"]).ok();
    let after = resident_kib(pid);
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
    // Whoever reads gets everything, the others notwithstanding.
    let all = exported(&cluster, &["journal", "replay"]);
    let finished = all.iter().filter(|line| line["event"]["type"] == "task-finished").count();
    assert_eq!(finished, 1_100);
    // Those that do not read do not hold up the end either.
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    for mut child in stalled {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_reader_that_is_cut_off_says_nothing() {
    let mut cluster = Cluster::start();
    cluster.start_worker(1);
    cluster.hq(&["submit", "--array=1-2000", "--cpus=9", "--", "true"]).ok();
    cluster.hq(&["job", "cancel", "1"]).ok();
    let errors = cluster.path().join("errors");
    for command in ["replay", "stream"] {
        let mut child = cluster
            .command(&["journal", command])
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        // A stream notices with the next line.
        wait_until_or(
            "it has ended",
            || std::fs::read_to_string(&errors).unwrap(),
            || {
                cluster.hq(&["submit", "--cpus=9", "--", "true"]).ok();
                child.try_wait().unwrap().is_some()
            },
        );
        assert_eq!(std::fs::read_to_string(&errors).unwrap(), "");
    }
}

#[test]
fn flush_needs_a_server_and_no_journal() {
    let cluster = Cluster::offline();
    cluster.hq(&["journal", "flush"]).code(1).says("Invalid server directory");
    let cluster = Cluster::start_with(&["--no-journal"]);
    let done = cluster.hq(&["journal", "flush"]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
}
