//! The session of a client: passes requests to the turn and answers back, one at a time.
//!
//! The server's record and the history of the journal are answered here, since neither needs the machine.

use super::{attempts, retry};
use crate::platform::clock;
use crate::server::turn::{ClientSender, Input};
use crate::wire::message::{ActRequest, HistoryRecord, HistoryRequest, Request, Response};
use crate::wire::{Connection, Receiver, Sender};
use hq_core::act::Action;
use hq_core::limits;
use hq_core::time::Time;
use hq_core::view::ServerView;
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
                let record = ServerView { now, ..(*context.record).clone() };
                sender.send(&Response::Server(record)).await.map_err(|_| Ended)
            }
            Request::History(request) => history(&mut sender, &context, request).await,
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

async fn ask(
    receiver: &mut Receiver,
    sender: &mut Sender,
    context: &ClientContext,
    request: Request,
) -> Result<(), Ended> {
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
    let (to, mut answers): (ClientSender, _) = mpsc::channel(room);
    context.inbox.send(Input::Client { request, to }).await.map_err(|_| Ended)?;
    loop {
        tokio::select! {
            answer = answers.recv() => {
                let response = match (answer.ok_or(Ended)?.into_inner(), &dump_to) {
                    (Response::Dumped(state), Some(path)) => write_dump(path.clone(), state).await,
                    (response, _) => response,
                };
                let last = match response {
                    Response::Progress(_) | Response::Noticed(_) => false,
                    Response::Submitted(_) => !follows,
                    _ => true,
                };
                say(sender, &response).await?;
                if last {
                    return Ok(());
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

async fn history(sender: &mut Sender, context: &ClientContext, request: HistoryRequest) -> Result<(), Ended> {
    let Some(reader) = context.reader.clone() else {
        let refusal = Response::Refused("this server keeps no journal".to_owned());
        return sender.send(&refusal).await.map_err(|_| Ended);
    };
    let (to, mut pages) = mpsc::channel::<Result<Vec<HistoryRecord>, String>>(4);
    let reading = tokio::task::spawn_blocking(move || read_pages(&reader, request.from_seq, &to));
    while let Some(page) = pages.recv().await {
        let response = match page {
            Ok(records) => Response::Events(records),
            Err(reason) => Response::Refused(reason),
        };
        sender.send(&response).await.map_err(|_| Ended)?;
        if matches!(response, Response::Refused(_)) {
            return Ok(());
        }
    }
    drop(reading.await);
    sender.send(&Response::Events(Vec::new())).await.map_err(|_| Ended)
}

/// Reads the durable records into pages; ends early when nobody takes them.
fn read_pages(reader: &Reader, from_seq: u64, to: &mpsc::Sender<Result<Vec<HistoryRecord>, String>>) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    let read = reader.replay(from_seq, &mut |record| {
        bytes += record.body.len() + 64;
        page.push(HistoryRecord {
            seq: record.header.seq,
            epoch: record.header.epoch,
            time_us: record.header.time_us,
            kind: record.header.kind,
            body: ByteBuf::from(record.body.to_vec()),
        });
        if bytes >= limits::HISTORY_PAGE_BYTES {
            bytes = 0;
            return to.blocking_send(Ok(std::mem::take(&mut page))).map_err(|_| "nobody reads".to_owned());
        }
        Ok(())
    });
    let last = match read {
        Ok(_) if page.is_empty() => return,
        Ok(_) => Ok(page),
        Err(error) => Err(error.to_string()),
    };
    drop(to.blocking_send(last));
}
