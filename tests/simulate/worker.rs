//! Processes of workers: the real agent, and what its shell does, in virtual time.
//!
//! The shell is played: its connection, its reports, its timers, the programs that it starts. The rule of its lease is
//! the real one.
//!
//! Holds: what the agent is told comes in the order in which it happened.

use crate::network::{Packet, Side};
use crate::server::BASE_US;
use crate::world::{Event, World};
use hq_core::agent::{Agent, AgentCommand, AgentConfig, AgentEffect, KillKind, Timer};
use hq_core::attempt::{Registration, WorkerReport};
use hq_core::cbor;
use hq_core::limits;
use hq_core::time::Time;
use hq_core::worker::{LostReason, WorkerConfig};
use hyperqueue::wire::message::{Empty, Registered, ToServer, ToWorker};
use hyperqueue::worker::lease::judgement::Judgement;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Where the connection of a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Dialing,
    Registering { link: u64, sent: u64 },
    Connected { link: u64 },
}

/// A worker's process.
pub struct Worker {
    pub agent: Agent,
    pub config: WorkerConfig,
    pub token: String,
    pub server_uid: String,
    pub phase: Phase,
    pub pause_us: u64,
    /// Tells tries to connect apart.
    pub tries: u64,
    pub frozen_until: u64,
    pub lease: Judgement,
    /// Heartbeats that were sent over this connection and not answered.
    pub beats: VecDeque<u64>,
    pub last_beat: Option<u64>,
    /// What the server shall hear; none without a connection.
    pub report: Option<WorkerReport>,
    flush_is_due: bool,
    pub drains: bool,
    drain_told: bool,
    timers: BTreeMap<Timer, u64>,
    /// The worker sees no files of the server.
    pub is_blind: bool,
    /// Nothing stands between it and the server, so that acknowledgements of the network count.
    pub is_straight: bool,
    /// Processes that were ended by the guardian while the worker was frozen.
    pub was_guarded: bool,
    /// The guardian will look at the lease.
    pub is_watched: bool,
    pub lease_checks: u64,
    /// Terms of its lease that are over.
    pub term: u64,
    /// It has ended, and a new one has not begun.
    pub is_closed: bool,
    pub clock_offset: i64,
}

impl Worker {
    /// The lease is over.
    pub fn end_term(&mut self) {
        (self.term, self.is_closed) = (self.term + 1, true);
    }
}

impl World {
    pub fn new_worker(&mut self, config: WorkerConfig, clock_offset: i64) -> u32 {
        self.last_slot += 1;
        let slot = self.last_slot;
        let agent = Agent::new(AgentConfig {
            resources: config.resources.clone(),
            on_server_lost: config.on_server_lost,
            time_limit: config.time_limit,
            retract_check: config.retract_check.unwrap_or(limits::RETRACT_CHECK_DEFAULT),
        });
        let is_blind = self.dice.permille(self.settings.blind);
        let is_straight = self.dice.permille(500);
        let worker = Worker {
            agent,
            config,
            token: format!("token-{slot}"),
            server_uid: String::new(),
            phase: Phase::Waiting,
            pause_us: 50_000,
            tries: 0,
            frozen_until: 0,
            lease: Judgement::default(),
            beats: VecDeque::new(),
            last_beat: None,
            report: None,
            flush_is_due: false,
            drains: false,
            drain_told: false,
            timers: BTreeMap::new(),
            is_blind,
            is_straight,
            was_guarded: false,
            is_watched: false,
            lease_checks: 0,
            term: 0,
            is_closed: false,
            clock_offset,
        };
        self.workers.insert(slot, worker);
        self.at(1, Event::Dial { worker: slot });
        slot
    }

    fn worker_time(&self, slot: u32) -> Time {
        let offset = self.workers.get(&slot).map_or(0, |worker| worker.clock_offset);
        Time((BASE_US + self.now).saturating_add_signed(offset))
    }

    /// Has the agent handle something and carries out what follows.
    pub fn agent(&mut self, slot: u32, command: AgentCommand) {
        let now = self.worker_time(slot);
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        self.trace.say(self.now, || format!("  worker {slot}: {command:?}"));
        for effect in worker.agent.handle(now, command) {
            if !self.workers.contains_key(&slot) {
                return;
            }
            self.carry_out(slot, effect);
        }
    }

    fn carry_out(&mut self, slot: u32, effect: AgentEffect) {
        let now = self.now;
        match effect {
            AgentEffect::Spawn(order) => self.spawn(slot, &order),
            AgentEffect::Kill { attempt, kind } => self.end_process(slot, attempt, kind == KillKind::Kill),
            AgentEffect::Report(mut report) => {
                let Some(worker) = self.workers.get_mut(&slot) else { return };
                if let Some(gathered) = &mut worker.report {
                    gathered.append(&mut report);
                }
                self.flush_soon(slot);
            }
            AgentEffect::Draining => {
                self.workers.get_mut(&slot).into_iter().for_each(|worker| worker.drains = true);
                self.flush_soon(slot);
            }
            AgentEffect::ArmTimer { after, timer } => {
                if let Some(worker) = self.workers.get_mut(&slot) {
                    worker.timers.insert(timer, now + after.0);
                    self.at(after.0, Event::Timer { worker: slot, timer });
                }
            }
            AgentEffect::DisarmTimer(timer) => {
                self.workers.get_mut(&slot).into_iter().for_each(|worker| _ = worker.timers.remove(&timer));
            }
            AgentEffect::Exit { leaving, .. } => self.exit(slot, leaving),
            AgentEffect::Warn { .. } | AgentEffect::Awaits(_) | AgentEffect::ForgetDesc(_) => {}
        }
    }

    pub fn timer(&mut self, slot: u32, timer: Timer) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        if worker.timers.get(&timer).is_some_and(|at| *at <= now) {
            worker.timers.remove(&timer);
            self.agent(slot, AgentCommand::TimerExpired(timer));
        }
    }

    fn flush_soon(&mut self, slot: u32) {
        let after = self.dice.within(10, 5_000);
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        if !std::mem::replace(&mut worker.flush_is_due, true) {
            self.at(after, Event::Flush { worker: slot });
        }
    }

    /// Sends what was gathered.
    pub fn flush(&mut self, slot: u32) {
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        worker.flush_is_due = false;
        let Phase::Connected { link } = worker.phase else { return };
        let drains = worker.drains && !std::mem::replace(&mut worker.drain_told, worker.drains);
        let report = worker.report.as_mut().map(std::mem::take).unwrap_or_default();
        if drains {
            self.tell(link, &ToServer::Draining(Empty {}));
        }
        if report != WorkerReport::default() {
            self.tell(link, &ToServer::Report(report));
        }
    }

    fn tell(&mut self, link: u64, message: &ToServer) {
        self.trace.say(self.now, || format!("  {link} to server: {message:?}"));
        self.send(link, Side::Server, Packet::Message(cbor::encode(message)));
    }

    /// The process ends by its own will; what was reported goes first.
    fn exit(&mut self, slot: u32, leaving: Option<LostReason>) {
        self.flush(slot);
        let Some(worker) = self.workers.get(&slot) else { return };
        if let Phase::Connected { link } = worker.phase {
            if let Some(reason) = leaving {
                self.tell(link, &ToServer::Leaving(reason));
            }
            self.close(link, Side::Worker);
        }
        self.bury(slot, 0);
    }

    /// The process is gone; the guardian ends what is left of it.
    pub fn bury(&mut self, slot: u32, guardian_us: u64) {
        self.trace.say(self.now, || format!("worker {slot} is gone"));
        self.workers.remove(&slot);
        self.at(guardian_us, Event::Orphans { worker: slot });
    }

    pub fn dial(&mut self, slot: u32) {
        let way = 2 * self.latency();
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        if worker.phase != Phase::Waiting {
            return;
        }
        worker.phase = Phase::Dialing;
        worker.tries += 1;
        let number = worker.tries;
        let is_blocked = self.is_blocked(slot, Side::Server) || self.is_blocked(slot, Side::Worker);
        let after = if is_blocked { way + self.dice.within(1_000_000, 5_000_000) } else { way };
        self.at(after, Event::Dialed { worker: slot, number, is_blocked });
    }

    /// The try to connect has ended.
    pub fn dialed(&mut self, slot: u32, number: u64, was_blocked: bool) {
        let now = self.now;
        let is_blocked = was_blocked || self.is_blocked(slot, Side::Server) || self.is_blocked(slot, Side::Worker);
        let listens = self.host.process.as_ref().is_some_and(|process| process.listens);
        let has_sign = self.host.sign.is_some();
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        if worker.phase != Phase::Dialing || worker.tries != number {
            return;
        }
        worker.lease.calls(has_sign && !worker.is_blind);
        if is_blocked || !listens {
            if !is_blocked && self.host_is_up {
                worker.lease.refused(Duration::from_micros(now));
            }
            return self.try_again(slot);
        }
        let (held, outbox) = worker.agent.holdings();
        worker.report = Some(WorkerReport::default());
        worker.drain_told = false;
        let registration = Registration {
            token: worker.token.clone(),
            config: Box::new(worker.config.clone()),
            server_uid: worker.server_uid.clone(),
            held,
            outbox,
            number: worker.tries,
        };
        self.last_link += 1;
        let link = self.last_link;
        worker.phase = Phase::Registering { link, sent: now };
        self.links.insert(link, crate::network::Connection::new(slot));
        self.tell(link, &ToServer::Register(registration));
        self.at(15_000_000, Event::NoAnswer { worker: slot, link });
    }

    fn try_again(&mut self, slot: u32) {
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        worker.phase = Phase::Waiting;
        let pause = worker.pause_us;
        worker.pause_us = (pause * 2).min(2_000_000);
        self.at(pause, Event::Dial { worker: slot });
    }

    /// The server did not answer the registration.
    pub fn no_answer(&mut self, slot: u32, link: u64) {
        let is_waiting = |worker: &Worker| matches!(worker.phase, Phase::Registering { link: own, .. } if own == link);
        if self.workers.get(&slot).is_some_and(is_waiting) {
            self.close(link, Side::Worker);
            self.try_again(slot);
        }
    }

    pub fn worker_hears(&mut self, slot: u32, link: u64, bytes: &[u8]) {
        self.trace.bytes(bytes);
        let message = match cbor::decode::<ToWorker>(bytes) {
            Ok(message) => message,
            Err(error) => return self.fail(format!("a message of the server is not understood: {error:?}")),
        };
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        match (worker.phase, message) {
            (Phase::Registering { link: own, sent }, message) if own == link => match message {
                ToWorker::Registered(registered) => self.registered(slot, link, sent, registered),
                ToWorker::Refused(text) => self.refused(slot, link, &text),
                other => self.fail(format!("before the answer to its registration a worker hears {other:?}")),
            },
            (Phase::Connected { link: own }, message) if own == link => match message {
                ToWorker::Heartbeat(_) => {
                    if let Some(sent) = worker.beats.pop_front() {
                        worker.lease.contact(Duration::from_micros(sent));
                    }
                }
                message => self.obey(slot, message),
            },
            _ => {}
        }
    }

    fn obey(&mut self, slot: u32, message: ToWorker) {
        let command = match message {
            ToWorker::Assign(message) => {
                AgentCommand::Assign { shared: message.shared, assignment: message.assignment }
            }
            ToWorker::Cancel(attempts) => AgentCommand::Cancel(attempts),
            ToWorker::Retract(attempts) => AgentCommand::Retract(attempts),
            ToWorker::Acknowledge(number) => AgentCommand::Acknowledge(number),
            ToWorker::Forget(keys) => AgentCommand::Forget(keys),
            ToWorker::Stop(_) => AgentCommand::Leave(LostReason::Stopped),
            _ => return,
        };
        self.agent(slot, command);
    }

    fn registered(&mut self, slot: u32, link: u64, sent: u64, registered: Registered) {
        let now = Duration::from_micros(self.now);
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        worker.pause_us = 50_000;
        worker.phase = Phase::Connected { link };
        worker.server_uid = registered.server_uid;
        let (span, heartbeat) = (worker.config.lease(), worker.config.heartbeat);
        let is_over = worker.lease.begin(span.to_duration(), heartbeat.to_duration(), Duration::from_micros(sent), now);
        if is_over {
            self.lapse(slot);
        }
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        // The answer may have lain in a buffer.
        worker.is_closed &= worker.lease.end().is_some_and(|end| end <= now);
        worker.beats.clear();
        worker.last_beat = None;
        self.at(heartbeat.0, Event::Beat { worker: slot, link });
        self.lease_soon(slot, 1_000_000);
        // From the first moment on: it may be frozen before its first look.
        self.guard(slot);
        self.agent(slot, AgentCommand::Registered { drop: registered.drop });
        self.flush_soon(slot);
        if is_over {
            // It registers once more, without what has ended.
            self.close(link, Side::Worker);
            self.worker_lost_link(slot, link);
        }
    }

    fn refused(&mut self, slot: u32, link: u64, text: &str) {
        self.trace.say(self.now, || format!("worker {slot} is refused: {text}"));
        self.close(link, Side::Worker);
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        if worker.server_uid.is_empty() {
            return self.bury(slot, 0);
        }
        worker.server_uid.clear();
        worker.token.push('x');
        self.agent(slot, AgentCommand::Disowned);
        self.try_again(slot);
    }

    pub fn worker_lost_link(&mut self, slot: u32, link: u64) {
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        match worker.phase {
            Phase::Registering { link: own, .. } if own == link => self.try_again(slot),
            Phase::Connected { link: own } if own == link => {
                worker.report = None;
                worker.lease.disconnected();
                worker.phase = Phase::Waiting;
                self.agent(slot, AgentCommand::ServerLost);
                self.at(1, Event::Dial { worker: slot });
            }
            _ => {}
        }
    }

    pub fn beat(&mut self, slot: u32, link: u64) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        if worker.phase != (Phase::Connected { link }) {
            return;
        }
        worker.beats.push_back(now);
        worker.last_beat = Some(now);
        let heartbeat = worker.config.heartbeat.0;
        self.send(link, Side::Server, Packet::Message(cbor::encode(&ToServer::Heartbeat(Empty {}))));
        self.at(heartbeat, Event::Beat { worker: slot, link });
    }
}
