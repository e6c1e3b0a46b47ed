//! kill -9 of the server under load, again and again.
//!
//! The promise that everything else rests on: what somebody was told is still true after any crash.
//!
//! Holds: nothing that was told is lost, no id is given twice, and no task runs a second time, since its worker lives.

use crate::harness::{Cluster, is_alive};
use crate::kinds::{self, Interruptions};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::replay::{exported, replayed_equals_live, shown};
use crate::seed::{Seed, rounds};
use nix::sys::signal::Signal;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// Kills in one run of all tests.
const KILLS: u64 = 30;
/// The same while clients prune the journal as well.
const KILLS_PRUNING: u64 = 12;
/// Longest life of a server that is killed while it starts, and of one that is killed while it ends.
const START_MS_MAX: u64 = 120;
const END_MS_MAX: u64 = 60;

#[test]
fn kills_under_load() {
    let ledger = kills_under(Load::default(), rounds(KILLS));
    assert!(!ledger.asked_to_prune);
}

#[test]
fn kills_under_a_load_that_prunes() {
    let ledger = kills_under(Load::pruning(), rounds(KILLS_PRUNING));
    eprintln!("{} prunings", ledger.prunings);
    assert!(ledger.asked_to_prune);
}

/// Kills the server while a load is at work; what the clients were told.
fn kills_under(load: Load, kills: u64) -> Ledger {
    let mut seed = Seed::from_env();
    let mut cluster = Cluster::start();
    cluster.start_worker(4);
    let ledger = load.around(&mut cluster, &mut seed, |cluster, seed, load| {
        let mut killed = 0;
        while killed < kills {
            load.wait_for_the_moment(cluster, seed);
            killed += kill(cluster, seed);
            cluster.start_server();
            assert!(is_alive(cluster.worker_pid(0)), "the worker is gone\n{}", cluster.logs());
            load.check(cluster);
        }
    });
    everything_ends(&cluster, ledger.clone(), Interruptions::None);
    replayed_equals_live(&mut cluster);
    ledger.check(&cluster);
    ledger
}

/// Kills the server, in the midst of its work, of its end (when it writes down what it has), or of its next start;
/// says how many were killed.
fn kill(cluster: &mut Cluster, seed: &mut Seed) -> u64 {
    match seed.below(5) {
        0 => {
            cluster.kill_server();
            kill_at_the_start(cluster, seed);
            2
        }
        1 => {
            cluster.signal_server(Signal::SIGTERM);
            thread::sleep(Duration::from_millis(seed.below(END_MS_MAX)));
            cluster.kill_server();
            1
        }
        _ => {
            cluster.kill_server();
            1
        }
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

/// Waits for all jobs, acknowledged or not, and looks at what each left.
pub fn everything_ends(cluster: &Cluster, mut ledger: Ledger, interruptions: Interruptions) {
    cluster.hq(&["job", "wait", "all"]).ok();
    let (jobs, tasks) = shown(cluster);
    ledger.enter_tasks(&tasks);
    ledger.check(cluster);
    let mut jobs_left = kinds::finished(&jobs);
    let shown = jobs_left.len();
    for job in ledger.asked_to_forget.iter().filter(|job| !jobs_left.contains_key(job)).copied().collect::<Vec<_>>() {
        jobs_left.insert(job, (ledger.kinds[&job], ledger.submitted[&job]));
    }
    let ids: Vec<u64> = jobs_left.keys().copied().collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "ids have gaps");
    let mut executions = 0;
    for (job, (kind, count)) in &jobs_left {
        executions += kinds::check_job(cluster, *kind, *job, *count, interruptions);
    }
    assert!(!cluster.work().join("broken").exists(), "{}", cluster.read("broken"));
    let notices = kinds::check_notices(cluster, &exported(cluster), ledger.asked_to_prune);
    let (told, waits) = (ledger.submitted.len(), ledger.waits);
    eprintln!(
        "{} jobs, of which {told} were acknowledged and {} forgotten; {waits} ends and {notices} messages told; \
         {executions} executions",
        ids.len(),
        ids.len() - shown,
    );
    assert!(told > 0 && waits > 0);
}
