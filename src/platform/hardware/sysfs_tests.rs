//! The reader of /sys against machines made of files.

use super::super::topology::Topology;
use super::*;
use crate::platform::hardware::tests::machine;

fn topology(files: &[(&str, &str)]) -> Result<Topology, Error> {
    let root = machine(files);
    Ok(Topology::new(parts(root.path())?).within(&allowed(root.path())?))
}

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
    let found = topology(&two).unwrap();
    assert_eq!((found.nodes(), found.is_filtered()), (vec![(0, vec![0, 1, 2]), (1, vec![5])], true));

    let flat = [status, ("sys/devices/system/cpu/online", "0-2,5\n")];
    let found = topology(&flat).unwrap();
    assert_eq!((found.nodes(), found.is_filtered()), (vec![(0, vec![0, 1, 2, 5])], false));
    assert_eq!(found.siblings(5), Some(&[5][..]));

    assert!(matches!(topology(&two[..3]), Err(Error::Io { path, .. }) if path.ends_with("node1/cpulist")));
    let elsewhere = [status, ("sys/devices/system/cpu/online", "8\n")];
    assert!(topology(&elsewhere).unwrap().is_empty());
    let broken = [("proc/self/status", "Name:\thq\n"), ("sys/devices/system/cpu/online", "0\n")];
    assert!(matches!(topology(&broken), Err(Error::Format { path }) if path.ends_with("status")));
    assert!(topology(&[status, ("sys/devices/system/node/online", "0\n")]).is_err());
}

#[test]
fn cores_caches_and_packages() {
    let mut files = vec![
        ("proc/self/status".to_owned(), "Cpus_allowed_list:\t0-3\n"),
        ("sys/devices/system/node/online".to_owned(), "0\n"),
        ("sys/devices/system/node/node0/cpulist".to_owned(), "0-3\n"),
        ("sys/devices/system/node/node0/meminfo".to_owned(), "Node 0 MemTotal:  1024 kB\nNode 0 MemFree: 1 kB\n"),
    ];
    for cpu in 0..4 {
        let at = |name: &str| format!("sys/devices/system/cpu/cpu{cpu}/{name}");
        let siblings = if cpu % 2 == 0 { "0,2\n" } else { "1,3\n" };
        files.push((at("topology/core_cpus_list"), siblings));
        files.push((at("topology/core_id"), if cpu % 2 == 0 { "0\n" } else { "1\n" }));
        files.push((at("topology/physical_package_id"), "0\n"));
        for (index, level, kind, size) in
            [(0, "1\n", "Data\n", "48K\n"), (1, "1\n", "Instruction\n", "32K\n"), (2, "2\n", "Unified\n", "2048K\n")]
        {
            files.push((at(&format!("cache/index{index}/level")), level));
            files.push((at(&format!("cache/index{index}/type")), kind));
            files.push((at(&format!("cache/index{index}/size")), size));
            files.push((at(&format!("cache/index{index}/shared_cpu_list")), siblings));
        }
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let found = topology(&files).unwrap();
    assert_eq!(found.siblings(3), Some(&[1, 3][..]));
    let tree = found.tree();
    let [package] = tree.as_slice() else { panic!("{tree:?}") };
    let [node] = package.parts.as_slice() else { panic!("{tree:?}") };
    assert_eq!(
        (package.part.kind, node.part.kind, node.part.bytes),
        (PartKind::Package, PartKind::Node, Some(1 << 20))
    );
    let [first, second] = node.parts.as_slice() else { panic!("{tree:?}") };
    assert_eq!((first.part.kind, first.part.bytes), (PartKind::Cache(2), Some(2 << 20)));
    assert_eq!((second.parts[0].part.kind, second.parts[0].part.number), (PartKind::Core, Some(1)));
    assert_eq!(second.parts[0].parts[1].part.number, Some(3));
    assert_eq!(memory_by_node(machine(&files).path()), [(0, 1 << 20)].into());
}
