//! Which entries of the log concern a job, kept in the store beside the pages.
//!
//! The history of one job among a million must not read the log, and one index key per page and job would cost more
//! than the log itself; so each migrated batch leaves one short list per job.
//!
//! **Invariant:** a list is inserted before the pages it names, so a page in the store is never missing from the
//! index.
//! **Invariant:** a list may name entries that do not exist or do not concern the job; readers check the records.
//!
//! Key: `F1`, job (u32, big-endian), first entry (u64, big-endian). Value: runs of entries as pairs of LEB128
//! numbers, the distance of the run from the end of the one before (from the first entry, for the first run) and its
//! length.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::log::store_error;
use crate::store::{Store, VALUE_BYTES_MAX};

/// Job number under which records that concern several jobs are listed.
pub const SHARED_JOB: u32 = u32::MAX;
const KEY_TAG: u8 = 0xF1;
/// Longest LEB128 pair.
const PAIR_BYTES_MAX: usize = 20;

/// Runs of consecutive entries: (first, number).
pub type Runs = Vec<(u64, u64)>;

/// Lists of entries by job, of one batch.
#[derive(Debug, Default)]
pub struct Lists {
    by_job: BTreeMap<u32, Runs>,
}

impl Lists {
    /// Notes that `entry` holds (the beginning of) a record of `job`; entries come in rising order.
    pub fn add(&mut self, job: u32, entry: u64) {
        let runs = self.by_job.entry(job).or_default();
        match runs.last_mut() {
            Some((first, number)) if *first + *number == entry => *number += 1,
            Some((first, number)) if *first + *number > entry => {}
            _ => runs.push((entry, 1)),
        }
    }

    /// Puts all lists into the store.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn insert_into(self, store: &dyn Store) -> Result<(), Error> {
        for (job, runs) in self.by_job {
            let mut rest = runs.as_slice();
            while let Some((first, _)) = rest.first() {
                let mut value = Vec::new();
                let mut at = *first;
                let mut taken = 0;
                for (from, number) in rest {
                    if value.len() + PAIR_BYTES_MAX > VALUE_BYTES_MAX {
                        break;
                    }
                    put_leb(&mut value, from - at);
                    put_leb(&mut value, *number);
                    at = from + number;
                    taken += 1;
                }
                store.insert(&key(job, *first), &value).map_err(store_error("write the index"))?;
                rest = rest.get(taken..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

fn key(job: u32, entry: u64) -> [u8; 13] {
    let mut key = [0; 13];
    let parts: [(usize, &[u8]); 3] = [(0, &[KEY_TAG]), (1, &job.to_be_bytes()), (5, &entry.to_be_bytes())];
    for (at, bytes) in parts {
        if let Some(place) = key.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    key
}

fn put_leb(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7F) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take_leb(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// The entries listed for `job`, rising, from `entry_min` to before `entry_end`; a damaged list yields an error.
///
/// # Errors
/// [`Error::Store`], also for a list that cannot be read.
pub fn entries_of(store: &dyn Store, job: u32, entry_min: u64, entry_end: u64) -> Result<Runs, Error> {
    let mut runs = Runs::new();
    let mut damaged = false;
    let to = key(job, u64::MAX);
    store
        .range(&key(job, 0), &to, false, &mut |key, value| {
            let first = key.last_chunk::<8>().map(|b| u64::from_be_bytes(*b));
            let (Some(mut at), mut rest) = (first, value) else {
                return true;
            };
            while !rest.is_empty() {
                let (Some(skip), Some(number)) = (take_leb(&mut rest), take_leb(&mut rest)) else {
                    damaged = true;
                    return false;
                };
                let from = at.saturating_add(skip);
                at = from.saturating_add(number);
                let (from, to) = (from.max(entry_min), at.min(entry_end));
                if from < to {
                    runs.push((from, to - from));
                }
            }
            true
        })
        .map_err(store_error("read the index"))?;
    if damaged {
        return Err(Error::Store { what: "read the index", detail: format!("the list of job {job} is damaged") });
    }
    Ok(merged(runs))
}

/// The union of runs, rising and without overlaps.
pub fn merged(mut runs: Runs) -> Runs {
    runs.sort_unstable();
    let mut out = Runs::new();
    for (from, number) in runs {
        match out.last_mut() {
            Some((first, n)) if *first + *n >= from => *n = (*n).max(from + number - *first),
            _ => out.push((from, number)),
        }
    }
    out
}

/// The entry with this number, counted from 0 through all runs.
pub fn nth(runs: &Runs, number: u64) -> Option<u64> {
    let mut left = number;
    for (first, len) in runs {
        if left < *len {
            return Some(first + left);
        }
        left -= len;
    }
    None
}

/// The runs without so many of their first entries.
pub fn without_first(runs: Runs, count: u64) -> Runs {
    let mut left = count;
    let rest = runs.into_iter().filter_map(|(first, len)| {
        let cut = left.min(len);
        left -= cut;
        (cut < len).then_some((first + cut, len - cut))
    });
    rest.collect()
}

/// How many of the entries, in order, can be left out by who wants records from `from_us` on, when times do not fall
/// from record to record: half of what is in question is left out with each look at the first time of an entry.
///
/// # Errors
/// The first one of `first_time`.
pub fn entries_before(
    runs: &Runs,
    from_us: u64,
    mut first_time: impl FnMut(u64) -> Result<Option<u64>, Error>,
) -> Result<u64, Error> {
    let (mut low, mut high) = (0, runs.iter().map(|(_, number)| *number).sum::<u64>());
    // The last early entry may end with records that are late enough.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match nth(runs, middle).map(&mut first_time).transpose()?.flatten() {
            Some(time_us) if time_us < from_us => low = middle,
            // An entry that is not known to be early does not let others be left out.
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::disk::{Disk, ModelDisk};

    fn flat(runs: &Runs) -> Vec<u64> {
        runs.iter().flat_map(|(from, n)| *from..from + n).collect()
    }

    proptest! {
        #[test]
        fn runs_are_counted_through(lens in proptest::collection::vec((1u64..9, 1u64..9), 0..9), count in 0u64..60) {
            let mut at = 0;
            let runs: Runs = lens.iter().map(|(gap, len)| { at += gap + len; (at - len, *len) }).collect();
            let all = flat(&runs);
            prop_assert_eq!(nth(&runs, count), all.get(count as usize).copied());
            let rest: Vec<u64> = all.into_iter().skip(count as usize).collect();
            prop_assert_eq!(flat(&without_first(runs, count)), rest);
        }

        #[test]
        fn halving_leaves_out_what_is_early(
            times in proptest::collection::vec(proptest::option::weighted(0.9, 0u64..50), 0..60),
            from_us in 0u64..60,
        ) {
            let mut latest = 0;
            let times: Vec<Option<u64>> =
                times.into_iter().map(|time| time.map(|time| { latest = time.max(latest); latest })).collect();
            let runs: Runs = vec![(7, times.len() as u64)];
            let left_out = entries_before(&runs, from_us, |entry| Ok(times[(entry - 7) as usize])).unwrap() as usize;
            // Whatever follows the entries that are left out begins with the last one that starts early.
            prop_assert!(times.iter().take(left_out + 1).skip(1).flatten().all(|time| *time < from_us));
            let late = times.iter().flatten().filter(|time| **time >= from_us).count();
            let kept = times.iter().skip(left_out.max(1)).flatten().filter(|time| **time >= from_us).count();
            prop_assert_eq!(kept + usize::from(left_out == 0 && times.first().copied().flatten() >= Some(from_us)), late);
        }

        #[test]
        fn lists_return_what_was_added(
            entries in proptest::collection::btree_set(0u64..100_000, 0..3000),
            job in 1u32..5,
        ) {
            let store = ModelDisk::new().open_store(Path::new("/s")).unwrap();
            let mut lists = Lists::default();
            for entry in &entries {
                lists.add(job, *entry);
                lists.add(job, *entry);
            }
            lists.insert_into(&*store).unwrap();
            let expected: Vec<u64> = entries.iter().copied().filter(|e| (50..60_000).contains(e)).collect();
            prop_assert_eq!(flat(&entries_of(&*store, job, 50, 60_000).unwrap()), expected);
            prop_assert!(entries_of(&*store, job + 1, 0, u64::MAX).unwrap().is_empty());
        }

        #[test]
        fn any_list_is_read_or_refused(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let store = ModelDisk::new().open_store(Path::new("/s")).unwrap();
            store.insert(&key(1, 5), &value).unwrap();
            let _either = entries_of(&*store, 1, 0, 1000);
        }
    }
}
