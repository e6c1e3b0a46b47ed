//! A cluster in virtual time around the real machine of the server.
//!
//! Workers are small models: they start what was given to them as soon as it fits, tell it after a while on the way, and
//! give back what has not started. Durations are a function of the task. No process runs and no clock is asked but to
//! measure the machine.
//!
//! Holds: the same workload gives the same history, to the microsecond.

use hq_core::attempt::{Attempt, Ending, Outcome, Registration, Started, WorkerReport};
use hq_core::command::{Command, Effect, Output};
use hq_core::id::{Epoch, TaskRef, WorkerId};
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::resource::{Amount, Policy, Pool, PoolKind, Variant, WorkerResources};
use hq_core::task::SubmitRequest;
use hq_core::time::{Span, Time};
use hq_core::worker::WorkerConfig;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

/// Way of a message.
pub const WAY: Span = Span(500);
/// Events of one history at most; a history that has more does not end.
const EVENTS_MAX: u64 = 20_000_000;

/// How long a task runs in one of its variants.
pub type Durations = fn(TaskRef, u32) -> Span;

/// What a worker of the model is made of: units of each resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name and units.
    pub pools: Vec<(&'static str, u32)>,
    /// Group for multi-node tasks.
    pub group: &'static str,
}

/// What a simulation is about.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The workers.
    pub nodes: Vec<Node>,
    /// The submits, all at the beginning.
    pub submits: Vec<SubmitRequest>,
    /// How long tasks run.
    pub durations: Durations,
}

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// From the submit to the end of the last task.
    pub makespan: Span,
    /// Tasks that ended.
    pub tasks: u64,
    /// Time in the machine, in all.
    pub spent: Duration,
    /// The part of it in which work was placed.
    pub placing: Duration,
    /// Each turn, in the end the longest last.
    pub turns: Vec<Duration>,
    /// Tasks that were taken back.
    pub returned: u64,
}

#[derive(Debug)]
enum Message {
    Assigned(Vec<(Attempt, Option<usize>, u32)>),
    Retract(Vec<Attempt>),
    Cancel(Vec<Attempt>),
}

#[derive(Debug)]
enum Happening {
    ToServer(WorkerReport),
    ToWorker(Message),
    End(Attempt, u32, Time),
}

/// A task that waits on a worker: needs of a form, or none for the root of a multi-node task.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    attempt: Attempt,
    form: Option<usize>,
    variant: u32,
}

#[derive(Debug, Default)]
struct Side {
    free: BTreeMap<String, u64>,
    size: BTreeMap<String, u64>,
    queue: Vec<Waiting>,
    running: BTreeMap<Attempt, Vec<(String, u64)>>,
    report: WorkerReport,
    number: u64,
}

/// See the module's text.
pub struct Simulation {
    /// The machine, for checks between steps.
    pub machine: Machine,
    /// Now.
    pub now: Time,
    durations: Durations,
    sides: BTreeMap<WorkerId, Side>,
    agenda: BinaryHeap<Reverse<(Time, u64)>>,
    happenings: BTreeMap<u64, (WorkerId, Happening)>,
    /// Forms of requests that were met.
    forms: Vec<Variant>,
    sequence: u64,
    /// What came out so far.
    pub figures: Figures,
    turn: Duration,
}

impl Simulation {
    /// A started machine with its workers.
    pub fn new(nodes: &[Node], durations: Durations) -> Self {
        let mut simulation = Self {
            machine: Machine::default(),
            now: Time(1_000_000),
            durations,
            sides: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            forms: Vec::new(),
            sequence: 0,
            figures: Figures::default(),
            turn: Duration::ZERO,
        };
        let version = "simulation".to_owned();
        simulation.command(Command::StartServer { server_uid: "abcdef".into(), epoch: Epoch(1), version });
        nodes.iter().for_each(|node| simulation.connect(node));
        simulation.figures = Figures::default();
        simulation
    }

    /// A worker arrives.
    pub fn connect(&mut self, node: &Node) {
        let pool =
            |(name, units): &(&str, u32)| Pool { name: (*name).to_owned(), kind: PoolKind::Sum(Amount::units(*units)) };
        let resources = WorkerResources { pools: node.pools.iter().map(pool).collect(), ..Default::default() };
        let config = WorkerConfig {
            resources,
            hostname: "node".into(),
            group: node.group.to_owned(),
            heartbeat: limits::HEARTBEAT_DEFAULT,
            ..WorkerConfig::default()
        };
        let number = self.machine.state().last_worker.0 + 1;
        let registration =
            Registration { token: number.to_string(), config: Box::new(config), ..Registration::default() };
        let size: BTreeMap<String, u64> =
            node.pools.iter().map(|(name, units)| ((*name).to_owned(), Amount::units(*units).0)).collect();
        let side = Side { free: size.clone(), size, ..Side::default() };
        self.sides.insert(WorkerId(number), side);
        self.command(Command::Register(Box::new(registration)));
        self.place();
    }

    /// Carries out a command of a client.
    pub fn command(&mut self, command: Command) {
        let begin = Instant::now();
        let output = self.machine.handle(self.now, command);
        self.turn += begin.elapsed();
        self.deliver(output);
    }

    /// Ends a turn.
    pub fn place(&mut self) {
        let mut more = true;
        while more {
            let begin = Instant::now();
            let (output, again) = self.machine.place(self.now);
            let placing = begin.elapsed();
            self.turn += placing;
            self.figures.placing += placing;
            more = again;
            self.deliver(output);
            let turn = std::mem::take(&mut self.turn);
            self.figures.turns.push(turn);
            self.figures.spent += turn;
        }
    }

    fn deliver(&mut self, output: Output) {
        for effect in output.effects {
            let (worker, message) = match effect {
                Effect::Assign { worker, assignment } => {
                    let state = self.machine.state();
                    let desc = state.job(assignment.key.job).and_then(|job| {
                        job.submits.get(assignment.key.submit as usize)?.desc.descs.get(assignment.key.index as usize)
                    });
                    let variant = desc.and_then(|desc| desc.request.variants.get(assignment.variant as usize)).cloned();
                    let variant = variant.expect("a variant of the request");
                    let form = (variant.nodes == 0).then(|| self.form(variant));
                    let attempts = assignment.tasks.iter().map(|task| {
                        let (job, epoch) = (assignment.key.job.0, assignment.epoch.0);
                        (Attempt::new(job, task.task.0, epoch, task.attempt.0), form, assignment.variant)
                    });
                    (worker, Message::Assigned(attempts.collect()))
                }
                Effect::Retract { worker, attempts } => (worker, Message::Retract(attempts)),
                Effect::Cancel { worker, attempts } => (worker, Message::Cancel(attempts)),
                _ => continue,
            };
            self.schedule(self.now.after(WAY), worker, Happening::ToWorker(message));
        }
    }

    fn form(&mut self, variant: Variant) -> usize {
        match self.forms.iter().position(|known| *known == variant) {
            Some(at) => at,
            None => {
                self.forms.push(variant);
                self.forms.len() - 1
            }
        }
    }

    fn schedule(&mut self, at: Time, worker: WorkerId, happening: Happening) {
        self.sequence += 1;
        self.agenda.push(Reverse((at, self.sequence)));
        self.happenings.insert(self.sequence, (worker, happening));
    }

    /// Lets happen what comes next, all of one moment together. `false`: nothing comes any more.
    pub fn step(&mut self) -> bool {
        let Some(Reverse((at, _))) = self.agenda.peek().copied() else { return false };
        self.now = at;
        let mut touched = BTreeSet::new();
        let mut told = false;
        while let Some(Reverse((next, number))) = self.agenda.peek().copied()
            && next == at
        {
            self.agenda.pop();
            let Some((worker, happening)) = self.happenings.remove(&number) else { continue };
            match happening {
                Happening::ToServer(report) => {
                    self.figures.tasks += report.ended.len() as u64;
                    self.figures.returned += report.returned.len() as u64;
                    self.command(Command::Report { worker, report });
                    told = true;
                }
                Happening::ToWorker(message) => {
                    self.hear(worker, message);
                    touched.insert(worker);
                }
                Happening::End(attempt, variant, started) => {
                    self.end(worker, attempt, variant, started);
                    touched.insert(worker);
                }
            }
        }
        for worker in touched {
            self.start(worker);
            self.tell(worker);
        }
        if told {
            self.place();
        }
        true
    }

    fn hear(&mut self, worker: WorkerId, message: Message) {
        let Some(side) = self.sides.get_mut(&worker) else { return };
        match message {
            Message::Assigned(attempts) => {
                for (attempt, form, variant) in attempts {
                    let needs = form.and_then(|form| self.forms.get(form)).map(|form| side.needs(form));
                    let has = |(name, parts): &(String, u64)| side.size.get(name).is_some_and(|size| size >= parts);
                    assert!(needs.iter().flatten().all(has), "{attempt:?} can never run on worker {worker}");
                    side.queue.push(Waiting { attempt, form, variant });
                }
            }
            Message::Retract(attempts) => {
                let asked: BTreeSet<Attempt> = attempts.into_iter().collect();
                let given = side.queue.iter().map(|waiting| waiting.attempt).filter(|held| asked.contains(held));
                let given: Vec<Attempt> = given.collect();
                side.queue.retain(|waiting| !asked.contains(&waiting.attempt));
                side.report.returned.extend(given);
            }
            Message::Cancel(attempts) => {
                side.queue.retain(|waiting| !attempts.contains(&waiting.attempt));
                for attempt in attempts {
                    side.release(&attempt);
                }
            }
        }
    }

    fn end(&mut self, worker: WorkerId, attempt: Attempt, variant: u32, started: Time) {
        let Some(side) = self.sides.get_mut(&worker).filter(|side| side.running.contains_key(&attempt)) else { return };
        side.release(&attempt);
        side.number += 1;
        side.report.ended.push(Outcome {
            number: side.number,
            attempt,
            started: Some(started),
            ended: self.now,
            ending: Ending::Finished,
            variant,
            ..Outcome::default()
        });
        self.figures.makespan = self.figures.makespan.max(Span(self.now.0 - 1_000_000));
    }

    /// Starts what fits, in order.
    fn start(&mut self, worker: WorkerId) {
        let Some(side) = self.sides.get_mut(&worker) else { return };
        let mut waiting = std::mem::take(&mut side.queue).into_iter();
        let (mut kept, mut ends, mut full) = (Vec::new(), Vec::new(), BTreeSet::new());
        for waits in waiting.by_ref() {
            let needs = waits.form.and_then(|form| self.forms.get(form)).map(|form| side.needs(form));
            let fits =
                !full.contains(&waits.form) && needs.iter().flatten().all(|(name, parts)| side.has(name, *parts));
            if !fits {
                full.insert(waits.form);
                kept.push(waits);
                continue;
            }
            let needs = needs.unwrap_or_default();
            for (name, parts) in &needs {
                side.free.entry(name.clone()).and_modify(|free| *free -= parts);
            }
            side.running.insert(waits.attempt, needs);
            let (attempt, variant) = (waits.attempt, waits.variant);
            side.report.started.push(Started { attempt, at: self.now, variant });
            ends.push((self.now.after((self.durations)(attempt.task, variant)), attempt, variant));
        }
        side.queue = kept;
        for (at, attempt, variant) in ends {
            self.schedule(at, worker, Happening::End(attempt, variant, self.now));
        }
    }

    fn tell(&mut self, worker: WorkerId) {
        let Some(side) = self.sides.get_mut(&worker) else { return };
        let report = std::mem::take(&mut side.report);
        if report != WorkerReport::default() {
            self.schedule(self.now.after(WAY), worker, Happening::ToServer(report));
        }
    }

    /// Tasks that lie on workers and have not started, with what the worker that has them lacks.
    pub fn parked(&self) -> impl Iterator<Item = (WorkerId, Attempt, Option<&Variant>)> {
        self.sides.iter().flat_map(|(worker, side)| {
            side.queue.iter().map(|waits| (*worker, waits.attempt, waits.form.and_then(|form| self.forms.get(form))))
        })
    }

    /// Whether a worker could start a task of this form now, by what runs and waits there.
    pub fn could_start(&self, worker: WorkerId, form: &Variant) -> bool {
        let Some(side) = self.sides.get(&worker) else { return false };
        side.queue.is_empty() && side.needs(form).iter().all(|(name, parts)| side.has(name, *parts))
    }

    /// The workers.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.sides.keys().copied()
    }

    /// Runs to the end.
    pub fn drain(&mut self) {
        let mut events = 0;
        while self.step() {
            events += 1;
            assert!(events < EVENTS_MAX, "the history does not end");
        }
    }
}

impl Side {
    fn has(&self, name: &str, parts: u64) -> bool {
        parts > 0 && self.free.get(name).is_some_and(|free| *free >= parts)
    }

    fn needs(&self, form: &Variant) -> Vec<(String, u64)> {
        let parts = |name: &str| self.size.get(name).copied().unwrap_or(0);
        let needs = form.entries.iter().map(|entry| match entry.policy {
            Policy::All => (entry.resource.clone(), parts(&entry.resource)),
            _ => (entry.resource.clone(), entry.amount.0),
        });
        needs.collect()
    }

    fn release(&mut self, attempt: &Attempt) {
        for (name, parts) in self.running.remove(attempt).unwrap_or_default() {
            self.free.entry(name).and_modify(|free| *free += parts);
        }
    }
}

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario) -> Figures {
    let mut simulation = Simulation::new(&scenario.nodes, scenario.durations);
    for submit in &scenario.submits {
        simulation.command(Command::Submit(submit.clone()));
    }
    simulation.place();
    simulation.drain();
    let state = simulation.machine.state();
    let waiting: u64 = state.jobs.values().map(|job| job.counts.unfinished()).sum();
    assert_eq!(waiting, 0, "tasks are left");
    simulation.figures.turns.sort_unstable();
    simulation.figures
}
