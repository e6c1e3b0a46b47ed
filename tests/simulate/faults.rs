//! What goes wrong, and the end of it.
//!
//! Holds: after `heal` nothing of it is left but its consequences.

use crate::world::{Event, World};
use hq_journal::disk::Fault as DiskFault;
use hyperqueue::server::checkpoint;

/// Until when nothing passes between a worker's machine and the server.
#[derive(Debug, Default, Clone, Copy)]
pub struct Reach {
    pub to_server_blocked: u64,
    pub to_worker_blocked: u64,
}

/// How far the wall clock of the server is off at most.
const CLOCK_JUMP_US: u64 = 86_400_000_000;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillServer,
    PowerLoss,
    FreezeServer,
    StopServer,
    KillWorker,
    FreezeWorker,
    Partition,
    BreakLink,
    DiskError,
    DiskFull,
    DiskPower,
    ClockJump,
    NoSigns,
    Checkpoint,
    Migrate,
    Prune,
    Refuse,
    LoseAssignment,
}

pub const ALL: [Fault; KINDS] = [
    Fault::KillServer,
    Fault::PowerLoss,
    Fault::FreezeServer,
    Fault::StopServer,
    Fault::KillWorker,
    Fault::FreezeWorker,
    Fault::Partition,
    Fault::BreakLink,
    Fault::DiskError,
    Fault::DiskFull,
    Fault::DiskPower,
    Fault::ClockJump,
    Fault::NoSigns,
    Fault::Checkpoint,
    Fault::Migrate,
    Fault::Prune,
    Fault::Refuse,
    Fault::LoseAssignment,
];

/// Those that only some histories know, at the end of all.
pub const SELDOM: [Fault; 3] = [Fault::Prune, Fault::Refuse, Fault::LoseAssignment];

/// How many kinds there are.
pub const KINDS: usize = 18;

impl World {
    pub fn fault(&mut self) {
        if !self.faults_on {
            return;
        }
        let mean = self.settings.fault_us;
        let after = self.dice.within(mean / 4, mean * 2);
        self.at(after, Event::Fault);
        let total: u64 = self.settings.weights.iter().sum();
        let mut at = self.dice.below(total);
        let chosen = self.settings.weights.iter().zip(ALL).find(|(weight, _)| {
            let is_here = at < **weight;
            at = at.saturating_sub(**weight);
            is_here
        });
        if let Some((_, fault)) = chosen.filter(|_| total > 0) {
            self.trace.say(self.now, || format!("fault: {fault:?}"));
            self.strike(fault);
        }
    }

    fn strike(&mut self, fault: Fault) {
        let slots: Vec<u32> = self.workers.keys().copied().collect();
        let slot = self.dice.pick(&slots).copied();
        match fault {
            Fault::KillServer => self.crash_server(false),
            Fault::PowerLoss => self.crash_server(true),
            Fault::FreezeServer => {
                let span = self.dice.span(100_000, 60_000_000);
                self.freeze_server(span);
            }
            Fault::StopServer => self.stop_server(),
            Fault::KillWorker => {
                let whole = self.dice.permille(300);
                slot.into_iter().for_each(|slot| self.kill_worker(slot, whole));
            }
            Fault::FreezeWorker => slot.into_iter().for_each(|slot| self.freeze_worker(slot)),
            Fault::Partition => slot.into_iter().for_each(|slot| self.partition(slot)),
            Fault::BreakLink => {
                let links: Vec<u64> = self.links.keys().copied().collect();
                let link = self.dice.pick(&links).copied();
                link.into_iter().for_each(|link| self.break_link(link));
            }
            Fault::DiskError | Fault::DiskPower | Fault::DiskFull => self.disk_fault(fault, 12),
            Fault::ClockJump => {
                let span = self.dice.span(1_000_000, CLOCK_JUMP_US);
                let span = i64::try_from(span).unwrap_or(0);
                self.host.wall_offset = if self.dice.permille(500) { span } else { -span };
            }
            Fault::NoSigns => {
                self.catch_up_signs();
                self.host.no_signs_until = self.now + self.dice.span(500_000, 60_000_000);
            }
            Fault::Checkpoint | Fault::Migrate => self.housekeeping(fault),
            Fault::Prune => self.begin_pruning(),
            Fault::Refuse => self.refuse(),
            Fault::LoseAssignment => self.host.lies_in_wait = true,
        }
    }

    /// The server dies before the assignment that it has just sent is durable, and its worker cannot come back for a while.
    pub fn lose_assignment(&mut self, link: u64) {
        let Some(slot) = self.links.get(&link).map(|link| link.worker) else { return };
        self.trace.say(self.now, || format!("what worker {slot} was given is lost"));
        let until = self.now + self.dice.span(500_000, 60_000_000);
        self.hosts.entry(slot).or_default().to_server_blocked = until;
        self.crash_server(false);
    }

    /// The disk fails within so many operations.
    pub fn disk_fault(&mut self, fault: Fault, within: u64) {
        let disk = self.host.disk.clone();
        let at = disk.operations() + self.dice.within(1, within);
        match fault {
            Fault::DiskPower => disk.fault_at(at, DiskFault::PowerLoss),
            Fault::DiskError => disk.fault_at(at, DiskFault::Eio),
            _ if self.dice.permille(500) => disk.fault_at(at, DiskFault::Full),
            _ => disk.set_capacity(Some(disk.used_bytes() + self.dice.below(3_000))),
        }
        let after = self.dice.span(10_000, 20_000_000);
        if matches!(fault, Fault::DiskPower) {
            // The machine without power is started again.
            let after = self.dice.within(1_000, 300_000);
            return self.at(after, Event::HealDisk);
        }
        self.at(after, Event::HealDisk);
    }

    pub fn heal_disk(&mut self) {
        self.host.disk.set_capacity(None);
        self.host.disk.heal();
        if !self.host.disk.is_powerless() {
            return;
        }
        if self.host.process.is_some() {
            return self.crash_server(true);
        }
        let seed = self.dice.next();
        self.host.disk.crash(seed);
    }

    /// What a server does beside its work. All of it may fail while the disk does, and must do no harm then.
    fn housekeeping(&mut self, fault: Fault) {
        let Some(process) = self.host.process.as_mut().filter(|process| process.listens) else { return };
        let Some(journal) = process.commits.journal() else { return };
        let failed = match fault {
            Fault::Migrate => journal.migrate_step().err().map(|error| error.to_string()),
            _ => {
                let (reader, writer) = (journal.reader(), journal.checkpoint_writer());
                let written = checkpoint::write(&reader, &writer, self.wall());
                written.err().map(|error| error.to_string())
            }
        };
        if let Some(text) = failed {
            self.trace.say(self.now, || text);
        }
    }

    fn stop_server(&mut self) {
        use hyperqueue::server::turn::Input;
        if let Some(process) = self.host.process.as_mut().filter(|process| process.listens) {
            process.inbox.push(Input::Shutdown);
            self.turn_soon();
        }
    }

    /// The process of a worker is killed; its guardian follows, unless the whole machine is gone.
    pub fn kill_worker(&mut self, slot: u32, whole: bool) {
        let Some(worker) = self.workers.get(&slot) else { return };
        if let crate::worker::Phase::Connected { link } | crate::worker::Phase::Registering { link, .. } = worker.phase
        {
            match whole {
                true => {
                    let side = crate::network::Side::Worker;
                    self.links.get_mut(&link).into_iter().for_each(|link| link.pipe(side).is_deaf = true);
                }
                false => self.close(link, crate::network::Side::Worker),
            }
        }
        let guardian = if whole { 0 } else { self.dice.within(1_000, 1_000_000) };
        self.bury(slot, guardian);
    }

    fn freeze_worker(&mut self, slot: u32) {
        let until = self.now + self.dice.span(100_000, 90_000_000);
        if let Some(worker) = self.workers.get_mut(&slot) {
            worker.frozen_until = worker.frozen_until.max(until);
            let until = worker.frozen_until;
            self.at(until - self.now, Event::Thaw { worker: slot });
        }
    }

    fn partition(&mut self, slot: u32) {
        let until = self.now + self.dice.span(200_000, 120_000_000);
        let kind = self.dice.below(3);
        let reach = self.hosts.entry(slot).or_default();
        if kind != 1 {
            reach.to_server_blocked = until;
        }
        if kind != 2 {
            reach.to_worker_blocked = until;
        }
    }

    /// All faults end.
    pub fn heal(&mut self) {
        self.trace.say(self.now, || "healed".to_owned());
        self.faults_on = false;
        self.hosts.clear();
        self.heal_disk();
        self.host.frozen_until = self.host.frozen_until.min(self.now);
        (self.host.no_signs_until, self.host.refuses_until) = (0, 0);
        self.settings.break_rate = 0;
        self.settings.spawn_fail = 0;
        self.settings.client_loss = 0;
        self.at(0, Event::StartServer);
        self.wake_thawed();
    }
}
