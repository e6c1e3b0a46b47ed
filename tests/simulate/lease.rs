//! When a worker looks at the clock and at the files of the server, and what its guardian does when it is frozen.

use crate::network::Side;
use crate::worker::{Phase, Worker};
use crate::world::{Event, World};
use hq_core::agent::AgentCommand;
use hyperqueue::access::Sign;
use hyperqueue::worker::lease::judgement::Verdict;
use std::time::Duration;

/// How often a worker looks at the clock.
const STEP_US: u64 = 250_000;
/// How often a worker looks that hears nothing.
const LOOK_US: u64 = 500_000;
/// The guardian acts when the worker should have done so for this long.
const GUARDIAN_US: u64 = 300_000;
/// How often it looks.
const GUARDIAN_LOOK_US: u64 = 100_000;

impl World {
    pub fn lease_soon(&mut self, slot: u32, after: u64) {
        if let Some(worker) = self.workers.get_mut(&slot) {
            worker.lease_checks += 1;
            let number = worker.lease_checks;
            self.at(after, Event::Lease { worker: slot, number });
        }
    }

    /// One look of a worker at its lease.
    pub fn check_lease(&mut self, slot: u32, number: u64) {
        self.catch_up_signs();
        self.note_arrival(slot);
        let now = Duration::from_micros(self.now);
        let sign = self.host.sign.clone().map(Sign::new);
        let Some(worker) = self.workers.get_mut(&slot).filter(|worker| worker.lease_checks == number) else { return };
        let looks = worker.lease.looks(now);
        if looks {
            worker.lease.saw(Ok(sign.filter(|_| !worker.is_blind)), now);
        }
        let verdict = worker.lease.judge(now);
        match verdict {
            Verdict::Goes(None) => {}
            Verdict::Goes(Some(end)) => {
                worker.is_closed &= end <= now;
                let left = u64::try_from(end.saturating_sub(now).as_micros()).unwrap_or(u64::MAX);
                let next = if looks { LOOK_US } else { LOOK_US * 2 };
                // Long before the end nothing depends on a look.
                let next = if left > 9_000_000 && looks { left - 8_500_000 } else { next };
                let late = self.dice.below(STEP_US);
                self.lease_soon(slot, next.min(left.max(1)) + late);
                self.guard(slot);
            }
            Verdict::Over => {
                self.trace.say(self.now, || format!("worker {slot}: its lease is over"));
                self.lapse(slot);
                if let Some(Phase::Connected { link }) = self.workers.get(&slot).map(|worker| worker.phase) {
                    self.close(link, Side::Worker);
                    self.worker_lost_link(slot, link);
                }
            }
        }
    }

    /// What the server's machine has acknowledged is contact, where nothing stands in between.
    fn note_arrival(&mut self, slot: u32) {
        let blocked = self.is_blocked(slot, Side::Worker);
        let Some(worker) = self.workers.get_mut(&slot).filter(|worker| worker.is_straight && !blocked) else { return };
        if let (Phase::Connected { link }, Some(sent)) = (worker.phase, worker.last_beat)
            && self.links.get_mut(&link).is_some_and(|link| link.all_arrived())
        {
            worker.lease.contact(Duration::from_micros(sent));
        }
    }

    /// Whether a worker may start what was ordered in this term of its lease; none: that has to be judged first.
    pub fn permits(&self, slot: u32, term: u64) -> Option<bool> {
        let Some(worker) = self.workers.get(&slot).filter(|worker| worker.term == term && !worker.is_closed) else {
            return Some(false);
        };
        let is_over = |end: Duration| end + Duration::from_micros(GUARDIAN_US) < Duration::from_micros(self.now);
        (!worker.lease.end().is_some_and(is_over)).then_some(true)
    }

    /// Has the guardian look at the lease when it ends.
    pub fn guard(&mut self, slot: u32) {
        let Some(end) = self.workers.get(&slot).and_then(|worker| worker.lease.end()) else { return };
        let left = (end + Duration::from_micros(GUARDIAN_US)).saturating_sub(Duration::from_micros(self.now));
        self.guard_by(slot, u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
    }

    /// Has the guardian look at the lease after so many microseconds, unless it will anyway.
    fn guard_by(&mut self, slot: u32, after: u64) {
        let worker = self.workers.get_mut(&slot).filter(|worker| !worker.is_watched);
        if let Some(worker) = worker {
            worker.is_watched = true;
            self.at(after, Event::Guardian { worker: slot });
        }
    }

    /// The guardian ends the programs of a worker that is frozen beyond its lease.
    pub fn guardian(&mut self, slot: u32) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        worker.is_watched = false;
        let Some(end) = worker.lease.end().filter(|_| !worker.was_guarded) else { return };
        let left = (end + Duration::from_micros(GUARDIAN_US)).saturating_sub(Duration::from_micros(now));
        if left.is_zero() && worker.frozen_until > now {
            worker.was_guarded = true;
            worker.end_term();
            self.trace.say(now, || format!("the guardian of worker {slot} ends its tasks"));
            return self.kill_processes(slot);
        }
        // The end moves with each word that comes through.
        let left = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        self.guard_by(slot, left.max(GUARDIAN_LOOK_US));
    }

    /// The process goes on after it was frozen.
    pub fn thaw(&mut self, slot: u32) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&slot).filter(|worker| worker.frozen_until <= now) else { return };
        if std::mem::take(&mut worker.was_guarded) {
            self.agent(slot, AgentCommand::LeaseOver);
        }
    }

    /// The lease is over: what was ordered is not started any more, and what runs is killed.
    pub fn lapse(&mut self, slot: u32) {
        self.workers.get_mut(&slot).into_iter().for_each(Worker::end_term);
        self.agent(slot, AgentCommand::LeaseOver);
    }
}
