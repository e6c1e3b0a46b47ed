//! The control socket of a worker against those who should not use it, and those who use it badly.
//!
//! It lies on compute nodes that may be shared with others, and any program that a task starts can reach it.
//!
//! Holds: other users are not heard, whatever they know; wrong tokens are not answered; neither floods nor large messages
//! hurt the worker or keep its tasks from being heard.

use crate::harness::{Cluster, wait_until};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A worker that runs a task; its socket, and the token of the task.
fn scene() -> (Cluster, PathBuf, String) {
    let cluster = Cluster::with_worker(2);
    let script = r#"printf %s "$HQ_ACCESS_KEY" > key.new; mv key.new key; while ! test -e go; do sleep 0.02; done"#;
    cluster.submit(&["--stdout=none", "--stderr=none", "--", "sh", "-c", script]);
    wait_until("the task runs", || cluster.work().join("key").exists());
    let key = cluster.read("key");
    let (socket, token) = key.rsplit_once(':').unwrap();
    (cluster, PathBuf::from(socket), token.to_owned())
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// What is answered to bytes.
fn answer(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = connect(socket);
    // The worker may have heard enough before the end.
    let _ = stream.write_all(bytes);
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

fn request(token: &str, message: &str) -> Vec<u8> {
    format!("{token} {}\n{message}", message.len()).into_bytes()
}

#[test]
fn the_socket_is_private() {
    let (_cluster, socket, _) = scene();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
}

#[test]
fn only_a_running_task_is_heard() {
    let (cluster, socket, token) = scene();
    assert_eq!(answer(&socket, &request(&token, "hello")), "ok\n");
    let other = token.replace("hq0-", "hq0-x");
    for bytes in [
        request("hq0-abcdefgh", "x"),
        request(&other[..token.len()], "x"),
        request("", "x"),
        request(&token.to_lowercase().replace("hq0", "HQ0"), "x"),
        format!("{token}\nx").into_bytes(),
        format!("{token} -1\n").into_bytes(),
        format!("{token} 99999999999999999999\n").into_bytes(),
        b"\n\n\n".to_vec(),
        vec![0xff; 1_000],
    ] {
        assert_eq!(answer(&socket, &bytes), "", "{:?}", String::from_utf8_lossy(&bytes));
    }
    cluster.write("go", "");
    cluster.wait_job(1, "FINISHED");
    assert_eq!(answer(&socket, &request(&token, "late")), "");
}

#[test]
fn large_messages_are_refused() {
    let (cluster, socket, token) = scene();
    let longest = "x".repeat(1_024);
    assert_eq!(answer(&socket, &request(&token, &longest)), "ok\n");
    assert_eq!(answer(&socket, &request(&token, &(longest + "x"))), "");
    let mut huge = request(&token, "");
    huge.splice(token.len() + 1..huge.len(), b"4294967295\n".iter().copied());
    huge.resize(16 * 1024 * 1024, b'x');
    assert_eq!(answer(&socket, &huge), "");
    assert_eq!(answer(&socket, &vec![b'x'; 16 * 1024 * 1024]), "");
    cluster.hq(&["submit", "--wait", "--stdout=none", "--stderr=none", "true"]).ok();
}

#[test]
fn a_flood_of_the_silent_delays_and_no_more() {
    let (cluster, socket, token) = scene();
    let mut silent: Vec<UnixStream> = Vec::new();
    for _ in 0..100 {
        silent.push(connect(&socket));
    }
    // Those who are served are dropped at their deadline; then others are.
    assert_eq!(answer(&socket, &request(&token, "at last")), "ok\n");
    cluster.hq(&["submit", "--wait", "--stdout=none", "--stderr=none", "true"]).ok();
    drop(silent);
}

#[test]
fn a_task_that_never_stops_talking() {
    let (cluster, socket, token) = scene();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(answer(&socket, &request(&token, "again")), "ok\n");
                }
            });
        }
        cluster.hq(&["submit", "--wait", "--stdout=none", "--stderr=none", "true"]).ok();
    });
}

#[test]
fn another_user_is_not_heard() {
    let (cluster, socket, token) = scene();
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: only root can become another user, and setpriv is needed");
        return;
    }
    // As if everything that protects it had been opened by mistake.
    let mut path = socket.clone();
    while path.pop() && path.starts_with(cluster.path()) {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = cluster.path().join("hq");
    std::fs::copy(env!("CARGO_BIN_EXE_hq"), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let key = format!("{}:{token}", socket.display());
    let notify = |user: &str| {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={user}"), "--clear-groups", "--"]).arg(&program);
        command.args(["task", "notify", "x"]).env("HQ_ACCESS_KEY", &key).env("HOME", "/");
        command.output().unwrap()
    };
    let own = notify("0");
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    let other = notify("65534");
    let text = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(1), "{text}");
    assert!(text.contains("did not take the notification"), "{text}");
    assert!(cluster.logs().contains("Another user wanted to use the control socket"));
}
