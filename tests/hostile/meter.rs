//! What an attack costs: memory, log, and the patience of the owner.
//!
//! The promise is a figure, so it is measured on the real process: the largest resident size since the attack began,
//! and the longest time that the owner's own client had to wait while it lasted.
//!
//! Holds: every look is a fresh connection and needs the thread of the state; the peak is the kernel's own count.

use crate::harness::Cluster;
use crate::peer::{access_of, look, runtime};
use hyperqueue::VERSION;
use hyperqueue::wire::Role;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long strangers may make the owner wait for an answer.
pub const STRANGERS_PATIENCE: Duration = Duration::from_secs(1);
/// How long a holder of a key may. Its messages are read and decoded, some of them megabytes, so that on a slow machine
/// they are felt.
pub const PEER_PATIENCE: Duration = Duration::from_secs(10);
/// How much memory strangers may cost, in KiB.
pub const STRANGERS_KIB_MAX: u64 = 16 * 1024;
/// How much memory one clumsy or wicked holder of a key may cost, in KiB.
pub const PEER_KIB_MAX: u64 = 64 * 1024;
/// How much strangers may make the server write into its log, in bytes.
pub const LOG_BYTES_MAX: u64 = 64 * 1024;
/// Pause between two looks of the owner.
const PAUSE: Duration = Duration::from_millis(20);

/// Watches a server from the beginning of an attack.
pub struct Meter {
    pid: u32,
    log: PathBuf,
    log_bytes: u64,
    resident_kib: u64,
    stop: Arc<AtomicBool>,
    owner: JoinHandle<Result<Vec<Duration>, String>>,
}

/// What it came to.
#[derive(Debug)]
pub struct Cost {
    /// Growth of the largest resident size, in KiB.
    pub memory_kib: u64,
    /// Growth of the log, in bytes.
    pub log_bytes: u64,
    /// Looks of the owner.
    pub looks: usize,
    /// The longest of them.
    pub longest: Duration,
}

impl Meter {
    /// Begins; the owner looks from now on without pause.
    pub fn start(cluster: &Cluster) -> Self {
        let pid = cluster.server_pid();
        let access = access_of(&cluster.server_dir(), Role::Client);
        let (port, identity) = (access.endpoint.port, access.identity(VERSION));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (warm, is_warm) = std::sync::mpsc::sync_channel(1);
        let owner = std::thread::spawn(move || {
            let runtime = runtime();
            let mut looks = Vec::new();
            while !stopped.load(Ordering::Relaxed) || looks.len() < 3 {
                let begun = Instant::now();
                runtime.block_on(look(port, &identity))?;
                looks.push(begun.elapsed());
                // The first looks make the server allocate what every use of it does.
                let _ = warm.try_send(());
                std::thread::sleep(PAUSE);
            }
            Ok(looks)
        });
        let _ = is_warm.recv();
        // Makes the kernel count the largest size from here on; see proc(5), clear_refs.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a count that starts again");
        let log = cluster.path().join("server.log");
        let log_bytes = std::fs::metadata(&log).map_or(0, |found| found.len());
        Self { pid, log, log_bytes, resident_kib: status_kib(pid, "VmRSS:"), stop, owner }
    }

    /// Ends the watch.
    #[track_caller]
    pub fn stop(self) -> Cost {
        self.stop.store(true, Ordering::Relaxed);
        let looks = self.owner.join().expect("the owner's thread").expect("an answer to each look");
        let peak = status_kib(self.pid, "VmHWM:");
        let log_bytes = std::fs::metadata(&self.log).map_or(0, |found| found.len());
        Cost {
            memory_kib: peak.saturating_sub(self.resident_kib),
            log_bytes: log_bytes.saturating_sub(self.log_bytes),
            looks: looks.len(),
            longest: looks.into_iter().max().unwrap_or_default(),
        }
    }

    /// Ends the watch; fails the test where strangers cost more than they may.
    #[track_caller]
    pub fn strangers(self) {
        self.check(STRANGERS_KIB_MAX, STRANGERS_PATIENCE);
    }

    /// Ends the watch; fails the test where one holder of a key costs more than it may.
    #[track_caller]
    pub fn peers(self) {
        self.check(PEER_KIB_MAX, PEER_PATIENCE);
    }

    /// As [`Meter::peers`], with another limit of memory in KiB.
    #[track_caller]
    pub fn within(self, memory_kib_max: u64) {
        self.check(memory_kib_max, PEER_PATIENCE);
    }

    #[track_caller]
    fn check(self, memory_kib_max: u64, patience: Duration) {
        let cost = self.stop();
        println!("{cost:?}");
        assert!(cost.memory_kib < memory_kib_max, "{cost:?}");
        assert!(cost.log_bytes < LOG_BYTES_MAX, "{cost:?}");
        assert!(cost.looks > 2 && cost.longest < patience, "{cost:?}");
    }
}

/// A size from the status of a process, in KiB.
fn status_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
