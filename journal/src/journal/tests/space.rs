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

/// Power losses that are played after each refusal; every one picks other sectors and names of what was not synced.
const LOSSES: u64 = 24;

/// The disk after its end, opened again.
fn reopened(disk: &ModelDisk, end: u64) -> Vec<u64> {
    disk.heal();
    disk.set_capacity(None);
    match end {
        0 => disk.kill(),
        seed => disk.crash(seed),
    }
    numbers(&open(disk, 1 << 20).0.reader()).unwrap()
}

#[test]
fn what_found_no_space_stays_away_after_a_power_loss() {
    for (room, new_tail) in (0..1500).step_by(61).flat_map(|room| [(room, false), (room, true)]) {
        for end in 0..LOSSES {
            let disk = ModelDisk::new();
            let (mut journal, _) = open(&disk, 1 << 20);
            append_commit(&mut journal, 0..4);
            disk.set_capacity(Some(disk.used_bytes() + room));
            // What fits of it is written, whole records among them.
            let group = [draft(1, 4, 30), draft(1, 5, 300), draft(1, 6, 2000)];
            for _ in 0..3 {
                assert!(journal.append(&group).is_err_and(|e| e.is_full()));
            }
            if new_tail {
                // A pruning wants to begin; the cut file must not be left behind for that.
                disk.set_capacity(None);
                journal.pruner().begin_tail();
                journal.commit().unwrap();
            }
            journal.take_back().unwrap();
            drop(journal);
            assert_eq!(reopened(&disk, end), (0..4).collect::<Vec<_>>(), "room {room}, {new_tail}, end {end}");
        }
    }
}

/// Tries a few times to make a group durable, as the server does, and takes it back where that fails. Before each of
/// that a fault is planned, so many operations later. Whether the group is durable, or else surely gone.
fn try_and_take_back(disk: &ModelDisk, journal: &mut Journal, faults: [u64; 4], fault: Fault) -> Option<bool> {
    let [tries @ .., taking_back] = faults;
    let mut is_appended = false;
    for after in tries {
        disk.fault_at(disk.operations() + after, fault);
        let recovered = if journal.stats().poisoned { journal.recover().map(|_| ()) } else { Ok(()) };
        let appended = recovered.and_then(|()| match is_appended {
            true => Ok(()),
            false => journal.append(&[draft(1, 4, 30), draft(1, 5, 900)]).map(|_| ()),
        });
        is_appended |= appended.is_ok();
        if appended.and_then(|()| journal.commit()).is_ok() {
            return Some(true);
        }
    }
    disk.fault_at(disk.operations() + taking_back, fault);
    journal.take_back().is_ok().then_some(false)
}

#[test]
fn what_was_written_into_a_new_file_and_is_taken_back_stays_away() {
    let mut outcomes = [0; 3];
    for n in 0..2 * 9 * 9 * 7 {
        let faults = [1 + n % 2, 1 + n / 2 % 9, 1 + n / 18 % 9, 1 + n / 162];
        for (fault, end) in [Fault::Eio, Fault::Full].into_iter().flat_map(|f| (0..6).map(move |end| (f, end))) {
            let disk = ModelDisk::new();
            let (mut journal, _) = open(&disk, 1 << 20);
            append_commit(&mut journal, 0..4);
            let outcome = try_and_take_back(&disk, &mut journal, faults, fault);
            drop(journal);
            let found = reopened(&disk, end);
            let told = format!("{fault:?} {faults:?}, end {end}: {outcome:?}");
            match outcome {
                Some(true) => assert_eq!(found, (0..6).collect::<Vec<_>>(), "{told}"),
                Some(false) => assert_eq!(found, (0..4).collect::<Vec<_>>(), "{told}"),
                None => assert_eq!(found[..4], [0, 1, 2, 3], "{told}"),
            }
            outcomes[outcome.map_or(2, usize::from)] += 1;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 500), "gone, durable, in doubt: {outcomes:?}");
}
