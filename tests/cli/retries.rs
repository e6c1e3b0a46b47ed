//! `hq submit --retries`, `hq job retry`, and what `hq task info` tells of attempts.
//!
//! Which failure is tried again is decided by what really happened to the program: exit codes, signals, time limits.
//!
//! Holds: numbers of attempts are never used twice; nothing that was acknowledged is lost with the server.

use crate::harness::{Cluster, wait_until};
use serde_json::{Value, json};

fn attempts(cluster: &Cluster, job: u32, task: &str) -> Vec<Value> {
    let tasks = cluster.json(&["task", "info", &job.to_string(), task]);
    tasks[0]["attempts"].as_array().cloned().unwrap_or_default()
}

fn column(attempts: &[Value], key: &str) -> Vec<Value> {
    attempts.iter().map(|attempt| attempt[key].clone()).collect()
}

#[test]
fn a_task_is_tried_until_it_succeeds() {
    let cluster = Cluster::with_worker(1);
    let script = "exit $((HQ_INSTANCE_ID < 2 ? 7 : 0))";
    let job = cluster.submit(&["--wait", "--retries=5", "--retry-on=exit=7", "sh", "-c", script]);
    assert_eq!(cluster.job_state(job).as_deref(), Some("FINISHED"));
    let told = attempts(&cluster, job, "0");
    assert_eq!(column(&told, "instance"), [json!(0), json!(1), json!(2)]);
    assert_eq!(column(&told, "state"), [json!("retried"), json!("retried"), json!("finished")]);
    assert_eq!(column(&told, "exit_code"), [json!(7), json!(7), json!(0)]);
    assert!(told.iter().all(|attempt| attempt["max_memory"].as_u64().is_some_and(|bytes| bytes > 0)), "{told:?}");
    let info = cluster.hq(&["task", "info", "1", "0"]).ok();
    assert!(info.cell("Attempts").starts_with("0: retried after "), "{info}");
    assert!(!info.stdout.contains("Exit code"), "{info}");
    let info = cluster.hq(&["task", "info", "1", "0", "-v"]).ok();
    assert_eq!(info.cell("Exit code"), "0");
}

#[test]
fn failures_are_told_apart() {
    let cluster = Cluster::with_worker(4);
    for (options, script, cause, again) in [
        (&["--retry-on=signal"][..], "kill -9 $$", "signal", true),
        (&["--retry-on=exit=1"], "kill -9 $$", "signal", false),
        (&["--retry-on=timeout", "--time-limit=100ms"], "sleep 1000", "timeout", true),
        (&["--retry-on=signal,exit=1", "--time-limit=100ms"], "sleep 1000", "timeout", false),
        (&["--retry-on=exit=1,signal"], "exit 2", "exit", false),
        (&[], "exit 2", "exit", true),
    ] {
        let words = ["--wait", "--retries=1"].iter().chain(options).copied();
        let words: Vec<&str> = words.chain(["--", "sh", "-c", script]).collect();
        let job = cluster.submit(&words);
        let told = attempts(&cluster, job, "0");
        assert_eq!(told.len(), if again { 2 } else { 1 }, "{options:?} {script}: {told:?}");
        assert!(told.iter().all(|attempt| attempt["cause"] == cause), "{told:?}");
        assert_eq!(cluster.job_state(job).as_deref(), Some("FAILED"));
    }
    let job = cluster.submit(&["--wait", "--retries=1", "./no-such-program"]);
    assert_eq!(column(&attempts(&cluster, job, "0"), "cause"), [json!("start"), json!("start")]);
}

#[test]
fn a_delay_survives_the_server() {
    let mut cluster = Cluster::with_worker(1);
    let script = "echo $HQ_INSTANCE_ID; exit $((1 - HQ_INSTANCE_ID))";
    let job = cluster.submit(&["--retries=1", "--retry-delay=2s", "--stdout=out-%{INSTANCE_ID}", "sh", "-c", script]);
    wait_until("the first attempt has failed", || {
        attempts(&cluster, job, "0").first().is_some_and(|a| a["state"] == "retried")
    });
    assert_eq!(cluster.tasks(job), [json!({"id": 0, "state": "waiting"})]);
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(cluster.tasks(job)[0]["state"], "waiting");
    cluster.hq(&["job", "wait", "1"]).ok();
    assert_eq!(cluster.job_state(job).as_deref(), Some("FINISHED"));
    assert_eq!((cluster.read("out-0").trim(), cluster.read("out-1").trim()), ("0", "1"));
}

#[test]
fn tasks_of_a_completed_job_run_again_with_their_entries() {
    let mut cluster = Cluster::with_worker(2);
    cluster.write("lines", "alpha\nbeta\ngamma\n");
    let script = "test -e $HQ_ENTRY-ok || exit 3; echo $HQ_ENTRY again";
    let job = cluster.submit(&["--wait", "--each-line=lines", "sh", "-c", script]);
    assert_eq!(cluster.job_state(job).as_deref(), Some("FAILED"));
    // What the state has dropped comes from the journal, also after a restart.
    cluster.kill_server();
    cluster.start_server();
    for entry in ["alpha", "beta"] {
        cluster.write(&format!("{entry}-ok"), "");
    }
    let touched = |touched: u32, untouched: u32| {
        let acted = json!({"id": job, "found": true, "touched": touched, "untouched": untouched});
        json!({"jobs": [acted]})
    };
    assert_eq!(cluster.json(&["job", "retry", "last", "--tasks=0-1"]), touched(2, 0));
    cluster.hq(&["job", "wait", "last"]).ok();
    let states: Vec<Value> = cluster.tasks(job).iter().map(|task| task["state"].clone()).collect();
    assert_eq!(states, [json!("finished"), json!("finished"), json!("failed")]);
    assert_eq!(cluster.hq(&["job", "cat", "last", "stdout"]).ok().stdout, "alpha again\nbeta again\n");
    assert_eq!(column(&attempts(&cluster, job, "1"), "instance"), [json!(0), json!(1)]);
    cluster.hq(&["job", "resubmit", "last"]).ok().says("INFO Job 1: 1 task run again, 2 left").says("older name");
    cluster.hq(&["job", "wait", "last"]).ok();
    assert_eq!(cluster.json(&["job", "retry", "last", "--filter=canceled"]), touched(0, 3));
}

#[test]
fn an_acknowledged_rerun_survives_the_server() {
    let mut cluster = Cluster::start();
    let job = cluster.submit(&["--array=0-9", "true"]);
    cluster.hq(&["job", "cancel", "1"]).ok();
    cluster.hq(&["job", "retry", "1", "--tasks=2-4"]).ok().says("INFO Job 1: 3 tasks run again\n");
    cluster.kill_server();
    cluster.start_server();
    let waiting = cluster.tasks(job).iter().filter(|task| task["state"] == "waiting").count();
    assert_eq!(waiting, 3);
    cluster.start_worker(2);
    cluster.hq(&["job", "wait", "1"]).ok();
    assert_eq!(cluster.tasks(job).iter().filter(|task| task["state"] == "finished").count(), 3);
}

#[test]
fn without_a_journal_what_is_gone_is_refused() {
    let mut cluster = Cluster::start_with(&["--no-journal"]);
    cluster.start_worker(1);
    cluster.write("lines", "a\n");
    cluster.submit(&["--wait", "--each-line=lines", "false"]);
    cluster.hq(&["job", "retry", "1"]).code(1).says("not kept any more");
    let job = cluster.submit(&["--wait", "false"]);
    cluster.hq(&["job", "retry", "2"]).ok().says("INFO Job 2: 1 task run again\n");
    cluster.hq(&["job", "wait", "2"]).ok();
    let told = attempts(&cluster, job, "0");
    assert_eq!(column(&told, "instance"), [json!(1)]);
}

#[test]
fn in_quiet_mode_the_number_of_tasks_is_all() {
    let cluster = Cluster::with_worker(1);
    cluster.submit(&["--wait", "false"]);
    for (words, line) in
        [(&["job", "retry", "1"][..], "1 1\n"), (&["job", "resubmit", "1"], "1 1\n"), (&["job", "retry", "9"], "")]
    {
        let done = cluster.hq(&[&["--output-mode=quiet"], words].concat()).ok();
        assert_eq!(done.stdout, line, "{done}");
        cluster.hq(&["job", "wait", "1"]).ok();
    }
}
