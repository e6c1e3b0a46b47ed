//! Which groups of a pool a request uses: as few as possible, and among those the combination that leaves least free.
//!
//! Few groups keep a task's CPUs near each other; the tightest combination keeps large groups whole for large tasks.
//!
//! What holds: a chosen set covers the request; no smaller set would.

use super::group::Group;

/// Cells of the table of reachable sums up to which the best combination is searched; beyond it a good one is taken.
const TABLE_CELLS_MAX: usize = 1 << 20;

/// The chosen groups, ascending; `None` when all groups together do not cover the request. `parts` is the fraction
/// in 1/10000, 0 for none.
pub(super) fn groups(groups: &[Group], whole: usize, parts: u64) -> Option<Vec<usize>> {
    let free: Vec<usize> = groups.iter().map(Group::whole).collect();
    if parts == 0 {
        return cover(&free, whole, None);
    }
    // With the share of an index that is split already: its group has to be among the chosen ones.
    let mut best: Option<(usize, std::cmp::Reverse<u64>, usize, Vec<usize>)> = None;
    for (at, group) in groups.iter().enumerate() {
        let fragment = group.best_fragment(parts);
        let chosen = if fragment > 0 { cover(&free, whole, Some(at)) } else { None };
        if let Some(chosen) = chosen {
            let sum = sum_of(&free, &chosen);
            let candidate = (chosen.len(), std::cmp::Reverse(fragment), sum, chosen);
            if best.as_ref().is_none_or(|best| candidate < *best) {
                best = Some(candidate);
            }
        }
    }
    let split_anew = cover(&free, whole + 1, None);
    match (best, split_anew) {
        (Some((count, .., chosen)), Some(anew)) => Some(if count <= anew.len() { chosen } else { anew }),
        (Some((.., chosen)), None) => Some(chosen),
        (None, anew) => anew,
    }
}

fn sum_of(free: &[usize], chosen: &[usize]) -> usize {
    chosen.iter().filter_map(|at| free.get(*at)).sum()
}

/// The fewest groups, `with` among them, whose sum reaches `need`, with the smallest such sum; at least one group.
fn cover(free: &[usize], need: usize, with: Option<usize>) -> Option<Vec<usize>> {
    let given = with.and_then(|at| free.get(at).copied()).unwrap_or(0);
    if with.is_some() && given >= need {
        return Some(with.into_iter().collect());
    }
    let rest = need.saturating_sub(given);
    // Empty groups never help, except that a need of nothing is met by any group.
    let others: Vec<(usize, usize)> = free.iter().copied().enumerate().filter(|(at, _)| Some(*at) != with).collect();
    let single = others.iter().filter(|(_, units)| *units >= rest).min_by_key(|(at, units)| (*units, *at));
    let mut chosen = match single {
        Some((at, _)) => vec![*at],
        None => several(&others, rest)?,
    };
    chosen.extend(with);
    chosen.sort_unstable();
    Some(chosen)
}

/// As [`cover`], when no single group suffices.
fn several(groups: &[(usize, usize)], need: usize) -> Option<Vec<usize>> {
    let mut largest: Vec<(usize, usize)> = groups.iter().copied().filter(|(_, units)| *units > 0).collect();
    largest.sort_by_key(|(at, units)| (std::cmp::Reverse(*units), *at));
    let mut sum = 0;
    let count = largest.iter().position(|(_, units)| {
        sum += units;
        sum >= need
    })? + 1;
    let exact = largest.len().saturating_mul(count + 1).saturating_mul(sum + 1) <= TABLE_CELLS_MAX;
    if exact && let Some(chosen) = tightest(&largest, count, need, sum) {
        return Some(chosen);
    }
    Some(largest.iter().take(count).map(|(at, _)| *at).collect())
}

/// Exactly `count` groups with the smallest sum of at least `need`, by the table of reachable (count, sum) pairs
/// (subset sum by dynamic programming). `sum_max` is the largest sum that `count` groups have.
fn tightest(groups: &[(usize, usize)], count: usize, need: usize, sum_max: usize) -> Option<Vec<usize>> {
    let width = sum_max + 1;
    // Element (c, s): the number of groups looked at when sum s with c groups was first reached.
    let mut first_at: Vec<Option<u32>> = vec![None; (count + 1) * width];
    *first_at.first_mut()? = Some(0);
    for (seen, (_, units)) in groups.iter().enumerate() {
        for c in (0..count).rev() {
            for s in (0..width.saturating_sub(*units)).rev() {
                // Only sums that were reachable before this group may be extended by it.
                let before = first_at.get(c * width + s).copied().flatten();
                if before.is_some_and(|before| before as usize <= seen) {
                    let cell = first_at.get_mut((c + 1) * width + s + units)?;
                    *cell = cell.or(u32::try_from(seen + 1).ok());
                }
            }
        }
    }
    let at = |c: usize, s: usize| first_at.get(c * width + s).copied().flatten();
    let mut sum = (need..width).find(|s| at(count, *s).is_some())?;
    let mut chosen = Vec::with_capacity(count);
    for c in (1..=count).rev() {
        let (index, units) = groups.get(at(c, sum)? as usize - 1)?;
        chosen.push(*index);
        sum -= units;
    }
    Some(chosen)
}
