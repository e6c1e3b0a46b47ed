//! Checkpoints: images of the state, so that a restart reads one image and the events since.
//!
//! The image is not taken from the machine, which would have to stand still meanwhile: a thread folds the durable
//! events itself, from the checkpoint before, and writes what it gets. So a checkpoint never delays a turn, and every
//! one is a replay that worked. The same thread prunes the journal, which rests on a checkpoint.

use super::retention::Keeper;
use super::turn::ClientSender;
use super::{Error, restore};
use crate::eventlog;
use hq_core::audit::audit;
use hq_core::limits;
use hq_core::state::State;
use hq_journal::{CheckpointWriter, Point, Reader, RecordDraft};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Requests that wait for the thread; who finds no room asks later.
const ASKS_MAX: usize = 4;

/// What the thread is asked for.
#[derive(Debug)]
enum Ask {
    /// A checkpoint.
    Due,
    /// What `hq journal prune` does; whom to answer.
    Prune(ClientSender),
}

/// Asks for checkpoints; dropping it ends the thread.
#[derive(Debug)]
pub struct Checkpoints {
    asks: SyncSender<Ask>,
    events: u64,
    bytes: u64,
    bytes_max: u64,
}

impl Checkpoints {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(keeper: Keeper) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (asks, inbox) = sync_channel(ASKS_MAX);
        let bytes_max = keeper.step_bytes().min(limits::CHECKPOINT_BYTES);
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || run(keeper, &inbox))?;
        Ok((Self { asks, events: 0, bytes: 0, bytes_max }, thread))
    }

    /// Counts what goes into the journal; asks for a checkpoint when there is enough.
    pub fn count(&mut self, drafts: &[RecordDraft]) {
        self.events += drafts.len() as u64;
        self.bytes += drafts.iter().map(|draft| draft.body.len() as u64).sum::<u64>();
        if self.events >= limits::CHECKPOINT_EVENTS || self.bytes >= self.bytes_max {
            match self.asks.try_send(Ask::Due) {
                // One that is being written now covers most of them; the rest is covered by the next.
                Ok(()) | Err(TrySendError::Full(_)) => (self.events, self.bytes) = (0, 0),
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Asks for the journal to be pruned; false when too much waits already.
    pub fn prune(&self, to: ClientSender) -> bool {
        self.asks.try_send(Ask::Prune(to)).is_ok()
    }
}

fn run(mut keeper: Keeper, inbox: &Receiver<Ask>) {
    loop {
        match inbox.recv_timeout(limits::CHECKPOINT_SPAN.to_duration()) {
            Ok(Ask::Due) => keeper.checkpoint(),
            Ok(Ask::Prune(to)) => keeper.prune_for(to),
            Err(RecvTimeoutError::Timeout) => keeper.look(),
            Err(RecvTimeoutError::Disconnected) => return keeper.end(),
        }
    }
}

/// The state that the durable events amount to, and the last of them.
///
/// # Errors
/// What the journal or its disk says, or that the folded state is not consistent.
pub fn fold(reader: &Reader) -> Result<(State, Point), Error> {
    let (state, at) = restore::durable(reader)?;
    audit(&state).map_err(Error::Inconsistent)?;
    Ok((state, at))
}

/// Folds the durable events and writes the image.
///
/// # Errors
/// As [`fold`].
pub fn write(reader: &Reader, writer: &CheckpointWriter, time_us: u64) -> Result<(State, Point), Error> {
    let (state, at) = fold(reader)?;
    writer.write(at, time_us, image(&state, time_us))?;
    Ok((state, at))
}

/// The records of an image.
pub fn image(state: &State, time_us: u64) -> impl Iterator<Item = RecordDraft> + '_ {
    state.image().map(move |part| eventlog::image_draft(&part, time_us))
}
