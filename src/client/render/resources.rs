//! Resource requests and worker resources as tables and JSON show them.
//!
//! `job info`, `task info`, `worker info` and their JSON show the same requests; the forms are fixed.
//!
//! Holds: lines are sorted by the resource's name; amounts in JSON are integers in 1/10000.

use crate::grammar::weight;
use hq_core::resource::{Coupling, CouplingWeight, Policy, RequestEntry, ResourceRequest, Variant, WorkerResources};
use serde_json::{Value, json};

/// The lines of a request: one `name: request` a resource, or `nodes: N`; variants as blocks.
pub fn request_text(request: &ResourceRequest) -> String {
    match request.variants.as_slice() {
        [only] => variant_text(only),
        variants => {
            let block = |(at, variant)| format!("# Variant {}\n{}", at + 1, variant_text(variant));
            variants.iter().enumerate().map(block).collect::<Vec<_>>().join("\n\n")
        }
    }
}

/// The lines of one variant.
pub fn variant_text(variant: &Variant) -> String {
    let mut entries: Vec<&RequestEntry> = variant.entries.iter().collect();
    entries.sort_by_key(|entry| &entry.resource);
    let mut lines: Vec<String> = match variant.nodes {
        0 => entries.iter().map(|entry| format!("{}: {entry}", entry.resource)).collect(),
        nodes => vec![format!("nodes: {nodes}")],
    };
    if variant.weight() != weight::PARTS_PER_UNIT {
        lines.push(format!("[weight: {}]", weight::print(variant.weight())));
    }
    lines.join("\n")
}

/// The request in JSON: `{"Compact": 10000}` or `"All"`.
pub fn entry_json(entry: &RequestEntry) -> Value {
    let amount = entry.amount.0;
    match entry.policy {
        Policy::Compact => json!({ "Compact": amount }),
        Policy::ForceCompact => json!({ "ForceCompact": amount }),
        Policy::Tight => json!({ "Tight": amount }),
        Policy::ForceTight => json!({ "ForceTight": amount }),
        Policy::Scatter => json!({ "Scatter": amount }),
        Policy::All => json!("All"),
    }
}

/// One element of the JSON list `resources` of a task description.
pub fn variant_json(variant: &Variant) -> Value {
    let entry = |entry: &RequestEntry| json!({ "resource": entry.resource, "request": entry_json(entry) });
    json!({
        "n_nodes": variant.nodes,
        "min_time": super::time::seconds(variant.min_time),
        "weight": variant.weight(),
        "resources": variant.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

/// The resources of a worker on one line: `cpus 4x2; foo 0.5`.
pub fn worker_line(resources: &WorkerResources) -> String {
    worker(resources, " ", "; ")
}

/// The resources of a worker, one `cpus: 4x2` a line.
pub fn worker_lines(resources: &WorkerResources) -> String {
    worker(resources, ": ", "\n")
}

fn worker(resources: &WorkerResources, colon: &str, separator: &str) -> String {
    let shown = resources.pools.iter().enumerate().map(|(place, pool)| {
        let coupled = if resources.coupling.involves(place) { " [coupled]" } else { "" };
        format!("{}{colon}{pool}{coupled}", pool.name)
    });
    shown.collect::<Vec<_>>().join(separator)
}

/// Couplings: `{weights}`, each by the places of its resources among those of the worker.
pub fn coupling_json(coupling: &Coupling) -> Value {
    let weight = |item: &CouplingWeight| {
        json!({
            "resource1_idx": item.resource1,
            "group1_idx": item.group1,
            "resource2_idx": item.resource2,
            "group2_idx": item.group2,
            "weight": item.weight,
        })
    };
    json!({"weights": coupling.weights.iter().map(weight).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{coupling, pool, request};
    use hq_core::resource::Amount;
    use hq_core::time::Span;

    fn variant(entries: &[&str]) -> Variant {
        let entries = entries.iter().map(|text| request::parse_named(text).unwrap().entry).collect();
        Variant { entries, ..Variant::default() }
    }

    #[test]
    fn requests() {
        let one = ResourceRequest { variants: vec![variant(&["x=2 tight", "cpus=0.5"])] };
        assert_eq!(request_text(&one), "cpus: 0.5 compact\nx: 2 tight");
        let nodes = Variant { nodes: 3, weight_parts: 25_000, ..Variant::default() };
        assert_eq!(request_text(&ResourceRequest { variants: vec![nodes.clone()] }), "nodes: 3\n[weight: 2.5]");
        let two = ResourceRequest { variants: vec![variant(&["cpus=all"]), nodes] };
        assert_eq!(request_text(&two), "# Variant 1\ncpus: all\n\n# Variant 2\nnodes: 3\n[weight: 2.5]");
    }

    #[test]
    fn requests_as_json() {
        let cpus = ResourceRequest::cpus(Amount::units(1)).variants.remove(0);
        let expected = json!({"n_nodes": 0, "min_time": 0.0, "weight": 10000,
            "resources": [{"resource": "cpus", "request": {"Compact": 10000}}]});
        assert_eq!(variant_json(&cpus), expected);
        let timed = Variant { min_time: Span::from_ms(1_500), ..cpus };
        assert_eq!(variant_json(&timed)["min_time"], json!(1.5));
        let shown = |text| entry_json(&request::parse_named(text).unwrap().entry);
        assert_eq!(shown("x=all"), json!("All"));
        assert_eq!(shown("x=1.5 scatter"), json!({"Scatter": 15000}));
        assert_eq!(shown("x=1 tight!"), json!({"ForceTight": 10000}));
    }

    #[test]
    fn workers() {
        let pools = ["foo=sum(0.5)", "cpus=4x2"].map(|text| pool::parse(text).unwrap());
        let resources = pool::assemble(pools.into()).unwrap();
        assert_eq!(worker_line(&resources), "cpus 4x2; foo 0.5");
        assert_eq!(worker_lines(&resources), "cpus: 4x2\nfoo: 0.5");
    }

    #[test]
    fn coupled_workers() {
        let pools = ["g=[[a],[b]]", "cpus=2x2", "x=sum(1)"].map(|text| pool::parse(text).unwrap());
        let mut resources = pool::assemble(pools.into()).unwrap();
        resources.coupling = coupling::parse("g[1]:cpus[0]=7", &resources.pools).unwrap();
        assert_eq!(worker_line(&resources), "cpus 2x2 [coupled]; g 2x1 [coupled]; x 1");
        let item = json!({"resource1_idx": 0, "group1_idx": 0, "resource2_idx": 1, "group2_idx": 1, "weight": 7});
        assert_eq!(coupling_json(&resources.coupling), json!({"weights": [item]}));
    }
}
