//! Classes: interned resource requests and resource names.
//!
//! Tasks with the identical request are placed alike, so placing looks at classes. The numbers are an index of
//! this process only; they are in no event and no image.

use crate::id::ClassId;
use crate::resource::{Policy, ResourceRequest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Index of an interned resource name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceIndex(pub usize);

/// What one variant needs of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// So many parts of 1/10000.
    Parts(u64),
    /// The whole pool, idle.
    All,
}

/// One variant of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassVariant {
    /// The needs; none for a multi-node task, which takes workers as they are.
    pub needs: Vec<(ResourceIndex, Need)>,
    /// Whole workers of one group that a multi-node task takes; 0 for a task on one worker.
    pub nodes: u32,
    /// Least remaining lifetime of the worker, in microseconds.
    pub min_time_us: u64,
    /// Weight in 1/10000.
    pub weight: u32,
}

/// A class.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// Its number.
    pub id: ClassId,
    /// The request as submitted.
    pub request: Arc<ResourceRequest>,
    /// Its variants.
    pub variants: Vec<ClassVariant>,
}

impl Class {
    /// How many whole workers a task of the class takes, when it is a multi-node task.
    pub fn nodes(&self) -> Option<u32> {
        self.variants.first().map(|variant| variant.nodes).filter(|nodes| *nodes > 0)
    }
}

/// All classes and resource names met so far.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    names: Vec<String>,
    by_name: BTreeMap<String, ResourceIndex>,
    classes: Vec<Class>,
    by_request: BTreeMap<Vec<u8>, ClassId>,
}

impl Classes {
    /// The index of a resource name.
    pub fn resource(&mut self, name: &str) -> ResourceIndex {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = ResourceIndex(self.names.len());
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), index);
        index
    }

    /// The index of a resource name, if some worker or request has it.
    pub fn find_resource(&self, name: &str) -> Option<ResourceIndex> {
        self.by_name.get(name).copied()
    }

    /// The class of a request.
    pub fn intern(&mut self, request: &ResourceRequest) -> ClassId {
        let key = request.canonical();
        if let Some(class) = self.by_request.get(&key) {
            return *class;
        }
        let variants = request
            .variants
            .iter()
            .map(|variant| ClassVariant {
                nodes: variant.nodes,
                needs: variant
                    .entries
                    .iter()
                    .filter(|_| variant.nodes == 0)
                    .map(|entry| {
                        let need = if entry.policy == Policy::All { Need::All } else { Need::Parts(entry.amount.0) };
                        (self.resource(&entry.resource), need)
                    })
                    .collect(),
                min_time_us: variant.min_time.0,
                weight: variant.weight(),
            })
            .collect();
        let id = ClassId(u32::try_from(self.classes.len()).unwrap_or(u32::MAX));
        self.classes.push(Class { id, request: Arc::new(request.clone()), variants });
        self.by_request.insert(key, id);
        id
    }

    /// The class with this number.
    pub fn get(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(id.0 as usize)
    }

    /// How many resource names there are.
    pub fn resource_count(&self) -> usize {
        self.names.len()
    }

    /// The name of a resource.
    pub fn resource_name(&self, index: ResourceIndex) -> &str {
        self.names.get(index.0).map_or("", String::as_str)
    }
}
