//! Disks that refuse for a while: what was taken back stays away, what was committed stays, and the journal goes on.
//!
//! **Invariant:** a record is there after the end if and only if it was committed, whatever failed in between.

use super::*;
use crate::disk::Fault;

/// Appends and commits one group after the other; a group that the disk refuses is taken back, and `renew` is tried until
/// it works. Gives whether every taking back was confirmed, with the highest epoch that was given out.
fn insist(journal: &mut Journal, committed: &mut Vec<u64>, groups: u64) -> (bool, u32) {
    let mut confirmed = true;
    for n in 0..groups {
        // Some groups are appended together with the one before, which then succeeds or is taken back with it.
        let mut kept = vec![n * 2, n * 2 + 1];
        let first = journal.append(&[draft(1, n * 2, 40), draft(2, n * 2 + 1, 90)]);
        let second = if n % 3 == 0 && first.is_ok() {
            kept.push(1000 + n);
            journal.append(&[draft(3, 1000 + n, 700)]).map(|_| ())
        } else {
            first.map(|_| ())
        };
        match second.and_then(|()| journal.commit()) {
            Ok(_) => committed.extend(kept),
            Err(e) => {
                assert!(!e.is_damage(), "{e}");
                confirmed &= journal.take_back().is_ok();
                assert_eq!(journal.end(), journal.durable());
                let before = journal.epoch();
                while let Err(e) = journal.renew() {
                    assert!(!e.is_damage(), "{e}");
                    assert_eq!(journal.epoch(), before);
                }
                assert!(journal.epoch() > before && !journal.stats().poisoned);
            }
        }
    }
    (confirmed, journal.epoch())
}

#[test]
fn what_is_taken_back_does_not_come_back() {
    let operations = {
        let disk = ModelDisk::new();
        insist(&mut open(&disk, 2000).0, &mut Vec::new(), 9);
        disk.operations()
    };
    for fault in [Fault::Eio, Fault::Full] {
        for at in 1..=operations {
            for power in [false, true] {
                let disk = ModelDisk::new();
                let (mut journal, _) = open(&disk, 2000);
                disk.fault_at(disk.operations() + at, fault);
                let mut committed = Vec::new();
                let (_, epoch) = insist(&mut journal, &mut committed, 9);
                assert_eq!(numbers(&journal.reader()).unwrap(), committed, "{fault:?} at {at}");
                drop(journal);
                disk.heal();
                if power {
                    disk.crash(at)
                } else {
                    disk.kill()
                }
                let (journal, opened) = open(&disk, 2000);
                assert_eq!(numbers(&journal.reader()).unwrap(), committed, "{fault:?} at {at}, power {power}");
                assert!(opened.epoch > epoch, "{fault:?} at {at}");
            }
        }
    }
}

#[test]
fn a_server_that_dies_before_it_can_go_on_has_only_what_was_committed() {
    for at in 1..40 {
        for fault in [Fault::Eio, Fault::Full] {
            let disk = ModelDisk::new();
            let (mut journal, _) = open(&disk, 1 << 20);
            append_commit(&mut journal, 0..4);
            disk.fault_at(disk.operations() + at, fault);
            let appended = journal.append(&[draft(1, 4, 30), draft(1, 5, 2000)]);
            let done = appended.and_then(|_| journal.commit());
            let kept = if done.is_ok() { 6 } else { 4 };
            let confirmed = done.is_ok() || journal.take_back().is_ok();
            assert!(confirmed, "one fault does not hit both");
            drop(journal);
            disk.heal();
            disk.kill();
            let (journal, opened) = open(&disk, 1 << 20);
            assert_eq!(numbers(&journal.reader()).unwrap(), (0..kept).collect::<Vec<_>>(), "{fault:?} at {at}");
            assert!(opened.notes.is_empty(), "{:?}", opened.notes);
        }
    }
}

#[test]
fn the_ballast_is_as_large_as_the_space_allows() {
    for (free, size) in [(10_000_000, 4_194_304), (3_000_000, 1_048_576), (600_000, 262_144), (140_000, 65_536)] {
        let disk = ModelDisk::new();
        disk.set_capacity(Some(free));
        let with_ballast = Options { ballast_bytes: 4 << 20, ..options(&disk, 1 << 20, false) };
        let (journal, _) = Journal::open(Path::new(DIR), with_ballast.clone()).unwrap();
        let bytes = |disk: &ModelDisk| disk.open(&in_dir(BALLAST_NAME), Access::Read).unwrap().bytes().unwrap();
        assert_eq!(bytes(&disk), size, "{free} bytes free");
        assert!(!journal.stats().low_space);
        // With more space it grows at the next start.
        drop(journal);
        disk.kill();
        disk.set_capacity(None);
        let (_journal, _) = Journal::open(Path::new(DIR), with_ballast).unwrap();
        assert_eq!(bytes(&disk), 4 << 20);
    }
}

#[test]
fn without_space_for_a_ballast_the_journal_does_not_go_on() {
    let disk = ModelDisk::new();
    let with_ballast = Options { ballast_bytes: 1 << 20, ..options(&disk, 1 << 20, false) };
    let (mut journal, _) = Journal::open(Path::new(DIR), with_ballast).unwrap();
    append_commit(&mut journal, 0..3);
    // Others take what the ballast leaves.
    disk.set_capacity(Some(disk.used_bytes() - (1 << 20)));
    assert!(journal.append(&[draft(1, 3, 30)]).is_err_and(|e| e.is_full()));
    journal.take_back().unwrap();
    for room in [100, 65_536, 1_000_000, 2_000_000] {
        disk.set_capacity(Some(disk.used_bytes() + room));
        assert!(journal.renew().is_err_and(|e| e.is_full()), "{room} bytes free");
    }
    disk.set_capacity(Some(disk.used_bytes() + journal.wanted_bytes()));
    journal.renew().unwrap();
    append_commit(&mut journal, 3..5);
    assert_eq!(numbers(&journal.reader()).unwrap(), (0..5).collect::<Vec<_>>());
}
