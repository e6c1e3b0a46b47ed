//! `hq server start --daemon`: the server outlives the terminal that it was started from.
//!
//! Users close their connection to the login node and expect the server to be there tomorrow.
//!
//! Holds: nothing of the terminal belongs to the server; what it has to say is in its directory.

use crate::caller::Caller;
use crate::harness::{Cluster, is_alive, wait_until};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

/// Session and controlling terminal of a process (proc(5), fields 6 and 7 of `stat`).
fn session_and_terminal(pid: u32) -> (i64, i64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[3].parse().unwrap(), fields[4].parse().unwrap())
}

#[test]
fn a_server_in_the_background_outlives_its_terminal() {
    let mut cluster = Cluster::offline();
    let caller = Caller::of(&cluster);
    let line = format!("echo $$ > shell; {} server start --host=localhost --daemon; cat", caller.program());
    let mut terminal = caller.other("script");
    // A terminal whose keyboard is a pipe that stays open, so that the shell stays at its last command.
    terminal.args(["-qfc", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut terminal = terminal.spawn().unwrap();
    wait_until("the server answers", || cluster.hq(&["server", "info"]).code == Some(0));
    let pid = u32::try_from(cluster.json(&["server", "info"])["pid"].as_u64().unwrap()).unwrap();
    cluster.adopt(pid);
    let shell: u32 = cluster.read("shell").trim().parse().unwrap();
    let (session, tty) = session_and_terminal(shell);
    assert_ne!(tty, 0, "the shell has a terminal");
    let (own_session, own_tty) = session_and_terminal(pid);
    assert_ne!(own_session, session);
    assert_eq!(own_tty, 0);

    terminal.kill().unwrap();
    terminal.wait().unwrap();
    wait_until("the terminal's shell is gone", || !is_alive(shell));
    assert!(is_alive(pid));
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
    let log = cluster.server_dir().join("server.log");
    assert!(std::fs::read_to_string(&log).unwrap().contains("Worker 1 connected"));
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    cluster.hq(&["server", "stop"]).ok();
    wait_until("the server is gone", || !is_alive(pid));
    // In the foreground again, with what the one in the background left.
    cluster.start_server();
    assert_eq!(cluster.job_state(1).as_deref(), Some("FINISHED"));
    crate::replay::replayed_equals_live(&mut cluster);
}
