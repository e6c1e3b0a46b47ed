//! The session of a client: passes requests to the turn and answers back, one at a time.
//!
//! The server's record and the history of the journal are answered here, since neither needs the machine.

use super::inspect::{self, JournalFiles};
use super::{attempts, history, recall, retry};
use crate::platform::clock;
use crate::server::commit::CommitWatch;
use crate::server::turn::{ClientSender, Input};
use crate::wire::message::{ActRequest, FollowRequest, Request, Response, Selector, SelectorKind};
use crate::wire::{Connection, Receiver, Sender};
use hq_core::act::Action;
use hq_core::id::JobId;
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::time::Time;
use hq_core::view::{ForgottenDetails, ServerView};
use hq_journal::Reader;
use serde_bytes::ByteBuf;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What all sessions of clients share.
#[derive(Clone)]
pub struct ClientContext {
    /// To the turn.
    pub inbox: mpsc::Sender<Input>,
    /// The record.
    pub record: Arc<ServerView>,
    /// The journal's durable records.
    pub reader: Option<Reader>,
    /// The journal's files.
    pub files: JournalFiles,
    /// How far it is durable.
    pub commit: CommitWatch,
    /// Held while a request is answered: the server ends when nobody holds it.
    pub busy: mpsc::WeakSender<()>,
}

/// Serves a client until it ends.
pub async fn serve(connection: Connection, context: ClientContext) {
    let (mut receiver, mut sender) = connection.split();
    while let Ok(Some(request)) = receiver.recv::<Request>().await {
        let Some(_busy) = context.busy.upgrade() else { return };
        let answered = match request {
            Request::ServerInfo(_) => {
                let now = Time(clock::wall_us());
                let trouble = context.commit.health.borrow().trouble.clone();
                let keeps = context.reader.is_some() && trouble.is_none();
                let forgotten = if keeps { recall::forgotten(&context).await } else { ForgottenDetails::default() };
                let record = ServerView { now, trouble, forgotten, ..(*context.record).clone() };
                sender.send(&Response::Server(record)).await.map_err(|_| Ended)
            }
            Request::History(request) => history::tell((&mut receiver, &mut sender), &context, request, false).await,
            Request::Stream(request) => history::tell((&mut receiver, &mut sender), &context, request, true).await,
            Request::Flush(_) => history::flush(&mut sender, &context).await,
            Request::JournalInfo(_) => inspect::tell(&mut sender, &context).await,
            Request::JournalVerify(_) => inspect::check(&mut sender, &context).await,
            Request::Attempts(request) => attempts::answer(&mut sender, &context, request).await,
            Request::Act(ActRequest { selector, tasks, action: Action::Retry(action) }) => {
                retry::answer(&mut sender, &context, selector, tasks, action).await
            }
            request => ask(&mut receiver, &mut sender, &context, request).await,
        };
        if answered.is_err() {
            return;
        }
    }
    // A client that says goodbye is answered; one that is gone does not mind.
    drop(sender.finish().await);
}

/// The session cannot go on.
pub(super) struct Ended;

/// Sends an answer; one that is too large is replaced by a refusal that says so.
pub(super) async fn say(sender: &mut Sender, response: &Response) -> Result<(), Ended> {
    match sender.send(response).await {
        Err(crate::wire::Error::MessageTooLarge { .. }) => {
            let reason = "the answer is too large for one message; please select fewer jobs or tasks".to_owned();
            sender.send(&Response::Refused(reason)).await.map_err(|_| Ended)
        }
        sent => sent.map_err(|_| Ended),
    }
}

/// How one asking ended.
enum Asked {
    /// The last answer was given.
    Answered,
    /// What it was about to hear was never recorded; the job that it had been told of before is there all the same.
    TakenBack(Option<JobId>),
}

/// Asks the turn, again if the state from which the answer came was taken back.
async fn ask(
    receiver: &mut Receiver,
    sender: &mut Sender,
    context: &ClientContext,
    mut request: Request,
) -> Result<(), Ended> {
    loop {
        let question = question(&request);
        let makes_job = matches!(request, Request::SubmitFollowed(_));
        match ask_once(receiver, sender, context, request).await? {
            Asked::Answered => return Ok(()),
            Asked::TakenBack(None) if makes_job => return Err(Ended),
            Asked::TakenBack(job) => request = again(question, job).ok_or(Ended)?,
        }
    }
}

/// The request, as far as it may be asked a second time: a change may not.
fn question(request: &Request) -> Option<Request> {
    match request {
        Request::SubmitFollowed((_, follow)) => Some(Request::Follow(follow.clone())),
        Request::Submit(_)
        | Request::Cancel(_)
        | Request::Act(_)
        | Request::OpenJob(_)
        | Request::CloseJobs(_)
        | Request::Forget(_)
        | Request::StopWorkers(_)
        | Request::DrainWorkers(_)
        | Request::StopServer(_) => None,
        question => Some(question.clone()),
    }
}

/// What to ask instead: who was told of a new job and follows it goes on with that.
fn again(question: Option<Request>, job: Option<JobId>) -> Option<Request> {
    match (question?, job) {
        (Request::Follow(follow), Some(job)) => {
            let selector = Selector { kind: SelectorKind::Ids, ids: IdSet::single(job.0) };
            Some(Request::Follow(FollowRequest { selector, ..follow }))
        }
        (question, _) => Some(question),
    }
}

async fn ask_once(
    receiver: &mut Receiver,
    sender: &mut Sender,
    context: &ClientContext,
    request: Request,
) -> Result<Asked, Ended> {
    let follows = matches!(request, Request::SubmitFollowed(_));
    let hears = match &request {
        Request::Follow(follow) | Request::SubmitFollowed((_, follow)) => follow.notices,
        _ => false,
    };
    let room = if hears { limits::CLIENT_QUEUE_NOTICES_MAX } else { limits::CLIENT_QUEUE_ANSWERS_MAX };
    let dump_to = match &request {
        Request::DebugDump(path) => Some(PathBuf::from(path)),
        _ => None,
    };
    let mut told = None;
    let (to, mut answers): (ClientSender, _) = mpsc::channel(room);
    context.inbox.send(Input::Client { request, to }).await.map_err(|_| Ended)?;
    loop {
        tokio::select! {
            answer = answers.recv() => {
                let Some(answer) = answer else { return Ok(Asked::TakenBack(told)) };
                let response = match (answer.into_inner(), &dump_to) {
                    (Response::Dumped(state), Some(path)) => write_dump(path.clone(), state).await,
                    (response, _) => response,
                };
                let last = match response {
                    Response::Progress(_) | Response::Noticed(_) => false,
                    Response::Submitted(job) => {
                        told = Some(job);
                        !follows
                    }
                    _ => true,
                };
                say(sender, &response).await?;
                if last {
                    return Ok(Asked::Answered);
                }
            }
            // A client that waits says nothing; what arrives now is its end.
            _ = receiver.recv::<Request>() => return Err(Ended),
        }
    }
}

/// Writes a dump for its owner's eyes only; a slow disk holds up nobody else.
async fn write_dump(path: PathBuf, state: ByteBuf) -> Response {
    let writing = tokio::task::spawn_blocking(move || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&state)
    });
    match writing.await {
        Ok(Ok(())) => Response::Dumped(ByteBuf::new()),
        Ok(Err(error)) => Response::Refused(format!("Could not write debug dump: {error}")),
        Err(_) => Response::Refused("Could not write debug dump: the server is ending".to_owned()),
    }
}
