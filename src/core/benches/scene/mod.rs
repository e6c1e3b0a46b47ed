//! A machine with workers in miniature, for the benchmarks of the core.
//!
//! The figures are about the machine, so what the workers do in between (keeping what they were given, and saying
//! that it has ended) is left out of the measured time.
//!
//! What holds: everything is deterministic; the clock of the scene moves by one millisecond a turn.
#![allow(dead_code, clippy::disallowed_methods, clippy::disallowed_types)]

use hq_core::attempt::{Attempt, Ending, Outcome, Registration, WorkerReport};
use hq_core::command::{Command, Effect, Output};
use hq_core::id::{Epoch, TaskId, TaskRef, WorkerId};
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use hq_core::task::{Condition, Dependency, SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::{Span, Time};
use hq_core::worker::WorkerConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A task description that needs so many CPUs.
pub fn desc(cpus: u32, priority: i32) -> Arc<TaskDesc> {
    Arc::new(TaskDesc {
        args: vec!["true".into()],
        request: ResourceRequest::cpus(Amount::units(cpus)),
        priority,
        ..TaskDesc::default()
    })
}

/// An array of `tasks` tasks that need `cpus` CPUs each.
pub fn array(tasks: u32, cpus: u32, priority: i32) -> SubmitRequest {
    let ids = IdSet::range(0, tasks - 1);
    let submit = SubmitDesc { ids, descs: vec![desc(cpus, priority)], ..SubmitDesc::default() };
    SubmitRequest { name: "job".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}

/// A graph of `layers` layers of `width` tasks; each task waits for `fan_in` tasks of the layer before.
pub fn graph(layers: u32, width: u32, fan_in: u32) -> SubmitRequest {
    let mut deps = Vec::new();
    for layer in 1..layers {
        for column in 0..width {
            for other in 0..fan_in.min(width) {
                let on = TaskRef::new(0, (layer - 1) * width + (column + other * 7) % width);
                deps.push(Dependency { task: TaskId(layer * width + column), on, condition: Condition::Ok });
            }
        }
    }
    let tasks = layers * width;
    let submit = SubmitDesc {
        ids: IdSet::range(0, tasks - 1),
        descs: vec![desc(1, 0)],
        desc_of: vec![0; tasks as usize],
        deps,
        graph: true,
        ..SubmitDesc::default()
    };
    SubmitRequest { name: "graph".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}

/// A graph in which each task waits for up to `fan_in` tasks anywhere before it, chosen without an order.
pub fn scattered(tasks: u32, fan_in: u32) -> SubmitRequest {
    let mut request = graph(1, tasks, 0);
    let mut submit = SubmitDesc::clone(&request.submit);
    // Knuth's multiplier spreads what it multiplies over all numbers.
    let spread = |number: u32, among: u32| (number.wrapping_mul(2_654_435_761) >> 4) % among;
    for task in 1..tasks {
        let wanted = spread(task, fan_in + 1);
        let mut on: Vec<u32> = (0..wanted).map(|other| spread(task * 4 + other + 1, task)).collect();
        on.sort_unstable();
        on.dedup();
        let condition = Condition::Ok;
        submit.deps.extend(on.iter().map(|on| Dependency { task: TaskId(task), on: TaskRef::new(0, *on), condition }));
    }
    request.submit = Arc::new(submit);
    request
}

/// See the module's text.
pub struct Scene {
    pub machine: Machine,
    pub now: Time,
    /// Time spent in the machine since the last [`Scene::take_spent`].
    pub spent: Duration,
    /// Turns of the machine.
    pub turns: u64,
    /// Tasks that ended.
    pub ended: u64,
    held: BTreeMap<WorkerId, Vec<Attempt>>,
    number: u64,
    last_reporter: WorkerId,
    /// How many tasks a worker reports at most at once.
    pub report_tasks: usize,
}

impl Scene {
    /// A started machine with `workers` workers of `cpus` CPUs.
    pub fn new(workers: u32, cpus: u32) -> Self {
        let mut scene = Self {
            machine: Machine::default(),
            now: Time(1_000_000),
            spent: Duration::ZERO,
            turns: 0,
            ended: 0,
            held: BTreeMap::new(),
            number: 0,
            last_reporter: WorkerId(0),
            report_tasks: usize::MAX,
        };
        scene.run(Command::StartServer { server_uid: "abcdef".into(), epoch: Epoch(1), version: "bench".into() });
        for worker in 0..workers {
            let registration =
                Registration { token: format!("{worker}"), config: config(cpus), ..Registration::default() };
            scene.run(Command::Register(Box::new(registration)));
        }
        scene
    }

    /// Carries out a command.
    pub fn run(&mut self, command: Command) {
        let begin = Instant::now();
        let output = self.machine.handle(self.now, command);
        self.spent += begin.elapsed();
        self.deliver(output);
    }

    /// Places until nothing more can be placed.
    pub fn place(&mut self) {
        let mut more = true;
        while more {
            let begin = Instant::now();
            let (output, again) = self.machine.place(self.now);
            self.spent += begin.elapsed();
            more = again;
            self.deliver(output);
        }
    }

    fn deliver(&mut self, output: Output) {
        for effect in output.effects {
            match effect {
                Effect::Assign { worker, assignment } => {
                    let attempts = assignment.tasks.iter().map(|assigned| {
                        let (job, task) = (assignment.key.job.0, assigned.task.0);
                        Attempt::new(job, task, assignment.epoch.0, assigned.attempt.0)
                    });
                    self.held.entry(worker).or_default().extend(attempts);
                }
                Effect::Retract { worker, attempts } => {
                    // Everything given ahead starts in the same breath in which it arrives, so it comes too late.
                    std::hint::black_box((worker, attempts));
                }
                _ => {}
            }
        }
    }

    /// One turn: what the workers hold ends, up to `report_tasks` on each, and new tasks are placed.
    pub fn turn(&mut self) {
        self.now = self.now.after(Span::from_ms(1));
        self.turns += 1;
        let mut reports = Vec::new();
        for (worker, held) in &mut self.held {
            let count = held.len().min(self.report_tasks);
            let ended: Vec<Outcome> =
                held.drain(..count).map(|attempt| outcome(attempt, self.now, &mut self.number)).collect();
            self.ended += ended.len() as u64;
            if !ended.is_empty() {
                reports.push((*worker, WorkerReport { ended, ..WorkerReport::default() }));
            }
        }
        for (worker, report) in reports {
            self.run(Command::Report { worker, report });
        }
        self.place();
    }

    /// One turn in which one task ends, on one worker after the other.
    pub fn turn_of_one(&mut self) {
        self.now = self.now.after(Span::from_ms(1));
        self.turns += 1;
        let next = self.held.range(WorkerId(self.last_reporter.0 + 1)..).next().map(|(worker, _)| *worker);
        let Some(worker) = next.or_else(|| self.held.keys().next().copied()) else { return };
        self.last_reporter = worker;
        let Some(held) = self.held.get_mut(&worker).filter(|held| !held.is_empty()) else { return };
        let attempt = held.remove(0);
        let ended = vec![outcome(attempt, self.now, &mut self.number)];
        self.ended += 1;
        self.run(Command::Report { worker, report: WorkerReport { ended, ..WorkerReport::default() } });
        self.place();
    }

    /// Leaves everything that runs now as it is for ever.
    pub fn park(&mut self) {
        self.held.clear();
    }

    /// Takes turns until so many tasks have ended.
    pub fn drain(&mut self, tasks: u64) {
        while self.ended < tasks {
            let before = self.ended;
            self.turn();
            assert!(self.ended > before, "the scene stands still at {before} of {tasks}");
        }
    }

    /// Time spent in the machine since the last call.
    pub fn take_spent(&mut self) -> Duration {
        std::mem::take(&mut self.spent)
    }
}

fn outcome(attempt: Attempt, now: Time, number: &mut u64) -> Outcome {
    *number += 1;
    let started = Some(Time(now.0 - 1_000));
    Outcome { number: *number, attempt, started, ended: now, ending: Ending::Finished, ..Outcome::default() }
}

fn config(cpus: u32) -> Box<WorkerConfig> {
    let pools = vec![
        Pool { name: "cpus".into(), kind: PoolKind::range(0, cpus - 1) },
        Pool { name: "mem".into(), kind: PoolKind::Sum(Amount::units(65_536)) },
    ];
    Box::new(WorkerConfig {
        resources: WorkerResources { pools, ..Default::default() },
        hostname: "node".into(),
        heartbeat: limits::HEARTBEAT_DEFAULT,
        ..WorkerConfig::default()
    })
}
