//! What events do to gates, and gates to the queues; part of the one interpreter in `apply`.

use super::State;
use super::gates::{self, Aim, Gate, Place, partners};
use super::runs::Runs;
use crate::id::JobId;
use crate::planted::{self, Planted};
use crate::view::TaskState;

impl State {
    /// Closes the gates of a submit that are not open yet. Must come before its tasks are queued.
    pub(super) fn close_gates(&mut self, id: JobId, submit: u32) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(found) = job.submits.get(submit as usize).filter(|submit| !submit.desc.after.is_empty()) else {
            return;
        };
        let place = (id, found.base);
        let after = (0u32..).zip(&found.desc.after).filter(|(index, _)| !job.opened.contains(&(submit, *index)));
        let gates = after.filter_map(|(index, after)| self.closed_gate(job, submit, index, after));
        let gates: Vec<Gate> = gates.collect();
        for gate in gates {
            if self.verdict(&gate) == Some(true) {
                self.note_open(id, &gate);
            } else {
                self.gates.insert(place, gate);
            }
        }
    }

    /// Closes the gates of a job whose tasks wait again, as far as they have never opened.
    pub(super) fn close_gates_again(&mut self, id: JobId) {
        self.gates.remove_job(id);
        let submits = self.jobs.get(&id).map_or(0, |job| job.submits.len());
        for submit in 0..u32::try_from(submits).unwrap_or(u32::MAX) {
            self.close_gates(id, submit);
        }
    }

    fn note_open(&mut self, id: JobId, gate: &Gate) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.opened.insert((gate.submit, gate.index));
        }
    }

    /// Lets go what waits behind gates that are to be open from now on.
    fn open(&mut self, place: Place, is_to_open: impl Fn(&Self, &Gate) -> bool) {
        let open: Vec<u32> =
            self.gates.at(place).iter().filter(|gate| is_to_open(self, gate)).map(|gate| gate.index).collect();
        if open.is_empty() {
            return;
        }
        let gates = self.gates.remove(place, |gate| open.contains(&gate.index));
        for gate in &gates {
            self.note_open(place.0, gate);
        }
        for gate in &gates {
            for (first, last) in gate.cover.iter() {
                self.queue_again(place.0, first, last);
            }
        }
    }

    /// Queues what may be queued of a run, some of which may be in a queue.
    fn queue_again(&mut self, id: JobId, first: u32, last: u32) {
        self.unqueue_run(id, first, last);
        self.queue_waiting(id, first, last);
    }

    /// Tasks of a job have ended: gates that wait for them open, or let the partners of these tasks go.
    pub(super) fn pass_end(&mut self, on: JobId, (first, last): (u32, u32), state: TaskState) {
        if !self.gates.has_task_watchers(on) {
            return;
        }
        let places: Vec<Place> = self.gates.task_watchers(on).collect();
        for place in &places {
            let mut has_met = false;
            for gate in self.gates.at_mut(*place).iter_mut().filter(|gate| gate.on == on) {
                if let Aim::Tasks(runs, tally) = &mut gate.aim {
                    let ended = runs.within(first, last);
                    tally.end(ended.iter().map(|(first, last)| gates::length(*first, *last)).sum(), state);
                    has_met |= tally.left == 0;
                }
            }
            if has_met {
                self.open(*place, |state, gate| {
                    matches!(gate.aim, Aim::Tasks(..)) && state.verdict(gate) == Some(true)
                });
            }
        }
        for place in places {
            self.pass_partners(on, place, (first, last));
        }
    }

    /// Tasks of a job wait again: closed gates on tasks of it wait for them again.
    pub(super) fn count_again(&mut self, on: JobId) {
        let places: Vec<Place> = self.gates.task_watchers(on).collect();
        let Some(target) = self.jobs.get(&on) else { return };
        for place in places {
            for gate in self.gates.at_mut(place).iter_mut().filter(|gate| gate.on == on) {
                if let Aim::Tasks(runs, tally) = &mut gate.aim {
                    *tally = gates::tally(&target.tasks, runs);
                }
            }
        }
    }

    /// Takes those tasks out of the queues whose partners wait again.
    pub(super) fn stop_partners(&mut self, on: JobId, again: &Runs) {
        let places: Vec<Place> = self.gates.task_watchers(on).collect();
        for place in places {
            for run in again.iter() {
                self.pass_partners(on, place, run);
            }
        }
    }

    /// Queues the partners of tasks that have ended, as far as nothing else keeps them.
    fn pass_partners(&mut self, on: JobId, place: Place, run: (u32, u32)) {
        let (Some(target), Some(job)) = (self.jobs.get(&on), self.jobs.get(&place.0)) else { return };
        let mut let_go = Vec::new();
        for gate in self.gates.at(place).iter().filter(|gate| gate.on == on && gate.aim == Aim::Partner) {
            let ours = partners(&target.tasks, run, &job.tasks).into_iter();
            let_go.extend(ours.flat_map(|(first, last)| gate.cover.within(first, last)));
        }
        for (first, last) in let_go {
            self.queue_again(place.0, first, last);
        }
    }

    /// A job is completed: gates on it open, and it has none any more.
    pub(super) fn pass_completion(&mut self, id: JobId) {
        let places: Vec<Place> = self.gates.watchers(id).collect();
        for place in places.into_iter().filter(|_| !planted::is(Planted::LoseGate)) {
            self.open(place, |state, gate| gate.on == id && gate.aim == Aim::Job && state.verdict(gate) == Some(true));
        }
        self.gates.remove_job(id);
    }

    /// A job is not kept any longer: nothing waits for it.
    pub(super) fn pass_forgotten(&mut self, id: JobId) {
        let places: Vec<Place> = self.gates.watchers(id).chain(self.gates.task_watchers(id)).collect();
        for place in places {
            self.open(place, |_, gate| gate.on == id);
        }
    }
}
