//! Reads the kernel's own description of CPUs.
//!
//! It is what remains where hwloc is not built in or does not work, and it always tells which CPUs are allowed.
//!
//! Invariants: every function takes the root of the file system, so that tests can show any machine; unexpected
//! content is an error that names the file. What a kernel or a container does not show is left out of the topology;
//! only the list of CPUs has to be there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use super::topology::{Part, PartKind};

/// More CPUs or nodes than any machine has; a larger number in a list is an error.
const NUMBER_MAX: u32 = 1 << 20;
/// More caches than a CPU has.
const CACHES_MAX: u32 = 16;

const CPUS: &str = "sys/devices/system/cpu";
const NODES: &str = "sys/devices/system/node";

/// The parts of the machine.
pub(super) fn parts(root: &Path) -> Result<Vec<Part>, Error> {
    let mut parts = nodes(root)?;
    let threads: BTreeSet<u32> = match parts.is_empty() {
        false => parts.iter().flat_map(|part| part.cpus.iter().copied()).collect(),
        true => read_list(root.join(CPUS).join("online"))?,
    };
    // Two CPUs of a part give the same part, so a map holds it once.
    let mut shared = BTreeMap::new();
    for cpu in &threads {
        let dir = root.join(CPUS).join(format!("cpu{cpu}"));
        for part in around(&dir) {
            shared.insert((part.kind, part.cpus.clone()), part);
        }
    }
    parts.extend(packages(root, &threads));
    parts.extend(shared.into_values());
    parts.extend(threads.iter().map(|cpu| Part {
        kind: PartKind::Thread,
        number: Some(*cpu),
        bytes: None,
        cpus: vec![*cpu],
    }));
    Ok(parts)
}

fn nodes(root: &Path) -> Result<Vec<Part>, Error> {
    let numbers = match read_list(root.join(NODES).join("online")) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    };
    let node = |number: u32| {
        let dir = root.join(NODES).join(format!("node{number}"));
        let cpus = read_list(dir.join("cpulist"))?.into_iter().collect();
        Ok(Part { kind: PartKind::Node, number: Some(number), bytes: node_bytes(&dir), cpus })
    };
    numbers.into_iter().map(node).collect()
}

/// Memory of a node. Memory that was added at run time may be missing, so the sum is not the machine's.
fn node_bytes(dir: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(dir.join("meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.split_once("MemTotal:").map(|(_, rest)| rest));
    total?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Memory of each node of the machine, by its number, bytes; hwloc's part of this program does not tell it.
#[cfg(any(test, feature = "hwloc"))]
pub(super) fn memory_by_node(root: &Path) -> BTreeMap<u32, u64> {
    let numbers = read_list(root.join(NODES).join("online")).unwrap_or_default();
    let bytes = |number: u32| Some((number, node_bytes(&root.join(NODES).join(format!("node{number}")))?));
    numbers.into_iter().filter_map(bytes).collect()
}

/// The core and the caches that a CPU is in.
fn around(dir: &Path) -> Vec<Part> {
    let topology = dir.join("topology");
    let of = |name: &str| read_list(topology.join(name)).ok();
    let mut parts = Vec::new();
    if let Some(cpus) = of("core_cpus_list").or_else(|| of("thread_siblings_list")) {
        let number = number(&topology.join("core_id"));
        parts.push(Part { kind: PartKind::Core, number, bytes: None, cpus: cpus.into_iter().collect() });
    }
    let caches = (0..CACHES_MAX).map(|index| dir.join(format!("cache/index{index}")));
    parts.extend(caches.map_while(|dir| dir.is_dir().then(|| cache(&dir))).flatten());
    parts
}

/// A cache of the second level or above that holds data.
fn cache(dir: &Path) -> Option<Part> {
    let level = u8::try_from(number(&dir.join("level"))?).ok().filter(|level| *level >= 2)?;
    let holds_data = read(&dir.join("type")).is_ok_and(|kind| kind.trim() != "Instruction");
    let cpus = read_list(dir.join("shared_cpu_list")).ok()?.into_iter().collect();
    let size = read(&dir.join("size")).ok();
    let kib = size.and_then(|size| size.trim().strip_suffix('K')?.parse::<u64>().ok());
    let bytes = kib.and_then(|kib| kib.checked_mul(1024));
    holds_data.then_some(Part { kind: PartKind::Cache(level), number: None, bytes, cpus })
}

/// Packages by their numbers: kernels differ in the name of the file that lists their CPUs.
fn packages(root: &Path, threads: &BTreeSet<u32>) -> Vec<Part> {
    let mut packages: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for cpu in threads {
        let file = root.join(CPUS).join(format!("cpu{cpu}/topology/physical_package_id"));
        if let Some(package) = number(&file) {
            packages.entry(package).or_default().push(*cpu);
        }
    }
    let part = |(number, cpus)| Part { kind: PartKind::Package, number: Some(number), bytes: None, cpus };
    packages.into_iter().map(part).collect()
}

/// The CPUs that this process may run on; no limit on their number, unlike the system call's usual wrappers. The
/// kernel keeps it within what the cgroup allows.
pub(super) fn allowed(root: &Path) -> Result<BTreeSet<u32>, Error> {
    let path = root.join("proc/self/status");
    let text = read(&path)?;
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let numbers = list.and_then(|list| numbers(list.trim()));
    numbers.filter(|numbers| !numbers.is_empty()).ok_or(Error::Format { path })
}

pub(super) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })
}

/// A file with one number in it; kernels write -1 for what is not known, which is none.
pub(super) fn number(path: &Path) -> Option<u32> {
    read(path).ok()?.trim().parse().ok()
}

fn read_list(path: PathBuf) -> Result<BTreeSet<u32>, Error> {
    let text = read(&path)?;
    numbers(text.trim()).ok_or(Error::Format { path })
}

/// A list as in cpuset(7), for instance `0-3,8,10-11`; empty text is an empty list.
fn numbers(text: &str) -> Option<BTreeSet<u32>> {
    let mut numbers = BTreeSet::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > NUMBER_MAX {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
#[path = "sysfs_tests.rs"]
mod tests;
