//! `hq worker hwdetect`, and what workers find by themselves: sockets, GPUs, memory, and the batch job around them.
//!
//! Machines are shown to the program by hwloc's own variables, or as trees of files like those of the kernel and the
//! drivers; batch systems by commands in the PATH that answer as theirs do.
//!
//! Holds: nothing here depends on what the machine of the test has.

use crate::harness::{Cluster, Done};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Variables of the machine of the test that would change what is found.
const CLEARED: [&str; 8] = [
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "PBS_ENVIRONMENT",
    "PBS_JOBID",
    "SLURM_JOB_ID",
    "SLURM_JOBID",
    "SLURM_MEM_PER_NODE",
    "SLURM_MEM_PER_CPU",
];

/// Words in front of the program that give it this environment.
fn environment(variables: &[(&str, &str)]) -> Vec<String> {
    let mut words = vec!["env".to_owned()];
    words.extend(CLEARED.iter().flat_map(|name| ["-u".to_owned(), (*name).to_owned()]));
    words.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    words
}

fn start(variables: &[(&str, &str)]) -> Cluster {
    let words = environment(variables);
    Cluster::start_under(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs `hq worker hwdetect` on a machine.
#[track_caller]
fn hwdetect(variables: &[(&str, &str)], words: &[&str]) -> Done {
    let cluster = Cluster::offline();
    let words = [words, &["worker", "hwdetect"]].concat();
    let mut command = cluster.command(&words);
    for name in CLEARED {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    cluster.run(command, b"", &words.join(" ")).ok()
}

/// The pools that hwdetect gives in JSON, by name.
fn pools(done: &Done) -> Vec<(String, Value)> {
    let value = done.json();
    let list = value["resources"].as_array().unwrap();
    list.iter().map(|pool| (pool["name"].as_str().unwrap().to_owned(), pool.clone())).collect()
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Two sockets with two cores of two threads each (0 and 4, 1 and 5, ..), 64 GiB, and four GPUs on each.
fn gpu_box(root: &Path) {
    write(root, "proc/self/status", "Cpus_allowed_list:\t0-7\n");
    write(root, "proc/meminfo", "MemTotal:       67108864 kB\n");
    write(root, "sys/devices/system/node/online", "0-1\n");
    for (node, cpus) in [(0, "0-1,4-5\n"), (1, "2-3,6-7\n")] {
        write(root, &format!("sys/devices/system/node/node{node}/cpulist"), cpus);
        write(root, &format!("sys/devices/system/node/node{node}/meminfo"), "Node 0 MemTotal: 33554432 kB\n");
    }
    for cpu in 0..8 {
        let topology = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        write(root, &format!("{topology}/core_id"), &(cpu % 4 % 2).to_string());
        write(root, &format!("{topology}/core_cpus_list"), &format!("{},{}", cpu % 4, cpu % 4 + 4));
        write(root, &format!("{topology}/physical_package_id"), &(cpu % 4 / 2).to_string());
    }
    for (minor, bus) in ["1b", "43", "52", "61", "9d", "c3", "d1", "df"].iter().enumerate() {
        let bus = format!("0000:{bus}:00.0");
        let text = format!("GPU UUID: \t GPU-0000000{minor}-d33d\nDevice Minor: \t {minor}\n");
        write(root, &format!("proc/driver/nvidia/gpus/{bus}/information"), &text);
        write(root, &format!("sys/bus/pci/devices/{bus}/numa_node"), &format!("{}\n", minor / 4));
        write(root, &format!("dev/nvidia{minor}"), "");
    }
}

#[test]
fn this_machine() {
    let text = hwdetect(&[], &[]).stdout;
    assert!(text.starts_with("Summary:\ncpus: "), "{text}");
    assert!(text.contains("\n\nFull Description:\ncpus: "), "{text}");
    assert!(text.contains("\nmem: sum("), "{text}");
    let found = pools(&hwdetect(&[], &["--output-mode=json"]));
    assert_eq!((found[0].0.as_str(), found[found.len() - 1].0.as_str()), ("cpus", "mem"));
    assert_eq!(hwdetect(&[], &["--output-mode=quiet"]).stdout, "");
}

#[cfg(feature = "hwloc")]
#[test]
fn two_sockets_that_hwloc_makes_up() {
    let machine = [("HWLOC_SYNTHETIC", "pack:2 [numa(memory=8GB)] l3:1 core:2 pu:2")];
    let cluster = Cluster::offline();
    let run = |words: &[&str]| {
        let mut command = cluster.command(&[&["worker", "hwdetect"], words].concat());
        command.envs(machine);
        cluster.run(command, b"", "hwdetect").ok()
    };
    let text = run(&[]).stdout;
    assert!(text.starts_with("Summary:\ncpus: 2x4\n"), "{text}");
    assert!(text.contains("\ncpus: [[0,1,2,3],[4,5,6,7]]\n"), "{text}");
    assert!(run(&["--no-hyper-threading"]).stdout.contains("\ncpus: [[0,2],[4,6]]\n"));
    let text = run(&["--topology"]).stdout;
    let tree = "\
Topology:
Package 0
  NUMA node 0
    L3 cache (16 MiB)
      Core 0: CPU 0, 1
      Core 1: CPU 2, 3
Package 1
  NUMA node 1
    L3 cache (16 MiB)
      Core 2: CPU 4, 5
      Core 3: CPU 6, 7
";
    assert!(text.ends_with(tree), "{text}");
    let one = hwdetect(&[("HWLOC_SYNTHETIC", "pack:1 core:3 pu:1")], &["--output-mode=json"]);
    assert_eq!(pools(&one)[0].1, json!({"name": "cpus", "kind": "range", "start": 0, "end": 2}));
}

#[cfg(feature = "hwloc")]
#[test]
fn two_sockets_from_a_file_of_hwloc() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/data/two_sockets.xml");
    let found = pools(&hwdetect(&[("HWLOC_XMLFILE", file)], &["--output-mode=json"]));
    let groups = json!([["0", "2", "4", "6"], ["1", "3", "5", "7"]]);
    assert_eq!(found[0].1, json!({"name": "cpus", "kind": "groups", "groups": groups}));
    let cluster = start(&[("HWLOC_XMLFILE", file)]);
    let first_threads = cluster.hq(&["worker", "hwdetect", "--no-hyper-threading"]).ok();
    first_threads.prints("\ncpus: [[0,4],[1,5]]\n");
}

#[test]
fn a_box_with_eight_gpus_in_two_sockets() {
    let root = tempfile::tempdir().unwrap();
    gpu_box(root.path());
    let at = root.path().to_str().unwrap();
    let mut cluster = start(&[("HQ_HARDWARE_ROOT", at)]);
    let expected = "\
Summary:
cpus: 2x4 [coupled]
gpus/nvidia: 2x4 [coupled]
mem: 64.00 GiB

Full Description:
cpus: [[0,1,4,5],[2,3,6,7]]
gpus/nvidia: [[0,1,2,3],[4,5,6,7]]
mem: sum(65536)
";
    assert_eq!(cluster.hq(&["worker", "hwdetect"]).ok().stdout, expected);
    let weight = |group: u32| {
        let (first, second) = (0, 1);
        json!({
            "resource1_idx": first, "group1_idx": group, "resource2_idx": second, "group2_idx": group, "weight": 256
        })
    };
    let coupling = json!({"weights": [weight(0), weight(1)]});
    assert_eq!(cluster.json(&["worker", "hwdetect"])["coupling"], coupling);
    let topology = cluster.json(&["worker", "hwdetect", "--topology"])["topology"].clone();
    let node = &topology["parts"][1]["parts"][0];
    assert_eq!((&node["kind"], &node["number"], &node["cpus"]), (&json!("node"), &json!(1), &json!([2, 3, 6, 7])));
    let gpu = json!({"resource": "gpus/nvidia", "label": "4", "bus": "0000:9d:00.0", "node": 1});
    assert_eq!((&node["gpus"][0], &node["parts"][0]["kind"]), (&gpu, &json!("core")));
    let tree = cluster.hq(&["worker", "hwdetect", "--topology"]).ok();
    tree.prints("  NUMA node 1 (32 GiB)\n    gpus/nvidia 4 at 0000:9d:00.0\n")
        .prints("\nCoupling:\ncpus[0]:gpus/nvidia[0],");

    let offered = |cluster: &mut Cluster, words: &[&str]| {
        cluster.start_worker_with(words);
        let done = cluster.json(&["worker", "info", "last"]);
        done[0]["configuration"]["resources"].clone()
    };
    let found = offered(&mut cluster, &[]);
    assert_eq!(found["coupling"], coupling);
    assert_eq!(found["resources"][1]["kind"], "groups");
    // Without couplings the GPUs are the numbers that they always were.
    let flat = json!({"name": "gpus/nvidia", "kind": "range", "start": 0, "end": 7});
    let found = offered(&mut cluster, &["--coupling=none", "--no-hyper-threading"]);
    assert_eq!((&found["resources"][1], &found["coupling"]["weights"]), (&flat, &json!([])));
    assert_eq!(found["resources"][0]["groups"], json!([["0", "1"], ["2", "3"]]));
    let found = offered(&mut cluster, &["--coupling=cpus[0]:gpus/nvidia[1]=9"]);
    assert_eq!(found["coupling"]["weights"].as_array().unwrap().len(), 1);
    // CPUs that were given may be any, so their groups are not known to be nodes.
    let found = offered(&mut cluster, &["--cpus=2x2"]);
    assert_eq!((&found["resources"][1], &found["coupling"]["weights"]), (&flat, &json!([])));
    let found = offered(&mut cluster, &["--detect-resources=cpus"]);
    assert_eq!(found["resources"].as_array().unwrap().len(), 1);
    let found = offered(&mut cluster, &["--cpus=[5,1,3]", "--no-hyper-threading", "--detect-resources=none"]);
    assert_eq!(found["resources"][0]["values"], json!(["1", "3"]));
    let refused = cluster.hq(&["worker", "start", "--cpus=[0,8]", "--no-hyper-threading"]).code(1);
    refused.says("There is no CPU `8` on this machine");
}

#[test]
fn tasks_get_cpus_and_gpus_of_one_node() {
    let root = tempfile::tempdir().unwrap();
    gpu_box(root.path());
    let mut cluster = start(&[("HQ_HARDWARE_ROOT", root.path().to_str().unwrap())]);
    cluster.start_worker_with(&[]);
    // The GPUs have the numbers that they always had.
    let script = "echo $HQ_CPUS $CUDA_VISIBLE_DEVICES";
    let array = ["--array=1-4", "--cpus=2", "--resource=gpus/nvidia=2", "--stdout=%{TASK_ID}.out", "--"];
    let job = cluster.submit(&[&array[..], &["sh", "-c", script]].concat());
    cluster.wait_job(job, "FINISHED");
    for task in 1..=4 {
        let line = cluster.read(&format!("{task}.out"));
        let (cpus, gpus) = line.trim().split_once(' ').unwrap();
        let numbers = |text: &str| text.split(',').map(|label| label.parse().unwrap()).collect::<Vec<u32>>();
        let node = |cpu: u32| cpu % 4 / 2;
        let (cpus, gpus) = (numbers(cpus), numbers(gpus));
        assert_eq!((cpus.len(), gpus.len()), (2, 2), "{line}");
        assert!(cpus.iter().all(|cpu| node(*cpu) == gpus[0] / 4) && gpus[0] / 4 == gpus[1] / 4, "{line}");
    }
}

#[test]
fn variables_choose_gpus() {
    let root = tempfile::tempdir().unwrap();
    gpu_box(root.path());
    let at = ("HQ_HARDWARE_ROOT", root.path().to_str().unwrap());
    let gpus = |value: &str| {
        let found = pools(&hwdetect(&[at, ("CUDA_VISIBLE_DEVICES", value)], &["--output-mode=json"]));
        found.into_iter().find(|(name, _)| name == "gpus/nvidia").map(|(_, pool)| pool)
    };
    assert_eq!(gpus(""), None);
    assert_eq!(gpus("5,7").unwrap()["values"], json!(["5", "7"]));
    assert_eq!(gpus("5,1").unwrap()["groups"], json!([["1"], ["5"]]));
    assert_eq!(gpus("GPU-00000003,x").unwrap()["values"], json!(["GPU-00000003", "x"]));
    assert_eq!(gpus("1,,2").unwrap()["kind"], "groups");
    let twice = hwdetect(&[at, ("CUDA_VISIBLE_DEVICES", "1,1")], &[]);
    twice.says("CUDA_VISIBLE_DEVICES contains duplicates (1,1)").prints("gpus/nvidia: 2x4 [coupled]");
    let amd = hwdetect(&[at, ("ROCR_VISIBLE_DEVICES", "3,4")], &[]);
    amd.prints("gpus/amd: [3,4]\n").prints("gpus/nvidia: [[0,1,2,3],[4,5,6,7]]\n");
}

#[test]
fn parts_of_a_divided_gpu() {
    let root = tempfile::tempdir().unwrap();
    gpu_box(root.path());
    for part in ["gi1/ci0", "gi2/ci0"] {
        let name = format!("proc/driver/nvidia/capabilities/gpu1/mig/{part}/access");
        write(root.path(), &name, "DeviceFileMinor: 12\n");
    }
    let answer = "\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-00000000-d33d)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-00000001-d33d)
  MIG 3g.40gb     Device  0: (UUID: MIG-aaaa)
  MIG 3g.40gb     Device  1: (UUID: MIG-bbbb)
";
    let bin = commands(&[("nvidia-smi", &format!("cat <<'EOF'\n{answer}EOF\n"))]);
    let path = path_with(bin.path());
    let at = ("HQ_HARDWARE_ROOT", root.path().to_str().unwrap());
    hwdetect(&[at, ("PATH", &path)], &[]).prints("\ngpus/nvidia: [[0,MIG-aaaa,MIG-bbbb,2,3],[4,5,6,7]]\n");
    let without = commands(&[("nvidia-smi", "echo no driver >&2; exit 9")]);
    let done = hwdetect(&[at, ("PATH", &path_with(without.path()))], &[]);
    done.says("no driver").prints("[[0,MIG-GPU-00000001-d33d/1/0,MIG-GPU-00000001-d33d/2/0,2,3],[4,5,6,7]]");
}

/// A directory with commands, each a shell script.
fn commands(scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, script) in scripts {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

fn path_with(dir: &Path) -> String {
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

#[test]
fn a_worker_in_a_job_of_slurm() {
    let script = "test \"$*\" = 'show job 118' || exit 1\n\
                  echo '   JobId=118 JobName=x RunTime=00:13:45 TimeLimit=01:12:34 TimeMin=N/A'";
    let bin = commands(&[("scontrol", script)]);
    let path = path_with(bin.path());
    let variables = [("PATH", path.as_str()), ("SLURM_JOB_ID", "118"), ("SLURM_MEM_PER_NODE", "100")];
    let mut cluster = start(&variables);
    cluster.start_worker_with(&["--cpus=1"]);
    let info = cluster.hq(&["worker", "info", "1"]).ok();
    let cells = ["Manager", "Manager Job ID", "Group", "Time Limit"].map(|label| info.cell(label));
    assert_eq!(cells, ["SLURM", "118", "118", "58m 49s"]);
    info.prints("mem: 100.00 MiB");
    let value = cluster.json(&["worker", "info", "1"])[0].clone();
    assert_eq!(value["allocation"], json!({"manager": "Slurm", "id": "118"}));
    // What is given wins over what is found.
    cluster.start_worker_with(&["--cpus=1", "--group=red", "--time-limit=5m", "--resource=mem=sum(7)"]);
    let info = cluster.hq(&["worker", "info", "2"]).ok();
    assert_eq!((info.cell("Group"), info.cell("Time Limit")), ("red".into(), "5m".into()));
    info.prints("mem: 7.00 MiB");
    cluster.start_worker_with(&["--cpus=1", "--manager=none"]);
    let info = cluster.hq(&["worker", "info", "3"]).ok();
    let cells = ["Manager", "Manager Job ID", "Group", "Time Limit"].map(|label| info.cell(label));
    assert_eq!(cells, ["None", "N/A", "default", "None"]);
    let refused = cluster.hq(&["worker", "start", "--cpus=1", "--manager=pbs"]).code(1);
    refused.says("PBS_ENVIRONMENT is not set, so this is not a job of PBS");
    let journal = cluster.json(&["server", "info"])["journal_path"].as_str().unwrap().to_owned();
    let lines = cluster.hq(&["journal", "export", &journal]).ok().stdout;
    let connected = lines.lines().find(|line| line.contains("worker-connected")).unwrap();
    let event: Value = serde_json::from_str(connected).unwrap();
    let facts = event["event"]["configuration"]["extra"]["JobManager"].as_str().unwrap();
    let expected = json!({
        "manager": "Slurm", "allocation_id": "118", "max_memory_mb": 100, "time_limit": {"secs": 3_529, "nanos": 0}
    });
    assert_eq!(serde_json::from_str::<Value>(facts).unwrap(), expected);
}

#[test]
fn a_worker_in_a_job_of_pbs() {
    let answer = json!({"Jobs": {"7.pbs": {
        "Resource_List": {"walltime": "01:12:34", "nodect": 1},
        "resources_used": {"walltime": "00:13:45"},
    }}});
    let script = format!("test \"$*\" = '-f 7.pbs -F json' || exit 1\necho '{answer}'");
    let bin = commands(&[("qstat", &script)]);
    let path = path_with(bin.path());
    let pbs =
        [("PATH", path.as_str()), ("PBS_ENVIRONMENT", "PBS_BATCH"), ("PBS_JOBID", "7.pbs"), ("SLURM_JOB_ID", "1")];
    let mut cluster = start(&pbs);
    cluster.start_worker_with(&["--cpus=1"]);
    let info = cluster.hq(&["worker", "info", "1"]).ok();
    let cells = ["Manager", "Manager Job ID", "Group", "Time Limit"].map(|label| info.cell(label));
    assert_eq!(cells, ["PBS", "7.pbs", "7.pbs", "58m 49s"]);
    assert_eq!(cluster.json(&["worker", "info", "1"])[0]["allocation"]["manager"], "PBS");
}

#[test]
fn a_batch_system_that_does_not_answer_costs_a_warning() {
    let bin = commands(&[("scontrol", "echo 'Invalid job id specified' >&2; exit 1")]);
    let path = path_with(bin.path());
    let variables = [("PATH", path.as_str()), ("SLURM_JOBID", "5")];
    let mut cluster = start(&variables);
    cluster.start_worker_with(&["--cpus=1", "--manager=slurm"]);
    let info = cluster.hq(&["worker", "info", "1"]).ok();
    assert_eq!((info.cell("Manager Job ID"), info.cell("Time Limit")), ("5".into(), "None".into()));
    assert!(cluster.logs().contains("`scontrol show job 5` failed"), "{}", cluster.logs());
    let done = hwdetect(&[("PBS_ENVIRONMENT", "PBS_BATCH")], &[]);
    assert!(done.stdout.starts_with("Summary:"), "{done}");
}

#[test]
fn memory_is_what_the_cgroup_leaves() {
    let root = tempfile::tempdir().unwrap();
    gpu_box(root.path());
    let memory = || hwdetect(&[("HQ_HARDWARE_ROOT", root.path().to_str().unwrap())], &[]).stdout;
    write(root.path(), "proc/self/cgroup", "0::/job/step\n");
    write(root.path(), "sys/fs/cgroup/job/memory.max", "1073741824\n");
    assert!(memory().contains("\nmem: sum(1024)\n"), "{}", memory());
    write(root.path(), "sys/fs/cgroup/job/step/memory.max", "536870912\n");
    assert!(memory().contains("\nmem: sum(512)\n"), "{}", memory());
}

#[test]
fn overviews_are_kept() {
    let smi = "echo '00000000:1B:00.0, 35 %, 1024 MiB, 4096 MiB'";
    let rocm = r#"echo '{"card0": {"GPU use (%)": "7", "GPU memory use (%)": "3", "PCI Bus": "0000:C6:00.0"}}'"#;
    let bin = commands(&[("nvidia-smi", smi), ("rocm-smi", rocm)]);
    let mut cluster = start(&[("PATH", &path_with(bin.path()))]);
    let gpus = ["--resource=gpus/nvidia=[x]", "--resource=gpus/amd=[y]"];
    cluster.start_worker_with(&[&["--cpus=1", "--overview-interval=100ms"], &gpus[..]].concat());
    // A worker without an interval tells nothing.
    cluster.start_worker_with(&["--cpus=1"]);
    assert!(cluster.logs().contains("Observing nvidia GPU usage because of manually passed resource"));
    let journal = cluster.json(&["server", "info"])["journal_path"].as_str().unwrap().to_owned();
    let mut found = Vec::new();
    crate::harness::wait_until("two overviews are kept", || {
        let lines = cluster.hq(&["journal", "export", &journal]).ok().stdout;
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone());
        found = events.filter(|event| event["type"] == "worker-overview").collect();
        found.len() >= 2
    });
    assert!(found.iter().all(|event| event["id"] == 1), "{found:?}");
    let state = &found[0]["hw-state"]["state"];
    let share = state["cpu_usage"]["cpu_per_core_percent_usage"][0].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&share), "{state}");
    assert!(state["memory_usage"]["total"].as_u64() >= state["memory_usage"]["free"].as_u64(), "{state}");
    assert!(state["network_usage"]["rx_bytes"].is_u64(), "{state}");
    let gpu = |id: &str, processor: f64, memory: f64| {
        let gpu = json!({"id": id, "processor_usage": processor, "mem_usage": memory});
        json!({"gpus": [gpu]})
    };
    assert_eq!(state["nvidia_gpus"], gpu("00000000:1B:00.0", 35.0, 25.0));
    assert_eq!(state["amd_gpus"], gpu("0000:C6:00.0", 7.0, 3.0));
    // The state is the same with and without them.
    cluster.kill_server();
    cluster.start_server();
    cluster.hq(&["worker", "wait", "2"]).ok();
}

#[test]
fn labels_from_the_environment_cannot_move_the_cursor() {
    let done = hwdetect(&[("CUDA_VISIBLE_DEVICES", "a\u{1b}[2J")], &["--output-mode=cli"]);
    assert!(!done.stdout.contains('\u{1b}'), "{done}");
    done.prints("\\x1b[2J");
}
