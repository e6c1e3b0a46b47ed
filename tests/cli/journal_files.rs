//! What a server makes of damaged and foreign files in the place of its journal.
//!
//! Nothing is guessed around: an unfinished write is cut and kept, anything else is refused by name, and what was there is
//! there afterwards, byte for byte.
//!
//! Holds: where a server does not start, no file of the journal is changed.

use crate::harness::{Cluster, Done};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A journal of a server that was killed after three submits and a start.
fn written() -> Cluster {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.has_damage = true;
    for name in ["one", "two", "three"] {
        cluster.hq(&["submit", "--", "echo", &format!("marker-{name}")]).ok();
    }
    cluster.kill_server();
    cluster
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    // The page store is opened to be read, which is a write for sled; the lock says who looked last.
    let kept = entries.filter(|path| path.is_file() && path.file_name().is_some_and(|name| name != "lock"));
    kept.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn tail(dir: &Path) -> PathBuf {
    files(dir).into_keys().rfind(|path| path.extension().is_some_and(|end| end == "hqt")).unwrap()
}

/// Where a text stands in the newest tail file.
fn place_of(dir: &Path, text: &str) -> usize {
    let bytes = fs::read(tail(dir)).unwrap();
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

fn start(cluster: &Cluster) -> Done {
    cluster.hq(&["server", "start", "--host=localhost", "--journal=journal"])
}

#[test]
fn what_is_damaged_is_refused_and_left_as_it_is() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 7] = [
        ("a byte of a record", |dir| edit(dir, "marker-two", |byte| byte ^ 1), "is damaged between"),
        ("a byte of the first head", |dir| change(&tail(dir), |bytes| bytes[5] ^= 1), "the head of the tail file"),
        ("zeros in the middle", |dir| edit(dir, "marker-one", |_| 0), "is damaged between"),
        ("another layout", |dir| change(&tail(dir), |bytes| bytes[4] = 9), "the head of the tail file is not intact"),
        ("an end that is cut off", |dir| change(&tail(dir), |bytes| bytes.truncate(100)), "were durable"),
        ("an empty tail file", |dir| change(&tail(dir), Vec::clear), "the head of the tail file is not intact"),
        ("no tail file", |dir| fs::remove_file(tail(dir)).unwrap(), "are missing"),
    ];
    for (what, spoil, words) in cases {
        let mut cluster = written();
        // What was durable is marked within a second of the next commit, or at an orderly end.
        cluster.start_server();
        cluster.hq(&["server", "stop"]).ok();
        assert!(cluster.server_ends().success());
        let dir = cluster.work().join("journal");
        spoil(&dir);
        let before = files(&dir);
        let done = start(&cluster);
        assert_eq!(done.code, Some(1), "{what}: {done}");
        assert!(done.stderr.contains(words) && done.stderr.contains("hq journal repair"), "{what}: {done}");
        assert!(files(&dir) == before, "{what}: files have changed");
        cluster.hq(&["server", "info"]).code(1);
    }
}

fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn edit(dir: &Path, text: &str, to: fn(u8) -> u8) {
    let at = place_of(dir, text);
    change(&tail(dir), |bytes| bytes[at] = to(bytes[at]));
}

#[test]
fn an_unfinished_write_is_cut_and_kept() {
    let mut cluster = written();
    let dir = cluster.work().join("journal");
    // As power loss leaves it: the last record is there in part.
    change(&tail(&dir), |bytes| bytes.extend_from_slice(&[0xf5, 0x68, 0x71, 0x1a, 1, 0, 20]));
    cluster.start_server();
    assert!(cluster.logs().contains("the last write was not finished: 7 bytes"), "{}", cluster.logs());
    let cut: Vec<PathBuf> = files(&dir).into_keys().filter(|path| path.to_string_lossy().contains("/cut-")).collect();
    assert_eq!(fs::read(&cut[0]).unwrap().len(), 7);
    assert_eq!(cluster.json(&["job", "list", "--all"]).as_array().map(Vec::len), Some(3));
    cluster.hq(&["journal", "verify", "journal"]).ok();
}

#[test]
fn what_is_no_journal() {
    let cluster = Cluster::offline();
    for content in ["", "hqjl0005 of another program"] {
        cluster.write("journal", content);
        start(&cluster).code(1).says("journal").says("is not a directory");
        assert_eq!(cluster.read("journal"), content);
    }
    fs::remove_file(cluster.work().join("journal")).unwrap();
    // A directory that is empty, or whose journal has only begun, is a new journal.
    fs::create_dir(cluster.work().join("journal")).unwrap();
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(cluster.json(&["job", "list", "--all"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn a_restart_tells_the_same_of_what_ended() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(1);
    cluster.write("no-directory", "a file");
    // A task that fails before it starts, in a job that is complete.
    let words = ["submit", "--stdout=no-directory/out", "--wait", "--", "true"];
    cluster.hq(&words).ok();
    // An open job with several submits, some of whose tasks have ended.
    cluster.hq(&["job", "open", "--max-fails=5"]).ok();
    for words in [&["true"][..], &["false"], &["--cpus=9", "true"]] {
        let words: Vec<&str> = ["submit", "--job=2"].iter().chain(words).copied().collect();
        cluster.hq(&words).ok();
    }
    let states = |cluster: &Cluster| {
        let info = cluster.json(&["job", "info", "2"]);
        let stats = &info[0]["info"]["task_stats"];
        ["waiting", "running", "finished", "failed"].map(|state| stats[state].as_u64().unwrap())
    };
    crate::harness::wait_until("two tasks have ended", || states(&cluster) == [1, 0, 1, 1]);
    let told = |cluster: &Cluster| (cluster.tasks(1), cluster.job_state(1), cluster.tasks(2));
    let before = told(&cluster);
    assert_eq!(before.1.as_deref(), Some("FAILED"));
    for _ in 0..2 {
        cluster.kill_server();
        cluster.start_server();
        assert_eq!(states(&cluster), [1, 0, 1, 1]);
        assert_eq!(told(&cluster), before);
    }
    // What is in the list is still an open job: it takes more, and is completed at its end.
    cluster.hq(&["job", "cancel", "2"]).ok();
    cluster.hq(&["job", "close", "2"]).ok();
    cluster.wait_job(2, "FAILED");
}
