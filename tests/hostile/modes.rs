//! Other users of the same machine, who try to read what lies in files.
//!
//! A login node has hundreds of them, and many users work with a umask that hides nothing.
//!
//! Holds: under the most careless umask no file or directory of a server, a worker or a stream gives anybody else
//! anything; access files can only be read, and only by their owner.

use crate::harness::Cluster;
use crate::peer::{Peer, job, staying_task};
use hq_core::idset::IdSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a command line without any umask.
const CARELESS: [&str; 4] = ["sh", "-c", "umask 000; exec \"$@\"", "sh"];
/// The user and group who own nothing.
const NOBODY: u32 = 65_534;

/// Everything below a path, the path included.
fn below(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    let meta = path.symlink_metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).expect("a directory") {
            below(&entry.expect("an entry").path(), found);
        }
    }
}

/// Fails where anybody but the owner has a right to one of the paths.
#[track_caller]
fn private(paths: &[PathBuf]) {
    for path in paths {
        let meta = path.symlink_metadata().expect("a path");
        // The mode of a link means nothing.
        let mode = if meta.is_symlink() { 0 } else { meta.permissions().mode() & 0o7777 };
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        if path.file_name().is_some_and(|name| name == "access.json") {
            assert_eq!(mode, 0o400, "{}", path.display());
        }
    }
}

/// Those of the paths that a stranger on this machine can read, list or enter; none where the test may not become one.
fn open_to_nobody(paths: &[PathBuf]) -> Option<Vec<String>> {
    let script = "for p; do if test -r \"$p\" || test -x \"$p\"; then printf '%s\\n' \"$p\"; fi; done";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).args(paths).uid(NOBODY).gid(NOBODY).current_dir("/");
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let output = command.stdin(Stdio::null()).output().expect("a shell");
    assert!(output.status.code().is_some(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn nothing_is_readable_by_others_under_a_careless_umask() {
    let mut cluster = Cluster::start_under(&CARELESS);
    // Strangers can come as far as the directories of the test.
    [cluster.path().to_owned(), cluster.work(), cluster.tmp()].iter().for_each(|path| chmod(path, 0o755));
    cluster.start_worker(2);
    let stream = format!("--stream={}", cluster.work().join("stream").display());
    cluster.hq(&["submit", "--wait", &stream, "--array=1-20", "--", "sh", "-c", "echo secret-$HQ_TASK_ID"]).ok();
    let running = cluster.submit(&[&stream, "--", "sh", "-c", "echo secret; sleep 600"]);
    cluster.wait_job(running, "RUNNING");

    let mut desc = staying_task();
    desc.cwd = cluster.work().display().to_string();
    let staying = Peer::client(&cluster).submit(job("stays", IdSet::single(0), desc));
    cluster.wait_job(staying.0, "RUNNING");

    let mut paths = Vec::new();
    below(&cluster.server_dir(), &mut paths);
    below(&cluster.work().join("stream"), &mut paths);
    for entry in std::fs::read_dir(cluster.tmp()).expect("a directory") {
        below(&entry.expect("an entry").path(), &mut paths);
    }
    let named = |name: &str| paths.iter().filter(|path| path.to_string_lossy().contains(name)).count();
    for name in ["access.json", "journal", "stream/", "hq-worker"] {
        assert!(named(name) > 0, "no {name} in {paths:?}");
    }
    private(&paths);

    let open = cluster.work().join("open");
    std::fs::write(&open, "").unwrap();
    chmod(&open, 0o644);
    paths.push(open.clone());
    if let Some(found) = open_to_nobody(&paths) {
        assert_eq!(found, [open.display().to_string()], "what a stranger can open");
    }
    cluster.hq(&["job", "cancel", "all"]).ok();
}

#[test]
fn logs_and_journals_of_a_server_in_the_background_are_private() {
    let mut cluster = Cluster::offline();
    let journal = cluster.path().join("elsewhere/journal");
    let journal_option = format!("--journal={}", journal.display());
    let words = ["server", "start", "--daemon", "--host=localhost", &journal_option];
    let mut command = Command::new("sh");
    let plain = cluster.command(&words);
    command.args(&CARELESS[1..]).arg(plain.get_program()).args(plain.get_args()).current_dir(cluster.work());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    cluster.run(command, b"", "server start --daemon").ok();
    let pid = cluster.json(&["server", "info"])["pid"].as_u64().expect("a process");
    cluster.adopt(u32::try_from(pid).expect("a process id"));
    cluster.submit(&["true"]);
    let mut paths = Vec::new();
    below(&cluster.server_dir(), &mut paths);
    below(&journal, &mut paths);
    assert!(paths.iter().any(|path| path.ends_with("server.log")), "{paths:?}");
    assert!(paths.iter().filter(|path| path.starts_with(&journal)).count() > 2, "{paths:?}");
    private(&paths);
    cluster.hq(&["server", "stop"]).ok();
    let mut left = Vec::new();
    below(&cluster.server_dir(), &mut left);
    below(&journal, &mut left);
    private(&left);
}
