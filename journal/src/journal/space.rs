//! What becomes of a journal on a disk that refuses: the ballast, taking back, and going on.
//!
//! A full disk is the most usual trouble of all. The ballast is a file that is removed when the disk is full, so that what
//! is under way can still be recorded while nothing new is taken; where that does not help, the groups that nobody was told
//! of are taken back, and the journal goes on when the disk does.
//!
//! **Invariant:** what was taken back does not come back after the process ended, and after a power loss only if
//! `take_back` returned an error.
//! **Invariant:** after `renew` the epoch is larger than any that was ever given out.

use std::path::Path;

use super::{BALLAST_NAME, Journal};
use crate::disk::{Access, Disk};
use crate::error::Error;
use crate::record::{Header, KIND_EPOCH, KIND_RECOVERED, Point, RecordDraft, encode_into};
use crate::tail::{self, Part};

/// Smallest size to which the ballast is reduced where there is little space, in bytes.
const BALLAST_BYTES_MIN: usize = 64 * 1024;
/// By how much it is reduced at a time.
const BALLAST_STEP: usize = 4;

pub(super) fn epoch_draft(time_us: u64) -> RecordDraft {
    RecordDraft { kind: KIND_EPOCH, time_us, ..RecordDraft::default() }
}

/// Makes the ballast file if it is not there, in the largest size from `least` to `bytes` that leaves as much space again;
/// its size, 0 without it.
pub(super) fn make_ballast(disk: &dyn Disk, dir: &Path, least: usize, bytes: usize) -> usize {
    let path = dir.join(BALLAST_NAME);
    let kept = disk.open(&path, Access::Read).and_then(|file| file.bytes()).unwrap_or(0);
    if kept >= bytes as u64 {
        return bytes;
    }
    let free = disk.free_bytes(dir).map_or(u64::MAX, |free| free.saturating_add(kept));
    let least = least.max(BALLAST_BYTES_MIN);
    let sizes = std::iter::successors(Some(bytes), |size| Some(size / BALLAST_STEP).filter(|size| *size >= least));
    for size in sizes.filter(|size| (*size as u64).saturating_mul(2) <= free) {
        if kept >= size as u64 {
            return size;
        }
        let _smaller = disk.remove(&path);
        let made = disk.open(&path, Access::CreateNew);
        if made.and_then(|f| f.write_at(0, &vec![0; size]).and_then(|()| f.sync_data())).is_ok() {
            return size;
        }
        let _partial = disk.remove(&path);
    }
    0
}

impl Journal {
    /// Gives the ballast up; true if that made space.
    pub(super) fn release_ballast(&mut self) -> bool {
        let had = std::mem::take(&mut self.ballast);
        had && self.shared.disk.remove(&self.shared.dir.join(BALLAST_NAME)).is_ok()
    }

    /// Tries to get the ballast back after the disk was full, as large as it was: a smaller one each time would be none in
    /// the end. True if it is in place.
    pub fn restore_ballast(&mut self) -> bool {
        let (least, bytes) = (self.ballast_bytes, self.options.ballast_bytes);
        if self.is_short_of_space() {
            let made = make_ballast(&*self.shared.disk, &self.shared.dir, least, bytes);
            self.ballast = made > 0;
            self.ballast_bytes = least.max(made);
            if let (true, Some(migrator)) = (self.ballast, &self.migrator) {
                migrator.wake();
            }
        }
        !self.is_short_of_space()
    }

    /// Bytes that have to be free before the ballast comes back.
    pub fn wanted_bytes(&self) -> u64 {
        2 * self.ballast_bytes.max(BALLAST_BYTES_MIN) as u64
    }

    /// Whether the disk was full and the ballast was given up, or there was never space for one.
    pub fn is_short_of_space(&self) -> bool {
        !self.ballast && self.options.ballast_bytes > 0
    }

    /// Gives up everything that was appended since the last commit, so that whoever waits for it can be refused.
    ///
    /// # Errors
    /// The system's error: nothing of it counts in this process, but a restart may find it, unless `renew` succeeds before.
    pub fn take_back(&mut self) -> Result<(), Error> {
        let nothing = self.pending.is_empty() && !self.poisoned && !self.unsynced_cut;
        self.pending.clear();
        (self.end, self.group_index) = (self.durable, 0);
        if nothing {
            return Ok(());
        }
        // Also where the group was cut off already: until that is synced a power loss may show what had fitted of it.
        let cut = self.file.set_len(self.durable_bytes).and_then(|()| self.file.sync_data());
        let mut taken = cut.map_err(|e| Error::io("cut", &self.path, e));
        if taken.is_ok() && self.doubtful_tail {
            taken = tail::discard(&*self.shared.disk, &self.shared.dir, self.generation + 1);
        }
        match taken {
            Ok(()) => (self.unsynced_cut, self.doubtful_tail) = (false, false),
            Err(_) => self.poisoned = true,
        }
        taken
    }

    /// Has a journal that was given up go on, under a new epoch: what was decided on records that were taken back must not
    /// be mistaken for what is decided now. Returns the new epoch, which is durable.
    ///
    /// # Errors
    /// As `recover` and `commit`, or [`Error::Full`] while there is no space for a ballast. Nothing has changed then, and
    /// it can be tried again.
    pub fn renew(&mut self) -> Result<u32, Error> {
        self.recover()?;
        if !self.restore_ballast() {
            return Err(Error::Full { path: self.path.clone() });
        }
        let before = self.epoch;
        self.epoch = before.saturating_add(1);
        let draft = epoch_draft(self.options.now_us());
        if let Err(e) = self.append_any(&[draft]).and_then(|_| self.commit()) {
            // If it is not cut off, `recover` supersedes it.
            let _in_doubt = self.take_back();
            self.epoch = before;
            return Err(e);
        }
        Ok(self.epoch)
    }

    /// After a failed sync: checks what was durable before, writes the appended but uncommitted records into a new
    /// tail file, and makes that durable. Returns the last durable sequence.
    ///
    /// # Errors
    /// [`Error::Damaged`] if durable records can no longer be read; otherwise as `commit`. The journal stays
    /// poisoned.
    pub fn recover(&mut self) -> Result<u64, Error> {
        if !self.poisoned {
            return Ok(self.durable.seq);
        }
        let last = self.shared.view().parts.last().cloned();
        if let Some(part) = &last {
            part.read(part.before.seq, &mut |_| true)?;
        }
        // The new file is never empty: an empty one does not supersede what the doubtful one may hold.
        let (appended_bytes, appended) = (self.pending.len(), self.end);
        let (seq, epoch, tag, prev) = (self.end.seq + 1, self.epoch, self.tag, self.end.chain);
        let group_index = self.group_index;
        let header = Header { kind: KIND_RECOVERED, seq, epoch, tag, prev, group_index, ..Header::default() };
        let chain = encode_into(&mut self.pending, &header, &[]);
        let end = Point { seq, epoch, chain };
        let (disk, dir) = (&*self.shared.disk, self.shared.dir.as_path());
        let made = tail::create(disk, dir, self.generation + 1, self.tag, self.durable, end, &self.pending);
        let part = match made {
            Ok(part) => part,
            Err(e) => {
                self.pending.truncate(appended_bytes);
                self.end = appended;
                self.doubtful_tail = true;
                return Err(e);
            }
        };
        self.end = end;
        if let Some(old) = last.filter(Part::is_empty) {
            self.shared.view().parts.pop();
            // It holds nothing durable and is superseded by its successor; left behind it is cleared at the next
            // start.
            let _gone = self.shared.disk.remove(&old.path);
        }
        self.continue_in(part);
        self.durable = self.end;
        self.shared.view().durable = self.end;
        self.pending.clear();
        self.group_index = 0;
        (self.poisoned, self.unsynced_cut, self.doubtful_tail) = (false, false, false);
        if let Some(migrator) = &self.migrator {
            migrator.wake();
        }
        Ok(self.durable.seq)
    }
}
