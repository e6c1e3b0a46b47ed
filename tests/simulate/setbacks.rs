//! What becomes of a server whose disk refuses: patience, then back to what is recorded, and on once the disk works.
//!
//! The commit thread's waiting is played here; what it does when the waiting is over is the real code.
//!
//! Holds: who was refused finds nothing of it in the journal, now or ever, unless the refusal itself says that it may be.

use crate::world::{Event, World};
use hq_core::limits;
use hq_journal::disk::Fault as DiskFault;
use hyperqueue::server::health::HealthWatch;
use hyperqueue::wire::message::{Request, Response};

/// What a refusal says where even the cutting failed.
const IN_DOUBT: &str = "may appear after a restart";

/// A process as to its disk.
pub struct Setbacks {
    health: HealthWatch,
    /// Since when commits fail.
    pub refused_since: Option<u64>,
    look_is_due: bool,
    /// The life of the journal that the turn knows of.
    followed: u32,
}

impl Setbacks {
    pub fn new(health: HealthWatch) -> Self {
        Self { health, refused_since: None, look_is_due: false, followed: 0 }
    }

    /// The turn sees how the journal is.
    pub fn follow(&mut self) {
        self.followed = self.health.borrow().life;
    }

    pub fn is_followed(&self) -> bool {
        self.followed == self.health.borrow().life
    }
}

impl World {
    /// From now on for a while the disk fails, or it is full.
    pub fn refuse(&mut self) {
        let span = self.dice.span(500_000, 60_000_000);
        if self.dice.permille(500) {
            self.host.refuses_until = self.now + span;
            return;
        }
        let disk = self.host.disk.clone();
        disk.set_capacity(Some(disk.used_bytes() + self.dice.below(1_000)));
        self.at(span, Event::HealDisk);
    }

    /// The next write or sync fails while the disk refuses.
    pub fn upset_disk(&mut self) {
        if self.now < self.host.refuses_until && !self.host.disk.is_powerless() {
            let at = self.host.disk.operations() + self.dice.within(1, 2);
            self.host.disk.fault_at(at, DiskFault::Eio);
        }
    }

    /// A commit has failed: it is tried for a while, then everything that waits is given up.
    pub fn disk_refuses(&mut self) {
        let (now, boot) = (self.now, self.host.boot);
        self.trace.say(now, || "the disk refuses".to_owned());
        let Some(process) = &mut self.host.process else { return };
        let since = *process.setbacks.refused_since.get_or_insert(now);
        if now - since < limits::COMMIT_PATIENCE_SPAN.0 {
            return self.at(limits::COMMIT_RETRY_SPAN.0, Event::Commit { boot });
        }
        // At times the cutting fails as well.
        if self.dice.permille(300) {
            self.upset_disk();
        }
        let Some(process) = &mut self.host.process else { return };
        process.commits.give_up();
        process.setbacks.refused_since = None;
        // Reading usually works on such a disk.
        if self.dice.permille(800) {
            self.host.disk.heal();
        }
        let Some(process) = &mut self.host.process else { return };
        let trouble = process.setbacks.health.borrow().trouble.clone();
        self.trace.say(now, || format!("what is not recorded is taken back: {trouble:?}"));
        if !process.listens {
            // A start that cannot be recorded fails.
            return self.crash_server(false);
        }
        self.pump();
        self.turn_soon();
        self.look_soon();
        self.at(100, Event::Commit { boot });
        if self.dice.permille(400) {
            let after = self.dice.within(200, 2_000_000);
            self.at(after, Event::Outage { boot });
        }
    }

    /// The power goes soon after a refusal, which hardly ever happens by chance: what the disk was told to cut must be cut
    /// by then.
    pub fn outage(&mut self, boot: u64) {
        if self.faults_on && self.host.boot == boot {
            self.crash_server(true);
        }
    }

    /// While there is trouble it is looked each second whether it is over.
    pub fn look_soon(&mut self) {
        let Some(process) = &mut self.host.process else { return };
        let setbacks = &mut process.setbacks;
        let is_trouble = setbacks.health.borrow().trouble.is_some();
        if is_trouble && !std::mem::replace(&mut setbacks.look_is_due, true) {
            let boot = self.host.boot;
            self.at(limits::COMMIT_LOOK_SPAN.0, Event::Look { boot });
        }
    }

    pub fn look(&mut self, boot: u64) {
        if self.host.boot != boot || self.host.process.is_none() {
            return;
        }
        if self.host.frozen_until > self.now {
            return self.at(self.host.frozen_until - self.now, Event::Look { boot });
        }
        self.upset_disk();
        let Some(process) = &mut self.host.process else { return };
        process.setbacks.look_is_due = false;
        // The thread tries to commit, or it looks.
        if process.setbacks.refused_since.is_none() {
            process.commits.look();
            let health = process.setbacks.health.borrow().clone();
            self.trace.say(self.now, || format!("looked: {health:?}"));
        }
        self.turn_soon();
        self.look_soon();
    }

    /// What was refused is nowhere.
    pub fn note_refusal(&mut self, ask: u64, response: &Response) {
        let Response::Refused(reason) = response else { return };
        if reason.contains(IN_DOUBT) {
            return;
        }
        let name = match self.clients.request_of(ask) {
            Some(Request::Submit(submit)) => submit.name.clone(),
            Some(Request::OpenJob(open)) => open.name.clone(),
            _ => return,
        };
        if self.book.names.contains(&name) {
            self.fail(format!("{name} is refused ({reason}) and recorded"));
        }
        self.book.refused.insert(name);
    }

    /// The answer came from a state that was given up: a question is asked again by its session, anything else has no answer.
    pub fn ask_again(&mut self, ask: u64) {
        let is_question = self.clients.request_of(ask).is_some_and(|request| {
            matches!(
                request,
                Request::Wait(_) | Request::Tasks(_) | Request::JobList(_) | Request::Why(_) | Request::JobDetails(_)
            )
        });
        match is_question {
            true => {
                self.clients.forget_answers(ask);
                self.at(10, Event::Ask { ask });
            }
            false => drop(self.clients.asks.remove(&ask)),
        }
    }
}
