//! Connections as TCP gives them: what was sent arrives in order, once, late, or the connection breaks.
//!
//! Each side learns of a break in its own time, and messages of an old connection may arrive after those of a new one.
//!
//! Holds: a side that has closed reads nothing any more.

use crate::world::{Event, World};
use std::collections::VecDeque;

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Server,
    Worker,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Server => Self::Worker,
            Self::Worker => Self::Server,
        }
    }
}

/// What travels.
#[derive(Debug, Clone)]
pub enum Packet {
    Message(Vec<u8>),
    /// The sender closed the connection in order.
    End,
}

/// One direction.
#[derive(Debug, Default)]
pub struct Pipe {
    packets: VecDeque<Packet>,
    /// Packets that have not reached the machine of the receiver.
    pub in_flight: usize,
    last_at: u64,
    /// The receiver reads no more.
    pub is_deaf: bool,
}

/// A connection of a worker's process.
#[derive(Debug)]
pub struct Connection {
    pub worker: u32,
    to_server: Pipe,
    to_worker: Pipe,
    is_broken: bool,
}

impl Connection {
    pub fn new(worker: u32) -> Self {
        Self { worker, to_server: Pipe::default(), to_worker: Pipe::default(), is_broken: false }
    }

    pub fn pipe(&mut self, to: Side) -> &mut Pipe {
        match to {
            Side::Server => &mut self.to_server,
            Side::Worker => &mut self.to_worker,
        }
    }
}

impl World {
    /// Until when nothing passes between a worker and the server in this direction; 0: it does.
    fn blocked_until(&self, worker: u32, to: Side) -> u64 {
        let both = self.hosts.get(&worker).copied().unwrap_or_default();
        match to {
            Side::Server => both.to_server_blocked,
            Side::Worker => both.to_worker_blocked,
        }
    }

    pub fn is_blocked(&self, worker: u32, to: Side) -> bool {
        self.blocked_until(worker, to) > self.now
    }

    pub fn latency(&mut self) -> u64 {
        let most = self.settings.latency_us;
        self.dice.within(20, 20 + most)
    }

    pub fn send(&mut self, link: u64, to: Side, packet: Packet) {
        let way = self.latency();
        let breaks = self.faults_on && self.dice.permille(self.settings.break_rate) && self.dice.permille(400);
        let now = self.now;
        if self.drops_messages && self.dice.permille(50) {
            return;
        }
        let Some(connection) = self.links.get_mut(&link).filter(|connection| !connection.is_broken) else { return };
        let pipe = connection.pipe(to);
        pipe.packets.push_back(packet);
        pipe.in_flight += 1;
        let at = (now + way).max(pipe.last_at);
        pipe.last_at = at;
        self.at(at - now, Event::Arrive { link, to });
        if breaks {
            self.break_link(link);
        }
    }

    /// The connection is gone; both sides learn of it at some time, and what is under way is lost.
    pub fn break_link(&mut self, link: u64) {
        let keep = self.dice.permille(500);
        let Some(connection) = self.links.get_mut(&link) else { return };
        if std::mem::replace(&mut connection.is_broken, true) {
            return;
        }
        if !keep {
            for side in [Side::Server, Side::Worker] {
                let pipe = connection.pipe(side);
                let read = pipe.packets.len() - pipe.in_flight.min(pipe.packets.len());
                pipe.packets.truncate(read);
            }
        }
        for side in [Side::Server, Side::Worker] {
            let after = self.dice.span(1_000, 5_000_000);
            self.at(after, Event::Ended { link, side });
        }
    }

    /// A packet reaches the machine of its receiver, unless the network holds it up.
    pub fn arrive(&mut self, link: u64, to: Side) {
        let Some(connection) = self.links.get_mut(&link) else { return };
        let worker = connection.worker;
        let until = self.blocked_until(worker, to);
        if until > self.now {
            let after = until - self.now + self.dice.within(1, 300_000);
            return self.at(after, Event::Arrive { link, to });
        }
        let Some(connection) = self.links.get_mut(&link) else { return };
        let pipe = connection.pipe(to);
        pipe.in_flight = pipe.in_flight.saturating_sub(1);
        self.read(link, to);
    }

    /// The receiver takes one packet, now or when it thaws.
    pub fn read(&mut self, link: u64, to: Side) {
        let Some(connection) = self.links.get_mut(&link) else { return };
        let worker = connection.worker;
        let frozen = match to {
            Side::Server => self.host.frozen_until,
            Side::Worker => self.workers.get(&worker).map_or(0, |worker| worker.frozen_until),
        };
        if frozen > self.now {
            return self.at(frozen - self.now, Event::Read { link, to });
        }
        let pipe = connection.pipe(to);
        let is_deaf = pipe.is_deaf;
        let Some(packet) = pipe.packets.pop_front() else { return };
        if is_deaf {
            // The machine says that there is no such connection.
            if to == Side::Server && matches!(packet, Packet::Message(_)) && self.host_is_up {
                let way = self.latency();
                self.at(way, Event::Ended { link, side: Side::Worker });
            }
            return;
        }
        match (to, packet) {
            (Side::Server, Packet::Message(bytes)) => self.server_hears(link, &bytes),
            (Side::Worker, Packet::Message(bytes)) => self.worker_hears(worker, link, &bytes),
            (side, Packet::End) => self.ended(link, side, false),
        }
    }

    /// A side learns that the connection is over: the other one closed it, or all that is known is that nothing comes.
    pub fn ended(&mut self, link: u64, side: Side, silent: bool) {
        let Some(connection) = self.links.get_mut(&link) else { return };
        let worker = connection.worker;
        let pipe = connection.pipe(side);
        if pipe.is_deaf {
            return;
        }
        pipe.is_deaf = true;
        match side {
            Side::Server => self.session_ended(link, silent),
            Side::Worker => self.worker_lost_link(worker, link),
        }
    }

    /// A side closes in order: the other one reads the end behind everything that was sent.
    pub fn close(&mut self, link: u64, side: Side) {
        if let Some(connection) = self.links.get_mut(&link) {
            connection.pipe(side).is_deaf = true;
            self.send(link, side.other(), Packet::End);
        }
    }
}

impl Connection {
    /// Whether nobody reads from it any more.
    pub fn is_over(&self) -> bool {
        self.to_server.is_deaf && self.to_worker.is_deaf
    }

    /// Whether nothing is under way or waits to be read, and both ends are open.
    pub fn is_quiet(&self) -> bool {
        let is_quiet = |pipe: &Pipe| pipe.packets.is_empty() && !pipe.is_deaf;
        !self.is_broken && is_quiet(&self.to_server) && is_quiet(&self.to_worker)
    }

    /// Whether all that the worker has sent has reached the server's machine.
    pub fn all_arrived(&self) -> bool {
        !self.is_broken && self.to_server.in_flight == 0
    }
}
