//! Moves full tail files into the log, off the critical path, and removes them when the log is proven to hold them.
//!
//! The tail is cheap to write and the log is cheap to search; records are durable in at least one of them at any
//! moment.
//!
//! **Invariant:** a tail file is removed only after the log was synced and its records were read back with the right
//! chain, and only when two newer full files are kept.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use super::stores::store_name;
use super::{SEALED_KEPT, Shared, View};
use crate::error::Error;
use crate::log::{Extent, Walk};
use crate::tail::Part;

/// Bytes that have to be free for the page store to take a tail file.
const SPACE_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// The thread that migrates; it ends when this is dropped.
pub(super) struct Migrator {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Migrator {
    /// Starts the thread; it looks for work at once.
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let thread =
            std::thread::Builder::new().name("hq-journal-log".to_owned()).spawn(move || run(&shared, &woken))?;
        let migrator = Self { wake: Some(wake), thread: Some(thread) };
        migrator.wake();
        Ok(migrator)
    }

    /// Tells the thread that a tail file is full. A wake-up that is already waiting covers this one.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            match wake.try_send(()) {
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }
}

impl Drop for Migrator {
    fn drop(&mut self) {
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the hook; the records are still in the tail.
            let _ended = thread.join();
        }
    }
}

fn run(shared: &Arc<Shared>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        // An error is kept in the view for the statistics; the next full file tries again.
        while let Ok(true) = step(shared) {}
    }
}

/// Migrates the oldest full tail file that the log lacks; false when there is none.
pub(super) fn step(shared: &Shared) -> Result<bool, Error> {
    let _one = shared.migrating.lock().unwrap_or_else(PoisonError::into_inner);
    let view = shared.view().clone();
    let sealed = view.parts.len().saturating_sub(1);
    let part = view.parts.iter().take(sealed).find(|p| p.end.seq > view.extent.end.seq);
    let Some(part) = part else {
        remove_old(shared)?;
        return Ok(false);
    };
    let result = has_space(shared, &view).and_then(|()| view.log.heal()).and_then(|()| migrate(shared, &view, part));
    {
        let mut view = shared.view();
        view.migration_error = result.as_ref().err().map(ToString::to_string);
        if let Ok(extent) = &result {
            view.extent = *extent;
        }
    }
    result?;
    remove_old(shared)?;
    Ok(true)
}

/// The page store gives up at the first write that fails, so it does not begin where that is to be expected.
fn has_space(shared: &Shared, view: &View) -> Result<(), Error> {
    match shared.disk.free_bytes(&shared.dir) {
        Some(free) if free < SPACE_BYTES_MIN => {
            Err(Error::Full { path: shared.dir.join(store_name(view.store_number)) })
        }
        _ => Ok(()),
    }
}

fn migrate(shared: &Shared, view: &View, part: &Part) -> Result<Extent, Error> {
    let (log, old) = (&view.log, view.extent);
    let mut appender = log.appender(&old);
    let mut failed = None;
    part.read(old.end.seq, &mut |record| match appender.push(record) {
        Ok(()) => true,
        Err(e) => {
            failed = Some(e);
            false
        }
    })?;
    if let Some(e) = failed {
        return Err(e);
    }
    let (next_entry, end) = appender.finish()?;
    log.sync()?;
    let from_seq = old.end.seq.max(part.before.seq) + 1;
    let first_seq = if old.is_empty() { from_seq } else { old.first_seq };
    let extent = Extent { first_entry: old.first_entry, first_seq, next_entry, end };
    let before = if old.end.seq == part.before.seq { Some(part.before) } else { Some(old.end) };
    let before = before.filter(|b| b.seq + 1 == from_seq);
    match log.walk(&extent, from_seq, before, &mut |_| true)? {
        Walk::Done(read) if read == part.end && end == part.end => Ok(extent),
        Walk::Broken(broken) => {
            let path = shared.dir.join(store_name(view.store_number));
            let why = format!("it does not return what was put into it: {}", broken.why);
            Err(Error::Damaged { path, from: broken.entry, to: broken.entry + 1, why })
        }
        Walk::Done(_) | Walk::Stopped => {
            Err(Error::Store { what: "hold a tail file", detail: "another end was read back".to_owned() })
        }
    }
}

/// Removes the full tail files that the log holds, but for the newest two.
fn remove_old(shared: &Shared) -> Result<(), Error> {
    let old: Vec<Part> = {
        let mut view = shared.view();
        let sealed = view.parts.len().saturating_sub(1);
        let held = view.parts.iter().take_while(|p| p.end.seq <= view.extent.end.seq).count();
        view.parts.drain(..held.min(sealed.saturating_sub(SEALED_KEPT))).collect()
    };
    for part in &old {
        shared.disk.remove(&part.path).map_err(|e| Error::io("remove", &part.path, e))?;
    }
    if old.is_empty() {
        return Ok(());
    }
    shared.disk.sync_dir(&shared.dir).map_err(|e| Error::io("sync", &shared.dir, e))
}
