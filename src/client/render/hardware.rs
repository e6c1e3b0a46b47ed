//! What `hq worker hwdetect` shows: resources as a worker would offer them, and the parts of the machine as a tree.
//!
//! Holds: resources stand in the order in which they were looked for; the tree shows each part once, within the smallest
//! part around it, and runs of equal children of a large machine in full.

use super::{escape, resources, worker};
use crate::grammar::{coupling, pool};
use crate::platform::hardware::{Branch, Gpu, Gpus, PartKind, Topology};
use hq_core::resource::WorkerResources;
use serde_json::{Value, json};

/// The parts of a machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// CPUs and what is around them.
    pub topology: &'a Topology,
    /// GPUs with the names of their resources.
    pub gpus: &'a [(&'static str, Gpus)],
}

/// The text of the command; with the tree, if there is a machine.
pub fn text(found: &WorkerResources, machine: Option<Machine<'_>>) -> String {
    let mut text = format!("Summary:\n{}\n\nFull Description:\n", resources::worker_lines(found));
    for pool in &found.pools {
        text.push_str(&format!("{}: {}\n", pool.name, pool::full(&pool.kind)));
    }
    // Labels come from the environment.
    let mut text = escape::text(&text).into_owned();
    if let Some(machine) = machine {
        text.push_str("\nTopology:\n");
        text.push_str(&machine.tree());
        if !found.coupling.weights.is_empty() {
            text.push_str(&format!("\nCoupling:\n{}\n", coupling::print(&found.coupling, &found.pools)));
        }
    }
    text
}

/// The object of the command: `{resources, coupling}`, and `topology` if there is a machine.
pub fn to_json(found: &WorkerResources, machine: Option<Machine<'_>>) -> Value {
    let mut value = worker::resources_json(found);
    if let (Some(map), Some(machine)) = (value.as_object_mut(), machine) {
        map.insert("topology".to_owned(), machine.to_json());
    }
    value
}

impl<'a> Machine<'a> {
    /// GPUs with the names of their resources.
    fn gpus(self) -> impl Iterator<Item = (&'static str, &'a Gpu)> {
        self.gpus.iter().flat_map(|(name, gpus)| gpus.gpus.iter().map(|gpu| (*name, gpu)))
    }

    fn gpus_at(self, branch: &Branch<'_>) -> Vec<(&'static str, &'a Gpu)> {
        let number = branch.part.number.filter(|_| branch.part.kind == PartKind::Node);
        self.gpus().filter(|(_, gpu)| number.is_some() && gpu.node == number).collect()
    }

    /// Those that no shown node has.
    fn gpus_elsewhere(self) -> Vec<(&'static str, &'a Gpu)> {
        let nodes = nodes(&self.topology.tree());
        self.gpus().filter(|(_, gpu)| gpu.node.is_none_or(|node| !nodes.contains(&node))).collect()
    }

    fn tree(self) -> String {
        let mut text = String::new();
        for branch in self.topology.tree() {
            self.draw(&branch, 0, &mut text);
        }
        for (name, gpu) in self.gpus_elsewhere() {
            text.push_str(&gpu_line(name, gpu));
        }
        text
    }

    fn draw(self, branch: &Branch<'_>, depth: usize, text: &mut String) {
        let indent = "  ".repeat(depth);
        // A thread needs no line of its own: its core has the numbers.
        let threads = branch.parts.iter().all(|part| part.part.kind == PartKind::Thread) && !branch.parts.is_empty();
        let mut line = format!("{indent}{}", title(branch));
        if threads {
            let cpus: Vec<String> = branch.part.cpus.iter().map(u32::to_string).collect();
            line.push_str(&format!(": CPU {}", cpus.join(", ")));
        }
        text.push_str(&line);
        text.push('\n');
        for (name, gpu) in self.gpus_at(branch) {
            text.push_str(&format!("{indent}  {}", gpu_line(name, gpu)));
        }
        for part in branch.parts.iter().filter(|_| !threads) {
            self.draw(part, depth + 1, text);
        }
    }

    fn to_json(self) -> Value {
        let parts: Vec<Value> = self.topology.tree().iter().map(|branch| self.branch_json(branch)).collect();
        let elsewhere: Vec<Value> = self.gpus_elsewhere().iter().map(|(name, gpu)| gpu_json(name, gpu)).collect();
        json!({"parts": parts, "gpus": elsewhere})
    }

    fn branch_json(self, branch: &Branch<'_>) -> Value {
        let part = branch.part;
        json!({
            "kind": word(part.kind),
            "level": match part.kind { PartKind::Cache(level) => Some(level), _ => None },
            "number": part.number,
            "bytes": part.bytes,
            "cpus": part.cpus,
            "gpus": self.gpus_at(branch).iter().map(|(name, gpu)| gpu_json(name, gpu)).collect::<Vec<_>>(),
            "parts": branch.parts.iter().map(|branch| self.branch_json(branch)).collect::<Vec<_>>(),
        })
    }
}

fn nodes(branches: &[Branch<'_>]) -> Vec<u32> {
    let own = |branch: &Branch<'_>| branch.part.number.filter(|_| branch.part.kind == PartKind::Node);
    branches.iter().flat_map(|branch| own(branch).into_iter().chain(nodes(&branch.parts))).collect()
}

fn word(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Package => "package",
        PartKind::Node => "node",
        PartKind::Cache(_) => "cache",
        PartKind::Core => "core",
        PartKind::Thread => "thread",
    }
}

fn title(branch: &Branch<'_>) -> String {
    let part = branch.part;
    let name = match part.kind {
        PartKind::Package => "Package".to_owned(),
        PartKind::Node => "NUMA node".to_owned(),
        PartKind::Cache(level) => format!("L{level} cache"),
        PartKind::Core => "Core".to_owned(),
        PartKind::Thread => "CPU".to_owned(),
    };
    let number = part.number.map_or_else(String::new, |number| format!(" {number}"));
    let bytes = part.bytes.map_or_else(String::new, |bytes| format!(" ({})", binary(bytes)));
    format!("{name}{number}{bytes}")
}

/// A size in the largest unit that leaves at least one, with at most one decimal.
fn binary(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let shown = format!("{value:.1}");
    let shown = shown.strip_suffix(".0").unwrap_or(&shown);
    format!("{shown} {}", units.get(unit).copied().unwrap_or_default())
}

fn gpu_line(name: &str, gpu: &Gpu) -> String {
    let bus = gpu.bus.as_ref().map_or_else(String::new, |bus| format!(" at {bus}"));
    format!("{name} {}{bus}\n", escape::line(&gpu.label))
}

fn gpu_json(name: &str, gpu: &Gpu) -> Value {
    json!({"resource": name, "label": gpu.label, "bus": gpu.bus, "node": gpu.node})
}
