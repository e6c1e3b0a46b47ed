//! The books of one pool: indices in groups, or a plain sum.
//!
//! The policies of a request are carried out here, group by group.
//!
//! What holds: a share that was taken is given back to exactly the groups that it came from; taking either succeeds
//! whole or changes nothing.

use super::group::Group;
use super::wish::Wish;
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

    /// Whether the pool would be large enough if it were idle.
    pub(super) fn has_size(&self, amount: Amount, policy: Policy) -> bool {
        let size = match self {
            Self::Sum { size, .. } => *size,
            Self::Indexed { ends, .. } => Amount::units(ends.last().copied().unwrap_or(0)),
        };
        match self {
            _ if policy == Policy::All => size > Amount::ZERO,
            Self::Sum { .. } => amount <= size,
            Self::Indexed { .. } => amount.0.div_ceil(Amount::UNIT) <= size.whole(),
        }
    }

    /// Whether a policy chooses among groups of this pool.
    pub(super) fn chooses_groups(&self, policy: Policy) -> bool {
        let is_grouped = matches!(self, Self::Indexed { groups, .. } if groups.len() > 1);
        is_grouped && !matches!(policy, Policy::Scatter | Policy::All)
    }

    /// What the groups have for an amount; `None` when together they do not cover it.
    pub(super) fn wish(&self, amount: Amount) -> Option<Wish> {
        let Self::Indexed { groups, .. } = self else { return None };
        Wish::new(groups, whole_of(amount), amount.fraction())
    }

    /// Whether an amount fits now, where the policy chooses no groups.
    pub(super) fn fits(&self, amount: Amount, policy: Policy) -> bool {
        match self {
            _ if policy == Policy::All => self.is_idle() && self.free() > Amount::ZERO,
            Self::Sum { free, .. } => amount <= *free,
            Self::Indexed { groups, .. } => {
                let (whole, parts) = (whole_of(amount), amount.fraction());
                let free: usize = groups.iter().map(Group::whole).sum();
                let shared = || groups.iter().any(|group| group.fragment(parts).is_some());
                free >= whole && (parts == 0 || free > whole || shared())
            }
        }
    }

    /// How often an amount is in what is free, without regard to indices and groups.
    pub(super) fn count_in_total(&self, amount: Amount, policy: Policy) -> usize {
        match policy {
            Policy::All => usize::from(self.is_idle()),
            _ => usize::try_from(self.free().0.checked_div(amount.0).unwrap_or(0)).unwrap_or(usize::MAX),
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

    /// Takes an amount that fits, from the chosen groups if some were chosen; `None` when it does not fit.
    pub(super) fn take(&mut self, amount: Amount, policy: Policy, chosen: Option<&[usize]>) -> Option<Share> {
        if chosen.is_none() && !self.fits(amount, policy) {
            return None;
        }
        match self {
            Self::Sum { size, free } => {
                let wanted = if policy == Policy::All { *size } else { amount };
                *free = Amount(free.0.checked_sub(wanted.0)?);
                Some(Share::Sum(wanted))
            }
            Self::Indexed { groups, .. } => take_indices(groups, amount, policy, chosen),
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

fn take_indices(groups: &mut [Group], amount: Amount, policy: Policy, chosen: Option<&[usize]>) -> Option<Share> {
    if policy == Policy::All {
        let whole = groups.iter_mut().flat_map(|group| std::iter::from_fn(move || group.pop())).collect();
        return Some(Share::Indices { whole, part: None });
    }
    let (whole, parts) = (whole_of(amount), amount.fraction());
    match (groups, chosen) {
        ([group], _) => take_flat(group, whole, parts),
        (groups, Some(chosen)) if matches!(policy, Policy::Tight | Policy::ForceTight) => {
            take_tight(groups, chosen.to_vec(), whole, parts)
        }
        (groups, Some(chosen)) => take_in_turn(groups, chosen, whole, parts),
        (groups, None) => {
            let all: Vec<usize> = (0..groups.len()).collect();
            take_in_turn(groups, &all, whole, parts)
        }
    }
}

fn take_flat(group: &mut Group, whole: usize, parts: u64) -> Option<Share> {
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
