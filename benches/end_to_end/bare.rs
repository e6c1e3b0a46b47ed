//! What the machine does without us: bare process starts, bare appends.
//!
//! These are the limits in the table; they have to be the best that is possible with the same system calls, or the
//! ratios flatter.
//!
//! What holds: the same program, the same number of threads, nothing beside the loop.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::wait::waitpid;

/// Starts `program` and waits for it, `count` times, on each of `threads` threads. Returns processes a second.
pub fn spawn_rate(program: &str, threads: usize, count: usize) -> Result<f64, String> {
    let program = CString::new(program).map_err(|e| e.to_string())?;
    let begin = Instant::now();
    thread::scope(|scope| {
        let loops: Vec<_> = (0..threads).map(|_| scope.spawn(|| spawn_loop(&program, count))).collect();
        loops.into_iter().try_for_each(|one| one.join().map_err(|_| "a spawning thread ended".to_owned())?)
    })?;
    Ok((threads * count) as f64 / begin.elapsed().as_secs_f64())
}

fn spawn_loop(program: &CStr, count: usize) -> Result<(), String> {
    let actions = PosixSpawnFileActions::init().map_err(|e| e.to_string())?;
    let attributes = PosixSpawnAttr::init().map_err(|e| e.to_string())?;
    let environment: [&CStr; 0] = [];
    for _ in 0..count {
        let pid = posix_spawn(program, &actions, &attributes, &[program], &environment).map_err(|e| e.to_string())?;
        waitpid(pid, None).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Appends `group` bytes and waits until they are on disk, for `span`. Returns groups a second.
pub fn append_rate(dir: &Path, group: &[u8], span: Duration) -> Result<f64, String> {
    let path = dir.join("bare");
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = File::create(&path).map_err(failed)?;
    let begin = Instant::now();
    let mut groups = 0_u32;
    while begin.elapsed() < span {
        file.write_all(group).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        groups += 1;
    }
    let rate = f64::from(groups) / begin.elapsed().as_secs_f64();
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(rate)
}
