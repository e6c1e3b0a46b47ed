//! What the turn tells sessions of the past: on a server that keeps no journal all of it, piece by piece, and events as they
//! happen; on another what the journal was allowed to forget.
//!
//! What holds: what a session is told of the past knows of exactly the events that it was told of before; the work for one
//! question is bounded, so that a reader holds up nobody.

use super::Turn;
use crate::eventlog;
use crate::server::commit::{Release, Released};
use crate::server::listeners::{Batch, ListenerSender};
use crate::wire::message::HistoryRecord;
use hq_core::event::{Event, ServerStopped, Stamped};
use hq_core::id::{Epoch, JobId, WorkerId};
use hq_core::limits;
use hq_core::time::Time;
use hq_core::view::{ForgottenDetails, Moment, Spot, Window};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a session asks.
#[derive(Debug)]
pub enum Recall {
    /// To be told of all events from now on.
    Listen(ListenerSender),
    /// For moments, from a spot on.
    Moments(Spot, Window),
    /// For what the journal was allowed to forget.
    Forgotten,
    /// For the events of moments, [`limits::RECALL_EVENTS`] at most.
    Events(Vec<Moment>),
}

/// What it is answered.
#[derive(Debug)]
pub enum Recalled {
    /// Everything up to here is past.
    Listening(Beginning),
    /// Moments, and where to go on.
    Moments(Vec<Moment>, Option<Spot>),
    /// What the journal was allowed to forget.
    Forgotten(ForgottenDetails),
    /// Events.
    Events(Vec<Stamped>),
}

/// Where the past ends.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The time of the turn.
    pub now: Time,
    /// When the server started.
    pub started: Time,
    /// Its uid.
    pub server_uid: String,
    /// Number of the start.
    pub epoch: Epoch,
    /// The last job.
    pub last_job: JobId,
    /// The last worker.
    pub last_worker: WorkerId,
}

impl Turn {
    /// Answers by way of the commit thread, so that the answer comes behind all events that it knows of.
    pub(super) fn recall(&mut self, question: Recall, to: oneshot::Sender<Released<Recalled>>) {
        let state = self.machine.state();
        let answer = match question {
            Recall::Moments(spot, window) => {
                let (moments, next) = state.recall(spot, &window, limits::RECALL_SLICE_THINGS);
                Recalled::Moments(moments, next)
            }
            Recall::Forgotten => Recalled::Forgotten(state.view_forgotten()),
            Recall::Events(moments) => {
                Recalled::Events(state.recall_events(moments.get(..limits::RECALL_EVENTS).unwrap_or(&moments)))
            }
            Recall::Listen(listener) => {
                let beginning = Beginning {
                    now: self.now,
                    started: state.started,
                    server_uid: state.server_uid.clone(),
                    epoch: state.epoch,
                    last_job: state.last_job,
                    last_worker: state.last_worker,
                };
                self.listeners.push(listener);
                Recalled::Listening(beginning)
            }
        };
        self.group.releases.push(Release::Recalled { to, answer: Box::new(answer) });
        self.group.urgent = true;
    }

    /// Tells those who listen. Nobody is told of the end of the server: connections are closed instead.
    pub(super) fn tell(&mut self, events: &[Stamped]) {
        if self.listeners.is_empty() || events.is_empty() {
            return;
        }
        self.listeners.retain(|listener| !listener.is_gone());
        let stop = Event::ServerStopped(ServerStopped {}).kind();
        let epoch = self.machine.state().epoch;
        let drafts = events.iter().map(eventlog::draft).filter(|draft| draft.kind != stop);
        let told = drafts.map(|draft| {
            let (time_us, kind, body) = (draft.time_us, draft.kind, ByteBuf::from(draft.body));
            (draft.job, HistoryRecord { seq: 0, epoch: epoch.0, time_us, kind, body })
        });
        let batch = Arc::new(Batch::new(told.collect()));
        for listener in &self.listeners {
            self.group.releases.push(Release::Events { to: listener.clone(), batch: Arc::clone(&batch) });
        }
    }
}
