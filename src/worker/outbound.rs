//! What the server shall hear, gathered while the last message is under way.
//!
//! Whatever has come together goes into one message, so that a busy worker sends few large ones and an idle one
//! sends at once. Only what nothing follows from waits a little: starts (most short tasks have ended by then, so that
//! their start is part of their outcome), and outcomes while further tasks wait on this worker anyway.
//!
//! What holds: nothing is gathered without a connection, since the next registration tells all of it; the word of
//! leaving is the last one.

use super::notices::{Arrival, Notices, Refusal};
use hq_core::attempt::{Attempt, WorkerReport};
use hq_core::overview::HardwareUse;
use hq_core::worker::LostReason;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How a worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Departure {
    /// Exit code.
    pub(super) code: u8,
    /// The last word to the server; none when it is lost.
    pub(super) leaving: Option<LostReason>,
}

#[derive(Debug, Default)]
struct Pending {
    open: bool,
    report: WorkerReport,
    /// The newest overview, if it has not been sent.
    overview: Option<Box<HardwareUse>>,
    departure: Option<Departure>,
    /// Whether the worker takes nothing new, and whether this connection has carried that.
    draining: bool,
    drain_told: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pending: Mutex<Pending>,
    /// Something from which something follows.
    urgent: Notify,
    /// Anything.
    changed: Notify,
    /// Whether tasks wait on this worker.
    backlog: AtomicBool,
    /// What tasks say.
    pub(super) notices: Notices,
}

impl Outbound {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing yet, with messages of tasks that come over a socket at this path.
    pub(super) fn with_socket(socket: PathBuf) -> Self {
        Self { notices: Notices::at(socket), ..Self::default() }
    }

    /// Takes a message of whoever has the token.
    pub(super) fn notify(&self, token: &str, message: &[u8]) -> Result<Arrival, Refusal> {
        let arrival = self.notices.put(token, message)?;
        self.changed.notify_one();
        self.urgent.notify_one();
        Ok(arrival)
    }

    /// A registration is about to tell everything up to here: gathers what comes after it.
    pub(super) fn open(&self) {
        let mut pending = self.lock();
        let draining = pending.draining;
        *pending = Pending { open: true, draining, ..Pending::default() };
        drop(pending);
        if self.notices.reopen() || draining {
            self.changed.notify_one();
        }
    }

    /// The connection is gone.
    pub(super) fn close(&self) {
        let mut pending = self.lock();
        pending.open = false;
        pending.overview = None;
        pending.report = WorkerReport::default();
    }

    /// Adds to the report; gives back an empty one for reuse.
    pub(super) fn add(&self, report: &mut WorkerReport) {
        let mut pending = self.lock();
        if pending.open {
            let urgent = report.is_urgent();
            pending.report.append(report);
            drop(pending);
            self.changed.notify_one();
            if urgent {
                self.urgent.notify_one();
            }
        } else {
            *report = WorkerReport::default();
        }
    }

    /// Has an overview sent; one that was not sent yet is out of date.
    pub(super) fn tell(&self, overview: Box<HardwareUse>) {
        let mut pending = self.lock();
        if pending.open {
            pending.overview = Some(overview);
            drop(pending);
            self.changed.notify_one();
        }
    }

    /// Takes the overview that is to be sent.
    pub(super) fn take_overview(&self) -> Option<Box<HardwareUse>> {
        self.lock().overview.take()
    }

    /// Notes whether tasks wait on this worker.
    pub(super) fn set_backlog(&self, backlog: bool) {
        self.backlog.store(backlog, Ordering::Relaxed);
    }

    /// Whether tasks wait on this worker, so that nothing stands still while a message waits for company.
    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::Relaxed)
    }

    /// The worker takes nothing new from now on.
    pub(super) fn drain(&self) {
        self.lock().draining = true;
        self.changed.notify_one();
        self.urgent.notify_one();
    }

    /// Whether that has to be told on this connection; told once.
    pub(super) fn takes_drain(&self) -> bool {
        let mut pending = self.lock();
        let tells = pending.draining && pending.open && !pending.drain_told;
        pending.drain_told |= tells;
        tells
    }

    /// The worker ends once what was reported is sent.
    pub(super) fn depart(&self, departure: Departure) {
        self.lock().departure = Some(departure);
        self.changed.notify_one();
        self.urgent.notify_one();
    }

    /// Waits until there is something to take.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until there is something that has to be sent at once.
    pub(super) async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// Whether starts are all there is to tell.
    pub(super) fn is_calm(&self) -> bool {
        let pending = self.lock();
        let drains = pending.draining && !pending.drain_told;
        !drains && pending.departure.is_none() && !pending.report.is_urgent()
    }

    /// Takes all that was gathered. The start of a task whose end is in the same report is part of its outcome.
    pub(super) fn take(&self) -> (WorkerReport, Option<Departure>) {
        let mut pending = self.lock();
        let (mut report, departure) = (std::mem::take(&mut pending.report), pending.departure);
        drop(pending);
        if !report.started.is_empty() && !report.ended.is_empty() {
            let ended: HashSet<Attempt> = report.ended.iter().map(|outcome| outcome.attempt).collect();
            report.started.retain(|started| !ended.contains(&started.attempt));
        }
        (report, departure)
    }

    /// Whether the worker is to end.
    pub(super) fn departure(&self) -> Option<Departure> {
        self.lock().departure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::attempt::{Outcome, Started};

    #[test]
    fn gathers_only_with_a_connection() {
        let outbound = Outbound::default();
        let (first, second) = (Attempt::new(1, 0, 1, 0), Attempt::new(1, 1, 1, 0));
        let started = |attempt| Started { attempt, ..Started::default() };
        let report = || WorkerReport {
            started: vec![started(first), started(second)],
            ended: vec![Outcome { attempt: first, ..Outcome::default() }],
            ..WorkerReport::default()
        };
        outbound.add(&mut report());
        assert_eq!(outbound.take().0, WorkerReport::default());
        outbound.open();
        outbound.add(&mut report());
        outbound.add(&mut WorkerReport { returned: vec![second], ..WorkerReport::default() });
        let (taken, _) = outbound.take();
        assert_eq!(taken.started, vec![started(second)]);
        assert_eq!((taken.ended.len(), taken.returned), (1, vec![second]));
        outbound.add(&mut report());
        outbound.tell(Box::default());
        outbound.tell(Box::new(HardwareUse { at_s: 5, ..HardwareUse::default() }));
        assert_eq!(outbound.take_overview().map(|overview| overview.at_s), Some(5));
        outbound.tell(Box::default());
        outbound.close();
        assert_eq!(outbound.take_overview(), None);
        assert_eq!(outbound.take().0, WorkerReport::default());
    }
}
