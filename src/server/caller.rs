//! Dials workers that cannot dial the server, and have put their addresses into the server directory.
//!
//! Only the direction of the connection is turned: the worker still begins the handshake and proves its key, so that
//! nothing else is different.
//!
//! What holds: one task for each worker that calls; one that is not there is tried again ever more seldom.

use super::session;
use super::turn::Input;
use crate::access::reverse::{self, Call};
use crate::wire::{self, Identity};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Pause between two looks into the directory, and after a failed call; the latter doubles up to the maximum.
const LOOK_SPAN: Duration = Duration::from_millis(500);
const RETRY_SPAN_MAX: Duration = Duration::from_secs(30);

/// Names of the workers that somebody takes care of.
type Busy = Arc<Mutex<BTreeSet<String>>>;

/// What all calls have in common.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) dir: PathBuf,
    pub(super) identity: Identity,
    pub(super) connections: Arc<AtomicU64>,
    pub(super) inbox: mpsc::Sender<Input>,
}

impl Caller {
    /// Looks and dials until it is dropped.
    pub(super) async fn run(self) {
        let busy = Busy::default();
        let mut tasks = JoinSet::new();
        loop {
            let dir = self.dir.clone();
            let found = tokio::task::spawn_blocking(move || reverse::calls(&dir)).await;
            // A directory that cannot be read now may be readable later.
            for call in found.ok().and_then(Result::ok).unwrap_or_default() {
                let is_new = busy.lock().unwrap_or_else(PoisonError::into_inner).insert(call.name.clone());
                if is_new {
                    tasks.spawn(self.clone().serve(call, Arc::clone(&busy)));
                }
            }
            while tasks.try_join_next().is_some() {}
            sleep(LOOK_SPAN).await;
        }
    }

    /// Serves one worker for as long as its file is there.
    async fn serve(self, call: Call, busy: Busy) {
        let mut pause = LOOK_SPAN;
        loop {
            match wire::receive(&call.addresses, &self.identity).await {
                Ok((connection, address)) => {
                    pause = LOOK_SPAN;
                    let number = self.connections.fetch_add(1, Ordering::Relaxed);
                    session::worker::serve(connection, address, number, self.inbox.clone()).await;
                }
                Err(error) => log::debug!("The worker of {} cannot be reached: {error}", call.name),
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_SPAN_MAX);
            let dir = self.dir.clone();
            let found = tokio::task::spawn_blocking(move || reverse::calls(&dir)).await;
            if !found.is_ok_and(|found| found.is_ok_and(|calls| calls.contains(&call))) {
                break;
            }
        }
        busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&call.name);
    }
}
