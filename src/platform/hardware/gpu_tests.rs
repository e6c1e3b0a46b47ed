//! GPUs of machines made of files, as the drivers show them.

use super::*;
use crate::platform::hardware::tests::machine;

fn none(_: &Mig) -> Option<String> {
    None
}

/// The files of an NVIDIA GPU: its address, its number, its NUMA node.
fn nvidia_card(files: &mut Vec<(String, String)>, bus: &str, minor: u32, node: i32) {
    let information = format!(
        "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 0\nGPU UUID: \t GPU-0000000{minor}-d33d-2b2c-524d-9e3d8d2b8a77\n\
         Video BIOS: \t 96.00.5e.00.01\nBus Type: \t PCIe\nBus Location: \t {bus}\nDevice Minor: \t {minor}\n"
    );
    files.push((format!("proc/driver/nvidia/gpus/{bus}/information"), information));
    files.push((format!("sys/bus/pci/devices/{bus}/numa_node"), format!("{node}\n")));
    files.push((format!("dev/nvidia{minor}"), String::new()));
}

fn tree(files: &[(String, String)]) -> tempfile::TempDir {
    machine(&files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>())
}

/// Labels with nodes.
fn shown(gpus: &Gpus) -> Vec<(&str, Option<u32>)> {
    gpus.gpus.iter().map(|gpu| (gpu.label.as_str(), gpu.node)).collect()
}

/// Eight GPUs in two sockets; the numbers of the device files are not in the order of the addresses.
fn two_sockets() -> Vec<(String, String)> {
    let mut files = vec![("dev/nvidiactl".to_owned(), String::new()), ("dev/nvidia-uvm".to_owned(), String::new())];
    for (place, bus) in ["1b", "43", "52", "61", "9d", "c3", "d1", "df"].iter().enumerate() {
        let place = u32::try_from(place).unwrap();
        nvidia_card(&mut files, &format!("0000:{bus}:00.0"), 7 - place, i32::try_from(place / 4).unwrap());
    }
    files
}

#[test]
fn one_h100() {
    let mut files = Vec::new();
    nvidia_card(&mut files, "0000:1b:00.0", 0, -1);
    files.push(("proc/driver/nvidia/capabilities/mig/config".into(), "DeviceFileMinor: 1\n".into()));
    let root = tree(&files);
    let gpus = nvidia(root.path(), None, &none);
    assert_eq!((shown(&gpus), gpus.numbered), (vec![("0", None)], true));
    assert_eq!(gpus.gpus[0].bus.as_deref(), Some("0000:1b:00.0"));
    assert_eq!(amd(root.path(), None).gpus, []);
    assert_eq!(nvidia(machine(&[]).path(), None, &none), Gpus { gpus: Vec::new(), numbered: true });
}

#[test]
fn an_h100_that_is_divided() {
    let mut files = Vec::new();
    nvidia_card(&mut files, "0000:1b:00.0", 0, 1);
    nvidia_card(&mut files, "0000:43:00.0", 1, 0);
    let access = "DeviceFileMinor: 30\nDeviceFileMode: 292\nDeviceFileModify: 1\n".to_owned();
    for part in ["gi2/ci0", "gi10/ci0", "gi9/ci1", "gi9/ci0"] {
        files.push((format!("proc/driver/nvidia/capabilities/gpu0/mig/{part}/access"), access.clone()));
    }
    files.push(("proc/driver/nvidia/capabilities/gpu0/mig/gi9/access".into(), access));
    let root = tree(&files);
    let gpus = nvidia(root.path(), None, &|mig| Some(format!("MIG-{}-{}", mig.gpu, mig.part)));
    let named = vec![("MIG-0-0", Some(1)), ("MIG-0-1", Some(1)), ("MIG-0-2", Some(1)), ("MIG-0-3", Some(1))];
    assert_eq!(shown(&gpus), [named, vec![("1", Some(0))]].concat());
    assert!(!gpus.numbered);
    let gpus = nvidia(root.path(), None, &none);
    assert_eq!(gpus.gpus[2].label, "MIG-GPU-00000000-d33d-2b2c-524d-9e3d8d2b8a77/9/1");
}

#[test]
fn eight_gpus_in_two_sockets() {
    let root = tree(&two_sockets());
    let gpus = nvidia(root.path(), None, &none);
    let nodes: Vec<Option<u32>> = gpus.gpus.iter().map(|gpu| gpu.node).collect();
    assert_eq!(nodes, [Some(0), Some(0), Some(0), Some(0), Some(1), Some(1), Some(1), Some(1)]);
    assert_eq!(gpus.gpus[7].label, "7");
    // Numbers count by address, so that the device file of the last one is nvidia0.
    let by = |value: &str| {
        let gpus = nvidia(root.path(), Some(value), &none);
        gpus.gpus.iter().map(|gpu| (gpu.label.clone(), gpu.node)).collect::<Vec<_>>()
    };
    let node = |label: &str, node: Option<u32>| (label.to_owned(), node);
    assert_eq!(by("7,0, 1"), [node("7", Some(1)), node("0", Some(0)), node(" 1", Some(0))]);
    assert_eq!(by("GPU-00000000,GPU-0000000"), [node("GPU-00000000", Some(1)), node("GPU-0000000", None)]);
    let old = "MIG-GPU-00000007-d33d-2b2c-524d-9e3d8d2b8a77/1/0";
    assert_eq!(by(&format!("{old},MIG-1234,99")), [node(old, Some(0)), node("MIG-1234", None), node("99", None)]);
}

#[test]
fn devices_that_a_container_hides_do_not_count() {
    let mut files = two_sockets();
    files.retain(|(name, _)| !["dev/nvidia3", "dev/nvidia2", "dev/nvidia1"].contains(&name.as_str()));
    assert_eq!(nvidia(tree(&files).path(), None, &none).gpus.len(), 5);
    // A container that shows no device file at all hides files, not GPUs.
    files.retain(|(name, _)| !name.starts_with("dev/"));
    assert_eq!(nvidia(tree(&files).path(), None, &none).gpus.len(), 8);
    // Without the driver's list the device files are counted.
    let devices = [("dev/nvidia0", ""), ("dev/nvidia3", ""), ("dev/nvidiactl", ""), ("dev/nvidia-caps", "")];
    let gpus = nvidia(machine(&devices).path(), None, &none);
    assert_eq!(shown(&gpus), [("0", None), ("1", None)]);
}

#[test]
fn variables() {
    let root = tree(&two_sockets());
    let count = |value: &str| nvidia(root.path(), Some(value), &none).gpus.len();
    for (value, expected) in [("", 0), ("-1", 0), ("NoDevFiles", 0), ("3", 1), ("a,b", 2), ("0,,1", 8), ("1,1", 8)] {
        assert_eq!(count(value), expected, "{value:?}");
    }
    let empty = machine(&[]);
    assert_eq!(shown(&amd(empty.path(), Some("0,GPU-77"))), [("0", None), ("GPU-77", None)]);
    assert_eq!(amd(empty.path(), Some("")).gpus, []);
}

#[test]
fn an_mi250_has_two_dies() {
    let mut files = vec![("dev/kfd".to_owned(), String::new())];
    let node = |simds: u32, location: u32, minor: u32| {
        format!("cpu_cores_count 0\nsimd_count {simds}\nlocation_id {location}\ndomain 0\ndrm_render_minor {minor}\n")
    };
    // Two CPU nodes, then the two dies of one card, then a GPU that this process may not see.
    let nodes = [node(0, 0, 0), node(0, 0, 0), node(416, 0xc100, 128), node(416, 0xc600, 129), node(416, 0x2f00, 130)];
    for (place, text) in nodes.into_iter().enumerate() {
        files.push((format!("sys/class/kfd/kfd/topology/nodes/{place}/properties"), text));
    }
    for (bus, numa) in [("0000:c1:00.0", "3\n"), ("0000:c6:00.0", "1\n")] {
        files.push((format!("sys/bus/pci/devices/{bus}/numa_node"), numa.to_owned()));
    }
    files.extend(["dev/dri/renderD128", "dev/dri/renderD129"].map(|name| (name.to_owned(), String::new())));
    let root = tree(&files);
    let gpus = amd(root.path(), None);
    assert_eq!((shown(&gpus), gpus.numbered), (vec![("0", Some(3)), ("1", Some(1))], true));
    assert_eq!(gpus.gpus[1].bus.as_deref(), Some("0000:c6:00.0"));
    assert_eq!(shown(&amd(root.path(), Some("1"))), [("1", Some(1))]);
    // A machine with a display of AMD, but without the compute driver.
    files.retain(|(name, _)| name != "dev/kfd");
    assert_eq!(amd(tree(&files).path(), None).gpus, []);
}
