//! The checks: the journal against the state that runs, what was told against the journal, and progress.
//!
//! Holds: each check looks at what is durable or at what runs, never at what the code under test says about itself.

use crate::book::{Claim, mark};
use crate::network::Connection;
use crate::worker::Phase;
use crate::world::World;
use hq_core::act::{Action, ReleaseAction};
use hq_core::attempt::{Attempt, WorkerReport};
use hq_core::id::{TaskId, TaskRef};
use hq_core::idset::{IdRange, IdSet};
use hq_core::state::State;
use hq_core::task::CrashLimit;
use hq_core::view::TaskState;
use hq_journal::Reader;
use hyperqueue::eventlog;
use hyperqueue::wire::message::{ActRequest, Request, Selector, SelectorKind};
use std::collections::{BTreeSet, VecDeque};

/// Virtual time in which everything has to end after the faults have.
const PROGRESS_US: u64 = 4 * 3_600_000_000;
/// Events of the same.
const PROGRESS_STEPS: u32 = 400_000;

impl World {
    /// Reads what has become durable, and compares when all of it has.
    /// Whether nothing is left that waits for the disk.
    pub fn check_book(&mut self) -> bool {
        if self.host.frozen_until > self.now {
            return false;
        }
        self.upset_disk();
        let Some(mut process) = self.host.process.take() else { return false };
        // What had to wait for the disk comes first, then what came meanwhile.
        let all = process.commits.step() && process.commits.step();
        if all {
            process.setbacks.refused_since = None;
        }
        // The turn may not have seen yet that what it decided was taken back.
        let all = all && process.setbacks.is_followed();
        let (reader, state) = (process.reader.clone(), process.turn.machine().state().clone());
        self.host.process = Some(process);
        self.pump();
        self.read_book(&reader, &state, all);
        all
    }

    /// Reads further; with `exact` the journal must have led to this very state. `false`: the disk cannot be read.
    pub fn read_book(&mut self, reader: &Reader, state: &State, exact: bool) -> bool {
        let book = &mut self.book;
        let claims = &mut self.clients.claims;
        let (trace, now) = (&mut self.trace, self.now);
        let mut wrong = None;
        let read = reader.replay(book.seq + 1, &mut |record| {
            while let Some(claim) = due(claims, record.header.seq - 1) {
                if !book.holds(&claim) {
                    wrong = Some(format!("told and not durable: {claim:?}"));
                    return Err(());
                }
            }
            book.seq = record.header.seq;
            book.marks.insert(book.seq, mark(record.header.kind, record.header.time_us, record.body));
            let event = eventlog::event(&record).map_err(|error| wrong = Some(format!("{error:?}")))?;
            trace.say(now, || format!("    record {} of {:?}: {:?}", book.seq, event.at, event.event));
            book.read(&event).map_err(|text| wrong = Some(text))
        });
        if let Some(text) = wrong {
            self.fail(text);
            return true;
        }
        // A disk that fails at the moment cannot be read.
        if read.is_err() {
            return false;
        }
        let seq = reader.durable().seq;
        while let Some(claim) = due(&mut self.clients.claims, seq) {
            if !self.book.holds(&claim) {
                self.fail(format!("told and not durable: {claim:?}"));
            }
        }
        if exact {
            self.compare_state(state);
        }
        if exact && self.host.process.is_some() {
            self.check_failures();
        }
        true
    }

    fn compare_state(&mut self, state: &State) {
        if self.book.folded.canonical_bytes() != state.canonical_bytes() {
            return self.fail("the journal leads to another state than the one that runs".to_owned());
        }
        let wrong = self.book.jobs.iter().find_map(|(id, sheet)| {
            let Some(job) = state.job(*id) else { return Some(format!("job {id} is not in the state")) };
            let mut counts = [0; 6];
            for (task, entry) in &sheet.tasks {
                let found = state.task_state(TaskRef { job: *id, task: TaskId(*task) });
                if found != Some(entry.state) {
                    return Some(format!("task {id}@{task} is {found:?}, by the journal {:?}", entry.state));
                }
                counts[entry.state as usize % 6] += 1;
                let live = job.tasks.live.get(&TaskId(*task));
                if live.is_some_and(|live| live.crashes != entry.crashes) {
                    return Some(format!(
                        "task {id}@{task} has crashed {} times, by its record {live:?}",
                        entry.crashes
                    ));
                }
                if let CrashLimit::Max(max) = entry.crash_limit
                    && entry.crashes >= max.max(1)
                    && !entry.state.is_final()
                    && !job.is_revised()
                    && live.is_some_and(|live| live.retries == 0)
                {
                    return Some(format!("task {id}@{task} has crashed {} times of {max} and goes on", entry.crashes));
                }
            }
            let shown: u64 = [TaskState::Waiting, TaskState::Running, TaskState::Finished, TaskState::Failed]
                .iter()
                .chain(&[TaskState::Canceled, TaskState::Aborted])
                .map(|state| job.counts.of(*state).abs_diff(counts[*state as usize % 6]))
                .sum();
            (shown > 0).then(|| format!("job {id} counts {:?}, its tasks are {counts:?}", job.counts))
        });
        if let Some(text) = wrong {
            return self.fail(text);
        }
        if let Some(id) = state.jobs.keys().find(|id| !self.book.jobs.contains_key(id)) {
            self.fail(format!("job {id} is in the state and not in the journal"));
        }
    }

    /// What a worker holds is what the server gave it, and the other way round: with nothing on the way between them, and
    /// nothing that one of them has not heard or told.
    pub fn check_holdings(&mut self) {
        let Some(process) = self.host.process.as_ref().filter(|process| process.inbox.is_empty()) else { return };
        let state = process.turn.machine().state();
        let mut wrong = None;
        for (slot, worker) in &self.workers {
            let Phase::Connected { link } = worker.phase else { continue };
            let is_quiet = self.links.get(&link).is_some_and(Connection::is_quiet)
                && worker.report.as_ref().is_some_and(|report| *report == WorkerReport::default())
                && worker.frozen_until <= self.now;
            let session = process.sessions.get(&link).filter(|session| is_quiet && session.is_told());
            let Some(id) = session.and_then(|session| session.worker) else { continue };
            let tasks = state.workers.get(&id).into_iter().flat_map(|worker| &worker.tasks);
            let given = tasks.filter_map(|task| {
                let live = state.job(task.job)?.tasks.live.get(&task.task)?;
                let (_, fence) = live.on_worker().filter(|(on, _)| *on == id)?;
                Some(Attempt { task: *task, fence })
            });
            let given: BTreeSet<Attempt> = given.collect();
            let (held, outbox) = worker.agent.holdings();
            let held: BTreeSet<Attempt> = held.iter().map(|held| held.attempt).collect();
            // What was told to end is no task any more; it is only not gone yet.
            let is_doomed = |attempt: &Attempt| worker.agent.early_end(*attempt).is_some();
            let is_claimed = |attempt: &Attempt| process.turn.machine().is_claimed(id, *attempt);
            let foreign = held.difference(&given).find(|attempt| !is_doomed(attempt) && !is_claimed(attempt));
            let told: BTreeSet<Attempt> = outbox.iter().map(|outcome| outcome.attempt).collect();
            let lost = given.iter().find(|attempt| !held.contains(attempt) && !told.contains(attempt));
            if let Some(attempt) = foreign {
                wrong = Some(format!("worker {slot} ({id}) holds {attempt:?}, and the server knows nothing of it"));
            } else if let Some(attempt) = lost {
                wrong = Some(format!("worker {slot} ({id}) was given {attempt:?} and knows nothing of it"));
            }
        }
        wrong.into_iter().for_each(|text| self.fail(text));
    }

    /// Where too many tasks of a job have failed, the others do not go on.
    fn check_failures(&mut self) {
        if let Some((id, _)) = self.book.jobs.iter().find(|(_, sheet)| sheet.goes_on()) {
            let text = format!("too many tasks of job {id} have failed, and others go on");
            self.fail(text);
        }
    }

    /// After a start: what was read before is still there, and the state is what the records lead to.
    pub fn compare_restored(&mut self, reader: &Reader, state: &State) {
        let wrong = self.compare_records(reader);
        match wrong {
            Some(text) => self.fail(text),
            None => {
                let state = state.clone();
                self.read_book(reader, &state, true);
            }
        }
    }

    /// With the faults over and workers that can run everything, everything has to end.
    pub fn demand_progress(&mut self) {
        self.large_workers();
        let end = self.now + PROGRESS_US;
        let last = self.steps + PROGRESS_STEPS;
        let (mut next_check, mut rounds) = (self.now + 30_000_000, 0);
        while self.violation.is_none() {
            if self.now > end || self.steps > last || !self.step() {
                if self.violation.is_none() {
                    let left = self.unfinished();
                    self.fail(format!(
                        "no progress {} s after the faults: {left}",
                        (self.now + PROGRESS_US).saturating_sub(end) / 1_000_000
                    ));
                }
                return;
            }
            if self.now >= next_check {
                next_check = self.now + 30_000_000;
                rounds += 1;
                if rounds > 1 && self.is_done() {
                    return self.check();
                }
                self.release_all();
                self.large_workers();
            }
        }
    }

    /// Somebody releases and closes everything, again and again, until nothing is left to do.
    fn release_all(&mut self) {
        let range = IdSet { ranges: vec![IdRange { start: 1, end: u32::MAX, gap: 0 }] };
        let jobs = self.machine().map(|machine| IdSet::from_sorted(machine.state().jobs.keys().map(|job| job.0)));
        let all = Selector { kind: SelectorKind::Ids, ids: jobs.unwrap_or(range) };
        let action = Action::Release(ReleaseAction {});
        self.request(&Request::Act(ActRequest { selector: all.clone(), tasks: None, action }));
        self.request(&Request::CloseJobs(all));
    }

    fn is_done(&self) -> bool {
        let ended = |machine: &hq_core::machine::Machine| {
            machine.state().jobs.values().all(|job| job.counts.unfinished() == 0 && job.completed.is_some())
        };
        let idle = self.workers.values().all(|worker| worker.agent.is_idle());
        let asks = self.clients.asks.values().all(|ask| ask.waits_for.is_empty());
        idle && asks && self.machine().is_some_and(ended)
    }

    /// What has not ended, in words.
    fn unfinished(&self) -> String {
        let Some(machine) = self.machine() else { return "no server runs".to_owned() };
        let state = machine.state();
        let jobs = state.jobs.values().filter(|job| job.counts.unfinished() > 0 || job.completed.is_none());
        let why = jobs.take(2).filter_map(|job| machine.why_job(hq_core::time::Time(self.wall()), job.id));
        let waiting: Vec<String> = why.map(|why| format!("{why:?}")).collect();
        let busy = self.workers.iter().filter(|(_, worker)| !worker.agent.is_idle());
        let busy: Vec<String> =
            busy.map(|(slot, worker)| format!("{slot} {:?} {:?}", worker.phase, worker.agent.holdings())).collect();
        let asks = self.clients.asks.values().filter(|ask| !ask.waits_for.is_empty()).count();
        format!("{waiting:?}; busy workers {busy:?} of {}; {asks} clients wait", state.workers.len())
    }
}

/// The next claim that was made when no more than this was durable.
fn due(claims: &mut VecDeque<(u64, Claim)>, seq: u64) -> Option<Claim> {
    claims.front().filter(|(told, _)| *told <= seq)?;
    claims.pop_front().map(|(_, claim)| claim)
}
