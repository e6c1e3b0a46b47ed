//! Disks that are really full: a small tmpfs under the journal, or under the whole server directory.
//!
//! A full disk is the most usual trouble of all, and the worst moment to say yes to something that is then forgotten.
//!
//! Holds: what was acknowledged is there after any crash, what was refused is nowhere; questions are answered meanwhile,
//! tasks run on, each runs once, and everything is as usual by itself once there is space.

use crate::harness::{Cluster, wait_until_or};
use crate::seed::{Seed, number_from_env};
use crate::small_disk::SmallDisk;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Fillings in one run; the variable `HQ_CAMPAIGN` asks for another number.
const ROUNDS: u64 = 6;
/// Largest space that is left, in bytes.
const FREE_BYTES_MAX: u64 = 1024 * 1024;
/// Size of the disk, and how much more of it there is for what each round leaves in the journal.
const DISK_KIB: u64 = 16 * 1024;
const ROUND_KIB: u64 = 2 * 1024;

/// What is found out about a full disk besides what is promised.
#[derive(Default)]
struct Tally {
    taken: BTreeSet<String>,
    refused: BTreeSet<String>,
    slowest: Duration,
    failed_starts: u32,
}

/// Whether others take what the server gives up, while it needs it.
struct Greed(AtomicBool);

/// Ends that when it is dropped, also by a failing test.
struct Sated<'a>(&'a Greed);

impl Drop for Sated<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// What the next round does.
#[derive(Debug)]
struct Round {
    number: u64,
    free_bytes: u64,
    /// Whether others take what the server frees.
    greedy: bool,
    /// Whether the server is killed while the disk is full.
    killed: bool,
    /// Whether it is then started before there is space.
    started_full: bool,
}

#[test]
fn a_full_disk_under_the_journal() {
    let mut cluster = Cluster::offline();
    let at = cluster.path().join("disk");
    std::fs::create_dir(&at).unwrap();
    cluster.server_args.push(format!("--journal={}", at.join("journal").display()));
    let rounds = number_from_env("HQ_CAMPAIGN").unwrap_or(ROUNDS);
    campaign(cluster, &at, rounds);
}

#[test]
fn a_full_disk_under_the_server_directory() {
    let cluster = Cluster::offline();
    let at = cluster.server_dir();
    std::fs::create_dir(&at).unwrap();
    let rounds = number_from_env("HQ_CAMPAIGN").unwrap_or(ROUNDS / 2);
    campaign(cluster, &at, rounds);
}

fn campaign(mut cluster: Cluster, at: &std::path::Path, rounds: u64) {
    let Some(disk) = SmallDisk::mount(at, DISK_KIB + rounds * ROUND_KIB) else { return };
    cluster.wrapper = disk.wrapper(&cluster.work());
    cluster.is_hidden = at == cluster.server_dir();
    let mut seed = Seed::from_env();
    cluster.start_server();
    cluster.start_worker(4);
    let mut tally = Tally::default();
    for number in 0..rounds {
        let round = Round {
            number,
            free_bytes: FREE_BYTES_MAX * number / rounds.max(2).saturating_sub(1),
            greedy: number % 2 == 1,
            killed: seed.below(2) == 0,
            started_full: seed.below(2) == 0,
        };
        eprintln!("{round:?}");
        play(&mut cluster, &disk, &round, &mut tally);
    }
    eprintln!(
        "{rounds} fillings: {} changes acknowledged, {} refused, {} times back to what is recorded, {} starts failed on a full \
         disk, as usual again after {:?} at the latest",
        tally.taken.len(),
        tally.refused.len(),
        cluster.logs().matches("Going back to what is recorded").count(),
        tally.failed_starts,
        tally.slowest
    );
    assert!(!tally.taken.is_empty() && tally.refused.len() as u64 >= rounds);
}

fn play(cluster: &mut Cluster, disk: &SmallDisk, round: &Round, tally: &mut Tally) {
    let gate = format!("go-{}", round.number);
    let runs = format!("runs-{}", round.number);
    let script = format!("until test -e {gate}; do sleep 0.02; done; echo x >> {runs}");
    let name = format!("--name=gate-{}", round.number);
    let job = cluster.submit(&[&name, "--array=1-3", "--", "sh", "-c", &script]);
    tally.taken.insert(name["--name=".len()..].to_owned());
    wait_until_or("three tasks run", || cluster.logs(), || running(cluster, job) == 3);

    disk.fill(round.free_bytes);
    let greed = Greed(AtomicBool::new(round.greedy));
    std::thread::scope(|scope| {
        let _sated = Sated(&greed);
        scope.spawn(|| {
            while greed.0.load(Ordering::Relaxed) {
                disk.fill_more();
            }
        });
        fill_up_with_jobs(cluster, round, tally);
    });
    cluster.write(&gate, "");
    wait_until_or("the tasks have run", || cluster.logs(), || lines(cluster, &runs) == 3);
    questions_are_answered(cluster, tally);

    if round.killed {
        cluster.kill_server();
        if round.started_full && cluster.try_to_start_server().is_ok() {
            questions_are_answered(cluster, tally);
        } else {
            tally.failed_starts += u32::from(round.started_full);
            disk.free();
            cluster.start_server();
        }
    }
    disk.free();
    let begun = Instant::now();
    let mut tries = 0;
    let is_taken = || {
        tries += 1;
        submit(cluster, &format!("after-{}-{tries}", round.number), tally)
    };
    wait_until_or("changes are taken", || cluster.logs(), is_taken);
    cluster.wait_job(job, "FINISHED");
    tally.slowest = tally.slowest.max(begun.elapsed());
    assert_eq!(lines(cluster, &runs), 3, "tasks ran twice\n{}", cluster.logs());
    questions_are_answered(cluster, tally);
    assert_eq!(cluster.json(&["server", "info"]).get("journal_trouble"), None);
}

/// Submits until nothing more is taken.
fn fill_up_with_jobs(cluster: &Cluster, round: &Round, tally: &mut Tally) {
    let mut number = 0;
    wait_until_or(
        "a change is refused",
        || cluster.logs(),
        || {
            number += 1;
            !submit(cluster, &format!("fill-{}-{number}", round.number), tally)
        },
    );
    for number in 0..3 {
        assert!(!submit(cluster, &format!("more-{}-{number}", round.number), tally), "{}", cluster.logs());
    }
}

/// Submits a job that takes a lot of space in the journal; whether it was acknowledged.
fn submit(cluster: &Cluster, name: &str, tally: &mut Tally) -> bool {
    let ballast = format!("--env=BALLAST={}", "x".repeat(60_000));
    let done = cluster.hq(&["submit", &format!("--name={name}"), &ballast, "--", "/bin/true"]);
    let is_taken = done.code == Some(0);
    if is_taken {
        tally.taken.insert(name.to_owned());
    } else {
        assert_eq!(done.code, Some(1), "{done}");
        assert!(done.stderr.contains("journal cannot be written") && done.stderr.contains("full"), "{done}");
        tally.refused.insert(name.to_owned());
    }
    is_taken
}

/// Everything that was acknowledged is shown, and nothing that was refused.
fn questions_are_answered(cluster: &Cluster, tally: &Tally) {
    let jobs = cluster.json(&["job", "list", "--all"]);
    let shown: BTreeSet<String> = names(&jobs).collect();
    assert_eq!(shown, tally.taken, "{}", cluster.logs());
    cluster.hq(&["job", "info", "last"]).ok();
    cluster.hq(&["worker", "list", "--all"]).ok();
    cluster.hq(&["server", "info"]).ok();
}

fn names(jobs: &Value) -> impl Iterator<Item = String> + '_ {
    jobs.as_array().into_iter().flatten().filter_map(|job| job["name"].as_str().map(str::to_owned))
}

fn running(cluster: &Cluster, job: u32) -> u64 {
    let id = job.to_string();
    let jobs = cluster.json(&["job", "info", &id]);
    jobs[0]["info"]["task_stats"]["running"].as_u64().unwrap_or(0)
}

fn lines(cluster: &Cluster, name: &str) -> usize {
    std::fs::read_to_string(cluster.work().join(name)).unwrap_or_default().lines().count()
}
