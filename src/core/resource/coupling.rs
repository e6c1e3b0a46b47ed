//! Couplings: pairs of groups whose indices are good to use together, such as a NUMA node and the GPUs at it.
//!
//! Declared with `hq worker start --coupling` or found in the topology of the machine; the worker's allocator prefers
//! combinations of groups with a large total weight.
//!
//! What holds: resources are numbered by their place among the worker's pools, which are sorted by name; in each item
//! `resource1 <= resource2`, and items are sorted.

int_struct! {
    /// One pair of groups.
    #[derive(Copy, Eq, PartialOrd, Ord, Hash)]
    pub struct CouplingWeight {
        /// Place of the first resource among the worker's pools.
        0 => pub resource1: u32,
        /// Group of the first resource, from 0.
        1 => pub group1: u32,
        /// Place of the second resource; it may be the first one again.
        2 => pub resource2: u32,
        /// Group of the second resource, from 0.
        3 => pub group2: u32,
        /// How much the pair is worth, 0 to 65535; 256 where nothing is said.
        4 => pub weight: u32,
    }
}

int_struct! {
    /// All couplings of a worker.
    #[derive(Eq)]
    pub struct Coupling {
        /// The pairs, sorted.
        0 => pub weights: Vec<CouplingWeight>,
    }
}

impl Coupling {
    /// Weight of a pair for which none was given.
    pub const WEIGHT_DEFAULT: u32 = 256;

    /// Whether the resource at this place among the worker's pools takes part.
    pub fn involves(&self, resource: usize) -> bool {
        self.weights.iter().any(|w| w.resource1 as usize == resource || w.resource2 as usize == resource)
    }
}
