//! History of a server that keeps no journal: the past is put together from the state, and what comes is told as it
//! happens.
//!
//! The session listens first; what happened before is the past. It asks the turn for moments in slices, keeps the
//! earliest of all, asks for their events, tells these, and goes on behind them. Meanwhile the state moves on: what was told to
//! the session as new until a slice was looked at is known ([`News`]) and not told as past again.
//!
//! Holds: nothing is lost between the past and what comes, and nothing told twice; the past is told in the order of time;
//! what is kept for a reader is bounded, and one that falls behind too far is told so.

use super::client::{ClientContext, Ended, say};
use super::history::{self, send};
use crate::server::listeners::{Batch, Listener, listener};
use crate::server::turn::{Beginning, Input, Recall, Recalled};
use crate::wire::message::{HistoryRecord, HistoryRequest, Request, Response};
use crate::wire::{Receiver, Sender};
use hq_core::event::{Event, JobSubmitted, ServerStarted, Stamped};
use hq_core::id::WorkerId;
use hq_core::idset::IdSet;
use hq_core::limits;
use hq_core::time::Time;
use hq_core::view::{Earliest, ForgottenDetails, Moment, Spot, Window, recalled_submit};
use news::News;
use serde_bytes::ByteBuf;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

mod news;

/// Answers a request for history where there is no journal.
pub(super) async fn tell(
    (receiver, sender): (&mut Receiver, &mut Sender),
    context: &ClientContext,
    request: HistoryRequest,
    follows: bool,
) -> Result<(), Ended> {
    let (to, listener) = listener();
    let Recalled::Listening(beginning) = ask(context, Recall::Listen(to)).await? else { return Err(Ended) };
    let news = News::after(beginning.last_job, beginning.last_worker);
    let jobs = Arc::new(request.jobs);
    let mut reading = Reading { context, jobs, listener, beginning, news, waiting: VecDeque::new() };
    reading.tell_past(sender).await?;
    say(sender, &Response::Events(Vec::new())).await?;
    if follows { reading.tell_news(receiver, sender).await } else { Ok(()) }
}

/// What the journal was allowed to forget; nothing where that cannot be told soon, as while the disk refuses.
pub(super) async fn forgotten(context: &ClientContext) -> ForgottenDetails {
    let asked = tokio::time::timeout(limits::FORGOTTEN_PATIENCE_SPAN.to_duration(), ask(context, Recall::Forgotten));
    match asked.await {
        Ok(Ok(Recalled::Forgotten(details))) => details,
        _ => ForgottenDetails::default(),
    }
}

async fn ask(context: &ClientContext, question: Recall) -> Result<Recalled, Ended> {
    let (to, answer) = oneshot::channel();
    context.inbox.send(Input::Recall { question, to }).await.map_err(|_| Ended)?;
    answer.await.map(|released| released.into_inner()).map_err(|_| Ended)
}

/// What a session knows while it tells history.
struct Reading<'a> {
    context: &'a ClientContext,
    jobs: Arc<Option<IdSet>>,
    listener: Listener,
    beginning: Beginning,
    news: News,
    /// Events that arrived while the past was told.
    waiting: VecDeque<Arc<Batch>>,
}

impl Reading<'_> {
    async fn tell_past(&mut self, sender: &mut Sender) -> Result<(), Ended> {
        if self.jobs.is_none() {
            let Beginning { started, server_uid, epoch, .. } = self.beginning.clone();
            let version = self.context.record.version.clone();
            let event = Event::ServerStarted(ServerStarted { server_uid, epoch, version });
            self.tell_events(sender, vec![Stamped { at: started, event }]).await?;
        }
        let Beginning { now, last_job, .. } = self.beginning;
        let jobs = Arc::clone(&self.jobs);
        let mut next = Some(Window { after: None, before: None, until: now, last_job, jobs });
        while let Some(window) = next {
            let (moments, rest) = self.earliest(window).await?;
            for moments in moments.chunks(limits::RECALL_EVENTS) {
                let Recalled::Events(events) = ask(self.context, Recall::Events(moments.to_vec())).await? else {
                    return Err(Ended);
                };
                self.hear();
                self.tell_events(sender, events).await?;
            }
            next = rest;
        }
        // Not needed any more.
        self.news = News::default();
        Ok(())
    }

    /// The earliest moments of the window, and the window behind them.
    async fn earliest(&mut self, window: Window) -> Result<(Vec<Moment>, Option<Window>), Ended> {
        let mut earliest = Earliest::new(limits::RECALL_SORTED_MOMENTS, window);
        let mut spot = Some(Spot::Workers(WorkerId(0)));
        while let Some(from) = spot {
            let question = Recall::Moments(from, earliest.window().clone());
            let Recalled::Moments(moments, next) = ask(self.context, question).await? else { return Err(Ended) };
            self.hear();
            moments.into_iter().filter(|moment| !self.news.has(moment)).for_each(|moment| earliest.add(moment));
            spot = next;
        }
        Ok(earliest.finish())
    }

    /// Takes note of what is new.
    fn hear(&mut self) {
        while let Some(batch) = self.listener.try_next() {
            for (_, record) in &batch.events {
                if let Ok(event) = Event::decode_body(record.kind, &record.body) {
                    self.news.note(&event);
                }
            }
            self.waiting.push_back(batch);
        }
    }

    async fn tell_events(&self, sender: &mut Sender, events: Vec<Stamped>) -> Result<(), Ended> {
        let news = &self.news;
        let is_past = |stamped: &Stamped| match &stamped.event {
            Event::JobSubmitted(submitted) => !news.has_submit(submitted),
            _ => true,
        };
        let events: Vec<Stamped> = events.into_iter().filter(is_past).collect();
        let epoch = self.beginning.epoch.0;
        // Descriptions may be long.
        let encoding = tokio::task::spawn_blocking(move || pages(events, epoch));
        for page in encoding.await.map_err(|_| Ended)? {
            send(sender, self.context, page).await?;
        }
        Ok(())
    }

    async fn tell_news(&mut self, receiver: &mut Receiver, sender: &mut Sender) -> Result<(), Ended> {
        loop {
            let batch = match self.waiting.pop_front() {
                Some(batch) => Some(batch),
                None => tokio::select! {
                    batch = self.listener.next() => batch,
                    // A client that listens says nothing; what arrives now is its end.
                    _ = receiver.recv::<Request>() => return Err(Ended),
                },
            };
            let Some(batch) = batch else { break };
            send(sender, self.context, self.wanted(&batch)).await?;
            self.listener.told(&batch);
            // What was on its way when there was no more room still arrives.
            let is_behind = self.waiting.is_empty() && self.listener.has_lost();
            self.waiting.extend(std::iter::from_fn(|| if is_behind { self.listener.try_next() } else { None }));
            if is_behind && self.waiting.is_empty() {
                break;
            }
        }
        if self.listener.has_lost() {
            return say(sender, &Response::Refused(too_slow())).await;
        }
        // The server ends; so does the stream, in good order.
        history::end(sender).await
    }

    fn wanted(&self, batch: &Batch) -> Vec<HistoryRecord> {
        let jobs = self.jobs.as_ref().as_ref();
        let is_wanted = |job: u32| jobs.is_none_or(|jobs| job != 0 && jobs.contains(job));
        batch.events.iter().filter(|(job, _)| is_wanted(*job)).map(|(_, record)| record.clone()).collect()
    }
}

fn too_slow() -> String {
    let mib = limits::LISTENER_BYTES_MAX / (1024 * 1024);
    format!(
        "events come faster than this reader takes them; this server keeps no journal, and no more than {mib} MiB of events \
         for a reader that falls behind"
    )
}

/// Events as records, in pages.
fn pages(events: Vec<Stamped>, epoch: u32) -> Vec<Vec<HistoryRecord>> {
    let mut pages: Vec<Vec<HistoryRecord>> = Vec::new();
    let mut bytes = usize::MAX;
    for Stamped { at: Time(time_us), event } in events {
        let event = match event {
            Event::JobSubmitted(submitted) => {
                let submit = Arc::new(recalled_submit(&submitted.submit));
                Event::JobSubmitted(JobSubmitted { submit, ..submitted })
            }
            event => event,
        };
        let body = ByteBuf::from(event.encode_body());
        if bytes >= limits::HISTORY_PAGE_BYTES {
            pages.push(Vec::new());
            bytes = 0;
        }
        bytes += body.len() + size_of::<HistoryRecord>();
        let record = HistoryRecord { seq: 0, epoch, time_us, kind: event.kind(), body };
        if let Some(page) = pages.last_mut() {
            page.push(record);
        }
    }
    pages
}
