//! A journal that is replayed gives what was shown.
//!
//! Each crash test ends with this check, whatever it was about.
//!
//! Holds: events that were exported once are exported again, in the same order, whoever reads the journal.

use crate::harness::Cluster;
use crate::ledger::{elements, number, task_lists};
use serde_json::Value;

/// Jobs and tasks as they are shown in JSON.
pub fn shown(cluster: &Cluster) -> (Value, Value) {
    let jobs = cluster.json(&["job", "list", "--all"]);
    let last = elements(&jobs).map(|job| number(&job["id"])).max();
    let answers = task_lists(cluster, last.unwrap_or(0));
    let tasks = answers.into_iter().filter_map(|answer| answer.as_object().cloned()).flatten().collect();
    (jobs, Value::Object(tasks))
}

/// The events, one a line.
pub fn exported(cluster: &Cluster) -> Vec<String> {
    let path = cluster.server_dir().join("journal");
    let done = cluster.hq(&["journal", "export", "--all", path.to_str().expect("a path in UTF-8")]).ok();
    done.stdout.lines().map(str::to_owned).collect()
}

/// Fails the test unless the second list begins with the first.
#[track_caller]
fn goes_on(first: &[String], second: &[String]) {
    assert!(first.len() <= second.len(), "{} events, later {}", first.len(), second.len());
    for (number, (before, after)) in first.iter().zip(second).enumerate() {
        assert_eq!(before, after, "event {number}");
    }
}

/// Kills the server of a cluster in which nothing happens, starts it again, and compares what it shows and exports.
#[track_caller]
pub fn replayed_equals_live(cluster: &mut Cluster) {
    let before = shown(cluster);
    let live = exported(cluster);
    assert!(!live.is_empty());
    cluster.kill_server();
    let offline = exported(cluster);
    goes_on(&live, &offline);
    cluster.start_server();
    assert_eq!(shown(cluster), before);
    goes_on(&offline, &exported(cluster));
}
