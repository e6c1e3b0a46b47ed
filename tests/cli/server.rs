//! `hq server start`, `info` and `stop`.
//!
//! The record of a server is what scripts take ports and the uid from.
//!
//! Holds: a server that was told to end ends with 0 and takes `hq-current` away.

use crate::harness::{Cluster, is_alive, wait_until};
use nix::sys::signal::Signal;

#[test]
fn the_record() {
    let cluster = Cluster::start();
    let done = cluster.hq(&["server", "info"]).ok();
    assert_eq!(done.stdout.lines().count(), 11, "{done}");
    assert_eq!(done.cell("Client host"), "localhost");
    assert_eq!(done.cell("Pid"), cluster.server_pid().to_string());
    let value = cluster.json(&["server", "info"]);
    assert_eq!(value.as_object().unwrap().len(), 10, "{value}");
    assert!(value["server_dir"].is_null(), "{value}");
    assert_eq!(value["server_uid"].as_str().unwrap().len(), 6, "{value}");
    assert_eq!(cluster.hq(&["--output-mode=quiet", "server", "info"]).ok().stdout, "");
    let started = std::fs::read_to_string(cluster.path().join("server.out")).unwrap();
    assert!(started.contains("| Server directory |"), "{started}");
}

#[test]
fn orders_and_signals_end_it() {
    for end in [None, Some(Signal::SIGINT), Some(Signal::SIGTERM), Some(Signal::SIGHUP)] {
        let mut cluster = Cluster::start();
        match end {
            None => drop(cluster.hq(&["server", "stop"]).ok().says("INFO Stopping server")),
            Some(signal) => cluster.signal_server(signal),
        }
        let status = cluster.server_ends();
        assert!(status.success(), "{end:?}: {status}");
        assert!(!cluster.server_dir().join("hq-current").exists(), "{end:?}");
        assert!(cluster.server_dir().join("001").is_dir(), "{end:?}");
        cluster.hq(&["job", "list"]).code(1).says("No running instance of HQ found");
    }
}

#[test]
fn a_second_server_is_refused() {
    let cluster = Cluster::start();
    let done = cluster.hq(&["server", "start"]).code(1);
    done.says("is already online, please stop it first");
    cluster.hq(&["server", "info"]).ok();
}

#[test]
fn in_the_background() {
    let mut cluster = Cluster::offline();
    cluster.hq(&["server", "start", "--host=localhost", "--daemon"]).ok();
    let pid = u32::try_from(cluster.json(&["server", "info"])["pid"].as_u64().unwrap()).unwrap();
    cluster.adopt(pid);
    assert!(cluster.server_dir().join("server.log").is_file());
    cluster.hq(&["server", "stop"]).ok();
    wait_until("the server is gone", || !is_alive(pid));
}
