//! `hq worker list`, `info`, `address`, `wait`, `stop` and `drain`.
//!
//! Workers keep their record after they have ended, so all but `wait` know them for as long as the server does.
//!
//! Holds: ascending by id; a worker that does not exist is a log line, not a failure, unless it is the only one asked for.

use crate::client::arguments::{
    WorkerAddressArgs, WorkerDrainArgs, WorkerFilter, WorkerListArgs, WorkerSelectorArgs, WorkerWaitArgs,
};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::link::{Link, selector};
use crate::client::render::{OutputMode, escape, worker};
use crate::grammar::selector::Selector;
use crate::wire::message::{DrainRequest, Request, Response, WorkerStopResult, WorkerStopStatus};
use hq_core::id::WorkerId;
use hq_core::idset::IdSet;
use hq_core::time::Span;
use hq_core::view::WorkerView;
use log::Level;
use serde_json::Value;
use std::time::Duration;

/// Pause between two looks at the workers.
const WAIT_POLL_SPAN: Duration = Duration::from_millis(200);

fn fetch(link: &mut Link, workers: Selector) -> Result<(Vec<WorkerView>, Vec<WorkerId>), Error> {
    match link.ask(&Request::Workers(selector(workers)))? {
        Response::Workers((mut found, missing)) => {
            found.sort_by_key(|worker| worker.id);
            Ok((found, missing))
        }
        _ => Err(Error::Unexpected),
    }
}

/// Runs `hq worker list`.
///
/// # Errors
/// See [`Error`].
pub fn list(link: &mut Link, args: &WorkerListArgs, console: &mut Console) -> Result<(), Error> {
    let (mut workers, _) = fetch(link, Selector::All)?;
    workers.retain(|worker| match args.filter {
        None => args.all || worker.ended.is_none(),
        Some(WorkerFilter::Running) => worker.ended.is_none(),
        Some(WorkerFilter::Offline) => worker.ended.is_some(),
    });
    match console.mode() {
        OutputMode::Cli => {
            let text = worker::list(&workers, console.palette());
            console.text(&text)
        }
        OutputMode::Json => {
            console.json(&Value::Array(workers.iter().map(|view| worker::to_json(view, false)).collect()))
        }
        OutputMode::Quiet => console.text(&worker::list_quiet(&workers)),
    }
}

/// Runs `hq worker info`.
///
/// # Errors
/// See [`Error`].
pub fn info(link: &mut Link, args: &WorkerSelectorArgs, console: &mut Console) -> Result<(), Error> {
    let (workers, missing) = fetch(link, args.workers.clone())?;
    match console.mode() {
        OutputMode::Cli => {
            let tables: Vec<String> = workers.iter().map(|view| worker::info(view, true, console.palette())).collect();
            console.text(&tables.join("\n"))?;
        }
        OutputMode::Json => {
            console.json(&Value::Array(workers.iter().map(|view| worker::to_json(view, true)).collect()))?;
        }
        OutputMode::Quiet => {}
    }
    for id in missing {
        log::error!("Worker {id} not found");
    }
    Ok(())
}

/// Runs `hq worker address`.
///
/// # Errors
/// A worker that does not exist, and see [`Error`].
pub fn address(link: &mut Link, args: WorkerAddressArgs, console: &mut Console) -> Result<(), Error> {
    let (workers, _) = fetch(link, Selector::Ids(IdSet::single(args.worker)))?;
    let Some(found) = workers.first() else {
        return Err(Error::Invalid(format!("Worker {} not found", args.worker)));
    };
    match console.mode() {
        OutputMode::Json => console.json(&Value::from(found.config.hostname.as_str())),
        OutputMode::Cli | OutputMode::Quiet => console.text(&format!("{}\n", escape::line(&found.config.hostname))),
    }
}

/// Runs `hq worker wait`.
///
/// # Errors
/// See [`Error`].
pub fn wait(link: &mut Link, args: WorkerWaitArgs) -> Result<(), Error> {
    loop {
        let (workers, _) = fetch(link, Selector::All)?;
        let connected = workers.iter().filter(|worker| worker.ended.is_none() && !worker.away).count();
        if u32::try_from(connected).unwrap_or(u32::MAX) >= args.count {
            return Ok(());
        }
        std::thread::sleep(WAIT_POLL_SPAN);
    }
}

/// Runs `hq worker stop`.
///
/// # Errors
/// See [`Error`].
pub fn stop(link: &mut Link, args: &WorkerSelectorArgs) -> Result<(), Error> {
    order(link, &Request::StopWorkers(selector(args.workers.clone())), Order::Stop)
}

/// Runs `hq worker drain`.
///
/// # Errors
/// See [`Error`].
pub fn drain(link: &mut Link, args: &WorkerDrainArgs) -> Result<(), Error> {
    let timeout = args.timeout.map(Span::from_duration);
    let request = DrainRequest { selector: selector(args.workers.clone()), timeout };
    order(link, &Request::DrainWorkers(request), Order::Drain)
}

/// What workers are told.
#[derive(Debug, Clone, Copy)]
enum Order {
    Stop,
    Drain,
}

fn order(link: &mut Link, request: &Request, order: Order) -> Result<(), Error> {
    let Response::WorkersStopped(mut results) = link.ask(request)? else { return Err(Error::Unexpected) };
    results.sort_by_key(|result| result.worker);
    for result in &results {
        let (level, line) = order_line(order, result);
        log::log!(level, "{line}");
    }
    Ok(())
}

fn order_line(order: Order, result: &WorkerStopResult) -> (Level, String) {
    let id = result.worker;
    let (done, doing) = match order {
        Order::Stop => ("stopped", "Stopping"),
        Order::Drain => ("is draining", "Draining"),
    };
    match result.status {
        WorkerStopStatus::Stopped => (Level::Info, format!("Worker {id} {done}")),
        WorkerStopStatus::NotFound => (Level::Error, format!("{doing} worker {id} failed; worker not found")),
        WorkerStopStatus::AlreadyStopped => {
            (Level::Warn, format!("{doing} worker {id} failed; worker is already stopped"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = |status| order_line(Order::Stop, &WorkerStopResult { worker: WorkerId(4), status });
        assert_eq!(line(WorkerStopStatus::Stopped), (Level::Info, "Worker 4 stopped".to_owned()));
        let missing = "Stopping worker 4 failed; worker not found".to_owned();
        assert_eq!(line(WorkerStopStatus::NotFound), (Level::Error, missing));
        let ended = "Stopping worker 4 failed; worker is already stopped".to_owned();
        assert_eq!(line(WorkerStopStatus::AlreadyStopped), (Level::Warn, ended));
    }
}
