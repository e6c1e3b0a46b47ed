//! Keys where they do not belong: logs, command lines, environments, the journal, streams, temporary files.
//!
//! Whoever finds a key in one of these is the owner.
//!
//! Holds: while a server, a worker, commands and a task run, with all debugging on, the bytes of both keys are in the
//! access file and nowhere else.

use crate::harness::Cluster;
use serde_json::Value;
use std::path::Path;

/// The forms in which a key could lie somewhere.
fn forms(hex: &str) -> Vec<Vec<u8>> {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    assert_eq!(bytes.len(), 32);
    let list = format!("{}, {}, {}, {}", bytes[0], bytes[1], bytes[2], bytes[3]);
    let full_list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    assert!(full_list.starts_with(&list));
    vec![hex.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), base64(&bytes), full_list.into_bytes(), bytes]
}

/// Base 64 without padding; RFC 4648.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let number = (0..3).fold(0, |sum, at| sum << 8 | usize::from(group.get(at).copied().unwrap_or(0)));
        let letters = (0..=group.len()).map(move |at| LETTERS[number >> (18 - 6 * at) & 63]);
        letters.collect::<Vec<_>>()
    };
    bytes.chunks(3).flat_map(group).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every regular file below `dir`, with its content.
fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() && !path.ends_with("access.json") {
            // Files that go away meanwhile are not kept anywhere.
            found.extend(std::fs::read(&path).ok().map(|bytes| (path.display().to_string(), bytes)));
        }
    }
}

/// Command lines and environments of all processes that may be read.
fn processes(found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        for name in ["cmdline", "environ"] {
            let path = entry.path().join(name);
            found.extend(std::fs::read(&path).ok().map(|bytes| (path.display().to_string(), bytes)));
        }
    }
}

#[test]
fn keys_are_in_the_access_file_and_nowhere_else() {
    let mut cluster = Cluster::start_under(&["env", "RUST_LOG=debug"]);
    cluster.start_worker_with(&["--cpus=2"]);
    let text = std::fs::read_to_string(cluster.server_dir().join("hq-current/access.json")).unwrap();
    let access: Value = serde_json::from_str(&text).unwrap();
    let needles: Vec<Vec<u8>> =
        ["client", "worker"].iter().flat_map(|role| forms(access[role]["secret_key"].as_str().unwrap())).collect();

    cluster.hq(&["submit", "--wait", "--stream=stream", "--", "env"]).ok();
    cluster
        .hq(&["--debug", "submit", "--wait", "--", "sh", "-c", "env; cat /proc/$PPID/environ /proc/$PPID/cmdline"])
        .ok();
    let running = cluster.submit(&["sleep", "600"]);
    cluster.wait_job(running, "RUNNING");
    let mut outputs = Vec::new();
    let journal = cluster.server_dir().join("journal").display().to_string();
    for words in [
        vec!["--debug", "server", "info"],
        vec!["--output-mode=json", "server", "info"],
        vec!["--output-mode=json", "worker", "info", "1"],
        vec!["--output-mode=json", "job", "info", "all"],
        vec!["journal", "export", &journal],
    ] {
        let done = cluster.hq(&words).ok();
        outputs.push((done.line.clone(), format!("{}{}", done.stdout, done.stderr).into_bytes()));
    }
    files(cluster.path(), &mut outputs);
    processes(&mut outputs);
    let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    for part in ["/journal/", "server.log", "worker-0.log", "/stream/", "0.stdout", "cmdline", "environ"] {
        assert!(names.iter().any(|name| name.contains(part)), "{part} was not looked at: {names:?}");
    }
    for (name, bytes) in &outputs {
        for needle in &needles {
            assert!(!contains(bytes, needle), "a key is in {name}");
        }
    }
    cluster.hq(&["job", "cancel", "all"]).ok();
}
