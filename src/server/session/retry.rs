//! Having tasks run again: completed jobs get back from the journal what they had dropped.
//!
//! Holds: the submits of one job are in memory at a time, however many jobs are selected.

use super::attempts;
use super::client::{ClientContext, Ended, say};
use crate::server::requests::Retryable;
use crate::server::turn::{ClientSender, Input};
use crate::wire::Sender;
use crate::wire::message::{Response, Selector};
use hq_core::act::{Acted, Action, RetryAction};
use hq_core::command::Command;
use hq_core::id::JobId;
use hq_core::idset::IdSet;
use hq_core::task::SubmitDesc;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

type Restored = Vec<(JobId, Vec<Arc<SubmitDesc>>)>;

/// Carries out a request and answers it.
pub(super) async fn answer(
    sender: &mut Sender,
    context: &ClientContext,
    selector: Selector,
    tasks: Option<IdSet>,
    action: RetryAction,
) -> Result<(), Ended> {
    let (to, found) = oneshot::channel();
    let question = Input::Retryable { selector, action: action.clone(), to };
    context.inbox.send(question).await.map_err(|_| Ended)?;
    let Retryable { whole, slim } = match found.await.map_err(|_| Ended)? {
        Ok(found) => found,
        Err(reason) => return say(sender, &Response::Refused(reason)).await,
    };
    let mut acted: Vec<Acted> = Vec::new();
    let parts = std::iter::once((whole, false)).chain(slim.into_iter().map(|job| (vec![job], true)));
    for (jobs, is_slim) in parts.filter(|(jobs, _)| !jobs.is_empty()) {
        let restored = match jobs.first().filter(|_| is_slim) {
            Some(job) => restored(context, *job).await,
            None => Restored::new(),
        };
        let command = Command::Act { jobs, tasks: tasks.clone(), action: Action::Retry(action.clone()), restored };
        match carry_out(context, command).await? {
            Response::Acted(part) => acted.extend(part),
            // What was done before is done; asked again, it is done once.
            other => return say(sender, &other).await,
        }
    }
    acted.sort_by_key(|acted| acted.job);
    say(sender, &Response::Acted(acted)).await
}

/// What the journal has of the submits of a job.
async fn restored(context: &ClientContext, job: JobId) -> Restored {
    let Some(reader) = context.reader.clone() else { return Restored::new() };
    let reading = tokio::task::spawn_blocking(move || attempts::submits_of(&reader, job));
    reading.await.map(|submits| vec![(job, submits)]).unwrap_or_default()
}

async fn carry_out(context: &ClientContext, command: Command) -> Result<Response, Ended> {
    let (to, mut answers): (ClientSender, _) = mpsc::channel(1);
    context.inbox.send(Input::Retry { command: Box::new(command), to }).await.map_err(|_| Ended)?;
    Ok(answers.recv().await.ok_or(Ended)?.into_inner())
}
