//! The events of the journal for a client: those that are past, and those that come.
//!
//! A reader never touches the writer: the session reads the durable records itself, a page at a time, from where it
//! was, and waits for the durable mark to move. So a client that reads slowly, or not at all, costs one page, and the
//! journal does not know of it. Where no journal is kept, [`recall`] answers instead.
//!
//! Holds: nothing is told before it is durable; between the past and what comes nothing is lost and nothing told twice.

use super::client::{ClientContext, Ended, say};
use super::recall;
use crate::server::commit::CommitWatch;
use crate::server::turn::{ClientSender, Input};
use crate::wire::message::{Empty, HistoryRecord, HistoryRequest, Request, Response};
use crate::wire::{Receiver, Sender};
use hq_core::event::{Event, ServerStopped};
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_journal::{Place, Reader, RecordRef, ReplayError};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Answers [`Request::Flush`]: when everything so far is durable, or when it cannot be made so.
pub(super) async fn flush(sender: &mut Sender, context: &ClientContext) -> Result<(), Ended> {
    let response = match flushed(context).await? {
        Ok(()) => Response::Flushed(Empty {}),
        Err(trouble) => Response::Refused(format!("the journal cannot be written: {trouble}")),
    };
    say(sender, &response).await
}

/// Waits until what the machine has done so far is durable; the trouble that keeps it from being so.
async fn flushed(context: &ClientContext) -> Result<Result<(), String>, Ended> {
    let (to, mut answers): (ClientSender, _) = mpsc::channel(1);
    context.inbox.send(Input::Client { request: Request::Flush(Empty {}), to }).await.map_err(|_| Ended)?;
    let mut health = context.commit.health.clone();
    tokio::select! {
        answer = answers.recv() => match answer.ok_or(Ended)?.into_inner() {
            Response::Refused(reason) => Ok(Err(reason)),
            _ => Ok(Ok(())),
        },
        found = health.wait_for(|health| health.obstacle().is_some()) => {
            Ok(Err(found.map_err(|_| Ended)?.obstacle().unwrap_or_default()))
        }
    }
}

/// Answers [`Request::History`], or with `follows` [`Request::Stream`].
pub(super) async fn tell(
    (receiver, sender): (&mut Receiver, &mut Sender),
    context: &ClientContext,
    request: HistoryRequest,
    follows: bool,
) -> Result<(), Ended> {
    let Some(reader) = context.reader.clone() else {
        return recall::tell((receiver, sender), context, request, follows).await;
    };
    // Without that the last moments may be missing; but who wants the past gets it, whatever ails the disk.
    let _ = flushed(context).await?;
    let CommitWatch { mut durable, .. } = context.commit.clone();
    let until_seq = *durable.borrow_and_update();
    let mut feed = Feed { reader, place: Place::before(request.from_seq), jobs: Arc::new(request.jobs) };
    let mut is_past = true;
    loop {
        let (records, has_more) = match feed.page().await? {
            Ok(page) => page,
            Err(reason) => return say(sender, &Response::Refused(reason)).await,
        };
        let is_over = is_past && (!has_more || feed.place.next_seq() > until_seq);
        let behind = if is_past { records.partition_point(|record| record.seq <= until_seq) } else { 0 };
        let (past, live) = halves(records, behind);
        send(sender, context, past).await?;
        if is_over {
            is_past = false;
            say(sender, &Response::Events(Vec::new())).await?;
        }
        if is_over && !follows {
            return Ok(());
        }
        // Nobody who listens is told of the end of the server: connections are closed instead.
        let stopped = Event::ServerStopped(ServerStopped {}).kind();
        send(sender, context, live.into_iter().filter(|record| record.kind != stopped).collect()).await?;
        if !has_more && !wait(receiver, &mut durable).await? {
            return end(sender).await;
        }
    }
}

/// The server ends; so does the stream, in good order.
pub(super) async fn end(sender: &mut Sender) -> Result<(), Ended> {
    drop(sender.finish().await);
    Err(Ended)
}

fn halves(mut records: Vec<HistoryRecord>, at: usize) -> (Vec<HistoryRecord>, Vec<HistoryRecord>) {
    let live = records.split_off(at);
    (records, live)
}

/// Waits for something new; false when nothing will come any more.
async fn wait(receiver: &mut Receiver, durable: &mut tokio::sync::watch::Receiver<u64>) -> Result<bool, Ended> {
    tokio::select! {
        changed = durable.changed() => Ok(changed.is_ok()),
        // A client that listens says nothing; what arrives now is its end.
        _ = receiver.recv::<Request>() => Err(Ended),
    }
}

/// Sends a page, unless it is empty. While the client takes its time only the encoded page is kept; when the server
/// ends meanwhile, the client is not waited for.
pub(super) async fn send(
    sender: &mut Sender,
    context: &ClientContext,
    records: Vec<HistoryRecord>,
) -> Result<(), Ended> {
    if records.is_empty() {
        return Ok(());
    }
    sender.queue(&Response::Events(records)).map_err(|_| Ended)?;
    let mut durable = context.commit.durable.clone();
    let over = async {
        while durable.changed().await.is_ok() {}
        tokio::time::sleep(limits::SERVER_STOP_SPAN.to_duration() / 4).await;
    };
    tokio::select! {
        sent = sender.flush() => sent.map_err(|_| Ended),
        () = over => Err(Ended),
    }
}

/// A reading of the journal.
struct Feed {
    reader: Reader,
    place: Place,
    jobs: Arc<Option<IdSet>>,
}

/// Some records, and whether there are more; or why the journal cannot be read.
type Page = Result<(Vec<HistoryRecord>, bool), String>;

impl Feed {
    /// Reads the next page, on a thread that may wait for the disk.
    async fn page(&mut self) -> Result<Page, Ended> {
        let (reader, mut place, jobs) = (self.reader.clone(), self.place.clone(), Arc::clone(&self.jobs));
        let reading = tokio::task::spawn_blocking(move || {
            let page = read_page(&reader, &mut place, jobs.as_ref().as_ref());
            (page, place)
        });
        let (page, place) = reading.await.map_err(|_| Ended)?;
        self.place = place;
        Ok(page)
    }
}

/// Why reading ended before the last record.
#[derive(Debug)]
struct Full;

fn read_page(reader: &Reader, place: &mut Place, jobs: Option<&IdSet>) -> Page {
    let (mut records, mut bytes, mut seen) = (Vec::new(), 0, 0);
    let read = reader.resume(place, &mut |record| {
        seen += 1;
        if jobs.is_none_or(|jobs| record.header.job != 0 && jobs.contains(record.header.job)) {
            bytes += record.body.len() + size_of::<HistoryRecord>();
            records.push(travelling(&record));
        }
        let is_full = bytes >= limits::HISTORY_PAGE_BYTES || seen >= limits::HISTORY_PAGE_SCANNED_MAX;
        if is_full { Err(Full) } else { Ok(()) }
    });
    match read {
        Ok(_) => Ok((records, false)),
        Err(ReplayError::Stopped(Full)) => Ok((records, true)),
        Err(ReplayError::Journal(error)) => Err(error.to_string()),
    }
}

fn travelling(record: &RecordRef<'_>) -> HistoryRecord {
    HistoryRecord {
        seq: record.header.seq,
        epoch: record.header.epoch,
        time_us: record.header.time_us,
        kind: record.header.kind,
        body: ByteBuf::from(record.body.to_vec()),
    }
}
