//! One journal has one server.
//!
//! Two writers would destroy it, so that the second one has to know before it touches anything.
//!
//! Holds: the refusal names the holder, and the first server does not notice.

use crate::harness::{Cluster, is_alive, wait_until};
use crate::replay::{replayed_equals_live, shown};
use crate::seed::rounds;
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[test]
fn a_second_server_on_a_journal_is_refused() {
    let mut cluster = Cluster::with_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
    let before = shown(&cluster);
    let journal = cluster.server_dir().join("journal");
    let other = cluster.path().join("other");
    let words = ["--server-dir", other.to_str().unwrap(), "server", "start", "--host=localhost"];
    let words: Vec<&str> = words.into_iter().chain(["--journal", journal.to_str().unwrap()]).collect();
    let holder = format!("process {} on host ", cluster.server_pid());
    for daemon in [None, Some("--daemon")] {
        let words: Vec<&str> = words.iter().copied().chain(daemon).collect();
        cluster.hq(&words).code(1).says("is in use by").says(&holder).says(" since ");
        assert!(!other.join("hq-current").exists());
    }
    assert!(is_alive(cluster.server_pid()));
    assert_eq!(shown(&cluster), before);
    // A holder that was killed holds nothing any more.
    replayed_equals_live(&mut cluster);
}

/// Races of two servers for one journal, in one run of all tests.
const RACES: u64 = 5;

/// A server with its own directory, on a journal that it may have to share.
fn start(cluster: &Cluster, dir: &Path, journal: &Path) -> Child {
    let [dir_text, journal] = [dir, journal].map(|path| path.to_str().unwrap().to_owned());
    let words = ["--server-dir", &dir_text, "server", "start", "--host=localhost", "--journal", &journal];
    let mut command: Command = cluster.command(&words);
    let log = std::fs::File::create(dir.with_extension("log")).unwrap();
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

#[test]
fn one_of_two_servers_that_start_at_once_gets_the_journal() {
    let cluster = Cluster::offline();
    let journal = cluster.path().join("journal");
    let by_link = cluster.path().join("link");
    std::fs::create_dir(&journal).unwrap();
    std::os::unix::fs::symlink(&journal, &by_link).unwrap();
    let mut before: Vec<String> = Vec::new();
    for race in 0..rounds(RACES) {
        let dirs: Vec<PathBuf> = ["a", "b"].map(|name| cluster.path().join(format!("{name}{race}"))).to_vec();
        // A journal is the same by whatever name.
        let mut servers: Vec<Child> =
            dirs.iter().zip([&journal, &by_link]).map(|(dir, name)| start(&cluster, dir, name)).collect();
        let mut refused = None;
        wait_until("one of them is refused", || {
            refused = servers.iter_mut().position(|server| server.try_wait().unwrap().is_some());
            refused.is_some()
        });
        let loser = refused.unwrap();
        let (loser_log, holder) = (dirs[loser].with_extension("log"), &dirs[1 - loser]);
        let pid = servers[1 - loser].id();
        assert_eq!(servers[loser].wait().unwrap().code(), Some(1));
        let log = std::fs::read_to_string(loser_log).unwrap();
        assert!(log.contains("is in use by") && log.contains(&format!("process {pid} on host ")), "{log}");
        let holder = holder.to_str().unwrap().to_owned();
        let call = |words: &[&str]| cluster.hq(&[&["--server-dir", &holder], words].concat());
        wait_until("the other one answers", || call(&["server", "info"]).code == Some(0));
        call(&["submit", "--stdout=none", "--stderr=none", "true"]).ok();
        // A holder that is frozen holds what it has.
        crate::harness::signal_to(pid, Signal::SIGSTOP);
        let mut late = start(&cluster, &cluster.path().join(format!("c{race}")), &by_link);
        wait_until("the third is refused", || late.try_wait().unwrap().is_some());
        assert_eq!(late.wait().unwrap().code(), Some(1));
        crate::harness::signal_to(pid, Signal::SIGCONT);
        call(&["submit", "--stdout=none", "--stderr=none", "true"]).ok();
        servers[1 - loser].kill().unwrap();
        servers[1 - loser].wait().unwrap();
        let words = ["journal", "export", "--all", journal.to_str().unwrap()];
        let after: Vec<String> = cluster.hq(&words).ok().stdout.lines().map(str::to_owned).collect();
        assert!(after.starts_with(&before) && after.len() > before.len(), "{before:?} {after:?}");
        before = after;
    }
    let submits = before.iter().filter(|line| line.contains("\"job-created\"")).count();
    assert_eq!(submits as u64, 2 * rounds(RACES));
}
