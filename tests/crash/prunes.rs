//! kill -9 of the server while it prunes its journal.
//!
//! A pruning writes, renames and removes much; whatever the moment, the journal afterwards is the one before or the one
//! after.
//!
//! Holds: jobs that are not completed keep their events, all jobs are listed, and no number is given twice.

use crate::caller::Caller;
use crate::harness::{Cluster, wait_until};
use crate::replay::{exported, replayed_equals_live, shown};
use crate::seed::{Seed, number_from_env};
use std::time::Duration;

/// Kills in one run; the variable `HQ_CAMPAIGN` asks for another number.
const KILLS: u64 = 12;
/// Longest time from the beginning of a pruning to the death of the server, where that is a matter of time.
const LIFE_MS_MAX: u64 = 120;

/// The events of a job, in order.
fn of_job(cluster: &Cluster, job: u64) -> Vec<String> {
    let events = exported(cluster);
    let is_of = |line: &&String| {
        let event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let event = &event["event"];
        event["job"].as_u64().or(event["job_id"].as_u64()) == Some(job)
    };
    events.iter().filter(is_of).cloned().collect()
}

#[test]
fn kills_while_it_prunes() {
    let mut seed = Seed::from_env();
    let kills = number_from_env("HQ_CAMPAIGN").unwrap_or(KILLS);
    let mut cluster = Cluster::start();
    cluster.start_worker(2);
    cluster.hq(&["job", "open", "--name=open"]).ok();
    cluster.hq(&["submit", "--job=1", "--array=1-20", "true"]).ok();
    wait_until("its tasks end", || cluster.json(&["job", "list"])[0]["task_stats"]["finished"] == 20);
    let kept = of_job(&cluster, 1);
    let caller = Caller::of(&cluster);
    for round in 0..kills {
        let job = cluster.submit(&["--wait", "--array=1-200", "true"]);
        assert_eq!(u64::from(job), round + 2);
        let before = shown(&cluster);
        std::thread::scope(|scope| {
            // It may be told, or cut off; both are right.
            scope.spawn(|| caller.hq(&["journal", "prune"]));
            std::thread::sleep(Duration::from_millis(seed.below(LIFE_MS_MAX)));
            cluster.kill_server();
        });
        cluster.start_server();
        assert_eq!(shown(&cluster), before, "round {round}");
        assert_eq!(of_job(&cluster, 1), kept, "round {round}");
    }
    cluster.hq(&["journal", "prune"]).ok();
    assert_eq!(of_job(&cluster, 1), kept);
    assert!(of_job(&cluster, 2).is_empty());
    replayed_equals_live(&mut cluster);
}
