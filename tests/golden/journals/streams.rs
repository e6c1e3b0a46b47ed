//! Stream files as earlier versions left them: what tasks wrote comes out as it did, and damage is named with the same
//! words.
//!
//! Holds: one file was closed, one has no end since its worker died, one has a damaged chunk.

use super::{pack, packed, version_dir};
use crate::blessed;
use crate::harness::Cluster;
use hq_journal::disk::RealDisk;
use hq_journal::stream::{CHANNEL_STDERR, CHANNEL_STDOUT, Key, StreamHead, StreamWriter};
use std::fmt::Write;
use std::path::Path;

const STATES: [&str; 3] = ["streams-closed", "streams-open", "streams-damaged"];
const BEGIN_US: u64 = 1_790_000_000_000_000;

/// Makes a directory with one stream file in a state of this name.
fn make(name: &str, dir: &Path) {
    let file_id = "golden000001".to_owned();
    let head = StreamHead { server_uid: "gOld42".into(), worker_id: 1, file_id, ..StreamHead::default() };
    let mut writer = StreamWriter::create(&RealDisk, dir, &head, BEGIN_US).expect("a stream file");
    for task in 0..4u32 {
        let key = Key { job: 1, task, epoch: 1, attempt: u32::from(task == 3) };
        let at = BEGIN_US + u64::from(task) * 1_000_000;
        for (channel, text) in [(CHANNEL_STDOUT, "out"), (CHANNEL_STDERR, "err")] {
            writer.append_chunk(at, key, channel, format!("{text} of {task}\n").as_bytes()).expect("a chunk");
            writer.append_end(at + 1, key, channel).expect("an end");
        }
        // The last one was cut off before it was done.
        if task < 3 {
            writer.append_finished(at + 2, key).expect("an end");
        }
    }
    let path = writer.path().to_path_buf();
    if name == "streams-open" {
        writer.flush().expect("written");
        drop(writer);
    } else {
        writer.close().expect("closed");
    }
    if name == "streams-damaged" {
        let mut bytes = std::fs::read(&path).expect("a file");
        let at = bytes.windows(8).position(|window| window == b"out of 1").expect("the output of a task");
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("a file");
    }
}

/// What the commands say of a directory.
fn told(packed: &[u8]) -> String {
    let cluster = Cluster::offline();
    pack::unpack(packed, &cluster.work().join("st"));
    let here = cluster.path().to_str().expect("a path in UTF-8").to_owned();
    let mut text = String::new();
    let commands: [&[&str]; 4] = [&["jobs"], &["show"], &["cat", "1", "stdout"], &["export", "1"]];
    for words in commands {
        let words: Vec<&str> = ["output-log", "st"].iter().chain(words).copied().collect();
        let done = cluster.hq(&words);
        writeln!(text, "# {}, exit code {:?}", done.line, done.code).expect("a text");
        text.push_str(&done.stdout);
        let said = done.stderr.lines().map(|line| match line.split_once("Z ") {
            Some((_, rest)) => rest.replace(&here, "") + "\n",
            None => line.replace(&here, "") + "\n",
        });
        text.extend(said);
    }
    text
}

#[test]
fn streams_of_earlier_versions_are_read_as_they_were() {
    let found: Vec<_> = packed(true);
    assert!(found.len() >= STATES.len(), "{} streams", found.len());
    for (name, packed) in found {
        blessed::check(&format!("{}/{name}.txt", super::DIR), &told(&packed));
    }
}

#[test]
fn streams_can_be_made_in_every_state() {
    for name in STATES {
        let dir = tempfile::tempdir().expect("a directory");
        make(name, dir.path());
        let packed = pack::pack(dir.path());
        match version_dir() {
            Some(to) => std::fs::write(to.join(format!("{name}.pack")), &packed).expect("a file"),
            None => assert!(told(&packed).contains("out of 0"), "{name}: {}", told(&packed)),
        }
    }
}
