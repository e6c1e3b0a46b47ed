//! The GPUs of this machine: by the variables that batch systems set, else by the files of the drivers.
//!
//! No library of a maker is used, since none may be loaded into a static program. The parts of a divided GPU (MIG) are
//! found by the driver's files as well; only their names have to be asked for, see [`Mig`].
//!
//! Invariants: everything is below a root that is given, so that tests can show any machine; what is found twice or cannot
//! be read is left out; the order is that of the PCI addresses, in which programs number GPUs.

use super::sysfs::{number, read};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Variable with the visible GPUs of NVIDIA.
pub const NVIDIA_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";
/// Variable with the visible GPUs of AMD.
pub const AMD_VARIABLE: &str = "ROCR_VISIBLE_DEVICES";

/// A GPU, or a part of a divided one, as tasks name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// What a task finds in the variable of visible GPUs.
    pub label: String,
    /// NUMA node that it is at, if the kernel says so.
    pub node: Option<u32>,
    /// PCI address such as `0000:1b:00.0`, if known.
    pub bus: Option<String>,
}

/// The GPUs of one maker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gpus {
    /// In the order in which they are offered.
    pub gpus: Vec<Gpu>,
    /// Whether they are as the driver numbers them, from 0 on.
    pub numbered: bool,
}

/// A part of a divided GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mig {
    /// Number of the GPU in the order of the PCI addresses.
    pub gpu: u32,
    /// Number of the part within the GPU, from 0, in the order of the instances.
    pub part: u32,
}

/// What a variable of visible GPUs says.
#[derive(Debug, PartialEq, Eq)]
enum Visible {
    /// Nothing that can be used.
    Unset,
    /// None shall be used.
    Hidden,
    /// These.
    Labels(Vec<String>),
}

/// A GPU of NVIDIA as its driver describes it.
#[derive(Debug)]
struct Card {
    bus: String,
    node: Option<u32>,
    uuid: Option<String>,
    /// GPU and compute instances of a divided one.
    parts: Vec<(u32, u32)>,
}

fn visible(variable: &str, value: Option<&str>) -> Visible {
    let Some(value) = value else { return Visible::Unset };
    // Slurm hides by a name that is none, others by a number that is none.
    if matches!(value.trim(), "" | "-1" | "NoDevFiles") {
        return Visible::Hidden;
    }
    let labels: Vec<String> = value.split(',').map(str::to_owned).collect();
    if labels.iter().any(String::is_empty) {
        return Visible::Unset;
    }
    let distinct: BTreeSet<&String> = labels.iter().collect();
    if distinct.len() < labels.len() {
        log::warn!("{variable} contains duplicates ({value}), ignoring it");
        return Visible::Unset;
    }
    Visible::Labels(labels)
}

/// The GPUs of NVIDIA. `value` is that of [`NVIDIA_VARIABLE`]; `mig_label` gives the name of a part of a divided GPU, if
/// somebody knows it.
pub(super) fn nvidia(root: &Path, value: Option<&str>, mig_label: &dyn Fn(&Mig) -> Option<String>) -> Gpus {
    match visible(NVIDIA_VARIABLE, value) {
        Visible::Hidden => Gpus::default(),
        Visible::Unset => nvidia_by_files(root, mig_label),
        Visible::Labels(labels) => {
            let cards = cards(root);
            let gpus = labels.into_iter().map(|label| {
                let card = card_of(&cards, &label);
                Gpu { node: card.and_then(|card| card.node), bus: card.map(|card| card.bus.clone()), label }
            });
            Gpus { gpus: gpus.collect(), numbered: false }
        }
    }
}

/// The card that a number or a (possibly cut) UUID names, also that of a part in the old form.
fn card_of<'a>(cards: &'a [Card], label: &str) -> Option<&'a Card> {
    let label = label.trim();
    if let Ok(number) = label.parse::<usize>() {
        return cards.get(number);
    }
    let label = label.strip_prefix("MIG-").filter(|rest| rest.starts_with("GPU-")).unwrap_or(label);
    let uuid = label.split('/').next().filter(|uuid| uuid.starts_with("GPU-"))?;
    let mut named = cards.iter().filter(|card| card.uuid.as_ref().is_some_and(|own| own.starts_with(uuid)));
    named.next().filter(|_| named.next().is_none())
}

fn nvidia_by_files(root: &Path, mig_label: &dyn Fn(&Mig) -> Option<String>) -> Gpus {
    let cards = cards(root);
    let is_divided = cards.iter().any(|card| !card.parts.is_empty());
    let mut gpus = Vec::new();
    for (gpu, card) in (0..).zip(&cards) {
        let (node, bus) = (card.node, Some(card.bus.clone()).filter(|bus| !bus.is_empty()));
        if card.parts.is_empty() {
            gpus.push(Gpu { label: gpu.to_string(), node, bus });
            continue;
        }
        for (part, (instance, compute)) in (0..).zip(&card.parts) {
            // The form of older drivers, which needs nobody to be asked.
            let old = || Some(format!("MIG-{}/{instance}/{compute}", card.uuid.as_ref()?));
            if let Some(label) = mig_label(&Mig { gpu, part }).or_else(old) {
                gpus.push(Gpu { label, node, bus: bus.clone() });
            }
        }
    }
    Gpus { gpus, numbered: !is_divided }
}

/// The cards that the driver knows and whose device files are there, by PCI address. Containers that hide files of
/// devices leave the list of the driver as it is; where no device file is to be seen at all, the list counts.
fn cards(root: &Path) -> Vec<Card> {
    let devices: BTreeSet<u32> = names(&root.join("dev")).iter().filter_map(|name| numbered(name, "nvidia")).collect();
    let dir = root.join("proc/driver/nvidia/gpus");
    let buses = names(&dir);
    if buses.is_empty() {
        let unknown = |_| Card { bus: String::new(), node: None, uuid: None, parts: Vec::new() };
        return devices.iter().map(unknown).collect();
    }
    let card = |bus: String| {
        let text = read(&dir.join(&bus).join("information")).unwrap_or_default();
        let facts = facts(&text);
        let minor = facts.get("Device Minor").and_then(|minor| minor.parse::<u32>().ok());
        if minor.is_some_and(|minor| !devices.is_empty() && !devices.contains(&minor)) {
            return None;
        }
        let parts = minor.map(|minor| parts(root, minor)).unwrap_or_default();
        let uuid = facts.get("GPU UUID").filter(|uuid| uuid.starts_with("GPU-") && !uuid.contains('?')).cloned();
        Some(Card { node: node_of(root, &bus), uuid, parts, bus })
    };
    buses.into_iter().filter_map(card).collect()
}

/// The compute instances of a divided GPU, from `capabilities/gpu<minor>/mig/gi<n>/ci<m>`.
fn parts(root: &Path, minor: u32) -> Vec<(u32, u32)> {
    let dir = root.join(format!("proc/driver/nvidia/capabilities/gpu{minor}/mig"));
    let inside = |dir: &Path, word: &str| {
        let mut found: Vec<u32> = names(dir).iter().filter_map(|name| numbered(name, word)).collect();
        found.sort_unstable();
        found
    };
    let instances = inside(&dir, "gi").into_iter();
    instances.flat_map(|gi| inside(&dir.join(format!("gi{gi}")), "ci").into_iter().map(move |ci| (gi, ci))).collect()
}

/// The GPUs of AMD. `value` is that of [`AMD_VARIABLE`].
pub(super) fn amd(root: &Path, value: Option<&str>) -> Gpus {
    let found = match visible(AMD_VARIABLE, value) {
        Visible::Hidden => return Gpus::default(),
        Visible::Unset => None,
        Visible::Labels(labels) => Some(labels),
    };
    let cards = kfd(root);
    let Some(labels) = found else { return Gpus { gpus: cards, numbered: true } };
    let gpu = |label: String| {
        let card = label.trim().parse::<usize>().ok().and_then(|number| cards.get(number));
        Gpu { node: card.and_then(|card| card.node), bus: card.and_then(|card| card.bus.clone()), label }
    };
    Gpus { gpus: labels.into_iter().map(gpu).collect(), numbered: false }
}

/// The GPUs that the compute driver of AMD knows, in its order. A card that only draws the screen is none of them; each
/// die of a card with two (MI250) is one.
fn kfd(root: &Path) -> Vec<Gpu> {
    if !root.join("dev/kfd").exists() {
        return Vec::new();
    }
    let dir = root.join("sys/class/kfd/kfd/topology/nodes");
    let mut places: Vec<u32> = names(&dir).iter().filter_map(|name| name.parse().ok()).collect();
    places.sort_unstable();
    let mut gpus: Vec<Gpu> = Vec::new();
    for place in places {
        let text = read(&dir.join(place.to_string()).join("properties")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let facts: BTreeMap<&str, u64> =
            lines.filter_map(|(name, value)| Some((name, value.trim().parse().ok()?))).collect();
        let fact = |name: &str| facts.get(name).copied().unwrap_or(0);
        let render = format!("dev/dri/renderD{}", fact("drm_render_minor"));
        let is_hidden = root.join("dev/dri").exists() && !root.join(render).exists();
        if fact("simd_count") == 0 || is_hidden {
            continue;
        }
        let location = fact("location_id");
        let (domain, card, device, function) =
            (fact("domain"), location >> 8 & 0xff, location >> 3 & 0x1f, location & 7);
        let bus = format!("{domain:04x}:{card:02x}:{device:02x}.{function}");
        gpus.push(Gpu { label: gpus.len().to_string(), node: node_of(root, &bus), bus: Some(bus) });
    }
    gpus
}

/// NUMA node of a PCI device; the kernel writes -1 where it does not know.
fn node_of(root: &Path, bus: &str) -> Option<u32> {
    number(&root.join("sys/bus/pci/devices").join(bus.to_lowercase()).join("numa_node"))
}

/// `Name: value` lines.
fn facts(text: &str) -> BTreeMap<&str, String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.trim(), value.trim().to_owned())).collect()
}

/// The number after `word` in a name that is just these two.
fn numbered(name: &str, word: &str) -> Option<u32> {
    name.strip_prefix(word).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Names in a directory, sorted; none where there is no directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;
