//! `hq journal info` and `hq journal verify`, of a journal that lies still and of one that a server uses; and damage that
//! they find.
//!
//! Holds: whoever looks at a journal changes nothing of it.

use crate::harness::Cluster;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A cluster that has ended in order, after a job of five tasks, of which one failed.
fn ended() -> Cluster {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    cluster.hq(&["submit", "--array=1-4", "--wait", "true"]).ok();
    cluster.hq(&["submit", "--name=bad", "--wait", "false"]).ok();
    let live = cluster.json(&["journal", "verify", "journal"]);
    assert_eq!((&live["jobs"], &live["tasks"]), (&2.into(), &5.into()), "{live}");
    let live = cluster.json(&["journal", "info", "journal"]);
    assert!(live["in_use_by"].as_str().is_some_and(|user| user.contains("process")), "{live}");
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    cluster
}

fn tail_of(cluster: &Cluster) -> PathBuf {
    let files = std::fs::read_dir(cluster.work().join("journal")).unwrap();
    let mut tails: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    tails.retain(|path| path.extension().is_some_and(|extension| extension == "hqt"));
    tails.sort();
    tails.pop().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_journal_that_lies_still() {
    let cluster = ended();
    let info = cluster.json(&["journal", "info", "journal"]);
    assert_eq!(info["in_use_by"], Value::Null);
    assert_eq!((&info["jobs"], &info["unfinished_jobs"], &info["starts"]), (&2.into(), &0.into(), &1.into()));
    assert_eq!(info["server_uid"].as_str().map(str::len), Some(6));
    let of = &info["bytes_of"];
    let parts = ["tail", "log", "checkpoints", "other"].map(|part| of[part].as_u64().unwrap());
    assert_eq!(info["bytes"], parts.iter().sum::<u64>());
    assert!(parts[0] > 500, "{info}");
    assert!(info["restart"]["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{info}");
    assert!(info["first_time"].as_str() <= info["last_time"].as_str(), "{info}");
    let table = cluster.hq(&["journal", "info", "journal"]).ok();
    assert_eq!(table.cell("In use by"), "nobody");
    assert_eq!(table.cell("Jobs"), "2 (0 not completed)");

    let check = cluster.json(&["journal", "verify", "journal"]);
    assert_eq!((&check["jobs"], &check["tasks"], &check["damage"]), (&2.into(), &5.into(), &Value::Array(vec![])));
    assert_eq!(check["last_record"], info["last_record"]);
    assert_eq!(cluster.hq(&["journal", "verify", "journal"]).ok().cell("Damage"), "none");
    let quiet = cluster.hq(&["--output-mode=quiet", "journal", "verify", "journal"]).ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn damage_is_found_by_name_and_exit_code() {
    let mut cluster = ended();
    cluster.has_damage = true;
    let tail = tail_of(&cluster);
    flip(&tail, 200);
    let done = cluster.hq(&["journal", "verify", "journal"]).code(1);
    done.says("is damaged").says(tail.file_name().unwrap().to_str().unwrap()).prints("| Damage");
    let done = cluster.hq(&["--output-mode=json", "journal", "verify", "journal"]).code(1);
    assert_eq!(done.json()["damage"].as_array().map(Vec::len), Some(1));
    let done = cluster.hq(&["--output-mode=quiet", "journal", "verify", "journal"]).code(1);
    assert_eq!(done.stdout, "");
    cluster.hq(&["journal", "info", "journal"]).code(1).says("Cannot open event log file at `journal`: ");
    flip(&tail, 200);
    cluster.hq(&["journal", "verify", "journal"]).ok();
}

#[test]
fn what_is_no_journal_or_of_another_server() {
    let cluster = Cluster::start_with(&["--journal=journal"]);
    for command in ["info", "verify"] {
        let missing = cluster.hq(&["journal", command, "missing"]).code(1);
        missing.says("Cannot open event log file at `missing`: No such file");
        cluster.hq(&["journal", command, "."]).code(1).says("the directory holds no journal");
        let mut other = cluster.command(&["journal", command, "journal"]);
        other.env("HQ_SERVER_DIR", cluster.path().join("nowhere"));
        cluster.run(other, b"", command).code(1).says("it is in use by process").says("--server-dir");
        let dir = cluster.server_dir();
        let mut given = cluster.command(&["--server-dir", dir.to_str().unwrap(), "journal", command, "journal"]);
        given.env("HQ_SERVER_DIR", cluster.path().join("nowhere"));
        cluster.run(given, b"", command).ok();
    }
}
