//! Processes: starting them fast, learning how they ended, ending whole groups.
//!
//! The rate of tasks of a worker is bounded by what happens here, so a start is one `posix_spawn` (which shares the
//! memory of the parent until the program is loaded, so that it costs the same however large the worker is), and one
//! thread learns of all ends.
//!
//! Invariants: each child leads a session and a process group of its own (pid = pgid = sid); a signal is only ever
//! sent to a group whose leader has not been reaped, or to a process that is held by a descriptor, so a recycled process
//! id is never hit; each child's end is reported exactly once; children of other code in this process are left to that
//! code.

mod census;
mod error;
mod guard;
mod hunt;
mod kin;
mod launch;
mod lease;
mod mark;
mod pool;
mod posix;
mod program;
mod reap;
mod spec;
#[cfg(test)]
mod tests;
mod usage;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use error::SpawnError;
pub use guard::start_guardian;
pub use launch::spawn;
pub use lease::{Term, end_lease, is_lease_over, lease_term, set_lease};
pub use pool::{Full, Owner, SpawnJob, Spawner};
pub use spec::{Environment, Output, SpawnSpec, Spawned, Stdin};
pub use usage::{are_own, children_of, memory_of};

/// Most children that may be alive at a time.
pub const CHILDREN_MAX: usize = 65_536;

/// How long what was killed may take to be gone before nobody waits for it any more. Longer takes only what the
/// kernel cannot end.
const GIVE_UP: Duration = Duration::from_secs(2);

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code (0-255).
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// Other code of this process took the status away; all that is known is that the child is gone.
    Lost,
}

/// The end of a child, with what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The process id that it had.
    pub pid: u32,
    /// How it ended.
    pub status: Status,
    /// Processor time in user mode, of the child and of those of its children that it waited for, microseconds.
    pub utime_us: u64,
    /// Processor time in the kernel, of the same, microseconds.
    pub stime_us: u64,
    /// Largest resident set of any one process of the same, KiB. Linux counts what the parent had when the program
    /// was loaded, so a child smaller than this process shows the size of this process.
    pub maxrss_kib: u64,
}

/// A child of this process that was started with [`spawn`]; a name for it that stays safe to use after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pid: libc::pid_t,
    ticket: u64,
    owner: u32,
}

impl Child {
    /// Its process id, which is its process group and session as well.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Has it end, and everything that it has started, whatever became of that: its group gets the signal, and what is
    /// left after `grace` is killed. Its end is reported when nothing is left. To be said as often as is liked; the first
    /// signal and the earliest end of a grace count. What the child left behind is ended also when the child itself has
    /// ended before.
    pub fn end(&self, signal: i32, grace: Duration) {
        hunt::begin(*self, signal, grace);
    }

    /// Sends its group a signal, and nothing more. `false`: it has ended.
    pub fn signal(&self, signal: i32) -> bool {
        reap::kill_group(*self, signal)
    }
}

/// A process that outlives this one and is not reported to it: nobody waits for it here, see `platform::daemon`.
pub(super) struct DetachedCall<'a> {
    pub(super) program: &'a CStr,
    pub(super) words: &'a [CString],
    pub(super) environment: &'a [CString],
    pub(super) cwd: &'a CStr,
    /// What it gets as descriptors 0 to 3.
    pub(super) streams: [BorrowedFd<'a>; 4],
}

impl DetachedCall<'_> {
    /// Starts it in a session of its own; its process id.
    pub(super) fn run(&self) -> io::Result<u32> {
        let environment: Vec<&CStr> = self.environment.iter().map(CString::as_c_str).collect();
        let Self { program, words, cwd, streams, .. } = self;
        let call = posix::Call { program, words, environment: &environment, cwd, streams };
        Ok(call.run()?.unsigned_abs())
    }
}

/// Makes this process adopt the orphans among its descendants (instead of init), which are then reaped here.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: the call takes plain integers.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => {
            SUBREAPER.store(true, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

static SUBREAPER: AtomicBool = AtomicBool::new(false);

/// Whether all that descends from this process's children stays a descendant of this process.
fn is_subreaper() -> bool {
    SUBREAPER.load(Ordering::Relaxed)
}

/// Marks all descriptors above the standard three as closed on exec, so that what the shell or batch system left
/// open does not leak into tasks. Descriptors that this program opens are so marked from the start.
pub fn seal_inherited_descriptors() -> io::Result<()> {
    // SAFETY: only flags of descriptors change, none is closed. CLOSE_RANGE_CLOEXEC is a small positive constant.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    // Kernels before 5.11 do not know the call or the flag.
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(fd) = number.filter(|fd| *fd > 2) {
            // SAFETY: as above; a descriptor that was closed meanwhile gives an error that does not matter.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}
