//! Cuts and flips at every byte: a torn tail is cut and kept, other damage is refused by name, wrong data never
//! appears.
//!
//! **Invariant:** the outcome of each case is one of: everything, a prefix that ends at an unacknowledged group, a
//! refusal.

use super::*;

/// A journal with six groups in one tail file; returns the file and the numbers after each group.
fn small(disk: &ModelDisk, close: bool) -> PathBuf {
    let (mut journal, _) = open(disk, 1 << 20);
    for n in 0..6 {
        append_commit(&mut journal, n * 2..n * 2 + 2);
    }
    if close {
        journal.close().unwrap();
    } else {
        drop(journal);
        disk.kill();
    }
    let names = disk.list(Path::new(DIR)).unwrap();
    in_dir(names.iter().rfind(|n| n.starts_with("tail-")).unwrap())
}

fn bytes_of(disk: &ModelDisk, path: &Path) -> Vec<u8> {
    let mut copy = Vec::new();
    disk.edit(path, |b| copy = b.clone());
    copy
}

/// Opens the journal and checks that it is a prefix of 0..12, or refuses with damage.
fn outcome(disk: &ModelDisk, what: &str) -> Result<(usize, Vec<String>), Error> {
    let opened = Journal::open(Path::new(DIR), options(disk, 1 << 20, false));
    let (journal, opened) = match opened {
        Ok(ok) => ok,
        Err(e) => {
            assert!(e.is_damage(), "{what}: {e}");
            return Err(e);
        }
    };
    let seen = numbers(&journal.reader()).unwrap();
    assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>(), "{what}");
    drop(journal);
    disk.kill();
    Ok((seen.len(), opened.notes))
}

/// The same disk for each case, made anew.
fn with_file(disk: &ModelDisk, path: &Path, bytes: &[u8]) -> ModelDisk {
    let copy = ModelDisk::new();
    for name in disk.list(Path::new(DIR)).unwrap() {
        let content = if in_dir(&name) == path { bytes.to_vec() } else { bytes_of(disk, &in_dir(&name)) };
        copy.open(&in_dir(&name), Access::CreateNew).unwrap().write_at(0, &content).unwrap();
        copy.edit(&in_dir(&name), |_| ());
    }
    copy
}

#[test]
fn every_cut_of_an_unclosed_log_is_a_torn_tail() {
    let disk = ModelDisk::new();
    let path = small(&disk, false);
    let whole = bytes_of(&disk, &path);
    for cut in 0..whole.len() {
        let copy = with_file(&disk, &path, &whole[..cut]);
        match outcome(&copy, &format!("cut at {cut}")) {
            Ok((n, notes)) => {
                assert!(n < 12);
                let boundary = notes.is_empty();
                let kept = copy.list(Path::new(DIR)).unwrap().iter().any(|n| n.starts_with("cut-"));
                assert_eq!(boundary, !kept, "cut at {cut}: {notes:?}");
            }
            // Without an intact head, or before the record that the first mark names.
            Err(_) => assert!(cut < 128, "cut at {cut}"),
        }
    }
}

#[test]
fn every_cut_of_a_closed_log_is_refused() {
    let disk = ModelDisk::new();
    let path = small(&disk, true);
    let whole = bytes_of(&disk, &path);
    for cut in 0..whole.len() {
        let copy = with_file(&disk, &path, &whole[..cut]);
        let refused = outcome(&copy, &format!("cut at {cut}")).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("durable") || text.contains("head"), "{text}");
        // What was refused is untouched, so that it can be repaired.
        assert_eq!(bytes_of(&copy, &path), whole[..cut], "cut at {cut}");
    }
}

#[test]
fn a_cut_is_accepted_when_the_loss_is_agreed_to() {
    let disk = ModelDisk::new();
    let path = small(&disk, true);
    disk.edit(&path, |b| b.truncate(b.len() - 5));
    assert!(outcome(&disk, "cut").is_err());
    let agreed = Options { accept_loss: true, ..options(&disk, 1 << 20, false) };
    let (journal, opened) = Journal::open(Path::new(DIR), agreed).unwrap();
    assert_eq!(numbers(&journal.reader()).unwrap().len(), 11);
    assert!(opened.notes.iter().any(|n| n.contains("agreed")), "{:?}", opened.notes);
}

#[test]
fn every_flip_is_cut_as_torn_or_refused_by_name() {
    for closed in [false, true] {
        let disk = ModelDisk::new();
        let path = small(&disk, closed);
        let whole = bytes_of(&disk, &path);
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            let copy = with_file(&disk, &path, &bytes);
            match outcome(&copy, &format!("flip at {at}")) {
                // Only the last group of an unclosed log can be taken for an unfinished write.
                Ok((n, notes)) => assert!(!closed && n >= 10 && !notes.is_empty(), "flip at {at}: {n} {notes:?}"),
                Err(e) => {
                    refused += 1;
                    assert!(e.to_string().contains("damaged between"), "{e}");
                }
            }
        }
        assert!(refused * 100 >= whole.len() * if closed { 100 } else { 80 });
    }
}

#[test]
fn flips_in_other_files_never_change_the_records() {
    let disk = ModelDisk::new();
    small(&disk, true);
    for name in ["mark", "checkpoint"] {
        let (mut journal, _) = open(&disk, 1 << 20);
        journal.checkpoint_writer().write(journal.durable(), 0, (0..3).map(|n| draft(1, n, 20))).unwrap();
        journal.commit().unwrap();
        journal.close().unwrap();
        let names = disk.list(Path::new(DIR)).unwrap();
        let path = in_dir(names.iter().find(|n| n.starts_with(name)).unwrap());
        let whole = bytes_of(&disk, &path);
        for at in (0..whole.len()).filter(|at| name != "mark" || at % 4096 < 64) {
            let mut bytes = whole.clone();
            bytes[at] ^= 16;
            let copy = with_file(&disk, &path, &bytes);
            assert_eq!(outcome(&copy, &format!("{name} {at}")).unwrap().0, 12);
        }
    }
}

#[test]
fn moved_and_doubled_blocks_are_noticed() {
    let disk = ModelDisk::new();
    let path = small(&disk, true);
    let whole = bytes_of(&disk, &path);
    for block in [64, 102, 204, 512] {
        for from in (0..whole.len() - block).step_by(37) {
            for to in (0..whole.len() - block).step_by(53) {
                let mut bytes = whole.clone();
                bytes.copy_within(from..from + block, to);
                if bytes != whole {
                    let copy = with_file(&disk, &path, &bytes);
                    assert!(outcome(&copy, &format!("block {block} {from} {to}")).is_err());
                }
            }
            let mut doubled = whole.clone();
            doubled.extend_from_slice(&whole[from..from + block]);
            let copy = with_file(&disk, &path, &doubled);
            assert_eq!(outcome(&copy, &format!("appended {block} {from}")).unwrap().0, 12);
        }
    }
}
