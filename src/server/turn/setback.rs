//! What the turn does when decisions could not be recorded: it goes back to the durable state, and on from there.
//!
//! That is what a restart of the server does, within the process: the state is read back from the journal, connections of
//! workers are closed, and they come back with what they hold once a new epoch is durable. In between questions are
//! answered, from the durable state alone (`docs/decisions/0014-disks-that-refuse.md`).
//!
//! What holds: nothing is decided while nothing can be recorded; what workers had been told in a life that was given up is
//! known by its epoch.

use super::Turn;
use crate::server::commit::Group;
use crate::server::restore;
use crate::server::watch::Watchers;
use crate::server::workers::Links;
use hq_core::command::Command;
use hq_core::id::Epoch;
use hq_core::machine::Machine;
use hq_core::planted::{self, Planted};
use hq_journal::Reader;

/// What the turn needs to read its state back.
pub struct Setback {
    /// The durable records of the journal.
    pub reader: Reader,
    /// Version of the program.
    pub version: String,
}

impl Turn {
    /// Follows what became of the journal. `false`: the journal can be neither written nor read, and the server ends.
    pub(super) fn follow_journal(&mut self) -> bool {
        let (life, epoch) = {
            let health = self.health.borrow();
            (health.life, health.epoch)
        };
        if life != self.group.life && !self.fall_back(life) {
            return false;
        }
        if let (true, Some(epoch)) = (self.cut_off, epoch) {
            self.go_on(epoch);
        }
        true
    }

    fn fall_back(&mut self, life: u32) -> bool {
        log::warn!(
            "Going back to what is recorded; workers keep their tasks and come back when changes can be recorded"
        );
        self.cut_off = true;
        self.group = Group { ticket: self.group.ticket, life, ..Group::default() };
        // Who waited for jobs asks again, and workers register again.
        self.watchers = Watchers::default();
        self.links = Links::default();
        if planted::is(Planted::StayAhead) {
            return true;
        }
        self.machine = Machine::default();
        let Some(setback) = &self.setback else { return false };
        match restore::durable(&setback.reader) {
            Ok((state, _)) => {
                self.machine = Machine::new(state);
                true
            }
            Err(error) => {
                log::error!("The journal can be neither written nor read, so that the server ends: {error}");
                self.ending = Some(self.now);
                false
            }
        }
    }

    fn go_on(&mut self, epoch: Epoch) {
        let Some(setback) = &self.setback else { return };
        self.cut_off = false;
        let (server_uid, version) = (self.machine.state().server_uid.clone(), setback.version.clone());
        self.command(Command::StartServer { server_uid, epoch, version });
        self.group.urgent = true;
    }
}
