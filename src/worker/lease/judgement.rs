//! The rule of the lease, without clocks, threads and files: what was heard, seen and refused, and what follows.
//!
//! Apart from the threads so that tests can run it in a time of their own.
//!
//! What holds: contact never goes back; a sign of life beats all other evidence; the lease ends once.

use crate::access::Sign;
use hq_core::limits;
use hq_core::planted::{self, Planted};
use std::time::Duration;

/// How long it counts that the server's machine refused a connection.
const REFUSED_SPAN: Duration = Duration::from_secs(6);

/// What is known about a server of which nothing is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
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
pub(super) struct Watch {
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
    pub(super) fn saw(&mut self, seen: Result<Option<Sign>, ()>, now: Duration) {
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
    pub(super) fn reset(&mut self) {
        let ever = self.ever;
        *self = Self { ever, ..Self::default() };
    }

    pub(super) fn evidence(&self, now: Duration, refused: Option<Duration>) -> Evidence {
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

/// What a worker knows of its contact with the server. Times are by the clock since boot.
#[derive(Debug, Default)]
pub struct Judgement {
    /// The lease; none before the first registration, and after its end.
    pub(super) span: Option<Duration>,
    /// Interval of heartbeats.
    pub(super) heartbeat: Duration,
    pub(super) contact: Duration,
    pub(super) connected: bool,
    pub(super) refused: Option<Duration>,
    pub(super) watch: Watch,
}

/// What has to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; the guardian may have to act at this time.
    Goes(Option<Duration>),
    /// The tasks have to be ended.
    Over,
}

impl Judgement {
    /// What has to be done at this time.
    pub fn judge(&mut self, now: Duration) -> Verdict {
        let Some(span) = self.span else { return Verdict::Goes(None) };
        let end = self.contact + if planted::is(Planted::LongLease) { span * 4 } else { span };
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
    pub fn looks(&self, now: Duration) -> bool {
        let quiet = self.heartbeat.mul_f32(1.25).max(Duration::from_secs(1));
        self.span.is_some() && (!self.connected || now.saturating_sub(self.contact) > quiet)
    }

    /// The end of the lease, as far as it is known now.
    pub fn end(&self) -> Option<Duration> {
        self.span.map(|span| self.contact + span)
    }

    /// A look at the file system has ended.
    pub fn saw(&mut self, seen: Result<Option<Sign>, ()>, now: Duration) {
        self.watch.saw(seen, now);
    }

    /// A registration was accepted that was sent at `sent`. Tells whether the lease before it was over by `now`, and nobody
    /// had said so: what was ordered under that one must not be started under this one.
    #[must_use]
    pub fn begin(&mut self, span: Duration, heartbeat: Duration, sent: Duration, now: Duration) -> bool {
        let is_over = self.judge(now) == Verdict::Over;
        self.span = Some(span);
        self.heartbeat = heartbeat;
        self.contact = self.contact.max(sent);
        self.connected = true;
        self.refused = None;
        self.watch.reset();
        is_over
    }

    /// A word that was sent at `sent` has arrived; the end of the lease, if that has moved.
    pub fn contact(&mut self, sent: Duration) -> Option<Option<Duration>> {
        if sent <= self.contact {
            return None;
        }
        self.contact = sent;
        self.watch.reset();
        Some(self.span.map(|span| sent + span))
    }

    /// A server is about to be called in whose directory there are signs of life, or none.
    pub fn calls(&mut self, has_signs: bool) {
        self.watch.ever |= has_signs;
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// The server's machine says that nobody listens at any of its addresses.
    pub fn refused(&mut self, now: Duration) {
        self.refused = Some(now);
    }
}
