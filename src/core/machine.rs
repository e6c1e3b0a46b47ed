//! The machine: takes commands, decides, applies, places, and says what has to be done outside.
//!
//! One thread owns it. A turn is any number of [`Machine::handle`] calls followed by one [`Machine::place`], so that
//! a burst is placed once (`machine/placing.rs`). Nothing in here waits and nothing fails: a command that cannot be
//! carried out is answered with a refusal and changes nothing.

mod act;
mod claims;
mod gates;
mod leave;
mod notice;
mod open;
mod placing;
mod retry;

use crate::attempt::{AssignedTask, Assignment, Attempt, DescKey, HeldAttempt, Registration, SharedDesc, WorkerReport};
use crate::command::{Canceled, Command, Effect, Output, Reply};
use crate::decide::{cancel, depend, gate, overview, register, report, time};
use crate::event::{
    AwayReason, Event, JobCanceled, ServerStarted, ServerStopped, Stamped, TaskFailed, TasksAssigned, TasksEnded,
    WorkerAway, WorkerChanged, WorkerConnected,
};
use crate::id::{AttemptId, Epoch, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdRange;
use crate::place;
use crate::planted::{self, Planted};
use crate::state::State;
use crate::state::workers::Link;
use crate::time::{Span, Time};
use crate::view::{TaskExplanation, TaskState, WhyView};
use crate::worker::LostReason;
use claims::Claims;
use placing::Memory;
use serde_bytes::ByteBuf;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Machine {
    state: State,
    /// Jobs up to this one wait: workers of before a restart may run tasks of theirs that the state has in a queue.
    unsettled: Option<JobId>,
    claims: Claims,
    /// Attempts that were asked back and have not been heard of.
    asked_back: BTreeSet<Attempt>,
    witnessed: time::Witnessed,
    placed: Memory,
    /// Whether something has happened since the last placing that could let it find more.
    stirred: bool,
}

/// Collects what one command leads to.
struct Turn<'a> {
    machine: &'a mut Machine,
    now: Time,
    output: Output,
    /// Jobs in which a task has ended: they may be completed, and gates on them open or break.
    touched: BTreeSet<JobId>,
    /// Tasks that have ended, of jobs to whose tasks others look.
    ended: BTreeMap<JobId, Vec<gate::Ended>>,
}

impl Machine {
    /// A machine that goes on from a state (of a checkpoint, say).
    pub fn new(state: State) -> Self {
        Self { state, stirred: true, ..Self::default() }
    }

    /// The state, for reading.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Applies an event of the journal.
    pub fn replay(&mut self, stamped: &Stamped) {
        self.state.apply(stamped);
    }

    /// Why a task waits, or where it is.
    ///
    /// # Errors
    /// A sentence for the user when there is no such task, or it has ended.
    pub fn explain(&self, now: Time, task: TaskRef) -> Result<TaskExplanation, String> {
        place::explain(&self.state, now, task)
    }

    /// Why a task is where it is.
    ///
    /// # Errors
    /// A sentence for the user when there is no such task.
    pub fn why_task(&self, now: Time, task: TaskRef) -> Result<WhyView, String> {
        place::why_task(&self.state, now, task)
    }

    /// Why a job is where it is; none when there is no such job.
    pub fn why_job(&self, now: Time, job: JobId) -> Option<WhyView> {
        place::why_job(&self.state, now, job)
    }

    /// Carries out a command.
    pub fn handle(&mut self, now: Time, command: Command) -> Output {
        let mut turn = Turn::new(self, now);
        match command {
            Command::StartServer { server_uid, epoch, version } => turn.start_server(server_uid, epoch, version),
            Command::StopServer => turn.stop_server(),
            Command::Submit(request) => turn.submit(request),
            Command::Open { name, max_fails, tags } => turn.open_job(&name, max_fails, &tags),
            Command::Close { jobs } => turn.close_jobs(&jobs),
            Command::Forget { jobs, states } => turn.forget_jobs(&jobs, &states),
            Command::ForgetDetails { jobs, cause } => turn.forget_details(jobs.as_ref(), cause),
            Command::Cancel { jobs, reason } => turn.cancel(&jobs, reason.as_deref()),
            Command::Register(registration) => turn.register(&registration),
            Command::Report { worker, report } => turn.report(worker, &report),
            Command::Overview { worker, state } => {
                let event = overview::kept(turn.state(), worker, state);
                event.into_iter().for_each(|event| turn.emit(event));
            }
            Command::Leaving { worker, reason } => turn.lose(worker, reason),
            Command::Disconnected { worker } => turn.away(worker, AwayReason::Closed, Span::default()),
            Command::Silent { worker, since } => turn.away(worker, AwayReason::Silent, since),
            Command::Witnessed(since) => turn.machine.witnessed = time::Witnessed(since),
            Command::HeartbeatLost { worker } => {
                turn.lose(worker, LostReason::HeartbeatLost);
                turn.output.effects.push(Effect::CloseWorker { worker });
            }
            Command::StopWorkers { workers } => turn.stop_workers(&workers),
            Command::DrainWorkers { workers, timeout } => turn.drain_workers(&workers, timeout),
            Command::Draining { worker } => turn.draining(worker),
            Command::Notify { worker, notice } => turn.notify(worker, notice),
            Command::Tick => turn.tick(),
            Command::Act { jobs, tasks, action, restored } => turn.act(&jobs, tasks.as_ref(), &action, &restored),
        }
        turn.stop_drained();
        turn.settle();
        if turn.review_claims() {
            turn.settle();
        }
        turn.output
    }

    /// When [`Command::Tick`] should come next, at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        let delayed = self.state.delayed.first().map(|(until, _)| *until);
        let claims = |worker| self.claims.are_of(worker);
        [time::next_deadline(&self.state, self.witnessed, &claims), delayed].into_iter().flatten().min()
    }

    /// Jobs up to this one have to wait. What is submitted after a restart was given to nobody before it.
    fn unsettled(&mut self) -> Option<JobId> {
        if self.unsettled.is_some() && self.state.missing_since_restart().next().is_none() {
            self.unsettled = None;
        }
        self.unsettled.filter(|_| !planted::is(Planted::SettleNothing))
    }

    /// What a worker needs to know about the tasks of a description.
    pub fn shared_desc(&self, key: &DescKey) -> Option<SharedDesc> {
        let found = self.state.job(key.job)?.submits.get(key.submit as usize)?;
        let submit = &found.desc;
        Some(SharedDesc {
            desc: found.desc_at(key.index)?,
            submit_dir: submit.submit_dir.clone(),
            stream: submit.stream.clone(),
            stream_waits: submit.stream_waits,
        })
    }
}

impl<'a> Turn<'a> {
    fn new(machine: &'a mut Machine, now: Time) -> Self {
        Self { machine, now, output: Output::default(), touched: BTreeSet::new(), ended: BTreeMap::new() }
    }

    fn emit(&mut self, event: Event) {
        self.note_ended(&event);
        self.machine.stirred |= placing::matters(self.state(), &event);
        let stamped = Stamped { at: self.now, event };
        self.machine.state.apply(&stamped);
        self.output.events.push(stamped);
    }

    fn state(&self) -> &State {
        &self.machine.state
    }

    fn start_server(&mut self, server_uid: String, epoch: Epoch, version: String) {
        let known = self.state().server_uid.clone();
        let server_uid = if known.is_empty() { server_uid } else { known };
        self.emit(Event::ServerStarted(ServerStarted { server_uid, epoch, version }));
        self.settle_leftovers();
        self.machine.unsettled = Some(self.state().last_job);
    }

    fn stop_server(&mut self) {
        self.emit(Event::ServerStopped(ServerStopped {}));
    }

    fn abort(&mut self, tasks: impl IntoIterator<Item = (TaskRef, Arc<str>)>) {
        // A task may be broken for several reasons at once; it ends once.
        let state = self.state();
        let open = |task: TaskRef| state.task_state(task).is_some_and(|state| !state.is_final());
        let tasks: Vec<_> = tasks.into_iter().filter(|(task, _)| open(*task)).collect();
        for event in depend::aborts(tasks) {
            self.touched.extend(event.job());
            self.emit(event);
        }
    }

    fn cancel(&mut self, jobs: &[JobId], reason: Option<&str>) {
        let mut results = Vec::new();
        let mut jobs = jobs.to_vec();
        jobs.sort_unstable();
        jobs.dedup();
        for id in jobs {
            let Some(job) = self.state().job(id) else {
                results.push(Canceled { job: id, found: false, canceled: 0, already_ended: 0 });
                continue;
            };
            let (canceled, total) = (job.counts.unfinished(), job.counts.total());
            results.push(Canceled { job: id, found: true, canceled, already_ended: total - canceled });
            if canceled > 0 {
                self.emit(Event::JobCanceled(JobCanceled { job: id, reason: reason.map(str::to_owned) }));
                self.end_job(id, TaskState::Canceled, reason.unwrap_or_default());
            }
        }
        self.output.reply = Reply::Canceled(results);
    }

    /// Ends all unfinished tasks of a job.
    fn end_job(&mut self, id: JobId, state: TaskState, reason: &str) {
        let on_workers: Vec<TaskRef> = self.state().on_workers(id).collect();
        self.output.effects.extend(cancel::kills(self.state(), on_workers));
        let elsewhere = cancel::broken_by_end(self.state(), id, state);
        let ended = TasksEnded { job: id, tasks: cancel::unfinished(self.state(), id), reason: reason.to_owned() };
        if !ended.tasks.is_empty() {
            self.emit(match state {
                TaskState::Canceled => Event::TasksCanceled(ended),
                _ => Event::TasksAborted(ended),
            });
        }
        self.abort(elsewhere);
        self.touched.insert(id);
    }

    fn fail(&mut self, failed: TaskFailed) {
        let task = TaskRef { job: failed.job, task: failed.task };
        // A failure before it may have ended the whole job.
        if self.state().task_state(task).is_none_or(|state| state.is_final()) || self.try_again(&failed) {
            return;
        }
        let broken = depend::broken_by(self.state(), &[(task, TaskState::Failed)]);
        self.abort(broken);
        self.touched.insert(failed.job);
        self.emit(Event::TaskFailed(failed));
        self.end_if_failed(task.job);
    }

    /// Aborts what is left of a job in which too many tasks have failed.
    fn end_if_failed(&mut self, id: JobId) {
        let over = self.state().job(id).and_then(|job| {
            let more = u64::from(planted::is(Planted::MaxFailsOffByOne));
            let max = job.max_fails.filter(|max| job.counts.failed > u64::from(*max) + more)?;
            (job.counts.unfinished() > 0).then_some(max)
        });
        if let Some(max) = over {
            self.end_job(id, TaskState::Aborted, &format!("more than {max} tasks of the job failed"));
        }
    }

    fn register(&mut self, registration: &Registration) {
        let checked = register::check_config(&registration.config);
        if let Err(reason) = checked.and_then(|()| register::check_token(&registration.token)) {
            self.output.reply = Reply::Refused(reason);
            return;
        }
        let known = self.state().worker_by_token(&registration.token).map(|worker| worker.id);
        let same_server = registration.server_uid == self.state().server_uid;
        let Some(worker) = known.filter(|_| same_server) else {
            if let Some(stale) = known {
                self.lose(stale, LostReason::ConnectionLost);
            }
            self.register_new(registration);
            return;
        };
        self.forget_claims(worker);
        self.emit(Event::WorkerReturned(WorkerChanged { worker }));
        let reunion = register::reunite(self.state(), worker, registration);
        for event in reunion.adopted {
            self.emit(event);
        }
        for event in register::unknown_to_worker(self.state(), worker, registration) {
            self.emit(event);
        }
        let (started, ended) = (HeldAttempt::started(&registration.held), registration.outbox.clone());
        self.take_report(worker, &WorkerReport { started, ended, ..WorkerReport::default() });
        // What its outcomes have made free may be what it holds: the next attempt of a task that failed there, say.
        let drop = self.judge_claims(reunion.foreign).into_iter().map(|(_, attempt)| attempt).collect();
        self.acknowledge(worker, registration.outbox.iter().map(|outcome| outcome.number).max());
        self.forget_asked(worker);
        self.remind(worker);
        self.output.reply = Reply::Registered { worker, drop };
    }

    fn register_new(&mut self, registration: &Registration) {
        let last = match self.state().workers.last_key_value() {
            Some((last, _)) if planted::is(Planted::ReuseWorker) => last.0,
            _ => self.state().last_worker.0,
        };
        let Some(number) = last.checked_add(1) else {
            self.output.reply = Reply::Refused("no worker id is left".to_owned());
            return;
        };
        let worker = WorkerId(number);
        self.emit(Event::WorkerConnected(WorkerConnected {
            worker,
            token: registration.token.clone(),
            config: registration.config.clone(),
        }));
        self.acknowledge(worker, registration.outbox.iter().map(|outcome| outcome.number).max());
        let mut drop: Vec<Attempt> = registration.held.iter().map(|held| held.attempt).collect();
        if planted::is(Planted::KeepForeign) {
            drop.clear();
        }
        self.output.reply = Reply::Registered { worker, drop };
    }

    fn acknowledge(&mut self, worker: WorkerId, number: Option<u64>) {
        if let Some(number) = number.and_then(|number| self.machine.claims.until(worker, number)) {
            let number = number + u64::from(planted::is(Planted::AcknowledgeAhead));
            self.output.effects.push(Effect::Acknowledge { worker, number });
        }
    }

    fn report(&mut self, worker: WorkerId, report: &WorkerReport) {
        self.machine.claims.hear(worker, report);
        self.take_report(worker, report);
        self.acknowledge(worker, report.ended.iter().map(|outcome| outcome.number).max());
    }

    fn take_report(&mut self, worker: WorkerId, report: &WorkerReport) {
        for event in report::starts(self.state(), self.now, worker, report) {
            self.emit(event);
        }
        let ends = report::ends(self.state(), self.now, worker, report);
        for event in ends.finished {
            self.finished(event);
        }
        for failed in ends.failed {
            self.fail(failed);
        }
        let interrupted = ends.interrupted.iter().map(|attempt| (attempt, false));
        for event in report::back(self.state(), worker, interrupted) {
            self.emit(event);
        }
        for event in report::returns(self.state(), worker, report, &self.machine.asked_back) {
            self.emit(event);
        }
        if let Some(event) = report::unblocked(self.state(), worker, &report.unblocked) {
            self.emit(event);
        }
        if !self.machine.asked_back.is_empty() {
            let heard = report.started.iter().map(|started| started.attempt).chain(report.returned.iter().copied());
            let heard = heard.chain(report.rejected.iter().copied());
            for attempt in heard.chain(report.ended.iter().map(|outcome| outcome.attempt)) {
                self.machine.asked_back.remove(&attempt);
            }
        }
    }

    /// Records successes, after the ends of tasks that hoped for a failure.
    fn finished(&mut self, event: Event) {
        if let Event::TasksFinished(finished) = &event {
            self.touched.insert(finished.job);
            if !self.state().consumers.is_empty() {
                let ended: Vec<(TaskRef, TaskState)> = finished
                    .tasks
                    .iter()
                    .map(|task| (TaskRef { job: finished.job, task: *task }, TaskState::Finished))
                    .collect();
                let broken = depend::broken_by(self.state(), &ended);
                self.abort(broken);
            }
        }
        self.emit(event);
    }

    fn away(&mut self, worker: WorkerId, reason: AwayReason, silent: Span) {
        if self.state().workers.get(&worker).is_some_and(|found| found.link == Link::Connected) {
            self.emit(Event::WorkerAway(WorkerAway { worker, reason, silent }));
        }
    }

    fn lose(&mut self, worker: WorkerId, reason: LostReason) {
        let Some(found) = self.state().workers.get(&worker) else { return };
        let reason = if found.is_leaving() && reason.is_crash() { LostReason::Stopped } else { reason };
        let (lost, failed) = time::loss(self.state(), worker, reason);
        self.emit(lost);
        self.forget_claims(worker);
        self.forget_asked(worker);
        for failed in failed {
            self.fail(failed);
        }
    }

    fn tick(&mut self) {
        for (worker, reason) in time::overdue_workers(self.state(), self.now, self.machine.witnessed) {
            self.lose(worker, reason);
            self.output.effects.push(Effect::CloseWorker { worker });
        }
        self.end_delays();
        let idle = time::idle_workers(self.state(), self.now, &|worker| self.machine.claims.are_of(worker));
        for worker in idle {
            self.lose(worker, LostReason::IdleTimeout);
            self.output.effects.push(Effect::StopWorker { worker });
        }
    }

    /// Records assignments and makes the messages; returns how many tasks they hold.
    fn assign(&mut self, assigns: Vec<place::Assign>) -> u64 {
        let mut count = 0;
        for assign in assigns {
            count += assign.tasks.len();
            let (worker, variant) = (assign.worker, assign.variant);
            let assignments = self.assignments(&assign);
            self.emit(Event::TasksAssigned(TasksAssigned {
                job: assign.job,
                worker,
                variant,
                ahead: assign.ahead,
                tasks: assign.tasks,
                nodes: assign.nodes,
            }));
            let effects = assignments.into_iter().map(|assignment| Effect::Assign { worker, assignment });
            self.output.effects.extend(effects);
        }
        count
    }

    /// The messages for tasks that are about to be assigned: grouped by description, in order.
    fn assignments(&self, assign: &place::Assign) -> Vec<Assignment> {
        let mut grouped: Vec<Assignment> = Vec::new();
        let Some(job) = self.state().job(assign.job) else { return grouped };
        let epoch = self.state().epoch;
        let hostname = |id: &WorkerId| self.state().hostname(*id).unwrap_or_default().to_owned();
        let nodes: Vec<String> = assign.nodes.iter().map(hostname).collect();
        for range in &assign.tasks.ranges {
            for (first, last) in job.tasks.runs_of_ids(range) {
                let Some((number, submit)) = job.submit_of(first) else { continue };
                for (ordinal, id) in
                    (first..=last).zip(job.tasks.ids_of_run(first, last).iter().flat_map(IdRange::iter))
                {
                    let task = TaskId(id);
                    let attempt = job.tasks.live.get(&task).map_or(AttemptId(0), |live| live.next_attempt);
                    let position = (ordinal - submit.base) as usize;
                    let entry = submit.desc.entries.get(position).map(|entry| ByteBuf::from(entry.to_vec()));
                    let assigned = AssignedTask { task, attempt, entry };
                    let key = DescKey { job: assign.job, submit: number, index: submit.desc_index(ordinal) };
                    match grouped.last_mut() {
                        Some(last) if last.key == key => last.tasks.push(assigned),
                        _ => grouped.push(Assignment {
                            key,
                            epoch,
                            variant: assign.variant,
                            tasks: vec![assigned],
                            nodes: nodes.clone(),
                        }),
                    }
                }
            }
        }
        grouped
    }
}
