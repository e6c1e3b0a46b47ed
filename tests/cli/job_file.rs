//! `hq job submit-file`: jobs that a file describes.
//!
//! What the command line cannot say goes through here: different tasks, what waits for what, several ways to run.
//!
//! Holds: nothing is submitted unless the whole file can be; a refusal names the file, the line and the key.

use crate::harness::Cluster;
use serde_json::{Value, json};

/// Submits a file with this text and gives the id of the job.
fn submit(cluster: &Cluster, text: &str) -> u32 {
    cluster.write("job.toml", text);
    let done = cluster.hq(&["--output-mode=quiet", "job", "submit-file", "job.toml"]).ok();
    done.stdout.trim().parse().unwrap_or_else(|_| panic!("no id: {done}"))
}

fn states(cluster: &Cluster, job: u32) -> Vec<(u64, String)> {
    let tasks = cluster.tasks(job);
    tasks.iter().map(|task| (task["id"].as_u64().unwrap(), task["state"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn the_id_is_printed_as_the_mode_wants_it() {
    let cluster = Cluster::start();
    cluster.write("a.toml", "[[task]]\ncommand = [\"true\"]\n");
    let words = ["job", "submit-file", "a.toml"];
    assert_eq!(cluster.hq(&words).ok().stdout, "Job submitted successfully, job ID: 1\n");
    assert_eq!(cluster.json(&words), json!({"id": 2}));
    assert_eq!(cluster.hq(&["--output-mode=quiet", "job", "submit-file", "a.toml"]).ok().stdout, "3\n");
}

#[test]
fn a_diamond_runs_in_its_order() {
    let cluster = Cluster::with_worker(2);
    // A task fails unless those that it waits for have left their files.
    let text = r#"
name = "diamond"

[[task]]
id = 4
command = ["sh", "-c", "cat two three && echo four > four"]
deps = [2, 3]

[[task]]
id = 2
command = ["sh", "-c", "cat one && echo two > two"]
deps = [1]

[[task]]
id = 3
command = ["sh", "-c", "cat one && echo three > three"]
deps = [1, 1]

[[task]]
id = 1
command = ["sh", "-c", "echo one > one"]
"#;
    let job = submit(&cluster, text);
    cluster.hq(&["job", "wait", "last"]).ok();
    assert_eq!(cluster.job_state(job).as_deref(), Some("FINISHED"));
    assert_eq!(cluster.read("job-1/4.stdout"), "two\nthree\n");
    let task = cluster.hq(&["task", "info", "1", "4"]).ok();
    assert_eq!(task.cell("Dependencies"), "2,3");
    assert_eq!(cluster.hq(&["task", "info", "1", "3"]).ok().cell("Dependencies"), "1,1");
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Name"), info.cell("Tasks")), ("diamond".into(), "4; Ids: 1-4".into()));
    let submits = &cluster.json(&["job", "info", "1"])[0]["submits"];
    let graph = submits[0]["graph"].as_array().unwrap();
    assert_eq!((graph.len(), &graph[0]["program"]["args"][2]), (4, &json!("echo one > one")));
}

#[test]
fn a_failure_aborts_what_waits_for_it() {
    let cluster = Cluster::with_worker(1);
    let text = r#"
task = [
    { id = 0, command = ["false"] },
    { id = 1, command = ["true"], deps = [0] },
    { id = 2, command = ["true"], deps = [1] },
    { id = 3, command = ["true"] },
    { id = 4, command = ["true"], deps = [3] },
]"#;
    let job = submit(&cluster, text);
    cluster.hq(&["job", "wait", "last"]).ok();
    let expected = ["failed", "aborted", "aborted", "finished", "finished"];
    assert_eq!(states(&cluster, job), (0..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(cluster.job_state(job).as_deref(), Some("FAILED"));
}

#[test]
fn variants_run_where_they_fit() {
    let mut cluster = Cluster::start();
    let gpu = cluster.start_worker_with(&["--cpus=2", "--resource=gpus/nvidia=[7]"]);
    let cpu = cluster.start_worker_with(&["--cpus=4"]);
    assert_eq!((gpu, cpu), (0, 1));
    // Each task waits until both have begun, so they run at the same time and one of them has no GPU.
    let script = "touch began-$HQ_TASK_ID; \
                  until test -e began-1 && test -e began-2; do sleep 0.01; done; \
                  echo $HQ_RESOURCE_VARIANT:$HQ_RESOURCE_REQUEST_cpus:$HQ_RESOURCE_VALUES_gpus_nvidia";
    let task = format!(
        r#"
[[task]]
command = ["sh", "-c", '''{script}''']
[[task.request]]
resources = {{ "gpus/nvidia" = 1, cpus = 1 }}
[[task.request]]
resources = {{ cpus = "4 compact" }}
"#
    );
    let job = submit(&cluster, &task.repeat(2));
    cluster.hq(&["job", "wait", "last"]).ok();
    assert_eq!(cluster.job_state(job).as_deref(), Some("FINISHED"));
    let mut said = [cluster.read("job-1/1.stdout"), cluster.read("job-1/2.stdout")];
    said.sort();
    assert_eq!(said, ["0:1 compact:7\n", "1:4 compact:\n"]);
    let workers: Vec<Value> = cluster.tasks(job).iter().map(|task| task["worker"].clone()).collect();
    assert!(workers.contains(&json!(1)) && workers.contains(&json!(2)), "{workers:?}");
    let shown = cluster.hq(&["task", "info", "1", "1"]).ok();
    shown.prints("# Variant 1").prints("gpus/nvidia: 1 compact").prints("# Variant 2").prints("cpus: 4 compact");
    let desc = &cluster.json(&["job", "info", "1"])[0]["submits"][0]["graph"][1];
    assert_eq!(desc["resources"].as_array().unwrap().len(), 2);
}

#[test]
fn an_array_with_all_that_a_task_can_have() {
    let cluster = Cluster::with_worker(2);
    let text = r#"
max_fails = 0
[array]
ids = "5,7"
entries = ["one", "two words"]
command = ["sh", "-c", 'cat; echo "$HQ_ENTRY-$A"; pwd; test -d "$HQ_TASK_DIR"']
stdin = "in "
env = { A = "x=y" }
cwd = "sub"
stdout = "%{TASK_ID}:out"
stderr = { path = "%{TASK_ID}.err", on_close = "rm-if-finished" }
task_dir = true
"#;
    let job = submit(&cluster, text);
    cluster.hq(&["job", "wait", "last"]).ok();
    assert_eq!(cluster.job_state(job).as_deref(), Some("FINISHED"));
    let cwd = cluster.work().canonicalize().unwrap().join("sub");
    assert_eq!(cluster.read("sub/7:out"), format!("in two words-x=y\n{}\n", cwd.display()));
    assert!(!cluster.work().join("sub/5.err").exists());
    let info = cluster.hq(&["job", "info", "1"]).ok();
    assert_eq!((info.cell("Tasks"), info.cell("Name")), ("2; Ids: 5,7".into(), String::new()));
    assert_eq!(info.cell("Stdout"), format!("{}/%{{TASK_ID}}:out", cwd.display()));
    let program = &cluster.json(&["job", "info", "1"])[0]["submits"][0]["array"]["program"];
    assert_eq!((&program["cwd"], &program["stdout"]), (&json!("sub"), &json!("%{TASK_ID}:out")));
}

#[test]
fn an_empty_command_fails_its_task() {
    let cluster = Cluster::with_worker(1);
    let job = submit(&cluster, "[[task]]\ncommand = []\n");
    cluster.hq(&["job", "wait", "last"]).ok();
    let tasks = cluster.tasks(job);
    assert_eq!(tasks[0]["state"], json!("failed"));
    assert!(!tasks[0]["error"].as_str().unwrap().is_empty());
}

#[test]
fn wrong_files_are_refused_with_their_place() {
    let cluster = Cluster::start();
    let refused = |text: &str| {
        cluster.write("bad.toml", text);
        let done = cluster.hq(&["--output-mode=json", "job", "submit-file", "bad.toml"]).code(1);
        done.json()["error"].as_str().unwrap().to_owned()
    };
    let said = refused("[[task]]\ncommand = [\"x\"]\nrequest = [{ resources = { cpus = 0 } }]\n");
    assert!(said.starts_with("Deserialization error: bad.toml, line 3, column 35, `task[0].request[0]"), "{said}");
    assert!(said.contains("Zero resources cannot be requested"), "{said}");
    let said = refused("[[task]]\ncommand = [\"x\"]\nid = 1\ndeps = [1]\n");
    assert!(said.contains("line 4, column 8, `task[0].deps`") && said.contains("cycle"), "{said}");
    assert!(refused("name =").starts_with("Deserialization error: bad.toml, line 1, column "));
    assert!(refused("name = 1\n[[task]]\n").contains("`name`: invalid type: integer, expected a string"));
    std::fs::write(cluster.work().join("bytes.toml"), b"# \xff").unwrap();
    cluster.hq(&["job", "submit-file", "bytes.toml"]).code(1).says("bytes.toml is not UTF-8");
    cluster.hq(&["job", "submit-file", "missing.toml"]).code(1).says("Cannot read missing.toml");
    cluster.hq(&["job", "submit-file"]).code(2);
    assert_eq!(cluster.json(&["job", "list", "--all"]), json!([]));
}

#[test]
fn older_names_are_understood() {
    let cluster = Cluster::start();
    let task = "[[task]]\ncommand = [\"x\"]\nrequest = [{ resources = { mem = \"2GiB\" } }]\n";
    cluster.write("old.toml", &format!("stream_log = \"logs\"\n{task}"));
    let done = cluster.hq(&["job", "submit-file", "old.toml"]).ok();
    done.says("WARN `stream_log` is an older name of `stream`").says("`mem=2048` is the same");
    assert_eq!(cluster.hq(&["task", "info", "1", "1"]).ok().cell("Resources"), "mem: 2048 compact");
    cluster.hq(&["submit", "--resource=mem=100MiB", "true"]).ok().says("WARN Memory is requested in MiB");
}

#[test]
fn thousands_of_tasks() {
    let cluster = Cluster::start();
    // Two rows; each task of the second waits for two of the first, the last one also for the first.
    let row = 10_000;
    let mut text = String::new();
    for id in 0..2 * row {
        let deps = if id < row { String::new() } else { format!("deps = [{}, {}]\n", id - row, (id - row + 1) % row) };
        text.push_str(&format!("[[task]]\nid = {id}\ncommand = [\"echo\", \"{id}\"]\n{deps}"));
    }
    let job = submit(&cluster, &text);
    let list = cluster.json(&["job", "list"]);
    assert_eq!((&list[0]["id"], &list[0]["task_count"]), (&json!(job), &json!(2 * row)));
    assert_eq!(cluster.hq(&["task", "info", "1", "19999"]).ok().cell("Dependencies"), "9999,0");
}
