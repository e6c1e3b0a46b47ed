//! Power loss, I/O errors and full disks at every operation, over the model disk.
//!
//! **Invariant:** whatever `commit` returned is there afterwards, in order and unchanged; what follows is a prefix
//! of what was appended.

use super::*;
use crate::disk::Fault;

/// One life of a journal, ended by `fault` at the `at`-th operation; returns the last number known to be durable.
fn live(disk: &ModelDisk, seed: u64, committed: &mut u64, next: &mut u64) -> Result<(), Error> {
    let (mut journal, opened) = Journal::open(Path::new(DIR), options(disk, 1500, seed.is_multiple_of(3)))?;
    let seen = numbers(&journal.reader())?;
    check(&seen, *committed, *next, seed);
    // Numbers that were appended but not committed may be there or not; go on behind those that are.
    *committed = seen.len() as u64;
    *next = *committed;
    if let Some(image) = &opened.checkpoint {
        assert!(image.at.seq < opened.next_seq, "seed {seed}");
    }
    for step in 0..12u64 {
        let count = 1 + (seed.wrapping_mul(31) + step * 7) % 9;
        let group: Vec<RecordDraft> = (*next..*next + count).map(|n| draft(1, n, 20 + (n % 50) as usize)).collect();
        *next += count;
        journal.append(&group)?;
        if step % 3 != 1 {
            journal.commit()?;
            *committed = *next;
        }
        if step % 5 == 2 {
            journal.migrate_step()?;
        }
        if step % 6 == 5 {
            journal.checkpoint_writer().write(journal.durable(), step, (0..step).map(|n| draft(1, n, 90)))?;
        }
    }
    if seed.is_multiple_of(2) {
        journal.close()?;
        *committed = *next;
    }
    Ok(())
}

fn check(seen: &[u64], committed: u64, next: u64, seed: u64) {
    assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>(), "seed {seed}");
    let n = seen.len() as u64;
    assert!(n >= committed && n <= next, "seed {seed}: {n} records, {committed} committed, {next} appended");
}

#[test]
fn power_loss_loses_nothing_that_was_committed() {
    for seed in 0..campaign(8000) {
        let disk = ModelDisk::new();
        let (mut committed, mut next) = (0, 0);
        for life in 0..4u64 {
            let at = disk.operations() + 1 + (seed.wrapping_mul(0x9E37_79B9) >> (life * 3)) % 130;
            disk.fault_at(at, Fault::PowerLoss);
            // Damage reported here would be a false alarm: the disk only lost what was not synced.
            match live(&disk, seed, &mut committed, &mut next) {
                Ok(()) => {}
                Err(e) => assert!(!e.is_damage(), "seed {seed} life {life}: {e}"),
            }
            disk.crash(seed ^ (life << 40));
        }
        let (journal, _) = open(&disk, 1500);
        check(&numbers(&journal.reader()).unwrap(), committed, next, seed);
    }
}

#[test]
fn an_io_error_at_any_operation_is_an_error_and_loses_nothing() {
    let operations = {
        let disk = ModelDisk::new();
        live(&disk, 2, &mut 0, &mut 0).unwrap();
        disk.operations()
    };
    for fault in [Fault::Eio, Fault::Full] {
        for at in 1..=operations {
            let disk = ModelDisk::new();
            disk.fault_at(at, fault);
            let (mut committed, mut next) = (0, 0);
            match live(&disk, at, &mut committed, &mut next) {
                Ok(()) => {}
                Err(e) => assert!(!e.is_damage(), "operation {at}: {e}"),
            }
            disk.heal();
            // Either the process dies only, or the power goes as well: a failed sync must not have counted.
            if at % 2 == 0 {
                disk.kill()
            } else {
                disk.crash(at)
            }
            let (journal, _) = Journal::open(Path::new(DIR), options(&disk, 1500, false)).unwrap();
            check(&numbers(&journal.reader()).unwrap(), committed, next, at);
        }
    }
}

#[test]
fn a_failed_sync_is_recovered_into_a_new_file() {
    for power_loss in [false, true] {
        let disk = ModelDisk::new();
        let (mut journal, _) = open(&disk, 1 << 20);
        append_commit(&mut journal, 0..5);
        journal.append(&[draft(1, 5, 10)]).unwrap();
        disk.fault_at(disk.operations() + 1, Fault::Eio);
        assert!(matches!(journal.commit(), Err(Error::SyncFailed { .. })));
        assert!(matches!(journal.commit(), Err(Error::Poisoned)));
        assert!(matches!(journal.append(&[draft(1, 9, 10)]), Err(Error::Poisoned)));
        assert_eq!(numbers(&journal.reader()).unwrap().len(), 5);
        assert!(journal.stats().poisoned);
        disk.fault_at(disk.operations() + 3, Fault::Eio);
        assert!(journal.recover().is_err());
        assert!(matches!(journal.commit(), Err(Error::Poisoned)));
        journal.recover().unwrap();
        append_commit(&mut journal, 6..9);
        assert_eq!(numbers(&journal.reader()).unwrap(), (0..9).collect::<Vec<_>>());
        if power_loss {
            disk.crash(3);
        } else {
            drop(journal);
            disk.kill();
        }
        let (journal, opened) = open(&disk, 1 << 20);
        assert_eq!(numbers(&journal.reader()).unwrap(), (0..9).collect::<Vec<_>>());
        assert!(opened.notes.is_empty(), "{:?}", opened.notes);
    }
}

#[test]
fn a_full_disk_takes_the_group_back_and_goes_on_when_there_is_space() {
    for room in (0..3000).step_by(7) {
        let disk = ModelDisk::new();
        let (mut journal, _) = open(&disk, 700);
        append_commit(&mut journal, 0..3);
        let (mut next, mut acked) = (3, 3);
        disk.set_capacity(Some(disk.used_bytes() + room));
        let mut full = false;
        for _ in 0..40 {
            match journal.append(&[draft(1, next, 40), draft(1, next + 1, 60)]) {
                Ok(_) => {
                    journal.commit().unwrap();
                    next += 2;
                    acked = next;
                }
                Err(e) => {
                    assert!(e.is_full(), "{e}");
                    full = true;
                    break;
                }
            }
        }
        assert!(full);
        assert_eq!(numbers(&journal.reader()).unwrap(), (0..acked).collect::<Vec<_>>(), "room {room}");
        disk.set_capacity(None);
        append_commit(&mut journal, next..next + 4);
        drop(journal);
        disk.crash(room);
        let (journal, _) = open(&disk, 700);
        assert_eq!(numbers(&journal.reader()).unwrap(), (0..next + 4).collect::<Vec<_>>(), "room {room}");
    }
}

#[test]
fn the_ballast_is_given_up_once_and_restored() {
    let disk = ModelDisk::new();
    let with_ballast = Options { ballast_bytes: 5000, ..options(&disk, 1 << 20, false) };
    let (mut journal, _) = Journal::open(Path::new(DIR), with_ballast).unwrap();
    append_commit(&mut journal, 0..2);
    disk.set_capacity(Some(disk.used_bytes() + 10));
    assert!(!journal.stats().low_space);
    append_commit(&mut journal, 2..4);
    assert!(journal.stats().low_space);
    while journal.append(&[draft(1, 9, 500)]).is_ok() {
        journal.commit().unwrap();
    }
    assert!(!journal.restore_ballast());
    disk.set_capacity(None);
    assert!(journal.restore_ballast() && !journal.stats().low_space);
}

#[test]
fn a_killed_process_leaves_what_it_wrote() {
    let disk = ModelDisk::new();
    for life in 0..30u64 {
        let (mut journal, opened) = open(&disk, 900);
        assert_eq!(opened.epoch, life as u32 + 1);
        append_commit(&mut journal, life * 6..life * 6 + 3);
        journal.append(&[draft(1, life * 6 + 3, 9), draft(1, life * 6 + 4, 9), draft(1, life * 6 + 5, 9)]).unwrap();
        if life % 4 == 0 {
            journal.migrate_step().unwrap();
        }
        drop(journal);
        disk.kill();
    }
    let (journal, _) = open(&disk, 900);
    assert_eq!(numbers(&journal.reader()).unwrap(), (0..180).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let lost = (0..60).filter(|seed| {
        let disk = ModelDisk::new();
        disk.let_syncs_lie();
        let (mut journal, _) = open(&disk, 1 << 20);
        append_commit(&mut journal, 0..5);
        drop(journal);
        disk.crash(*seed);
        let again = Journal::open(Path::new(DIR), options(&disk, 1 << 20, false));
        !again.is_ok_and(|(journal, _)| numbers(&journal.reader()).is_ok_and(|n| n.len() == 5))
    });
    assert!(lost.count() > 20, "the model must be able to lose what was not synced");
}
