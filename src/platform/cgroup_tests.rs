//! Groups in a tree of files that looks like the kernel's, with its answers put there by the tests.
//!
//! Directories of the tree do not go with their files in them as those of the kernel do, so the tests take the files out.
//!
//! What holds: see the module.

use super::*;

/// A tree with a group for this process.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new(cgroup: &str, group: &str, controllers: &str, enabled: &str) -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap() };
        tree.put("proc/self/cgroup", cgroup);
        tree.put(&format!("{group}/cgroup.controllers"), controllers);
        tree.put(&format!("{group}/cgroup.subtree_control"), enabled);
        tree.put(&format!("{group}/cgroup.procs"), "");
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn open(&self) -> Result<Groups, Unavailable> {
        Groups::open(self.dir.path())
    }
}

#[test]
fn the_own_group_is_found() {
    let unified = Tree::new("1:name=systemd:/x\n0::/user/job\n", "sys/fs/cgroup/user/job", "cpu memory", "memory");
    unified.put("sys/fs/cgroup/cgroup.controllers", "memory");
    assert_eq!(unified.open().unwrap().dir, unified.path("sys/fs/cgroup/user/job"));
    let hybrid = Tree::new("4:memory:/a\n0::/\n", "sys/fs/cgroup/unified", "memory", "cpu memory");
    assert_eq!(hybrid.open().unwrap().dir, hybrid.path("sys/fs/cgroup/unified"));
    let container = Tree::new("0::/../../docker/abc\n", "sys/fs/cgroup", "memory", "memory");
    assert_eq!(container.open().unwrap().dir, container.path("sys/fs/cgroup"));
}

#[test]
fn without_permission_nothing_changes() {
    let old = Tree::new("4:memory:/a\n", "sys/fs/cgroup", "memory", "memory");
    assert!(matches!(old.open(), Err(Unavailable::NoGroups)));
    let none = tempfile::tempdir().unwrap();
    assert!(matches!(Groups::open(none.path()), Err(Unavailable::NoGroups)));
    let other = Tree::new("0::/\n", "sys/fs/cgroup", "cpu hugetlb", "");
    assert!(matches!(other.open(), Err(Unavailable::NoController { name: "memory" })));
    let missing = Tree::new("0::/\n", "sys/fs/cgroup", "memory", "");
    fs::remove_file(missing.path("sys/fs/cgroup/cgroup.subtree_control")).unwrap();
    let refused = missing.open().unwrap_err();
    assert!(refused.to_string().contains("cgroup.subtree_control was not handed over: No such file"), "{refused}");
    assert_eq!(fs::read_dir(missing.path("sys/fs/cgroup")).unwrap().count(), 2);
}

#[test]
fn the_controller_is_turned_on() {
    let tree = Tree::new("0::/a\n", "sys/fs/cgroup/a", "memory", "");
    tree.put("sys/fs/cgroup/cgroup.controllers", "memory");
    let mut groups = tree.open().unwrap();
    assert_eq!(fs::read_to_string(tree.path("sys/fs/cgroup/a/cgroup.subtree_control")).unwrap(), "+memory");
    groups.close();
}

/// A group of a task as the kernel makes it: with its files.
fn task_group(tree: &Tree, groups: &Groups) -> Group {
    let group = groups.create("t", None).unwrap();
    for file in ["cgroup.procs", "memory.max", "memory.swap.max", "memory.oom.group", "cgroup.kill"] {
        tree.put(&format!("sys/fs/cgroup/t/{file}"), "");
    }
    group
}

#[test]
fn a_task_has_its_group() {
    let tree = Tree::new("0::/\n", "sys/fs/cgroup", "memory", "memory");
    let groups = tree.open().unwrap();
    let group = task_group(&tree, &groups);
    group.add(4_194_999).unwrap();
    let read = |file: &str| fs::read_to_string(tree.path("sys/fs/cgroup/t").join(file)).unwrap();
    assert_eq!(read("cgroup.procs"), "4194999");
    assert!(group.kill());
    assert_eq!(read("cgroup.kill"), "1");
    fs::remove_file(tree.path("sys/fs/cgroup/t/cgroup.kill")).unwrap();
    assert!(!group.kill());
    assert_eq!(group.usage(), Usage::default());
    tree.put("sys/fs/cgroup/t/memory.current", "5000\n");
    assert_eq!(group.usage().peak_bytes, 5_000);
    tree.put("sys/fs/cgroup/t/memory.peak", "9000\n");
    tree.put("sys/fs/cgroup/t/memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 1\n");
    assert_eq!(group.usage(), Usage { peak_bytes: 9_000, kills: 1, own_limit_hits: 2 });
    // Something is in it; later there is not.
    groups.remove(&group);
    assert!(tree.path("sys/fs/cgroup/t").exists());
    for entry in fs::read_dir(tree.path("sys/fs/cgroup/t")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let next = groups.create("u", None).unwrap();
    assert!(!tree.path("sys/fs/cgroup/t").exists());
    groups.remove(&next);
    assert!(!tree.path("sys/fs/cgroup/u").exists());
}

#[test]
fn a_group_without_a_limit_is_no_group() {
    let tree = Tree::new("0::/\n", "sys/fs/cgroup", "memory", "memory");
    let groups = tree.open().unwrap();
    // The tree has no file for the limit, as a kernel without the controller would.
    assert!(groups.create("t", Some(1)).is_err());
    assert!(!tree.path("sys/fs/cgroup/t").exists());
}

/// The real thing, where this process may make groups: here the limit kills, and the reason is known.
#[test]
fn the_kernel_kills_what_is_too_large() {
    let mut groups = match Groups::open(Path::new("/")) {
        Ok(groups) => groups,
        Err(reason) => return eprintln!("no cgroups for tasks here ({reason}); the real thing is not tested"),
    };
    let group = groups.create(&format!("hq-test-{}", std::process::id()), Some(32 << 20)).unwrap();
    let mut hog = std::process::Command::new("/bin/sh");
    hog.args(["-c", "read go; x=x; while :; do x=$x$x; done"]).stdin(std::process::Stdio::piped());
    let mut hog = hog.spawn().unwrap();
    group.add(hog.id()).unwrap();
    drop(hog.stdin.take());
    assert!(!hog.wait().unwrap().success());
    let usage = group.usage();
    groups.remove(&group);
    groups.close();
    assert!(usage.kills > 0 && usage.own_limit_hits > 0, "{usage:?}");
}

/// Moves this process back and takes the group away, whatever happened.
struct Visit {
    dir: PathBuf,
    before: PathBuf,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let _ = write(&self.before.join("cgroup.procs"), &std::process::id().to_string());
        let _ = remove(&self.dir);
    }
}

/// A group of this process alone, with some controller; where the kernel and the permissions give one.
fn visit() -> Result<(Visit, &'static str), String> {
    let before = own_group(Path::new("/")).ok_or("no cgroups of version 2")?;
    let enabled = read(&before.join("cgroup.subtree_control")).unwrap_or_default();
    let known = ["memory", "pids", "hugetlb", "cpu"].into_iter();
    let mut known = known.filter(|name| enabled.split_whitespace().any(|enabled| enabled == *name));
    let controller = known.next().ok_or("no controller for children of the own cgroup")?;
    let visit = Visit { dir: before.join(format!("hq-visit-{}", std::process::id())), before };
    fs::create_dir(&visit.dir).map_err(|error| error.to_string())?;
    write(&visit.dir.join("cgroup.procs"), &std::process::id().to_string()).map_err(|error| error.to_string())?;
    Ok((visit, controller))
}

/// Handing over as the kernel does it: this process makes room, and everything is as before in the end.
#[test]
fn this_process_makes_room_for_groups() {
    let (visit, controller) = match visit() {
        Ok(found) => found,
        Err(reason) => return eprintln!("a cgroup cannot be had here ({reason}); the real thing is not tested"),
    };
    let mut stranger = std::process::Command::new("setsid")
        .args(["sh", "-c", "sleep 1000 & echo $!"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(stranger.stdout.take().unwrap()), &mut line).unwrap();
    stranger.wait().unwrap();
    // It is an orphan now, and no descendant of this process.
    let shared = Groups::open_for(Path::new("/"), controller);
    assert!(matches!(&shared, Err(Unavailable::Shared { dir }) if *dir == visit.dir), "{shared:?}");
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-9", line.trim()]).status().unwrap().success());
    let alone = || pids(&visit.dir) == [std::process::id()];
    let begin = std::time::Instant::now();
    while !alone() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{:?}", pids(&visit.dir));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut groups = Groups::open_for(Path::new("/"), controller).unwrap();
    let own = groups.own.clone().unwrap();
    assert_eq!((pids(&visit.dir), pids(&own)), (vec![], vec![std::process::id()]));
    let group = groups.create("t", None).unwrap();
    let mut task = std::process::Command::new("sh").args(["-c", "sleep 1000; :"]).spawn().unwrap();
    while process::children_of(task.id()).is_empty() {
        std::thread::yield_now();
    }
    group.add(task.id()).unwrap();
    assert_eq!((pids(&own), pids(&group.dir).len()), (vec![std::process::id()], 2));
    groups.remove(&group);
    assert!(group.dir.exists());
    if !group.kill() {
        task.kill().unwrap();
    }
    assert!(!task.wait().unwrap().success());
    while group.dir.exists() {
        groups.sweep();
    }
    groups.close();
    assert!(!own.exists() && pids(&visit.dir) == [std::process::id()]);
}
