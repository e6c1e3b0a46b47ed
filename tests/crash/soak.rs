//! A cluster at work for a while, with a random fault every few seconds.
//!
//! What leaks does so slowly: a file, a socket, a directory, some memory for each worker that came and went. And faults
//! that are harmless alone may not be so one after the other.
//!
//! Holds: everything that the load was told stays true; at the end each process has the files that it had at the beginning,
//! about the memory, and nothing of what died is left.

use crate::harness::{Cluster, signal_to, wait_until_or};
use crate::kills::everything_ends;
use crate::kinds::Interruptions;
use crate::load::Load;
use crate::replay::replayed_equals_live;
use crate::seed::{Seed, rounds};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Faults in one run of all tests.
const FAULTS: u64 = 12;
/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(1_500);
/// How long something is frozen.
const FREEZE: Duration = Duration::from_millis(1_500);
/// How much memory a process may have gained, in KiB: what its allocator keeps.
const GROWTH_KIB_MAX: u64 = 32 * 1024;
/// How much more the server may have, in KiB, for each job that is not forgotten.
const JOB_KIB_MAX: u64 = 4;

/// Files that come with the first use of something: a stream, a segment of the journal, a connection kept for another.
const FILES_MORE_MAX: usize = 4;

/// What can go wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    WorkerKilled,
    WorkerEnded,
    WorkerFrozen,
    ServerKilled,
    ServerEnded,
    ServerFrozen,
    Strangers,
    ClientKilled,
}

const ALL: [Fault; 8] = [
    Fault::WorkerKilled,
    Fault::WorkerEnded,
    Fault::WorkerFrozen,
    Fault::ServerKilled,
    Fault::ServerEnded,
    Fault::ServerFrozen,
    Fault::Strangers,
    Fault::ClientKilled,
];

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    files: usize,
    memory_kib: u64,
}

fn held(pid: u32) -> Held {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let memory_kib = line.trim().trim_end_matches(" kB").parse().expect("a number");
    Held { files, memory_kib }
}

/// Waits until a process has about as many files as before; connections that were closed a moment ago are still there. It
/// may know of so many jobs more.
fn as_before(what: &str, pid: u32, before: Held, jobs: u64) -> Held {
    wait_until_or(
        &format!("{what} has as many files as before"),
        || format!("{before:?} {:?}", held(pid)),
        || held(pid).files <= before.files + FILES_MORE_MAX,
    );
    let after = held(pid);
    let memory_kib_max = before.memory_kib + GROWTH_KIB_MAX + jobs * JOB_KIB_MAX;
    assert!(after.memory_kib < memory_kib_max, "{what}: {before:?} {after:?}, {jobs} jobs");
    after
}

/// Makes something go wrong; gives the worker that may die, which may be another one then.
fn fault(cluster: &mut Cluster, fault: Fault, worker: usize) -> usize {
    match fault {
        Fault::WorkerKilled => {
            cluster.kill_worker(worker);
            return cluster.start_worker(2);
        }
        Fault::WorkerEnded => {
            cluster.signal_worker(worker, Signal::SIGTERM);
            assert!(cluster.worker_ends(worker).success());
            return cluster.start_worker(2);
        }
        Fault::WorkerFrozen => freeze(cluster.worker_pid(worker)),
        Fault::ServerKilled => {
            cluster.kill_server();
            cluster.start_server();
        }
        Fault::ServerEnded => {
            cluster.signal_server(Signal::SIGTERM);
            assert!(cluster.server_ends().success());
            cluster.start_server();
        }
        Fault::ServerFrozen => freeze(cluster.server_pid()),
        Fault::Strangers => strangers(cluster),
        Fault::ClientKilled => {
            let mut client = cluster.command(&["job", "wait", "all"]).spawn().expect("a client");
            sleep(Duration::from_millis(200));
            // It may have ended already.
            let _ = client.kill();
            client.wait().expect("an ended client");
        }
    }
    worker
}

fn freeze(pid: u32) {
    signal_to(pid, Signal::SIGSTOP);
    sleep(FREEZE);
    signal_to(pid, Signal::SIGCONT);
}

/// Connections that say nonsense, or nothing, and go away.
fn strangers(cluster: &Cluster) {
    let info = cluster.json(&["server", "info"]);
    for role in ["client_port", "worker_port"] {
        let port = info[role].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let mut all: Vec<TcpStream> = (0..10).filter_map(|_| TcpStream::connect(("127.0.0.1", port)).ok()).collect();
        for stream in &mut all {
            // The server may have closed it.
            let _ = stream.write_all(b"nonsense of somebody who has no key");
        }
    }
}

/// What is in the server directory beside the journal, the link, and the directory of each start.
fn strange_files(cluster: &Cluster) -> Vec<String> {
    let entries = std::fs::read_dir(cluster.server_dir()).expect("a directory").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_known = |name: &String| matches!(name.as_str(), "journal" | "hq-current") || name.parse::<u32>().is_ok();
    names.filter(|name| !is_known(name)).collect()
}

#[test]
fn a_soak_leaves_nothing_behind() {
    let mut seed = Seed::from_env();
    let (faults, since) = (rounds(FAULTS), Instant::now());
    let mut cluster = Cluster::start();
    let survivor = cluster.start_worker(2);
    let mut worker = cluster.start_worker(2);
    cluster.hq(&["job", "list"]).ok();
    let before = (held(cluster.server_pid()), held(cluster.worker_pid(survivor)));
    let ledger = Load::default().around(&mut cluster, &mut seed, |cluster, seed, load| {
        for _ in 0..faults {
            sleep(PAUSE);
            worker = fault(cluster, seed.choose(&ALL), worker);
            load.check(cluster);
        }
    });
    everything_ends(&cluster, ledger.clone(), Interruptions::Some);
    let jobs = ledger.submitted.len() as u64;
    let server = as_before("the server", cluster.server_pid(), before.0, jobs);
    let kept = as_before("the worker that lived", cluster.worker_pid(survivor), before.1, 0);
    eprintln!(
        "{faults} faults in {:?}, {jobs} jobs; server {:?}, then {server:?}; worker {:?}, then {kept:?}",
        since.elapsed(),
        before.0,
        before.1
    );
    replayed_equals_live(&mut cluster);
    ledger.check(&cluster);
    assert_eq!(strange_files(&cluster), [""; 0]);
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    for number in [survivor, worker] {
        assert!(cluster.worker_ends(number).success());
    }
    assert_eq!(std::fs::read_dir(cluster.tmp()).expect("a directory").count(), 0);
}
