//! kill -9 of the server under load, again and again.
//!
//! The promise that everything else rests on: what somebody was told is still true after any crash.
//!
//! Holds: nothing that was told is lost, no id is given twice, and no task runs a second time, since its worker lives.

use crate::caller::Caller;
use crate::harness::{Cluster, is_alive, wait_until_or};
use crate::ledger::{elements, number};
use crate::load::{Load, Stop};
use crate::replay::{replayed_equals_live, shown};
use crate::seed::{Seed, number_from_env};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// Kills in one run; the variable `HQ_CAMPAIGN` asks for another number.
const KILLS: u64 = 50;
const CLIENTS: usize = 3;
/// Longest time from the server's answer to its death, where that is a matter of time.
const LIFE_MS_MAX: u64 = 400;
/// Longest life of a server that is killed while it starts.
const START_MS_MAX: u64 = 120;

#[test]
fn kills_under_load() {
    let mut seed = Seed::from_env();
    let kills = number_from_env("HQ_CAMPAIGN").unwrap_or(KILLS);
    let mut cluster = Cluster::start();
    std::fs::create_dir(cluster.work().join("runs")).unwrap();
    cluster.start_worker(4);
    let load = Load::default();
    let clients: Vec<(Caller, Seed)> = (0..CLIENTS).map(|_| (Caller::of(&cluster), seed.split())).collect();
    thread::scope(|scope| {
        let _stop = Stop(&load);
        for (caller, seed) in clients {
            let load = &load;
            scope.spawn(move || load.client(&caller, seed));
        }
        let mut killed = 0;
        while killed < kills {
            wait_for_the_moment(&cluster, &load, &mut seed);
            cluster.kill_server();
            killed += 1;
            if seed.below(5) == 0 {
                kill_at_the_start(&cluster, &mut seed);
                killed += 1;
            }
            cluster.start_server();
            assert!(is_alive(cluster.worker_pid(0)), "the worker is gone\n{}", cluster.logs());
            let told = load.ledger().clone();
            told.check(&cluster);
        }
    });
    everything_ends(&cluster, &load);
    replayed_equals_live(&mut cluster);
    load.ledger().check(&cluster);
}

/// Some moments matter more than others: that after an acknowledgement, and that after the end of a job was told.
fn wait_for_the_moment(cluster: &Cluster, load: &Load, seed: &mut Seed) {
    let (jobs, waits) = load.counts();
    match seed.below(3) {
        0 => thread::sleep(Duration::from_millis(seed.below(LIFE_MS_MAX))),
        1 => wait_until_or("a job is acknowledged", || cluster.logs(), || load.counts().0 > jobs),
        _ => wait_until_or("the end of a job is told", || cluster.logs(), || load.counts().1 > waits),
    }
}

/// Kills a server that may not have finished its start.
fn kill_at_the_start(cluster: &Cluster, seed: &mut Seed) {
    let mut command = cluster.command(&["server", "start", "--host=localhost"]);
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_millis(seed.below(START_MS_MAX)));
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Waits for all jobs, acknowledged or not, and counts the executions.
fn everything_ends(cluster: &Cluster, load: &Load) {
    cluster.hq(&["job", "wait", "all"]).ok();
    let (jobs, tasks) = shown(cluster);
    let mut ledger = load.ledger();
    ledger.enter_tasks(&tasks);
    ledger.check(cluster);
    let mut executions = 0;
    let ids: Vec<u64> = elements(&jobs).map(|job| number(&job["id"])).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "ids have gaps");
    for job in elements(&jobs) {
        let (id, count) = (number(&job["id"]), number(&job["task_count"]));
        assert_eq!(number(&job["task_stats"]["finished"]), count, "{job}");
        let mut ran: Vec<u64> = cluster.read(&format!("runs/{id}")).lines().map(|id| id.parse().unwrap()).collect();
        ran.sort_unstable();
        assert_eq!(ran, (1..=count).collect::<Vec<_>>(), "tasks of job {id} that ran\n{}", cluster.logs());
        executions += count;
    }
    let (told, waits) = (ledger.submitted.len(), ledger.waits);
    eprintln!("{} jobs, of which {told} were acknowledged; {waits} ends told; {executions} executions", ids.len());
    assert!(told > 0 && waits > 0);
}
