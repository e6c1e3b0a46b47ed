//! The order in which queues are served: priority; then multi-node tasks; then what a task is worth; then age.

use crate::id::JobId;
use crate::limits;
use crate::state::State;
use crate::state::classes::{Class, Need};
use crate::state::ready::Level;

/// Queues of one priority that have ready tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// The priority.
    pub priority: i64,
    /// Those of multi-node tasks, the most valuable first.
    pub gangs: Vec<Level>,
    /// The others, the most valuable first.
    pub singles: Vec<Level>,
}

/// The queues of one turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Walk {
    /// By descending priority.
    pub bands: Vec<Band>,
    /// Where the next turn goes on, if there are more queues than one turn looks at.
    pub next: Option<Level>,
}

/// The queues that are looked at in this turn: the first ones always, further ones from `cursor` on.
pub fn walk(state: &State, cursor: Option<Level>) -> Walk {
    let head = state.ready.levels_from(None).take(limits::TURN_HEAD_LEVELS_MAX);
    let mut levels: Vec<Level> = head.collect();
    let after = match (cursor, levels.last()) {
        (Some(cursor), Some(last)) => Some(cursor.max(*last)),
        (None, last) => last.copied(),
        (cursor, None) => cursor,
    };
    let last = levels.last().copied();
    let mut rest = state.ready.levels_from(after).filter(|level| Some(*level) != last);
    let further: Vec<Level> = rest.by_ref().take(limits::TURN_LEVELS_MAX).collect();
    let next = rest.next();
    levels.extend(further);
    let bands = levels.chunk_by(|a, b| a.priority() == b.priority());
    Walk { bands: bands.filter_map(|levels| band(state, levels)).collect(), next }
}

fn band(state: &State, levels: &[Level]) -> Option<Band> {
    type Key = (f64, JobId, u32, Level);
    let (mut gangs, mut singles): (Vec<Key>, Vec<Key>) = (Vec::new(), Vec::new());
    for level in levels {
        let (Some(head), Some(class)) = (state.ready.head(*level), state.classes.get(level.class)) else { continue };
        match class.nodes() {
            Some(nodes) => gangs.push((f64::from(nodes) * weight(class), head.job, head.first, *level)),
            None => singles.push((value(state, class), head.job, head.first, *level)),
        }
    }
    let sorted = |mut keys: Vec<Key>| -> Vec<Level> {
        keys.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        keys.into_iter().map(|key| key.3).collect()
    };
    let priority = levels.first()?.priority();
    Some(Band { priority, gangs: sorted(gangs), singles: sorted(singles) })
}

fn weight(class: &Class) -> f64 {
    class.variants.first().map_or(0.0, |variant| f64::from(variant.weight))
}

/// What a task is worth in its most valuable variant: its weight times its share of all there is of each resource.
pub fn value(state: &State, class: &Class) -> f64 {
    let values = class.variants.iter().map(|variant| {
        let shares = variant.needs.iter().map(|(resource, need)| {
            let total = state.open_workers.total(*resource).max(1);
            let parts = match need {
                Need::Parts(parts) => *parts,
                Need::All => total,
            };
            parts as f64 / total as f64
        });
        shares.sum::<f64>() * f64::from(variant.weight)
    });
    values.fold(0.0, f64::max)
}
