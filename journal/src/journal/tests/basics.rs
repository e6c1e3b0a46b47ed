//! The orderly life of a journal: append, commit, rotate, migrate, close, open, read.
//!
//! The other tests break what these show to work.
//!
//! **Invariant:** none of these cases meets a fault.

use super::*;
use crate::checkpoint;

#[test]
fn records_epochs_and_sequences_continue_over_openings() {
    let disk = ModelDisk::new();
    for round in 0..5u64 {
        let (mut journal, opened) = open(&disk, 1 << 20);
        assert_eq!(opened.epoch, round as u32 + 1);
        assert!(opened.clean && opened.notes.is_empty(), "{:?}", opened.notes);
        let range = journal.append(&[draft(1, round * 2, 10), draft(2, round * 2 + 1, 10)]).unwrap();
        assert_eq!((range.first_seq, range.last.seq), (opened.next_seq, opened.next_seq + 1));
        assert_eq!(journal.commit().unwrap(), range.last.seq);
        assert_eq!(numbers(&journal.reader()).unwrap(), (0..round * 2 + 2).collect::<Vec<_>>());
        journal.close().unwrap();
    }
}

#[test]
fn readers_see_durable_records_only() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 1 << 20);
    let reader = journal.reader();
    journal.append(&[draft(1, 0, 10)]).unwrap();
    assert!(numbers(&reader).unwrap().is_empty());
    journal.commit().unwrap();
    assert_eq!(numbers(&reader).unwrap(), [0]);
}

#[test]
fn full_tail_files_move_into_the_log_and_two_are_kept() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 2000);
    for n in 0..60 {
        append_commit(&mut journal, n * 10..n * 10 + 10);
    }
    let before = journal.stats();
    assert!(before.tail_files > 20 && before.log_end_seq == 0, "{before:?}");
    while journal.migrate_step().unwrap() {}
    let stats = journal.stats();
    assert_eq!(stats.tail_files, SEALED_KEPT + 1);
    assert!(stats.log_end_seq > 500 && stats.log_entries > 10);
    let all: Vec<u64> = (0..600).collect();
    assert_eq!(numbers(&journal.reader()).unwrap(), all);
    let mut history = Vec::new();
    journal
        .reader()
        .history::<()>(2, &mut |r| {
            history.push(r.header.time_us);
            Ok(())
        })
        .unwrap();
    assert_eq!(history, (0..600).filter(|n| n % 3 == 1).collect::<Vec<_>>());
    journal.close().unwrap();
    let (journal, opened) = open(&disk, 2000);
    assert!(opened.clean && opened.notes.is_empty());
    assert_eq!(numbers(&journal.reader()).unwrap(), all);
}

#[test]
fn replay_starts_where_it_is_told() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 1000);
    for n in 0..30 {
        append_commit(&mut journal, n * 5..n * 5 + 5);
        if n % 4 == 0 {
            journal.migrate_step().unwrap();
        }
    }
    // Sequence 1 is the opening itself, so the record with number n has sequence n + 2.
    for from in 2..152u64 {
        let mut first = None;
        journal
            .reader()
            .replay::<()>(from, &mut |r| {
                first = first.or(Some(r.header.seq));
                Ok(())
            })
            .unwrap();
        assert_eq!(first, (from <= 151).then_some(from));
    }
    let stopped = journal.reader().replay(2, &mut |r| {
        if r.header.seq == 40 { Err("enough") } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(crate::ReplayError::Stopped("enough"))));
}

#[test]
fn large_records_pass_through_tail_and_log() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 10_000);
    for n in 0..6 {
        journal.append(&[draft(1, n, 50_000), draft(2, 100 + n, 9)]).unwrap();
        journal.commit().unwrap();
    }
    while journal.migrate_step().unwrap() {}
    let mut sizes = Vec::new();
    journal
        .reader()
        .history::<()>(1, &mut |r| {
            sizes.push(r.body.len());
            Ok(())
        })
        .unwrap();
    assert_eq!(sizes, [50_000; 6]);
    let too_long = RecordDraft { body: vec![0; crate::record::BODY_BYTES_MAX + 1], ..RecordDraft::default() };
    assert!(matches!(journal.append(&[too_long]), Err(Error::Refused { .. })));
    let own = RecordDraft { kind: KIND_EPOCH, ..RecordDraft::default() };
    assert!(matches!(journal.append(&[own]), Err(Error::Refused { .. })));
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), Options::default()).unwrap();
    append_commit(&mut journal, 0..3);
    for attempt in 0..2 {
        let refused = if attempt == 0 {
            Journal::open(dir.path(), Options::default()).map(drop)
        } else {
            read_dir(dir.path()).map(drop)
        };
        match refused {
            Err(Error::Busy { holder, .. }) => assert_eq!(holder.pid, std::process::id()),
            other => panic!("{other:?}"),
        }
    }
    journal.close().unwrap();
    let (reader, opened) = read_dir(dir.path()).unwrap();
    assert_eq!(numbers(&reader).unwrap(), [0, 1, 2]);
    assert!(opened.clean);
}

#[test]
fn checkpoints_shorten_the_replay_and_two_are_kept() {
    let disk = ModelDisk::new();
    let (mut journal, opened) = open(&disk, 1 << 20);
    assert!(opened.checkpoint.is_none());
    let writer = journal.checkpoint_writer();
    for n in 0..4u64 {
        let last = journal.append(&[draft(1, n, 10)]).unwrap().last;
        assert!(matches!(writer.write(last, 0, []), Err(Error::Refused { .. })));
        journal.commit().unwrap();
        writer.write(last, 55, (0..=n).map(|k| draft(9, k, 100))).unwrap();
    }
    drop((journal, writer));
    let mut names = disk.list(Path::new(DIR)).unwrap();
    names.retain(|n| n.starts_with("checkpoint"));
    assert_eq!(names.len(), 2);
    let image = open(&disk, 1 << 20).1.checkpoint.unwrap();
    assert_eq!((image.records, image.at.seq, image.time_us), (4, 5, 55));
    let mut seen = 0u64;
    image
        .read::<()>(&mut |r| {
            assert_eq!(r.body[..8], seen.to_le_bytes());
            seen += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, 4);
    // The newer one is damaged at any byte: the older one serves, and a note says so.
    let newest = in_dir(names.last().unwrap());
    for at in 0..200 {
        disk.edit(&newest, |b| b[at] ^= 1);
        let mut notes = Vec::new();
        let image = checkpoint::newest(&disk, Path::new(DIR), &mut notes).unwrap().unwrap();
        assert_eq!((image.at.seq, notes.len()), (4, 1), "byte {at}");
        disk.edit(&newest, |b| b[at] ^= 1);
    }
}

#[test]
fn reading_goes_on_where_it_was() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 2000);
    let reader = journal.reader();
    let (mut place, mut seen, mut next) = (crate::Place::before(0), Vec::new(), 0u64);
    for round in 0..200u64 {
        append_commit(&mut journal, next..next + round % 7);
        next += round % 7;
        if round % 5 == 0 {
            while journal.migrate_step().unwrap() {}
        }
        // A few records at a time, and sometimes none for a while.
        for _ in 0..round % 4 {
            let mut left = 3;
            let read = reader.resume(&mut place, &mut |r| {
                seen.push(u64::from_le_bytes(r.body[..8].try_into().unwrap()));
                left -= 1;
                if left == 0 { Err(()) } else { Ok(()) }
            });
            assert!(matches!(read, Ok(_) | Err(crate::ReplayError::Stopped(()))));
        }
    }
    reader
        .resume::<()>(&mut place, &mut |r| {
            seen.push(u64::from_le_bytes(r.body[..8].try_into().unwrap()));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, (0..next).collect::<Vec<_>>());
    assert_eq!(place.next_seq(), journal.durable().seq + 1);
}
