//! Pruning: what nobody needs any more leaves the journal, and its space is given back.
//!
//! Everything up to a point for which two images of the state exist is sorted by the caller: what stays is copied into
//! a kept file, then the base of the log moves behind the point, then the old tail files and the old page store go.
//! The writer goes on meanwhile.
//!
//! **Invariant:** the mark decides: before it names the new base everything is as before, afterwards everything is as
//! pruned. What a crash leaves beside that is cleared at the next start.
//! **Invariant:** nothing is removed before two intact images and the kept file were read back.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::reader::read_from;
use super::stores::store_name;
use super::{Shared, View};
use crate::checkpoint;
use crate::error::Error;
use crate::kept::{Kept, KeptWriter};
use crate::log::{Extent, Log, store_error};
use crate::record::{KIND_OWN_MIN, Point, RecordRef};

/// Prunes from any thread while the journal goes on committing.
#[derive(Clone)]
pub struct Pruner {
    shared: Arc<Shared>,
}

/// What a pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// First sequence from which the log is whole now.
    pub base_seq: u64,
    /// Records before it that were kept.
    pub kept: u64,
    /// Records before it that are gone.
    pub gone: u64,
}

impl Pruner {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Has the next commit begin a new tail file, so that a pruning soon after it can take the older ones away.
    pub fn begin_tail(&self) {
        self.shared.wants_tail.store(true, Ordering::Release);
    }

    /// Takes the records up to `at` out of the log, but for those that `keep` wants kept, which stay as they are.
    ///
    /// Two intact images of the state at `at` or later must be there: [`crate::CheckpointWriter::write_twice`].
    ///
    /// # Errors
    /// [`Error::Refused`] without the images, or when records up to `at` are not durable, or went before; damage, a
    /// full disk, the system's error. Nothing was pruned then.
    pub fn prune(
        &self,
        at: Point,
        time_us: u64,
        keep: &mut dyn FnMut(&RecordRef<'_>) -> bool,
    ) -> Result<Pruned, Error> {
        let shared = &*self.shared;
        // The log takes no further records meanwhile, so that all of its records are before the new base.
        let _no_migration = shared.migrating.lock().unwrap_or_else(PoisonError::into_inner);
        let view = shared.view().clone();
        if at.seq + 1 == view.base_seq {
            // Nothing has happened since the last pruning.
            let kept = view.kept.as_ref().map_or(0, |kept| kept.records);
            return Ok(Pruned { base_seq: view.base_seq, kept, gone: 0 });
        }
        self.check(&view, at)?;
        let (kept, seen) = self.keep(&view, at, time_us, keep)?;
        let number = view.store_number + 1;
        let path = shared.dir.join(store_name(number));
        let store = shared.disk.open_store(&path).map_err(store_error("be begun anew"))?;
        let log = Log::new(store);
        log.sync()?;
        let pruned = Pruned { base_seq: at.seq + 1, kept: kept.records, gone: seen - kept.records };
        // On an error the files stay: the disk may hold either promise now.
        shared.write_mark(pruned.base_seq)?;
        self.switch(&view, log, number, kept);
        Ok(pruned)
    }

    fn check(&self, view: &View, at: Point) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::Refused { why });
        if at.seq < view.base_seq || at.seq > view.durable.seq || at.seq < view.extent.end.seq {
            return refuse(format!(
                "the journal cannot be pruned up to record {}: it has records {} to {}, and {} of them in the log",
                at.seq, view.base_seq, view.durable.seq, view.extent.end.seq
            ));
        }
        let images = checkpoint::intact(&*self.shared.disk, &self.shared.dir)?;
        if images.iter().filter(|image| image.at.seq >= at.seq).count() < 2 {
            return refuse(format!("fewer than two checkpoints cover the records up to {}", at.seq));
        }
        Ok(())
    }

    /// Copies what is kept; gives the file and the number of records that were looked at.
    fn keep(
        &self,
        view: &View,
        at: Point,
        time_us: u64,
        keep: &mut dyn FnMut(&RecordRef<'_>) -> bool,
    ) -> Result<(Kept, u64), Error> {
        let shared = &*self.shared;
        let mut writer = KeptWriter::create(&*shared.disk, &shared.dir, at, time_us)?;
        let (mut seen, mut failed) = (0, None);
        let read = read_from(&shared.dir, view, 0, &mut None, &mut |record| {
            if record.header.seq > at.seq {
                return false;
            }
            if record.header.kind < KIND_OWN_MIN {
                seen += 1;
                if keep(&record) {
                    failed = writer.push(record).err();
                }
            }
            failed.is_none()
        });
        match failed.map_or(read.map(drop), Err) {
            Ok(()) => Ok((writer.finish()?, seen)),
            Err(e) => {
                writer.abandon();
                Err(e)
            }
        }
    }

    /// Shows readers the pruned log, and removes what it does not need. What cannot be removed is left for the next start.
    fn switch(&self, old: &View, log: Log, number: u64, kept: Kept) {
        let shared = &*self.shared;
        let base = kept.at.seq + 1;
        let mut gone: Vec<PathBuf> = Vec::new();
        {
            let mut view = shared.view();
            view.base_seq = base;
            view.kept = Some(Arc::new(kept));
            (view.log, view.extent, view.store_number) = (log, Extent::default(), number);
            let last = view.parts.len().saturating_sub(1);
            let before = view.parts.iter().take(last).take_while(|part| part.end.seq < base).count();
            gone.extend(view.parts.drain(..before).map(|part| part.path));
        }
        old.log.retire();
        gone.extend(old.kept.iter().map(|kept| kept.path.clone()));
        for path in &gone {
            let _left = shared.disk.remove(path);
        }
        let _left = shared.disk.sync_dir(&shared.dir);
    }
}
