//! Stream files that are damaged or cut at every byte.
//!
//! Output of many tasks lies in one file; a bad sector must cost the chunk in it, say so, and cost nothing else.
//!
//! **Invariant:** what is read was written; what is missing is named, unless the file ends there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::disk::{Disk, ModelDisk};

const DIR: &str = "/out";

type Texts = BTreeMap<(Key, u8), Vec<Vec<u8>>>;

fn key(task: u32, attempt: u32) -> Key {
    Key { job: 1 + task % 2, task, epoch: 1, attempt }
}

/// A directory of two files; the chunks of each attempt and channel, and the path of the first file.
fn sample(close: bool, tasks: u32, index_often: bool) -> (ModelDisk, Texts, std::path::PathBuf) {
    let disk = ModelDisk::new();
    let (mut texts, mut first) = (Texts::new(), None);
    for name in ["aaa", "bbb"] {
        let head = StreamHead { server_uid: "uid".into(), file_id: name.into(), ..StreamHead::default() };
        let mut writer = StreamWriter::create(&disk, Path::new(DIR), &head, 1).unwrap();
        first.get_or_insert(writer.path().to_path_buf());
        for n in 0..tasks * 3 {
            let key = key(n % tasks, u32::from(name == "bbb"));
            let (channel, text) = ((n % 5 == 0) as u8, format!("{name} chunk {n}").into_bytes());
            writer.append_chunk(u64::from(n), key, channel, &text).unwrap();
            texts.entry((key, channel)).or_default().push(text);
            if index_often && n % 7 == 6 {
                writer.put_index();
            }
        }
        let outcome = Outcome { ending: Ending::Failed, cause: 1, exit_code: Some(1), signal: None };
        for task in 0..tasks {
            writer.append_outcome(1000, key(task, u32::from(name == "bbb")), outcome).unwrap();
        }
        writer.flush().unwrap();
        if close {
            writer.close().unwrap();
        }
    }
    (disk, texts, first.unwrap())
}

/// What a reader finds, and what it names.
fn read(disk: &ModelDisk) -> (Texts, Vec<String>) {
    let dir = StreamDir::open(Arc::new(disk.clone()), Path::new(DIR), None).unwrap();
    let mut all: Vec<Instance> = Vec::new();
    dir.for_each_task(None, &mut |i| {
        all.extend_from_slice(i);
        true
    })
    .unwrap();
    let mut texts = Texts::new();
    for instance in &all {
        let Key { job, task, .. } = instance.key;
        assert!(dir.instances(job, task).unwrap().contains(instance), "{instance:?}");
        for channel in [0, 1] {
            dir.read(instance, channel, &mut |_, bytes| {
                texts.entry((instance.key, channel)).or_default().push(bytes.to_vec());
                Ok(())
            })
            .unwrap();
        }
    }
    let mut in_time = 0;
    dir.for_each_in_time(&mut |_| [true; 2], &mut |shown| {
        let known =
            texts.get(&(shown.key, shown.channel)).is_some_and(|all| all.iter().any(|text| text == shown.bytes));
        assert!(known, "{shown:?}");
        in_time += 1;
        Ok(())
    })
    .unwrap();
    let newest = texts.iter().filter(|((key, _), _)| {
        !all.iter().any(|other| (other.key.job, other.key.task) == (key.job, key.task) && other.key > *key)
    });
    assert_eq!(in_time, newest.map(|(_, all)| all.len()).sum::<usize>());
    (texts, dir.take_damage())
}

/// Chunks that are missing; fails if there is one that was never written, or in another order.
fn missing(found: &Texts, written: &Texts) -> Vec<(Key, u8)> {
    let mut missing = Vec::new();
    for (name, chunks) in found {
        let mut left = written.get(name).unwrap_or_else(|| panic!("{name:?} was never written")).iter();
        assert!(chunks.iter().all(|chunk| left.any(|known| known == chunk)), "{name:?}");
    }
    for (name, chunks) in written {
        let count = chunks.len() - found.get(name).map_or(0, Vec::len);
        missing.extend(std::iter::repeat_n(*name, count));
    }
    missing
}

#[test]
fn every_flip_costs_the_record_that_it_hit_and_is_named() {
    let mut flips = 0;
    for (close, index_often) in [(true, false), (false, false), (true, true), (false, true)] {
        let (disk, written, path) = sample(close, 8, index_often);
        let mut length = 0;
        disk.edit(&path, |bytes| length = bytes.len());
        assert_eq!(missing(&read(&disk).0, &written), []);
        for at in 0..length {
            disk.edit(&path, |b| b[at] ^= 1 << (at % 8));
            let (found, named) = read(&disk);
            let lost = missing(&found, &written);
            assert!(lost.len() <= 1, "flip at {at}: {lost:?}");
            assert!(lost.is_empty() || !named.is_empty(), "flip at {at} of {length} is not noticed: {lost:?}");
            disk.edit(&path, |b| b[at] ^= 1 << (at % 8));
            flips += 1;
        }
    }
    assert!(flips >= 10_000, "{flips}");
}

#[test]
fn every_cut_costs_what_was_behind_it() {
    for (close, index_often) in [(true, false), (false, true)] {
        let (disk, written, path) = sample(close, 8, index_often);
        let mut original = Vec::new();
        disk.edit(&path, |bytes| original = bytes.clone());
        let mut most = usize::MAX;
        for cut in 0..=original.len() {
            disk.edit(&path, |bytes| bytes.truncate(cut));
            let (found, named) = read(&disk);
            let lost = missing(&found, &written);
            assert!(lost.len() <= most, "cut at {cut}: {lost:?}");
            assert!(lost.iter().all(|(key, _)| key.attempt == 0), "cut at {cut}: the other file");
            assert!(named.is_empty(), "cut at {cut}: {named:?}");
            most = lost.len();
            disk.edit(&path, |bytes| bytes.clone_from(&original));
        }
        assert_eq!(most, 0);
    }
}

#[test]
fn blocks_of_the_index_that_are_damaged_hide_nothing() {
    // Several of them in one file, with and without a footer; each combination of one or two.
    for close in [true, false] {
        let (disk, written, path) = sample(close, 8, true);
        let mut original = Vec::new();
        disk.edit(&path, |bytes| original = bytes.clone());
        let mut scanner = crate::scan::Scanner::new(&original, 0, u64::MAX).unwrap();
        let mut blocks = Vec::new();
        while let Some(found) = scanner.next().unwrap() {
            if let crate::scan::Found::Valid { record, from, .. } = found
                && record.header.kind == crate::record::KIND_STREAM_INDEX
            {
                blocks.push(usize::try_from(from).unwrap());
            }
        }
        assert!(blocks.len() >= 3);
        for one in &blocks {
            for two in &blocks {
                // The header of one, the body of the other.
                disk.edit(&path, |bytes| {
                    bytes[*one + 20] ^= 1;
                    bytes[*two + 80] ^= 1;
                });
                let (found, named) = read(&disk);
                assert_eq!(missing(&found, &written), [], "{one} {two}");
                assert!(!named.is_empty());
                disk.edit(&path, |bytes| bytes.clone_from(&original));
            }
        }
    }
}

#[test]
fn a_file_with_a_damaged_head_is_read_if_it_can_be_told_whose_it_is() {
    let (disk, written, path) = sample(true, 8, false);
    disk.edit(&path, |bytes| bytes[70] ^= 1);
    let (found, named) = read(&disk);
    assert_eq!(missing(&found, &written), []);
    assert!(named.iter().any(|text| text.contains("its head, are damaged")), "{named:?}");
    let open = |uid| StreamDir::open(Arc::new(disk.clone()), Path::new(DIR), Some(uid)).unwrap().files();
    assert_eq!((open("uid"), open("other")), (2, 0));
    // Under another name it cannot be told.
    disk.rename(&path, Path::new("/out/zzz.hqs")).unwrap();
    let dir = StreamDir::open(Arc::new(disk.clone()), Path::new(DIR), None).unwrap();
    assert_eq!((dir.files(), dir.notes().len(), dir.take_damage().len()), (1, 1, 1));
}

#[test]
fn the_end_of_a_file_that_is_garbage_is_named_and_zeros_are_not() {
    let (disk, written, path) = sample(false, 4, false);
    for (tail, expected) in [(vec![0; 300], 0), (vec![7; 300], 1), (vec![7; 30], 0)] {
        let mut length = 0;
        disk.edit(&path, |bytes| {
            length = bytes.len();
            bytes.extend_from_slice(&tail);
        });
        let (found, named) = read(&disk);
        assert_eq!((missing(&found, &written).len(), named.len()), (0, expected), "{named:?}");
        disk.edit(&path, |bytes| bytes.truncate(length));
    }
}

#[test]
fn output_in_the_order_of_time_needs_few_places() {
    let (disk, written, _) = sample(true, 8, true);
    let dir = StreamDir::open(Arc::new(disk), Path::new(DIR), None).unwrap();
    let in_time = |places| {
        let mut shown = Vec::new();
        dir.in_time(places, &mut |_| [true; 2], &mut |chunk| {
            shown.push((chunk.time_us, chunk.key, chunk.channel, chunk.bytes.to_vec()));
            Ok(())
        })
        .unwrap();
        shown
    };
    let all = in_time(1_000_000);
    assert!(all.is_sorted());
    let newest: usize = written.iter().filter(|((key, _), _)| key.attempt == 1).map(|(_, all)| all.len()).sum();
    assert_eq!(all.len(), newest);
    for places in [1, 2, 7, newest, newest + 1] {
        assert_eq!(in_time(places), all, "{places}");
    }
}
