//! Merging of stream files: what is kept, what is left alone, and the power going at every moment.
//!
//! Merging removes files; a mistake in it loses results of weeks.
//!
//! **Invariant:** before, during and after it a reader finds the same newest output of every task.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::disk::{Access, Disk, Fault, ModelDisk, RealDisk};

const DIR: &str = "/out";

struct Names(u32);

impl CompactHelp for Names {
    fn name(&mut self) -> io::Result<String> {
        self.0 += 1;
        Ok(format!("new{}", self.0))
    }

    fn copied(&mut self, _bytes: u64) {}
}

const ALL: CompactOptions = CompactOptions { file_bytes_max: u64::MAX, unclosed_before_us: None, now_us: 5_000 };

fn merge(disk: &Arc<dyn Disk>, dir: &Path, options: &CompactOptions, first: u32) -> Result<Compacted, StreamError> {
    compact(disk, dir, None, options, &mut Names(first))
}

fn merge_model(disk: &ModelDisk, options: &CompactOptions, first: u32) -> Result<Compacted, StreamError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    merge(&disk, Path::new(DIR), options, first)
}

fn head(id: &str, worker_id: u32) -> StreamHead {
    StreamHead { server_uid: "uid".into(), worker_id, file_id: id.into(), ..StreamHead::default() }
}

/// Writes a file in which this attempt of each of the tasks wrote to both channels; the last one does not end.
fn write(disk: &dyn Disk, dir: &Path, id: &str, tasks: std::ops::Range<u32>, attempt: u32, close: bool) -> PathBuf {
    let worker = u32::from(id.as_bytes()[0]);
    let mut writer = StreamWriter::create(disk, dir, &head(id, worker), 1).unwrap();
    for round in 0..3 {
        for task in tasks.clone() {
            let key = Key { job: 1 + task % 2, task, epoch: 1, attempt };
            let text = format!("{id} {round} {task}\n");
            writer.append_chunk(u64::from(round * 100 + task), key, (round == 1) as u8, text.as_bytes()).unwrap();
            if round == 2 && task + 1 < tasks.end {
                let outcome = Outcome { ending: Ending::Failed, cause: 1, exit_code: Some(3), signal: None };
                writer.append_end(400, key, 0).unwrap();
                writer.append_outcome(500, key, outcome).unwrap();
            }
        }
    }
    let path = writer.path().to_path_buf();
    writer.flush().unwrap();
    if close {
        writer.close().unwrap();
    }
    path
}

/// What a reader finds of the newest instances: outcome, output of both channels with times, and who wrote it.
type Newest = BTreeMap<Key, Seen>;
type Seen = (bool, Option<Outcome>, Vec<(u8, u64, Vec<u8>)>, Option<u32>, u64);

fn newest(disk: &Arc<dyn Disk>, dir: &Path) -> (Newest, Summary) {
    let dir = StreamDir::open(Arc::clone(disk), dir, None).unwrap();
    let mut all: Vec<Instance> = Vec::new();
    dir.for_each_task(None, &mut |instances| {
        all.extend(instances.last().cloned());
        true
    })
    .unwrap();
    let mut found = Newest::new();
    for instance in all {
        let mut chunks = Vec::new();
        for channel in [0, 1] {
            dir.read(&instance, channel, &mut |time, bytes| {
                chunks.push((channel, time, bytes.to_vec()));
                Ok(())
            })
            .unwrap();
        }
        let worker = dir.writer(&instance).unwrap().map(|origin| origin.worker_id);
        let old = found.insert(instance.key, (instance.finished, instance.outcome, chunks, worker, instance.last_us));
        assert!(old.is_none());
    }
    assert!(dir.take_damage().is_empty());
    (found, dir.summary().unwrap())
}

fn newest_of_model(disk: &ModelDisk) -> (Newest, Summary) {
    newest(&(Arc::new(disk.clone()) as Arc<dyn Disk>), Path::new(DIR))
}

fn sample() -> ModelDisk {
    let disk = ModelDisk::new();
    write(&disk, Path::new(DIR), "aaa", 0..6, 0, true);
    write(&disk, Path::new(DIR), "bbb", 4..9, 1, true);
    write(&disk, Path::new(DIR), "ccc", 20..23, 0, false);
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk
}

#[test]
fn newest_output_stays_and_what_it_superseded_goes() {
    let disk = sample();
    let (before, sum) = newest_of_model(&disk);
    assert_eq!((sum.files, sum.superseded), (3, 2));
    let done = merge_model(&disk, &ALL, 0).unwrap();
    assert_eq!((done.merged, done.made, done.dropped, done.left.len()), (2, 1, 2, 1));
    assert!(done.bytes_after < done.bytes_before);
    let (after, sum) = newest_of_model(&disk);
    assert_eq!(after, before);
    assert_eq!((sum.files, sum.superseded, sum.tasks), (2, 0, 12));
    // There is nothing left to do; and what was merged can be merged again with what came later.
    assert_eq!(merge_model(&disk, &ALL, 10).unwrap(), Compacted { left: done.left, ..Compacted::default() });
    write(&disk, Path::new(DIR), "ddd", 0..2, 3, true);
    let (before, _) = newest_of_model(&disk);
    let done = merge_model(&disk, &ALL, 20).unwrap();
    assert_eq!((done.merged, done.made, done.dropped), (2, 1, 2));
    assert_eq!(newest_of_model(&disk).0, before);
    assert!(before.values().all(|(_, _, _, worker, _)| worker.is_some()));
}

#[test]
fn files_are_made_no_larger_than_wanted() {
    let disk = ModelDisk::new();
    for (number, name) in ["aaa", "bbb", "ccc", "ddd", "eee"].into_iter().enumerate() {
        let first = u32::try_from(number * 10).unwrap();
        write(&disk, Path::new(DIR), name, first..first + 10, 0, true);
    }
    let (before, _) = newest_of_model(&disk);
    let options = CompactOptions { file_bytes_max: 5_000, ..ALL };
    let done = merge_model(&disk, &options, 0).unwrap();
    // Two fit into one; the last one stays alone.
    assert_eq!((done.merged, done.made, done.dropped), (4, 2, 0));
    let (after, sum) = newest_of_model(&disk);
    assert_eq!((after, sum.files), (before, 3));
}

#[test]
fn damaged_files_are_left_alone() {
    let disk = sample();
    write(&disk, Path::new(DIR), "eee", 40..44, 0, true);
    let path = Path::new("/out/bbb.hqs");
    let mut text = 0;
    disk.edit(path, |bytes| {
        text = bytes.windows(5).position(|window| window == b"bbb 0").unwrap();
        bytes[text] ^= 1;
    });
    let done = merge_model(&disk, &ALL, 0).unwrap();
    assert_eq!((done.merged, done.made), (2, 1));
    let left: Vec<&str> = done.left.iter().map(|(path, _)| path.to_str().unwrap()).collect();
    assert_eq!(left, ["/out/ccc.hqs", "/out/bbb.hqs"]);
    assert!(done.left[1].1.to_string().contains("it is damaged: bytes "), "{:?}", done.left);
    disk.edit(path, |bytes| bytes[text] ^= 1);
    let (after, _) = newest_of_model(&disk);
    assert_eq!(after.len(), 16);
}

/// The sample, with everything that the workers wrote on disk; and the number of operations of merging it.
fn durable_sample() -> (ModelDisk, u64) {
    let synced = || {
        let disk = sample();
        for name in ["aaa", "bbb", "ccc"] {
            disk.open(Path::new(&format!("{DIR}/{name}.hqs")), Access::Write).unwrap().sync_data().unwrap();
        }
        disk
    };
    let probe = synced();
    let before = probe.operations();
    merge_model(&probe, &ALL, 0).unwrap();
    (synced(), probe.operations() - before)
}

#[test]
fn the_power_may_go_at_every_moment() {
    let expected = newest_of_model(&sample()).0;
    let (_, operations) = durable_sample();
    assert!(operations > 10, "{operations}");
    for at in 1..=operations + 1 {
        for seed in 0..8 {
            let (disk, _) = durable_sample();
            disk.fault_at(disk.operations() + at, Fault::PowerLoss);
            let _cut_short = merge_model(&disk, &ALL, 0);
            // The seed picks what is there of that which was not synced.
            disk.crash(seed + at * 64);
            assert_eq!(newest_of_model(&disk).0, expected, "power loss at {at} of {operations}, seed {seed}");
            merge_model(&disk, &ALL, 10).unwrap_or_else(|e| panic!("after power loss at {at}: {e}"));
            let (after, sum) = newest_of_model(&disk);
            assert_eq!((after, sum.files, sum.superseded), (expected.clone(), 2, 0), "power loss at {at}");
            let names = disk.list(Path::new(DIR)).unwrap();
            assert!(!names.iter().any(|name| name.ends_with("-new")), "{names:?}");
        }
    }
}

#[test]
fn a_full_disk_or_an_error_changes_nothing() {
    for fault in [Fault::Full, Fault::Eio] {
        for at in 1..=durable_sample().1 {
            let disk = sample();
            let before = newest_of_model(&disk).0;
            disk.fault_at(disk.operations() + at, fault);
            let done = merge_model(&disk, &ALL, 0);
            disk.heal();
            assert_eq!(newest_of_model(&disk).0, before, "{fault:?} at {at}: {done:?}");
        }
    }
}

#[test]
fn a_file_that_is_written_is_never_taken() {
    let temp = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    write(&*disk, temp.path(), "aaa", 0..3, 0, true);
    write(&*disk, temp.path(), "bbb", 3..6, 0, false);
    let mut writer = StreamWriter::create(&*disk, temp.path(), &head("ccc", 1), 1).unwrap();
    writer.append_chunk(1, Key { job: 9, task: 9, epoch: 1, attempt: 0 }, 0, b"still written").unwrap();
    writer.flush().unwrap();
    let (before, _) = newest(&disk, temp.path());
    let unclosed = CompactOptions { unclosed_before_us: Some(4_000), ..ALL };
    let done = merge(&disk, temp.path(), &unclosed, 0).unwrap();
    assert_eq!((done.merged, done.made, done.left.len()), (2, 1, 1), "{done:?}");
    assert!(done.left[0].0.ends_with("ccc.hqs"));
    assert_eq!(newest(&disk, temp.path()).0, before);
    // Younger than asked for.
    drop(writer);
    let young = CompactOptions { unclosed_before_us: Some(1), ..ALL };
    assert_eq!(merge(&disk, temp.path(), &young, 10).unwrap().merged, 0);
    assert_eq!(merge(&disk, temp.path(), &unclosed, 20).unwrap().merged, 2);
    assert_eq!(newest(&disk, temp.path()).0, before);
    let _held = disk.lock(&temp.path().join(".compact.lock")).unwrap();
    assert!(matches!(merge(&disk, temp.path(), &ALL, 30), Err(StreamError::Busy(..))));
}

#[test]
fn a_file_that_grew_after_it_was_merged_is_read() {
    let disk = sample();
    let mut copy = Vec::new();
    disk.edit(Path::new("/out/aaa.hqs"), |bytes| copy.clone_from(bytes));
    merge_model(&disk, &ALL, 0).unwrap();
    let (before, _) = newest_of_model(&disk);
    // Somebody brings it back: nothing changes. With more in it, that counts.
    disk.open(Path::new("/out/aaa.hqs"), Access::CreateNew).unwrap().write_at(0, &copy).unwrap();
    assert_eq!(newest_of_model(&disk).0, before);
    let mut more = Vec::new();
    let key = Key { job: 7, task: 7, epoch: 1, attempt: 0 };
    let mut tag = [0; 2];
    tag.copy_from_slice(&copy[10..12]);
    let header = crate::record::Header {
        kind: crate::record::KIND_STREAM_CHUNK,
        job: key.job,
        task: key.task,
        epoch: key.epoch,
        tag: u16::from_le_bytes(tag),
        ..crate::record::Header::default()
    };
    crate::record::encode_into(&mut more, &header, b"more");
    disk.edit(Path::new("/out/aaa.hqs"), |bytes| bytes.extend_from_slice(&more));
    assert!(newest_of_model(&disk).0.contains_key(&key));
}
