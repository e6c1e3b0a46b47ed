//! Whether dependencies go round in a circle.
//!
//! A submit may bring millions of dependencies while the cluster works, so this is sorting and lists, not maps.

/// A task that is on a circle or behind one, if there is one. `edges` are `(waited for, waiting)`.
///
/// Takes away what waits for nothing until nothing is left to take (Kahn's algorithm).
pub fn find(mut edges: Vec<(u32, u32)>) -> Option<u32> {
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
    tasks.get(stuck).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
            prop_assert_eq!(find(edges.clone()).is_some(), has_circle(&edges));
        }
    }

    #[test]
    fn names_a_task_of_the_circle() {
        assert_eq!(find(vec![(1, 2), (2, 3), (3, 2), (7, 1)]), Some(2));
        assert_eq!(find(vec![(5, 5)]), Some(5));
        assert_eq!(find(vec![(1, 2), (1, 2), (2, 9)]), None);
    }
}
