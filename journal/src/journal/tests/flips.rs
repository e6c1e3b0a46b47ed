//! Flips and cuts at every byte and damaged blocks everywhere, over a log that fills tail files, page store, images and
//! kept file.
//!
//! `damage` looks at one small tail file and says which message comes; here every byte that a journal has is hit, and
//! the only question is whether anything was ever read as what it is not.
//!
//! **Invariant:** each case is refused by name, cut as torn with a note, or has exactly what was committed.

use super::*;

/// One in this many bytes in every run; all of them, with all of their bits, in a campaign.
const SHARE: usize = 23;

/// Ends a journal in order, or with its process.
fn end(journal: Journal, disk: &ModelDisk, closed: bool) {
    if closed {
        journal.close().unwrap();
    } else {
        drop(journal);
        disk.kill();
    }
}

/// A journal of about 32 KiB in tail files and as much in the store, closed or killed; the records in it.
fn build(closed: bool, groups: u64) -> (ModelDisk, Vec<u64>) {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 8000);
    for n in 0..groups {
        append_commit(&mut journal, n * 4..n * 4 + 4);
        if n == groups / 2 {
            while journal.migrate_step().unwrap() {}
        }
    }
    end(journal, &disk, closed);
    (disk, (0..groups * 4).collect())
}

fn files(disk: &ModelDisk, prefix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.list(Path::new(DIR)).unwrap().into_iter().filter(|n| n.starts_with(prefix));
    names.map(|name| in_dir(&name)).map(|path| (path.clone(), content(disk, &path))).collect()
}

fn content(disk: &ModelDisk, path: &Path) -> Vec<u8> {
    let mut copy = Vec::new();
    disk.edit(path, |b| copy = b.clone());
    copy
}

/// How a damaged journal was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Refused,
    Torn,
    Whole,
}

/// Opens and reads; panics if anything was read that is not a beginning of what was committed.
fn outcome(disk: &ModelDisk, expected: &[u64], what: &dyn Fn() -> String) -> Taken {
    let opened = Journal::open(Path::new(DIR), options(disk, 8000, false));
    let read = opened.and_then(|(journal, opened)| Ok((numbers(&journal.reader())?, opened.notes)));
    let (seen, notes) = match read {
        Ok(read) => read,
        Err(e) => {
            assert!(e.is_damage(), "{}: {e}", what());
            let text = e.to_string();
            assert!(text.contains(DIR) || text.contains("record"), "{}: nothing is named: {text}", what());
            return Taken::Refused;
        }
    };
    assert!(expected.starts_with(&seen), "{}: {} records that were never written so", what(), seen.len());
    if seen.len() == expected.len() {
        return Taken::Whole;
    }
    assert!(!notes.is_empty(), "{}: {} records are gone without a word", what(), expected.len() - seen.len());
    Taken::Torn
}

fn bits(at: usize) -> std::ops::Range<u32> {
    let only = (at % 8) as u32;
    if campaign(1) > 1 { 0..8 } else { only..only + 1 }
}

/// Every byte in a campaign, every [`SHARE`]th otherwise.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(if campaign(1) > 1 { 1 } else { SHARE })
}

#[test]
fn no_flip_of_a_log_is_read_as_data() {
    for closed in [false, true] {
        let (disk, expected) = build(closed, 76);
        let (mut cases, mut refused) = (0, 0);
        let mut count = |taken| {
            cases += 1;
            refused += usize::from(taken == Taken::Refused);
            assert!(!(closed && taken == Taken::Torn), "an end that the mark names is not torn");
        };
        for (path, bytes) in files(&disk, "tail-") {
            for (at, bit) in places(bytes.len()).flat_map(|at| bits(at).map(move |bit| (at, bit))) {
                let copy = disk.copy();
                copy.edit(&path, |b| b[at] ^= 1 << bit);
                count(outcome(&copy, &expected, &|| format!("{} byte {at} bit {bit}", path.display())));
            }
        }
        let mut pages = Vec::new();
        disk.edit_store(&in_dir(LOG_NAME), |p| {
            pages.extend(p.iter().filter(|(key, _)| key[0] < 0x10).map(|(key, value)| (key.clone(), value.len())));
        });
        assert!(pages.len() >= 3, "{} pages", pages.len());
        for (key, length) in pages {
            for (at, bit) in places(length).flat_map(|at| bits(at).map(move |bit| (at, bit))) {
                let copy = disk.copy();
                copy.edit_store(&in_dir(LOG_NAME), |p| p.get_mut(&key).unwrap()[at] ^= 1 << bit);
                let what = || format!("page {key:02x?} byte {at} bit {bit}");
                let taken = outcome(&copy, &expected, &what);
                assert_ne!(taken, Taken::Torn, "{}", what());
                count(taken);
            }
        }
        println!("closed {closed}: {cases} flips, {refused} refused, the others cut as torn or harmless");
        assert!(cases * SHARE >= 32_000 && refused * 3 > cases, "{cases} flips, {refused} refused");
    }
}

#[test]
fn no_cut_of_a_log_is_silent() {
    for closed in [false, true] {
        let (disk, expected) = build(closed, 76);
        let (mut cases, mut refused) = (0, 0);
        let tails = files(&disk, "tail-");
        let last = tails.last().unwrap().0.clone();
        for (path, bytes) in &tails {
            for cut in places(bytes.len()) {
                let copy = disk.copy();
                copy.edit(path, |b| b.truncate(cut));
                // A log that was not closed and ends between two records looks as if no more had been written.
                let between = !closed && *path == last && boundaries(bytes).contains(&cut);
                if between {
                    continue;
                }
                let taken = outcome(&copy, &expected, &|| format!("{} cut at {cut}", path.display()));
                assert!(taken != Taken::Torn || !closed, "{} cut at {cut}", path.display());
                cases += 1;
                refused += usize::from(taken == Taken::Refused);
            }
        }
        println!("closed {closed}: {cases} cuts, {refused} refused, the others cut as torn or harmless");
        assert!(cases > 0 && refused > 0, "{cases} cuts, {refused} refused");
    }
}

/// Ends of the intact records of a file.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let bytes = bytes.to_vec();
    let mut scanner = crate::scan::Scanner::new(&bytes, 0, u64::MAX).unwrap();
    let mut ends = Vec::new();
    while scanner.next().unwrap().is_some() {
        ends.push(usize::try_from(scanner.position()).unwrap());
    }
    ends
}

/// splitmix64 (Steele, Lea, Flood 2014).
fn random(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    usize::try_from((z ^ (z >> 31)) % below.max(1) as u64).unwrap()
}

/// Does one kind of harm to a block of 512 bytes to 64 KiB; its name.
fn harm(bytes: &mut Vec<u8>, seed: &mut u64) -> &'static str {
    let block = (512 << random(seed, 8)).min(bytes.len() / 2 / 512 * 512);
    let place = |seed: &mut u64| random(seed, (bytes.len() - block) / 512 + 1) * 512;
    let (from, to) = (place(seed), place(seed));
    let copy = bytes[from..from + block].to_vec();
    let kind = random(seed, 5);
    match kind {
        0 => bytes[to..to + block].fill(0),
        1 => bytes[to..to + block].copy_from_slice(&copy),
        2 => drop(bytes.splice(to..to, copy)),
        3 => drop(bytes.drain(from..from + block)),
        _ => {
            bytes.copy_within(to..to + block, from);
            bytes[to..to + block].copy_from_slice(&copy);
        }
    }
    ["zeroed", "overwritten", "doubled", "taken out", "swapped"][kind]
}

#[test]
fn no_damaged_block_is_silent() {
    let built = [false, true].map(|closed| {
        let disk = ModelDisk::new();
        let (mut journal, _) = open(&disk, 90_000);
        for n in 0..420 {
            append_commit(&mut journal, n * 4..n * 4 + 4);
            if n == 250 {
                while journal.migrate_step().unwrap() {}
            }
        }
        end(journal, &disk, closed);
        disk
    });
    let expected: Vec<u64> = (0..1680).collect();
    let (mut cases, mut refused) = (0, 0);
    for case in 0..campaign(300) {
        let mut seed = case;
        let closed = random(&mut seed, 2);
        let disk = built[closed].copy();
        let tails = files(&disk, "tail-");
        let (path, before) = &tails[random(&mut seed, tails.len())];
        let mut what = "";
        disk.edit(path, |bytes| what = harm(bytes, &mut seed));
        let after = content(&disk, path);
        if after == *before || before.starts_with(&after) && boundaries(before).contains(&after.len()) {
            continue;
        }
        let taken = outcome(&disk, &expected, &|| format!("case {case}: {what}"));
        assert!(taken != Taken::Torn || closed == 0, "case {case}: {what}");
        cases += 1;
        refused += u64::from(taken == Taken::Refused);
    }
    println!("{cases} damaged blocks, {refused} refused, the others cut as torn or harmless");
    assert!(cases * 10 > campaign(300) * 7 && refused * 3 > cases, "{cases} blocks, {refused} refused");
}

/// Bodies of all records of an image.
fn image(checkpoint: &crate::Checkpoint) -> Result<Vec<Vec<u8>>, crate::ReplayError<()>> {
    let mut bodies = Vec::new();
    checkpoint.read::<()>(&mut |record| {
        bodies.push(record.body.to_vec());
        Ok(())
    })?;
    Ok(bodies)
}

#[test]
fn no_flip_of_an_image_or_of_what_was_kept_is_read_as_data() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, 4000);
    for n in 0..40 {
        append_commit(&mut journal, n * 3..n * 3 + 3);
    }
    journal.pruner().begin_tail();
    journal.commit().unwrap();
    let at = journal.durable();
    journal.checkpoint_writer().write_twice(at, 5, (0..40).map(|n| draft(9, n, 60))).unwrap();
    journal.pruner().prune(at, 5, &mut |record| record.header.job != 1).unwrap();
    append_commit(&mut journal, 120..126);
    journal.close().unwrap();
    let expected = numbers(&open(&disk.copy(), 4000).0.reader()).unwrap();
    assert_eq!(expected.len(), 80 + 6);
    let whole: Vec<Vec<u8>> = (0..40).map(|n| draft(9, n, 60).body).collect();
    let mut cases = 0;
    for (path, bytes) in files(&disk, "checkpoint-").into_iter().chain(files(&disk, "kept-")) {
        let is_image = path.to_string_lossy().contains("checkpoint-");
        for (at, bit) in places(bytes.len()).flat_map(|at| bits(at).map(move |bit| (at, bit))) {
            cases += 1;
            let what = format!("{} byte {at} bit {bit}", path.display());
            let copy = disk.copy();
            copy.edit(&path, |b| b[at] ^= 1 << bit);
            let (journal, opened) = open(&copy, 4000);
            assert_eq!(image(&opened.checkpoint.unwrap()).unwrap(), whole, "{what}: the other image is taken");
            match numbers(&journal.reader()) {
                Ok(seen) if is_image => assert_eq!(seen, expected, "{what}"),
                Ok(seen) => {
                    let noted = opened.notes.iter().any(|note| note.contains("history"));
                    assert!(noted && seen == expected[80..], "{what}: {:?}", opened.notes);
                }
                Err(e) => assert!(!is_image && e.is_damage(), "{what}: {e}"),
            }
        }
    }
    // With both images hit there is no state to start from, and that is said.
    let images = files(&disk, "checkpoint-");
    assert_eq!(images.len(), 2);
    for at in places(images[0].1.len()) {
        let copy = disk.copy();
        images.iter().for_each(|(path, _)| copy.edit(path, |b| b[at] ^= 4));
        assert!(Journal::open(Path::new(DIR), options(&copy, 4000, false)).is_err_and(|e| e.is_damage()), "byte {at}");
        cases += 1;
    }
    println!("{cases} flips in images and in what was kept: all found");
}
