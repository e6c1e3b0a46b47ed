//! What to do with an overview of a worker's hardware: keep it, if the worker was started with them.

use crate::event::{Event, WorkerOverview};
use crate::id::WorkerId;
use crate::overview::HardwareUse;
use crate::state::State;

/// The event that keeps an overview; none for a worker that has none to tell, and for one beyond the limits.
pub fn kept(state: &State, worker: WorkerId, hardware: Box<HardwareUse>) -> Option<Event> {
    let wants = state.workers.get(&worker).is_some_and(|found| found.config.overview_interval.is_some());
    (wants && hardware.is_bounded()).then_some(Event::WorkerOverview(WorkerOverview { worker, state: Some(hardware) }))
}
