//! The server directory as servers, clients and workers use it together.
//!
//! The texts and the file's form are what users' scripts and copies by hand depend on.
//!
//! What holds: each test has a directory of its own, which is gone afterwards.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::wire::{Role, SecretKey, ServerUid};

const VERSION: &str = "0.1.0-dev";

fn record() -> AccessFile {
    let endpoint = |host: &str, port, byte| Endpoint {
        host: host.to_owned(),
        addresses: Vec::new(),
        port,
        key: SecretKey::from_bytes([byte; 32]),
    };
    AccessFile {
        version: VERSION.to_owned(),
        server_uid: ServerUid::parse("aB3xY9").unwrap(),
        client: endpoint("login1", 4_001, 0x1f),
        worker: endpoint("login1.ib", 4_002, 0xa0),
        passphrase: None,
    }
}

/// A started server: its numbered directory with an access file, published.
fn start(root: &Path) -> ServerDir {
    let dir = ServerDir::create(root).unwrap();
    record().write(&dir.access_path()).unwrap();
    dir.publish().unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_full_record_has_exactly_this_form() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("access.json");
    record().write(&path).unwrap();
    let expected = format!(
        r#"{{
  "version": "0.1.0-dev",
  "server_uid": "aB3xY9",
  "client": {{
    "host": "login1",
    "port": 4001,
    "secret_key": "{}"
  }},
  "worker": {{
    "host": "login1.ib",
    "port": 4002,
    "secret_key": "{}"
  }}
}}"#,
        "1f".repeat(32),
        "a0".repeat(32)
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o400);
    let back = AccessFile::read(&path, VERSION).unwrap();
    assert_eq!(back.server_uid, record().server_uid);
    assert_eq!((back.worker.host.as_str(), back.worker.port), ("login1.ib", 4_002));
    assert_eq!(back.worker.key.to_hex(), record().worker.key.to_hex());
    assert_eq!(back.client.key.to_hex(), record().client.key.to_hex());
    assert!(record().write(&path).unwrap_err().to_string().contains("File exists (os error 17)"));
    assert!(!format!("{back:?}").contains("1f1f"));
}

#[test]
fn partial_records_serve_their_role_only() {
    let temp = tempfile::tempdir().unwrap();
    let (client, worker) = (temp.path().join("c"), temp.path().join("w"));
    std::fs::create_dir(&client).unwrap();
    std::fs::create_dir(&worker).unwrap();
    record().write_client(&client.join("access.json")).unwrap();
    record().write_worker(&worker.join("access.json")).unwrap();
    let text = std::fs::read_to_string(worker.join("access.json")).unwrap();
    assert!(
        text.starts_with("{\n  \"version\": \"0.1.0-dev\",\n  \"worker\": {\n    \"host\"") && text.ends_with("  }\n}")
    );
    assert!(!text.contains("client") && !text.contains("server_uid"));
    let access = load_client(&client, VERSION).unwrap();
    assert_eq!((access.endpoint.port, access.role), (4_001, Role::Client));
    assert!(access.server_uid.is_any());
    assert_eq!(load_worker(&worker, VERSION).unwrap().endpoint.port, 4_002);
    for error in [
        load_worker(&client, VERSION).unwrap_err(),
        load_client(&worker, VERSION).unwrap_err(),
        AccessFile::read(&worker.join("access.json"), VERSION).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[test]
fn wrong_content_is_an_error_that_does_not_repeat_it() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("access.json");
    let key = "1f".repeat(32);
    let endpoint = |port: &str, key: &str| {
        format!(
            r#"{{"version":"0.1.0-dev","extra":[1],"client":{{"host":"h","port":{port},"secret_key":{key},"x":1}}}}"#
        )
    };
    std::fs::write(&path, endpoint("1", &format!("\"{key}\""))).unwrap();
    load_client(temp.path(), VERSION).unwrap();
    for text in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"version":1}"#.to_owned(),
        r#"{"version":"0.1.0-dev","server_uid":"../..","client":{}}"#.to_owned(),
        endpoint("0", &format!("\"{key}\"")),
        endpoint("65536", &format!("\"{key}\"")),
        endpoint("\"1\"", &format!("\"{key}\"")),
        endpoint("1", &format!("\"{key}a\"")),
        endpoint("1", "17"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = load_client(temp.path(), VERSION).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{text}: {error}");
        assert!(!error.to_string().contains("1f1f"));
    }
    std::fs::write(&path, endpoint("1", "null")).unwrap();
    assert!(load_client(temp.path(), VERSION).unwrap().endpoint.key.is_absent());
}

#[test]
fn further_addresses_stand_beside_what_older_readers_take() {
    let temp = tempfile::tempdir().unwrap();
    let mut written = record();
    written.client.addresses = vec!["10.0.0.1".to_owned(), "fd00::1".to_owned()];
    written.worker.key = SecretKey::absent();
    written.write(&temp.path().join("access.json")).unwrap();
    let text = std::fs::read_to_string(temp.path().join("access.json")).unwrap();
    assert!(text.contains("\",\n    \"addresses\": [\"10.0.0.1\", \"fd00::1\"]\n  },"), "{text}");
    assert!(text.contains("\"port\": 4002,\n    \"secret_key\": null\n  }\n}"), "{text}");
    let read = load_client(temp.path(), VERSION).unwrap();
    assert_eq!(read.endpoint.hosts(), ["login1", "10.0.0.1", "fd00::1"]);
    assert!(load_worker(temp.path(), VERSION).unwrap().endpoint.key.is_absent());
    let (any, version) = load_any_version(temp.path(), Role::Client).unwrap();
    assert_eq!((any.endpoint.port, version.as_str()), (4_001, VERSION));
}

#[test]
fn the_texts_of_a_failing_client() {
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("missing");
    let error = load_client(&missing, VERSION).unwrap_err();
    assert_eq!(error.to_string(), "Invalid server directory");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, format!("Error: \"{}\" is not a directory", missing.display()));

    let error = load_client(temp.path(), VERSION).unwrap_err().to_string();
    let (first, hint) = error.split_once('\n').unwrap();
    assert_eq!(first, format!("No running instance of HQ found at \"{}\".", temp.path().display()));
    assert!(hint.contains(&format!("hq server start --server-dir {}", temp.path().display())));
    let default = PathBuf::from("/home/u/.hq-server");
    assert_eq!(Error::start_hint(&default, Some(&default)), "hq server start");

    start(temp.path());
    let error = load_client(temp.path(), "9.9.9").unwrap_err().to_string();
    assert_eq!(
        error,
        "Hyperqueue version mismatch detected.\n\
         Access record contains version 0.1.0-dev, but the current version is 9.9.9."
    );
    let text = Error::unreachable_text("login1", 4_001);
    assert!(text.starts_with("Access token found but HQ server login1:4001 is unreachable.\n"));
}

#[test]
fn each_start_gets_the_next_number() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("new/server");
    assert!(ServerDir::create(&root).unwrap().numbered().ends_with("001"));
    assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o7777, 0o700);
    for name in ["8", "136", "abc", "+900", "9999999999999999999999"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    std::fs::write(root.join("500"), "").unwrap();
    std::fs::write(root.join("137"), "").unwrap();
    let dir = ServerDir::create(&root).unwrap();
    assert!(dir.numbered().ends_with("138"), "{dir:?}");
    assert_eq!(std::fs::metadata(dir.numbered()).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(ServerDir::journal_path(dir.root()), root.join("journal"));
}

#[test]
fn the_link_follows_the_newest_server_and_only_it_takes_it_away() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let first = start(root);
    let link = root.join("hq-current");
    assert_eq!(std::fs::read_link(&link).unwrap(), first.numbered());
    assert!(first.numbered().is_absolute());
    let second = start(root);
    assert!(!first.withdraw().unwrap());
    load_worker(root, VERSION).unwrap();
    assert!(second.withdraw().unwrap());
    assert!(!second.withdraw().unwrap());
    assert!(matches!(load_worker(root, VERSION), Err(Error::NoServer { .. })));
    assert_eq!(names(root), ["001", "002"]);
    assert_eq!(names(second.numbered()), ["access.json"]);

    // Left behind by a server that was killed and whose directory was removed.
    symlink(root.join("gone"), &link).unwrap();
    assert!(matches!(load_worker(root, VERSION), Err(Error::NoServer { .. })));
    start(root);
    load_worker(root, VERSION).unwrap();
}

#[test]
fn a_directory_may_hold_the_access_file_itself_or_below_a_real_directory() {
    let temp = tempfile::tempdir().unwrap();
    record().write(&temp.path().join("access.json")).unwrap();
    assert_eq!(load_client(temp.path(), VERSION).unwrap().endpoint.port, 4_001);
    let below = temp.path().join("hq-current");
    std::fs::create_dir(&below).unwrap();
    assert!(matches!(load_client(temp.path(), VERSION), Err(Error::NoServer { .. })));
    record().write_client(&below.join("access.json")).unwrap();
    load_client(temp.path(), VERSION).unwrap();
    let dir = ServerDir::create(temp.path()).unwrap();
    assert!(matches!(dir.publish(), Err(Error::Io { .. })));
    assert_eq!(names(dir.numbered()), Vec::<String>::new());
}

#[test]
fn a_reader_finds_the_old_server_or_the_new_one_and_never_none() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let servers = [start(root), start(root)];
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..1_000 {
                load_client(root, VERSION).unwrap();
            }
        });
        while !reader.is_finished() {
            for server in &servers {
                server.publish().unwrap();
            }
        }
    });
}

#[test]
fn a_planted_server_is_not_trusted() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can make files of another user to plant; the guard's own tests run for all.
        return;
    }
    let nobody = |path: &Path| std::os::unix::fs::lchown(path, Some(65_534), None).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let (root, planted) = (temp.path().join("ours"), temp.path().join("planted"));
    let server = start(&root);
    std::fs::create_dir(&planted).unwrap();
    record().write(&planted.join("access.json")).unwrap();
    nobody(&planted.join("access.json"));
    let refused = |dir: &Path| {
        let error = load_client(dir, VERSION).unwrap_err();
        assert!(matches!(error, Error::Foreign { uid: 65_534, .. }), "{error}");
    };
    refused(&planted);
    nobody(&planted);
    refused(&planted);
    assert!(matches!(ServerDir::create(&planted), Err(Error::Foreign { .. })));
    let link = root.join("hq-current");
    std::fs::remove_file(&link).unwrap();
    symlink(&planted, &link).unwrap();
    refused(&root);
    std::fs::remove_file(&link).unwrap();
    symlink(server.numbered(), &link).unwrap();
    load_client(&root, VERSION).unwrap();
    nobody(&link);
    refused(&root);
}

#[test]
fn no_home_is_an_error() {
    assert!(matches!(default_server_dir(None), Err(Error::NoHome)));
    assert!(matches!(default_server_dir(Some(PathBuf::new())), Err(Error::NoHome)));
    let dir = default_server_dir(Some(PathBuf::from("/home/u"))).unwrap();
    assert_eq!(dir, Path::new("/home/u/.hq-server"));
}

#[test]
fn fresh_records_have_keys_of_their_own() {
    let uid = ServerUid::random().unwrap();
    let one = AccessFile::generate(VERSION, uid.clone(), ("a", 1), ("b", 2)).unwrap();
    let two = AccessFile::generate(VERSION, uid, ("a", 1), ("b", 2)).unwrap();
    let keys = [&one.client, &one.worker, &two.client, &two.worker].map(|it| it.key.to_hex());
    let distinct: std::collections::BTreeSet<_> = keys.iter().map(|key| key.as_str()).collect();
    assert_eq!(distinct.len(), 4);
    assert_eq!(one.identity(Role::Worker).role, Role::Worker);
}
