//! Submits beyond the limits, through the program that users have: a sentence that names the limit, and nothing grows.
//!
//! A generated job file or a wrong path is enough to ask for what no machine has, so the client must not take the
//! memory either: it runs under a limit of its address space.
//!
//! Holds: each is refused by name of the limit; nothing of it reaches the journal; the server's memory stays.

use crate::harness::{Cluster, Done};
use crate::meter::Meter;
use crate::peer::jobs_known;
use std::fmt::Write;
use std::fs::File;
use std::process::Command;

/// Address space of a client, in KiB: a job file of the largest size and what is made of its parts.
const CLIENT_KIB_MAX: u64 = 400 * 1024;
/// Memory that all of them may cost the server, in KiB.
const SERVER_KIB_MAX: u64 = 24 * 1024;

/// Runs a command of the client under the limit of its memory.
fn hq(cluster: &Cluster, words: &[&str]) -> Done {
    let plain = cluster.command(words);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -v {CLIENT_KIB_MAX} && exec \"$0\" \"$@\"")]);
    limited.arg(plain.get_program()).args(plain.get_args()).current_dir(cluster.work());
    for (key, value) in plain.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    cluster.run(limited, b"", &words.iter().take(4).copied().collect::<Vec<_>>().join(" "))
}

/// A task of a job file with these lines.
fn task(lines: &str) -> String {
    format!("[[task]]\ncommand = [\"x\"]\n{lines}\n")
}

/// Files beyond limits, with what is said of each.
fn job_files() -> Vec<(&'static str, String, &'static str)> {
    let many_words = format!("[[task]]\ncommand = [{}]\n", "\"x\",".repeat(1_000_000));
    let mut circle = String::new();
    for id in 0..100_000u32 {
        let _ = write!(circle, "[[task]]\nid = {id}\ncommand = [\"x\"]\ndeps = [{}]\n", (id + 1) % 100_000);
    }
    let deps = format!("deps = [{}]", "1,".repeat(100_000));
    let mut many_deps = task("id = 1");
    for _ in 0..41 {
        many_deps += &task(&deps);
    }
    let variants = format!("request = [{}]", "{ resources = { cpus = 1 } },".repeat(33));
    let long = "x".repeat(3 << 20);
    vec![
        ("words", many_words, "1000000 words in the command are too many; at most 100000 are allowed"),
        ("tasks", "[[task]]\n".repeat(2_000_000), "2000000 individual tasks are too many; at most 1000000 are allowed"),
        ("circle", circle, "wait for each other in a cycle"),
        ("deps", many_deps, "4100000 dependencies are too many; at most 4000000 are allowed"),
        ("part", task(&format!("deps = [{}]", "1,".repeat(2_000_001))), "words and signs, at most 4000000 are allowed"),
        ("environment", task(&format!("env = {{ A = \"{long}\" }}")), "at most 2097152 are allowed"),
        ("argument", format!("[[task]]\ncommand = [\"{long}\"]"), "at most 2097152 are allowed"),
        ("stdin", task(&format!("stdin = \"{}\"", long.repeat(3))), "at most 8388608 are allowed"),
        ("directory", task(&format!("cwd = \"{long}\"")), "at most 16384 are allowed"),
        ("variants", task(&variants), "33 variants of a request are too many; at most 32 are allowed"),
        ("nodes", task("request = [{ n_nodes = 20000 }]"), "20000 nodes for one task are too many; at most 16384"),
        (
            "name",
            format!("name = \"{}\"\n{}", "x".repeat(5_000), task("")),
            "has 5000 bytes, at most 4096 are possible",
        ),
        ("nested", format!("name = {}", "[".repeat(10_000_000)), "Deserialization error: "),
    ]
}

#[test]
fn what_is_beyond_a_limit_is_refused_by_its_name() {
    let cluster = Cluster::start();
    let meter = Meter::start(&cluster);
    for (what, text, said) in job_files() {
        cluster.write("job.toml", &text);
        let done = hq(&cluster, &["job", "submit-file", "job.toml"]).code(1);
        assert!(done.stderr.contains(said), "{what}: {}", done.stderr);
        assert!(done.stderr.len() < 2_000, "{what}: {}", done.stderr.len());
    }
    let words: Vec<&str> = ["submit", "--"].into_iter().chain(std::iter::repeat_n("x", 100_001)).collect();
    hq(&cluster, &words).code(1).says("100001 words in the command are too many; at most 100000 are allowed");
    meter.within(SERVER_KIB_MAX);
    assert_eq!(jobs_known(&cluster), 0);
}

#[test]
fn files_larger_than_any_memory_are_refused_by_the_name_of_the_limit() {
    let cluster = Cluster::start();
    let meter = Meter::start(&cluster);
    // Ten gigabytes of zeros that take no room on the disk.
    let sparse = File::create(cluster.work().join("sparse")).unwrap();
    sparse.set_len(10 << 30).unwrap();
    let limit = "a job file has at most 67108864 bytes";
    hq(&cluster, &["job", "submit-file", "sparse"]).code(1).says(limit);
    let limit = "entry 0 is longer than the 122880 bytes that are allowed";
    hq(&cluster, &["submit", "--each-line", "sparse", "x"]).code(1).says(limit);
    hq(&cluster, &["submit", "--from-json", "sparse", "x"]).code(1).says("Cannot read sparse as JSON");
    cluster.write("lines", &"\n".repeat(6_000_001));
    let limit = "it has more than the 6000000 entries that are allowed";
    hq(&cluster, &["submit", "--each-line", "lines", "x"]).code(1).says(limit);
    cluster.write("array", &format!("[{}1]", "1,".repeat(6_000_000)));
    hq(&cluster, &["submit", "--from-json", "array", "x"]).code(1).says(limit);
    cluster.write("element", &format!("[[{}1]]", "1,".repeat(10_000_000)));
    let limit = "an element is longer than the 8388608 bytes that are allowed";
    hq(&cluster, &["submit", "--from-json", "element", "x"]).code(1).says(limit);
    cluster.write("nested", &"[".repeat(1_000_000));
    hq(&cluster, &["submit", "--from-json", "nested", "x"]).code(1).says("recursion limit exceeded");
    meter.within(SERVER_KIB_MAX);
    assert_eq!(jobs_known(&cluster), 0);
}

#[test]
fn an_array_of_all_ids_costs_nothing() {
    let mut cluster = Cluster::start();
    let meter = Meter::start(&cluster);
    let all = "0-4294967295";
    hq(&cluster, &["submit", "--array", all, "--stream=s", "x"]).ok();
    hq(&cluster, &["submit", "--array", "1-4294967295:2", "--stream=s", "--name=odd", "x"]).ok();
    let counts = |cluster: &Cluster| -> Vec<u64> {
        let jobs = cluster.json(&["job", "list", "--all"]);
        jobs.as_array().unwrap().iter().map(|job| job["task_count"].as_u64().unwrap()).collect()
    };
    assert_eq!(counts(&cluster), [1 << 32, 1 << 31]);
    let shown = hq(&cluster, &["job", "info", "1"]).ok();
    assert_eq!(shown.cell("Tasks"), format!("{}; Ids: {all}", 1u64 << 32));
    assert_eq!(hq(&cluster, &["job", "info", "2"]).ok().cell("Tasks"), format!("{}; Ids: 1-4294967295:2", 1u64 << 31));
    let some = ["--output-mode=json", "task", "list", "1", "--tasks", "7,4294967290-4294967295"];
    let some = hq(&cluster, &some).ok().json();
    assert_eq!(some["1"].as_array().map(Vec::len), Some(7));
    assert_eq!(some["1"][6], serde_json::json!({"id": u32::MAX, "state": "waiting"}));
    let limit = "A table has at most 1000000 tasks";
    hq(&cluster, &["task", "list", "2"]).code(1).says(limit);
    meter.within(SERVER_KIB_MAX);
    cluster.kill_server();
    cluster.start_server();
    assert_eq!(counts(&cluster), [1 << 32, 1 << 31]);
    let canceled = hq(&cluster, &["job", "cancel", "all"]).ok();
    canceled.says("Job 1 canceled").says("Job 2 canceled");
    assert_eq!(cluster.job_state(2).as_deref(), Some("CANCELED"));
}
