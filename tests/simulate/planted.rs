//! The tests of the simulator: defects that are planted one at a time, each of which it has to find.
//!
//! Holds: all are found within [`SEEDS`] seeds; without one the same seeds pass.
//! `HQ_DEFECT=SettleNothing HQ_CAMPAIGN=5000` looks for one of them in so many.

use crate::settings::Settings;
use crate::world::World;
use hq_core::planted::{self, Planted};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds in which each defect is looked for.
const SEEDS: u64 = 400;
/// Hardly anything that a worker comes back with is not its own: leases have ended it before, or it was lost with a server
/// and is adopted. It takes a thousand seeds until something is, so it is looked for from here on.
const RARE: (Planted, u64) = (Planted::KeepForeign, 1_000);

/// A defect of the core and its shells, or of what stands around them here.
#[derive(Debug, Clone, Copy)]
enum Defect {
    Core(Planted),
    /// The disk says that it has synced, and has not.
    SyncLies,
    /// All starts of a server have the same epoch.
    EpochStays,
    /// A worker's machine repeats none of what was lost.
    DropsMessages,
}

/// The first seed that shows the defect, and how.
fn find(defect: Defect) -> Option<(u64, String)> {
    let first = if matches!(defect, Defect::Core(rare) if rare == RARE.0) { RARE.1 } else { 0 };
    (first..first + crate::number("HQ_CAMPAIGN").unwrap_or(SEEDS)).find_map(|seed| {
        let played = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(seed, Settings::new(seed));
            match defect {
                Defect::Core(defect) => planted::choose(Some(defect)),
                Defect::SyncLies => world.host.disk.let_syncs_lie(),
                Defect::EpochStays => world.epoch_stays = true,
                Defect::DropsMessages => world.drops_messages = true,
            }
            world.run();
            world.violation
        }));
        planted::choose(None);
        let text = played.unwrap_or_else(|_| Some("a panic".to_owned()))?;
        Some((seed, text))
    })
}

/// Looks for a part of the defects, so that the parts can run beside each other.
fn find_all(part: usize) {
    let core = planted::ALL.iter().map(|defect| Defect::Core(*defect));
    let all: Vec<Defect> = core.chain([Defect::SyncLies, Defect::EpochStays, Defect::DropsMessages]).collect();
    assert!(all.len() >= 20);
    // What a defect does to the code that has it may well be a panic; it need not be printed.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let wanted = std::env::var("HQ_DEFECT").unwrap_or_default();
    let all = all.into_iter().filter(|defect| format!("{defect:?}").contains(&wanted));
    for defect in all.skip(part).step_by(2) {
        match find(defect) {
            Some((seed, text)) => println!("{defect:?}: seed {seed}: {}", text.chars().take(160).collect::<String>()),
            None => missed.push(defect),
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_planted_defect_is_found_0() {
    find_all(0);
}

#[test]
fn every_planted_defect_is_found_1() {
    find_all(1);
}

/// No program that is shipped has the defects: only the tests ask for the feature.
#[test]
fn planted_defects_are_in_tests_only() {
    let manifest = include_str!("../../Cargo.toml");
    let (shipped, tests) = manifest.split_once("[dev-dependencies]").unwrap();
    assert!(!shipped.contains("planted") && tests.contains("\"planted\""));
    assert!(shipped.contains("resolver = \"3\""), "an older resolver would mix the features of tests and programs");
    assert!(!include_str!("../../src/core/Cargo.toml").contains("default ="));
}
