//! `hq submit`: what tasks get and what is said about it.
//!
//! The command that every script has in it.
//!
//! Holds: the id is printed in the form of the mode; nothing is submitted on an error.

use crate::harness::{Cluster, wait_until};
use serde_json::json;
use std::fs::File;

#[test]
fn the_id_is_printed_as_the_mode_wants_it() {
    let cluster = Cluster::start();
    assert_eq!(cluster.hq(&["submit", "true"]).ok().stdout, "Job submitted successfully, job ID: 1\n");
    assert_eq!(cluster.json(&["submit", "true"]), json!({"id": 2}));
    assert_eq!(cluster.hq(&["--output-mode=quiet", "job", "submit", "true"]).ok().stdout, "3\n");
    let colored = cluster.hq(&["--colors=always", "submit", "true"]).ok().stdout;
    assert_eq!(colored, "Job submitted \u{1b}[32msuccessfully\u{1b}[0m, job ID: 4\n");
}

#[test]
fn output_goes_to_the_default_files() {
    let cluster = Cluster::with_worker(1);
    let script = "echo out; echo err >&2";
    cluster.hq(&["submit", "--wait", "--", "sh", "-c", script]).ok();
    assert_eq!((cluster.read("job-1/0.stdout"), cluster.read("job-1/0.stderr")), ("out\n".into(), "err\n".into()));
    assert_eq!(cluster.job_state(1).as_deref(), Some("FINISHED"));
}

#[test]
fn placeholders_and_destinations() {
    let cluster = Cluster::with_worker(2);
    let script = "echo $HQ_TASK_ID; pwd";
    let words = [
        "submit",
        "--wait",
        "--array=3-4",
        "--cwd=sub/%{TASK_ID}",
        "--stdout=%{SUBMIT_DIR}/o-%{JOB_ID}-%{TASK_ID}-%{INSTANCE_ID}",
        "--stderr=none",
        "--",
        "sh",
        "-c",
        script,
    ];
    cluster.hq(&words).ok();
    let work = cluster.work().canonicalize().unwrap();
    for id in [3, 4] {
        assert_eq!(cluster.read(&format!("o-1-{id}-0")), format!("{id}\n{}/sub/{id}\n", work.display()));
    }
    assert!(!cluster.work().join("job-1").exists());
    cluster.hq(&["submit", "--wait", "--stdout=gone:rm-if-finished", "--stderr=:rm-if-finished", "true"]).ok();
    assert!(!cluster.work().join("gone").exists() && !cluster.work().join("job-2/0.stderr").exists());
}

#[test]
fn entries() {
    let cluster = Cluster::with_worker(2);
    cluster.write("lines", "one\ntwo words\n\nfour\n");
    let script = "printf '%s' \"$HQ_ENTRY\"";
    cluster.hq(&["submit", "--wait", "--each-line=lines", "--", "sh", "-c", script]).ok().says("Reading file: lines");
    let outputs: Vec<String> = (0..4).map(|id| cluster.read(&format!("job-1/{id}.stdout"))).collect();
    assert_eq!(outputs, ["one", "two words", "", "four"]);
    cluster.write("items.json", r#"[1, {"b": [1.0, 2], "a": "é"}, "x"]"#);
    let words = ["submit", "--wait", "--from-json=items.json", "--array=1,7", "--", "sh", "-c", script];
    cluster.hq(&words).ok();
    assert_eq!(cluster.read("job-2/1.stdout"), r#"{"a":"é","b":[1.0,2]}"#);
    assert_eq!(cluster.tasks(2).len(), 1);
    cluster.write("object.json", "{}");
    cluster.hq(&["submit", "--from-json=object.json", "x"]).code(1).says("has to be an array");
    cluster.hq(&["submit", "--each-line=missing", "x"]).code(1).says("missing").says("No such file or directory");
    cluster.write("empty", "");
    cluster.hq(&["submit", "--wait", "--each-line=empty", "x"]).ok();
    assert_eq!(cluster.job_state(3).as_deref(), Some("FINISHED"));
}

#[test]
fn environment_and_standard_input() {
    let cluster = Cluster::with_worker(2);
    let script = "cat; echo $A-$B-$HQ_JOB_ID-$HQ_CPUS";
    let words = ["submit", "--wait", "--stdin", "--env=A=x=y", "--env", "B", "--cpus=2", "--", "sh", "-c", script];
    let done = cluster.hq_with_input(&words, b"data\n").ok();
    assert_eq!(done.stdout, "Job submitted successfully, job ID: 1\n");
    let output = cluster.read("job-1/0.stdout");
    assert!(output.starts_with("data\nx=y--1-"), "{output}");
    assert_eq!(output.trim_end().split('-').next_back().unwrap().split(',').count(), 2, "{output}");
    cluster
        .hq(&["submit", "--wait", "--env=A=1", "--env=A=2", "--", "sh", "-c", "echo $A"])
        .ok()
        .says("duplicate keys?");
    assert_eq!(cluster.read("job-2/0.stdout"), "2\n");
}

#[test]
fn warnings_and_refusals() {
    let cluster = Cluster::start();
    let done = cluster.hq(&["submit", "--array=1-2", "--stdout=%{FOO}", "true"]).ok();
    done.says("WARN You have submitted an array job, but the `stdout` path does not contain the task ID placeholder.")
        .says("WARN Found unknown placeholder `FOO` in stdout path");
    cluster.hq(&["submit", "--cwd=%{CWD}", "true"]).code(1).says("cannot contain the working directory placeholder");
    let name = cluster.hq(&["--output-mode=json", "submit", "--name=a\tb", "true"]).code(1);
    assert!(name.json()["error"].as_str().unwrap().contains("newline or a tab"), "{name}");
    assert_eq!(cluster.json(&["job", "list", "--all"]).as_array().unwrap().len(), 1);
}

#[test]
fn limits_of_tasks() {
    let cluster = Cluster::with_worker(1);
    cluster.hq(&["submit", "--wait", "--time-limit=100ms", "sleep", "60"]).ok();
    let tasks = cluster.tasks(1);
    assert_eq!((&tasks[0]["state"], &tasks[0]["error"]), (&json!("failed"), &json!("Time limit reached")));
    cluster.hq(&["submit", "--wait", "--array=1-9", "--max-fails=0", "false"]).ok();
    let states: Vec<String> = cluster.tasks(2).iter().map(|task| task["state"].as_str().unwrap().to_owned()).collect();
    assert!(states.iter().any(|state| state == "aborted"), "{states:?}");
    assert_eq!(cluster.job_state(2).as_deref(), Some("FAILED"));
}

#[test]
fn a_bar_shows_progress() {
    let cluster = Cluster::with_worker(1);
    // The tasks end only after the first bar was seen.
    let script = "while ! test -e go; do sleep 0.01; done";
    let mut command = cluster.command(&["submit", "--progress", "--array=1-3", "--", "sh", "-c", script]);
    let shown = || String::from_utf8(std::fs::read(cluster.path().join("bar")).unwrap()).unwrap();
    let mut child = command.stdout(File::create(cluster.path().join("bar")).unwrap()).spawn().unwrap();
    wait_until("there is a bar", || shown().contains("0/1 jobs, 0/3 tasks"));
    cluster.write("go", "");
    assert!(child.wait().unwrap().success());
    let text = shown();
    assert!(text.starts_with("Job submitted successfully, job ID: 1\n\r\u{1b}[2K["), "{text:?}");
    assert!(text.ends_with("1/1 jobs, 3/3 tasks 3 FINISHED\n"), "{text:?}");
}

#[test]
fn a_quiet_submit_with_progress_prints_the_id_alone() {
    let cluster = Cluster::with_worker(1);
    let waits = ["submit", "--progress", "--array=1-3", "--", "sh", "-c", "while ! test -e go; do sleep 0.01; done"];
    let words = [&["--output-mode=quiet"][..], &waits].concat();
    let done = std::thread::scope(|scope| {
        let submit = scope.spawn(|| cluster.hq(&words));
        cluster.wait_job(1, "RUNNING");
        cluster.write("go", "");
        submit.join().unwrap().ok()
    });
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("1\n", ""));
}
