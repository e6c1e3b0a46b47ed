//! What the state tells of the past, against its counters: for each state of random histories.
//!
//! Holds: small slices that are read piece by piece give the same as one look at everything.

use crate::event::{Event, Stamped};
use crate::id::{JobId, WorkerId};
use crate::state::State;
use crate::time::Time;
use crate::view::{Earliest, Moment, Spot, TaskCounts, Window};
use std::sync::Arc;

fn gather(state: &State, budget: usize, max: usize) -> Vec<Moment> {
    let until = Time(u64::MAX);
    let mut all = Vec::new();
    let mut next = Some(Window { after: None, before: None, until, last_job: JobId(u32::MAX), jobs: Arc::new(None) });
    while let Some(window) = next {
        let mut earliest = Earliest::new(max, window);
        let mut spot = Some(Spot::Workers(WorkerId(0)));
        while let Some(from) = spot {
            let (moments, rest) = state.recall(from, earliest.window(), budget);
            moments.into_iter().for_each(|moment| earliest.add(moment));
            spot = rest;
        }
        let (moments, rest) = earliest.finish();
        all.extend(moments);
        next = rest;
    }
    all
}

/// Counts what the events tell of a job: started, and by final state.
fn told(events: &[Stamped], job: JobId) -> (u64, TaskCounts) {
    let (mut started, mut counts) = (0, TaskCounts::default());
    for stamped in events.iter().filter(|stamped| stamped.event.job() == Some(job)) {
        match &stamped.event {
            Event::TasksStarted(event) => started += event.tasks.len() as u64,
            Event::TasksFinished(event) => counts.finished += event.tasks.len() as u64,
            Event::TaskFailed(_) => counts.failed += 1,
            Event::TasksCanceled(event) => counts.canceled += event.tasks.len(),
            Event::TasksAborted(event) => counts.aborted += event.tasks.len(),
            _ => {}
        }
    }
    (started, counts)
}

/// What is wrong with what the state tells of the past.
pub(super) fn check(state: &State) -> Result<(), String> {
    let all = gather(state, usize::MAX, usize::MAX);
    for (budget, max) in [(1, 1_000), (7, 5), (1_000, 1)] {
        if gather(state, budget, max) != all {
            return Err(format!("slices of {budget} and passes of {max} tell another past"));
        }
    }
    if !all.is_sorted_by(|a, b| a < b) {
        return Err(format!("it is not in order: {all:?}"));
    }
    let events = state.recall_events(&all);
    for job in state.jobs.values() {
        let (started, counts) = told(&events, job.id);
        let has_started = job.tasks.done.iter().filter(|(_, done)| done.started.is_some()).count() as u64;
        let expected = TaskCounts { waiting: 0, running: 0, ..job.counts };
        if (started, counts) != (has_started + job.counts.running, expected) {
            return Err(format!("job {}: {started} starts and {counts:?} of {:?}", job.id, job.counts));
        }
        let of_job: Vec<u16> = events
            .iter()
            .filter(|stamped| stamped.event.job() == Some(job.id))
            .map(|stamped| stamped.event.kind())
            .collect();
        let is_framed = of_job.first() == Some(&23)
            && of_job.iter().skip(1).take(job.submits.len()).all(|kind| *kind == 20)
            && job.completed.is_none_or(|_| of_job.last() == Some(&22));
        if !is_framed {
            return Err(format!("job {}: the events are {of_job:?}", job.id));
        }
    }
    Ok(())
}
