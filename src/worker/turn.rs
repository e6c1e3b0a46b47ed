//! The turn: takes inputs in order, asks the agent, carries effects out.
//!
//! A turn takes everything that has arrived, and only then tells the server, so that the work of many tasks shares
//! one message.
//!
//! What holds: this is the only place that calls the agent; an attempt's record is there from its launch to its end;
//! nothing here waits for anything.

use super::desk::{self, Desk};
use super::inbox::{Inbox, Input};
use super::memory::{Guarded, MemoryWatch};
use super::outbound::{Departure, Outbound};
use super::output::{OpenStream, Pump, Streams, Target};
use super::spawn::{ERROR_FILE_NAME, Launch, Launcher};
use super::stream_outcome;
use super::timers::Timers;
use crate::platform::cgroup::Group;
use crate::platform::process::{Child, Exit, SpawnError, SpawnJob, SpawnSpec, Spawned, Spawner, Status, Term};
use crate::platform::{clock, process, signal};
use crate::wire::message::ToWorker;
use hq_core::agent::{Agent, AgentCommand, AgentEffect, Awaited, KillKind, ProcessEnd, ProcessStatus, SpawnOrder};
use hq_core::attempt::{Attempt, WorkerReport};
use hq_core::limits;
use hq_core::retry::FailureCause;
use hq_core::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Bytes read of the text that a program left for its user.
const ERROR_FILE_BYTES_MAX: usize = 2_048;

/// What a turn works with.
pub(super) struct Turn {
    pub(super) agent: Agent,
    pub(super) inbox: Arc<Inbox>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) spawner: Spawner,
    pub(super) launcher: Launcher,
    pub(super) streams: Streams,
    /// Runs no process.
    pub(super) zero: bool,
    pub(super) timers: Timers,
    pub(super) running: BTreeMap<Attempt, Running>,
    pub(super) worker: u32,
    pub(super) server_uid: String,
    pub(super) report: WorkerReport,
    /// Where threads that start and reap put what happened.
    pub(super) desk: Weak<Desk>,
    pub(super) memory: MemoryWatch,
    pub(super) quick: bool,
    /// What the worker waits for before it ends.
    pub(super) awaited: Awaited,
    pub(super) ended: bool,
    /// Of the lease.
    pub(super) term: Term,
    /// Room for inputs, kept from turn to turn.
    pub(super) inputs: Vec<Input>,
}

/// One launched attempt.
#[derive(Debug, Default)]
pub(super) struct Running {
    child: Option<Child>,
    /// In which it was ordered.
    term: Term,
    /// Waits for its stream directory.
    launch: Option<Box<SpawnSpec>>,
    stream: Option<OpenStream>,
    pump: Option<Pump>,
    exit: Option<(Exit, Time)>,
    drained: Option<Option<String>>,
    remove_if_finished: Vec<PathBuf>,
    task_dir: Option<PathBuf>,
    memory: Option<Guarded>,
}

impl Turn {
    /// Handles everything that has arrived. `false`: the agent has ended, and its departure is in the outbound queue.
    pub(super) fn work(&mut self) -> bool {
        let mut inputs = std::mem::take(&mut self.inputs);
        let mut commands = VecDeque::new();
        while !self.ended && self.inbox.take(&mut inputs) {
            let now = Time(clock::wall_us());
            // The guardian may have ended the tasks while this process was frozen: that is why they ended, not a fault of
            // theirs. What is started below is of this term.
            let term = process::lease_term();
            if std::mem::replace(&mut self.term, term) != term {
                commands.push_back(AgentCommand::LeaseOver);
                self.handle_all(now, &mut commands);
            }
            for input in inputs.drain(..) {
                self.translate(input, &mut commands);
                self.handle_all(now, &mut commands);
            }
        }
        self.inputs = inputs;
        while !self.ended
            && let Some(timer) = self.timers.pop(clock::monotonic())
        {
            commands.push_back(AgentCommand::TimerExpired(timer));
            self.handle_all(Time(clock::wall_us()), &mut commands);
        }
        if self.report != WorkerReport::default() {
            self.outbound.set_backlog(self.agent.has_backlog());
            self.outbound.add(&mut self.report);
        }
        !self.ended
    }

    /// When the next timer runs out.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Whether other threads may carry out turns: not if it involves files that may lie on a slow file system.
    pub(super) fn is_quick(&self) -> bool {
        self.quick && !self.ended
    }

    /// What tasks that did not end in time still hold goes with the worker.
    pub(super) fn end(&mut self) {
        for running in std::mem::take(&mut self.running).into_values() {
            running.pump.iter().for_each(Pump::abandon);
            remove_task_dir(running.task_dir.as_deref());
            running.memory.into_iter().for_each(|guarded| drop(self.memory.end(guarded)));
        }
        self.memory.close();
    }

    fn handle_all(&mut self, now: Time, commands: &mut VecDeque<AgentCommand>) {
        while let Some(command) = commands.pop_front() {
            for effect in self.agent.handle(now, command) {
                if let AgentEffect::Exit { code, leaving } = effect {
                    self.log_end();
                    self.outbound.add(&mut self.report);
                    self.outbound.depart(Departure { code, leaving });
                    self.ended = true;
                } else {
                    self.carry_out(now, effect, commands);
                }
            }
        }
    }

    fn translate(&mut self, input: Input, commands: &mut VecDeque<AgentCommand>) {
        let command = match input {
            Input::Holdings(reply) => {
                self.report = WorkerReport::default();
                self.outbound.open();
                // A connection that broke meanwhile asks again.
                let _ = reply.send(self.agent.holdings());
                return;
            }
            Input::Registered { drop, worker, server_uid } => {
                self.worker = worker;
                self.launcher.set_server_uid(server_uid.clone());
                self.server_uid = server_uid;
                AgentCommand::Registered { drop }
            }
            Input::LeaseOver => AgentCommand::LeaseOver,
            Input::Disowned => AgentCommand::Disowned,
            Input::Lost => {
                self.outbound.close();
                AgentCommand::ServerLost
            }
            Input::Leave(reason) => AgentCommand::Leave(reason),
            Input::Drain => AgentCommand::Drain,
            Input::Server(message) => match command_of(message) {
                Some(command) => command,
                None => return,
            },
            Input::Started(attempt, result, at) => return self.started(attempt, *result, at, commands),
            Input::Exited(attempt, exit, at) => {
                if let Some(running) = self.running.get_mut(&attempt) {
                    running.exit = Some((exit, at));
                }
                self.tell_pump(attempt);
                self.let_go_of_stalled(attempt);
                return self.conclude(attempt, commands);
            }
            Input::MemoryExceeded(attempt, used) => return self.memory_exceeded(attempt, used),
            Input::StreamReady(attempt, result) => return self.stream_ready(attempt, result, commands),
            Input::StreamBroken(attempt) => return self.kill(attempt, KillKind::Kill),
            Input::Drained(attempt, error) => {
                if let Some(running) = self.running.get_mut(&attempt) {
                    running.drained = Some(error);
                }
                return self.conclude(attempt, commands);
            }
        };
        commands.push_back(command);
    }

    fn carry_out(&mut self, now: Time, effect: AgentEffect, commands: &mut VecDeque<AgentCommand>) {
        match effect {
            AgentEffect::Spawn(order) if self.zero => {
                let attempt = order.attempt;
                let status = ProcessStatus::Code(0);
                let end = ProcessEnd { status, error: None, note: None, cause: None, cpu_us: 0, memory_kib: 0 };
                commands.push_back(AgentCommand::SpawnSucceeded { attempt, at: now });
                commands.push_back(AgentCommand::Exited { attempt, end, at: now });
            }
            AgentEffect::Spawn(order) => self.launch(&order, now, commands),
            AgentEffect::Kill { attempt, kind } => self.kill(attempt, kind),
            AgentEffect::Warn { attempt, signal } => self.warn(attempt, signal),
            AgentEffect::Report(mut report) => self.report.append(&mut report),
            AgentEffect::Draining => self.outbound.drain(),
            AgentEffect::Awaits(awaited) => self.awaits(awaited),
            AgentEffect::ArmTimer { after, timer } => {
                self.timers.arm(clock::monotonic().saturating_add(after.to_duration()), timer);
            }
            AgentEffect::DisarmTimer(timer) => self.timers.disarm(timer),
            AgentEffect::ForgetDesc(key) => self.launcher.forget(&key),
            AgentEffect::Exit { .. } => {}
        }
    }

    fn awaits(&mut self, awaited: Awaited) {
        match awaited {
            Awaited::Stopping => log::info!("Waiting for stopping running tasks"),
            Awaited::Finishing => log::info!("Waiting for finishing running tasks"),
            Awaited::Nothing => log::info!("No running tasks remain"),
        }
        self.awaited = awaited;
    }

    fn log_end(&self) {
        match self.awaited {
            Awaited::Nothing => {}
            Awaited::Finishing => log::info!("All running tasks were finished"),
            Awaited::Stopping if self.running.is_empty() => log::info!("All running tasks were stopped"),
            Awaited::Stopping => log::warn!("{} running tasks did not stop in time", self.running.len()),
        }
    }

    fn launch(&mut self, order: &SpawnOrder, now: Time, commands: &mut VecDeque<AgentCommand>) {
        let attempt = order.attempt;
        if process::is_lease_over() {
            return Self::refuse(attempt, now, commands);
        }
        match self.launcher.launch(order) {
            Err(text) => {
                let cause = FailureCause::Start;
                commands.push_back(AgentCommand::SpawnFailed { attempt, text, cause, at: now });
            }
            Ok(Launch { mut spec, remove_if_finished, task_dir, stream_dir, stream_waits: waits }) => {
                if let Some(key) = self.outbound.notices.admit(attempt) {
                    spec.environment.set("HQ_ACCESS_KEY", key);
                }
                self.quick &= remove_if_finished.is_empty() && task_dir.is_none();
                let memory = self.memory.begin(attempt, order.memory);
                let group = memory.as_ref().and_then(Guarded::group);
                let term = self.term;
                let mut running = Running { term, remove_if_finished, task_dir, memory, ..Running::default() };
                match stream_dir {
                    Some(dir) => {
                        running.launch = Some(Box::new(spec));
                        let target = Target { dir, server_uid: self.server_uid.clone(), worker: self.worker, waits };
                        self.streams.open(attempt, target);
                    }
                    None => self.spawn(attempt, term, spec, group),
                }
                self.running.insert(attempt, running);
            }
        }
    }

    /// What a buffer still had from before the end of the lease is another's now. It is refused at once, not when a thread
    /// comes to start it: the next registration may have been answered by then.
    fn refuse(attempt: Attempt, at: Time, commands: &mut VecDeque<AgentCommand>) {
        commands.push_back(AgentCommand::LeaseOver);
        let (text, cause) = (SpawnError::LeaseOver.describe(), FailureCause::Start);
        commands.push_back(AgentCommand::SpawnFailed { attempt, text, cause, at });
    }

    fn spawn(&self, attempt: Attempt, term: Term, spec: SpawnSpec, group: Option<Arc<Group>>) {
        let (on_start, on_end) = (self.desk.clone(), self.desk.clone());
        let job = SpawnJob {
            spec,
            term,
            on_started: Box::new(move |result| {
                enter(group.as_deref(), &result);
                desk::put(&on_start, Input::Started(attempt, Box::new(result), Time(clock::wall_us())));
            }),
            on_exit: Box::new(move |exit| desk::put(&on_end, Input::Exited(attempt, exit, Time(clock::wall_us())))),
        };
        // The queue has room for as many as may be alive, so that this does not happen.
        if self.spawner.submit(job).is_err() {
            let source = std::io::ErrorKind::WouldBlock.into();
            let error = SpawnError::Plumbing { doing: "queueing the start", source };
            self.inbox.put(Input::Started(attempt, Box::new(Err(error)), Time(clock::wall_us())));
        }
    }

    fn stream_ready(
        &mut self,
        attempt: Attempt,
        result: Result<OpenStream, String>,
        commands: &mut VecDeque<AgentCommand>,
    ) {
        let Some(running) = self.running.get_mut(&attempt) else { return };
        match (result, running.launch.take()) {
            (Ok(stream), Some(spec)) => {
                running.stream = Some(stream);
                let group = running.memory.as_ref().and_then(Guarded::group);
                let term = running.term;
                self.spawn(attempt, term, *spec, group);
            }
            (Ok(stream), None) => self.streams.release(attempt, &stream),
            (Err(text), _) => self.failed(attempt, text, FailureCause::Output, Time(clock::wall_us()), commands),
        }
    }

    fn started(
        &mut self,
        attempt: Attempt,
        result: Result<Spawned, SpawnError>,
        at: Time,
        commands: &mut VecDeque<AgentCommand>,
    ) {
        let Some(running) = self.running.get_mut(&attempt) else { return };
        match result {
            Ok(Spawned { child, stdout, stderr, .. }) => {
                running.child = Some(child);
                running.memory.iter().for_each(|guarded| self.memory.started(guarded, child));
                let stream = running.stream.as_ref();
                running.pump = stream.map(|stream| self.streams.pump(attempt, stream, stdout, stderr));
                commands.push_back(AgentCommand::SpawnSucceeded { attempt, at });
                self.tell_pump(attempt);
            }
            Err(error) => {
                if let Some(stream) = running.stream.take() {
                    self.streams.release(attempt, &stream);
                }
                // Nobody has said so yet; what is held is another's now.
                if matches!(error, SpawnError::LeaseOver) && running.term == self.term {
                    commands.push_back(AgentCommand::LeaseOver);
                }
                let cause = if error.concerns_output() { FailureCause::Output } else { FailureCause::Start };
                self.failed(attempt, error.describe(), cause, at, commands);
            }
        }
    }

    fn failed(
        &mut self,
        attempt: Attempt,
        text: String,
        cause: FailureCause,
        at: Time,
        commands: &mut VecDeque<AgentCommand>,
    ) {
        if let Some(running) = self.running.remove(&attempt) {
            remove_task_dir(running.task_dir.as_deref());
            running.memory.into_iter().for_each(|guarded| drop(self.memory.end(guarded)));
        }
        self.outbound.notices.dismiss(attempt);
        commands.push_back(AgentCommand::SpawnFailed { attempt, text, cause, at });
    }

    fn kill(&self, attempt: Attempt, kind: KillKind) {
        let Some(Running { child: Some(child), pump, memory, .. }) = self.running.get(&attempt) else { return };
        if kind == KillKind::Kill {
            memory.iter().for_each(Guarded::kill);
        }
        match kind {
            KillKind::Ask { signal, grace } => child.end(signal, grace.to_duration()),
            KillKind::Kill => child.end(limits::KILL_SIGNAL, Duration::ZERO),
        }
        if let (KillKind::Kill, Some(pump)) = (kind, pump) {
            pump.abandon();
        }
        self.let_go_of_stalled(attempt);
    }

    /// A task that was to end, and whose processes have, does not wait for a stream that cannot be written.
    fn let_go_of_stalled(&self, attempt: Attempt) {
        if let Some(Running { stream: Some(stream), pump: Some(pump), exit: Some(_), .. }) = self.running.get(&attempt)
            && stream.is_stalled()
            && self.agent.early_end(attempt).is_some()
        {
            pump.abandon();
            self.streams.abandon(attempt, stream);
        }
    }

    fn warn(&self, attempt: Attempt, signal: i32) {
        if let Some(Running { child: Some(child), .. }) = self.running.get(&attempt) {
            child.signal(signal);
        }
    }

    /// Says to the stream how the program has ended.
    fn tell_pump(&self, attempt: Attempt) {
        if let Some(Running { pump: Some(pump), exit: Some((exit, _)), .. }) = self.running.get(&attempt) {
            pump.ended(stream_outcome::of(exit.status, self.agent.early_end(attempt)));
        }
    }

    fn memory_exceeded(&mut self, attempt: Attempt, used: u64) {
        let guarded = self.running.get_mut(&attempt).filter(|running| running.exit.is_none());
        let guarded = guarded.and_then(|running| running.memory.as_mut());
        if guarded.is_some_and(|guarded| self.memory.exceeded(guarded, used)) {
            self.kill(attempt, KillKind::Kill);
        }
    }

    /// Tells the agent of an end once the process is gone and its output is where it belongs.
    fn conclude(&mut self, attempt: Attempt, commands: &mut VecDeque<AgentCommand>) {
        let Some(running) = self.running.get(&attempt) else { return };
        if running.exit.is_none() || (running.pump.is_some() && running.drained.is_none()) {
            return;
        }
        let Some(running) = self.running.remove(&attempt) else { return };
        self.outbound.notices.dismiss(attempt);
        let Some((exit, at)) = running.exit else { return };
        let memory = running.memory.map(|guarded| self.memory.end(guarded)).unwrap_or_default();
        let mut error = running.drained.flatten();
        let status = match exit.status {
            Status::Code(code) => ProcessStatus::Code(code),
            Status::Signal(number) => ProcessStatus::Signal(number, signal::name(number)),
            Status::Lost => ProcessStatus::Lost,
        };
        let mut cause = error.as_ref().map(|_| FailureCause::Output);
        if status != ProcessStatus::Code(0) && memory.error.is_some() {
            (error, cause) = (memory.error, Some(FailureCause::OutOfMemory));
        }
        if status == ProcessStatus::Code(0) && error.is_none() {
            running.remove_if_finished.iter().for_each(|path| remove_output(path));
        } else if error.is_none() {
            error = running.task_dir.as_deref().and_then(read_error_file);
        }
        remove_task_dir(running.task_dir.as_deref());
        let cpu_us = exit.utime_us.saturating_add(exit.stime_us);
        let memory_kib = memory.peak_kib.unwrap_or(exit.maxrss_kib);
        let end = ProcessEnd { status, error, note: memory.note, cause, cpu_us, memory_kib };
        commands.push_back(AgentCommand::Exited { attempt, end, at });
    }
}

fn command_of(message: ToWorker) -> Option<AgentCommand> {
    Some(match message {
        ToWorker::Assign(message) => AgentCommand::Assign { shared: message.shared, assignment: message.assignment },
        ToWorker::Cancel(attempts) => AgentCommand::Cancel(attempts),
        ToWorker::Retract(attempts) => AgentCommand::Retract(attempts),
        ToWorker::Acknowledge(number) => AgentCommand::Acknowledge(number),
        ToWorker::Forget(keys) => AgentCommand::Forget(keys),
        ToWorker::Stop(_) => AgentCommand::Leave(hq_core::worker::LostReason::Stopped),
        // Words of a registration, which is over, and of the connection alone.
        ToWorker::Refused(_) | ToWorker::Registered(_) | ToWorker::Heartbeat(_) | ToWorker::Noted(_) => return None,
    })
}

/// Takes a child that has just started into the control group of its task.
fn enter(group: Option<&Group>, result: &Result<Spawned, SpawnError>) {
    if let (Some(group), Ok(Spawned { child, .. })) = (group, result)
        && let Err(error) = group.add(child.pid())
    {
        // It may have ended already.
        log::debug!("Cannot take process {} into its cgroup: {error}", child.pid());
    }
}

fn remove_output(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        log::warn!("Cannot remove {}: {error}", path.display());
    }
}

fn remove_task_dir(path: Option<&Path>) {
    if let Some(path) = path
        && let Err(error) = std::fs::remove_dir_all(path)
    {
        log::warn!("Cannot remove {}: {error}", path.display());
    }
}

/// What the program left for its user, if it left anything.
fn read_error_file(task_dir: &Path) -> Option<String> {
    let path = task_dir.join(ERROR_FILE_NAME);
    // Anything but a file, a named pipe say, could hold up this thread.
    std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(ERROR_FILE_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
    if bytes.is_empty() {
        return Some("Task created an error file, but it is empty".to_owned());
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if bytes.len() == ERROR_FILE_BYTES_MAX {
        text.push_str("\n[The message was truncated]");
    }
    Some(text)
}
