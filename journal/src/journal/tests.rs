//! Tests of the journal as the server uses it: over the model disk, and over real files with sled.
//!
//! They hold the promises of the crate: what was committed comes back, damage is named, failures are not successes.
//!
//! **Invariant:** every faulty history is reproducible from the seed or the byte that the assertion names.

mod basics;
mod damage;
mod faults;
mod flips;
mod points;
mod prune;
mod space;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::disk::ModelDisk;
use crate::record::KIND_EPOCH;

pub(super) const DIR: &str = "/journal";

/// Options for the model: everything by hand, the mark after each commit or only on closing.
pub(super) fn options(disk: &ModelDisk, rotate_bytes: u64, mark_always: bool) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        rotate_bytes,
        mark_every: if mark_always { Duration::ZERO } else { Duration::from_secs(1_000_000) },
        ballast_bytes: 0,
        background: false,
        time_us: Some(7),
        ..Options::default()
    }
}

pub(super) fn open(disk: &ModelDisk, rotate_bytes: u64) -> (Journal, Opened) {
    Journal::open(Path::new(DIR), options(disk, rotate_bytes, false)).unwrap()
}

pub(super) fn draft(job: u32, n: u64, bytes: usize) -> RecordDraft {
    let mut body = n.to_le_bytes().to_vec();
    body.resize(bytes.max(8), n as u8);
    RecordDraft { kind: 1, job, time_us: n, body, ..RecordDraft::default() }
}

/// The numbers in the bodies of all records from the beginning on.
pub(super) fn numbers(reader: &Reader) -> Result<Vec<u64>, Error> {
    let mut out = Vec::new();
    let end = reader.replay::<()>(0, &mut |r| {
        out.push(u64::from_le_bytes(r.body[..8].try_into().unwrap()));
        Ok(())
    });
    match end {
        Ok(_) => Ok(out),
        Err(crate::ReplayError::Journal(e)) => Err(e),
        Err(crate::ReplayError::Stopped(())) => unreachable!("the callback never stops"),
    }
}

pub(super) fn append_commit(journal: &mut Journal, numbers: std::ops::Range<u64>) {
    let group: Vec<RecordDraft> = numbers.map(|n| draft(1 + (n % 3) as u32, n, 30)).collect();
    journal.append(&group).unwrap();
    journal.commit().unwrap();
}

pub(super) fn in_dir(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

pub(super) fn campaign(rounds: u64) -> u64 {
    if std::env::var_os("HQ_CAMPAIGN").is_some() { rounds * 50 } else { rounds }
}
