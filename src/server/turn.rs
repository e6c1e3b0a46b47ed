//! The turn: the thread that owns the machine.
//!
//! A turn takes everything that has arrived, hands it to the machine, places once, and passes the events with
//! everything that waits for them to the commit thread. Nothing here touches a disk or a socket, so that a slow one
//! stops nobody but who waits for it.

mod from_workers;
mod recall;
mod setback;

use super::checkpoint::Checkpoints;
use super::commit::{Committer, Group, Release, Released, WorkerSender};
use super::health::HealthWatch;
use super::listeners::ListenerSender;
use super::requests::{self, Plan, Retryable};
use super::sign::Signs;
use super::watch::Watchers;
use super::workers::Links;
use crate::eventlog;
use crate::platform::clock::SteadyClock;
use crate::wire::message::{Empty, PruneResult, Request, Response, Selector, ToServer};
use hq_core::act::RetryAction;
use hq_core::attempt::Registration;
use hq_core::command::{Command, Output, Reply};
use hq_core::event::{AwayReason, Event, Stamped};
use hq_core::id::WorkerId;
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::retention::ForgetCause;
use hq_core::time::{Span, Time};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use recall::{Beginning, Recall, Recalled};
pub use setback::Setback;

/// Where a client's answers go.
pub type ClientSender = mpsc::Sender<Released<Response>>;

/// What sessions and the signal handler tell the turn.
#[derive(Debug)]
pub enum Input {
    /// A client asks.
    Client {
        /// What.
        request: Request,
        /// Whom to answer.
        to: ClientSender,
    },
    /// A session asks which of the jobs have tasks that could run again.
    Retryable {
        /// Which jobs.
        selector: Selector,
        /// Which tasks.
        action: RetryAction,
        /// Whom to answer.
        to: oneshot::Sender<Result<Retryable, String>>,
    },
    /// A client has tasks run again; the session has read what completed jobs lack.
    Retry {
        /// What.
        command: Box<Command>,
        /// Whom to answer.
        to: ClientSender,
    },
    /// A worker registers.
    Register {
        /// What it says.
        registration: Box<Registration>,
        /// Number of its connection.
        connection: u64,
        /// Where that comes from.
        address: SocketAddr,
        /// Where its messages go.
        to: WorkerSender,
        /// Tells the session who it is.
        id: oneshot::Sender<Result<WorkerId, String>>,
    },
    /// A worker tells something.
    Worker {
        /// Who.
        worker: WorkerId,
        /// Over which connection.
        connection: u64,
        /// What.
        message: ToServer,
    },
    /// A worker's connection has ended.
    Gone {
        /// Who.
        worker: WorkerId,
        /// Which connection.
        connection: u64,
        /// For a worker that has fallen silent, while its process may well be alive: the time since its last word.
        silent: Option<Span>,
    },
    /// Details of completed jobs are to be forgotten: of these, or of all.
    ForgetDetails {
        /// Which jobs.
        jobs: Option<IdSet>,
        /// Why.
        cause: ForgetCause,
        /// Hears when it is durable.
        done: SyncSender<()>,
    },
    /// What another thread answers a client.
    Tell {
        /// Whom.
        to: ClientSender,
        /// What.
        response: Response,
    },
    /// A session asks for what happened.
    Recall {
        /// What.
        question: Recall,
        /// Whom to answer.
        to: oneshot::Sender<Released<Recalled>>,
    },
    /// The process was told to end; workers keep running.
    Shutdown,
}

/// The turn's thread.
pub struct Turn {
    machine: Machine,
    committer: Committer,
    health: HealthWatch,
    /// What is needed to go back to the durable state; none without a journal.
    setback: Option<Setback>,
    /// Whether nothing can be recorded: questions are answered, and nothing else happens.
    cut_off: bool,
    checkpoints: Option<Checkpoints>,
    links: Links,
    watchers: Watchers,
    /// Who is told of events where no journal is kept.
    listeners: Vec<ListenerSender>,
    /// Idle timeout of workers that have none of their own.
    idle_timeout: Option<Span>,
    now: Time,
    clock: SteadyClock,
    /// Whether silent workers know that this server lives.
    signs: Option<Arc<Signs>>,
    group: Group,
    /// Set when the server is to end: when at the latest.
    ending: Option<Time>,
}

impl Turn {
    /// A turn around a machine, whose state knows of nothing after `latest`: its clock does not begin before.
    pub fn new(
        machine: Machine,
        committer: Committer,
        checkpoints: Option<Checkpoints>,
        idle_timeout: Option<Span>,
        latest: Time,
    ) -> Self {
        let (links, watchers, signs, ending) = (Links::default(), Watchers::default(), None, None);
        let (clock, now) = (SteadyClock::not_before(latest.0), latest);
        let (health, setback, cut_off) = (committer.health(), None, false);
        Self {
            machine,
            committer,
            health,
            setback,
            cut_off,
            checkpoints,
            links,
            watchers,
            listeners: Vec::new(),
            idle_timeout,
            now,
            clock,
            signs,
            group: Group { ticket: 1, ..Group::default() },
            ending,
        }
    }

    /// After a disk that refused, the state is read back with this.
    pub fn fall_back_on(&mut self, setback: Setback) {
        self.setback = Some(setback);
    }

    /// Silent workers are judged by these signs of life from now on.
    pub(super) fn watch_signs(&mut self, signs: Arc<Signs>) {
        self.signs = Some(signs);
    }

    /// Runs the first command, which makes the start itself durable; `done` hears when it is.
    pub fn begin(&mut self, command: Command, done: SyncSender<()>) {
        let now = Time(self.clock.now_us());
        self.begin_at(now, command, done);
    }

    /// As [`begin`](Self::begin), at this time.
    pub fn begin_at(&mut self, now: Time, command: Command, done: SyncSender<()>) {
        self.now = now.max(self.now);
        self.command(command);
        self.group.releases.push(Release::Done(done));
        self.group.urgent = true;
        self.hand_over();
    }

    /// Runs until the server is to end; then everything is durable or on its way, and `done` hears when it is.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Input>, done: SyncSender<()>) {
        let mut inputs = Vec::new();
        let mut more = false;
        while !self.is_over() {
            let wake = self.wake_at();
            if !more {
                tokio::select! {
                    count = inbox.recv_many(&mut inputs, limits::TURN_COMMANDS_MAX) => if count == 0 { break },
                    () = tokio::time::sleep_until(wake) => {}
                    Ok(()) = self.health.changed() => {}
                }
            }
            while inputs.len() < limits::TURN_COMMANDS_MAX
                && let Ok(input) = inbox.try_recv()
            {
                inputs.push(input);
            }
            let now = Time(self.clock.now_us());
            let witnessed = self.signs.as_ref().map(|signs| signs.steady_since(now.max(self.now)));
            more = self.step(now, witnessed, inputs.drain(..));
        }
        self.end(done);
    }

    /// One turn: takes what has arrived, places, and hands over what has to become durable. `witnessed` is what silent
    /// workers can know of this server; none when that says nothing. Gives whether the next turn should follow at once.
    ///
    /// The time never goes behind that of the turn before, and has no jumps, whatever the wall clock does: leases are
    /// reckoned by it.
    pub fn step(
        &mut self,
        now: Time,
        witnessed: Option<Option<Time>>,
        inputs: impl ExactSizeIterator<Item = Input>,
    ) -> bool {
        self.now = now.max(self.now);
        if !self.follow_journal() {
            return false;
        }
        if let Some(since) = witnessed {
            self.command(Command::Witnessed(since));
        }
        if inputs.len() == 0 || self.machine.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.command(Command::Tick);
        }
        for input in inputs {
            self.input(input);
        }
        let more = self.place();
        self.hand_over();
        more
    }

    /// The last turn; `done` hears when everything is durable.
    pub fn end(&mut self, done: SyncSender<()>) {
        self.command(Command::StopServer);
        self.group.releases.push(Release::Done(done));
        self.group.urgent = true;
        self.hand_over();
    }

    /// The machine, for looking at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// When the next turn has to be at the latest; none while nothing can be recorded.
    pub fn deadline(&self) -> Option<Time> {
        self.machine.next_deadline().filter(|_| !self.cut_off)
    }

    fn wake_at(&self) -> Instant {
        // Signs may begin to be shown, or cease, without any input.
        let far = Span::from_secs(if self.machine.state().somebody_is_away() { 1 } else { 3_600 });
        let deadline = self.deadline().into_iter().chain(self.ending).min();
        let wait = deadline.map_or(far, |at| at.since(self.now));
        Instant::now() + wait.to_duration()
    }

    /// Whether the server is to end and no worker is left, or they took too long. Those that are away may be on their
    /// way back, and have to hear that they shall end, unless nothing can be recorded.
    pub fn is_over(&self) -> bool {
        let nobody_is_left = self.links.is_empty() && (self.cut_off || !self.machine.state().somebody_is_away());
        self.ending.is_some_and(|end| self.now >= end || nobody_is_left)
    }

    fn command(&mut self, command: Command) -> Reply {
        if self.cut_off {
            return Reply::Refused("nothing can be recorded at present".to_owned());
        }
        let output = self.machine.handle(self.now, command);
        self.absorb(output)
    }

    fn place(&mut self) -> bool {
        if self.ending.is_some() || self.cut_off {
            return false;
        }
        let (output, more) = self.machine.place(self.now);
        self.absorb(output);
        more
    }

    fn absorb(&mut self, output: Output) -> Reply {
        let Output { events, effects, reply } = output;
        self.record(&events);
        events.iter().for_each(log_event);
        let lost = |event: &Event| if let Event::WorkerLost(lost) = event { Some(lost.worker) } else { None };
        events.iter().filter_map(|stamped| lost(&stamped.event)).for_each(|worker| self.links.lost(worker));
        let ticket = self.group.ticket;
        self.links.heed(&events, ticket);
        self.links.deliver(effects, &self.machine, &self.committer, ticket, &mut self.group.releases);
        if self.watchers.notice(self.machine.state(), &events, &mut self.group.releases) {
            self.group.urgent = true;
        }
        reply
    }

    fn record(&mut self, events: &[Stamped]) {
        self.tell(events);
        let known = self.group.drafts.len();
        self.group.drafts.extend(eventlog::drafts(events));
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.count(self.group.drafts.get(known..).unwrap_or_default());
        }
    }

    /// Passes the group of this turn on.
    fn hand_over(&mut self) {
        if self.group.drafts.is_empty() && self.group.releases.is_empty() {
            return;
        }
        let next = Group { ticket: self.group.ticket + 1, life: self.group.life, ..Group::default() };
        self.committer.submit(std::mem::replace(&mut self.group, next));
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Client { request, to } => self.client(request, to),
            Input::Retryable { selector, action, to } => {
                drop(to.send(requests::retryable(self.machine.state(), &selector, &action)));
            }
            Input::Retry { command, to } => self.obey(Plan::Command(*command), to),
            Input::Register { registration, connection, address, to, id } => {
                self.register(registration, (connection, address), to, id);
            }
            Input::Worker { worker, connection, message } => {
                if self.links.is_current(worker, connection) {
                    self.worker(worker, message);
                }
            }
            Input::Gone { worker, connection, silent } => {
                if self.links.is_current(worker, connection) {
                    self.links.close(worker);
                    self.command(match silent {
                        Some(since) => Command::Silent { worker, since },
                        None => Command::Disconnected { worker },
                    });
                }
            }
            Input::ForgetDetails { jobs, cause, done } => {
                // Refused on a disk that refuses; who asked sees that nothing was forgotten.
                drop(self.change(Command::ForgetDetails { jobs, cause }));
                self.group.releases.push(Release::Done(done));
                self.group.urgent = true;
            }
            Input::Tell { to, response } => {
                self.group.releases.push(Release::Answer { to, response, is_change: true });
                self.group.urgent = true;
            }
            Input::Recall { question, to } => self.recall(question, to),
            Input::Shutdown => self.ending = Some(self.now),
        }
    }

    fn client(&mut self, request: Request, to: ClientSender) {
        let plan = requests::plan(self.machine.state(), request);
        self.obey(plan, to);
    }

    fn obey(&mut self, plan: Plan, to: ClientSender) {
        self.group.urgent = true;
        let is_change = matches!(plan, Plan::Command(_) | Plan::CommandWatched(..) | Plan::Flush | Plan::Stop);
        let response = match plan {
            Plan::Answer(response) => response,
            Plan::Command(command) => self.change(command),
            Plan::CommandWatched(command, watch) => {
                let response = self.change(command);
                let job = if let Response::Submitted(job) = response { Some(job) } else { None };
                self.group.releases.push(Release::Answer { to: to.clone(), response, is_change });
                if let Some(job) = job {
                    self.watchers.add(self.machine.state(), vec![job], watch, to, &mut self.group.releases);
                }
                return;
            }
            Plan::Watch(jobs, watch) => {
                self.watchers.add(self.machine.state(), jobs, watch, to, &mut self.group.releases);
                return;
            }
            Plan::Explain(task) => match self.machine.explain(self.now, task) {
                Ok(explanation) => Response::Explained(explanation),
                Err(reason) => Response::Refused(reason),
            },
            Plan::Why(jobs, task) => requests::say_why(&self.machine, self.now, &jobs, task),
            Plan::Flush => match self.health.borrow().obstacle() {
                Some(trouble) => Response::Refused(trouble),
                None => Response::Flushed(Empty {}),
            },
            Plan::Prune => match &self.checkpoints {
                // Without a journal there is nothing that could be pruned.
                None => Response::Pruned(PruneResult::default()),
                Some(checkpoints) if checkpoints.prune(to.clone()) => return,
                Some(_) => Response::Refused("the journal is being pruned already; try again later".to_owned()),
            },
            Plan::Stop => {
                self.stop();
                Response::Stopping(Empty {})
            }
            Plan::Session => Response::Refused("this request is answered by the session".to_owned()),
        };
        self.group.releases.push(Release::Answer { to, response, is_change });
    }

    /// Changes the state, unless that could not be recorded.
    fn change(&mut self, command: Command) -> Response {
        let refusal = self.health.borrow().refusal();
        match refusal {
            Some(reason) => Response::Refused(reason),
            None => requests::response(self.command(command)),
        }
    }

    /// Ends the workers, then the server.
    fn stop(&mut self) {
        log::info!("Received Stop command from client");
        log::info!("Stopping server");
        let workers = self.machine.state().workers.keys().copied().collect();
        self.command(Command::StopWorkers { workers });
        self.ending = Some(self.now.after(limits::SERVER_STOP_SPAN));
    }
}

/// What somebody who reads the server's log wants to see.
fn log_event(stamped: &Stamped) {
    match &stamped.event {
        Event::WorkerLost(lost) => log::info!("Worker {} connection closed: {}", lost.worker, lost.reason.words()),
        Event::WorkerDraining(event) => log::info!("Worker {} is draining", event.worker),
        Event::WorkerAway(away) if away.reason == AwayReason::Silent => {
            log::warn!("Worker {} is silent; its tasks wait for the end of its lease", away.worker);
        }
        Event::WorkerAway(away) => log::warn!("The connection to worker {} is broken; it may come back", away.worker),
        _ => {}
    }
}
