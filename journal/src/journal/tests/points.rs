//! Crashes and errors at each step of everything that a journal does, by the names of the steps.
//!
//! One history writes, takes back, fills the disk, rotates, migrates, makes images, prunes, is torn, opened again and
//! repaired. Its steps have names such as `sync checkpoint.new`, and the power goes at each of them.
//!
//! **Invariant:** afterwards the journal opens and has every record that was committed, pruned or not pruned, and so
//! has a repaired one once its repair has ended.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::disk::{Disk, Fault, Step};
use crate::salvage::{Plan, Salvage};

const REPAIRED: &str = "/repaired";

/// What must be there.
#[derive(Default)]
struct Known {
    committed: u64,
    /// Up to where it is known, and may be, pruned.
    pruned: (u64, u64),
    repaired: bool,
}

fn with_ballast(disk: &ModelDisk, rotate_bytes: u64) -> Options {
    Options { ballast_bytes: 5000, ..options(disk, rotate_bytes, true) }
}

fn group(n: u64) -> Vec<RecordDraft> {
    (n..n + 6).map(|n| draft(1 + (n % 3) as u32, n, 30)).collect()
}

fn commit(journal: &mut Journal, known: &mut Known) -> Result<(), Error> {
    journal.append(&group(known.committed))?;
    journal.commit()?;
    known.committed += 6;
    Ok(())
}

/// The whole history; ends at the first error.
fn live(disk: &ModelDisk, rotate_bytes: u64, known: &mut Known) -> Result<(), Error> {
    let dir = Path::new(DIR);
    let (mut journal, _) = Journal::open(dir, with_ballast(disk, rotate_bytes))?;
    for round in 0..2 {
        for _ in 0..5 {
            commit(&mut journal, known)?;
        }
        // The same numbers again: what is taken back and what is committed later are one in the eyes of the check.
        journal.append(&group(known.committed))?;
        journal.take_back()?;
        while round == 0 && journal.migrate_step()? {}
        journal.checkpoint_writer().write(journal.durable(), 5, (0..4).map(|n| draft(9, n, 60)))?;
        journal.pruner().begin_tail();
        journal.commit()?;
        let at = journal.durable();
        journal.checkpoint_writer().write_twice(at, 5, (0..10).map(|n| draft(9, n, 60)))?;
        known.pruned.1 = known.committed;
        journal.pruner().prune(at, 5, &mut |record| record.header.job != 1)?;
        known.pruned.0 = known.committed;
    }
    disk.set_capacity(Some(disk.used_bytes()));
    let full = commit(&mut journal, known);
    disk.set_capacity(None);
    full?;
    journal.restore_ballast();
    commit(&mut journal, known)?;
    drop(journal);
    disk.kill();
    let names = disk.list(dir).unwrap_or_default();
    if let Some(last) = names.iter().rfind(|n| n.starts_with("tail-")) {
        disk.edit(&in_dir(last), |bytes| bytes.extend_from_slice(&[7; 40]));
    }
    let (mut journal, _) = Journal::open(dir, with_ballast(disk, rotate_bytes))?;
    for _ in 0..8 {
        commit(&mut journal, known)?;
    }
    while journal.migrate_step()? {}
    journal.close()?;
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let images = crate::checkpoint::intact(disk, dir)?;
    let plan = Plan { images, ..Plan::default() };
    let report = Salvage::open(shared, dir, Path::new("/copy"))?.rebuild(Path::new(REPAIRED), &plan)?;
    // A store that could not be opened just then is named as damaged, and what it had is not promised.
    known.repaired = report.damaged.is_empty() && report.lost.is_empty();
    Ok(())
}

/// Opens the journal and checks that it is as before or as after the last pruning, with all that was committed.
fn check(disk: &ModelDisk, dir: &str, known: &Known, what: &str) {
    let opened = Journal::open(Path::new(dir), with_ballast(disk, 900));
    let (journal, opened) = opened.unwrap_or_else(|e| panic!("{what}: {dir}: {e}"));
    let seen = numbers(&journal.reader()).unwrap_or_else(|e| panic!("{what}: {dir}: {e}"));
    // A commit whose success was not heard of may be there as well.
    let end = seen.last().map_or(0, |n| n + 1).max(known.committed);
    assert!(end <= known.committed + 6, "{what}: {dir}");
    let as_pruned = |below: u64| (0..end).filter(|n| n % 3 != 0 || *n >= below).collect::<Vec<u64>>();
    let fits = seen == as_pruned(known.pruned.0) || seen == as_pruned(known.pruned.1);
    assert!(fits, "{what}: {dir}: {seen:?}, notes {:?}", opened.notes);
    if opened.base_seq > 1 {
        assert!(opened.checkpoint.is_some_and(|image| image.at.seq + 1 >= opened.base_seq), "{what}: {dir}");
    }
    journal.close().unwrap_or_else(|e| panic!("{what}: {dir}: {e}"));
}

/// The name of a step: what is done to which kind of file, and whether it belongs to a repair.
fn name(step: &Step) -> String {
    let file = step.path.file_name().and_then(|n| n.to_str()).unwrap_or("nothing");
    let stem = file.split(['-', '.']).next().unwrap_or(file);
    let copy = if file.contains("-copy") { " copy" } else { "" };
    let new = if file.ends_with(".new") { ".new" } else { "" };
    let repair = if step.path.starts_with(REPAIRED) { "repair: " } else { "" };
    let kind = match stem {
        "journal" | "repaired" => "",
        "log" => " store",
        other => &format!(" {other}{copy}{new}"),
    };
    format!("{repair}{}{kind}", step.operation)
}

/// The operations of a history without faults, by name.
fn steps(rotate_bytes: u64) -> BTreeMap<String, Vec<u64>> {
    let disk = ModelDisk::new();
    disk.start_trace();
    let mut known = Known::default();
    live(&disk, rotate_bytes, &mut known).unwrap();
    let trace = disk.trace();
    check(&disk, DIR, &known, "without a fault");
    check(&disk, REPAIRED, &known, "without a fault");
    let mut by_name: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (at, step) in (1u64..).zip(trace) {
        by_name.entry(name(&step)).or_default().push(at);
    }
    by_name
}

/// Runs the history into `fault`; the step that met it.
fn run_into(disk: &ModelDisk, rotate_bytes: u64, at: u64, fault: Fault) -> (Option<String>, Known) {
    let mut known = Known::default();
    disk.fault_at(at, fault);
    if let Err(e) = live(disk, rotate_bytes, &mut known) {
        assert!(!e.is_damage(), "{fault:?} at {at}: {e}");
    }
    (disk.met().map(|step| name(&step)), known)
}

/// After the crash: the journal opens with everything, also when the power goes once more while it is put in order.
fn crash_and_check(disk: &ModelDisk, known: &Known, seed: u64, what: &str) {
    disk.set_capacity(None);
    disk.crash(seed);
    if seed % 2 == 1 {
        disk.fault_at(disk.operations() + 1 + seed / 2 % 23, Fault::PowerLoss);
        if let Err(e) = Journal::open(Path::new(DIR), with_ballast(disk, 900)) {
            assert!(!e.is_damage(), "{what}: {e}");
        }
        disk.crash(seed + 1);
    }
    check(disk, DIR, known, what);
    if known.repaired {
        check(disk, REPAIRED, known, what);
    }
}

#[test]
fn a_crash_at_each_named_step_loses_nothing() {
    let rotate_bytes = 900;
    let by_name = steps(rotate_bytes);
    let seeds = if campaign(1) > 1 { 200 } else { 20 };
    let mut hit = BTreeSet::new();
    for (name, places) in &by_name {
        for seed in 0..seeds {
            let at = places[usize::try_from(seed).unwrap() % places.len()];
            let disk = ModelDisk::new();
            let (met, known) = run_into(&disk, rotate_bytes, at, Fault::PowerLoss);
            assert_eq!(met.as_ref(), Some(name), "the history is the same each time");
            crash_and_check(&disk, &known, seed ^ (at << 20), &format!("{name}, operation {at}, seed {seed}"));
            hit.insert(name.clone());
        }
    }
    println!("{} named steps, {seeds} crashes at each: {hit:?}", hit.len());
    assert!(hit.len() >= 25 && hit.iter().any(|n| n.starts_with("repair: ")), "{hit:?}");
}

#[test]
fn an_error_at_each_named_step_is_no_success() {
    let sizes: &[u64] = if campaign(1) > 1 { &[700, 900, 1300, 2000] } else { &[900] };
    let (mut cases, mut hit) = (0, BTreeSet::new());
    for rotate_bytes in sizes.iter().copied() {
        let places: Vec<u64> = steps(rotate_bytes).into_values().flatten().collect();
        for (at, fault) in places.iter().flat_map(|at| [(*at, Fault::Eio), (*at, Fault::Full)]) {
            let disk = ModelDisk::new();
            let (met, known) = run_into(&disk, rotate_bytes, at, fault);
            hit.insert(met.unwrap());
            disk.heal();
            crash_and_check(&disk, &known, at, &format!("{fault:?} at {at}, rotation at {rotate_bytes}"));
            cases += 1;
        }
    }
    println!("{cases} errors at {} named steps: {hit:?}", hit.len());
    for operation in ["write tail", "sync tail", "rename tail.new", "open tail", "remove tail", "set length of tail"] {
        assert!(hit.contains(operation), "{operation} is not among {hit:?}");
    }
}
