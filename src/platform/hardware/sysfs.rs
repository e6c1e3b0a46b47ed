//! Reads the kernel's own description of CPUs and memory.
//!
//! It is what remains where hwloc is not built in or does not work, and it always tells which CPUs are allowed.
//!
//! Invariants: every function takes the root of the file system, so that tests can show any machine; unexpected
//! content is an error that names the file.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Cpus, Error, collect};

/// More CPUs or nodes than any machine has; a larger number in a list is an error.
const NUMBER_MAX: u32 = 1 << 20;

/// The CPUs by NUMA node, from the nodes' lists, or without nodes from the list of CPUs that are online.
pub(super) fn cpus(root: &Path) -> Result<Cpus, Error> {
    let mask = allowed(root)?;
    let nodes = match read_list(root.join("sys/devices/system/node/online")) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        result => Some(result?),
    };
    let mut pairs = Vec::new();
    match nodes {
        Some(nodes) => {
            for node in nodes {
                let list = read_list(root.join(format!("sys/devices/system/node/node{node}/cpulist")))?;
                pairs.extend(list.into_iter().map(|cpu| (node, cpu)));
            }
        }
        None => {
            let online = read_list(root.join("sys/devices/system/cpu/online"))?;
            pairs.extend(online.into_iter().map(|cpu| (0, cpu)));
        }
    }
    let status = || Error::Format { path: root.join("proc/self/status") };
    collect(pairs, Some(&mask)).ok_or_else(status)
}

/// The CPUs that this process may run on; no limit on their number, unlike the system call's usual wrappers.
pub(super) fn allowed(root: &Path) -> Result<BTreeSet<u32>, Error> {
    let path = root.join("proc/self/status");
    let text = read(&path)?;
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let numbers = list.and_then(|list| numbers(list.trim()));
    numbers.filter(|numbers| !numbers.is_empty()).ok_or(Error::Format { path })
}

/// `MemTotal` in bytes.
pub(super) fn memory_total_bytes(root: &Path) -> Result<u64, Error> {
    let path = root.join("proc/meminfo");
    let text = read(&path)?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let total = total.and_then(|kib| kib.trim().parse::<u64>().ok()?.checked_mul(1024));
    total.ok_or(Error::Format { path })
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })
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
mod tests {
    use super::*;
    use std::fs;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const NODE: &str = "sys/devices/system/node";

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        let table: [(&str, Option<&[u32]>); 12] = [
            ("", Some(&[])),
            ("0", Some(&[0])),
            ("0-3,8,10-11", Some(&[0, 1, 2, 3, 8, 10, 11])),
            ("5-5", Some(&[5])),
            ("3-1", None),
            ("0-4294967295", None),
            ("1-", None),
            ("-", None),
            (",", None),
            ("a", None),
            ("0-1-2", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(numbers(text), expected.map(|list| list.iter().copied().collect()), "{text:?}");
        }
    }

    #[test]
    fn nodes_masks_and_their_absence() {
        let status = ("proc/self/status", "Name:\thq\nCpus_allowed_list:\t0-2,5\n");
        let two = [
            status,
            ("sys/devices/system/node/online", "0-2\n"),
            ("sys/devices/system/node/node0/cpulist", "0-3\n"),
            ("sys/devices/system/node/node1/cpulist", "4-7\n"),
            ("sys/devices/system/node/node2/cpulist", "\n"),
        ];
        let cpus_of = |files: &[(&str, &str)]| cpus(machine(files).path());
        assert_eq!(cpus_of(&two).unwrap(), Cpus { groups: vec![vec![0, 1, 2], vec![5]], filtered: true });

        let flat = [status, ("sys/devices/system/cpu/online", "0-2,5\n")];
        assert_eq!(cpus_of(&flat).unwrap(), Cpus { groups: vec![vec![0, 1, 2, 5]], filtered: false });

        assert!(matches!(cpus_of(&two[..3]).unwrap_err(), Error::Io { path, .. } if path.ends_with("node1/cpulist")));
        let elsewhere = [status, ("sys/devices/system/cpu/online", "8\n")];
        assert!(matches!(cpus_of(&elsewhere).unwrap_err(), Error::Format { .. }));
        let broken = [("proc/self/status", "Name:\thq\n")];
        assert!(matches!(cpus_of(&broken).unwrap_err(), Error::Format { path } if path.ends_with("status")));
        assert!(cpus_of(&[(&format!("{NODE}/online"), "0\n")]).is_err());
    }

    #[test]
    fn memory_is_in_bytes() {
        let total = |text: &str| memory_total_bytes(machine(&[("proc/meminfo", text)]).path());
        assert_eq!(total("MemTotal:       24685120 kB\nMemFree: 1 kB\n").unwrap(), 24_685_120 * 1024);
        for bad in ["", "MemTotal: x kB", "MemTotal: 5", "MemTotal: 18446744073709551615 kB"] {
            assert!(matches!(total(bad).unwrap_err(), Error::Format { .. }), "{bad}");
        }
    }
}
