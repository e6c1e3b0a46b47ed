//! `hq journal replay` and `stream` of a server that keeps no journal: the past comes from its memory.
//!
//! What is rebuilt is the last execution of each task, jobs and workers; what comes afterwards is told as it happens.
//!
//! Holds: a past without gaps and repetitions, whatever happens while it is read.

use crate::event_order::sortable;
use crate::harness::{Cluster, wait_until};
use crate::journal_stream::{Listener, exported};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|line| line["event"]["type"].as_str().unwrap()).collect()
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().map(|line| &line["event"]).filter(|event| event["type"] == kind).collect()
}

#[test]
fn the_past_is_rebuilt() {
    let mut cluster = Cluster::start_with(&["--no-journal"]);
    cluster.start_worker(2);
    let gone = cluster.start_worker(1);
    cluster.hq(&["submit", "--name=all", "--array=1-3", "--max-fails=7", "--wait", "true"]).ok();
    cluster.hq_with_input(&["submit", "--stdin", "--wait", "--", "sh", "-c", "exit 3"], b"a secret").ok();
    cluster.hq(&["submit", "--array=0-999", "--cpus=9", "--", "true"]).ok();
    cluster.hq(&["job", "cancel", "3", "--reason=enough"]).ok();
    cluster.hq(&["job", "open", "--name=open"]).ok();
    cluster.hq(&["submit", "--job=4", "true"]).ok();
    cluster.hq(&["submit", "--job=4", "true"]).ok();
    cluster.hq(&["submit", "--", "sleep", "1000"]).ok();
    cluster.wait_job(5, "RUNNING");
    cluster.hq(&["worker", "stop", "2"]).ok();
    cluster.worker_ends(gone);
    wait_until("both tasks of the open job are done", || {
        cluster.tasks(4).iter().filter(|task| task["state"] == "finished").count() == 2
    });

    let past = exported(&cluster, &["journal", "replay"]);
    let times: Vec<String> = past.iter().map(|line| sortable(line["time"].as_str().unwrap())).collect();
    assert!(times.is_sorted(), "{times:?}");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    types(&past).into_iter().for_each(|kind| *counts.entry(kind).or_default() += 1);
    let expected = [
        ("job-completed", 3),
        ("job-created", 6),
        ("job-open", 5),
        ("server-start", 1),
        ("task-canceled", 1),
        ("task-failed", 1),
        ("task-finished", 5),
        ("task-started", 7),
        ("worker-connected", 2),
        ("worker-lost", 1),
    ];
    assert_eq!(counts, expected.into_iter().collect());
    assert_eq!(types(&past)[0], "server-start");
    let opened = of_type(&past, "job-open")[0];
    assert_eq!((&opened["name"], &opened["max_fails"]), (&json!("all"), &json!(7)));
    assert!(of_type(&past, "job-created").iter().all(|event| event["closed_job"] == false));
    let canceled = of_type(&past, "task-canceled")[0];
    assert_eq!(canceled["tasks"].as_array().unwrap().len(), 1_000);
    assert_eq!(of_type(&past, "worker-lost")[0]["reason"], "Stopped");
    let failed = of_type(&past, "task-failed")[0];
    assert!(failed["error"].as_str().unwrap().contains("3"), "{failed}");
    let all = cluster.hq(&["journal", "replay", "--all"]).ok().stdout;
    assert!(!all.contains("a secret") && !all.contains("YSBzZWNyZXQ"), "{all}");

    // Only what is wanted.
    let one = exported(&cluster, &["journal", "replay", "--job=1"]);
    assert_eq!(types(&one)[..2], ["job-open", "job-created"]);
    assert_eq!((one.len(), types(&one).last()), (9, Some(&"job-completed")));
    assert_eq!(exported(&cluster, &["journal", "replay", "--type=task-failed"]).len(), 1);

    // A stream begins with the same, and goes on.
    let mut listener = Listener::start(&cluster, &[]);
    let same: Vec<Value> = (0..past.len()).map(|_| listener.next().unwrap()).collect();
    assert_eq!(same, past);
    cluster.hq(&["job", "close", "4"]).ok();
    assert_eq!(types(&listener.until("job-completed")), ["job-close", "job-completed"]);
    cluster.hq(&["server", "stop"]).ok();
    let rest: Vec<Value> = std::iter::from_fn(|| listener.next()).collect();
    assert_eq!(types(&rest), ["worker-lost"]);
    assert_eq!(listener.child.wait().unwrap().code(), Some(0));
    assert!(cluster.server_ends().success());
}

#[test]
fn nothing_is_lost_or_repeated_while_much_happens() {
    let mut cluster = Cluster::start_with(&["--no-journal"]);
    cluster.start_worker(4);
    cluster.hq(&["submit", "--array=1-700", "--wait", "true"]).ok();
    cluster.hq(&["job", "open"]).ok();
    cluster.hq(&["submit", "--job=2", "--array=1-700", "true"]).ok();
    let mut listeners = Vec::new();
    for from in [1_000, 2_000, 3_000, 4_000] {
        listeners.push(Listener::start(&cluster, &[]));
        cluster.hq(&["submit", "--job=2", &format!("--array={from}-{}", from + 300), "true"]).ok();
        cluster.hq(&["submit", "--array=1-20", "--wait", "true"]).ok();
    }
    cluster.hq(&["job", "close", "2"]).ok();
    cluster.hq(&["job", "wait", "2"]).ok();
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    for mut listener in listeners {
        let seen: Vec<Value> = std::iter::from_fn(|| listener.next()).collect();
        assert_eq!(listener.child.wait().unwrap().code(), Some(0));
        for kind in ["task-started", "task-finished"] {
            let mut tasks: Vec<(u64, u64)> = of_type(&seen, kind)
                .iter()
                .map(|event| (event["job"].as_u64().unwrap(), event["task"].as_u64().unwrap()))
                .collect();
            let all = tasks.len();
            tasks.sort_unstable();
            tasks.dedup();
            assert_eq!((all, tasks.len()), (2_684, 2_684), "{kind}");
        }
        let ranges: Vec<&Value> = of_type(&seen, "job-created")
            .into_iter()
            .filter(|event| event["job"] == 2)
            .map(|event| &event["submit_desc"]["task_desc"]["ids"]["ranges"][0]["start"])
            .collect();
        assert_eq!(ranges, [1, 1_000, 2_000, 3_000, 4_000]);
        assert_eq!(of_type(&seen, "job-open").iter().filter(|event| event["job_id"] == 2).count(), 1);
        assert_eq!(of_type(&seen, "job-completed").len(), 6);
        assert_eq!(of_type(&seen, "worker-connected").len(), 1);
    }
}

#[test]
fn a_reader_that_falls_behind_is_told_so() {
    let cluster = Cluster::start_with(&["--no-journal"]);
    let mut stalled =
        cluster.command(&["journal", "stream"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    stalled.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    // Long commands fill the pipe, so that the client stops reading; standard inputs fill what is kept for it.
    let long = "x".repeat(100_000);
    for _ in 0..3 {
        cluster.hq(&["submit", "--", "echo", &long]).ok();
    }
    let input = vec![b'x'; 7 << 20];
    for _ in 0..6 {
        cluster.hq_with_input(&["submit", "--stdin", "true"], &input).ok();
    }
    let (mut text, mut errors) = (String::new(), String::new());
    stalled.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    stalled.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(stalled.wait().unwrap().code(), Some(1), "{errors}");
    assert!(errors.contains("events come faster than this reader takes them"), "{errors}");
    // Others are told everything.
    assert_eq!(exported(&cluster, &["journal", "replay", "--type=job-created"]).len(), 9);
}
