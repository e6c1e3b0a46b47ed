//! Of which completed jobs details are forgotten.
//!
//! Holds: a job that is not completed is never chosen, nor one whose details are gone.

use crate::id::JobId;
use crate::idset::IdSet;
use crate::state::State;

/// Those of the jobs whose details can be forgotten; none stands for all.
pub fn forgettable(state: &State, wanted: Option<&IdSet>) -> IdSet {
    let can = |id: &JobId| state.job(*id).is_some_and(|job| job.completed.is_some() && job.details_gone.is_none());
    match wanted {
        None => IdSet::from_sorted(state.jobs.keys().filter(|id| can(id)).map(|id| id.0)),
        Some(wanted) => IdSet::from_sorted(wanted.iter().filter(|id| can(&JobId(*id)))).compressed(),
    }
}
