//! The books of one pool: indices in groups, or a plain sum.
//!
//! The policies of a request are carried out here, group by group.
//!
//! What holds: a share that was taken is given back to exactly the groups that it came from; taking either succeeds
//! whole or changes nothing.

use super::choose;
use super::group::Group;
use crate::resource::{Amount, Policy, PoolKind};

/// What a task holds of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// Indices.
    Indices {
        /// Whole indices as positions in the pool's definition, in the order in which they are shown.
        whole: Vec<u32>,
        /// A shared index with the parts taken of it, in 1/10000.
        part: Option<(u32, u64)>,
    },
    /// An amount.
    Sum(Amount),
}

impl Share {
    /// How much it is.
    pub fn amount(&self) -> Amount {
        match self {
            Self::Indices { whole, part } => {
                Amount(whole.len() as u64 * Amount::UNIT + part.map_or(0, |(_, parts)| parts))
            }
            Self::Sum(amount) => *amount,
        }
    }
}

/// The books of one pool.
#[derive(Debug, Clone)]
pub(super) enum Books {
    /// Indices in groups; a flat pool has one.
    Indexed { groups: Vec<Group>, labels: Vec<String>, ends: Vec<u32> },
    /// A sum.
    Sum { size: Amount, free: Amount },
}

impl Books {
    pub(super) fn new(kind: &PoolKind) -> Self {
        if let PoolKind::Sum(size) = kind {
            return Self::Sum { size: *size, free: *size };
        }
        let grouped = kind.groups();
        let mut end: u32 = 0;
        let mut end_of = |group: &Vec<String>| {
            end = end.saturating_add(u32::try_from(group.len()).unwrap_or(u32::MAX));
            end
        };
        let ends: Vec<u32> = grouped.iter().map(&mut end_of).collect();
        Self::Indexed { groups: idle_groups(&ends), labels: grouped.into_iter().flatten().collect(), ends }
    }

    /// The same pool with nothing handed out, without its labels.
    pub(super) fn idle(&self) -> Self {
        match self {
            Self::Indexed { ends, .. } => {
                Self::Indexed { groups: idle_groups(ends), labels: Vec::new(), ends: ends.clone() }
            }
            Self::Sum { size, .. } => Self::Sum { size: *size, free: *size },
        }
    }

    /// For idle books: whether the pool is large enough.
    pub(super) fn has_size(&self, amount: Amount, policy: Policy) -> bool {
        match self {
            _ if policy == Policy::All => self.free() > Amount::ZERO,
            Self::Sum { free, .. } => amount <= *free,
            Self::Indexed { .. } => amount.0.div_ceil(Amount::UNIT) <= self.free().whole(),
        }
    }

    /// For idle books: how many groups the amount needs at least.
    pub(super) fn groups_needed(&self, amount: Amount) -> usize {
        match self {
            Self::Indexed { groups, .. } => {
                choose::groups(groups, whole_of(amount), amount.fraction()).map_or(usize::MAX, |chosen| chosen.len())
            }
            Self::Sum { .. } => usize::MAX,
        }
    }

    pub(super) fn free(&self) -> Amount {
        match self {
            Self::Indexed { groups, .. } => Amount(groups.iter().map(Group::free_parts).sum()),
            Self::Sum { free, .. } => *free,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Indexed { groups, .. } => groups.iter().all(Group::is_idle),
            Self::Sum { size, free } => size == free,
        }
    }

    /// Takes an amount from at most `groups_max` groups; `None` when it does not fit now.
    pub(super) fn take(&mut self, amount: Amount, policy: Policy, groups_max: usize) -> Option<Share> {
        match self {
            Self::Sum { size, free } => {
                let wanted = if policy == Policy::All { *size } else { amount };
                *free = Amount(free.0.checked_sub(wanted.0)?);
                Some(Share::Sum(wanted))
            }
            Self::Indexed { groups, .. } => take_indices(groups, amount, policy, groups_max),
        }
    }

    pub(super) fn give_back(&mut self, share: &Share) {
        match (self, share) {
            (Self::Sum { free, .. }, Share::Sum(amount)) => free.0 += amount.0,
            (Self::Indexed { groups, ends, .. }, Share::Indices { whole, part }) => {
                if let Some((index, parts)) = part
                    && let Some(group) = groups.get_mut(group_of(ends, *index))
                {
                    group.give_parts(*index, *parts);
                }
                for index in whole.iter().rev() {
                    if let Some(group) = groups.get_mut(group_of(ends, *index)) {
                        group.push(*index);
                    }
                }
                if groups.len() > 1 {
                    groups.iter_mut().for_each(Group::sort);
                }
            }
            _ => {}
        }
    }

    pub(super) fn labels(&self, share: &Share) -> Option<String> {
        let (Self::Indexed { labels, .. }, Share::Indices { whole, part }) = (self, share) else { return None };
        let indices = whole.iter().chain(part.iter().map(|(index, _)| index));
        let mut text = String::new();
        for label in indices.filter_map(|index| labels.get(*index as usize)) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(label);
        }
        Some(text)
    }
}

fn idle_groups(ends: &[u32]) -> Vec<Group> {
    let starts = std::iter::once(&0).chain(ends);
    starts.zip(ends).map(|(start, end)| Group::new(*start, end.saturating_sub(*start) as usize)).collect()
}

fn whole_of(amount: Amount) -> usize {
    usize::try_from(amount.whole()).unwrap_or(usize::MAX)
}

/// The group that an index lies in.
fn group_of(ends: &[u32], index: u32) -> usize {
    ends.partition_point(|end| *end <= index)
}

fn take_indices(groups: &mut [Group], amount: Amount, policy: Policy, groups_max: usize) -> Option<Share> {
    if policy == Policy::All {
        return take_all(groups);
    }
    let (whole, parts) = (whole_of(amount), amount.fraction());
    if let [group] = groups {
        return take_flat(group, whole, parts);
    }
    let chosen = match policy {
        Policy::Scatter => all_groups(groups, whole, parts)?,
        _ => choose::groups(groups, whole, parts).filter(|chosen| chosen.len() <= groups_max)?,
    };
    match policy {
        Policy::Tight | Policy::ForceTight => take_tight(groups, chosen, whole, parts),
        _ => take_in_turn(groups, &chosen, whole, parts),
    }
}

/// For `scatter`: all groups, if together they hold the amount.
fn all_groups(groups: &[Group], whole: usize, parts: u64) -> Option<Vec<usize>> {
    let free: usize = groups.iter().map(Group::whole).sum();
    let covered = parts == 0 || free > whole || groups.iter().any(|group| group.fragment(parts).is_some());
    (free >= whole && covered).then(|| (0..groups.len()).collect())
}

fn take_all(groups: &mut [Group]) -> Option<Share> {
    if !groups.iter().all(Group::is_idle) || groups.iter().all(|group| group.whole() == 0) {
        return None;
    }
    let whole = groups.iter_mut().flat_map(|group| std::iter::from_fn(move || group.pop())).collect();
    Some(Share::Indices { whole, part: None })
}

fn take_flat(group: &mut Group, whole: usize, parts: u64) -> Option<Share> {
    let needs_index = parts > 0 && group.fragment(parts).is_none();
    if group.whole() < whole.checked_add(usize::from(needs_index))? {
        return None;
    }
    let taken: Vec<u32> = std::iter::from_fn(|| group.pop()).take(whole).collect();
    let part = (parts > 0).then(|| group.take_parts(parts)).flatten().map(|index| (index, parts));
    Some(Share::Indices { whole: taken, part })
}

/// One index from each chosen group in turn, the fraction last; shown in the order of the definition.
fn take_in_turn(groups: &mut [Group], chosen: &[usize], whole: usize, parts: u64) -> Option<Share> {
    let mut taken = Vec::with_capacity(whole.min(groups.len() * 64));
    let mut turn = chosen.iter().cycle();
    while taken.len() < whole {
        // The chosen groups hold enough, so that the rotation ends.
        if let Some(index) = groups.get_mut(*turn.next()?).and_then(Group::pop) {
            taken.push(index);
        }
    }
    let mut part = None;
    if parts > 0 {
        let mut order = turn.take(chosen.len());
        part = order.find_map(|at| Some((groups.get_mut(*at)?.take_parts(parts)?, parts)));
    }
    taken.sort_unstable();
    Some(Share::Indices { whole: taken, part })
}

/// One group after the other: the one that just holds all the rest if there is one, else the largest.
fn take_tight(groups: &mut [Group], mut chosen: Vec<usize>, whole: usize, parts: u64) -> Option<Share> {
    let mut taken = Vec::new();
    let mut part = None;
    while taken.len() < whole || (parts > 0 && part.is_none()) {
        let rest = whole - taken.len();
        let open = if part.is_none() { parts } else { 0 };
        let holds = |at: &usize| groups.get(*at).is_some_and(|group| holds_all(group, rest, open));
        let units = |at: &usize| groups.get(*at).map_or(0, Group::whole);
        let fitting = chosen.iter().copied().filter(holds).min_by_key(units);
        let next = fitting.or_else(|| chosen.iter().copied().max_by_key(units))?;
        chosen.retain(|at| *at != next);
        let group = groups.get_mut(next)?;
        let mut indices: Vec<u32> = std::iter::from_fn(|| group.pop()).take(rest).collect();
        indices.sort_unstable();
        taken.extend(indices);
        if open > 0 {
            let index = if fitting.is_some() { group.take_parts(open) } else { group.take_fragment(open) };
            part = index.map(|index| (index, open));
        }
    }
    Some(Share::Indices { whole: taken, part })
}

fn holds_all(group: &Group, whole: usize, parts: u64) -> bool {
    let needs_index = parts > 0 && group.fragment(parts).is_none();
    group.whole() >= whole + usize::from(needs_index)
}
