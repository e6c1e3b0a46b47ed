//! `hq task notify`, from within tasks and elsewhere.
//!
//! A long task says how far it is; whoever reads the journal hears it.
//!
//! Holds: a message that was accepted is in the journal, before the end of its task; errors say what to do.

use crate::harness::{Cluster, wait_until_or};
use serde_json::{Value, json};

const QUIET: [&str; 2] = ["--stdout=none", "--stderr=none"];

/// All events of the journal, as `journal export` prints them.
fn events(cluster: &Cluster) -> Vec<Value> {
    let journal = cluster.server_dir().join("journal");
    let done = cluster.hq(&["journal", "export", "--all", journal.to_str().unwrap()]).ok();
    done.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<(usize, &'a Value)> {
    events.iter().enumerate().filter(|(_, event)| event["type"] == kind).collect()
}

#[test]
fn messages_are_in_the_journal_before_the_end_of_their_task() {
    let cluster = Cluster::with_worker(1);
    let script = r#"
        "$HQ" task notify "hello $HQ_TASK_ID" && "$HQ" task notify '' && "$HQ" --output-mode=json task notify -- -x > json
    "#;
    let words = [&["submit", "--wait", "--array=3-4"], &QUIET[..], &["--", "sh", "-c", script]].concat();
    cluster.hq(&words).ok();
    assert_eq!(cluster.read("json"), "{}\n");
    let events = events(&cluster);
    let notes = of_type(&events, "task-notify");
    for task in [3, 4] {
        let own: Vec<_> = notes.iter().filter(|(_, event)| event["task_id"]["job_task_id"] == task).collect();
        let texts: Vec<_> = own.iter().map(|(_, event)| event["text"].as_str().unwrap().to_owned()).collect();
        assert_eq!(texts, [format!("hello {task}"), String::new(), "-x".to_owned()]);
        assert_eq!(own[2].1["message"], json!([45, 120]));
        assert_eq!((&own[0].1["worker_id"], &own[0].1["task_id"]["job_id"]), (&json!(1), &json!(1)));
        let finished = of_type(&events, "task-finished");
        let end = finished.iter().find(|(_, event)| event["task"] == task).unwrap().0;
        assert!(own.iter().all(|(at, _)| *at < end));
    }
}

#[test]
fn what_can_be_wrong() {
    let cluster = Cluster::offline();
    let outside = "HQ_ACCESS_KEY variable not found. Are you running this command inside a task?";
    cluster.hq(&["task", "notify", "x"]).code(1).says(outside);
    let long = "x".repeat(1_025);
    let limit = "Notify message limit exceeded, message len: 1025, limit: 1024";
    cluster.hq(&["task", "notify", &long]).code(1).says(limit);
    cluster.hq(&["task", "notify"]).code(2);
    for (key, text) in [
        ("nonsense", "Value of HQ_ACCESS_KEY has a wrong format"),
        ("/nowhere:hq0-short", "Value of HQ_ACCESS_KEY has a wrong format"),
        ("/nowhere:hq0-abcdefgh", "Cannot notify by the worker's socket /nowhere: No such file or directory"),
    ] {
        let mut command = cluster.command(&["task", "notify", "x"]);
        command.env("HQ_ACCESS_KEY", key);
        cluster.run(command, b"", "task notify x").code(1).says(text);
    }
}

#[test]
fn the_longest_message_and_any_bytes() {
    let cluster = Cluster::with_worker(1);
    let script =
        r#""$HQ" task notify "$(head -c 1024 /dev/zero | tr '\0' x)" && "$HQ" task notify "$(printf '\377\n\001.')""#;
    cluster.hq(&[&["submit", "--wait"], &QUIET[..], &["--", "sh", "-c", script]].concat()).ok();
    let events = events(&cluster);
    let notes = of_type(&events, "task-notify");
    assert_eq!(notes[0].1["message"].as_array().unwrap().len(), 1_024);
    assert_eq!(notes[1].1["message"], json!([255, 10, 1, 46]));
}

#[test]
fn a_message_waits_for_a_server_that_is_away() {
    let mut cluster = Cluster::with_worker(1);
    let script = r#"echo > ready; while ! test -e go; do sleep 0.02; done; echo > asks; "$HQ" task notify late"#;
    let job = cluster.submit(&[&QUIET[..], &["--", "sh", "-c", script]].concat());
    wait_until_or("the task runs", || cluster.logs(), || cluster.work().join("ready").exists());
    cluster.wait_job(job, "RUNNING");
    cluster.kill_server();
    cluster.write("go", "");
    wait_until_or("the task asks", || cluster.logs(), || cluster.work().join("asks").exists());
    cluster.start_server();
    cluster.wait_job(job, "FINISHED");
    let events = events(&cluster);
    assert_eq!(of_type(&events, "task-notify").first().unwrap().1["text"], "late");
}

/// Says three things, the last of them with words that a shell would split.
const TALKER: &str = r#"for n in 1 2 '3 "x" $y'; do "$HQ" task notify "$HQ_TASK_ID $n"; done"#;

#[test]
fn a_program_runs_for_each_message_before_the_wait_ends() {
    let cluster = Cluster::with_worker(2);
    let hook = r#"--on-notify=sh -c 'echo "$HQ_JOB_ID/$HQ_TASK_ID/$HQ_WORKER_ID: $0" >> seen'"#;
    for wait in ["--wait", "--progress"] {
        let words = [&["submit", wait, "--array=0-3", hook], &QUIET[..], &["--", "sh", "-c", TALKER]].concat();
        cluster.hq(&words).ok().says("INFO Running `sh` for a message of task ");
        let seen = cluster.read("seen");
        let job = if wait == "--wait" { 1 } else { 2 };
        for task in 0..4 {
            let prefix = format!("{job}/{task}/1: {task} ");
            let own: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
            assert_eq!(own, ["1", "2", r#"3 "x" $y"#], "{seen}");
        }
    }
    // Without a wait nobody listens.
    let job = cluster.submit(&[&[hook], &QUIET[..], &["--", "sh", "-c", TALKER]].concat());
    cluster.wait_job(job, "FINISHED");
    assert_eq!(cluster.read("seen").lines().count(), 24);
    // Who cares only about errors hears of none.
    let words = [&["--output-mode=quiet", "submit", "--wait", hook], &QUIET[..], &["--", "sh", "-c", TALKER]].concat();
    assert_eq!(cluster.hq(&words).ok().stderr, "");
}

#[test]
fn programs_for_messages_that_fail_are_said() {
    let cluster = Cluster::with_worker(1);
    let submit = |hook: &str| {
        let talk = r#""$HQ" task notify x"#;
        cluster.hq(&[&["submit", "--wait", hook], &QUIET[..], &["--", "sh", "-c", talk]].concat())
    };
    submit("--on-notify=false").ok().says("WARN `false` failed for a message of task ");
    submit("--on-notify=/no/such thing").ok().says("WARN `/no/such` cannot be run for a message of task ");
    // A text that is not quoted well is the name of a program.
    submit("--on-notify=it's x").ok().says("WARN `it's x` cannot be run for a message of task ");
    submit("--on-notify=").code(2).says("a program and its arguments");
    submit("--on-notify= ").code(2).says("a program and its arguments");
}

#[test]
fn a_message_is_recorded_once_over_broken_connections() {
    let mut cluster = Cluster::with_worker(1);
    let script = r#"for n in $(seq 1 12); do "$HQ" task notify "$n"; done"#;
    let job = cluster.submit(&[&QUIET[..], &["--", "sh", "-c", script]].concat());
    for number in [3, 7] {
        wait_until_or(
            "messages arrive",
            || cluster.logs(),
            || of_type(&events(&cluster), "task-notify").len() >= number,
        );
        cluster.kill_server();
        cluster.start_server();
    }
    cluster.wait_job(job, "FINISHED");
    let events = events(&cluster);
    let texts: Vec<_> = of_type(&events, "task-notify").iter().map(|(_, event)| event["text"].clone()).collect();
    assert_eq!(texts, (1..=12).map(|number| json!(number.to_string())).collect::<Vec<_>>());
}
