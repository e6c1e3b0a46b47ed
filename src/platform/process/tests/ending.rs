//! Children that shall end, and do not want to.
//!
//! Each family tries one way to get out of reach; what is asked for is always the same.
//!
//! Invariants: when the end of a child is told, all processes that it had started are gone.

use super::*;
use std::os::unix::process::ExitStatusExt;

/// Long enough for a shell to react to a signal.
const SHORT: Duration = Duration::from_millis(300);

/// Families, and how many processes write their numbers into `$PIDS`.
const FAMILIES: [(&str, usize, &str); 9] = [
    ("one that ends when asked", 1, "echo $$ >> $PIDS; sleep 1000"),
    ("a group", 3, "sleep 1000 & echo $! >> $PIDS; sleep 1000 & echo $! >> $PIDS; echo $$ >> $PIDS; wait"),
    ("one that ignores", 1, "trap '' INT TERM HUP; echo $$ >> $PIDS; while :; do sleep 1000; done"),
    ("one that is stopped", 1, "echo $$ >> $PIDS; kill -STOP $$"),
    (
        "children that ignore what their leader obeys",
        2,
        "(trap '' INT TERM; exec sleep 1000) & echo $! >> $PIDS; echo $$ >> $PIDS; wait",
    ),
    ("a session of its own", 2, "setsid sh -c 'echo $$ >> $PIDS; exec sleep 1000' & echo $$ >> $PIDS; wait"),
    (
        "a daemon by two forks",
        2,
        "(setsid sh -c '(sh -c \"echo \\$\\$ >> $PIDS; exec sleep 1000\" &)' &); echo $$ >> $PIDS; sleep 1000",
    ),
    (
        "one without environment in a session of its own",
        2,
        "env -i PIDS=$PIDS setsid sh -c 'trap \"\" INT; echo $$ >> $PIDS; exec sleep 1000' & echo $$ >> $PIDS; wait",
    ),
    (
        "a daemon of a session that is stopped",
        2,
        "(setsid sh -c 'echo $$ >> $PIDS; kill -STOP $$' &); echo $$ >> $PIDS; sleep 1000",
    ),
];

fn family(dir: &Path, script: &str) -> (SpawnSpec, PathBuf) {
    let mut family = spec(dir, &["sh", "-c", script]);
    let pids = dir.join("pids");
    family.environment.set("PIDS", &pids);
    (family, pids)
}

fn read_pids(file: &Path, count: usize) -> Vec<u32> {
    let mut pids = Vec::new();
    wait_until("the family is there", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        pids = text.lines().filter(|_| text.ends_with('\n')).map(|line| line.parse().unwrap()).collect();
        pids.len() == count
    });
    pids
}

fn living(pids: &[u32]) -> Vec<u32> {
    pids.iter().copied().filter(|pid| !is_dead(*pid)).collect()
}

#[test]
fn nothing_of_a_family_is_left_at_its_end() {
    become_subreaper().unwrap();
    for (name, count, script) in FAMILIES {
        let dir = tempfile::tempdir().unwrap();
        let (family, file) = family(dir.path(), script);
        let (spawned, receiver) = start(&family);
        let pids = read_pids(&file, count);
        assert_eq!(living(&pids), pids, "{name}");
        spawned.child.end(libc::SIGINT, SHORT);
        receiver.recv_timeout(DEADLINE).unwrap();
        assert_eq!(living(&pids), [] as [u32; 0], "{name}");
    }
}

#[test]
fn a_grace_that_is_shortened_counts() {
    become_subreaper().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (family, file) = family(dir.path(), FAMILIES[2].2);
    let (spawned, receiver) = start(&family);
    let pids = read_pids(&file, 1);
    spawned.child.end(libc::SIGINT, DEADLINE * 10);
    spawned.child.end(libc::SIGINT, Duration::ZERO);
    assert_eq!(receiver.recv_timeout(DEADLINE).unwrap().status, Status::Signal(libc::SIGKILL));
    spawned.child.end(libc::SIGINT, DEADLINE * 10);
    assert!(living(&pids).is_empty());
}

#[test]
fn who_has_time_to_end_uses_it() {
    become_subreaper().unwrap();
    let dir = tempfile::tempdir().unwrap();
    // The leader dies of the signal at once; its child has something to finish.
    // In a subshell `$$` is the number of the leader as well.
    let script = "(trap '' INT; echo $$ >> $PIDS; while ! test -e go; do sleep 0.01; done; echo done > left) & \
                  echo $$ >> $PIDS; wait";
    let (family, file) = family(dir.path(), script);
    let (spawned, receiver) = start(&family);
    let leader = read_pids(&file, 2)[0];
    spawned.child.end(libc::SIGINT, DEADLINE * 10);
    wait_until("the leader ends", || is_dead(leader));
    assert_eq!(receiver.recv_timeout(SHORT), Err(std::sync::mpsc::RecvTimeoutError::Timeout));
    fs::write(dir.path().join("go"), "").unwrap();
    assert_eq!(receiver.recv_timeout(DEADLINE).unwrap().status, Status::Signal(libc::SIGINT));
    assert_eq!(fs::read_to_string(dir.path().join("left")).unwrap(), "done\n");
}

#[test]
fn what_a_leader_left_that_ended_before_is_ended() {
    become_subreaper().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (family, file) = family(
        dir.path(),
        "sleep 1000 & echo $! >> $PIDS; (setsid sh -c 'echo $$ >> $PIDS; exec sleep 1000' &); exit 7",
    );
    let (spawned, receiver) = start(&family);
    let pids = read_pids(&file, 2);
    // It was not asked to end, so that its end is told at once and what it left is left alone.
    assert_eq!(receiver.recv_timeout(DEADLINE).unwrap().status, Status::Code(7));
    assert_eq!(living(&pids), pids);
    spawned.child.end(libc::SIGINT, Duration::ZERO);
    wait_until("what it left ends", || living(&pids).is_empty());
}

#[test]
fn a_family_that_grows_while_it_is_killed() {
    become_subreaper().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let grow = "trap \"\" INT TERM; while :; do (setsid sh -c \"echo \\$\\$ >> $PIDS; exec sleep 1000\" &); done";
    let script = format!("(setsid sh -c '{grow}' &); {}", grow.replace("\\$", "$").replace("\\", ""));
    let script = script.replace("sh -c \"echo $$", "sh -c \"echo \\$\\$");
    let (family, file) = family(dir.path(), &script);
    let (spawned, receiver) = start(&family);
    let count = || fs::read_to_string(&file).unwrap_or_default().lines().count();
    wait_until("there are some", || count() > 20);
    spawned.child.end(libc::SIGINT, Duration::ZERO);
    receiver.recv_timeout(DEADLINE).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(living(&pids), [] as [u32; 0], "of {}", pids.len());
    let before = count();
    // Whoever were left would have gone on.
    std::thread::sleep(SHORT);
    assert_eq!(count(), before);
}

#[test]
fn others_are_left_alone() {
    become_subreaper().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (other, other_file) = family(dir.path(), FAMILIES[6].2);
    let (other, other_ended) = start(&other);
    let others = read_pids(&other_file, 2);
    let mut foreign = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let second = tempfile::tempdir().unwrap();
    let (first, file) = family(second.path(), FAMILIES[6].2);
    let (first, first_ended) = start(&first);
    let pids = read_pids(&file, 2);
    first.child.end(libc::SIGINT, Duration::ZERO);
    first_ended.recv_timeout(DEADLINE).unwrap();
    assert!(living(&pids).is_empty());
    assert_eq!(living(&others), others);
    assert!(!is_dead(foreign.id()));
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    other.child.end(libc::SIGINT, Duration::ZERO);
    other_ended.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn a_pool_ends_all_that_its_children_left() {
    become_subreaper().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pool = Spawner::start(2, 8).unwrap();
    let (sender, receiver) = channel();
    let left = "(setsid sh -c 'echo $$ >> $PIDS; exec sleep 1000' &); \
                (env -i PIDS=$PIDS setsid sh -c 'trap \"\" TERM; echo $$ >> $PIDS; while :; do sleep 1000; done' &)";
    let (spec, file) = family(dir.path(), left);
    let on_exit = Box::new(move |exit| sender.send(exit).unwrap());
    pool.submit(SpawnJob { spec, term: lease_term(), on_started: Box::new(|_| {}), on_exit }).unwrap();
    receiver.recv_timeout(DEADLINE).unwrap();
    let pids = read_pids(&file, 2);
    let (other, other_ended) = start(&super::spec(dir.path(), &["sleep", "1000"]));
    let owner = pool.owner();
    drop(pool);
    owner.end_all(SHORT);
    assert_eq!(living(&pids), [] as [u32; 0]);
    assert!(!is_dead(other.child.pid()));
    other.child.end(libc::SIGINT, Duration::ZERO);
    other_ended.recv_timeout(DEADLINE).unwrap();
    owner.end_all(SHORT);
}

/// The test starts itself again as the worker that is to be killed.
#[test]
fn the_tasks_of_a_killed_worker_end() {
    const VARIABLE: &str = "HQ_TEST_GUARDED_WORKER";
    if let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        let private = dir.join("private");
        fs::create_dir(&private).unwrap();
        become_subreaper().unwrap();
        start_guardian(&[private]).unwrap();
        let mut ended = Vec::new();
        for (number, (_, count, script)) in FAMILIES.iter().enumerate() {
            let dir = dir.join(number.to_string());
            fs::create_dir(&dir).unwrap();
            let (family, file) = family(&dir, script);
            ended.push(start(&family));
            read_pids(&file, *count);
        }
        fs::write(dir.join("ready"), "").unwrap();
        std::thread::sleep(DEADLINE);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut worker = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "platform::process::tests::ending::the_tasks_of_a_killed_worker_end"])
        .env(VARIABLE, dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the tasks run", || dir.path().join("ready").exists());
    let families = FAMILIES.iter().enumerate();
    let pids: Vec<u32> = families
        .flat_map(|(number, (_, count, _))| read_pids(&dir.path().join(number.to_string()).join("pids"), *count))
        .collect();
    assert_eq!(living(&pids), pids);
    worker.kill().unwrap();
    assert_eq!(worker.wait().unwrap().signal(), Some(9));
    wait_until("the tasks end", || living(&pids).is_empty());
    wait_until("its directory is gone", || !dir.path().join("private").exists());
}
