//! The parts of a machine, and how they lie within each other.
//!
//! Machines nest packages, NUMA nodes, caches, cores and hardware threads in different orders, so a part is only a kind
//! with the CPUs in it; what lies within what follows from these.
//!
//! Invariants: the CPUs of a part are ascending and, after [`Topology::within`], only those that this process may use;
//! no part is without CPUs; the groups by node are disjoint, and there is at least one where there is a CPU.

use std::collections::{BTreeMap, BTreeSet};

/// What a part is. In this order, outermost first, parts with the same CPUs lie within each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// A package: what is in one socket.
    Package,
    /// A NUMA node: CPUs with memory of their own.
    Node,
    /// A data or unified cache of this level, from 1.
    Cache(u8),
    /// A core.
    Core,
    /// A hardware thread, which is what the operating system calls a CPU.
    Thread,
}

/// A part of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// The operating system's number; caches have none.
    pub number: Option<u32>,
    /// Size of a cache or of the memory of a node, bytes.
    pub bytes: Option<u64>,
    /// The CPUs in it.
    pub cpus: Vec<u32>,
}

/// A part with the parts that lie in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Branch<'a> {
    /// The part.
    pub part: &'a Part,
    /// Directly in it, in the order of their CPUs.
    pub parts: Vec<Branch<'a>>,
}

/// The parts of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    parts: Vec<Part>,
    /// All hardware threads of each core, whether this process may use them or not.
    cores: BTreeMap<u32, Vec<u32>>,
    filtered: bool,
}

impl Topology {
    /// The whole machine.
    pub(super) fn new(mut parts: Vec<Part>) -> Self {
        parts.retain(|part| !part.cpus.is_empty());
        parts.iter_mut().for_each(|part| {
            part.cpus.sort_unstable();
            part.cpus.dedup();
        });
        // A part that is within another comes after it.
        parts.sort_by(|a, b| {
            let key = |part: &Part| (std::cmp::Reverse(part.cpus.len()), part.kind, part.cpus.first().copied());
            key(a).cmp(&key(b))
        });
        let mut cores: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for part in parts.iter().filter(|part| part.kind == PartKind::Thread) {
            cores.extend(part.cpus.iter().map(|cpu| (*cpu, vec![*cpu])));
        }
        for part in parts.iter().filter(|part| part.kind == PartKind::Core) {
            cores.extend(part.cpus.iter().map(|cpu| (*cpu, part.cpus.clone())));
        }
        Self { parts, cores, filtered: false }
    }

    /// A machine of which only the number of CPUs is known.
    pub(super) fn flat(count: u32) -> Self {
        let thread = |cpu| Part { kind: PartKind::Thread, number: Some(cpu), bytes: None, cpus: vec![cpu] };
        Self::new((0..count).map(thread).collect())
    }

    /// What remains with these CPUs only.
    pub(super) fn within(mut self, mask: &BTreeSet<u32>) -> Self {
        for part in &mut self.parts {
            let before = part.cpus.len();
            part.cpus.retain(|cpu| mask.contains(cpu));
            self.filtered |= part.kind == PartKind::Thread && part.cpus.len() < before;
        }
        self.parts.retain(|part| !part.cpus.is_empty());
        // Parts became smaller, so their order changed.
        let Self { parts, cores, filtered } = self;
        Self { cores, filtered, ..Self::new(parts) }
    }

    /// Whether CPUs were left out because this process may not use them.
    pub fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// Whether there is any CPU.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The CPUs by NUMA node, in the order of the nodes, without nodes that have no CPU. A CPU with several nodes (as
    /// where fast memory is a node of its own) counts for the first; without nodes all CPUs are at node 0.
    pub fn nodes(&self) -> Vec<(u32, Vec<u32>)> {
        let of_kind = |kind: PartKind| self.parts.iter().filter(move |part| part.kind == kind);
        let mut nodes: Vec<&Part> = of_kind(PartKind::Node).collect();
        nodes.sort_by_key(|part| part.number);
        let mut left: BTreeSet<u32> = of_kind(PartKind::Thread).flat_map(|part| part.cpus.iter().copied()).collect();
        let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
        for part in nodes {
            let cpus: Vec<u32> = part.cpus.iter().copied().filter(|cpu| left.remove(cpu)).collect();
            if !cpus.is_empty() {
                groups.push((part.number.unwrap_or(0), cpus));
            }
        }
        match groups.first_mut() {
            // Threads that no node claims.
            Some((_, cpus)) if !left.is_empty() => {
                cpus.extend(left);
                cpus.sort_unstable();
            }
            None if !left.is_empty() => groups.push((0, left.into_iter().collect())),
            _ => {}
        }
        groups
    }

    /// All hardware threads of the core with this CPU, ascending, whether this process may use them or not; none when
    /// the machine has no such CPU.
    pub fn siblings(&self, cpu: u32) -> Option<&[u32]> {
        self.cores.get(&cpu).map(Vec::as_slice)
    }

    /// The parts within each other.
    pub fn tree(&self) -> Vec<Branch<'_>> {
        let mut roots = Vec::new();
        for part in &self.parts {
            insert(&mut roots, part);
        }
        sort(&mut roots);
        roots
    }
}

/// Puts a part into the last branch that holds it; parts come outermost first.
fn insert<'a>(branches: &mut Vec<Branch<'a>>, part: &'a Part) {
    let holds = |branch: &Branch<'_>| part.cpus.iter().all(|cpu| branch.part.cpus.binary_search(cpu).is_ok());
    match branches.iter_mut().find(|branch| holds(branch)) {
        Some(branch) => insert(&mut branch.parts, part),
        None => branches.push(Branch { part, parts: Vec::new() }),
    }
}

fn sort(branches: &mut [Branch<'_>]) {
    branches.sort_by_key(|branch| branch.part.cpus.first().copied());
    branches.iter_mut().for_each(|branch| sort(&mut branch.parts));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: PartKind, number: u32, cpus: &[u32]) -> Part {
        Part { kind, number: Some(number), bytes: None, cpus: cpus.to_vec() }
    }

    /// Two packages of two cores with two threads each: 0 and 4, 1 and 5, and so on; a node each.
    fn two_sockets() -> Topology {
        let mut parts = vec![
            part(PartKind::Package, 0, &[0, 4, 1, 5]),
            part(PartKind::Package, 1, &[2, 6, 3, 7]),
            part(PartKind::Node, 1, &[2, 3, 6, 7]),
            part(PartKind::Node, 0, &[0, 1, 4, 5]),
        ];
        parts.extend((0..4).map(|core| part(PartKind::Core, core, &[core, core + 4])));
        parts.extend((0..8).map(|cpu| part(PartKind::Thread, cpu, &[cpu])));
        Topology::new(parts)
    }

    fn shown(branches: &[Branch<'_>]) -> String {
        let show = |branch: &Branch<'_>| {
            let letter = format!("{:?}", branch.part.kind).chars().next().unwrap();
            format!("{letter}{}({})", branch.part.number.unwrap(), shown(&branch.parts)).replace("()", "")
        };
        branches.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parts_lie_within_each_other() {
        let machine = two_sockets();
        let expected = "P0(N0(C0(T0 T4) C1(T1 T5))) P1(N1(C2(T2 T6) C3(T3 T7)))";
        assert_eq!(shown(&machine.tree()), expected);
        // One node over two packages is above them.
        let parts =
            [part(PartKind::Node, 0, &[0, 1]), part(PartKind::Package, 0, &[0]), part(PartKind::Package, 1, &[1])];
        assert_eq!(shown(&Topology::new(parts.to_vec()).tree()), "N0(P0 P1)");
    }

    #[test]
    fn masks_leave_what_may_be_used() {
        let whole = two_sockets();
        assert!(!whole.is_filtered());
        assert_eq!(whole.nodes(), [(0, vec![0, 1, 4, 5]), (1, vec![2, 3, 6, 7])]);
        let some = whole.clone().within(&BTreeSet::from([1, 4, 5, 9]));
        assert!(some.is_filtered());
        assert_eq!(some.nodes(), [(0, vec![1, 4, 5])]);
        assert_eq!(shown(&some.tree()), "P0(N0(C1(T1 T5) C0(T4)))");
        assert_eq!((some.siblings(4), some.siblings(7)), (Some(&[0, 4][..]), Some(&[3, 7][..])));
        assert_eq!(some.siblings(8), None);
        assert!(whole.within(&BTreeSet::new()).is_empty());
    }

    #[test]
    fn nodes_share_no_cpu_and_leave_none_out() {
        let mut parts: Vec<Part> = (0..4).map(|cpu| part(PartKind::Thread, cpu, &[cpu])).collect();
        assert_eq!(Topology::new(parts.clone()).nodes(), [(0, vec![0, 1, 2, 3])]);
        parts.extend([
            part(PartKind::Node, 2, &[0, 1]),
            part(PartKind::Node, 7, &[0, 1, 2]),
            part(PartKind::Node, 8, &[2]),
        ]);
        assert_eq!(Topology::new(parts).nodes(), [(2, vec![0, 1, 3]), (7, vec![2])]);
        assert_eq!(Topology::flat(2).nodes(), [(0, vec![0, 1])]);
    }
}
