//! Reading the durable records: all of them in order, or the history of one job.
//!
//! Restart, `hq journal` and the history of tasks read; none of them may stop the writer or see what is not yet
//! durable.
//!
//! **Invariant:** what is handed out continues the chain of what was handed out before.

use std::path::Path;
use std::sync::Arc;

use super::stores::store_name;
use super::{Shared, View};
use crate::checkpoint::{self, Checkpoint};
use crate::error::{Error, ReplayError};
use crate::log::Walk;
use crate::record::{KIND_OWN_MIN, Point, RecordRef};
use crate::tail::Spot;

/// Reads durable records from any thread; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// Where a reading is: it can go on there later, without looking at what it had read before.
#[derive(Debug, Clone, Default)]
pub struct Place {
    next_seq: u64,
    spot: Option<Spot>,
}

impl Place {
    /// The place before a record; before the first one for 0.
    pub fn before(next_seq: u64) -> Self {
        Self { next_seq, spot: None }
    }

    /// Sequence of the next record.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The last durable record.
    pub fn durable(&self) -> Point {
        self.shared.durable()
    }

    /// The newest intact image of the state, if there is any.
    ///
    /// # Errors
    /// The system's error.
    pub fn newest_image(&self) -> Result<Option<Checkpoint>, Error> {
        checkpoint::newest(&*self.shared.disk, &self.shared.dir, &mut Vec::new())
    }

    /// First sequence from which the log is whole.
    pub fn base_seq(&self) -> u64 {
        self.shared.view().base_seq
    }

    /// Calls `f` for each record from `from_seq` to the last durable one at the time of the call; of what was before the
    /// base only what was kept is there.
    ///
    /// The journal's own records are left out, so sequences may skip. Returns the last record read.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Missing`] naming the place, or the error of `f`.
    pub fn replay<E>(
        &self,
        from_seq: u64,
        f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<Point, ReplayError<E>> {
        let mut place = Place::before(from_seq);
        self.resume(&mut place, f)
    }

    /// As [`Reader::replay`], with the journal's own records.
    ///
    /// # Errors
    /// As [`Reader::replay`].
    pub fn replay_all<E>(
        &self,
        from_seq: u64,
        f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<Point, ReplayError<E>> {
        let view = self.shared.view().clone();
        self.resume_in(&view, &mut Place::before(from_seq), u16::MAX, f)
    }

    /// As [`Reader::replay`], from where an earlier reading was; `place` is then behind the last record that `f` saw, also
    /// when `f` ended the reading with an error.
    ///
    /// # Errors
    /// As [`Reader::replay`].
    pub fn resume<E>(
        &self,
        place: &mut Place,
        f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<Point, ReplayError<E>> {
        // A copy, and the lock is let go: reading takes its time.
        let view = self.shared.view().clone();
        self.resume_in(&view, place, KIND_OWN_MIN - 1, f)
    }

    /// As [`Reader::replay`], for those who need every record, since they fold a state.
    ///
    /// # Errors
    /// As [`Reader::replay`]; [`Error::Missing`] when records from `from_seq` on were pruned: a newer image is there then.
    pub fn replay_whole<E>(
        &self,
        from_seq: u64,
        f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<Point, ReplayError<E>> {
        let view = self.shared.view().clone();
        if from_seq.max(1) < view.base_seq {
            let why = "they were pruned; a newer checkpoint holds what they led to".to_owned();
            return Err(Error::Missing { from_seq, to_seq: view.base_seq - 1, why }.into());
        }
        self.resume_in(&view, &mut Place::before(from_seq), KIND_OWN_MIN - 1, f)
    }

    /// Reads what a view has from a place on; records of kinds above `kind_max` are left out.
    fn resume_in<E>(
        &self,
        view: &View,
        place: &mut Place,
        kind_max: u16,
        f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<Point, ReplayError<E>> {
        let mut stopped = None;
        let from_seq = place.next_seq;
        let end = read_from(&self.shared.dir, view, from_seq, &mut place.spot, &mut |record| {
            record.header.kind > kind_max || pass(record, f, &mut stopped)
        })?;
        place.next_seq = from_seq.max(end.seq + 1);
        stopped.map_or(Ok(end), |e| Err(ReplayError::Stopped(e)))
    }

    /// Calls `f` for each durable record of `job`, in order, by the index; only the newest files are scanned.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Store`], or the error of `f`.
    pub fn history<E>(
        &self,
        job: u32,
        f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<(), ReplayError<E>> {
        self.history_from(job, 0, f)
    }

    /// As [`Reader::history`], for the records whose time is `from_us` or later; earlier ones are found by halving.
    ///
    /// # Errors
    /// As [`Reader::history`].
    pub fn history_from<E>(
        &self,
        job: u32,
        from_us: u64,
        f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<(), ReplayError<E>> {
        let view = self.shared.view().clone();
        let mut stopped = None;
        let mut take = |record: RecordRef<'_>| record.header.time_us < from_us || pass(record, f, &mut stopped);
        let mut more = match &view.kept {
            Some(kept) => kept.history(job, from_us, &mut take)?,
            None => true,
        };
        // What is before the base counts only if it was kept.
        let mut take = |record: RecordRef<'_>| record.header.seq < view.base_seq || take(record);
        more = more && view.log.history(&view.extent, job, from_us, &mut take)?;
        for part in &view.parts {
            if !more {
                break;
            }
            if part.end.seq > view.extent.end.seq {
                part.read(view.extent.end.seq, &mut |record| {
                    more = !record.concerns(job) || take(record);
                    more
                })?;
            }
        }
        stopped.map_or(Ok(()), |e| Err(ReplayError::Stopped(e)))
    }
}

/// As [`Reader::replay`], with the journal's own records; `f` ends the reading by returning false.
pub(super) fn read_from(
    dir: &Path,
    view: &View,
    from_seq: u64,
    spot: &mut Option<Spot>,
    f: &mut dyn FnMut(RecordRef<'_>) -> bool,
) -> Result<Point, Error> {
    if let Some(kept) = view.kept.as_ref().filter(|_| from_seq < view.base_seq) {
        let mut last = Point::default();
        let more = kept.read(from_seq, &mut |record| {
            last = Point { seq: record.header.seq, epoch: record.header.epoch, chain: record.header.chain };
            f(record)
        })?;
        if !more {
            return Ok(last);
        }
    }
    read_log(dir, view, from_seq.max(view.base_seq), spot, f)
}

fn read_log(
    dir: &Path,
    view: &View,
    from_seq: u64,
    spot: &mut Option<Spot>,
    f: &mut dyn FnMut(RecordRef<'_>) -> bool,
) -> Result<Point, Error> {
    let mut last: Option<Point> = None;
    let mut stopped = false;
    let mut take = |record: RecordRef<'_>| {
        last = Some(Point { seq: record.header.seq, epoch: record.header.epoch, chain: record.header.chain });
        stopped = !f(record);
        !stopped
    };
    let walk = if view.extent.end.seq >= from_seq {
        Some(view.log.walk(&view.extent, from_seq, None, &mut take)?)
    } else {
        None
    };
    let mut after = from_seq.saturating_sub(1);
    match walk {
        Some(Walk::Done(end)) => after = end.seq,
        Some(Walk::Stopped) => return Ok(last.unwrap_or_default()),
        Some(Walk::Broken(broken)) => {
            after = after.max(broken.after.seq);
            let covered = view.parts.iter().any(|p| p.before.seq <= after && after < p.end.seq);
            if !covered {
                let path = dir.join(store_name(view.store_number));
                let why = format!("after record {after}: {}", broken.why);
                return Err(Error::Damaged { path, from: broken.entry, to: broken.entry + 1, why });
            }
        }
        None => {}
    }
    for part in &view.parts {
        if part.end.seq <= after {
            continue;
        }
        if part.before.seq > after {
            let why = "neither the log nor a tail file has them".to_owned();
            return Err(Error::Missing { from_seq: after + 1, to_seq: part.before.seq, why });
        }
        let mut joined = true;
        let ended = part.read_on(*spot, after, &mut |record| {
            joined = last.is_none_or(|l| l.seq + 1 == record.header.seq && l.chain == record.header.prev);
            if !joined {
                return false;
            }
            last = Some(Point { seq: record.header.seq, epoch: record.header.epoch, chain: record.header.chain });
            stopped = !f(record);
            !stopped
        })?;
        *spot = Some(ended);
        if !joined {
            let why = format!("its records do not continue record {after} of the log");
            return Err(Error::Damaged { path: part.path.clone(), from: 0, to: part.bytes, why });
        }
        if stopped {
            return Ok(last.unwrap_or_default());
        }
        after = part.end.seq;
    }
    Ok(last.unwrap_or(view.durable))
}

/// Hands a record on; whether to go on. The error that ends the reading is kept.
fn pass<E>(record: RecordRef<'_>, f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>, stopped: &mut Option<E>) -> bool {
    match f(record) {
        Ok(()) => true,
        Err(e) => {
            *stopped = Some(e);
            false
        }
    }
}
