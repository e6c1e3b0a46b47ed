//! One history: everything that exists in it, its time, and what happens next.
//!
//! There is one thread and no clock. What happens is taken from a queue in the order of its time, so that a seed tells
//! the same story each time.
//!
//! Holds: the first violation ends the history.

use crate::batch::Batch;
use crate::book::Book;
use crate::clients::Clients;
use crate::dice::Dice;
use crate::faults::Reach;
use crate::network::{Connection, Side};
use crate::programs::Program;
use crate::server::Host;
use crate::settings::Settings;
use crate::trace::Trace;
use crate::worker::Worker;
use hq_core::agent::{ProcessStatus, Timer};
use hq_core::attempt::Attempt;
use std::collections::{BTreeMap, BTreeSet};

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    StartServer,
    Turn { boot: u64 },
    Commit { boot: u64 },
    Arrive { link: u64, to: Side },
    Read { link: u64, to: Side },
    Ended { link: u64, side: Side },
    Patience { link: u64 },
    Dial { worker: u32 },
    Dialed { worker: u32, number: u64, is_blocked: bool },
    NoAnswer { worker: u32, link: u64 },
    Beat { worker: u32, link: u64 },
    Flush { worker: u32 },
    Timer { worker: u32, timer: Timer },
    Lease { worker: u32, number: u64 },
    Guardian { worker: u32 },
    Thaw { worker: u32 },
    Orphans { worker: u32 },
    Spawned { worker: u32, attempt: Attempt },
    Exited { worker: u32, attempt: Attempt, status: Option<ProcessStatus> },
    Reaped { worker: u32, attempt: Attempt },
    Client,
    Ask { ask: u64 },
    Answer { ask: u64 },
    Fault,
    HealDisk,
    LoseAssignment { link: u64 },
    Batch,
    Prune { boot: u64 },
    Look { boot: u64 },
    Outage { boot: u64 },
    Arrival { number: u64 },
    End { worker: u32 },
}

impl Event {
    /// The process that has to wait with it while it is frozen.
    fn worker(&self) -> Option<u32> {
        match self {
            Self::Dial { worker }
            | Self::Dialed { worker, .. }
            | Self::NoAnswer { worker, .. }
            | Self::Beat { worker, .. }
            | Self::Flush { worker }
            | Self::Timer { worker, .. }
            | Self::Lease { worker, .. }
            | Self::Spawned { worker, .. } => Some(*worker),
            Self::Ended { .. } | Self::Guardian { .. } => None,
            _ => None,
        }
    }
}

/// See the module.
pub struct World {
    pub seed: u64,
    pub now: u64,
    pub dice: Dice,
    pub settings: Settings,
    pub trace: Trace,
    pub host: Host,
    /// Whether the machine of the server is reachable when no server runs there.
    pub host_is_up: bool,
    pub server_wakes: BTreeSet<u64>,
    pub workers: BTreeMap<u32, Worker>,
    pub last_slot: u32,
    pub hosts: BTreeMap<u32, Reach>,
    pub links: BTreeMap<u64, Connection>,
    pub last_link: u64,
    pub programs: BTreeMap<(u32, Attempt), Program>,
    pub clients: Clients,
    pub batch: Batch,
    pub book: Book,
    /// Whether things go wrong; from the end of this on progress is demanded.
    pub faults_on: bool,
    pub steps: u32,
    pub violation: Option<String>,
    /// Whether epochs of servers are all the same: a defect that is planted.
    pub epoch_stays: bool,
    /// Whether single messages get lost in a connection that goes on: another one.
    pub drops_messages: bool,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
}

impl World {
    pub fn new(seed: u64, settings: Settings) -> Self {
        let mut world = Self {
            seed,
            now: 1_000_000,
            dice: Dice::new(seed),
            settings,
            trace: Trace::default(),
            host: Host::default(),
            host_is_up: true,
            server_wakes: BTreeSet::new(),
            workers: BTreeMap::new(),
            last_slot: 0,
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            last_link: 0,
            programs: BTreeMap::new(),
            clients: Clients::default(),
            batch: Batch::default(),
            book: Book::default(),
            faults_on: true,
            steps: 0,
            violation: None,
            epoch_stays: false,
            drops_messages: false,
            queue: BTreeMap::new(),
            number: 0,
        };
        for event in [Event::StartServer, Event::Client, Event::Fault, Event::Batch] {
            world.at(1, event);
        }
        world
    }

    /// Has something happen after so many microseconds.
    pub fn at(&mut self, after: u64, event: Event) {
        self.number += 1;
        self.queue.insert((self.now.saturating_add(after), self.number), event);
    }

    /// A promise is broken.
    pub fn fail(&mut self, text: String) {
        if self.violation.is_none() {
            self.trace.say(self.now, || format!("VIOLATION: {text}"));
            self.violation = Some(text);
        }
    }

    /// Lets the next thing happen. `false`: nothing will, or a promise is broken.
    pub fn step(&mut self) -> bool {
        let Some(((time, _), event)) = self.queue.pop_first() else { return false };
        self.now = time;
        self.steps += 1;
        let frozen = event.worker().and_then(|slot| self.workers.get(&slot)).map_or(0, |worker| worker.frozen_until);
        if frozen > time {
            self.at(frozen - time, event);
            return true;
        }
        self.trace.note(&[time, kind(&event)]);
        self.dispatch(event);
        self.violation.is_none()
    }

    fn dispatch(&mut self, event: Event) {
        match event {
            Event::StartServer => self.start_server(),
            Event::Turn { boot } => self.turn(boot),
            Event::Commit { boot } => self.commit(boot),
            Event::Arrive { link, to } => self.arrive(link, to),
            Event::Read { link, to } => self.read(link, to),
            Event::Ended { link, side } => self.ended_unless_frozen(link, side),
            Event::Patience { link } => self.patience(link),
            Event::Dial { worker } => self.dial(worker),
            Event::Dialed { worker, number, is_blocked } => self.dialed(worker, number, is_blocked),
            Event::NoAnswer { worker, link } => self.no_answer(worker, link),
            Event::Beat { worker, link } => self.beat(worker, link),
            Event::Flush { worker } => self.flush(worker),
            Event::Timer { worker, timer } => self.timer(worker, timer),
            Event::Lease { worker, number } => self.check_lease(worker, number),
            Event::Guardian { worker } => self.guardian(worker),
            Event::Thaw { worker } => self.thaw(worker),
            Event::Orphans { worker } => self.kill_processes(worker),
            Event::Spawned { worker, attempt } => self.spawned(worker, attempt),
            Event::Exited { worker, attempt, status } => self.exited(worker, attempt, status),
            Event::Reaped { worker, attempt } => self.reaped(worker, attempt),
            Event::Client => self.client(),
            Event::Ask { ask } => self.ask(ask),
            Event::Answer { ask } => self.answered(ask),
            Event::Fault => self.fault(),
            Event::HealDisk => self.heal_disk(),
            Event::LoseAssignment { link } => self.lose_assignment(link),
            Event::Batch => self.batch(),
            Event::Prune { boot } => self.prune(boot),
            Event::Look { boot } => self.look(boot),
            Event::Outage { boot } => self.outage(boot),
            Event::Arrival { number } => self.arrival(number),
            Event::End { worker } => self.kill_worker(worker, false),
        }
    }

    /// Who is frozen learns of it later.
    fn ended_unless_frozen(&mut self, link: u64, side: Side) {
        let Some(worker) = self.links.get(&link).map(|link| link.worker) else { return };
        let frozen = match side {
            Side::Server => self.host.frozen_until,
            Side::Worker => self.workers.get(&worker).map_or(0, |worker| worker.frozen_until),
        };
        if frozen > self.now {
            return self.at(frozen - self.now, Event::Ended { link, side });
        }
        self.ended(link, side, true);
    }

    /// Plays the whole history.
    pub fn run(&mut self) {
        let points = (self.settings.steps / 20).max(1);
        while self.steps < self.settings.steps && self.step() {
            if self.steps.is_multiple_of(points) {
                self.check();
            }
        }
        if self.violation.is_none() {
            self.heal();
            self.demand_progress();
        }
        self.trace.note(&[self.now, self.book.seq]);
    }

    /// The dear checks, at some points.
    pub fn check(&mut self) {
        self.audit_server();
        let is_durable = self.check_book();
        self.check_workers();
        if is_durable {
            self.check_holdings();
        }
    }

    fn check_workers(&mut self) {
        let wrong = self.workers.iter().find_map(|(slot, worker)| Some((*slot, worker.agent.audit().err()?)));
        if let Some((slot, text)) = wrong {
            self.fail(format!("worker {slot}: {text}"));
        }
        let dead: Vec<u64> = self.links.iter().filter(|(_, link)| link.is_over()).map(|(number, _)| *number).collect();
        dead.iter().for_each(|number| drop(self.links.remove(number)));
    }
}

/// A number for the trace.
fn kind(event: &Event) -> u64 {
    match event {
        Event::Arrive { link, .. } | Event::Read { link, .. } | Event::Ended { link, .. } => 1_000 + link,
        Event::Spawned { worker, attempt } | Event::Exited { worker, attempt, .. } => {
            2_000_000 + u64::from(*worker) * 10_000 + u64::from(attempt.task.task.0)
        }
        Event::Timer { worker, .. } => 3_000_000 + u64::from(*worker),
        _ => 7,
    }
}

/// Plays a seed.
pub fn play(seed: u64, steps: Option<u32>, is_wanted: bool) -> World {
    let mut settings = Settings::new(seed);
    settings.steps = steps.unwrap_or(settings.steps);
    let mut world = World::new(seed, settings);
    world.trace.is_wanted = is_wanted;
    world.run();
    if is_wanted && let Some(process) = world.host.process.take() {
        // What was recorded last.
        world.read_book(&process.reader, process.turn.machine().state(), false);
    }
    world
}
