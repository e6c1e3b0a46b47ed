//! Who is told of events as they happen, on a server that keeps no journal.
//!
//! Events reach a listener in the order in which they were decided, by way of the commit thread as everything does that leaves
//! the process. Batches are shared between listeners, so that many slow ones cost no more than one.
//!
//! Holds: nothing is left out silently. A listener that is too far behind is told nothing more, and can see that.

use super::commit::Released;
use crate::wire::message::HistoryRecord;
use hq_core::limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// An event with the job that it belongs to, 0 for none.
pub type Told = (u32, HistoryRecord);

/// Events of one turn.
#[derive(Debug)]
pub struct Batch {
    /// The events.
    pub events: Vec<Told>,
    /// What they weigh.
    bytes: usize,
}

impl Batch {
    /// A batch of these events.
    pub fn new(events: Vec<Told>) -> Self {
        let bytes = events.iter().map(|(_, record)| record.body.len() + size_of::<Told>()).sum();
        Self { events, bytes }
    }
}

#[derive(Debug, Default)]
struct Ahead {
    /// Bytes that were sent and not told yet.
    bytes: AtomicUsize,
    is_lost: AtomicBool,
}

/// The turn's end.
#[derive(Debug, Clone)]
pub struct ListenerSender {
    to: mpsc::Sender<Released<Arc<Batch>>>,
    ahead: Arc<Ahead>,
}

/// The session's end.
#[derive(Debug)]
pub struct Listener {
    from: mpsc::Receiver<Released<Arc<Batch>>>,
    ahead: Arc<Ahead>,
}

/// Both ends.
pub fn listener() -> (ListenerSender, Listener) {
    let (to, from) = mpsc::channel(limits::LISTENER_BATCHES_MAX);
    let ahead = Arc::new(Ahead::default());
    (ListenerSender { to, ahead: Arc::clone(&ahead) }, Listener { from, ahead })
}

impl ListenerSender {
    /// Whether nobody listens any more.
    pub fn is_gone(&self) -> bool {
        self.to.is_closed() || self.ahead.is_lost.load(Ordering::Acquire)
    }

    /// Hands a batch over. Where there is no room for it nothing follows any more.
    pub(super) fn send(&self, batch: Released<Arc<Batch>>, bytes: usize) {
        let before = self.ahead.bytes.fetch_add(bytes, Ordering::AcqRel);
        if self.is_gone() || before > limits::LISTENER_BYTES_MAX || self.to.try_send(batch).is_err() {
            self.ahead.is_lost.store(true, Ordering::Release);
        }
    }
}

impl Batch {
    /// What the batch weighs.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Listener {
    /// The next batch, as soon as there is one; none when there will be none.
    pub async fn next(&mut self) -> Option<Arc<Batch>> {
        self.from.recv().await.map(Released::into_inner)
    }

    /// The next batch if there is one now.
    pub fn try_next(&mut self) -> Option<Arc<Batch>> {
        self.from.try_recv().ok().map(Released::into_inner)
    }

    /// A batch was told, and makes room for others.
    pub fn told(&self, batch: &Batch) {
        self.ahead.bytes.fetch_sub(batch.bytes, Ordering::AcqRel);
    }

    /// Whether something was left out after what has arrived.
    pub fn has_lost(&self) -> bool {
        self.ahead.is_lost.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_bytes::ByteBuf;

    #[test]
    fn who_is_too_far_behind_is_told_nothing_more() {
        let body = ByteBuf::from(vec![0; limits::LISTENER_BYTES_MAX / 2]);
        let batch = Arc::new(Batch::new(vec![(0, HistoryRecord { body, ..HistoryRecord::default() })]));
        let (sender, mut listener) = listener();
        let send = |sender: &ListenerSender| {
            crate::server::commit::Release::Events { to: sender.clone(), batch: Arc::clone(&batch) }.release()
        };
        send(&sender);
        send(&sender);
        let first = listener.try_next().unwrap();
        assert!(!listener.has_lost() && !sender.is_gone());
        listener.told(&first);
        send(&sender);
        send(&sender);
        assert!(listener.has_lost() && sender.is_gone());
        let left = std::iter::from_fn(|| listener.try_next()).count();
        assert_eq!(left, 2);
    }
}
