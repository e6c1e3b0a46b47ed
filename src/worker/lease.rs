//! Until when this worker may keep its tasks running without hearing of the server.
//!
//! The server gives the tasks of a silent worker to others, and none of them must run twice at a time. So a worker that
//! hears nothing ends them before, unless it can see that the server is dead: then nobody takes them away, and they are
//! worth keeping. `docs/decisions/0007-workers-that-go-away.md` has the whole rule.
//!
//! What holds: times are by the clock since boot; contact is counted from before a word was sent that has arrived, so
//! that the server, which counts from its arrival, never counts from earlier; a sign of life beats all other evidence.

pub mod judgement;

use super::inbox::{Inbox, Input};
use crate::access;
use crate::platform::{clock, process};
use judgement::{Judgement, Verdict};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Pause between two looks at the clock.
const STEP: Duration = Duration::from_millis(250);
/// The guardian acts when the worker should have done so for this long.
const GUARDIAN_SLACK: Duration = Duration::from_millis(300);
/// Has the guardian act after the end of the lease. To be called under the lock, so that what is older never comes last.
fn guard_until(end: Option<Duration>) {
    process::set_lease(end.map(|end| end + GUARDIAN_SLACK));
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lease {
    inner: Mutex<Judgement>,
    inbox: Arc<Inbox>,
    /// The connection is of no use any more.
    pub(super) over: Notify,
}

impl Lease {
    /// Starts the threads that watch the clock and the file system; they end with the lease.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(inbox: Arc<Inbox>, server_dir: PathBuf) -> std::io::Result<Arc<Self>> {
        let lease = Arc::new(Self { inner: Mutex::default(), inbox, over: Notify::new() });
        let (ask, asked) = sync_channel(1);
        let weak = Arc::downgrade(&lease);
        // A file system that hangs must not keep the clock from being watched.
        std::thread::Builder::new().name("hq-sign".into()).spawn(move || {
            while asked.recv().is_ok() {
                let seen = access::read_sign(&server_dir).map_err(|_| ());
                let Some(lease) = weak.upgrade() else { return };
                lease.lock().saw(seen, clock::since_boot());
            }
        })?;
        let weak = Arc::downgrade(&lease);
        std::thread::Builder::new().name("hq-lease".into()).spawn(move || {
            while let Some(lease) = weak.upgrade() {
                lease.step(&ask);
                drop(lease);
                std::thread::sleep(STEP);
            }
        })?;
        Ok(lease)
    }

    fn lock(&self) -> MutexGuard<'_, Judgement> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, ask: &SyncSender<()>) {
        let now = clock::since_boot();
        let mut inner = self.lock();
        if inner.looks(now) {
            // One that is under way will do.
            let _ = ask.try_send(());
        }
        match inner.judge(now) {
            Verdict::Goes(end) => guard_until(end),
            Verdict::Over => {
                drop(inner);
                self.end();
            }
        }
    }

    fn end(&self) {
        log::warn!("Nothing was heard of the server for too long: it may have given the tasks to others");
        process::end_lease();
        self.inbox.put(Input::LeaseOver);
        self.over.notify_one();
    }

    /// A registration was accepted that was sent at `sent`. Where the lease before it is over its tasks end, and the worker
    /// registers once more without them.
    pub(super) fn begin(&self, span: Duration, heartbeat: Duration, sent: Duration) {
        let mut inner = self.lock();
        if inner.begin(span, heartbeat, sent, clock::since_boot()) {
            self.end();
        }
        guard_until(Some(sent + span));
    }

    /// A word that was sent at `sent` has arrived.
    pub(super) fn contact(&self, sent: Duration) {
        let mut inner = self.lock();
        if let Some(end) = inner.contact(sent) {
            guard_until(end);
        }
    }

    /// A server is about to be called in whose directory there are signs of life, or none.
    pub(super) fn calls(&self, has_signs: bool) {
        self.lock().calls(has_signs);
    }

    /// The connection is gone.
    pub(super) fn disconnected(&self) {
        self.lock().disconnected();
    }

    /// The server's machine says that nobody listens at any of its addresses.
    pub(super) fn refused(&self) {
        self.lock().refused(clock::since_boot());
    }
}

/// The heartbeats that were sent over one connection and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Beats {
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    waiting: std::collections::VecDeque<Duration>,
    last: Option<Duration>,
}

/// Heartbeats that are remembered; a server that is frozen answers none for a long time.
const BEATS_MAX: usize = 1_024;

impl Beats {
    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is about to be sent.
    pub(super) fn sending(&self) {
        let (now, mut sent) = (clock::since_boot(), self.lock());
        sent.last = Some(now);
        if sent.waiting.len() < BEATS_MAX {
            sent.waiting.push_back(now);
        }
    }

    /// When the one was sent that is answered now.
    pub(super) fn answered(&self) -> Option<Duration> {
        self.lock().waiting.pop_front()
    }

    /// When the last one was sent.
    pub(super) fn last(&self) -> Option<Duration> {
        self.lock().last
    }
}

#[cfg(test)]
mod tests;
