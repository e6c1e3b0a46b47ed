//! `hq submit --after` and the key `after` of job files: jobs that wait for others.
//!
//! Scripts chain jobs by this, so what is waited for, what is refused and what is shown is compared here.
//!
//! Holds: a mistake is refused before anything is submitted; a job that can no longer run ends, and says why.

use crate::harness::Cluster;
use serde_json::{Value, json};

fn states(cluster: &Cluster, job: u32) -> Vec<String> {
    cluster.tasks(job).iter().map(|task| task["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn jobs_run_one_after_the_other() {
    let cluster = Cluster::with_worker(4);
    let first =
        cluster.submit(&["--array=1-2", "--", "sh", "-c", "while ! test -e go; do sleep 0.01; done; echo a >> log"]);
    let second = cluster.submit(&["--after", "1", "--", "sh", "-c", "echo b >> log"]);
    let third = cluster.submit(&["--after=last", "--after=any:1@1", "--", "sh", "-c", "echo c >> log"]);
    let info = cluster.hq(&["job", "info", "3"]).ok();
    assert_eq!(info.cell("After"), "ok:2 (waiting)");
    info.prints("any:1@1 (waiting)");
    assert_eq!(states(&cluster, second), ["waiting"]);
    let explained = cluster.hq(&["task", "explain", "3", "0"]).ok();
    let explained = explained.prints("Task 3@0 is not ready to run, because 2/2 dependencies are not finished.\n");
    explained
        .prints("It waits for job 2, of which 1 task has not ended (ok:2).\nIt waits for 1 task of job 1 (any:1@1).\n");
    cluster.write("go", "");
    cluster.hq(&["job", "wait", "all"]).ok();
    assert_eq!((states(&cluster, first).len(), cluster.job_state(third).as_deref()), (2, Some("FINISHED")));
    assert_eq!(cluster.read("log"), "a\na\nb\nc\n");
    let expected = json!([
        {"spec": "ok:2", "condition": "ok", "each": false, "job": 2, "job_tasks": null, "tasks": null, "state": "met",
         "submit": 0},
        {"spec": "any:1@1", "condition": "any", "each": false, "job": 1, "job_tasks": "1", "tasks": null, "state": "met",
         "submit": 0},
    ]);
    assert_eq!(cluster.json(&["job", "info", "3"])[0]["after"], expected);
    assert_eq!(cluster.json(&["job", "info", "1"])[0].get("after"), None);
    assert!(!cluster.hq(&["job", "info", "1"]).ok().stdout.contains("After"));
}

#[test]
fn what_can_no_longer_run_is_aborted() {
    let cluster = Cluster::with_worker(2);
    let bad = cluster.submit(&["--name=bad", "--array=0-1", "--", "sh", "-c", "exit $HQ_TASK_ID"]);
    let ok = cluster.submit(&["--after=bad", "--array=0-999", "true"]);
    let chained = cluster.submit(&["--after=2", "true"]);
    let failed = cluster.submit(&["--after=failed:bad", "true"]);
    let each = cluster.submit(&["--after=each:1", "--array=0-1", "true"]);
    let each_any = cluster.submit(&["--after=each:any:bad", "--array=0-1", "true"]);
    cluster.hq(&["job", "wait", "all"]).ok();
    assert_eq!(states(&cluster, bad), ["finished", "failed"]);
    assert!(states(&cluster, ok).iter().all(|state| state == "aborted"));
    assert_eq!(states(&cluster, chained), ["aborted"]);
    assert_eq!(states(&cluster, failed), ["finished"]);
    assert_eq!(states(&cluster, each), ["finished", "aborted"]);
    assert_eq!(states(&cluster, each_any), ["finished", "finished"]);
    assert!(cluster.hq(&["job", "info", "2"]).ok().cell("After").starts_with("ok:1 (broken)"));
}

#[test]
fn mistakes_are_refused_where_they_are() {
    let cluster = Cluster::start();
    cluster.submit(&["--array=0-9", "true"]);
    for (spec, said) in [
        ("7", "there is no job 7"),
        ("nothing", "there is no job with the name \"nothing\""),
        ("fail:1", "conditions are `ok:`, `any:` and `failed:`"),
        ("1@5-12", "job 1 has no task 10"),
        ("@1", "give one by --job"),
    ] {
        cluster.hq(&["submit", "--after", spec, "true"]).code(1).says("invalid dependency").says(said);
    }
    cluster.hq(&["submit", "--after=each:1", "--array=8-11", "true"]).code(1).says("job 1 has no task 10 for task 10");
    let refused = cluster.hq(&["submit", "--after=any:5@3-1", "true"]).code(2);
    refused.says("invalid value 'any:5@3-1' for '--after <JOBS>'").says("\n  any:5@3-1\n        ^^^");
    let all = cluster.hq(&["--output-mode=quiet", "job", "list", "--all"]).ok();
    assert_eq!(all.stdout, "1 WAITING\n", "nothing was submitted");
    cluster.hq(&["job", "cancel", "1"]).ok();
    cluster.hq(&["job", "forget", "1"]).ok();
    cluster.hq(&["submit", "--after=1", "true"]).code(1).says("there is no job 1; it was forgotten");
    cluster.hq(&["submit", "--after=last", "true"]).code(1).says("there is no job 1; it was forgotten");
}

#[test]
fn directives_and_the_command_line_add_up() {
    let cluster = Cluster::start();
    cluster.submit(&["--name=prepare", "true"]);
    cluster.submit(&["--name=other", "true"]);
    cluster.write("job.sh", "#!/bin/sh\n#HQ --after any:prepare\ntrue\n");
    cluster.submit(&["--after=2", "job.sh"]);
    let after = cluster.json(&["job", "info", "3"])[0]["after"].clone();
    let specs: Vec<&Value> = after.as_array().unwrap().iter().map(|after| &after["spec"]).collect();
    assert_eq!(specs, ["ok:2", "any:1"]);
    let journal = cluster.server_dir().join("journal");
    let exported = cluster.hq(&["journal", "export", &journal.display().to_string()]).ok();
    exported.prints(r#""after":[{"condition":"ok","each":false,"job":2,"job_tasks":null,"spec":"ok:2","tasks":null}"#);
}

#[test]
fn open_jobs_wait_for_their_own_tasks_and_never_in_a_circle() {
    let cluster = Cluster::with_worker(2);
    cluster.hq(&["job", "open", "--name=flow"]).ok();
    cluster.submit(&["--job=1", "--array=0-2", "--", "sh", "-c", "echo $HQ_TASK_ID >> log"]);
    cluster.submit(&["--job=1", "--after=@0-2", "--", "sh", "-c", "echo after >> log"]);
    cluster.hq(&["submit", "--job=1", "--after=1", "true"]).code(1).says("a cycle");
    let second = cluster.submit(&["--after=flow", "true"]);
    cluster.hq(&["submit", "--job=1", "--after=2", "true"]).code(1).says("(a cycle)");
    cluster.hq(&["job", "wait", "1", "--without-close"]).ok();
    assert_eq!(cluster.read("log").lines().last(), Some("after"));
    assert_eq!(states(&cluster, second), ["waiting"]);
    let explained = cluster.hq(&["task", "explain", "2", "0"]).ok();
    explained.prints("It waits for job 1 to be closed (ok:1).\n");
    cluster.hq(&["job", "close", "1"]).ok();
    cluster.hq(&["job", "wait", "2"]).ok();
    assert_eq!(states(&cluster, second), ["finished"]);
}

#[test]
fn gates_survive_the_death_of_the_server() {
    let mut cluster = Cluster::start();
    let first = cluster.submit(&["--array=0-1", "--", "sh", "-c", "echo $HQ_TASK_ID >> log"]);
    let second = cluster.submit(&["--after=1", "--array=0-1", "--", "sh", "-c", "echo second >> log"]);
    let third = cluster.submit(&["--after=each:any:2", "--array=0-1", "--", "sh", "-c", "echo third >> log"]);
    let never = cluster.submit(&["--after=failed:1", "true"]);
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(states(&cluster, second), ["waiting", "waiting"]);
    cluster.start_worker(1);
    cluster.hq(&["job", "wait", "all"]).ok();
    let log = cluster.read("log");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[..2].iter().all(|line| line.len() == 1), "{log}");
    assert_eq!(lines[2], "second", "{log}");
    assert_eq!(lines.iter().filter(|line| **line == "third").count(), 2, "{log}");
    assert_eq!((states(&cluster, first).len(), states(&cluster, third).len()), (2, 2));
    assert_eq!(states(&cluster, never), ["aborted"]);
}

fn submit_file(cluster: &Cluster, name: &str) -> u32 {
    let id = cluster.json(&["job", "submit-file", name])["id"].as_u64();
    id.and_then(|id| u32::try_from(id).ok()).expect("an id")
}

#[test]
fn tasks_of_a_job_file_wait_for_other_jobs_and_for_each_other() {
    let cluster = Cluster::with_worker(4);
    let bad = cluster.submit(&["--name=bad", "--", "sh", "-c", "while ! test -e go; do sleep 0.01; done; exit 3"]);
    let file = r#"
        [[task]]
        id = 1
        command = ["sh", "-c", "exit 1"]
        after = ["failed:bad"]
        [[task]]
        id = 2
        command = ["true"]
        after = ["any:@1"]
        [[task]]
        id = 3
        command = ["true"]
        after = ["failed:@1", "any:bad"]
        [[task]]
        id = 4
        command = ["true"]
        after = ["ok:bad"]
    "#;
    cluster.write("job.toml", file);
    let job = submit_file(&cluster, "job.toml");
    assert_eq!(states(&cluster, job), ["waiting"; 4]);
    assert_eq!(cluster.json(&["job", "info", &job.to_string()])[0]["after"][0]["tasks"], "3");
    cluster.write("go", "");
    cluster.hq(&["job", "wait", "all"]).ok();
    assert_eq!(states(&cluster, bad), ["failed"]);
    assert_eq!(states(&cluster, job), ["failed", "finished", "finished", "aborted"]);
    cluster.write("array.toml", "[array]\nids = \"0-2\"\ncommand = [\"true\"]\nafter = [\"each:any:2\"]\n");
    let refused = cluster.hq(&["job", "submit-file", "array.toml"]).code(1);
    refused.says("job 2 has no task 0 for task 0 to wait for");
    cluster.write("array.toml", "[array]\nids = \"1-4\"\ncommand = [\"true\"]\nafter = [\"each:any:2\"]\n");
    let array = submit_file(&cluster, "array.toml");
    cluster.hq(&["job", "wait", "all"]).ok();
    assert_eq!(states(&cluster, array), ["finished"; 4]);
    cluster.write("wrong.toml", "[[task]]\ncommand = [\"true\"]\nafter = [\"ok:any:5\"]\n");
    cluster.hq(&["job", "submit-file", "wrong.toml"]).code(1).says("write `each:` first");
}
