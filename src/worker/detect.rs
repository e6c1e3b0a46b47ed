//! What a worker finds on its machine: pools of CPUs, GPUs and memory, and which of their groups belong together.
//!
//! CPUs are grouped by NUMA node. So are GPUs where several nodes have some; then a task that asks for both gets them
//! from one node as long as there are such.
//!
//! What holds: what is found has labels that are distinct; GPUs are grouped only if the node of each is known and is one
//! of the groups of CPUs, since a wrong guess would cost more than none.

use super::options::{COUPLING_NONE, WorkerOptions};
use crate::batch::Allocation;
use crate::platform::hardware::{self, Gpus, Topology};
use hq_core::resource::{Amount, CPUS, Coupling, CouplingWeight, Pool, PoolKind};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// Name of the memory resource, which counts MiB.
const MEM: &str = "mem";
/// Names of the GPUs.
pub(super) const NVIDIA: &str = "gpus/nvidia";
pub(super) const AMD: &str = "gpus/amd";

/// The machine, looked at when somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Machine(OnceCell<Topology>);

impl Machine {
    pub(super) fn topology(&self) -> &Topology {
        self.0.get_or_init(hardware::topology)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The pools in the order of looking: CPUs, GPUs, memory.
    pub(super) pools: Vec<Pool>,
    /// The GPUs, each with the name of its pool.
    pub(super) gpus: Vec<(&'static str, Gpus)>,
    /// For each pool of GPUs that is grouped, the group of CPUs that belongs to each of its groups.
    near: Vec<(&'static str, Vec<usize>)>,
}

pub(super) fn is_in(pools: &[Pool], name: &str) -> bool {
    pools.iter().any(|pool| pool.name == name)
}

/// What the machine has beside the given pools, as far as the options want it.
pub(super) fn found(
    options: &WorkerOptions,
    given: &[Pool],
    machine: &Machine,
    allocation: Option<&Allocation>,
) -> Found {
    let mut found = Found::default();
    let mut nodes = Vec::new();
    if options.detect.cpus && !is_in(given, CPUS) {
        nodes = cpu_nodes(options, machine.topology());
        let groups: Vec<Vec<u32>> = nodes.iter().map(|(_, cpus)| cpus.clone()).collect();
        found.pools.push(Pool { name: CPUS.to_owned(), kind: kind_of(&groups) });
    }
    if options.coupling.as_deref().is_some_and(|text| text.trim() == COUPLING_NONE) {
        nodes.clear();
    }
    let numbers: Vec<u32> = nodes.iter().map(|(number, _)| *number).collect();
    if options.detect.nvidia && !is_in(given, NVIDIA) {
        found.add_gpus(NVIDIA, hardware::nvidia_gpus(), &numbers);
    }
    if options.detect.amd && !is_in(given, AMD) {
        found.add_gpus(AMD, hardware::amd_gpus(), &numbers);
    }
    if options.detect.mem && !is_in(given, MEM) {
        match hardware::memory_bytes() {
            Ok(bytes) => {
                found.pools.push(Pool { name: MEM.to_owned(), kind: PoolKind::Sum(memory(bytes, allocation)) });
            }
            Err(error) => log::warn!("No memory is offered, because its size is not known: {error}"),
        }
    }
    found
}

/// The CPUs of each node with its number.
fn cpu_nodes(options: &WorkerOptions, machine: &Topology) -> Vec<(u32, Vec<u32>)> {
    if machine.is_filtered() {
        log::info!("Some cores were filtered by a CPU mask. All tasks will run on the remaining ones.");
    }
    let nodes = machine.nodes();
    if !options.no_hyper_threading {
        return nodes;
    }
    let offered: BTreeSet<u32> = nodes.iter().flat_map(|(_, cpus)| cpus.iter().copied()).collect();
    let first = |cpu: &u32| is_first(*cpu, &offered, machine);
    let kept = nodes.into_iter().map(|(number, cpus)| (number, cpus.into_iter().filter(first).collect()));
    kept.filter(|(_, cpus): &(u32, Vec<u32>)| !cpus.is_empty()).collect()
}

/// Whether no offered CPU with a smaller number is of the same core. Its own smallest sibling may be masked out, so that
/// the smallest of the machine would not do.
fn is_first(cpu: u32, offered: &BTreeSet<u32>, machine: &Topology) -> bool {
    let siblings = machine.siblings(cpu).unwrap_or_default();
    !siblings.iter().any(|sibling| *sibling < cpu && offered.contains(sibling))
}

/// Of the CPUs that share a core only the first of the offered ones, without groups of which nothing is left.
pub(super) fn keep_first_threads(groups: Vec<Vec<u32>>, offered: &BTreeSet<u32>, machine: &Machine) -> Vec<Vec<u32>> {
    let first = |cpu: &u32| is_first(*cpu, offered, machine.topology());
    let kept = groups.into_iter().map(|cpus| cpus.into_iter().filter(first).collect());
    kept.filter(|cpus: &Vec<u32>| !cpus.is_empty()).collect()
}

impl Found {
    /// Adds the GPUs of one maker, in groups where several of these nodes have some.
    fn add_gpus(&mut self, name: &'static str, gpus: Gpus, nodes: &[u32]) {
        if gpus.gpus.is_empty() {
            return;
        }
        let labels = || gpus.gpus.iter().map(|gpu| gpu.label.clone()).collect::<Vec<_>>();
        let kind = match by_node(&gpus, nodes) {
            Some(groups) => {
                self.near.push((name, groups.keys().copied().collect()));
                PoolKind::Groups(groups.into_values().collect())
            }
            None if gpus.numbered => PoolKind::range(0, u32::try_from(gpus.gpus.len() - 1).unwrap_or(u32::MAX)),
            None => PoolKind::List(labels()),
        };
        self.pools.push(Pool { name: name.to_owned(), kind });
        self.gpus.push((name, gpus));
    }
}

/// Labels of GPUs by the group of CPUs that they are at; none unless all are at one and there are several.
fn by_node(gpus: &Gpus, nodes: &[u32]) -> Option<BTreeMap<usize, Vec<String>>> {
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for gpu in &gpus.gpus {
        let group = nodes.iter().position(|node| Some(*node) == gpu.node)?;
        groups.entry(group).or_default().push(gpu.label.clone());
    }
    (groups.len() > 1).then_some(groups)
}

/// The couplings that follow from where the GPUs are, by the places of the pools in their final order.
pub(super) fn coupling(found: &Found, pools: &[Pool]) -> Coupling {
    let place = |name: &str| pools.iter().position(|pool| pool.name == name).and_then(|at| u32::try_from(at).ok());
    let mut weights = Vec::new();
    for (name, near) in &found.near {
        let (Some(cpus), Some(gpus)) = (place(CPUS), place(name)) else { continue };
        for (group, cpu_group) in (0..).zip(near) {
            let (first, second) = ((cpus, u32::try_from(*cpu_group).unwrap_or(u32::MAX)), (gpus, group));
            let ((resource1, group1), (resource2, group2)) =
                if first.0 <= second.0 { (first, second) } else { (second, first) };
            weights.push(CouplingWeight { resource1, group1, resource2, group2, weight: Coupling::WEIGHT_DEFAULT });
        }
    }
    weights.sort_unstable();
    Coupling { weights }
}

/// Consecutive numbers in one group are a range, which is small on the wire.
pub(super) fn kind_of(groups: &[Vec<u32>]) -> PoolKind {
    let labels = |group: &Vec<u32>| group.iter().map(u32::to_string).collect::<Vec<_>>();
    match groups {
        [group] => match (group.first(), group.last()) {
            (Some(first), Some(last)) if (*first..=*last).eq(group.iter().copied()) => PoolKind::range(*first, *last),
            _ => PoolKind::List(labels(group)),
        },
        _ => PoolKind::Groups(groups.iter().map(labels).collect()),
    }
}

/// What the batch job leaves of the machine's memory: MiB with four decimals, cut.
fn memory(bytes: u64, allocation: Option<&Allocation>) -> Amount {
    let parts = u128::from(bytes) * u128::from(Amount::UNIT) / (1024 * 1024);
    let limit = allocation.and_then(|allocation| allocation.memory_mib);
    let parts = limit.map_or(parts, |mib| parts.min(u128::from(mib) * u128::from(Amount::UNIT)));
    Amount(u64::try_from(parts).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Manager;
    use crate::grammar::{coupling as text, pool};
    use crate::platform::hardware::Gpu;

    #[test]
    fn forms_of_cpus() {
        assert_eq!(kind_of(&[vec![0, 1, 2]]), PoolKind::range(0, 2));
        assert_eq!(kind_of(&[vec![0, 2]]), PoolKind::List(vec!["0".into(), "2".into()]));
        assert!(matches!(kind_of(&[vec![0], vec![1]]), PoolKind::Groups(groups) if groups.len() == 2));
    }

    #[test]
    fn memory_is_the_smallest_of_all() {
        assert_eq!(memory(25_276_350_464, None), Amount(241_054_062));
        let job = |memory_mib| Allocation { manager: Manager::Slurm, id: "1".into(), remaining: None, memory_mib };
        assert_eq!(memory(1 << 30, Some(&job(Some(512)))), Amount::units(512));
        assert_eq!(memory(1 << 30, Some(&job(Some(4_096)))), Amount::units(1_024));
        assert_eq!(memory(1 << 30, Some(&job(None))), Amount::units(1_024));
    }

    fn gpus(nodes: &[Option<u32>], numbered: bool) -> Gpus {
        let gpu = |(label, node): (usize, &Option<u32>)| Gpu { label: label.to_string(), node: *node, bus: None };
        Gpus { gpus: nodes.iter().enumerate().map(gpu).collect(), numbered }
    }

    /// The pool of these GPUs as text, and the coupling with four nodes of CPUs, of which node 9 is the last.
    fn shown(gpus: Gpus) -> (String, String) {
        let mut found = Found::default();
        found.pools.push(pool::parse("cpus=4x2").unwrap());
        found.add_gpus(NVIDIA, gpus, &[0, 1, 2, 9]);
        (pool::full(&found.pools[1].kind), text::print(&coupling(&found, &found.pools), &found.pools))
    }

    #[test]
    fn gpus_at_several_nodes_are_grouped_and_coupled() {
        let (pool, coupling) = shown(gpus(&[Some(9), Some(9), Some(1), Some(1)], true));
        assert_eq!(pool, "[[2,3],[0,1]]");
        assert_eq!(coupling, "cpus[1]:gpus/nvidia[0],cpus[3]:gpus/nvidia[1]");
        let alone = |gpus: Gpus| {
            let (pool, coupling) = shown(gpus);
            assert_eq!(coupling, "");
            pool
        };
        assert_eq!(alone(gpus(&[Some(1), Some(1)], true)), "range(0-1)");
        assert_eq!(alone(gpus(&[Some(0), None], true)), "range(0-1)");
        assert_eq!(alone(gpus(&[Some(0), Some(5)], false)), "[0,1]");
        assert_eq!(alone(gpus(&[None], true)), "[0]");
    }
}
