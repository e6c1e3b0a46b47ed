//! The connections of workers, as the turn sees them: who is connected, what was sent, what has to wait.
//!
//! Messages to one worker leave in the order in which they were decided. An assignment may leave before its event is
//! durable (a lost one is harmless, since attempts are fenced), but never before the submit of its job is.

use super::commit::{Committer, Release, WorkerSender};
use crate::wire::message::{AssignMessage, Empty, ToWorker};
use hq_core::attempt::{Assignment, DescKey};
use hq_core::command::Effect;
use hq_core::event::{Event, Stamped};
use hq_core::id::{JobId, WorkerId};
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::planted::{self, Planted};
use std::collections::{BTreeMap, BTreeSet};

/// One connection.
#[derive(Debug)]
struct Link {
    /// Number of the connection: a worker that came back has a new one.
    connection: u64,
    to: WorkerSender,
    /// Descriptions that this connection has carried.
    known: BTreeSet<DescKey>,
    /// Group of the last message that had to wait.
    waits_for: u64,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<WorkerId, Link>,
    /// The last registration of each worker.
    registrations: BTreeMap<WorkerId, u64>,
    /// Group with the last word about what is to run: assignments wait for it.
    last_word: u64,
}

impl Links {
    /// A worker has connected; an older connection of it is closed.
    pub fn connect(&mut self, worker: WorkerId, connection: u64, to: WorkerSender) {
        self.links.insert(worker, Link { connection, to, known: BTreeSet::new(), waits_for: 0 });
    }

    /// Notes which registration of a worker was accepted.
    pub fn accepted(&mut self, worker: WorkerId, number: u64) {
        self.registrations.insert(worker, number);
    }

    /// A worker is gone for good.
    pub fn lost(&mut self, worker: WorkerId) {
        self.registrations.remove(&worker);
    }

    /// Whether a registration was overtaken by a later one of the same worker: what it says was true before that.
    pub fn is_overtaken(&self, worker: Option<WorkerId>, number: u64) -> bool {
        let last = worker.and_then(|worker| self.registrations.get(&worker));
        number > 0 && last.is_some_and(|last| number <= *last)
    }

    /// Whether this is the present connection of the worker.
    pub fn is_current(&self, worker: WorkerId, connection: u64) -> bool {
        self.links.get(&worker).is_some_and(|link| link.connection == connection)
    }

    /// Closes the connection of a worker once everything that was sent is out.
    pub fn close(&mut self, worker: WorkerId) {
        self.links.remove(&worker);
    }

    /// How many workers are connected.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether none is connected.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Assignments are to wait for a group that says what is to run, or as what: a worker that has a task which nobody
    /// submitted, or with a request that nobody made, could not keep it after a restart.
    pub fn heed(&mut self, events: &[Stamped], ticket: u64) {
        let is_word =
            |event: &Event| matches!(event, Event::JobSubmitted(_) | Event::TasksRerun(_) | Event::TasksModified(_));
        if events.iter().any(|stamped| is_word(&stamped.event)) {
            self.last_word = ticket;
        }
    }

    /// Carries out effects. What has to wait is added to `releases` of the group with number `ticket`.
    pub fn deliver(
        &mut self,
        effects: Vec<Effect>,
        machine: &Machine,
        committer: &Committer,
        ticket: u64,
        releases: &mut Vec<Release>,
    ) {
        for effect in effects {
            match effect {
                Effect::Assign { worker, assignment } => {
                    self.assign(worker, assignment, machine, committer, ticket, releases);
                }
                Effect::Cancel { worker, attempts } => self.send(worker, ToWorker::Cancel(attempts), ticket, releases),
                Effect::Retract { worker, attempts } => {
                    self.send(worker, ToWorker::Retract(attempts), ticket, releases);
                }
                Effect::Acknowledge { worker, number } => {
                    self.send(worker, ToWorker::Acknowledge(number), ticket, releases);
                }
                Effect::Noted { worker, number } => self.send(worker, ToWorker::Noted(number), ticket, releases),
                Effect::StopWorker { worker } => self.send(worker, ToWorker::Stop(Empty {}), ticket, releases),
                Effect::CloseWorker { worker } => self.close(worker),
                Effect::ForgetJob { job } => self.forget(job, ticket, releases),
            }
        }
    }

    /// Adds a message that waits for the group.
    pub fn send(&mut self, worker: WorkerId, message: ToWorker, ticket: u64, releases: &mut Vec<Release>) {
        if let Some(link) = self.links.get_mut(&worker) {
            link.waits_for = ticket;
            releases.push(Release::Worker { to: link.to.clone(), message });
        }
    }

    fn assign(
        &mut self,
        worker: WorkerId,
        assignment: Assignment,
        machine: &Machine,
        committer: &Committer,
        ticket: u64,
        releases: &mut Vec<Release>,
    ) {
        let last_word = self.last_word;
        let Some(link) = self.links.get_mut(&worker) else { return };
        for part in split(assignment) {
            let shared = if link.known.insert(part.key) { machine.shared_desc(&part.key) } else { None };
            let is_gang = !part.nodes.is_empty();
            let message = ToWorker::Assign(AssignMessage { shared, assignment: part });
            let release = Release::Worker { to: link.to.clone(), message };
            // What a multi-node task reserves is known nowhere but in the journal, so it must not be lost.
            let needed = if is_gang { ticket } else { link.waits_for.max(last_word) };
            let needed = if planted::is(Planted::AssignEarly) { 0 } else { needed };
            if let Some(release) = committer.release_early(needed, release) {
                link.waits_for = ticket;
                releases.push(release);
            }
        }
    }

    fn forget(&mut self, job: JobId, ticket: u64, releases: &mut Vec<Release>) {
        for link in self.links.values_mut() {
            let from = DescKey { job, ..DescKey::default() };
            let to = DescKey { job, submit: u32::MAX, index: u32::MAX };
            let keys: Vec<DescKey> = link.known.range(from..=to).copied().collect();
            if !keys.is_empty() {
                link.known.retain(|key| key.job != job);
                link.waits_for = ticket;
                releases.push(Release::Worker { to: link.to.clone(), message: ToWorker::Forget(keys) });
            }
        }
    }
}

/// Cuts an assignment so that no message carries more entries than the limit.
fn split(assignment: Assignment) -> Vec<Assignment> {
    let bytes = |assignment: &Assignment| -> usize {
        assignment.tasks.iter().filter_map(|task| task.entry.as_ref()).map(|entry| entry.len()).sum()
    };
    if bytes(&assignment) <= limits::ASSIGNMENT_BYTES_MAX {
        return vec![assignment];
    }
    let tasks = assignment.tasks;
    let empty = Assignment { tasks: Vec::new(), ..assignment };
    let mut parts = Vec::new();
    let mut part = empty.clone();
    let mut size = 0;
    for task in tasks {
        let len = task.entry.as_ref().map_or(0, |entry| entry.len());
        if size + len > limits::ASSIGNMENT_BYTES_MAX && !part.tasks.is_empty() {
            parts.push(std::mem::replace(&mut part, empty.clone()));
            size = 0;
        }
        size += len;
        part.tasks.push(task);
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::attempt::AssignedTask;
    use hq_core::id::TaskId;
    use serde_bytes::ByteBuf;

    /// A registration that was under way when its connection broke may come after the next one.
    #[test]
    fn a_registration_that_was_overtaken_says_nothing() {
        let mut links = Links::default();
        let (worker, other) = (WorkerId(1), WorkerId(2));
        assert!(!links.is_overtaken(Some(worker), 1) && !links.is_overtaken(None, 1));
        links.accepted(worker, 3);
        let overtaken = |number| links.is_overtaken(Some(worker), number);
        assert_eq!([1, 2, 3, 4].map(overtaken), [true, true, true, false]);
        // An older program does not count them.
        assert!(!overtaken(0) && !links.is_overtaken(Some(other), 1));
        links.accepted(other, 1);
        links.lost(worker);
        assert!(!links.is_overtaken(Some(worker), 1) && links.is_overtaken(Some(other), 1));
    }

    #[test]
    fn assignments_wait_for_what_is_to_run() {
        let event = |event| [Stamped { at: hq_core::time::Time(1), event }];
        let mut links = Links::default();
        links.heed(&event(Event::TasksModified(Default::default())), 3);
        links.heed(&event(Event::TasksHeld(Default::default())), 4);
        assert_eq!(links.last_word, 3);
        links.heed(&event(Event::JobSubmitted(Default::default())), 5);
        assert_eq!(links.last_word, 5);
        links.heed(&event(Event::TasksRerun(Default::default())), 6);
        assert_eq!(links.last_word, 6);
    }

    #[test]
    fn large_entries_travel_in_several_messages() {
        let tasks: Vec<AssignedTask> = (0..10)
            .map(|id| AssignedTask {
                task: TaskId(id),
                entry: Some(ByteBuf::from(vec![0; limits::ASSIGNMENT_BYTES_MAX / 4])),
                ..AssignedTask::default()
            })
            .collect();
        let parts = split(Assignment { tasks: tasks.clone(), ..Assignment::default() });
        assert_eq!(parts.iter().map(|part| part.tasks.len()).collect::<Vec<_>>(), vec![4, 4, 2]);
        assert_eq!(parts.into_iter().flat_map(|part| part.tasks).collect::<Vec<_>>(), tasks);
    }
}
