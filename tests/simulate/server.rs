//! The server's machine and its process: the real turn, the real commits and the real journal, stepped one by one.
//!
//! Only what runs on threads of its own in the product is played here: the sessions of workers, the signs of life and
//! the waiting.
//!
//! Holds: nothing leaves the process but what the real code hands to a session.

use crate::network::{Packet, Side};
use crate::pruning::Pruning;
use crate::setbacks::Setbacks;
use crate::world::{Event, World};
use hq_core::audit::audit;
use hq_core::command::Command;
use hq_core::id::{Epoch, WorkerId};
use hq_core::machine::Machine;
use hq_core::time::{Span, Time};
use hq_core::{cbor, limits};
use hq_journal::disk::ModelDisk;
use hq_journal::{Options, Reader};
use hyperqueue::platform::clock::SteadyClock;
use hyperqueue::server::commit::{Commits, Committer, Released, WorkerQueueState, worker_queue};
use hyperqueue::server::restore;
use hyperqueue::server::sign::SignRow;
use hyperqueue::server::turn::{Input, Setback, Turn};
use hyperqueue::wire::message::{Empty, ToServer, ToWorker};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

pub const DIR: &str = "/journal";

/// 2026-01-01, where the wall clocks begin.
pub const BASE_US: u64 = 1_767_225_600_000_000;

/// The machine on which servers run, one after the other.
#[derive(Default)]
pub struct Host {
    pub disk: ModelDisk,
    pub process: Option<Process>,
    /// Tells events of one process from those of others.
    pub boot: u64,
    pub frozen_until: u64,
    /// What the wall clock is ahead, in microseconds.
    pub wall_offset: i64,
    /// The text of the sign of life; none before the first.
    pub sign: Option<String>,
    /// Until when signs cannot be written.
    pub no_signs_until: u64,
    /// Until when the disk refuses everything that it is asked.
    pub refuses_until: u64,
    pub starts: u32,
    /// The next assignment that leaves is lost with the server.
    pub lies_in_wait: bool,
}

/// A server that runs.
pub struct Process {
    pub turn: Turn,
    pub commits: Commits,
    pub reader: Reader,
    /// Ends when the start is durable; then it listens.
    starting: Option<Receiver<()>>,
    pub listens: bool,
    pub sessions: BTreeMap<u64, Session>,
    clock: SteadyClock,
    pub inbox: Vec<Input>,
    turn_is_due: bool,
    commit_is_due: bool,
    row: SignRow,
    next_sign_us: u64,
    signs: u64,
    pub pruning: Option<Pruning>,
    pub setbacks: Setbacks,
}

/// The server's end of a worker's connection.
pub struct Session {
    messages: mpsc::Receiver<Released<ToWorker>>,
    queue: WorkerQueueState,
    id: Option<oneshot::Receiver<Result<WorkerId, String>>>,
    pub worker: Option<WorkerId>,
    heard: u64,
    heartbeat: u64,
    /// The connection ended before the turn has answered; whether in silence.
    has_ended: Option<bool>,
}

impl Session {
    /// Whether nothing waits to be told to the worker.
    pub fn is_told(&self) -> bool {
        self.id.is_none() && self.has_ended.is_none() && self.messages.is_empty()
    }
}

impl World {
    fn options(&self) -> Options {
        let mark_every = if self.settings.marks { Duration::ZERO } else { Duration::MAX };
        Options {
            disk: Arc::new(self.host.disk.clone()),
            background: false,
            rotate_bytes: self.settings.rotate_bytes,
            ballast_bytes: self.settings.ballast_bytes,
            mark_every,
            time_us: Some(self.wall()),
            ..Options::default()
        }
    }

    /// What the wall clock of the server's machine says.
    pub fn wall(&self) -> u64 {
        (BASE_US + self.now).saturating_add_signed(self.host.wall_offset)
    }

    pub fn start_server(&mut self) {
        if self.host.process.is_some() {
            return;
        }
        let restored = match restore::open_with(Path::new(DIR), self.options()) {
            Ok(restored) => restored,
            Err(error) => return self.start_failed(&error),
        };
        self.host.boot += 1;
        self.host.starts += 1;
        let reader = restored.journal.reader();
        self.compare_restored(&reader, restored.machine.state());
        let known = restored.machine.state().server_uid.clone();
        let server_uid = if known.is_empty() { format!("uid{:03}", self.host.starts) } else { known };
        let (committer, commits) = Committer::stepped(Some(restored.journal));
        let setbacks = Setbacks::new(committer.health());
        let setback = Setback { reader: reader.clone(), version: "sim".into() };
        let idle = self.settings.idle_timeout_s;
        let idle_timeout = (idle > 0).then(|| Span::from_secs(idle));
        let mut turn = Turn::new(restored.machine, committer, None, idle_timeout, restored.latest);
        turn.fall_back_on(setback);
        // As `SteadyClock::not_before` does it with the real clocks.
        let mut clock = SteadyClock::starting(self.now, self.wall().max(restored.latest.0));
        let now = Time(clock.advance(self.now, self.wall()));
        let (done, starting) = sync_channel(1);
        let epoch = Epoch(if self.epoch_stays { 1 } else { restored.epoch });
        let start = Command::StartServer { server_uid, epoch, version: "sim".into() };
        turn.begin_at(now, start, done);
        self.host.process = Some(Process {
            turn,
            commits,
            reader,
            starting: Some(starting),
            listens: false,
            sessions: BTreeMap::new(),
            clock,
            inbox: Vec::new(),
            turn_is_due: false,
            commit_is_due: false,
            row: SignRow::default(),
            next_sign_us: self.now,
            signs: 0,
            pruning: None,
            setbacks,
        });
        self.trace.say(self.now, || format!("server starts, epoch {}", restored.epoch));
        self.commit_soon();
    }

    /// A disk that fails may keep a server from starting; damage it may not be.
    fn start_failed(&mut self, error: &hyperqueue::server::Error) {
        self.trace.say(self.now, || format!("server does not start: {error}"));
        let is_damage = matches!(error, hyperqueue::server::Error::Journal(error) if error.is_damage());
        if is_damage || !matches!(error, hyperqueue::server::Error::Journal(_)) || !self.faults_on {
            self.fail(format!("the server does not start: {error}"));
        }
        self.host.disk.kill();
        let after = self.dice.within(10_000, 2_000_000);
        self.at(after, Event::StartServer);
    }

    /// The process is gone, or the whole machine is.
    pub fn crash_server(&mut self, power: bool) {
        let Some(process) = self.host.process.take() else { return };
        self.catch_up_signs_of(&process);
        self.trace.say(self.now, || format!("server dies, power {power}"));
        self.read_book(&process.reader, process.turn.machine().state(), false);
        self.host.frozen_until = 0;
        for link in process.sessions.keys() {
            match power {
                true => self.links.get_mut(link).into_iter().for_each(|link| link.pipe(Side::Server).is_deaf = true),
                false => self.close(*link, Side::Server),
            }
        }
        // So do those that it has not read from: what is sealed for one process no other one can open.
        self.links.values_mut().for_each(|link| link.pipe(Side::Server).is_deaf = true);
        drop(process);
        self.drop_clients();
        let seed = self.dice.next();
        if power {
            self.host.disk.crash(seed);
        } else {
            self.host.disk.kill();
        }
        let after = match self.dice.below(100) {
            0 => self.dice.within(60_000_000, 3_000_000_000),
            1..20 => self.dice.within(5_000_000, 60_000_000),
            _ => self.dice.within(10_000, 5_000_000),
        };
        self.at(after, Event::StartServer);
    }

    /// Something is there for the turn.
    pub fn turn_soon(&mut self) {
        let Some(process) = &mut self.host.process else { return };
        if !std::mem::replace(&mut process.turn_is_due, true) {
            let boot = self.host.boot;
            let after = self.dice.within(5, 300);
            self.at(after, Event::Turn { boot });
        }
    }

    pub fn commit_soon(&mut self) {
        let Some(process) = &mut self.host.process else { return };
        if !std::mem::replace(&mut process.commit_is_due, true) {
            let boot = self.host.boot;
            let after = self.dice.within(20, 20 + self.settings.sync_us);
            self.at(after, Event::Commit { boot });
        }
    }

    pub fn turn(&mut self, boot: u64) {
        if self.host.boot != boot || self.host.process.is_none() {
            return;
        }
        if self.host.frozen_until > self.now {
            return self.at(self.host.frozen_until - self.now, Event::Turn { boot });
        }
        let wall = self.wall();
        self.catch_up_signs();
        let Some(process) = &mut self.host.process else { return };
        process.turn_is_due = false;
        if !process.listens {
            return;
        }
        let now = Time(process.clock.advance(self.now, wall));
        let steady = process.row.steady(Duration::from_micros(self.now));
        let witnessed = steady.map(|steady| Time(now.0.saturating_sub(Span::from_duration(steady).0)));
        let inputs = std::mem::take(&mut process.inbox);
        if inputs.len() > limits::INBOX_COMMANDS_MAX {
            return self.fail(format!("{} commands wait", inputs.len()));
        }
        process.setbacks.follow();
        let more = process.turn.step(now, Some(witnessed), inputs.into_iter());
        let deadline = process.turn.deadline().map(|at| at.since(now).0);
        let away = process.turn.machine().state().somebody_is_away().then_some(1_000_000);
        if more {
            self.turn_soon();
        } else if let Some(after) = deadline.into_iter().chain(away).min() {
            self.wake_server(after.max(50));
        }
        self.pump();
        self.commit_soon();
        self.end_if_over();
    }

    /// A server that was told to end does so once it has told everybody.
    fn end_if_over(&mut self) {
        let Some(process) = self.host.process.as_mut().filter(|process| process.turn.is_over()) else { return };
        let (done, _) = sync_channel(1);
        process.turn.end(done);
        process.commits.step();
        self.pump();
        self.crash_server(false);
    }

    /// Has a turn at some time at the latest. Several may be under way; one too many does no harm.
    fn wake_server(&mut self, after: u64) {
        let at = self.now + after;
        if self.server_wakes.range(self.now + 1..=at).next().is_none() {
            self.server_wakes.insert(at);
            let boot = self.host.boot;
            self.at(after, Event::Turn { boot });
        }
        while self.server_wakes.first().is_some_and(|first| *first <= self.now) {
            self.server_wakes.pop_first();
        }
    }

    pub fn commit(&mut self, boot: u64) {
        if self.host.boot != boot {
            return;
        }
        if self.host.frozen_until > self.now {
            return self.at(self.host.frozen_until - self.now, Event::Commit { boot });
        }
        self.upset_disk();
        let Some(process) = &mut self.host.process else { return };
        process.commit_is_due = false;
        if !process.commits.step() {
            process.commit_is_due = true;
            return self.disk_refuses();
        }
        process.setbacks.refused_since = None;
        self.look_soon();
        let Some(process) = &mut self.host.process else { return };
        if process.starting.as_ref().is_some_and(|starting| starting.try_recv().is_ok()) {
            process.starting = None;
            process.listens = true;
            self.turn_soon();
        }
        self.go_on_pruning();
        self.pump();
    }

    /// Moves what was released to the network, and tells sessions who they are.
    pub fn pump(&mut self) {
        let Some(process) = &mut self.host.process else { return };
        let (mut out, mut closed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (link, session) in &mut process.sessions {
            if let Some(id) = &mut session.id {
                match id.try_recv() {
                    Ok(Ok(worker)) => {
                        (session.worker, session.id) = (Some(worker), None);
                        ended.extend(session.has_ended.map(|silent| (*link, silent)));
                    }
                    Ok(Err(reason)) => {
                        session.id = None;
                        out.push((*link, ToWorker::Refused(reason)));
                        closed.push(*link);
                        continue;
                    }
                    Err(_) => {}
                }
            }
            loop {
                match session.messages.try_recv() {
                    Ok(message) => out.push((*link, message.into_inner())),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        closed.push(*link);
                        break;
                    }
                }
            }
            if session.queue.has_lost() {
                closed.push(*link);
            }
        }
        for (link, message) in out {
            if matches!(message, ToWorker::Assign(_)) && std::mem::take(&mut self.host.lies_in_wait) {
                self.at(0, Event::LoseAssignment { link });
            }
            self.trace.say(self.now, || format!("  server to {link}: {message:?}"));
            self.send(link, Side::Worker, Packet::Message(cbor::encode(&message)));
        }
        for (link, silent) in ended {
            self.session_ended(link, silent);
        }
        for link in closed {
            self.end_session(link);
        }
        self.pump_clients();
    }

    fn end_session(&mut self, link: u64) {
        if let Some(process) = &mut self.host.process {
            process.sessions.remove(&link);
            self.close(link, Side::Server);
        }
    }

    /// A worker's packet, at its session.
    pub fn server_hears(&mut self, link: u64, bytes: &[u8]) {
        self.trace.bytes(bytes);
        let now = self.now;
        let Some(process) = &mut self.host.process else { return };
        let message = match cbor::decode::<ToServer>(bytes) {
            Ok(message) => message,
            Err(error) => return self.fail(format!("a message of a worker is not understood: {error:?}")),
        };
        if let ToServer::Register(registration) = message {
            let (to, messages, queue) = worker_queue();
            let (id, answer) = oneshot::channel();
            let heartbeat = registration.config.heartbeat.0;
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
            let input = Input::Register { registration: Box::new(registration), connection: link, address, to, id };
            process.inbox.push(input);
            let session =
                Session { messages, queue, id: Some(answer), worker: None, heard: now, heartbeat, has_ended: None };
            process.sessions.insert(link, session);
            self.at(2 * heartbeat, Event::Patience { link });
            return self.turn_soon();
        }
        let Some(session) = process.sessions.get_mut(&link) else { return };
        session.heard = now;
        let Some(worker) = session.worker else { return };
        if let ToServer::Heartbeat(_) = message {
            let answer = Packet::Message(cbor::encode(&ToWorker::Heartbeat(Empty {})));
            return self.send(link, Side::Worker, answer);
        }
        process.inbox.push(Input::Worker { worker, connection: link, message });
        self.turn_soon();
    }

    /// Nothing may have come for too long.
    pub fn patience(&mut self, link: u64) {
        let (now, frozen) = (self.now, self.host.frozen_until);
        if frozen > now {
            // What lies in the buffer comes first.
            return self.at(frozen - now + 1, Event::Patience { link });
        }
        let Some(session) = self.host.process.as_mut().and_then(|process| process.sessions.get_mut(&link)) else {
            return;
        };
        let end = session.heard + 2 * session.heartbeat;
        if now < end {
            return self.at(end - now, Event::Patience { link });
        }
        self.session_ended(link, true);
    }

    /// The connection is over, or nothing comes any more.
    pub fn session_ended(&mut self, link: u64, silent: bool) {
        let now = self.now;
        let Some(process) = &mut self.host.process else { return };
        let Some(session) = process.sessions.get_mut(&link) else { return };
        if session.id.is_some() {
            session.has_ended = Some(silent);
            return;
        }
        let silent = silent.then(|| Span(now - session.heard));
        if let Some(worker) = session.worker {
            process.inbox.push(Input::Gone { worker, connection: link, silent });
            self.turn_soon();
        }
        self.end_session(link);
    }

    /// Writes the signs that were due since the last look.
    pub fn catch_up_signs(&mut self) {
        let Some(mut process) = self.host.process.take() else { return };
        while process.next_sign_us <= self.now {
            if process.next_sign_us >= self.host.no_signs_until && process.listens {
                process.row.wrote(Duration::from_micros(process.next_sign_us));
                process.signs += 1;
            }
            process.next_sign_us += limits::SIGN_STEP.0;
        }
        self.catch_up_signs_of(&process);
        self.host.process = Some(process);
    }

    fn catch_up_signs_of(&mut self, process: &Process) {
        if process.signs > 0 {
            self.host.sign = Some(format!("{} {}", self.host.boot, process.signs));
        }
    }

    /// The process stands still for a while, and its threads with it.
    pub fn freeze_server(&mut self, span: u64) {
        self.catch_up_signs();
        let until = self.host.frozen_until.max(self.now + span);
        if let Some(process) = &mut self.host.process {
            self.host.frozen_until = until;
            process.next_sign_us = process.next_sign_us.max(until);
            self.trace.say(self.now, || format!("server freezes for {span} us"));
        }
    }

    /// What waited for the end of a freeze waits no longer.
    pub fn wake_thawed(&mut self) {
        if let Some(process) = &mut self.host.process {
            (process.turn_is_due, process.commit_is_due) = (false, false);
            process.next_sign_us = process.next_sign_us.min(self.now);
        }
        self.turn_soon();
        self.commit_soon();
    }

    /// The state of the server that runs, if it does.
    pub fn machine(&self) -> Option<&Machine> {
        self.host.process.as_ref().map(|process| process.turn.machine())
    }

    /// Checks that are dear.
    pub fn audit_server(&mut self) {
        if let Some(Err(difference)) = self.machine().map(|machine| audit(machine.state())) {
            self.fail(format!("audit: {difference}"));
        }
    }
}
