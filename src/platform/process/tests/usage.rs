//! The memory of children with what they have started.
//!
//! Shells that hold a long text are large enough to be told apart from the rest.
//!
//! Invariants: see `usage.rs`.

use super::*;

const TEXT_BYTES: u64 = 32 * 1024 * 1024;

/// A shell that holds a long text, and forks so many times without touching it.
fn holder(cwd: &Path, forks: u32) -> (Spawned, Receiver<Exit>) {
    let script = format!(
        "exec 3<&0; s=$(head -c {TEXT_BYTES} /dev/zero | tr '\\0' x); i=0; \
         while test $i -lt {forks}; do (echo; read end <&3) & i=$((i + 1)); done; echo; read end",
    );
    let mut spec = spec(cwd, &["sh", "-c", &script]);
    (spec.stdin, spec.stdout) = (Stdin::Pipe, Output::Pipe);
    start(&spec)
}

#[test]
fn shared_pages_count_once_where_it_matters() {
    let dir = tempfile::tempdir().unwrap();
    let mut holders = [holder(dir.path(), 0), holder(dir.path(), 7)];
    // Each process says that it is there.
    for ((spawned, _), lines) in holders.iter_mut().zip([1, 8]) {
        let mut stdout = fs::File::from(spawned.stdout.take().unwrap());
        stdout.read_exact(&mut vec![0; lines]).unwrap();
    }
    let children: Vec<Child> = holders.iter().map(|(spawned, _)| spawned.child).collect();
    let resident = memory_of(&children, &[u64::MAX; 2]);
    assert!(resident[0] >= TEXT_BYTES && resident[0] < 4 * TEXT_BYTES, "{resident:?}");
    assert!(resident[1] >= 7 * TEXT_BYTES, "{resident:?}");
    let exact = memory_of(&children, &[0; 2]);
    assert!(exact.iter().all(|bytes| (TEXT_BYTES..4 * TEXT_BYTES).contains(bytes)), "{exact:?}");
    assert_eq!(children_of(children[1].pid()).len(), 7);
    assert!(are_own(&[std::process::id(), children[0].pid()]) && !are_own(&[1]));
    for (spawned, ended) in holders {
        drop(spawned.stdin);
        ended.recv_timeout(DEADLINE).unwrap();
        // Those that it had started end a little later.
        wait_until("nothing is left", || memory_of(&[spawned.child], &[0]) == [0]);
    }
}
