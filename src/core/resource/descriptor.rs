//! What a worker offers: named pools, indexed (flat or in groups) or plain sums.
//!
//! Pools are sorted by name once assembled. Labels are strings, ranges have their decimal numbers as labels.

use super::{Amount, Coupling};
use std::fmt;

int_struct! {
    /// A consecutive range of numbers, both ends included.
    pub struct RangePool {
        /// First number.
        0 => pub start: u32,
        /// Last number.
        1 => pub end: u32,
    }
}

int_enum! {
    /// The form of a pool.
    pub enum PoolKind {
        /// Consecutive numbers.
        0 => Range(RangePool),
        /// Labels without groups.
        1 => List(Vec<String>),
        /// Labels in groups (for CPUs: NUMA nodes).
        2 => Groups(Vec<Vec<String>>),
        /// An amount without identities.
        3 => Sum(Amount),
    }
}

int_struct! {
    /// One resource of a worker.
    pub struct Pool {
        /// Name of the resource.
        0 => pub name: String,
        /// Its form; see [`PoolKind`].
        1 => pub kind: PoolKind,
    }
}

int_struct! {
    /// Everything a worker offers, sorted by name.
    pub struct WorkerResources {
        /// The pools.
        0 => pub pools: Vec<Pool>,
        /// Groups that are good to use together.
        1 => pub coupling: Coupling,
    }
}

impl Default for PoolKind {
    fn default() -> Self {
        Self::Sum(Amount::ZERO)
    }
}

impl PoolKind {
    /// The numbers `start..=end`.
    pub fn range(start: u32, end: u32) -> Self {
        Self::Range(RangePool { start, end })
    }

    /// How much the pool holds when nothing is taken.
    pub fn size(&self) -> Amount {
        match self {
            Self::Range(range) => {
                Amount((u64::from(range.end).saturating_sub(u64::from(range.start)) + 1) * Amount::UNIT)
            }
            Self::List(values) => Amount(values.len() as u64 * Amount::UNIT),
            Self::Groups(groups) => Amount(groups.iter().map(Vec::len).sum::<usize>() as u64 * Amount::UNIT),
            Self::Sum(size) => *size,
        }
    }

    /// The labels by group; a flat pool is one group, a sum has none.
    pub fn groups(&self) -> Vec<Vec<String>> {
        match self {
            Self::Range(range) => vec![(range.start..=range.end).map(|n| n.to_string()).collect()],
            Self::List(values) => vec![values.clone()],
            Self::Groups(groups) => groups.clone(),
            Self::Sum(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Pool {
    /// The summary value that tables show: `4`, `4x5`, `2.5`, `1.50 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PoolKind::Range(_) | PoolKind::List(_) => write!(f, "{}", self.kind.size()),
            PoolKind::Groups(groups) => {
                let mut counts = std::collections::BTreeMap::new();
                for group in groups {
                    *counts.entry(group.len()).or_insert(0u32) += 1;
                }
                let parts: Vec<String> = counts.iter().map(|(size, count)| format!("{count}x{size}")).collect();
                f.write_str(&parts.join(" "))
            }
            PoolKind::Sum(size) if self.name == "mem" => {
                let mib = size.0 as f64 / Amount::UNIT as f64;
                if mib < 512.0 { write!(f, "{mib:.2} MiB") } else { write!(f, "{:.2} GiB", mib / 1024.0) }
            }
            PoolKind::Sum(size) => write!(f, "{size}"),
        }
    }
}

impl WorkerResources {
    /// The size of the named pool; zero when the worker does not have it.
    pub fn size_of(&self, name: &str) -> Amount {
        self.pools.iter().find(|pool| pool.name == name).map_or(Amount::ZERO, |pool| pool.kind.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        let pool = |name: &str, kind| Pool { name: name.into(), kind }.to_string();
        assert_eq!(pool("cpus", PoolKind::range(0, 3)), "4");
        let labels = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(pool("cpus", PoolKind::Groups(vec![labels(2), labels(1), labels(2)])), "1x1 2x2");
        assert_eq!(pool("x", PoolKind::Sum(Amount(25_000))), "2.5");
        assert_eq!(pool("mem", PoolKind::Sum(Amount::units(100))), "100.00 MiB");
        assert_eq!(pool("mem", PoolKind::Sum(Amount::units(24_105))), "23.54 GiB");
    }
}
