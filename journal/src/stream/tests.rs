//! Tests of stream files: written, closed, cut, damaged, copied, merged.
//!
//! They hold what `hq output-log` promises on top of this.
//!
//! **Invariant:** every case compares with the bytes that were appended.

use std::collections::BTreeMap;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::{Access, Disk, Fault, ModelDisk};

const DIR: &str = "/out";

fn head(uid: &str, id: &str) -> StreamHead {
    let (meta, origins) = (vec![("host".into(), "n1".into())], Vec::new());
    StreamHead { server_uid: uid.into(), worker_id: 3, file_id: id.into(), meta, origins }
}

fn writer(disk: &ModelDisk, id: &str) -> StreamWriter {
    StreamWriter::create(disk, Path::new(DIR), &head("uid", id), 1).unwrap()
}

fn key(job: u32, task: u32, attempt: u32) -> Key {
    Key { job, task, epoch: 1, attempt }
}

fn open(disk: &ModelDisk) -> StreamDir {
    StreamDir::open(Arc::new(disk.clone()), Path::new(DIR), None).unwrap()
}

fn text(dir: &StreamDir, instance: &Instance, channel: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let read = dir.read(instance, channel, &mut |_, bytes| {
        out.extend_from_slice(bytes);
        Ok(())
    });
    assert_eq!(read.unwrap(), out.len() as u64);
    out
}

/// Writes `steps` interleaved chunks and ends every third attempt; returns what each attempt wrote.
fn fill(writer: &mut StreamWriter, steps: u32) -> BTreeMap<(Key, u8), Vec<u8>> {
    let mut expected: BTreeMap<(Key, u8), Vec<u8>> = BTreeMap::new();
    for n in 0..steps {
        let k = key(1 + n % 2, n % 7, n % 3);
        let channel = (n % 5 == 0) as u8;
        let bytes = format!("chunk {n} ").into_bytes();
        writer.append_chunk(u64::from(n), k, channel, &bytes).unwrap();
        expected.entry((k, channel)).or_default().extend(bytes);
    }
    let keys: Vec<Key> = expected.keys().map(|(k, _)| *k).collect();
    for k in keys.iter().filter(|k| k.task % 3 == 0) {
        writer.append_end(1000, *k, 0).unwrap();
        writer.append_finished(1000, *k).unwrap();
    }
    expected
}

fn check(dir: &StreamDir, expected: &BTreeMap<(Key, u8), Vec<u8>>) {
    let mut seen = 0;
    let mut all: Vec<Instance> = Vec::new();
    dir.for_each_task(None, &mut |instances| {
        all.extend_from_slice(instances);
        true
    })
    .unwrap();
    assert!(all.is_sorted_by_key(|i| i.key));
    for instance in &all {
        assert_eq!(instance.finished, instance.key.task % 3 == 0);
        let Key { job, task, .. } = instance.key;
        if task % 50 < 7 {
            assert!(dir.instances(job, task).unwrap().contains(instance));
        }
        for channel in [0, 1] {
            let bytes = text(dir, instance, channel);
            assert_eq!(Some(&bytes).filter(|b| !b.is_empty()), expected.get(&(instance.key, channel)));
            assert_eq!(instance.output(channel).map_or(0, |o| o.bytes), bytes.len() as u64);
            seen += usize::from(!bytes.is_empty());
        }
    }
    assert_eq!(seen, expected.len());
    assert!(dir.take_damage().is_empty());
    assert!(dir.newest(9, 9).unwrap().is_none());
}

#[test]
fn closed_growing_and_many_block_files_read_the_same() {
    for (steps, close) in [(300, true), (300, false), (9000, true), (9000, false)] {
        let disk = ModelDisk::new();
        let mut w = writer(&disk, "abc");
        let mut expected = fill(&mut w, steps);
        // More attempts than one block holds.
        for task in 0..steps {
            w.append_chunk(5000, key(3, task * 3, 0), 0, &task.to_le_bytes()).unwrap();
            w.append_finished(5000, key(3, task * 3, 0)).unwrap();
            expected.insert((key(3, task * 3, 0), 0), task.to_le_bytes().to_vec());
        }
        w.flush().unwrap();
        if close {
            w.close().unwrap();
        }
        let dir = open(&disk);
        check(&dir, &expected);
        assert_eq!(dir.jobs().unwrap(), [1, 2, 3]);
        let sum = dir.summary().unwrap();
        assert_eq!((sum.files, sum.jobs, sum.tasks), (1, 3, 14 + u64::from(steps)));
        assert_eq!((sum.streams, sum.superseded), (42 + u64::from(steps), 28));
        assert_eq!(sum.opened, 8);
        assert!(dir.notes().is_empty());
    }
}

#[test]
fn nothing_is_visible_before_the_first_flush() {
    let disk = ModelDisk::new();
    let mut w = writer(&disk, "abc");
    w.append_chunk(1, key(1, 0, 0), 0, b"hello").unwrap();
    let dir = open(&disk);
    assert_eq!((dir.files(), dir.skipped().len()), (0, 1));
    assert!(dir.jobs().unwrap().is_empty());
    assert!(w.buffered_bytes() > 0);
    w.flush().unwrap();
    assert_eq!(open(&disk).jobs().unwrap(), [1]);
}

#[test]
fn newest_is_by_epoch_then_attempt_and_files_are_not_mixed() {
    let disk = ModelDisk::new();
    let at = |epoch, attempt| Key { job: 1, task: 0, epoch, attempt };
    for (id, epoch, attempt, time) in [("a", 1, 5, 10), ("b", 2, 0, 20), ("c", 2, 0, 30)] {
        let mut w = writer(&disk, id);
        w.append_chunk(time, at(epoch, attempt), 0, id.as_bytes()).unwrap();
        w.close().unwrap();
    }
    let dir = open(&disk);
    let all = dir.instances(1, 0).unwrap();
    let texts: Vec<Vec<u8>> = all.iter().map(|i| text(&dir, i, 0)).collect();
    assert_eq!(texts, [b"a", b"b", b"c"]);
    let sum = dir.summary().unwrap();
    assert_eq!(
        (sum.tasks, sum.streams, sum.superseded, sum.stdout_bytes, sum.superseded_stdout_bytes),
        (1, 3, 2, 1, 2)
    );
}

#[test]
fn directories_follow_the_opening_rules() {
    let disk = ModelDisk::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.open(Path::new("/out/notes.txt"), Access::CreateNew).unwrap();
    let open_with = |uid| StreamDir::open(Arc::new(disk.clone()), Path::new(DIR), uid);
    assert!(matches!(open_with(None), Err(StreamError::NoFiles)));
    let foreign = disk.open(Path::new("/out/foreign.hqs"), Access::CreateNew).unwrap();
    foreign.write_at(0, b"not ours at all, but long enough to look like something to a careless reader.....").unwrap();
    assert_eq!(open_with(None).unwrap().files(), 0);
    for uid in ["zz", "aa"] {
        StreamWriter::create(&disk, Path::new(DIR), &head(uid, uid), 1).unwrap().close().unwrap();
    }
    match open_with(None) {
        Err(e @ StreamError::SeveralServers(_)) => assert_eq!(
            e.to_string(),
            "Found streams from multiple server instances:\naa\nzz\nUse --server-uid=... to specify server uid"
        ),
        other => panic!("{:?}", other.map(|d| d.files())),
    }
    assert_eq!(open_with(Some("zz")).unwrap().files(), 1);
    assert_eq!(open_with(Some("none")).unwrap().files(), 0);
    assert_eq!(open_with(Some("aa")).unwrap().head(0), Some(&head("aa", "aa")));
    for bad in ["", "../x", "a b", "a/b"] {
        assert!(matches!(
            StreamWriter::create(&disk, Path::new(DIR), &head("u", bad), 1),
            Err(StreamError::BadName(_))
        ));
    }
}

fn bytes_of(disk: &ModelDisk, path: &Path) -> Vec<u8> {
    let mut copy = Vec::new();
    disk.edit(path, |b| copy = b.clone());
    copy
}

#[test]
fn copies_count_once_and_the_longest_wins() {
    let disk = ModelDisk::new();
    let mut w = writer(&disk, "abc");
    let path = w.path().to_path_buf();
    w.append_chunk(1, key(1, 0, 0), 0, b"first").unwrap();
    w.flush().unwrap();
    let early = bytes_of(&disk, &path);
    w.append_chunk(1, key(1, 0, 0), 0, b" second").unwrap();
    w.close().unwrap();
    for (name, bytes) in [("/out/aaa.hqs", early), ("/out/zzz.hqs", bytes_of(&disk, &path))] {
        disk.open(Path::new(name), Access::CreateNew).unwrap().write_at(0, &bytes).unwrap();
    }
    let dir = open(&disk);
    assert_eq!((dir.files(), dir.notes().len()), (1, 2));
    let newest = dir.newest(1, 0).unwrap().unwrap();
    assert_eq!(text(&dir, &newest, 0), b"first second");
}

#[test]
fn a_failed_write_breaks_the_writer_for_good() {
    let disk = ModelDisk::new();
    let mut w = writer(&disk, "abc");
    w.flush().unwrap();
    w.append_chunk(1, key(1, 0, 0), 0, b"x").unwrap();
    disk.fault_at(disk.operations() + 1, Fault::Full);
    assert!(w.flush().unwrap_err().to_string().starts_with("Cannot write to stream /out/abc.hqs: "));
    assert!(matches!(w.flush(), Err(StreamError::Broken(_))));
    assert!(matches!(w.append_chunk(1, key(1, 0, 0), 0, b"x"), Err(StreamError::Broken(_))));
}

proptest! {
    #[test]
    fn noise_is_never_a_stream(noise in proptest::collection::vec(any::<u8>(), 0..800)) {
        let disk = ModelDisk::new();
        let mut w = writer(&disk, "abc");
        w.append_chunk(1, key(1, 2, 3), 0, b"kept").unwrap();
        w.flush().unwrap();
        let path = w.path().to_path_buf();
        disk.edit(&path, |b| b.extend_from_slice(&noise));
        let dir = open(&disk);
        let newest = dir.newest(1, 2).unwrap().unwrap();
        prop_assert_eq!(text(&dir, &newest, 0), b"kept");
        let _any = index::parse_block(&noise);
        let _any = index::parse_footer(&noise);
        let _any = StreamHead::parse(&noise);
    }
}

#[test]
fn how_an_attempt_ended_is_known_with_and_without_an_index() {
    let failed = Outcome { ending: Ending::Failed, cause: 1, exit_code: Some(3), signal: None };
    for close in [true, false] {
        let disk = ModelDisk::new();
        let mut w = writer(&disk, "abc");
        w.append_chunk(1, key(1, 0, 0), 0, b"x").unwrap();
        w.append_outcome(2, key(1, 0, 0), failed).unwrap();
        w.append_finished(3, key(1, 1, 0)).unwrap();
        w.append_chunk(4, key(1, 2, 0), 1, b"y").unwrap();
        w.flush().unwrap();
        if close {
            w.close().unwrap();
        }
        let dir = open(&disk);
        let end = |task| dir.newest(1, task).unwrap().map(|i| (i.finished, i.outcome));
        assert_eq!(end(0), Some((true, Some(failed))));
        assert_eq!(end(1), Some((true, None)));
        assert_eq!(end(2), Some((false, None)));
    }
}
