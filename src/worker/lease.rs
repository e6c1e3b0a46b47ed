//! Until when this worker may keep its tasks running without hearing of the server.
//!
//! The server gives the tasks of a silent worker to others, and none of them must run twice at a time. So a worker that
//! hears nothing ends them before, unless it can see that the server is dead: then nobody takes them away, and they are
//! worth keeping. `docs/decisions/0007-workers-that-go-away.md` has the whole rule.
//!
//! What holds: times are by the clock since boot; contact is counted from before a word was sent that has arrived, so
//! that the server, which counts from its arrival, never counts from earlier; a sign of life beats all other evidence.

use super::inbox::{Inbox, Input};
use crate::access::{self, Sign};
use crate::platform::{clock, process};
use hq_core::limits;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Pause between two looks at the clock.
const STEP: Duration = Duration::from_millis(250);
/// The guardian acts when the worker should have done so for this long.
const GUARDIAN_SLACK: Duration = Duration::from_millis(300);
/// How long it counts that the server's machine refused a connection.
const REFUSED_SPAN: Duration = Duration::from_secs(6);

/// What is known about a server of which nothing is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// It has shown that it lives.
    Alive,
    /// It was dead at this time, or showed nothing and therefore takes nothing back: a server that shows itself later
    /// waits for a lease from then on.
    Dead(Duration),
    /// Neither.
    None,
}

/// What was seen on the file system since contact was lost.
#[derive(Debug, Default)]
struct Watch {
    /// The last sign, and when it was first seen.
    sign: Option<(Sign, Duration)>,
    /// When the last sign was seen to differ from the one before.
    moved: Option<Duration>,
    /// When the last look succeeded.
    looked: Option<Duration>,
    /// Whether this server directory has ever had a sign.
    ever: bool,
    /// Whether it was gone at the last look.
    gone: bool,
}

impl Watch {
    /// A look at the file system has ended.
    fn saw(&mut self, seen: Result<Option<Sign>, ()>, now: Duration) {
        let Ok(seen) = seen else { return };
        self.looked = Some(now);
        self.gone = seen.is_none();
        let Some(seen) = seen else { return };
        self.ever = true;
        match &self.sign {
            Some((last, _)) if *last == seen => {}
            last => {
                if last.is_some() {
                    self.moved = Some(now);
                }
                self.sign = Some((seen, now));
            }
        }
    }

    /// Contact is there: what was seen before says nothing about the next time.
    fn reset(&mut self) {
        let ever = self.ever;
        *self = Self { ever, ..Self::default() };
    }

    fn evidence(&self, now: Duration, refused: Option<Duration>) -> Evidence {
        let within = |at: Option<Duration>, span: Duration| at.is_some_and(|at| now.saturating_sub(at) <= span);
        let stale = limits::SIGN_STALE_SPAN.to_duration();
        if within(self.moved, stale) {
            return Evidence::Alive;
        }
        let fresh = within(self.looked, stale / 2);
        let stands = self.sign.as_ref().is_some_and(|(_, since)| now.saturating_sub(*since) >= stale);
        let by_sign = self.looked.filter(|_| fresh && (stands || (self.ever && self.gone)));
        let by_refusal = refused.filter(|_| within(refused, REFUSED_SPAN));
        by_sign.or(by_refusal).map_or(Evidence::None, Evidence::Dead)
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// The lease; none before the first registration, and after its end.
    span: Option<Duration>,
    /// Interval of heartbeats.
    heartbeat: Duration,
    contact: Duration,
    connected: bool,
    refused: Option<Duration>,
    watch: Watch,
}

/// What has to be done now.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing; the guardian may have to act at this time.
    Goes(Option<Duration>),
    /// The tasks have to be ended.
    Over,
}

impl Inner {
    fn judge(&mut self, now: Duration) -> Verdict {
        let Some(span) = self.span else { return Verdict::Goes(None) };
        let end = self.contact + span;
        if now < end {
            return Verdict::Goes(Some(end));
        }
        if let Evidence::Dead(at) = self.watch.evidence(now, self.refused) {
            // A server that is started from then on has to wait as well, and gives time to reach it.
            self.contact = self.contact.max(at);
            return Verdict::Goes(Some(self.contact + span));
        }
        self.span = None;
        Verdict::Over
    }

    /// Whether it is time to look at the file system.
    fn looks(&self, now: Duration) -> bool {
        let quiet = self.heartbeat.mul_f32(1.25).max(Duration::from_secs(1));
        self.span.is_some() && (!self.connected || now.saturating_sub(self.contact) > quiet)
    }
}

/// Has the guardian act after the end of the lease. To be called under the lock, so that what is older never comes last.
fn guard_until(end: Option<Duration>) {
    process::set_lease(end.map(|end| end + GUARDIAN_SLACK));
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lease {
    inner: Mutex<Inner>,
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
                lease.lock().watch.saw(seen, clock::since_boot());
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
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
                log::warn!("Nothing was heard of the server for too long: it may have given the tasks to others");
                self.inbox.put(Input::LeaseOver);
                self.over.notify_one();
            }
        }
    }

    /// A registration was accepted that was sent at `sent`.
    pub(super) fn begin(&self, span: Duration, heartbeat: Duration, sent: Duration) {
        let mut inner = self.lock();
        inner.span = Some(span);
        inner.heartbeat = heartbeat;
        inner.contact = inner.contact.max(sent);
        inner.connected = true;
        inner.refused = None;
        inner.watch.reset();
        guard_until(Some(sent + span));
    }

    /// A word that was sent at `sent` has arrived.
    pub(super) fn contact(&self, sent: Duration) {
        let mut inner = self.lock();
        if sent > inner.contact {
            inner.contact = sent;
            inner.watch.reset();
            guard_until(inner.span.map(|span| sent + span));
        }
    }

    /// A server is about to be called in whose directory there are signs of life, or none.
    pub(super) fn calls(&self, has_signs: bool) {
        self.lock().watch.ever |= has_signs;
    }

    /// The connection is gone.
    pub(super) fn disconnected(&self) {
        self.lock().connected = false;
    }

    /// The server's machine says that nobody listens at any of its addresses.
    pub(super) fn refused(&self) {
        self.lock().refused = Some(clock::since_boot());
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
