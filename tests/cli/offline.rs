//! What needs no server: usage errors, help, versions, and what is said when there is none.
//!
//! The first thing that a new user sees.
//!
//! Holds: usage errors end with 2 and are plain text in every mode; failures at run time end with 1.

use crate::harness::Cluster;

#[test]
fn usage_errors_end_with_two() {
    let cluster = Cluster::offline();
    for line in [&[][..], &["job"], &["help"], &["submit"], &["job", "list", "--foo"], &["--output-mode=json", "x"]] {
        let done = cluster.hq(line).code(2);
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{done}");
    }
    cluster.hq(&["submit", "--foo", "date"]).code(2).says("unexpected argument '--foo' found");
    let mut command = cluster.command(&["job", "list"]);
    command.env("HQ_DEBUG", "yes");
    cluster.run(command, b"", "job list").code(2).says("possible values: true, false");
    let mut command = cluster.command(&["job", "list"]);
    command.env("HQ_SERVER_DIR", "");
    cluster.run(command, b"", "job list").code(2);
}

#[test]
fn arguments_that_are_not_utf8_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let cluster = Cluster::offline();
    let words = [OsStr::new("submit"), OsStr::new("--"), OsStr::from_bytes(b"\xff")];
    cluster.run(cluster.command(&words), b"", "submit -- \\xff").code(2).says("UTF-8");
}

#[test]
fn help_and_version() {
    let cluster = Cluster::offline();
    let version = cluster.hq(&["--version"]).ok();
    assert!(version.stdout.starts_with("hyperqueue 0.1.0") && version.stdout.lines().count() == 1, "{version}");
    cluster.hq(&["job", "list", "--help"]).ok().prints("GLOBAL OPTIONS");
    cluster.hq(&["submit", "--help"]).ok().prints("hq submit --cpus 4 -- ./solver");
    cluster.hq(&["job", "submit-file", "--help"]).ok().prints("deps = [1]").prints("GLOBAL OPTIONS");
    let short = cluster.hq(&["job", "list", "-h"]).ok();
    assert!(!short.stdout.contains("--server-dir"), "{short}");
}

#[test]
fn without_a_server() {
    let cluster = Cluster::offline();
    cluster.hq(&["job", "list"]).code(1).says("Invalid server directory\n\nCaused by:\n    Error: ");
    let missing = "Invalid server directory\n";
    let worker = ["worker", "start", "--cpus=1"];
    cluster
        .hq(&worker)
        .code(1)
        .says("Cannot load server directory\n\nCaused by:\n")
        .says(missing)
        .says(" is not a dir");
    let file = cluster.write("file", "").display().to_string();
    for more in [&[][..], &["--daemon"]] {
        let done = cluster.hq(&[&["server", "start", "--server-dir", &file], more].concat()).code(1);
        done.says("Invalid server directory\n\nCaused by:\n    Error: ");
    }
    let dir = cluster.server_dir();
    std::fs::DirBuilder::new().create(&dir).unwrap();
    let expected = format!("No running instance of HQ found at {dir:?}.");
    cluster.hq(&["job", "list"]).code(1).says(&expected).says("hq server start --server-dir");
    cluster.hq(&worker).code(1).says("Cannot load access record from ").says("No running instance of HQ found at");
    let done = cluster.hq(&["--output-mode=json", "job", "list"]).code(1);
    assert!(done.stderr.is_empty(), "{done}");
    assert!(done.json()["error"].as_str().unwrap().starts_with(&expected), "{done}");
}

#[test]
fn with_the_access_file_of_a_dead_or_other_server() {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let cluster = Cluster::offline();
    std::fs::DirBuilder::new().mode(0o700).create(cluster.server_dir()).unwrap();
    let write = |version: &str| {
        let path = cluster.server_dir().join("access.json");
        let _ = std::fs::remove_file(&path);
        let text = serde_json::json!({
            "version": version,
            "server_uid": "AbCd12",
            "client": {"host": "127.0.0.1", "port": 1, "secret_key": "00".repeat(32)},
        });
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(path).unwrap();
        serde_json::to_writer(file, &text).unwrap();
    };
    write("0.0.0-other");
    cluster
        .hq(&["job", "list"])
        .code(1)
        .says("Hyperqueue version mismatch detected.")
        .says("Access record contains version 0.0.0-other, but the current version is 0.1.0");
    let version = cluster.hq(&["-V"]).ok();
    write(version.stdout.trim().strip_prefix("hyperqueue ").unwrap());
    cluster
        .hq(&["job", "list"])
        .code(1)
        .says("Access token found but HQ server 127.0.0.1:1 is unreachable.")
        .says("\nCaused by:\n");
}

#[test]
fn the_manual_has_an_address() {
    let cluster = Cluster::offline();
    let done = cluster.hq(&["doc"]).ok();
    assert!(done.stdout.starts_with("file:///") && done.stdout.ends_with("/guide/README.md\n"), "{done}");
    done.says("WARN The manual is not installed there");
    for topic in ["job", "jobs", "tasks"] {
        assert!(cluster.hq(&["doc", topic]).ok().stdout.ends_with("/guide/jobs.md\n"));
    }
    for topic in ["taskarray", "resources", "workers", "pbs", "slurm", "python", "cheatsheet", "changelog", "faq"] {
        cluster.hq(&["doc", topic]).ok();
    }
    let json = cluster.hq(&["--output-mode=json", "doc", "changelog"]).ok().stdout;
    assert!(json.ends_with("/CHANGELOG.md\n{}\n"), "{json}");
    cluster.hq(&["doc", "nothing"]).code(2);
}

#[test]
fn the_manual_is_opened_by_the_browser() {
    let cluster = Cluster::offline();
    let open = |browser: &str| {
        let mut command = cluster.command(&["doc", "job", "--open"]);
        command.env("BROWSER", browser);
        cluster.run(command, b"", "doc job --open")
    };
    let shown = open("echo").ok().stdout;
    assert!(shown.ends_with("/guide/jobs.md\n") && shown.lines().count() == 1, "{shown}");
    open("false").code(1).says("Cannot open a browser").says("false: ended with exit status: 1");
    open("/nonexistent/browser").code(1).says("/nonexistent/browser: No such file");
}

#[test]
fn pages_for_man() {
    let cluster = Cluster::offline();
    let done = cluster.hq(&["generate-man", "share/man/man1"]).ok().says("manual pages are in share/man/man1");
    assert_eq!(done.stdout, "");
    let count = std::fs::read_dir(cluster.work().join("share/man/man1")).unwrap().count();
    done.says(&format!("INFO {count} manual pages"));
    let page = cluster.read("share/man/man1/hq-job-cat.1");
    for text in [
        ".TH hq-job-cat 1  \"hq 0.1.0",
        "[OPTIONS] <JOBS> <CHANNEL>",
        "print\\-task\\-header",
        "server\\-dir",
        "Log more",
    ] {
        assert!(page.contains(text), "`{text}` is not in:\n{page}");
    }
    assert!(!cluster.read("share/man/man1/hq-submit.1").contains("older name"));
    assert!(cluster.read("share/man/man1/hq.1").contains("hq\\-generate\\-man(1)"));
    cluster.write("file", "");
    cluster.hq(&["generate-man", "file"]).code(1).says("Cannot write manual pages into file\n\nCaused by:\n");
}

#[test]
fn completions_for_all_shells() {
    let cluster = Cluster::offline();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = cluster.hq(&["generate-completion", shell]).ok();
        assert!(done.stdout.contains("submit-file") && done.stdout.contains("crash-limit"), "{shell}");
        assert_eq!(done.stderr.lines().count(), 1, "{done}");
    }
    let quiet = cluster.hq(&["--output-mode=quiet", "generate-completion", "bash"]).ok();
    assert_eq!((quiet.stdout.contains("_hq()"), quiet.stderr.as_str()), (true, ""));
    assert!(cluster.hq(&["--output-mode=json", "generate-completion", "zsh"]).ok().stdout.ends_with("\n{}\n"));
    cluster.hq(&["generate-completion", "tcsh"]).code(2);
    cluster.hq(&["generate-completion"]).code(2);
}
