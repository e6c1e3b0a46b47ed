//! What becomes of a journal whose page store is damaged, on real files with sled.
//!
//! sled panics, opens empty, or loses its end silently when its files are damaged; none of that may cost a record
//! that the tail still holds, and what is lost must be named.
//!
//! **Invariant:** after each kind of damage the journal holds all records, or is refused by name.

use std::fs;

use super::*;

fn real(rotate_bytes: u64) -> Options {
    Options { rotate_bytes, background: false, ballast_bytes: 0, ..Options::default() }
}

/// A closed journal of 6,000 records whose oldest half is only in the store.
fn build(dir: &Path, checkpoint: bool) {
    let (mut journal, _) = Journal::open(dir, real(60_000)).unwrap();
    for n in 0..60 {
        append_commit(&mut journal, n * 100..n * 100 + 100);
        if n % 10 == 9 {
            while journal.migrate_step().unwrap() {}
        }
    }
    assert!(journal.stats().log_end_seq > 4000, "{:?}", journal.stats());
    if checkpoint {
        journal.checkpoint_writer().write(journal.durable(), 0, (0..10).map(|n| draft(1, n, 50))).unwrap();
    }
    journal.close().unwrap();
    // Opening makes sled write its snapshot.
    Journal::open(dir, real(60_000)).unwrap().0.close().unwrap();
}

fn outcome(dir: &Path, what: &str) -> Result<Vec<String>, Error> {
    let (mut journal, opened) = Journal::open(dir, real(60_000))?;
    let seen = numbers(&journal.reader())?;
    let first = seen.first().copied().unwrap_or(6000);
    assert_eq!(seen, (first..6000).collect::<Vec<_>>(), "{what}");
    let (base, end) = (opened.base_seq, opened.next_seq);
    assert!(first == 0 || (base > 1 && !opened.notes.is_empty()), "{what}: from {first}, base {base}");
    while journal.migrate_step()? {}
    append_commit(&mut journal, 6000..6010);
    assert!(journal.end().seq > end);
    Ok(opened.notes)
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs `damage` on copies of one journal and counts how many were refused.
fn campaign_on(checkpoint: bool, rounds: u64, damage: impl Fn(u64, &Path)) -> (u64, u64) {
    let base = tempfile::tempdir().unwrap();
    let original = base.path().join("original");
    build(&original, checkpoint);
    let (mut whole, mut refused) = (0, 0);
    for round in 0..rounds {
        let dir = base.path().join(format!("copy-{round}"));
        copy_dir(&original, &dir);
        damage(round, &dir.join(LOG_NAME));
        match outcome(&dir, &format!("round {round}")) {
            Ok(_) => whole += 1,
            Err(e) => {
                assert!(e.is_damage() || matches!(e, Error::Store { .. }), "round {round}: {e}");
                refused += 1;
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }
    (whole, refused)
}

fn edit_db(log: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(log.join("db")).unwrap();
    change(&mut bytes);
    fs::write(log.join("db"), bytes).unwrap();
}

fn somewhere(round: u64, len: usize) -> usize {
    let mixed = (round + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 17;
    usize::try_from(mixed).unwrap() % len
}

#[test]
fn the_undamaged_journal_is_whole() {
    assert_eq!(campaign_on(false, 1, |_, _| {}), (1, 0));
}

#[test]
fn a_flipped_byte_in_the_store_is_survived_or_named() {
    let (whole, refused) = campaign_on(false, campaign(12), |round, log| {
        edit_db(log, |b| {
            let at = somewhere(round, b.len());
            b[at] ^= 1 << (round % 8);
        });
    });
    assert_eq!(whole + refused, campaign(12));
}

#[test]
fn a_cut_or_lost_store_is_named_without_a_checkpoint_and_replaced_with_one() {
    let damages: [fn(u64, &Path); 3] = [
        |_, log| edit_db(log, |b| b.truncate(b.len() / 2)),
        |_, log| fs::remove_dir_all(log).unwrap(),
        |_, log| edit_db(log, |b| b.fill(0)),
    ];
    for damage in damages {
        let (whole, refused) = campaign_on(false, 1, damage);
        assert_eq!((whole, refused), (0, 1), "lost records must be named");
        assert_eq!(campaign_on(true, 1, damage), (1, 0));
    }
}

#[test]
fn a_damaged_snapshot_costs_nothing() {
    let (whole, _) = campaign_on(false, 2, |round, log| {
        let mut snapshots = 0;
        for entry in fs::read_dir(log).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                let mut bytes = fs::read(&path).unwrap();
                let at = somewhere(round, bytes.len());
                bytes[at] ^= 1;
                fs::write(&path, if round == 0 { bytes } else { Vec::new() }).unwrap();
                snapshots += 1;
            }
        }
        assert!(snapshots > 0);
    });
    assert_eq!(whole, 2);
}

#[test]
fn background_migration_and_reading_work_together() {
    let dir = tempfile::tempdir().unwrap();
    let background = Options { background: true, ..real(100_000) };
    let (mut journal, _) = Journal::open(dir.path(), background).unwrap();
    let reader = journal.reader();
    for n in 0..100 {
        append_commit(&mut journal, n * 100..n * 100 + 100);
        if n % 20 == 0 {
            assert_eq!(numbers(&reader).unwrap().len() as u64, n * 100 + 100);
        }
    }
    drop(reader);
    journal.close().unwrap();
    let (journal, opened) = Journal::open(dir.path(), real(100_000)).unwrap();
    assert!(opened.clean, "{:?}", opened.notes);
    assert_eq!(numbers(&journal.reader()).unwrap().len(), 10_000);
    for entry in fs::read_dir(dir.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let meta = entry.unwrap().metadata().unwrap();
        let expected = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.permissions().mode() & 0o777, expected);
    }
}
