//! Which page store a journal uses: each pruning begins a new one, since sled does not give space back.
//!
//! A store whose records are all before the base stands for nothing any more; taking its directory away frees all of
//! its space at once, where removing its pages one by one would free none for long.
//!
//! **Invariant:** a store that holds records from the base on is never removed.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{BALLAST_NAME, LOG_NAME, Options};
use crate::disk::OLD_SUFFIX;
use crate::error::Error;
use crate::log::{Extent, Log};
use crate::store::{Store, StoreError};

/// Name of the directory of the page store with this number, counted from 1.
pub fn store_name(number: u64) -> String {
    if number <= 1 { LOG_NAME.to_owned() } else { format!("{LOG_NAME}-{number}") }
}

/// The number of a page store by its directory's name.
pub fn store_number(name: &str) -> Option<u64> {
    match name.strip_prefix(LOG_NAME)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse().ok().filter(|number| *number > 1),
    }
}

/// Whether the name is that of a page store which was about to be removed.
pub(super) fn is_removed(name: &str) -> bool {
    name.strip_suffix(OLD_SUFFIX).is_some_and(|name| store_number(name).is_some())
}

/// The store that counts.
pub(super) struct Chosen {
    pub(super) number: u64,
    pub(super) log: Log,
    pub(super) extent: Extent,
    /// Numbers of those that do not.
    pub(super) stale: Vec<u64>,
}

/// Finds the store that holds what is from `base` on. There is more than one only when a pruning was cut off.
pub(super) fn choose(
    dir: &Path,
    options: &Options,
    base: u64,
    repair: bool,
    notes: &mut Vec<String>,
) -> Result<Chosen, Error> {
    let names = options.disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| store_number(name)).collect();
    numbers.sort_unstable();
    let newest = numbers.pop().unwrap_or(1);
    let mut chosen = open_numbered(dir, newest, options, repair, notes)?;
    let counts = |extent: &Extent| !extent.is_empty() && extent.end.seq >= base;
    for number in numbers.into_iter().rev() {
        if counts(&chosen.extent) {
            chosen.stale.push(number);
            continue;
        }
        let older = open_numbered(dir, number, options, repair, notes)?;
        let (kept, stale) = if counts(&older.extent) { (older, chosen) } else { (chosen, older) };
        chosen = Chosen { stale: [kept.stale, stale.stale, vec![stale.number]].concat(), ..kept };
    }
    if repair && !chosen.extent.is_empty() && !counts(&chosen.extent) {
        let next = open_numbered(dir, newest + 1, options, repair, notes)?;
        chosen = Chosen { stale: [chosen.stale, vec![chosen.number]].concat(), ..next };
    }
    Ok(chosen)
}

fn open_numbered(
    dir: &Path,
    number: u64,
    options: &Options,
    repair: bool,
    notes: &mut Vec<String>,
) -> Result<Chosen, Error> {
    let log = Log::new(open_store(dir, &store_name(number), options, repair, notes)?);
    let extent = log.extent()?;
    Ok(Chosen { number, log, extent, stale: Vec::new() })
}

/// Opens the page store; one that is damaged beyond opening is set aside when `repair` is allowed.
fn open_store(
    dir: &Path,
    name: &str,
    options: &Options,
    repair: bool,
    notes: &mut Vec<String>,
) -> Result<Arc<dyn Store>, Error> {
    let path = dir.join(name);
    let disk = &*options.disk;
    let refuse = |e: StoreError| match e {
        StoreError::Io(e) => Error::io("open", &path, e),
        other => Error::Store { what: "be opened", detail: other.to_string() },
    };
    match disk.open_store(&path) {
        Ok(store) => Ok(store),
        Err(StoreError::Unopenable(why)) if repair => {
            let aside = dir.join(format!("{name}.damaged-{}", seconds_now()));
            disk.rename(&path, &aside).map_err(|e| Error::io("set aside", &path, e))?;
            notes.push(format!("the page store could not be opened ({why}); it was kept as {}", aside.display()));
            disk.open_store(&path).map_err(refuse)
        }
        Err(StoreError::Io(e)) if repair && crate::error::is_full(&e) => {
            // sled needs a little space to open, even to read.
            disk.remove(&dir.join(BALLAST_NAME)).map_err(|_| refuse(StoreError::Io(e)))?;
            notes.push("the disk is full; the ballast was given up to open the page store".to_owned());
            disk.open_store(&path).map_err(refuse)
        }
        Err(e) => Err(refuse(e)),
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        for number in [1, 2, 10, 7_000_000] {
            assert_eq!(store_number(&store_name(number)), Some(number));
            assert!(is_removed(&format!("{}{OLD_SUFFIX}", store_name(number))));
        }
        for other in ["log-1", "log-", "log.damaged-5", "logs", "log-x", "mark"] {
            assert_eq!(store_number(other), None, "{other}");
        }
    }
}
