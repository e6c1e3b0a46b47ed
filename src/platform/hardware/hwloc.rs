//! Reads the topology with hwloc.
//!
//! The crate `hwloc2` has defects: printing or naming an object corrupts memory, NUMA nodes cannot be asked for, and
//! its sets borrow from the topology without saying so. So only objects of a few types, their numbers, their sets and
//! the sizes of caches are used; nodes are taken from the sets of the processing units; all is copied at once.
//!
//! Invariants: no value of the crate leaves this file, and none outlives the topology.

use super::topology::{Part, PartKind};
use hwloc2::{ObjectType, Topology, TopologyObject};
use std::collections::{BTreeMap, BTreeSet};

/// A larger number in a set stands for an endless one, which says nothing.
const NUMBER_MAX: u32 = 1 << 20;
/// Number of an object that has none.
const NO_NUMBER: u32 = u32::MAX;

/// The objects that are looked at, outermost first, with what they are here.
const LEVELS: [(ObjectType, PartKind); 6] = [
    (ObjectType::Package, PartKind::Package),
    (ObjectType::L4Cache, PartKind::Cache(4)),
    (ObjectType::L3Cache, PartKind::Cache(3)),
    (ObjectType::L2Cache, PartKind::Cache(2)),
    (ObjectType::Core, PartKind::Core),
    (ObjectType::PU, PartKind::Thread),
];

/// The parts of the machine, or of what `HWLOC_SYNTHETIC` and `HWLOC_XMLFILE` describe. `None`: hwloc does not work here.
pub(super) fn parts() -> Option<Vec<Part>> {
    let topology = Topology::new()?;
    let mut parts = Vec::new();
    let mut nodes: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (object_type, kind) in LEVELS {
        let Ok(depth) = topology.depth_for_type(&object_type) else { continue };
        for object in topology.objects_at_depth(depth) {
            let part = part(object, kind);
            if kind == PartKind::Thread {
                let near = object.nodeset().map(|set| members(set.first(), set.last(), |id| set.is_set(id)));
                for node in near.unwrap_or_default() {
                    nodes.entry(node).or_default().extend(&part.cpus);
                }
            }
            parts.push(part);
        }
    }
    let nodes = nodes.into_iter().map(|(node, cpus)| Part {
        kind: PartKind::Node,
        number: Some(node),
        bytes: None,
        cpus: cpus.into_iter().collect(),
    });
    parts.extend(nodes);
    parts.iter().any(|part| part.kind == PartKind::Thread).then_some(parts)
}

fn part(object: &TopologyObject, kind: PartKind) -> Part {
    let number = Some(object.os_index()).filter(|number| *number != NO_NUMBER);
    if kind == PartKind::Thread {
        return Part { kind, number, bytes: None, cpus: number.into_iter().collect() };
    }
    let cpus = object.cpuset().map(|set| members(set.first(), set.last(), |id| set.is_set(id)));
    let is_cache = matches!(kind, PartKind::Cache(_));
    // The numbers of caches mean nothing, and only caches have their attributes.
    let bytes = if is_cache { object.cache_attributes().map(|cache| cache.size()) } else { None };
    let number = number.filter(|_| !is_cache);
    Part { kind, number, bytes: bytes.filter(|bytes| *bytes > 0), cpus: cpus.unwrap_or_default() }
}

/// The members of a set with these bounds; none of an empty or endless one.
fn members(first: i32, last: i32, is_set: impl Fn(u32) -> bool) -> Vec<u32> {
    match (u32::try_from(first), u32::try_from(last)) {
        (Ok(first), Ok(last)) if last <= NUMBER_MAX => (first..=last).filter(|id| is_set(*id)).collect(),
        _ => Vec::new(),
    }
}
