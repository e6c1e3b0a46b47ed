//! Multi-node tasks: each takes whole workers of one group, all of them with nothing on them.
//!
//! The group with the fewest vacant workers that suffice is taken, so that larger groups stay whole for larger tasks;
//! in it the oldest workers, the oldest of which is the root.

use super::fit::{Assign, tasks};
use crate::id::WorkerId;
use crate::state::State;
use crate::state::groups::Group;
use crate::state::ready::Level;
use crate::time::Time;

/// The next task of a queue of multi-node tasks, with its workers, if there are enough of those that are not kept.
pub fn fit_gang(state: &State, now: Time, level: Level, is_kept: impl Fn(WorkerId) -> bool) -> Option<Vec<Assign>> {
    let class = state.classes.get(level.class)?;
    let nodes = class.nodes()? as usize;
    state.ready.head(level)?;
    let min_time_us = class.variants.first()?.min_time_us;
    let large = state.groups.iter().filter(|(_, group)| group.vacant.len() >= nodes);
    let mut large: Vec<&Group> = large.map(|(_, group)| group).collect();
    large.sort_by_key(|group| group.vacant.len());
    let chosen = large.into_iter().find_map(|group| {
        let fitting = group.vacant.iter().copied().filter(|id| {
            let worker = state.workers.get(id).filter(|_| !is_kept(*id));
            worker.is_some_and(|worker| worker.lives(min_time_us, now) && !worker.is_blocked(level.class, 0))
        });
        let chosen: Vec<WorkerId> = fitting.take(nodes).collect();
        (chosen.len() == nodes).then_some(chosen)
    })?;
    let root = *chosen.first()?;
    let mut assigns = tasks(state, level, 0, 1, root, 0, false);
    if let Some(assign) = assigns.first_mut() {
        assign.nodes = chosen;
    }
    Some(assigns)
}
