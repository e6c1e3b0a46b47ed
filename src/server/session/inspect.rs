//! What is in the journal that this server uses, and whether it holds what it should.
//!
//! Holds: the turn and the commit thread do not know of it; one such request is carried out at a time, since each makes a
//! state of its own.

use super::client::{ClientContext, Ended, say};
use crate::eventlog::{info, verify};
use crate::wire::Sender;
use crate::wire::message::Response;
use hq_journal::{Error, Reader, reading};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// The journal of a server, as files.
#[derive(Clone, Default)]
pub struct JournalFiles {
    dir: Option<PathBuf>,
    turn: Arc<Mutex<()>>,
}

impl JournalFiles {
    /// Of a journal in this directory; none: there is no journal.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, turn: Arc::default() }
    }
}

/// Answers [`crate::wire::message::Request::JournalInfo`].
pub(super) async fn tell(sender: &mut Sender, context: &ClientContext) -> Result<(), Ended> {
    answer(sender, context, |dir, reader| {
        info::gather(dir, reader, &[]).map_or_else(|error| Response::Refused(error.to_string()), Response::JournalInfo)
    })
    .await
}

/// Answers [`crate::wire::message::Request::JournalVerify`].
pub(super) async fn check(sender: &mut Sender, context: &ClientContext) -> Result<(), Ended> {
    answer(sender, context, |dir, reader| {
        checked(dir, reader).map_or_else(|error| Response::Refused(error.to_string()), Response::JournalVerified)
    })
    .await
}

fn checked(dir: &Path, reader: &Reader) -> Result<hq_core::view::JournalCheck, Error> {
    let mut faults = Vec::new();
    let images = reading::images(dir, &mut faults)?;
    let mut check = verify::verify(reader, &images);
    check.damage.splice(0..0, faults);
    Ok(check)
}

async fn answer(
    sender: &mut Sender,
    context: &ClientContext,
    work: impl FnOnce(&Path, &Reader) -> Response + Send + 'static,
) -> Result<(), Ended> {
    let (Some(reader), Some(dir)) = (context.reader.clone(), context.files.dir.clone()) else {
        return say(sender, &Response::Refused("this server keeps no journal".to_owned())).await;
    };
    let turn = context.files.turn.lock().await;
    let working = tokio::task::spawn_blocking(move || work(&dir, &reader));
    let response = working.await.map_err(|_| Ended)?;
    drop(turn);
    say(sender, &response).await
}
