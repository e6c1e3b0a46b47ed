//! Request classes: `T1`, `T2` and so on, for tasks that asked for the same and ran in the same way.
//!
//! A class is one concrete request, the variant that ran. Its number is given when the first task of it runs, so it does not
//! change when a report is made again, also not for another part of the time.
//!
//! Holds: there is a bounded number of classes; what is beyond is counted together, as the last one.

use super::sketch::Sketch;
use crate::client::render::resources::variant_text;
use crate::grammar::duration;
use hq_core::resource::{Policy, Variant};
use std::collections::HashMap;

/// Classes that are told apart.
pub const REQUESTS_MAX: usize = 24;

/// What is asked for of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// This much, in 1/10000.
    Parts(u64),
    /// All there is.
    All,
}

/// A class.
#[derive(Debug, Default)]
pub struct Request {
    /// What it asks for, in words.
    pub legend: String,
    /// Its number, from 1; none while nothing of it ran.
    pub number: Option<usize>,
    /// Whether it takes whole workers.
    pub is_whole: bool,
    /// The resources, by name.
    pub entries: Vec<(String, Asked)>,
    /// How long those took that finished.
    pub finished: Sketch,
    /// How long those took that failed.
    pub failed: Sketch,
    /// How many finished, and how many failed, also without a start.
    pub ends: (u64, u64),
}

/// All classes.
#[derive(Debug, Default)]
pub struct Requests {
    classes: Vec<Request>,
    by_legend: HashMap<String, usize>,
    numbered: usize,
}

impl Requests {
    /// The class of a variant.
    pub fn of(&mut self, variant: &Variant) -> usize {
        let mut legend = variant_text(&Variant { weight_parts: 0, ..variant.clone() }).replace('\n', ", ");
        if variant.min_time.0 > 0 {
            legend.push_str(&format!(", min_time: {}", duration::full(variant.min_time.to_duration())));
        }
        let asked = |policy, amount| if policy == Policy::All { Asked::All } else { Asked::Parts(amount) };
        let entries = variant.entries.iter().map(|entry| (entry.resource.clone(), asked(entry.policy, entry.amount.0)));
        self.named(legend, entries.collect(), variant.nodes > 0)
    }

    /// The class of tasks of which it is not known what they asked for.
    pub fn unknown(&mut self) -> usize {
        self.named("unknown".to_owned(), Vec::new(), false)
    }

    fn named(&mut self, legend: String, entries: Vec<(String, Asked)>, is_whole: bool) -> usize {
        if let Some(known) = self.by_legend.get(&legend) {
            return *known;
        }
        // One place is left for the rest, of which the amounts are not told apart.
        let (legend, entries, is_whole) = match self.classes.len() {
            count if count < REQUESTS_MAX => (legend, entries, is_whole),
            REQUESTS_MAX => ("any other request".to_owned(), Vec::new(), false),
            _ => return REQUESTS_MAX,
        };
        self.by_legend.insert(legend.clone(), self.classes.len());
        self.classes.push(Request { legend, entries, is_whole, ..Request::default() });
        self.classes.len() - 1
    }

    /// A class; it is a class that something ran of from now on.
    pub fn ran(&mut self, index: usize) -> Option<&mut Request> {
        let class = self.classes.get_mut(index)?;
        if class.number.is_none() {
            self.numbered += 1;
            class.number = Some(self.numbered);
        }
        Some(class)
    }

    /// A class.
    pub fn get(&self, index: usize) -> Option<&Request> {
        self.classes.get(index)
    }

    /// The classes with something to show, by their number.
    pub fn shown(&self) -> Vec<(usize, &Request)> {
        let ended = self.classes.iter().filter(|class| class.ends != (0, 0));
        let mut shown: Vec<_> = ended.filter_map(|class| class.number.map(|number| (number, class))).collect();
        shown.sort_by_key(|(number, _)| *number);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::resource::{Amount, RequestEntry};
    use hq_core::time::Span;

    fn cpus(units: u32) -> Variant {
        let entry = RequestEntry { resource: "cpus".into(), amount: Amount::units(units), policy: Policy::Compact };
        Variant { entries: vec![entry], ..Variant::default() }
    }

    #[test]
    fn legends_and_numbers() {
        let mut requests = Requests::default();
        let two = requests.of(&cpus(2));
        let late = requests.of(&Variant { min_time: Span::from_secs(30), ..cpus(2) });
        let nodes = requests.of(&Variant { nodes: 2, ..Variant::default() });
        assert_eq!(requests.of(&Variant { weight_parts: 5_000, ..cpus(2) }), two);
        for class in [nodes, two, late, two] {
            requests.ran(class).unwrap().ends.0 += 1;
        }
        let shown: Vec<_> =
            requests.shown().into_iter().map(|(number, class)| (number, class.legend.clone())).collect();
        assert_eq!(
            shown,
            [
                (1, "nodes: 2".to_owned()),
                (2, "cpus: 2 compact".to_owned()),
                (3, "cpus: 2 compact, min_time: 30s".to_owned())
            ]
        );
    }

    #[test]
    fn there_are_only_so_many() {
        let mut requests = Requests::default();
        let classes: Vec<usize> = (1..200).map(|units| requests.of(&cpus(units))).collect();
        assert_eq!(*classes.iter().max().unwrap(), REQUESTS_MAX);
        assert_eq!(requests.classes.len(), REQUESTS_MAX + 1);
        assert_eq!(requests.unknown(), REQUESTS_MAX);
    }
}
