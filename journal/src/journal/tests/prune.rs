//! Pruning: what is kept is there afterwards, what is not is gone with its space, and no crash leaves anything between.
//!
//! **Invariant:** every case compares with a plain list of what was committed.

use super::*;
use crate::disk::Fault;
use crate::{Point, ReplayError};

/// Jobs 2 and 3 are kept, job 1 is done.
fn is_kept(n: u64) -> bool {
    !n.is_multiple_of(3)
}

/// Writes two images and prunes up to what is durable.
fn prune(journal: &mut Journal) -> Result<Pruned, Error> {
    let pruner = journal.pruner();
    pruner.begin_tail();
    journal.commit()?;
    let at = journal.durable();
    journal.checkpoint_writer().write_twice(at, 5, (0..10).map(|n| draft(9, n, 60)))?;
    pruner.prune(at, 5, &mut |record| record.header.job != 1)
}

fn history(reader: &Reader, job: u32, from_us: u64) -> Vec<u64> {
    let mut out = Vec::new();
    reader
        .history_from::<()>(job, from_us, &mut |r| {
            out.push(r.header.time_us);
            Ok(())
        })
        .unwrap();
    out
}

fn names(disk: &ModelDisk, prefix: &str) -> Vec<String> {
    let mut names = disk.list(Path::new(DIR)).unwrap();
    names.retain(|name| name.starts_with(prefix));
    names
}

#[test]
fn what_is_kept_is_read_like_before_and_the_rest_is_gone() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 2000);
    let reader = journal.reader();
    let mut gone_below = 0;
    for round in 0..4u64 {
        for n in 0..20 {
            let n = round * 200 + n * 10;
            append_commit(&mut journal, n..n + 10);
        }
        while round % 2 == 0 && journal.migrate_step().unwrap() {}
        let pruned = prune(&mut journal).unwrap();
        gone_below = (round + 1) * 200;
        let all = 0..gone_below;
        assert_eq!(pruned.kept, all.clone().filter(|n| is_kept(*n)).count() as u64);
        assert_eq!(numbers(&reader).unwrap(), all.clone().filter(|n| is_kept(*n)).collect::<Vec<_>>());
        for job in 1..4u32 {
            for from in [0, 77, 300] {
                let expected: Vec<u64> =
                    all.clone().filter(|n| is_kept(*n) && 1 + (n % 3) as u32 == job && *n >= from).collect();
                assert_eq!(history(&reader, job, from), expected, "job {job} from {from}");
            }
        }
        assert_eq!((names(&disk, "kept-").len(), names(&disk, "log").len()), (1, 1), "round {round}");
        assert!(names(&disk, "tail-").len() <= 2);
        assert_eq!(journal.stats().base_seq, pruned.base_seq);
    }
    append_commit(&mut journal, gone_below..gone_below + 5);
    let expected: Vec<u64> = (0..gone_below + 5).filter(|n| is_kept(*n) || *n >= gone_below).collect();
    assert_eq!(numbers(&reader).unwrap(), expected);
    drop((journal, reader));
    disk.kill();
    let (mut journal, opened) = open(&disk, 2000);
    assert!(opened.base_seq > 800);
    assert_eq!(numbers(&journal.reader()).unwrap(), expected);
    // Reading from any sequence hands out what has that sequence or a later one.
    for from in (0..opened.next_seq).step_by(37) {
        let mut seqs = Vec::new();
        journal
            .reader()
            .replay::<()>(from, &mut |r| {
                seqs.push(r.header.seq);
                Ok(())
            })
            .unwrap();
        assert!(seqs.iter().all(|seq| *seq >= from) && seqs.is_sorted());
        let first = journal.reader().replay(from, &mut |r| Err(r.header.seq));
        match first {
            Err(ReplayError::Stopped(seq)) => assert_eq!(Some(&seq), seqs.first()),
            _ => assert!(seqs.is_empty()),
        }
    }
    // Who folds a state is not handed a part of what it asks for.
    let whole = |from| journal.reader().replay_whole::<()>(from, &mut |_| Ok(()));
    assert!(matches!(whole(opened.base_seq - 1), Err(ReplayError::Journal(Error::Missing { .. }))));
    assert!(matches!(whole(0), Err(ReplayError::Journal(Error::Missing { .. }))));
    assert_eq!(whole(opened.base_seq).unwrap(), journal.durable());
    // What moves into the store after a pruning is found there.
    for n in 0..40 {
        append_commit(&mut journal, 900 + n * 10..910 + n * 10);
    }
    while journal.migrate_step().unwrap() {}
    assert!(journal.stats().log_entries > 0);
    assert_eq!(numbers(&journal.reader()).unwrap().len(), expected.len() + 400);
    assert_eq!(history(&journal.reader(), 2, 0).len(), expected.iter().filter(|n| *n % 3 == 1).count() + 133);
}

#[test]
fn pruning_needs_two_images_and_durable_records() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 2000);
    append_commit(&mut journal, 0..50);
    let (pruner, at) = (journal.pruner(), journal.durable());
    let refused = |at: Point| matches!(pruner.prune(at, 5, &mut |_| true), Err(Error::Refused { .. }));
    assert!(refused(at), "there is no image");
    journal.checkpoint_writer().write(at, 5, []).unwrap();
    assert!(refused(at), "there is one image");
    journal.checkpoint_writer().write_twice(at, 5, []).unwrap();
    assert!(refused(Point { seq: at.seq + 1, ..at }), "it is not durable");
    let copy = in_dir(&names(&disk, "checkpoint-")[0]);
    disk.edit(&copy, |bytes| bytes[70] ^= 1);
    assert!(refused(at), "one image is damaged");
    disk.edit(&copy, |bytes| bytes[70] ^= 1);
    pruner.prune(at, 5, &mut |_| true).unwrap();
    assert!(refused(Point { seq: at.seq - 1, ..at }), "it went before");
    assert_eq!(pruner.prune(at, 5, &mut |_| false).unwrap().gone, 0, "nothing has happened since");
    append_commit(&mut journal, 50..60);
    let at = journal.durable();
    journal.checkpoint_writer().write_twice(at, 5, []).unwrap();
    journal.close().unwrap();
    assert!(matches!(pruner.prune(at, 5, &mut |_| true), Err(Error::Refused { .. })), "the journal is closed");
}

/// One life with two prunings; gives what was committed, and up to where it is known, or may be, pruned.
fn live(disk: &ModelDisk, committed: &mut u64, pruned: &mut (u64, u64)) -> Result<(), Error> {
    let (mut journal, _) = Journal::open(Path::new(DIR), options(disk, 900, true))?;
    for round in 0..2u64 {
        for _ in 0..4 {
            let n = *committed;
            let group: Vec<RecordDraft> = (n..n + 6).map(|n| draft(1 + (n % 3) as u32, n, 30)).collect();
            journal.append(&group)?;
            journal.commit()?;
            *committed += 6;
        }
        if round == 0 {
            while journal.migrate_step()? {}
        }
        pruned.1 = *committed;
        prune(&mut journal)?;
        pruned.0 = *committed;
    }
    let n = *committed;
    journal.append(&[draft(1 + (n % 3) as u32, n, 30)])?;
    journal.commit()?;
    *committed += 1;
    journal.close()
}

/// Everything is as it was before a pruning, or as it is after it.
fn check(disk: &ModelDisk, committed: u64, pruned: (u64, u64), what: &str) {
    let (journal, opened) =
        Journal::open(Path::new(DIR), options(disk, 900, true)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let seen = numbers(&journal.reader()).unwrap_or_else(|e| panic!("{what}: {e}"));
    // A commit whose success was not heard of may be there as well.
    let end = seen.last().map_or(0, |n| n + 1).max(committed);
    assert!(end <= committed + 6, "{what}");
    let as_pruned = |below: u64| (0..end).filter(|n| is_kept(*n) || *n >= below).collect::<Vec<u64>>();
    assert!(seen == as_pruned(pruned.0) || seen == as_pruned(pruned.1), "{what}: {seen:?}");
    for job in 1..4u32 {
        let expected: Vec<u64> = seen.iter().copied().filter(|n| 1 + (n % 3) as u32 == job).collect();
        assert_eq!(history(&journal.reader(), job, 0), expected, "{what}: job {job}");
    }
    if opened.base_seq > 1 {
        assert!(opened.checkpoint.is_some_and(|image| image.at.seq + 1 >= opened.base_seq), "{what}");
        let images = crate::checkpoint::intact(disk, Path::new(DIR)).unwrap();
        assert!(images.iter().filter(|i| i.at.seq + 1 >= opened.base_seq).count() >= 2, "{what}");
    }
    // Nothing of an unfinished pruning is left.
    let left = [names(disk, "kept-").len(), names(disk, "log").len()];
    assert!(left[0] <= 1 && left[1] == 1, "{what}: {left:?}");
}

#[test]
fn a_fault_at_any_operation_leaves_it_as_before_or_as_after() {
    let operations = {
        let disk = ModelDisk::new();
        live(&disk, &mut 0, &mut (0, 0)).unwrap();
        disk.operations()
    };
    assert!(operations > 100);
    for fault in [Fault::PowerLoss, Fault::Eio, Fault::Full] {
        for at in 1..=operations {
            for seed in 0..campaign(2) {
                let disk = ModelDisk::new();
                disk.fault_at(at, fault);
                let (mut committed, mut pruned) = (0, (0, 0));
                let ended = live(&disk, &mut committed, &mut pruned);
                if let Err(e) = ended {
                    assert!(!e.is_damage(), "{fault:?} at {at}: {e}");
                }
                disk.heal();
                if seed % 2 == 1 && fault != Fault::PowerLoss {
                    disk.kill();
                } else {
                    disk.crash(seed ^ (at << 20));
                }
                check(&disk, committed, pruned, &format!("{fault:?} at {at}, seed {seed}"));
            }
        }
    }
}

#[test]
fn one_damaged_image_is_survived_and_two_are_named() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 2000);
    append_commit(&mut journal, 0..100);
    prune(&mut journal).unwrap();
    append_commit(&mut journal, 100..110);
    journal.close().unwrap();
    let images = names(&disk, "checkpoint-");
    assert_eq!(images.len(), 2);
    for image in &images {
        disk.edit(&in_dir(image), |bytes| bytes[80] ^= 1);
        let (journal, opened) = open(&disk, 2000);
        assert!(opened.checkpoint.is_some_and(|i| i.at.seq + 1 == opened.base_seq), "{image}");
        journal.close().unwrap();
        disk.edit(&in_dir(image), |bytes| bytes[80] ^= 1);
    }
    for image in &images {
        disk.edit(&in_dir(image), |bytes| bytes[80] ^= 1);
    }
    let refused = Journal::open(Path::new(DIR), options(&disk, 2000, false));
    let error = refused.err().expect("a state without its beginning is no state");
    assert!(error.is_damage() && error.to_string().contains("no intact checkpoint"), "{error}");
}

#[test]
fn damage_in_what_was_kept_is_named_and_stops_no_server() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 2000);
    append_commit(&mut journal, 0..40);
    prune(&mut journal).unwrap();
    append_commit(&mut journal, 40..45);
    journal.close().unwrap();
    let path = in_dir(&names(&disk, "kept-")[0]);
    let mut length = 0;
    disk.edit(&path, |bytes| length = bytes.len());
    for at in 0..length {
        disk.edit(&path, |bytes| bytes[at] ^= 1);
        let (journal, opened) = open(&disk, 2000);
        match numbers(&journal.reader()) {
            Err(e) => assert!(e.is_damage(), "byte {at}: {e}"),
            // The file as such cannot be read: a note says so, and the log is read from its base on.
            Ok(seen) => {
                assert!(opened.notes.iter().any(|note| note.contains("history")), "byte {at}: {:?}", opened.notes);
                assert_eq!(seen, (40..45).collect::<Vec<_>>(), "byte {at}");
            }
        }
        journal.close().unwrap();
        disk.edit(&path, |bytes| bytes[at] ^= 1);
    }
    assert_eq!(numbers(&open(&disk, 2000).0.reader()).unwrap().len(), 26 + 5);
}

#[test]
fn a_pruned_directory_is_small_again_and_readers_are_not_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    let real = Options { rotate_bytes: 300_000, background: false, ballast_bytes: 0, ..Options::default() };
    let (mut journal, _) = Journal::open(dir.path(), real.clone()).unwrap();
    let reader = journal.reader();
    let mut largest = 0;
    for round in 0..3u64 {
        for n in 0..30 {
            let n = round * 30_000 + n * 1000;
            let group: Vec<RecordDraft> = (n..n + 1000).map(|n| draft(1 + u32::from(n % 300 == 0), n, 100)).collect();
            journal.append(&group).unwrap();
            journal.commit().unwrap();
            while journal.migrate_step().unwrap() {}
        }
        let before = bytes_of(dir.path());
        // A reading that began before goes on with what it saw.
        let mut seen = 0u64;
        reader
            .replay::<()>(0, &mut |_| {
                if seen == 0 {
                    prune(&mut journal).unwrap();
                }
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, round * 100 + 30_000);
        let after = bytes_of(dir.path());
        assert!(after * 5 < before, "{before} bytes became {after}");
        assert_eq!(numbers(&reader).unwrap(), (0..(round + 1) * 30_000).filter(|n| n % 300 == 0).collect::<Vec<_>>());
        largest = largest.max(before);
    }
    assert!(largest < 30_000_000, "the directory grew to {largest} bytes");
    drop(reader);
    journal.close().unwrap();
    let (journal, opened) = Journal::open(dir.path(), real).unwrap();
    assert!(opened.clean && opened.notes.is_empty(), "{:?}", opened.notes);
    assert_eq!(numbers(&journal.reader()).unwrap().len(), 300);
}

/// Bytes of all files below a directory.
fn bytes_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| if e.path().is_dir() { bytes_of(&e.path()) } else { e.metadata().unwrap().len() }).sum()
}
