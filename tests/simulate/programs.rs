//! The programs that workers start: how long they run, how they end, and which of them run now.
//!
//! Holds: a program's fate follows from the seed and its attempt.

use crate::dice::spread;
use crate::server::BASE_US;
use crate::world::{Event, World};
use hq_core::agent::{AgentCommand, ProcessEnd, ProcessStatus, SpawnOrder};
use hq_core::attempt::Attempt;
use hq_core::retry::FailureCause;
use hq_core::time::Time;

/// A program that runs.
#[derive(Debug, Clone)]
pub struct Program {
    /// Of the resources that are counted.
    pub needs: Vec<(String, u64)>,
    /// How it ends by itself.
    code: i32,
    status: Option<ProcessStatus>,
    /// Whether it goes on when it is asked to end.
    is_stubborn: bool,
    pub is_running: bool,
    /// The term of the lease in which it was ordered; none: after its end.
    term: Option<u64>,
    /// Somebody wanted it to end.
    was_asked: bool,
}

impl World {
    pub fn spawn(&mut self, slot: u32, order: &SpawnOrder) {
        let attempt = order.attempt;
        let fate = spread(self.seed ^ spread(u64::from(attempt.task.job.0) << 32 | u64::from(attempt.task.task.0)))
            ^ spread(u64::from(attempt.fence.attempt.0) << 32 | u64::from(attempt.fence.epoch.0));
        let needs = order.shared.desc.request.variants.get(order.variant as usize).map(|variant| {
            variant.entries.iter().map(|entry| (entry.resource.clone(), entry.amount.0)).collect::<Vec<_>>()
        });
        let fails = spread(fate) % 1_000 < self.settings.fail;
        let program = Program {
            needs: needs.unwrap_or_default(),
            code: if fails { 1 + (fate % 3) as i32 } else { 0 },
            status: None,
            is_stubborn: fate.is_multiple_of(7),
            is_running: false,
            term: self.workers.get(&slot).filter(|worker| !worker.is_closed).map(|worker| worker.term),
            was_asked: false,
        };
        self.check_spawn(slot, attempt, &program);
        // What is ordered after the end of the lease is refused at once.
        let after = if program.term.is_some() { self.dice.within(20, 3_000) } else { 0 };
        self.programs.insert((slot, attempt), program);
        self.at(after, Event::Spawned { worker: slot, attempt });
    }

    pub fn spawned(&mut self, slot: u32, attempt: Attempt) {
        let at = self.wall_of(slot);
        let Some(program) = self.programs.get(&(slot, attempt)).filter(|_| self.workers.contains_key(&slot)) else {
            return;
        };
        match program.term.map_or(Some(false), |term| self.permits(slot, term)) {
            None => return self.at(10_000, Event::Spawned { worker: slot, attempt }),
            Some(true) => {}
            Some(false) => {
                let term = program.term;
                self.programs.remove(&(slot, attempt));
                if self.workers.get(&slot).is_some_and(|worker| term.is_none_or(|term| worker.term == term)) {
                    self.agent(slot, AgentCommand::LeaseOver);
                }
                let (text, cause) = ("not started".into(), FailureCause::Start);
                return self.agent(slot, AgentCommand::SpawnFailed { attempt, text, cause, at });
            }
        }
        if self.dice.permille(self.settings.spawn_fail) {
            self.programs.remove(&(slot, attempt));
            let cause = FailureCause::Start;
            return self.agent(slot, AgentCommand::SpawnFailed { attempt, text: "no such program".into(), cause, at });
        }
        let most = self.settings.task_ms;
        let least = if self.settings.long_tasks { most / 2 } else { 1 };
        let length = self.dice.span(least, most) * 1_000;
        self.check_alone(slot, attempt);
        if self.book.programs.insert(attempt, None).is_some() {
            return self.fail(format!("{attempt:?} starts twice"));
        }
        if let Some(program) = self.programs.get_mut(&(slot, attempt)) {
            program.is_running = true;
        }
        self.at(length, Event::Exited { worker: slot, attempt, status: None });
        self.agent(slot, AgentCommand::SpawnSucceeded { attempt, at });
    }

    pub fn wall_of(&self, slot: u32) -> Time {
        let offset = self.workers.get(&slot).map_or(0, |worker| worker.clock_offset);
        Time((BASE_US + self.now).saturating_add_signed(offset))
    }

    /// A program was asked to end, or is killed.
    pub fn end_process(&mut self, slot: u32, attempt: Attempt, kill: bool) {
        let Some(program) = self.programs.get_mut(&(slot, attempt)) else { return };
        program.was_asked = true;
        if !program.is_running {
            return;
        }
        if kill || !program.is_stubborn {
            let status = if kill { ProcessStatus::Signal(9, "SIGKILL") } else { ProcessStatus::Signal(2, "SIGINT") };
            let after = self.dice.within(10, 50_000);
            self.at(after, Event::Exited { worker: slot, attempt, status: Some(status) });
        }
    }

    /// A program is gone. Its worker hears of it when it is not frozen.
    pub fn exited(&mut self, slot: u32, attempt: Attempt, status: Option<ProcessStatus>) {
        let Some(program) = self.programs.get_mut(&(slot, attempt)).filter(|program| program.is_running) else {
            return;
        };
        program.is_running = false;
        program.status = Some(status.unwrap_or(ProcessStatus::Code(program.code)));
        self.book.programs.insert(attempt, program.status);
        let frozen = self.workers.get(&slot).map_or(0, |worker| worker.frozen_until);
        let after = if frozen > self.now { frozen - self.now + 1 } else { 0 };
        self.at(after, Event::Reaped { worker: slot, attempt });
    }

    pub fn reaped(&mut self, slot: u32, attempt: Attempt) {
        let at = self.wall_of(slot);
        let Some(program) = self.programs.remove(&(slot, attempt)) else { return };
        let Some(status) = program.status.filter(|_| self.workers.contains_key(&slot)) else { return };
        if !program.was_asked {
            self.book.ended_alone.insert(attempt);
        }
        let end = ProcessEnd { status, error: None, note: None, cause: None, cpu_us: 5, memory_kib: 7 };
        self.agent(slot, AgentCommand::Exited { attempt, end, at });
    }

    /// All programs of a worker are killed at once.
    pub fn kill_processes(&mut self, slot: u32) {
        let range = (slot, Attempt::default())..(slot + 1, Attempt::default());
        let running: Vec<Attempt> = self.programs.range(range).map(|((_, attempt), _)| *attempt).collect();
        let is_gone = !self.workers.contains_key(&slot);
        for attempt in running {
            if is_gone {
                let was_running = self.programs.remove(&(slot, attempt)).is_some_and(|program| program.is_running);
                if was_running {
                    self.book.programs.insert(attempt, Some(ProcessStatus::Lost));
                }
            } else {
                self.exited(slot, attempt, Some(ProcessStatus::Signal(9, "SIGKILL")));
            }
        }
    }

    /// No other copy of the task runs, anywhere, whoever may want it to end.
    fn check_alone(&mut self, slot: u32, attempt: Attempt) {
        // Who cancels tasks and has them run again at once wants both.
        if self.clients.reruns.contains(&attempt.task.job) {
            return;
        }
        let is_copy = |other: &Attempt, program: &Program| other.task == attempt.task && program.is_running;
        let copy = self.programs.iter().find(|((_, other), program)| is_copy(other, program));
        if let Some(((worker, other), _)) = copy {
            let text = format!("{attempt:?} starts on {slot} while {other:?} runs on {worker}");
            self.fail(text);
        }
    }

    /// The worker has what the program needs, and is to run it for good.
    fn check_spawn(&mut self, slot: u32, attempt: Attempt, program: &Program) {
        self.check_durable(attempt);
        let Some(worker) = self.workers.get(&slot) else { return };
        for (name, amount) in &program.needs {
            let range = (slot, Attempt::default())..(slot + 1, Attempt::default());
            let used: u64 =
                self.programs.range(range).flat_map(|(_, p)| &p.needs).filter(|(n, _)| n == name).map(|(_, a)| a).sum();
            let pool = worker.config.resources.pools.iter().find(|pool| pool.name == *name);
            if pool.is_none_or(|pool| used + amount > pool.kind.size().0) {
                let text = format!("worker {slot} has not {amount} of {name} for {attempt:?}: {used} are in use");
                return self.fail(text);
            }
        }
    }

    /// What starts was submitted, for good.
    fn check_durable(&mut self, attempt: Attempt) {
        if self.book.has(attempt.task) {
            return;
        }
        // Without a server, or while the disk has no power, nobody can look.
        let mut was_read = false;
        if let Some(process) = self.host.process.take() {
            was_read = self.read_book(&process.reader, process.turn.machine().state(), false);
            was_read &= !self.host.disk.is_powerless();
            self.host.process = Some(process);
        }
        if was_read && !self.book.has(attempt.task) {
            self.fail(format!("{attempt:?} starts, and its submit is not durable"));
        }
    }
}
