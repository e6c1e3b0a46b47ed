//! Checkpoints: images of the state, so that a restart reads one image and the events since.
//!
//! The image is not taken from the machine, which would have to stand still meanwhile: a thread folds the durable
//! events itself, from the checkpoint before, and writes what it gets. So a checkpoint never delays a turn, and every
//! one is a replay that worked.

use super::{Error, restore};
use crate::eventlog;
use crate::platform::clock;
use hq_core::audit::audit;
use hq_core::limits;
use hq_journal::{CheckpointWriter, Reader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Asks for checkpoints; dropping it ends the thread.
#[derive(Debug)]
pub struct Checkpoints {
    due: SyncSender<()>,
    events: u64,
}

impl Checkpoints {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(dir: PathBuf, reader: Reader, writer: CheckpointWriter) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (due, inbox) = sync_channel(1);
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            while let Ok(()) = inbox.recv() {
                if let Err(error) = write(&dir, &reader, &writer) {
                    log::warn!("No checkpoint was written: {error}");
                }
            }
        })?;
        Ok((Self { due, events: 0 }, thread))
    }

    /// Counts events; asks for a checkpoint when there are enough.
    pub fn count(&mut self, events: usize) {
        self.events += events as u64;
        if self.events >= limits::CHECKPOINT_EVENTS {
            match self.due.try_send(()) {
                // One that is being written now covers most of them; the rest is covered by the next.
                Ok(()) | Err(TrySendError::Full(())) => self.events = 0,
                Err(TrySendError::Disconnected(())) => {}
            }
        }
    }
}

/// Folds the durable events and writes the image.
fn write(dir: &Path, reader: &Reader, writer: &CheckpointWriter) -> Result<(), Error> {
    let (state, at) = restore::durable(dir, reader)?;
    audit(&state).map_err(Error::Inconsistent)?;
    let time_us = clock::wall_us();
    writer.write(at, time_us, state.image().map(|part| eventlog::image_draft(&part, time_us)))?;
    Ok(())
}
