//! kill -9 of `hq journal repair`.
//!
//! Who repairs has had bad luck already; the repair must not be the next piece of it.
//!
//! Holds: whatever the moment, the name of the journal has the damaged journal, or the repaired one with the damaged one
//! beside it; the same command finishes what was begun, and leaves nothing else.

use crate::harness::{Cluster, is_alive, signal_to};
use crate::seed::{Seed, rounds};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Kills in one run of all tests.
const KILLS: u64 = 20;
/// Jobs in the journal: enough that writing it takes a part of the time.
const JOBS: usize = 40;

/// The files of a directory, but for the lock, which says who had it last.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false if entry.file_name() == "lock" => {}
                false => {
                    drop(all.insert(
                        entry.path().strip_prefix(dir).unwrap().to_owned(),
                        std::fs::read(entry.path()).unwrap(),
                    ))
                }
            }
        }
    }
    all
}

/// Names that begin as that of the journal.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("journal"));
    names.sort();
    names
}

fn put(files: &BTreeMap<PathBuf, Vec<u8>>, dir: &Path) {
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// A journal with a damaged record in its midst.
fn damaged(cluster: &mut Cluster) -> BTreeMap<PathBuf, Vec<u8>> {
    for number in 0..JOBS {
        cluster.hq(&["submit", &format!("--name=marker-{number}x"), "--", "true"]).ok();
    }
    cluster.kill_server();
    let mut all = files(&cluster.work().join("journal"));
    let spoil = |content: &mut Vec<u8>| {
        let at = content.windows(10).position(|window| window == b"marker-20x")?;
        content[at] ^= 0x20;
        Some(())
    };
    assert!(all.values_mut().filter_map(spoil).count() > 0);
    all
}

/// Removes everything that belongs to the journal.
fn clear(work: &Path) {
    for name in names(work) {
        std::fs::remove_dir_all(work.join(name)).unwrap();
    }
}

#[test]
fn a_killed_repair_can_be_repeated() {
    let mut seed = Seed::from_env();
    let kills = rounds(KILLS);
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    let damaged = damaged(&mut cluster);
    let (work, words) = (cluster.work(), ["journal", "repair", "journal"]);
    clear(&work);
    put(&damaged, &work.join("journal"));
    let since = Instant::now();
    cluster.hq(&words).ok();
    let life = since.elapsed();
    let exported = cluster.hq(&["journal", "export", "journal"]).ok().stdout.lines().count();
    let (mut before, mut after) = (0, 0);
    for round in 0..kills {
        clear(&work);
        put(&damaged, &work.join("journal"));
        let mut repair = cluster.command(&words).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(seed.below(u64::try_from(life.as_micros()).unwrap() * 5 / 4)));
        signal_to(repair.id(), Signal::SIGKILL);
        repair.wait().unwrap();
        assert!(!is_alive(repair.id()));
        let found = names(&work);
        let has_damaged = |name: &&String| files(&work.join(name)) == damaged;
        assert_eq!(found.iter().filter(has_damaged).count(), 1, "round {round}: {found:?}");
        if files(&work.join("journal")) == damaged {
            before += 1;
        } else {
            cluster.hq(&["journal", "verify", "journal"]).ok();
            after += 1;
        }
        cluster.hq(&words).ok();
        cluster.hq(&["journal", "verify", "journal"]).ok();
        assert_eq!(cluster.hq(&["journal", "export", "journal"]).ok().stdout.lines().count(), exported);
        let found = names(&work);
        assert_eq!(found.iter().filter(has_damaged).count(), 1, "round {round}: {found:?}");
        let unfinished: Vec<&String> = found.iter().filter(|name| name.contains("unfinished")).collect();
        assert!(unfinished.is_empty(), "round {round}: {unfinished:?}");
    }
    eprintln!("{kills} kills: {before} before the new journal was in its place, {after} after");
}
