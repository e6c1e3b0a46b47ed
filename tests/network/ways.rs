//! The ways between a worker and its server that are not a plain call: the server calls, ssh leads there, and what the
//! doctor says about them.
//!
//! The ssh of these tests is a script that does what ssh would do on this machine.
//!
//! Holds: a worker on any of the ways runs tasks, comes back when the server was started again, and leaves no process.

use crate::harness::{Cluster, Done, is_alive, wait_until, wait_until_or};
use crate::witness;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes down how it was called; `-W host:port` relays its standard streams, anything else runs the words behind `--`.
const SSH: &str = r#"#!/bin/bash
printf '%s\n' "$*" >> "$SSH_LOG"
while [ $# -gt 0 ]; do
  case "$1" in
    -W) place=$2; shift ;;
    -o|-p) shift ;;
    --) shift; break ;;
  esac
  shift
done
if [ -n "$place" ]; then
  echo $$ >> "$SSH_LOG.pids"
  exec 3<>"/dev/tcp/${place%:*}/${place##*:}" || exit 255
  cat <&3 & reader=$!
  cat >&3
  kill $reader 2>/dev/null
  exit 0
fi
eval "$*"
"#;

/// A directory with an ssh of ours, and the value of PATH that finds it first.
fn fake_ssh(cluster: &Cluster) -> String {
    let dir = cluster.path().join("bin");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("ssh");
    std::fs::write(&path, SSH).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default())
}

fn ssh_log(cluster: &Cluster) -> PathBuf {
    cluster.path().join("ssh.calls")
}

/// Runs a command whose ssh is ours.
fn with_ssh(cluster: &Cluster, words: &[&str]) -> Done {
    let mut command = cluster.command(words);
    command.env("PATH", fake_ssh(cluster)).env("SSH_LOG", ssh_log(cluster));
    cluster.run(command, b"", &words.join(" "))
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn the_server_calls_a_worker_that_cannot_call() {
    let mut cluster = Cluster::start();
    let number = cluster.start_worker_with(&["--cpus=1", "--reverse", witness::HEARTBEAT]);
    let posted = |cluster: &Cluster| {
        let dir = cluster.server_dir().join("hq-current/reverse");
        std::fs::read_dir(dir).map_or(0, |entries| entries.count())
    };
    assert_eq!(posted(&cluster), 1);
    let job = witness::submit(&cluster);
    // Another server is told where the worker is, and finds it with its task.
    cluster.kill_server();
    cluster.start_server();
    witness::first_copy_was_the_only_one(&cluster, job);
    assert_eq!(posted(&cluster), 1);
    cluster.hq(&["worker", "stop", "all"]).ok();
    assert!(cluster.worker_ends(number).success());
    assert_eq!(posted(&cluster), 0);
}

#[test]
fn ssh_leads_to_the_server() {
    let mut cluster = Cluster::offline();
    cluster.server_args = vec!["--listen=127.0.0.1".to_owned()];
    cluster.start_server();
    let variables = [format!("PATH={}", fake_ssh(&cluster)), format!("SSH_LOG={}", ssh_log(&cluster).display())];
    cluster.wrapper = ["env".to_owned()].into_iter().chain(variables).collect();
    let number = cluster.start_worker_with(&["--cpus=1", "--via=ssh:login7"]);
    cluster.wrapper.clear();
    cluster.hq(&["submit", "--wait", "--", "true"]).ok();
    let calls = lines(&ssh_log(&cluster));
    assert!(calls[0].contains("-W localhost:") && calls[0].ends_with(" login7"), "{calls:?}");
    let pids: Vec<u32> = lines(&cluster.path().join("ssh.calls.pids")).iter().map(|pid| pid.parse().unwrap()).collect();
    cluster.kill_worker(number);
    wait_until("no tunnel is left", || pids.iter().all(|pid| !is_alive(*pid)));
    cluster.hq(&["worker", "start", "--via=rsh:x"]).code(2).says("ssh:HOST");
    cluster.hq(&["worker", "start", "--via=ssh:-oProxyCommand=x"]).code(2);
    cluster.hq(&["worker", "start", "--via=ssh:x", "--reverse"]).code(2);
}

#[test]
fn workers_are_deployed() {
    let mut cluster = Cluster::start();
    let file = cluster.write("hosts", "node1\n\n [::1]:2222 \n");
    let file = file.to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_hq");
    std::thread::scope(|scope| {
        let deployed =
            scope.spawn(|| with_ssh(&cluster, &["worker", "deploy-ssh", file, "--cpus", "1", "--hostname", "n"]));
        witness::wait_states(&cluster, &["RUNNING", "RUNNING"]);
        cluster.hq(&["worker", "stop", "all"]).ok();
        let done = deployed.join().unwrap().ok();
        assert_eq!(done.stdout, "");
        for text in [
            "Started worker process at `node1`",
            "Started worker process at `::1`",
            "Worker at `node1` has ended successfully",
            "All workers have finished",
        ] {
            assert!(done.stderr.contains(text), "{done}");
        }
    });
    let mut calls = lines(&ssh_log(&cluster));
    calls.sort();
    let dir = cluster.server_dir();
    let rest = format!("-- {program} worker start --cpus 1 --hostname n --server-dir {}", dir.display());
    assert_eq!(calls, [format!("::1 -t -t -p 2222 {rest}"), format!("node1 -t -t {rest}")]);

    cluster.kill_server();
    let failing = ["worker", "deploy-ssh", file, "--server-dir=/no/such/dir", "--cpus=1"];
    let done = with_ssh(&cluster, &failing).code(1);
    done.says("has ended with an error: Worker exited with code 1").says("Some workers have ended with an error");
    with_ssh(&cluster, &["worker", "deploy-ssh", file, "--cpus", "x"]).code(2);
    with_ssh(&cluster, &["worker", "deploy-ssh", file, "--", "--help"]).code(0).prints("--on-server-lost");
    let empty = cluster.write("empty", "\n");
    with_ssh(&cluster, &["worker", "deploy-ssh", empty.to_str().unwrap()])
        .code(1)
        .says("The provided hostname is empty");
    let bad = cluster.write("bad", "a:b\n");
    with_ssh(&cluster, &["worker", "deploy-ssh", bad.to_str().unwrap()]).code(1).says("Invalid port");
}

#[test]
fn the_doctor_says_which_ways_work() {
    let mut cluster = Cluster::offline();
    cluster.hq(&["server", "doctor"]).code(1).says("No way leads from this machine to the server");
    cluster.server_args = vec!["--listen=127.0.0.1".to_owned(), "--listen=127.0.0.2".to_owned()];
    cluster.start_server();
    let value = cluster.json(&["server", "doctor"]);
    assert_eq!(value["reachable"], true, "{value}");
    let checks = value["checks"].as_array().unwrap();
    let good = |name: &str| checks.iter().any(|it| it["check"].as_str().unwrap().contains(name) && it["ok"] == true);
    for name in
        ["client port at localhost:", "client port at 127.0.0.2:", "worker port at 127.0.0.1:", "Clocks", "Shared"]
    {
        assert!(good(name), "{name}: {value}");
    }
    let dir = cluster.work().join("copied");
    std::fs::create_dir(&dir).unwrap();
    let path = cluster.server_dir().join("hq-current/access.json");
    let text = std::fs::read_to_string(path).unwrap();
    // A key of another server, at the addresses of this one.
    let mut access: serde_json::Value = serde_json::from_str(&text).unwrap();
    access["client"]["secret_key"] = "1f".repeat(32).into();
    std::fs::write(dir.join("access.json"), access.to_string()).unwrap();
    let words = ["--server-dir", dir.to_str().unwrap(), "server", "doctor"];
    let done = cluster.hq(&words).code(1);
    done.prints("Cannot verify challenge").prints("this directory is a copy");
    cluster.kill_server();
    let done = cluster.hq(&["server", "doctor"]).code(1);
    wait_until_or("the sign stands still", || done.stdout.clone(), || done.stdout.contains("stands still"));
}
