//! Access files made beforehand, ports without keys, chosen addresses, and waiting for a server.
//!
//! Sites with firewalls fix ports and hand out keys before a server runs; these are their scripts.
//!
//! Holds: a refusal says what to do, and leaves no file behind that was not there.

use crate::harness::{Cluster, Done, wait_until};
use serde_json::Value;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Two ports that were free a moment ago.
fn free_ports() -> [String; 2] {
    let sockets = [TcpListener::bind("0.0.0.0:0").unwrap(), TcpListener::bind("0.0.0.0:0").unwrap()];
    sockets.map(|socket| socket.local_addr().unwrap().port().to_string())
}

fn record(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A directory from which one role can find the server, as it is copied to another machine.
fn directory_with(cluster: &Cluster, name: &str, file: &str) -> PathBuf {
    let dir = cluster.work().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(cluster.work().join(file), dir.join("access.json")).unwrap();
    dir
}

fn start_with(cluster: &mut Cluster, args: &[&str]) {
    cluster.server_args = args.iter().map(|arg| (*arg).to_owned()).collect();
    cluster.start_server();
}

/// Runs a command where this passphrase is known.
fn with_passphrase(cluster: &Cluster, words: &[&str], passphrase: &str) -> Done {
    let mut command = cluster.command(words);
    command.env("HQ_ACCESS_PASSPHRASE", passphrase);
    cluster.run(command, b"", &words.join(" "))
}

#[test]
fn a_server_with_a_prepared_file() {
    let mut cluster = Cluster::offline();
    let [client, worker] = free_ports();
    let ports = ["--client-port", &client, "--worker-port", &worker];
    let files = ["--client-file=c.json", "--worker-file=w.json", "--host=localhost"];
    let words: Vec<&str> = ["server", "generate-access", "full.json"].into_iter().chain(ports).chain(files).collect();
    let done = cluster.hq(&words).ok();
    assert_eq!(done.stdout, "");
    let full = record(&cluster.work().join("full.json"));
    let keys: Vec<&str> = full.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    let mode = std::fs::metadata(cluster.work().join("w.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o400);
    cluster.hq(&words).code(1).says("File exists (os error 17)");

    // A partial record is not enough for a server, but for its own role.
    cluster.hq(&["server", "start", "--access-file=c.json"]).code(1).says("worker is missing or wrong");
    start_with(&mut cluster, &["--access-file=full.json"]);
    let current = cluster.server_dir().join("hq-current/access.json");
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(text(&current), text(&cluster.work().join("full.json")), "the record is taken as it is");
    let clients = directory_with(&cluster, "for-clients", "c.json");
    let info = cluster.json(&["--server-dir", clients.to_str().unwrap(), "server", "info"]);
    assert_eq!(info["client_port"].to_string(), client);
    assert_eq!(info["server_uid"], full["server_uid"]);
    let workers = directory_with(&cluster, "for-workers", "w.json");
    cluster.start_worker_with(&["--server-dir", workers.to_str().unwrap(), "--cpus=1"]);
    cluster.hq(&["submit", "--wait", "--", "true"]).ok();
}

#[test]
fn a_failed_generation_leaves_nothing() {
    let cluster = Cluster::offline();
    let ports = ["--client-port=1", "--worker-port=2"];
    cluster.hq(&["server", "generate-access", "a.json", "--client-port=1"]).code(2);
    cluster.hq(&["server", "generate-access", "a.json", "--client-port=0", "--worker-port=2"]).code(2);
    let [one, two] = ports;
    cluster.hq(&["server", "generate-access", "a.json", one, two, "--worker-file=no/such/w.json"]).code(1);
    assert!(!cluster.work().join("a.json").exists());
}

#[test]
fn a_sealed_file_needs_its_passphrase() {
    let mut cluster = Cluster::offline();
    let [client, worker] = free_ports();
    let words = ["server", "generate-access", "sealed.json", "--passphrase", "--host=localhost"];
    let words: Vec<&str> = words.into_iter().chain(["--client-port", &client, "--worker-port", &worker]).collect();
    with_passphrase(&cluster, &words, "open sesame").ok();
    let text = std::fs::read_to_string(cluster.work().join("sealed.json")).unwrap();
    assert!(text.contains("argon2id") && !text.contains("secret_key"), "{text}");
    let dir = directory_with(&cluster, "elsewhere", "sealed.json");
    let dir = dir.to_str().unwrap();
    let info = ["--server-dir", dir, "server", "info"];
    with_passphrase(&cluster, &info, "open sesam").code(1).says("the passphrase is wrong");

    cluster.wrapper = ["env", "HQ_ACCESS_PASSPHRASE=open sesame"].map(str::to_owned).to_vec();
    start_with(&mut cluster, &["--access-file=sealed.json"]);
    let current = std::fs::read_to_string(cluster.server_dir().join("hq-current/access.json")).unwrap();
    assert!(current.contains("argon2id") && !current.contains("secret_key"), "{current}");
    cluster.hq(&info).ok();
    cluster.start_worker(1);
    // What opens the file is no business of tasks.
    let job = cluster.submit(&["--wait", "--", "sh", "-c", "echo [$HQ_ACCESS_PASSPHRASE]"]);
    assert_eq!(cluster.hq(&["job", "cat", &job.to_string(), "stdout"]).ok().stdout, "[]\n");
}

#[test]
fn ports_without_keys() {
    let mut cluster = Cluster::offline();
    let disabled = ["client", "worker"].map(|role| format!("--disable-{role}-authentication-and-encryption"));
    start_with(&mut cluster, &[&disabled[0], &disabled[1]]);
    let log = cluster.logs();
    for role in ["client", "worker"] {
        assert!(log.contains(&format!("Server is started with unprotected {role} connections")), "{log}");
    }
    let mut access = record(&cluster.server_dir().join("hq-current/access.json"));
    assert!(access["client"]["secret_key"].is_null() && access["worker"]["secret_key"].is_null(), "{access}");
    cluster.hq(&["server", "info"]).ok().says("No client key: Unauthenticated and unencrypted connection to server");
    cluster.start_worker(1);
    assert!(cluster.logs().contains("No worker key: Unauthenticated and unencrypted connection to server"));
    cluster.hq(&["submit", "--wait", "--", "true"]).ok();

    // Somebody who thinks that there is a key, and the other way round.
    let keyed = cluster.work().join("keyed");
    std::fs::create_dir(&keyed).unwrap();
    access["client"]["secret_key"] = "1f".repeat(32).into();
    std::fs::write(keyed.join("access.json"), access.to_string()).unwrap();
    let info = ["--server-dir", keyed.to_str().unwrap(), "server", "info"];
    cluster.hq(&info).code(1).says("Authentication failed: Peer does not support authentication");
}

#[test]
fn chosen_addresses() {
    let mut cluster = Cluster::offline();
    start_with(&mut cluster, &["--listen=127.0.0.1", "--listen=127.0.0.2"]);
    let path = cluster.server_dir().join("hq-current/access.json");
    let mut copied = record(&path);
    assert_eq!(copied["client"]["addresses"], serde_json::json!(["127.0.0.1", "127.0.0.2"]));
    // The name leads nowhere, the first address is dead: the second one is found.
    let dir = cluster.work().join("copied");
    std::fs::create_dir(&dir).unwrap();
    copied["client"]["host"] = "no.such.host.invalid".into();
    copied["client"]["addresses"] = serde_json::json!(["127.0.0.3", "127.0.0.2"]);
    std::fs::write(dir.join("access.json"), copied.to_string()).unwrap();
    cluster.hq(&["--server-dir", dir.to_str().unwrap(), "server", "info"]).ok();
    cluster.hq(&["server", "start", "--listen=nowhere"]).code(2).says("an address has the form");
}

#[test]
fn over_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        // A machine without IPv6 can show nothing about it.
        return;
    }
    let mut cluster = Cluster::offline();
    start_with(&mut cluster, &["--listen=[::1]"]);
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "--", "true"]).ok();
    let mut copied = record(&cluster.server_dir().join("hq-current/access.json"));
    copied["client"]["host"] = "[::1]".into();
    copied["client"]["addresses"] = serde_json::json!([]);
    let dir = cluster.work().join("copied");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("access.json"), copied.to_string()).unwrap();
    let info = ["--server-dir", dir.to_str().unwrap(), "server", "info"];
    cluster.hq(&info).ok();
    cluster.kill_server();
    cluster.hq(&info).code(1).says("Access token found but HQ server [::1]:");
}

#[test]
fn waiting_for_a_server() {
    let mut cluster = Cluster::offline();
    let done = cluster.hq(&["server", "wait", "--timeout=100ms"]).code(1);
    let text = format!(
        "Timeout after 100ms: Could not connect to server at `{}`. Make sure that the server is running.",
        cluster.server_dir().display()
    );
    done.says("Waiting for server to become available (timeout: 100ms)...").says(&text);
    let mut waiting = cluster.command(&["--output-mode=json", "server", "wait", "--timeout=1:00"]).spawn().unwrap();
    cluster.start_server();
    wait_until("the waiting ends", || waiting.try_wait().unwrap().is_some_and(|status| status.success()));
}

#[test]
fn a_server_of_another_version_is_not_shadowed() {
    let cluster = Cluster::start();
    let path = cluster.server_dir().join("hq-current/access.json");
    let mut access = record(&path);
    let own = access["version"].as_str().unwrap().to_owned();
    access["version"] = "0.0.9".into();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, access.to_string()).unwrap();
    let text = format!("Access record contains version 0.0.9, but the current version is {own}.");
    cluster.hq(&["server", "info"]).code(1).says("Hyperqueue version mismatch detected.").says(&text);
    let done = cluster.hq(&["server", "start", "--no-journal"]).code(1);
    done.says("is already online, please stop it first using").says("of version 0.0.9");
}

#[test]
fn the_state_for_who_looks_for_a_defect() {
    let cluster = Cluster::with_worker(2);
    let job = cluster.submit(&["--array=1-3", "--", "sleep", "600"]);
    cluster.wait_job(job, "RUNNING");
    let path = cluster.work().join("dump.json");
    cluster.hq(&["server", "debug-dump", path.to_str().unwrap()]).ok();
    let dump = record(&path);
    assert_eq!(dump["tako"]["workers"][0]["id"], 1, "{dump}");
    assert_eq!(dump["tako"]["worker_groups"][0]["name"], "default", "{dump}");
    let states: Vec<&str> =
        dump["tako"]["tasks"].as_array().unwrap().iter().filter_map(|task| task["state"]["state"].as_str()).collect();
    assert!(states.contains(&"Running") || states.contains(&"Assigned"), "{dump}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    cluster.hq(&["server", "debug-dump", "/no/such/dir/x"]).code(1).says("Could not write debug dump: ");
}
