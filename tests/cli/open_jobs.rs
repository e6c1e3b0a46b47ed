//! `hq job open`, `close`, `forget` and `task-ids`, and submits into open jobs.
//!
//! Workflows open a job, look at what ended, and add the next tasks; scripts match the sentences.
//!
//! Holds: an open job ends when it is closed; a number that nobody typed is never one that is there.

use crate::harness::{Cluster, wait_until};
use serde_json::{Value, json};
use std::process::Stdio;

fn submit(cluster: &Cluster, words: &[&str]) {
    let words: Vec<&str> = ["submit", "--job=1"].iter().chain(words).copied().collect();
    cluster.hq(&words).ok();
}

fn ids(cluster: &Cluster) -> String {
    cluster.hq(&["job", "task-ids", "1"]).ok().stdout.trim_end().to_owned()
}

#[test]
fn opened_in_each_mode() {
    let cluster = Cluster::start();
    assert_eq!(cluster.hq(&["job", "open"]).ok().stdout, "Job 1 is open.\n");
    assert_eq!(cluster.json(&["job", "open", "--name=a", "--max-fails=3"]), json!({"id": 2}));
    assert_eq!(cluster.hq(&["--output-mode=quiet", "job", "open"]).ok().stdout, "3\n");
    let colored = cluster.hq(&["--colors=always", "job", "open"]).ok();
    assert_eq!(colored.stdout, "Job \u{1b}[32m4\u{1b}[0m is open.\n");
    let listed = cluster.hq(&["job", "list"]).ok().prints("| *1 | job  | OPENED | 0     |");
    listed.prints("* = Open jobs\n");
    let info = cluster.hq(&["job", "info", "2"]).ok();
    assert_eq!((info.cell("Name"), info.cell("Session"), info.cell("Tasks")), ("a".into(), "open".into(), "0".into()));
    let value = cluster.json(&["job", "info", "2"]);
    assert_eq!((&value[0]["max_fails"], &value[0]["info"]["is_open"]), (&json!(3), &json!(true)));
    assert!(value[0]["finished_at"].is_string() && value[0]["submits"] == json!([]), "{value}");
    let refused = cluster.hq(&["job", "open", "--name=a\tb"]).code(1);
    refused.says("name").says("tab");
}

#[test]
fn numbers_continue_over_submits() {
    let cluster = Cluster::with_worker(2);
    cluster.hq(&["job", "open"]).ok();
    submit(&cluster, &["true"]);
    submit(&cluster, &["--", "true"]);
    submit(&cluster, &["--array=10-12", "true"]);
    cluster.write("lines", "a\nb\nc\n");
    submit(&cluster, &["--each-line=lines", "--", "sh", "-c", "echo $HQ_TASK_ID $HQ_ENTRY"]);
    cluster.write("json", "[1, 2]");
    submit(&cluster, &["--from-json=json", "true"]);
    // Entries that were chosen by number keep it.
    submit(&cluster, &["--each-line=lines", "--array=2", "true"]);
    assert_eq!(ids(&cluster), "0-2,10-17");
    assert_eq!(cluster.hq(&["job", "info", "1"]).ok().cell("Tasks"), "11; Ids: 0-2,10-17");
    cluster.hq(&["job", "wait", "1", "--without-close"]).ok();
    assert_eq!(cluster.hq(&["job", "cat", "1", "stdout", "--tasks=13-15"]).ok().stdout, "13 a\n14 b\n15 c\n");
    let value = cluster.json(&["job", "info", "1"]);
    assert_eq!(value[0]["info"]["task_stats"]["finished"], 11);
    assert_eq!(value[0]["submits"].as_array().unwrap().len(), 6);
}

#[test]
fn refusals() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["submit", "--wait", "--array=0-3", "true"]).ok();
    cluster.hq(&["job", "open"]).ok();
    for (words, sentence) in [
        (&["--job=9", "true"][..], "Error: Job 9 not found."),
        (&["--job=1", "--array=2-9", "true"], "Error: Task 2 already exists in job 1."),
        (&["--job=1", "--array=4-9", "true"], "Error: Job 1 is not opened."),
        (&["--job=2", "--name=a", "true"], "Parameter --name is not allowed when submitting to an open job."),
        (&["--job=9", "--max-fails=1", "true"], "Parameter --max-fails is not allowed when submitting to an open job."),
    ] {
        let line: Vec<&str> = ["submit"].iter().chain(words).copied().collect();
        cluster.hq(&line).code(1).says(sentence);
    }
    cluster.write("named.sh", "#!/bin/sh\n#HQ --name=x\ntrue\n");
    cluster.hq(&["submit", "--job=2", "named.sh"]).code(1).says("Parameter --name is not allowed");
    let json = cluster.hq(&["--output-mode=json", "submit", "--job=9", "true"]).code(1).json();
    assert_eq!(json, json!({"error": "Error: Job 9 not found."}));
    for words in [&["submit", "--job=last", "true"][..], &["submit", "--job=1-2", "true"]] {
        cluster.hq(words).code(2);
    }
}

#[test]
fn each_submit_keeps_its_own_directories() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["job", "open"]).ok();
    let other = cluster.path().join("other");
    std::fs::create_dir(&other).unwrap();
    submit(&cluster, &["pwd"]);
    let mut command = cluster.command(&["submit", "--job=1", "--cwd=deep", "pwd"]);
    command.current_dir(&other);
    cluster.run(command, b"", "submit --job=1").ok();
    submit(&cluster, &["--stream=logs", "--", "echo", "streamed"]);
    cluster.hq(&["job", "wait", "1", "--without-close"]).ok();
    let (work, other) = (cluster.work().canonicalize().unwrap(), other.canonicalize().unwrap());
    let expected = format!("{}\n{}/deep\n", work.display(), other.display());
    assert_eq!(cluster.hq(&["job", "cat", "1", "stdout", "--tasks=0-1"]).ok().stdout, expected);
    assert_eq!(cluster.hq(&["output-log", "logs", "cat", "1", "stdout"]).ok().stdout, "streamed\n");
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert!(!info.stdout.contains("Submission directory") && !info.stdout.contains("| Command "), "{info}");
    let task = cluster.hq(&["task", "info", "1", "1"]).ok();
    assert_eq!(task.cell("Workdir"), format!("{}/deep", other.display()));
}

#[test]
fn closing() {
    let mut cluster = Cluster::start();
    cluster.hq(&["job", "close", "all"]).ok().says("INFO There is nothing to close");
    cluster.hq(&["job", "open"]).ok();
    submit(&cluster, &["true"]);
    let done = cluster.hq(&["job", "close", "9,1"]).ok().says("INFO Job 1 closed");
    done.says("ERROR Closing job 9 failed");
    cluster.hq(&["job", "close", "last"]).ok().says("job is already closed");
    cluster.hq(&["job", "open"]).ok();
    cluster.hq(&["job", "open"]).ok();
    let done = cluster.hq(&["job", "close", "all"]).ok().says("Job 2 closed").says("Job 3 closed");
    assert!(!done.stderr.contains("Job 1 "), "{done}");
    assert_eq!(cluster.json(&["job", "close", "all"]), json!({}));
    // What was there when it was closed goes on.
    cluster.start_worker(1);
    cluster.wait_job(1, "FINISHED");
    assert_eq!(cluster.job_state(2).as_deref(), Some("FINISHED"));
}

#[test]
fn waiting_for_open_jobs() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["job", "open"]).ok();
    // Idle from the beginning.
    cluster.hq(&["job", "wait", "1", "--without-close"]).ok();
    let mut command = cluster.command(&["submit", "--job=1", "--wait", "true"]);
    let mut waiting = command.stdout(Stdio::null()).spawn().unwrap();
    cluster.hq(&["submit", "--job=1", "--array=5-6", "true"]).ok();
    wait_until("three tasks ended", || {
        cluster.json(&["job", "info", "1"])[0]["info"]["task_stats"]["finished"] == json!(3)
    });
    assert!(waiting.try_wait().unwrap().is_none(), "the job is open");
    cluster.hq(&["job", "wait", "all", "--without-close"]).ok();
    cluster.hq(&["job", "close", "1"]).ok();
    assert!(waiting.wait().unwrap().success());
    cluster.hq(&["job", "wait", "1"]).ok();
}

#[test]
fn a_job_file_adds_tasks() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["job", "open"]).ok();
    let add = |text: &str| {
        cluster.write("job.toml", text);
        cluster.hq(&["job", "submit-file", "job.toml", "--job", "1"])
    };
    let chain = "name = \"ignored\"\nmax_fails = 0\n[[task]]\ncommand = [\"touch\", \"a\"]\n\
                 [[task]]\ncommand = [\"rm\", \"a\"]\ndeps = [1]\n";
    assert_eq!(add(chain).ok().stdout, "Job submitted successfully, job ID: 1\n");
    assert_eq!(ids(&cluster), "1-2");
    add(chain).ok();
    assert_eq!(ids(&cluster), "1-4");
    // Task 3 of an earlier submit.
    add("[[task]]\nid = 20\ncommand = [\"true\"]\ndeps = [3]\n").ok();
    add("[array]\nentries = [\"x\", \"y\"]\ncommand = [\"true\"]\n").ok();
    assert_eq!(ids(&cluster), "1-4,20-22");
    let missing = add("[[task]]\nid = 30\ncommand = [\"true\"]\ndeps = [29]\n").code(1);
    missing.says("invalid dependency: task 29 is part of neither the submit nor job 1");
    let circle = "[[task]]\nid = 30\ncommand = [\"true\"]\ndeps = [31]\n\
                  [[task]]\nid = 31\ncommand = [\"true\"]\ndeps = [30]\n";
    add(circle).code(1).says("cycle");
    add("[[task]]\nid = 20\ncommand = [\"true\"]\n").code(1).says("Task 20 already exists in job 1.");
    cluster.hq(&["job", "close", "1"]).ok();
    cluster.wait_job(1, "FINISHED");
    assert_eq!(cluster.hq(&["job", "info", "1"]).ok().cell("Name"), "job");
    assert_eq!(cluster.hq(&["task", "info", "1", "20"]).ok().cell("Dependencies"), "3");
    assert_eq!(cluster.hq(&["task", "info", "1", "4"]).ok().cell("Dependencies"), "3");
}

#[test]
fn forgetting() {
    let mut cluster = Cluster::with_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
    cluster.hq(&["submit", "--wait", "false"]).ok();
    cluster.hq(&["submit", "--cpus=64", "true"]).ok();
    cluster.hq(&["job", "open"]).ok();
    let done = cluster.hq(&["job", "forget", "all", "--filter=failed"]).ok();
    done.says("INFO 1 job were forgotten, 3 were ignored due to wrong state or invalid ID");
    cluster.hq(&["job", "info", "2"]).ok().says("ERROR Job 2 not found");
    let done = cluster.hq(&["job", "forget", "1"]).ok().says("1 job were forgotten");
    assert!(!done.stderr.contains("ignored"), "{done}");
    cluster.hq(&["job", "forget", "1,3"]).ok().says("0 jobs were forgotten, 2 were ignored");
    assert_eq!(cluster.json(&["job", "forget", "99"]), json!({}));
    cluster.kill_server();
    cluster.start_server();
    let listed = cluster.hq(&["--output-mode=quiet", "job", "list", "--all"]).ok().stdout;
    assert_eq!(listed, "3 WAITING\n4 OPENED\n");
    // The last number ever given, although its job is forgotten.
    cluster.hq(&["job", "close", "4"]).ok();
    cluster.hq(&["job", "forget", "last"]).ok().says("1 job were forgotten");
    cluster.hq(&["job", "info", "last"]).ok().says("ERROR Job 4 not found");
    assert_eq!(cluster.submit(&["true"]), 5);
}

#[test]
fn ids_of_tasks() {
    let cluster = Cluster::with_worker(2);
    cluster.hq(&["submit", "--wait", "--array=2,7,9,20-24", "--", "sh", "-c", "test $HQ_TASK_ID -lt 21"]).ok();
    let print = |words: &[&str]| cluster.hq(&[&["job", "task-ids"], words].concat()).ok().stdout;
    assert_eq!(print(&["1"]), "2,7,9,20-24\n");
    assert_eq!(print(&["last", "--filter=failed"]), "21-24\n");
    assert_eq!(print(&["1", "--filter=running,canceled"]), "\n");
    let quiet = cluster.hq(&["--output-mode=quiet", "job", "task-ids", "1", "--filter=finished"]).ok().stdout;
    assert_eq!(quiet, "2,7,9,20\n");
    cluster.submit(&["--array=0-4294967295", "--cpus=64", "true"]);
    assert_eq!(print(&["1-2", "--filter=waiting"]), "1: \n2: 0-4294967295\n");
    assert_eq!(cluster.json(&["job", "task-ids", "1", "--filter=failed"]), json!({"1": [21, 22, 23, 24]}));
    cluster.hq(&["job", "task-ids", "1,9"]).code(1).says("Job 9 not found");
    let again: Vec<String> = vec!["submit".into(), format!("--array={}", print(&["1", "--filter=failed"]).trim())];
    let words: Vec<&str> = again.iter().map(String::as_str).chain(["--wait", "true"]).collect();
    cluster.hq(&words).ok();
    assert_eq!(cluster.hq(&["job", "info", "last"]).ok().cell("Tasks"), "4; Ids: 21-24");
}

#[test]
fn events_of_an_open_job() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["job", "open", "--name=flow"]).ok();
    submit(&cluster, &["true"]);
    cluster.hq(&["job", "wait", "1", "--without-close"]).ok();
    cluster.hq(&["job", "close", "1"]).ok();
    let journal = cluster.server_dir().join("journal");
    let journal = if journal.exists() { journal } else { cluster.server_dir() };
    let exported = cluster.hq(&["journal", "export", journal.to_str().unwrap()]).ok().stdout;
    let events: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect();
    let of_job: Vec<&str> = events
        .iter()
        .filter(|event| event["job"] == json!(1) || event["job_id"] == json!(1))
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let expected = ["job-open", "job-created", "task-started", "task-finished", "job-close", "job-completed"];
    assert_eq!(of_job, expected, "{exported}");
    let created = events.iter().find(|event| event["type"] == "job-created").unwrap();
    assert_eq!((&created["closed_job"], &created["job_desc"]["name"]), (&json!(false), &json!("true")));
}
