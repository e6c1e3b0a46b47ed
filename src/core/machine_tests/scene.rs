//! A machine with the workers' side in miniature, as a stage for the tests.

use crate::attempt::{Attempt, Ending, HeldAttempt, Outcome, Registration, Started, WorkerReport};
use crate::audit::audit;
use crate::command::{Command, Effect, Reply};
use crate::event::{Event, Stamped};
use crate::id::{Epoch, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::machine::Machine;
use crate::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use crate::state::State;
use crate::task::{Condition, Dependency, SubmitDesc, SubmitRequest, TaskDesc};
use crate::time::{Span, Time};
use crate::view::TaskCounts;
use crate::worker::WorkerConfig;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn desc(cpus: u32, priority: i32) -> Arc<TaskDesc> {
    Arc::new(TaskDesc {
        args: vec!["true".into()],
        request: ResourceRequest::cpus(Amount::units(cpus)),
        priority,
        ..TaskDesc::default()
    })
}

pub(super) fn array(ids: IdSet, cpus: u32, priority: i32) -> SubmitRequest {
    let submit = SubmitDesc { ids, descs: vec![desc(cpus, priority)], ..SubmitDesc::default() };
    SubmitRequest { name: "job".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}

pub(super) fn config(cpus: u32) -> Box<WorkerConfig> {
    let pools = vec![Pool { name: "cpus".into(), kind: PoolKind::range(0, cpus - 1) }];
    Box::new(WorkerConfig {
        resources: WorkerResources { pools, ..Default::default() },
        hostname: "node".into(),
        heartbeat: limits::HEARTBEAT_DEFAULT,
        ..WorkerConfig::default()
    })
}

/// A machine with the workers' side in miniature: what was handed to whom and has not ended.
pub(super) struct Scene {
    pub(super) machine: Machine,
    pub(super) now: Time,
    pub(super) log: Vec<Stamped>,
    pub(super) held: BTreeMap<WorkerId, Vec<(Attempt, Option<Time>)>>,
    pub(super) number: u64,
    /// What workers were asked to give back.
    pub(super) asked: Vec<(WorkerId, Vec<Attempt>)>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let mut scene = Self {
            machine: Machine::default(),
            now: Time(1_000_000),
            log: Vec::new(),
            held: BTreeMap::new(),
            number: 0,
            asked: Vec::new(),
        };
        scene.start(1);
        scene
    }

    pub(super) fn start(&mut self, epoch: u32) {
        let (server_uid, epoch) = ("abcdef".to_owned(), Epoch(epoch));
        self.run(Command::StartServer { server_uid, epoch, version: "test".into() });
    }

    pub(super) fn run(&mut self, command: Command) -> Reply {
        self.now = self.now.after(Span(1_000));
        let output = self.machine.handle(self.now, command);
        self.log.extend(output.events.iter().cloned());
        self.deliver(output.effects);
        loop {
            let (placed, more) = self.machine.place(self.now);
            self.log.extend(placed.events.iter().cloned());
            placed.events.iter().for_each(|stamped| self.check_not_held(&stamped.event));
            self.deliver(placed.effects);
            if !more {
                break;
            }
        }
        assert_eq!(audit(self.machine.state()), Ok(()));
        output.reply
    }

    /// What somebody holds is given to nobody.
    fn check_not_held(&self, event: &Event) {
        let Event::TasksAssigned(assigned) = event else { return };
        let job = self.machine.state().job(assigned.job).unwrap();
        let held = assigned.tasks.iter().find(|task| job.is_held(job.tasks.ordinal(TaskId(*task)).unwrap()));
        assert_eq!(held, None, "{assigned:?}");
    }

    pub(super) fn deliver(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Assign { worker, assignment } => {
                    let held = self.held.entry(worker).or_default();
                    held.extend(assignment.tasks.iter().map(|assigned| {
                        let (job, task) = (assignment.key.job.0, assigned.task.0);
                        (Attempt::new(job, task, assignment.epoch.0, assigned.attempt.0), None)
                    }));
                }
                Effect::Cancel { worker, attempts } => {
                    self.held.entry(worker).or_default().retain(|(attempt, _)| !attempts.contains(attempt));
                }
                Effect::Retract { worker, attempts } => self.asked.push((worker, attempts)),
                _ => {}
            }
        }
    }

    /// Workers give back what they were asked for, as far as it has not started.
    pub(super) fn give_back(&mut self) {
        while let Some((worker, attempts)) = self.asked.pop() {
            let held = self.held.entry(worker).or_default();
            let waits = |attempt: &Attempt| held.iter().any(|(other, started)| other == attempt && started.is_none());
            let returned: Vec<Attempt> = attempts.into_iter().filter(waits).collect();
            held.retain(|(attempt, _)| !returned.contains(attempt));
            self.run(Command::Report { worker, report: WorkerReport { returned, ..WorkerReport::default() } });
        }
    }

    /// A submit without placing and checking after it.
    pub(super) fn submit_quietly(&mut self, request: SubmitRequest) {
        let output = self.machine.handle(self.now, Command::Submit(request));
        self.log.extend(output.events);
    }

    pub(super) fn connect(&mut self, cpus: u32) -> WorkerId {
        self.connect_with(config(cpus))
    }

    pub(super) fn connect_with(&mut self, config: Box<WorkerConfig>) -> WorkerId {
        let token = format!("token-{}", self.machine.state().last_worker.0 + 1);
        let registration = Registration { token, config, ..Registration::default() };
        match self.run(Command::Register(Box::new(registration))) {
            Reply::Registered { worker, .. } => worker,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn submit(&mut self, request: SubmitRequest) -> JobId {
        match self.run(Command::Submit(request)) {
            Reply::Submitted(job) => job,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn outcome(&mut self, worker: WorkerId, position: usize, ending: Ending) -> Option<Outcome> {
        let held = self.held.get_mut(&worker)?;
        if held.is_empty() {
            return None;
        }
        let (attempt, started) = held.remove(position % held.len());
        self.number += 1;
        Some(Outcome {
            number: self.number,
            attempt,
            started: Some(started.unwrap_or(self.now)),
            ended: self.now,
            ending,
            error: if ending == Ending::Failed { "Program terminated with exit code 1.".into() } else { String::new() },
            ..Outcome::default()
        })
    }

    pub(super) fn end(&mut self, worker: WorkerId, position: usize, ending: Ending) {
        if let Some(outcome) = self.outcome(worker, position, ending) {
            let report = WorkerReport { ended: vec![outcome], ..WorkerReport::default() };
            self.run(Command::Report { worker, report });
        }
    }

    pub(super) fn begin(&mut self, worker: WorkerId, position: usize) {
        let now = self.now;
        let Some(held) = self.held.get_mut(&worker).filter(|held| !held.is_empty()) else { return };
        let position = position % held.len();
        held[position].1 = Some(now);
        let started = Started { attempt: held[position].0, at: now, variant: 0 };
        self.run(Command::Report {
            worker,
            report: WorkerReport { started: vec![started], ..WorkerReport::default() },
        });
    }

    pub(super) fn counts(&self, job: JobId) -> TaskCounts {
        self.machine.state().job(job).unwrap().counts
    }

    pub(super) fn replayed(&self) -> State {
        let mut state = State::default();
        self.log.iter().for_each(|stamped| state.apply(stamped));
        state
    }

    pub(super) fn restart(&mut self) {
        let epoch = self.machine.state().epoch.0 + 1;
        self.machine = Machine::new(self.replayed());
        self.start(epoch);
    }

    /// What a worker says when it comes back.
    pub(super) fn registration(&self, worker: WorkerId) -> Box<Registration> {
        let held = self.held.get(&worker).cloned().unwrap_or_default();
        Box::new(Registration {
            token: format!("token-{worker}"),
            config: config(2),
            server_uid: "abcdef".into(),
            held: held
                .iter()
                .map(|(attempt, started)| HeldAttempt { attempt: *attempt, started: *started, variant: 0 })
                .collect(),
            outbox: Vec::new(),
            number: 0,
        })
    }

    pub(super) fn come_back(&mut self, worker: WorkerId) -> Reply {
        let reply = self.run(Command::Register(self.registration(worker)));
        if let Reply::Registered { drop, worker: now } = &reply {
            let mut kept = self.held.remove(&worker).unwrap_or_default();
            kept.retain(|(attempt, _)| !drop.contains(attempt));
            self.held.entry(*now).or_default().extend(kept);
        }
        reply
    }
}

pub(super) fn graph(count: u32, deps: &[(u32, u32, Condition)]) -> SubmitRequest {
    let deps = deps
        .iter()
        .map(|(task, on, condition)| Dependency {
            task: TaskId(*task),
            on: TaskRef::new(0, *on),
            condition: *condition,
        })
        .collect();
    let submit = SubmitDesc {
        ids: IdSet::range(0, count - 1),
        descs: vec![desc(1, 0)],
        desc_of: vec![0; count as usize],
        deps,
        graph: true,
        ..SubmitDesc::default()
    };
    SubmitRequest { name: "graph".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}
