//! The part of hwloc that is used: which CPUs there are, and at which NUMA node each is.
//!
//! The crate `hwloc2` has defects: printing or naming an object corrupts memory, NUMA nodes cannot be asked for, and
//! its sets borrow from the topology without saying so. So only the topology, its processing units and their sets
//! are used, and the sets are read at once.
//!
//! Invariants: no value of the crate leaves this file, and none outlives the topology.

use hwloc2::{ObjectType, Topology};

/// A pair of NUMA node and CPU, by the operating system's numbers, for each CPU that hwloc sees. A CPU with several
/// nodes (as where fast memory is a node of its own) counts for the first. `None`: hwloc does not work here.
pub(super) fn cpus_by_node() -> Option<Vec<(u32, u32)>> {
    let topology = Topology::new()?;
    let depth = topology.depth_for_type(&ObjectType::PU).ok()?;
    let units = topology.objects_at_depth(depth);
    let pairs = units.iter().map(|unit| {
        let node = unit.nodeset().map_or(-1, |nodes| nodes.first());
        (u32::try_from(node).unwrap_or(0), unit.os_index())
    });
    let pairs: Vec<(u32, u32)> = pairs.collect();
    (!pairs.is_empty()).then_some(pairs)
}
