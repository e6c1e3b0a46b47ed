//! Tests of starting, ending and reaping, with real programs.
//!
//! They share one process and one reaper with other tests, which is what the reaper must cope with.
//!
//! Invariants: every wait is for a condition, with a deadline that only a defect reaches.

mod ending;
mod usage;

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn spec(cwd: &Path, words: &[&str]) -> SpawnSpec {
    SpawnSpec {
        renames: Vec::new(),
        words: words.iter().map(OsString::from).collect(),
        cwd: cwd.to_path_buf(),
        environment: Environment::inherited(),
        stdin: Stdin::Null,
        stdout: Output::Null,
        stderr: Output::Null,
    }
}

fn start(spec: &SpawnSpec) -> (Spawned, Receiver<Exit>) {
    let (sender, receiver) = channel();
    let spawned = spawn(spec, move |exit| sender.send(exit).unwrap()).unwrap();
    (spawned, receiver)
}

fn finish(spec: &SpawnSpec) -> Exit {
    let (spawned, receiver) = start(spec);
    let exit = receiver.recv_timeout(DEADLINE).unwrap();
    assert_eq!(exit.pid, spawned.child.pid());
    exit
}

fn read(fd: Option<OwnedFd>) -> String {
    let mut text = String::new();
    fs::File::from(fd.unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// Standard output of a program that must succeed.
fn output(mut spec: SpawnSpec) -> String {
    spec.stdout = Output::Pipe;
    let (spawned, receiver) = start(&spec);
    let text = read(spawned.stdout);
    assert_eq!(receiver.recv_timeout(DEADLINE).unwrap().status, Status::Code(0));
    text
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Gone or a zombie: in a container without init, nobody reaps orphans.
fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

fn write_program(path: &Path, text: &str, mode: u32) {
    // Through a child, because a descriptor open for writing here could be held by a start on another thread, which
    // makes the file "busy".
    let script = format!("cat > '{0}' && chmod {mode:o} '{0}'", path.display());
    let mut spec = spec(Path::new("/"), &["sh", "-c", &script]);
    spec.stdin = Stdin::Bytes(text.as_bytes().into());
    assert_eq!(finish(&spec).status, Status::Code(0));
}

#[test]
fn the_way_it_ended_is_told() {
    let root = Path::new("/");
    assert_eq!(finish(&spec(root, &["true"])).status, Status::Code(0));
    assert_eq!(finish(&spec(root, &["sh", "-c", "exit 77"])).status, Status::Code(77));
    assert_eq!(finish(&spec(root, &["sh", "-c", "kill -9 $$"])).status, Status::Signal(9));
    let used = finish(&spec(root, &["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"]));
    assert!(used.utime_us + used.stime_us > 0);
    assert!(used.maxrss_kib > 100);
}

#[test]
fn each_child_leads_a_session_and_knows_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let ids = output(spec(dir.path(), &["cut", "-d", " ", "-f", "1,5,6", "/proc/self/stat"]));
    let ids: Vec<&str> = ids.split_whitespace().collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let cwd = output(spec(dir.path(), &["pwd"]));
    assert_eq!(Path::new(cwd.trim_end()), dir.path().canonicalize().unwrap());
}

#[test]
fn signals_are_reset_and_descriptors_do_not_leak() {
    seal_inherited_descriptors().unwrap();
    let masks = output(spec(Path::new("/"), &["grep", "-E", "^Sig(Ign|Blk):", "/proc/self/status"]));
    // Signals 32 and 33 are glibc's own: it ignores them in every program that it starts.
    let classic = |line: &str| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap() & 0x7fff_ffff;
    assert_eq!(masks.lines().map(classic).collect::<Vec<_>>(), [0, 0], "{masks}");

    let _file = tempfile::tempfile().unwrap();
    let _pipe = std::io::pipe().unwrap();
    let mut with_pipes = spec(Path::new("/"), &["ls", "/proc/self/fd"]);
    with_pipes.stdin = Stdin::Pipe;
    with_pipes.stderr = Output::Pipe;
    // The fourth one is the directory that `ls` reads.
    assert_eq!(output(with_pipes), "0\n1\n2\n3\n");
}

#[test]
fn environment_is_what_was_given() {
    let mut given = spec(Path::new("/"), &["/usr/bin/env"]);
    given.environment = Environment::empty();
    given.environment.set("A", "1");
    given.environment.set("B", "x y=z");
    given.environment.set(mark::VARIABLE, "what somebody else says");
    let variables = output(given);
    let marks: Vec<&str> = variables.lines().filter(|line| mark::is_assignment(line.as_bytes())).collect();
    assert!(matches!(marks[..], [mark] if mark.contains(&mark::of_owner(0))), "{variables}");
    assert_eq!(variables.replace(&format!("{}\n", marks[0]), ""), "A=1\nB=x y=z\n");
}

#[test]
fn input_comes_from_bytes_a_pipe_or_nowhere() {
    let cat = spec(Path::new("/"), &["cat"]);
    assert_eq!(output(cat.clone()), "");

    let large: Arc<[u8]> = vec![b'x'; 300_000].into();
    let bytes = SpawnSpec { stdin: Stdin::Bytes(large), ..cat.clone() };
    assert_eq!(output(bytes).len(), 300_000);

    let (spawned, receiver) = start(&SpawnSpec { stdin: Stdin::Pipe, stdout: Output::Pipe, ..cat });
    let mut input = fs::File::from(spawned.stdin.unwrap());
    input.write_all(b"hello").unwrap();
    drop(input);
    assert_eq!(read(spawned.stdout), "hello");
    assert_eq!(receiver.recv_timeout(DEADLINE).unwrap().status, Status::Code(0));
}

#[test]
fn files_and_directories_are_made_and_files_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let cwd = dir.path().join("new/cwd");
    let mut both = spec(&cwd, &["sh", "-c", "echo out; echo err >&2"]);
    both.stdout = Output::File("job-1/0.stdout".into());
    both.stderr = Output::File(dir.path().join("deep/0.stderr"));
    fs::create_dir_all(cwd.join("job-1")).unwrap();
    fs::write(cwd.join("job-1/0.stdout"), "what an earlier attempt wrote").unwrap();
    assert_eq!(finish(&both).status, Status::Code(0));
    assert_eq!(fs::read_to_string(cwd.join("job-1/0.stdout")).unwrap(), "out\n");
    assert_eq!(fs::read_to_string(dir.path().join("deep/0.stderr")).unwrap(), "err\n");

    both.stderr = both.stdout.clone();
    assert_eq!(finish(&both).status, Status::Code(0));
    assert_eq!(fs::read_to_string(cwd.join("job-1/0.stdout")).unwrap(), "out\nerr\n");

    let missing = dir.path().join("a/b/c");
    assert_eq!(output(spec(&missing, &["pwd"])).trim_end(), missing.canonicalize().unwrap().to_str().unwrap());
}

fn failure(spec: &SpawnSpec) -> String {
    spawn(spec, |_| panic!("nothing was started")).unwrap_err().describe()
}

#[test]
fn errors_read_as_users_know_them() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    fs::write(dir.path().join("tool"), "").unwrap();
    write_program(&dir.path().join("run.sh"), "", 0o644);
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/file"), "").unwrap();
    let not_found = "No such file or directory (os error 2)";
    let tried = |word: &str| format!("The program that you have tried to execute (`{word}`) was not found.");
    let table = [
        (&["nope", "1"][..], format!("Cannot execute \"nope 1\": {not_found}\n{}", tried("nope"))),
        (&["./nope"], format!("Cannot execute \"./nope\": {not_found}\n{}", tried("./nope"))),
        (&["/nope"], format!("Cannot execute \"/nope\": {not_found}\n{}", tried("/nope"))),
        (
            &["tool", "x"],
            format!(
                "Cannot execute \"tool x\": {not_found}\n{}\n\
                 The file `{root}/tool` exists, maybe you have meant `./tool` instead?",
                tried("tool")
            ),
        ),
        (
            &["./run.sh", "a"],
            "Cannot execute \"./run.sh a\": Permission denied (os error 13)\n\
             The script that you have tried to execute (`./run.sh`) is not executable.\n\
             Try making it executable or add a shebang line to it."
                .to_string(),
        ),
        (&["./sub"], "Cannot execute \"./sub\": Permission denied (os error 13)".to_string()),
        (&["sub/file/x"], "Cannot execute \"sub/file/x\": Not a directory (os error 20)".to_string()),
        (&["a\0b"], "Cannot execute \"a\0b\": No such file".to_string()),
        (&["true", "\0"], "Cannot execute \"true \0\": data provided contains a nul byte".to_string()),
        (&[], "Cannot start the task: no command arguments".to_string()),
    ];
    for (words, expected) in table {
        let text = failure(&spec(dir.path(), words));
        let matches =
            if words.iter().any(|word| word.contains('\0')) { text.starts_with(&expected) } else { text == expected };
        assert!(matches, "{text}\n instead of\n{expected}");
    }
}

#[test]
fn unusable_places_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let ok = spec(dir.path(), &["true"]);

    let error = spawn(&spec(&file.join("cwd"), &["true"]), |_| {}).unwrap_err();
    assert!(matches!(&error, SpawnError::WorkingDirectory { path, .. } if *path == file.join("cwd")), "{error:?}");
    assert_eq!(error.os_error(), Some(libc::ENOTDIR));

    let bad = SpawnSpec { stdout: Output::File(dir.path().to_path_buf()), ..ok.clone() };
    let error = spawn(&bad, |_| {}).unwrap_err();
    assert!(matches!(&error, SpawnError::OutputFile { .. }), "{error:?}");
    assert!(error.describe().starts_with("creating stream file failed: "));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let link = dir.path().join("dangling");
    std::os::unix::fs::symlink("/proc/nowhere", &link).unwrap();
    let bad = SpawnSpec { stderr: Output::File(link.join("x/y")), ..ok.clone() };
    assert!(matches!(spawn(&bad, |_| {}).unwrap_err(), SpawnError::OutputDirectory { .. }));

    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let nobody_reads = SpawnSpec { stdout: Output::File(fifo.clone()), ..ok };
    assert_eq!(spawn(&nobody_reads, |_| {}).unwrap_err().os_error(), Some(libc::ENXIO));
    let reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let flags = SpawnSpec { words: vec!["cat".into(), "/proc/self/fdinfo/1".into()], ..nobody_reads };
    assert_eq!(finish(&flags).status, Status::Code(0));
    let mut text = String::new();
    { reader }.read_to_string(&mut text).unwrap();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    assert_eq!(i32::from_str_radix(flags, 8).unwrap() & libc::O_NONBLOCK, 0);
}

#[test]
fn a_script_without_interpreter_line_is_run_by_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    write_program(&dir.path().join("plain"), "echo \"$0 $1\"\n", 0o755);
    let path = dir.path().join("plain");
    assert_eq!(output(spec(dir.path(), &["./plain", "x"])), format!("{} x\n", dir.path().join("./plain").display()));
    assert!(path.is_file());
}

#[test]
fn adopted_orphans_are_reaped_and_children_of_others_are_not() {
    become_subreaper().unwrap();
    let orphan: u32 =
        output(spec(Path::new("/"), &["sh", "-c", "sleep 0.05 >/dev/null & echo $!"])).trim().parse().unwrap();
    let mut foreign = std::process::Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().unwrap();
    wait_until("the foreign child ends", || is_dead(foreign.id()));
    // While the foreign child is a zombie, ends of our own are still told.
    for code in 0..20 {
        assert_eq!(finish(&spec(Path::new("/"), &["sh", "-c", &format!("exit {code}")])).status, Status::Code(code));
    }
    assert_eq!(foreign.wait().unwrap().code(), Some(3));
    wait_until("the orphan is reaped", || !PathBuf::from(format!("/proc/{orphan}")).exists());
}

#[test]
fn the_pool_tells_start_before_end_and_each_once() {
    const JOBS: usize = 400;
    let pool = Spawner::start(2, JOBS).unwrap();
    let (sender, receiver) = channel();
    for number in 0..JOBS {
        let words: &[&str] = if number % 10 == 0 { &["/nonexistent"] } else { &["true"] };
        let (started, ended) = (sender.clone(), sender.clone());
        let job = SpawnJob {
            spec: spec(Path::new("/"), words),
            term: lease_term(),
            on_started: Box::new(move |result| started.send((number, false, result.is_ok())).unwrap()),
            on_exit: Box::new(move |exit| ended.send((number, true, exit.status == Status::Code(0))).unwrap()),
        };
        pool.submit(job).unwrap();
    }
    drop(sender);
    drop(pool);
    let mut told = vec![Vec::new(); JOBS];
    for (number, ended, good) in receiver {
        told[number].push((ended, good));
    }
    for (number, events) in told.iter().enumerate() {
        let expected: &[(bool, bool)] =
            if number % 10 == 0 { &[(false, false)] } else { &[(false, true), (true, true)] };
        assert_eq!(events, expected, "job {number}");
    }
}

#[test]
fn a_full_queue_gives_the_job_back() {
    let pool = Spawner::start(1, 1).unwrap();
    let (release, blocked) = channel::<()>();
    let (entered, inside) = channel();
    let job = |on_started: Box<dyn FnOnce(Result<Spawned, SpawnError>) + Send>| SpawnJob {
        spec: spec(Path::new("/"), &["true"]),
        term: lease_term(),
        on_started,
        on_exit: Box::new(|_| {}),
    };
    pool.submit(job(Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = blocked.recv();
    })))
    .unwrap();
    inside.recv_timeout(DEADLINE).unwrap();
    pool.submit(job(Box::new(|_| {}))).unwrap();
    let Full(returned) = pool.submit(job(Box::new(|_| {}))).unwrap_err();
    assert_eq!(returned.spec.words, ["true"]);
    drop(release);
}
