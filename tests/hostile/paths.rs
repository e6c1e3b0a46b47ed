//! Names and links that try to become paths.
//!
//! Users, and programs that submit for them, give names to everything; directories are shared, and links can be put
//! into them.
//!
//! Holds: no name of a job, a worker or a group is ever part of a path; a planted link is neither written through nor
//! read as output.

use crate::harness::Cluster;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A name that would lead out of every directory of the program.
const CLIMBING: &str = "../../../climbed";

/// Paths below `dir` whose last part has `text` in it.
fn named(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains(text)) {
            found.push(path.clone());
        }
        if path.is_dir() && !path.is_symlink() {
            found.extend(named(&path, text));
        }
    }
    found
}

#[test]
fn names_never_become_paths() {
    let mut cluster = Cluster::start();
    let (host, group) = (format!("--hostname={CLIMBING}"), format!("--group={CLIMBING}"));
    cluster.start_worker_with(&["--cpus=1", &host, &group]);
    let (name, tag) = (format!("--name={CLIMBING}"), format!("--tag=key={CLIMBING}"));
    let stream = format!("--stream={}", cluster.work().join("stream-%{JOB_ID}").display());
    cluster.hq(&["submit", "--wait", &name, &tag, "--task-dir", "--array=1-3", "--", "true"]).ok();
    cluster.hq(&["submit", "--wait", &name, &stream, "--", "sh", "-c", "echo out"]).ok();
    cluster.hq(&["submit", "--wait", &name, "--nodes=1", "--task-dir", "--", "true"]).ok();
    assert_eq!(named(cluster.path(), "climbed"), Vec::<PathBuf>::new());
    assert!(cluster.work().join("stream-2").is_dir());
}

#[test]
fn planted_links_are_not_written_through() {
    let mut cluster = Cluster::start();
    cluster.start_worker(1);
    let (dir, theirs) = (cluster.work().join("stream"), cluster.work().join("theirs"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(&theirs, "of somebody else").unwrap();
    for name in ["a.hqs", "planted0link.hqs"] {
        symlink(&theirs, dir.join(name)).unwrap();
    }
    symlink("/nowhere/at/all", dir.join("dangling.hqs")).unwrap();
    let stream = format!("--stream={}", dir.display());
    cluster.hq(&["submit", "--wait", &stream, "--", "sh", "-c", "echo mine"]).ok();
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "of somebody else");
    let dir = dir.display().to_string();
    let shown = cluster.hq(&["output-log", &dir, "show"]).stdout;
    assert_eq!(shown, "1.0:0> mine\n");
}

#[test]
fn a_stream_directory_that_is_a_link_to_nowhere_fails_the_task_with_the_reason() {
    let mut cluster = Cluster::start();
    cluster.start_worker(1);
    let link = cluster.work().join("stream");
    symlink(cluster.work().join("not/there"), &link).unwrap();
    let stream = format!("--stream={}", link.display());
    let job = cluster.submit(&[&stream, "--", "sh", "-c", "echo mine"]);
    cluster.wait_job(job, "FAILED");
    let shown = cluster.hq(&["task", "info", &job.to_string(), "0"]).ok().stdout;
    assert!(shown.contains("Cannot create stream directory"), "{shown}");
    assert!(!cluster.work().join("not").exists());
}

#[test]
fn a_planted_link_does_not_become_the_lock_of_a_directory() {
    let mut cluster = Cluster::start();
    cluster.start_worker(1);
    let (dir, theirs) = (cluster.work().join("stream"), cluster.work().join("theirs"));
    let stream = format!("--stream={}", dir.display());
    cluster.hq(&["submit", "--wait", &stream, "--", "sh", "-c", "echo mine"]).ok();
    std::fs::write(&theirs, "of somebody else").unwrap();
    let lock = dir.join(".compact.lock");
    symlink(&theirs, &lock).unwrap();
    let shown = dir.display().to_string();
    cluster.hq(&["output-log", &shown, "compact"]).code(1).says(".compact.lock");
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "of somebody else");
    symlink(cluster.work().join("nowhere"), dir.join("other")).unwrap();
    std::fs::rename(dir.join("other"), &lock).unwrap();
    cluster.hq(&["output-log", &shown, "compact"]).code(1).says(".compact.lock");
    assert!(!cluster.work().join("nowhere").exists());
}
