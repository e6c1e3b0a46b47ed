//! What a task asks for: one or more variants, each a list of named amounts with a policy.
//!
//! Tasks with the identical request form a class; placing works on classes, never on tasks.

use super::{Amount, CPUS};
use crate::time::Span;
use std::fmt;

int_choice! {
    /// How the indices of a resource are chosen on the worker.
    pub enum Policy {
        /// From as few groups as possible, spread within them.
        0 => Compact,
        /// As `compact`, but only when the minimal number of groups can be had now.
        1 => ForceCompact,
        /// From as few groups as possible, filling one after the other.
        2 => Tight,
        /// As `tight`, but only when the minimal number of groups can be had now.
        3 => ForceTight,
        /// Spread over all groups.
        4 => Scatter,
        /// The whole pool; the amount is not used.
        5 => All,
    }
}

int_struct! {
    /// One resource of a request.
    pub struct RequestEntry {
        /// Name of the resource.
        0 => pub resource: String,
        /// How much; zero only with [`Policy::All`].
        1 => pub amount: Amount,
        /// How to choose.
        2 => pub policy: Policy,
    }
}

int_struct! {
    /// One way in which a task can run.
    pub struct Variant {
        /// Number of whole nodes for a multi-node task; 0 for a task on one worker.
        0 => pub nodes: u32,
        /// The resources, in the order in which they were asked for.
        1 => pub entries: Vec<RequestEntry>,
        /// Least remaining lifetime of the worker.
        2 => pub min_time: Span,
        /// Weight in 1/10000; 0 stands for the default 1.0 (10000).
        3 => pub weight_parts: u32,
    }
}

int_struct! {
    /// All variants of a request, the preferred one first; never empty once it was accepted.
    pub struct ResourceRequest {
        /// The variants.
        0 => pub variants: Vec<Variant>,
    }
}

impl Policy {
    /// The word users write; `all` has no amount in front of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::ForceCompact => "compact!",
            Self::Tight => "tight",
            Self::ForceTight => "tight!",
            Self::Scatter => "scatter",
            Self::All => "all",
        }
    }
}

impl fmt::Display for RequestEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.policy {
            Policy::All => f.write_str("all"),
            policy => write!(f, "{} {}", self.amount, policy.word()),
        }
    }
}

impl ResourceRequest {
    /// The same request with the entries of the first variant of another one: in each variant they replace those of the
    /// same names and are added otherwise.
    pub fn with(&self, other: &Self) -> Self {
        let changed = other.variants.first().map_or(&[][..], |variant| variant.entries.as_slice());
        let mut request = self.clone();
        for variant in &mut request.variants {
            for entry in changed {
                match variant.entries.iter_mut().find(|old| old.resource == entry.resource) {
                    Some(old) => old.clone_from(entry),
                    None => variant.entries.push(entry.clone()),
                }
            }
        }
        request
    }
}

impl Variant {
    /// The weight in 1/10000, with the default filled in.
    pub fn weight(&self) -> u32 {
        if self.weight_parts == 0 { Amount::UNIT as u32 } else { self.weight_parts }
    }
}

impl ResourceRequest {
    /// A request for `amount` CPUs and nothing else.
    pub fn cpus(amount: Amount) -> Self {
        let entry = RequestEntry { resource: CPUS.to_owned(), amount, policy: Policy::Compact };
        Self { variants: vec![Variant { entries: vec![entry], ..Variant::default() }] }
    }

    /// A canonical byte form; equal requests have equal bytes, so that it can be the key of a class.
    pub fn canonical(&self) -> Vec<u8> {
        crate::cbor::encode(self)
    }
}
