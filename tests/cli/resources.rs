//! What tasks ask for and what they get of a worker's resources.
//!
//! Options, tables and the environment of the task have to agree on it.
//!
//! Holds: a wrong request is refused where it is typed, and nothing is submitted then.

use crate::harness::{Cluster, wait_until};
use serde_json::json;

#[test]
fn requests_are_shown_as_they_were_made() {
    let cluster = Cluster::start();
    let options = ["--resource=foo=1.50 tight!", "--resource", "bar/x = all", "--weight=2.5", "--time-request=1:00:00"];
    let words = ["submit"].iter().chain(&options).chain(&["--pin=omp", "--task-dir", "true"]).copied();
    cluster.hq(&words.collect::<Vec<_>>()).ok();
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Resources"), info.cell("Pin")), ("bar/x: all".into(), "omp".into()));
    info.prints("| cpus: 1 compact").prints("| foo: 1.5 tight!").prints("| [weight: 2.5]");
    let desc = &cluster.json(&["job", "info", "1"])[0]["submits"][0]["array"];
    let entries = json!([
        {"resource": "cpus", "request": {"Compact": 10000}},
        {"resource": "foo", "request": {"ForceTight": 15000}},
        {"resource": "bar/x", "request": "All"},
    ]);
    let expected = json!([{"n_nodes": 0, "min_time": 3600.0, "weight": 25000, "resources": entries}]);
    assert_eq!(desc["resources"], expected);
    assert_eq!((&desc["pin_mode"], &desc["task_dir"]), (&json!("openmp"), &json!(true)));
    cluster.submit(&["--pin=taskset", "true"]);
    assert_eq!(cluster.json(&["job", "info", "2"])[0]["submits"][0]["array"]["pin_mode"], json!("taskset"));
}

#[test]
fn wrong_requests_are_refused() {
    let cluster = Cluster::start();
    for (option, text) in [
        ("--resource=x=0", "Zero resources cannot be requested"),
        ("--resource=x=2 compakt", "\n  x=2 compakt\n      ^^^^^^^"),
        ("--resource=a_b=1", "\n  a_b=1\n   ^"),
        ("--cpus=1.00001", "precision exceeded"),
        ("--weight=0", "Resource weight has to be positive number"),
        ("--weight=nan", "Resource weight has to be positive number"),
        ("--weight=0.00001", "Resource weight has to be positive number"),
        ("--time-request=1x", "Could not parse PBS walltime"),
        ("--pin=cores", "invalid value 'cores' for '--pin <MODE>'"),
    ] {
        cluster.hq(&["submit", option, "true"]).code(2).says(text);
    }
    for option in ["--cpus=2", "--pin=omp"] {
        cluster.hq(&["submit", "--nodes=2", option, "true"]).code(2).says("cannot be used with");
    }
    let both = ["submit", "--cpus=2", "--resource=cpus=2", "true"];
    cluster.hq(&both).code(1).says("--cpus and --resource cpus=... cannot be combined");
    let twice = ["submit", "--resource=x=2", "--resource=x=1", "true"];
    cluster.hq(&twice).code(1).says("Resource 'x' defined more than once");
    assert_eq!(cluster.json(&["job", "list", "--all"]), json!([]));
}

/// Starts three tasks of which two fit, and looks that the third starts when one of the others ends.
fn two_of_three_run(cluster: &Cluster, request: &str) {
    let script = "while ! test -e go-$HQ_TASK_ID; do sleep 0.01; done";
    let cpus = format!("--cpus={request}");
    let job = cluster.submit(&["--array=0-2", &cpus, "--", "sh", "-c", script]);
    let running = || {
        let tasks = cluster.tasks(job);
        let running = tasks.iter().filter(|task| task["state"] == "running");
        running.map(|task| task["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    wait_until("two run and one went back", || {
        let export = cluster.hq(&["journal", "export", "--all", "journal"]).ok().stdout;
        running().len() == 2 && export.contains("\"rejected\":true")
    });
    let first = running();
    cluster.write(&format!("go-{}", first[0]), "");
    wait_until("the third one runs", || running().iter().any(|id| !first.contains(id)));
    (0..3).for_each(|id| drop(cluster.write(&format!("go-{id}"), "")));
    cluster.wait_job(job, "FINISHED");
}

#[test]
fn a_fraction_is_not_put_together() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    two_of_three_run(&cluster, "0.6");
}

#[test]
fn a_strict_request_waits_for_its_group() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker_with(&["--cpus=2x3"]);
    two_of_three_run(&cluster, "2 compact!");
}

#[test]
fn a_task_that_one_worker_cannot_place_runs_on_another() {
    let mut cluster = Cluster::start();
    cluster.start_worker_with(&["--cpus=2x3"]);
    let script = "while ! test -e go; do sleep 0.01; done";
    let words = ["--array=0-2", "--cpus=2 compact!", "--", "sh", "-c", script];
    let job = cluster.submit(&words);
    wait_until("two run", || cluster.tasks(job).iter().filter(|task| task["state"] == "running").count() == 2);
    cluster.start_worker_with(&["--cpus=2"]);
    wait_until("all run", || cluster.tasks(job).iter().filter(|task| task["state"] == "running").count() == 3);
    cluster.write("go", "");
    cluster.wait_job(job, "FINISHED");
}
