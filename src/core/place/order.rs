//! The order in which queues are served: priority, then weight, then age.

use crate::id::JobId;
use crate::state::State;
use crate::state::ready::Level;
use std::cmp::Reverse;

/// Priority and weight, larger ones first; then the older job, and its earlier tasks.
type Key = (Reverse<i64>, Reverse<u32>, JobId, u32);

/// All queues with ready tasks, in the order in which they shall be served.
///
/// Larger priorities come first; at one priority larger weights, then the older job.
pub fn walk(state: &State) -> Vec<Level> {
    let mut levels: Vec<(Key, Level)> = state
        .ready
        .levels()
        .filter_map(|level| {
            let head = state.ready.head(level)?;
            let variants = state.classes.get(level.class)?.variants.iter();
            let weight = variants.map(|variant| variant.weight).max().unwrap_or(0);
            Some(((Reverse(level.priority()), Reverse(weight), head.job, head.first), level))
        })
        .collect();
    levels.sort_unstable();
    levels.into_iter().map(|(_, level)| level).collect()
}
