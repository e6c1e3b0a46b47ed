//! Whether dependencies go round in a circle.
//!
//! A submit may bring millions of dependencies while the cluster works, so this is sorting and lists, not maps.

use std::collections::{BTreeMap, BTreeSet};

/// Tasks that the sentence about a circle names.
const TASKS_SHOWN_MAX: usize = 10;

/// The tasks of a circle, each waiting for the one before it and the first for the last, if there is one. `edges` are
/// `(waited for, waiting)`.
///
/// Takes away what waits for nothing until nothing is left to take (Kahn's algorithm).
pub fn find(mut edges: Vec<(u32, u32)>) -> Option<Vec<u32>> {
    edges.sort_unstable();
    let mut tasks: Vec<u32> = edges.iter().flat_map(|(on, task)| [*on, *task]).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let place = |task: u32| tasks.binary_search(&task).unwrap_or(usize::MAX);
    let mut waits = vec![0u32; tasks.len()];
    let mut edges_before = vec![0usize; tasks.len() + 1];
    let mut targets = Vec::with_capacity(edges.len());
    for (on, task) in &edges {
        let target = place(*task);
        targets.push(target);
        if let Some(count) = waits.get_mut(target) {
            *count += 1;
        }
        if let Some(end) = edges_before.get_mut(place(*on) + 1) {
            *end += 1;
        }
    }
    let mut sum = 0;
    for end in &mut edges_before {
        sum += *end;
        *end = sum;
    }
    let mut free: Vec<usize> = (0..).zip(&waits).filter(|(_, count)| **count == 0).map(|(at, _)| at).collect();
    while let Some(at) = free.pop() {
        let (Some(from), Some(to)) = (edges_before.get(at), edges_before.get(at + 1)) else { continue };
        for target in targets.get(*from..*to).unwrap_or_default() {
            if let Some(count) = waits.get_mut(*target) {
                *count -= 1;
                if *count == 0 {
                    free.push(*target);
                }
            }
        }
    }
    let stuck = waits.iter().position(|count| *count > 0)?;
    let is_stuck = |task: u32| waits.get(place(task)).is_some_and(|count| *count > 0);
    edges.retain(|(on, task)| is_stuck(*on) && is_stuck(*task));
    Some(circle(&edges, *tasks.get(stuck)?))
}

/// Walks back from a task that waits for itself or for such a one; every task on the way waits for another on it.
fn circle(edges: &[(u32, u32)], from: u32) -> Vec<u32> {
    let waits_for: BTreeMap<u32, u32> = edges.iter().map(|(on, task)| (*task, *on)).collect();
    let mut seen = BTreeSet::new();
    let mut way = Vec::new();
    let mut at = from;
    while seen.insert(at) {
        way.push(at);
        let Some(on) = waits_for.get(&at) else { break };
        at = *on;
    }
    let mut circle = way.split_off(way.iter().position(|task| *task == at).unwrap_or(0));
    circle.reverse();
    circle
}

/// A sentence about a circle.
pub fn text(circle: &[u32]) -> String {
    let shown: Vec<String> = circle.iter().take(TASKS_SHOWN_MAX).map(u32::to_string).collect();
    let more = if circle.len() > TASKS_SHOWN_MAX { ", ..." } else { "" };
    match circle {
        [task] => format!("task {task} waits for itself (a cycle of one task)"),
        _ => format!("tasks {}{more} wait for each other in a cycle", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether some task can be reached from itself.
    fn has_circle(edges: &[(u32, u32)]) -> bool {
        (0..8).any(|start| {
            let mut reached = BTreeSet::new();
            let mut next = vec![start];
            while let Some(at) = next.pop() {
                next.extend(
                    edges.iter().filter(|(on, task)| *on == at && reached.insert(*task)).map(|(_, task)| *task),
                );
            }
            reached.contains(&start)
        })
    }

    proptest! {
        #[test]
        fn finds_a_circle_if_there_is_one(edges in proptest::collection::vec((0u32..8, 0u32..8), 0..14)) {
            let found = find(edges.clone());
            prop_assert_eq!(found.is_some(), has_circle(&edges));
            if let Some(circle) = found {
                let before = circle.iter().cycle().skip(circle.len() - 1);
                for pair in before.copied().zip(circle.iter().copied()) {
                    prop_assert!(edges.contains(&pair), "{:?} of {:?}", pair, circle);
                }
                prop_assert_eq!(circle.iter().collect::<BTreeSet<_>>().len(), circle.len());
            }
        }
    }

    #[test]
    fn names_the_tasks_of_the_circle() {
        // Task 1 is behind the circle, not on it.
        assert_eq!(find(vec![(2, 1), (2, 3), (3, 2), (1, 7)]), Some(vec![3, 2]));
        assert_eq!(find(vec![(5, 5)]), Some(vec![5]));
        assert_eq!(text(&[5]), "task 5 waits for itself (a cycle of one task)");
        assert_eq!(text(&[3, 2]), "tasks 3, 2 wait for each other in a cycle");
        let long: Vec<u32> = (0..50).collect();
        assert!(text(&long).contains("8, 9, ... wait"));
        assert_eq!(find(vec![(1, 2), (1, 2), (2, 9)]), None);
    }
}
