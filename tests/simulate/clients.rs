//! Clients: what they ask, and what they were told.
//!
//! What a client was told is a claim: from then on it has to be in the journal, whatever happens.
//!
//! Holds: a claim is made at the moment in which the answer leaves the server.

use crate::book::Claim;
use crate::world::{Event, World};
use hq_core::act::{Action, CancelAction, HoldAction, ReleaseAction, RetryAction, TaskChange};
use hq_core::cbor;
use hq_core::command::Command;
use hq_core::event::Event as Happened;
use hq_core::id::{JobId, TaskId, TaskRef};
use hq_core::idset::IdSet;
use hq_core::resource::{Amount, ResourceRequest};
use hq_core::view::{JobState, TaskState};
use hyperqueue::server::commit::Released;
use hyperqueue::server::requests::Retryable;
use hyperqueue::server::session;
use hyperqueue::server::turn::Input;
use hyperqueue::wire::message::{
    ActRequest, CancelRequest, DrainRequest, Empty, ForgetRequest, JobCloseStatus, OpenRequest, Request, Response,
    Selector, SelectorKind, TaskPageRequest, WhyRequest, WorkerStopStatus,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::sync::{mpsc, oneshot};

/// One request under way.
pub struct Ask {
    request: Request,
    answers: Option<mpsc::Receiver<Released<Response>>>,
    retryable: Option<oneshot::Receiver<Result<Retryable, String>>>,
    /// The last answer has left the server.
    is_told: bool,
    /// Jobs that are waited for.
    pub waits_for: Vec<JobId>,
}

/// All clients together.
#[derive(Default)]
pub struct Clients {
    pub asks: BTreeMap<u64, Ask>,
    last: u64,
    /// Jobs of which somebody had tasks run again.
    pub reruns: BTreeSet<JobId>,
    pub names: u64,
    /// What left the server, with the last durable record of that moment.
    pub claims: VecDeque<(u64, Claim)>,
    pub waited: u64,
}

impl Clients {
    pub fn request_of(&self, ask: u64) -> Option<&Request> {
        self.asks.get(&ask).map(|ask| &ask.request)
    }

    /// Nothing more comes from there.
    pub fn forget_answers(&mut self, ask: u64) {
        if let Some(ask) = self.asks.get_mut(&ask) {
            ask.answers = None;
        }
    }
}

fn ids(ids: impl IntoIterator<Item = u32>) -> Selector {
    Selector { kind: SelectorKind::Ids, ids: IdSet::from_sorted(ids) }
}

impl World {
    /// Some client does something.
    pub fn client(&mut self) {
        if !self.faults_on {
            return;
        }
        let mean = self.settings.client_us;
        let after = self.dice.within(mean / 8, mean * 2);
        self.at(after, Event::Client);
        let request = self.random_request();
        self.request(&request);
        if let Request::Cancel(CancelRequest { selector, .. }) = &request
            && self.dice.permille(500)
        {
            let action = Action::Retry(RetryAction { states: vec![TaskState::Canceled] });
            self.request(&Request::Act(ActRequest { selector: selector.clone(), tasks: None, action }));
        }
    }

    /// Sends a request, which may be lost.
    pub fn request(&mut self, request: &Request) {
        if self.dice.permille(self.settings.client_loss) {
            return;
        }
        if let Request::Act(ActRequest { selector, action: Action::Retry(_), .. }) = request {
            self.clients.reruns.extend(selector.ids.iter().map(JobId));
        }
        self.clients.last += 1;
        let number = self.clients.last;
        let bytes = cbor::encode(request);
        self.trace.bytes(&bytes);
        let request = match cbor::decode::<Request>(&bytes) {
            Ok(request) => request,
            Err(error) => return self.fail(format!("a request is not understood: {error:?}")),
        };
        let ask = Ask { request, answers: None, retryable: None, is_told: false, waits_for: Vec::new() };
        self.clients.asks.insert(number, ask);
        let way = self.latency();
        self.at(way, Event::Ask { ask: number });
    }

    /// A request reaches the server, if there is one.
    pub fn ask(&mut self, number: u64) {
        if self.host.frozen_until > self.now {
            return self.at(self.host.frozen_until - self.now, Event::Ask { ask: number });
        }
        let Some(process) = self.host.process.as_mut().filter(|process| process.listens) else {
            self.clients.asks.remove(&number);
            return;
        };
        let Some(ask) = self.clients.asks.get_mut(&number) else { return };
        let request = ask.request.clone();
        self.trace.say(self.now, || format!("client asks: {request:?}"));
        if let Request::Wait(selector) = &request {
            // Nobody waits for what is not there.
            let jobs = &process.turn.machine().state().jobs;
            ask.waits_for = selector.ids.iter().map(JobId).filter(|job| jobs.contains_key(job)).collect();
        }
        if let Request::Act(ActRequest { selector, action: Action::Retry(action), .. }) = request {
            let (to, found) = oneshot::channel();
            ask.retryable = Some(found);
            process.inbox.push(Input::Retryable { selector, action, to });
        } else {
            let (to, answers) = mpsc::channel(64);
            ask.answers = Some(answers);
            process.inbox.push(Input::Client { request, to });
        }
        self.turn_soon();
    }

    /// Takes what was released for clients.
    pub fn pump_clients(&mut self) {
        let Some(process) = &mut self.host.process else { return };
        let durable = process.reader.durable().seq;
        let (mut told, mut retries, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for (number, ask) in &mut self.clients.asks {
            if let Some(Ok(found)) = ask.retryable.as_mut().map(oneshot::Receiver::try_recv) {
                ask.retryable = None;
                retries.extend(found.ok().map(|found| (*number, found)));
            }
            if let Some(answers) = &mut ask.answers {
                let end = loop {
                    match answers.try_recv() {
                        Ok(answer) => {
                            let answer = answer.into_inner();
                            ask.is_told |= !matches!(answer, Response::Progress(_) | Response::Noticed(_));
                            told.push((*number, answer));
                        }
                        Err(end) => break end,
                    }
                };
                if end == mpsc::error::TryRecvError::Disconnected && !ask.is_told {
                    dropped.push(*number);
                }
            }
        }
        for (number, found) in retries {
            self.retry(number, &found);
        }
        for (number, response) in told {
            self.told(number, durable, &response);
        }
        for number in dropped {
            self.ask_again(number);
        }
    }

    /// The session has read what completed jobs lack.
    fn retry(&mut self, number: u64, found: &Retryable) {
        let Some(process) = &mut self.host.process else { return };
        let Some(ask) = self.clients.asks.get_mut(&number) else { return };
        let Request::Act(ActRequest { tasks, action, .. }) = &ask.request else { return };
        let jobs: Vec<JobId> = found.whole.iter().chain(&found.slim).copied().collect();
        let restored = found.slim.iter().map(|job| (*job, session::submits_of(&process.reader, *job))).collect();
        let command = Command::Act { jobs, tasks: tasks.clone(), action: action.clone(), restored };
        let (to, answers) = mpsc::channel(64);
        ask.answers = Some(answers);
        process.inbox.push(Input::Retry { command: Box::new(command), to });
        self.turn_soon();
    }

    /// An answer leaves the server. What it says has to be durable now; it may be lost on its way all the same.
    fn told(&mut self, number: u64, durable: u64, response: &Response) {
        self.trace.say(self.now, || format!("  a client is told {response:?}"));
        self.trace.note(&[number, durable]);
        let Some(ask) = self.clients.asks.get(&number) else { return };
        let claims = claims(&ask.request, &ask.waits_for, response);
        self.clients.claims.extend(claims.into_iter().map(|claim| (durable, claim)));
        let is_end = ask.is_told;
        self.note_refusal(number, response);
        if is_end {
            let after = self.latency();
            self.at(after, Event::Answer { ask: number });
        }
    }

    /// An answer arrives.
    pub fn answered(&mut self, number: u64) {
        if let Some(ask) = self.clients.asks.remove(&number) {
            self.clients.waited += u64::from(!ask.waits_for.is_empty());
        }
    }

    /// Connections of clients end with the server.
    pub fn drop_clients(&mut self) {
        self.clients.asks.retain(|_, ask| ask.answers.is_none() && ask.retryable.is_none());
    }

    /// A job that may exist.
    fn some_job(&mut self) -> u32 {
        let last = self.machine().map_or(0, |machine| machine.state().last_job.0);
        let back = self.dice.span(1, u64::from(last).max(1)) as u32;
        (last + 1).saturating_sub(back).max(1)
    }

    fn some_tasks(&mut self) -> Option<IdSet> {
        let first = self.dice.below(12) as u32;
        let more = self.dice.below(6) as u32;
        self.dice.permille(600).then(|| IdSet::range(first, first + more))
    }

    fn random_request(&mut self) -> Request {
        let job = self.some_job();
        match self.dice.below(100) {
            0..45 => Request::Submit(self.random_submit()),
            45..48 => Request::Cancel(CancelRequest { selector: ids([job]), reason: Some("enough".into()) }),
            48..52 => {
                let max_fails = self.dice.permille(300).then(|| self.dice.below(4) as u32);
                let tags = BTreeMap::new();
                Request::OpenJob(OpenRequest { name: self.name(), max_fails, tags })
            }
            52..55 => Request::CloseJobs(ids([job])),
            55..58 => {
                let states = vec![JobState::Finished, JobState::Failed, JobState::Canceled, JobState::Aborted];
                Request::Forget(ForgetRequest { selector: ids([job, job + 1]), states })
            }
            58..75 => {
                let (tasks, action) = (self.some_tasks(), self.random_action());
                Request::Act(ActRequest { selector: ids([job]), tasks, action })
            }
            75..82 => Request::Wait(ids([job])),
            82..86 => Request::Tasks(TaskPageRequest { job: JobId(job), limit: 1_000, ..TaskPageRequest::default() }),
            86..89 => Request::JobList(Empty {}),
            89..92 => Request::Why(WhyRequest { selector: ids([job]), task: Some(TaskId(0)) }),
            92..94 => Request::Why(WhyRequest { selector: ids([job]), task: None }),
            94..96 => Request::JobDetails(ids([job])),
            96..98 => {
                let worker = self.some_worker();
                Request::StopWorkers(ids([worker]))
            }
            _ => {
                let timeout = self.dice.permille(500).then(|| hq_core::time::Span::from_ms(self.dice.span(10, 20_000)));
                let selector = ids([self.some_worker()]);
                Request::DrainWorkers(DrainRequest { selector, timeout })
            }
        }
    }

    fn some_worker(&mut self) -> u32 {
        let ids: Vec<u32> =
            self.machine().map(|machine| machine.state().workers.keys().map(|id| id.0).collect()).unwrap_or_default();
        self.dice.pick(&ids).copied().unwrap_or(1)
    }

    fn random_action(&mut self) -> Action {
        match self.dice.below(10) {
            0..3 => Action::Hold(HoldAction {}),
            3..5 => Action::Release(ReleaseAction {}),
            5 => Action::Cancel(CancelAction { reason: None }),
            6..8 => {
                let cpus = self.dice.within(1, 4) as u32;
                let request = self.dice.permille(500).then(|| ResourceRequest::cpus(Amount::units(cpus)));
                let priority = self.dice.permille(500).then(|| self.dice.below(3) as i32 - 1);
                let max_fails = self.dice.permille(200).then(|| self.dice.below(5) as u32);
                Action::Modify(TaskChange { request, priority, max_fails, ..TaskChange::default() })
            }
            _ => {
                let all = [TaskState::Finished, TaskState::Failed, TaskState::Canceled, TaskState::Aborted];
                let states = all.into_iter().filter(|_| self.dice.permille(300)).collect();
                Action::Retry(RetryAction { states })
            }
        }
    }

    pub fn name(&mut self) -> String {
        self.clients.names += 1;
        format!("name{}", self.clients.names)
    }
}

/// What an answer says that has to be in the journal.
fn claims(request: &Request, waited: &[JobId], response: &Response) -> Vec<Claim> {
    match (request, response) {
        (Request::Submit(submit), Response::Submitted(job)) => {
            vec![Claim::Submitted { job: *job, tasks: submit.submit.ids.len(), name: submit.name.clone() }]
        }
        (Request::OpenJob(open), Response::Submitted(job)) => {
            vec![Claim::Submitted { job: *job, tasks: 0, name: open.name.clone() }]
        }
        (_, Response::Canceled(results)) => {
            let canceled = results.iter().filter(|result| result.canceled > 0);
            canceled.map(|result| Claim::Did { job: result.job, kind: kind_of_cancel() }).collect()
        }
        (_, Response::Closed(results)) => {
            let closed = results.iter().filter(|result| result.status == JobCloseStatus::Closed);
            let kind = Happened::JobClosed(Default::default()).kind();
            closed.map(|result| Claim::Did { job: result.job, kind }).collect()
        }
        (Request::Forget(request), Response::Forgotten(result)) => {
            let jobs = request.selector.ids.iter().map(JobId).collect();
            vec![Claim::Forgotten { jobs, count: result.forgotten }]
        }
        (Request::Act(request), Response::Acted(acted)) => {
            let touched = acted.iter().filter(|acted| acted.touched > 0);
            touched.filter_map(|acted| Some(Claim::DidOne { job: acted.job, kinds: kinds(&request.action)? })).collect()
        }
        (_, Response::Waited(_)) => waited.iter().map(|job| Claim::Completed { job: *job }).collect(),
        (_, Response::Tasks(Some(page))) => {
            let Request::Tasks(asked) = request else { return Vec::new() };
            let ended = page.tasks.iter().filter(|task| task.state.is_final());
            ended
                .map(|task| Claim::Ended { task: TaskRef { job: asked.job, task: task.id }, state: task.state })
                .collect()
        }
        (_, Response::Jobs(jobs)) => jobs.iter().map(|job| Claim::Counts { job: job.id, counts: job.counts }).collect(),
        (_, Response::WorkersStopped(results)) => {
            let stopped = results.iter().filter(|result| result.status == WorkerStopStatus::Stopped);
            stopped.map(|result| Claim::Told { worker: result.worker }).collect()
        }
        _ => Vec::new(),
    }
}

fn kind_of_cancel() -> u16 {
    Happened::JobCanceled(Default::default()).kind()
}

fn kinds(action: &Action) -> Option<Vec<u16>> {
    let (named, job) = (Default::default(), Default::default());
    Some(match action {
        Action::Cancel(_) => vec![Happened::TasksCanceled(Default::default()).kind()],
        Action::Hold(_) => vec![Happened::TasksHeld(named).kind(), Happened::JobHeld(job).kind()],
        Action::Release(_) => vec![Happened::TasksReleased(named).kind(), Happened::JobReleased(job).kind()],
        Action::Retry(_) => vec![Happened::TasksRerun(named).kind()],
        Action::Modify(_) => {
            vec![Happened::TasksModified(Default::default()).kind(), Happened::JobModified(Default::default()).kind()]
        }
    })
}
