//! What tasks ask for and what they get of a worker's resources.
//!
//! Options, tables and the environment of the task have to agree on it.
//!
//! Holds: a wrong request is refused where it is typed, and nothing is submitted then.

use crate::harness::Cluster;
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
