//! Workers that shall go: told to stop, or to drain first.
//!
//! A worker that drains gets nothing new, gives back what has not started, and is told to stop once nothing is left on
//! it, or its time is over. What still runs then is interrupted and runs again elsewhere, which is no crash.
//!
//! What holds: nothing is placed on a worker after it was told to go; a restart of the server forgets neither.

use super::Turn;
use crate::command::{Effect, Reply, WorkerStop};
use crate::decide::{act, time};
use crate::event::{Event, WorkerChanged, WorkerDraining};
use crate::id::WorkerId;
use crate::time::Span;
use crate::worker::Drain;
use std::collections::BTreeMap;

impl Turn<'_> {
    pub(super) fn stop_workers(&mut self, workers: &[WorkerId]) {
        self.order_each(workers, Self::order_stop);
    }

    pub(super) fn drain_workers(&mut self, workers: &[WorkerId], timeout: Option<Span>) {
        let until = timeout.map(|timeout| self.now.after(timeout));
        self.order_each(workers, |turn, worker| {
            let before = turn.state().workers.get(&worker).and_then(|found| found.draining);
            turn.drain(worker, Drain { until, own: before.is_some_and(|drain| drain.own) });
        });
    }

    /// The worker itself says that it goes.
    pub(super) fn draining(&mut self, worker: WorkerId) {
        let found = self.state().workers.get(&worker).map(|found| found.draining);
        if let Some(before) = found.filter(|drain| drain.is_none_or(|drain| !drain.own)) {
            self.drain(worker, Drain { until: before.and_then(|drain| drain.until), own: true });
        }
    }

    /// Gives an order to those of the workers that are there.
    fn order_each(&mut self, workers: &[WorkerId], order: impl Fn(&mut Self, WorkerId)) {
        let mut results = BTreeMap::new();
        for worker in workers {
            let status = if self.state().workers.contains_key(worker) {
                WorkerStop::Stopped
            } else if self.state().past_workers.contains_key(worker) {
                WorkerStop::AlreadyStopped
            } else {
                WorkerStop::NotFound
            };
            results.insert(*worker, status);
        }
        for worker in results.iter().filter(|(_, status)| **status == WorkerStop::Stopped).map(|(worker, _)| *worker) {
            order(self, worker);
        }
        self.output.reply = Reply::WorkersStopped(results.into_iter().collect());
    }

    pub(super) fn order_stop(&mut self, worker: WorkerId) {
        self.emit(Event::WorkerStopping(WorkerChanged { worker }));
        self.output.effects.push(Effect::StopWorker { worker });
    }

    fn drain(&mut self, worker: WorkerId, drain: Drain) {
        if self.state().workers.get(&worker).is_none_or(|found| found.stopping.is_some()) {
            return;
        }
        self.emit(Event::WorkerDraining(WorkerDraining { worker, drain }));
        self.ask_back_all(worker);
    }

    /// Asks for everything that lies on a worker and has not started.
    fn ask_back_all(&mut self, worker: WorkerId) {
        let attempts = time::not_started(self.state(), worker);
        self.ask_for(worker, attempts);
    }

    /// A worker came back: what it was told before may not have reached it.
    pub(super) fn remind(&mut self, worker: WorkerId) {
        let Some(found) = self.state().workers.get(&worker) else { return };
        if found.stopping.is_some() {
            self.output.effects.push(Effect::StopWorker { worker });
        } else if found.draining.is_some() {
            self.ask_back_all(worker);
        } else {
            let unwanted = act::unwanted(self.state(), worker);
            self.ask_for(worker, unwanted);
        }
    }

    /// Stops workers that have drained, or had the time for it.
    pub(super) fn stop_drained(&mut self) {
        for worker in time::drained_workers(self.state(), self.now) {
            self.order_stop(worker);
        }
    }
}
