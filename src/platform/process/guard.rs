//! Ends the tasks of a worker that was killed.
//!
//! A worker that gets SIGKILL cannot end its tasks, and `posix_spawn` cannot ask the kernel to do so. So a small
//! process, forked at the start, waits for the end of the worker (the end of a pipe that only the worker holds) and
//! ends all process groups that are in a table of memory shared with the worker, and everything that carries the
//! worker's mark. An entry is one store: the guardian costs the fast path nothing.
//!
//! Invariants: an entry is set right after the spawn and cleared before the child is reaped, so it always names a
//! group that is the child's; the guardian takes no lock, and nothing but memory, files of `/proc` and signals.

use std::collections::HashSet;
use std::io;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::census::{self, Process};
use super::kin::Kin;
use super::{CHILDREN_MAX, hunt, lease, mark};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// For how long nobody must be found before there is nobody: a program may just be starting.
const QUIET: Duration = Duration::from_millis(200);

/// Time between two looks at a lease that runs, and at whether there is one, in milliseconds.
const LEASE_LOOK_MS: i32 = 200;
const IDLE_LOOK_MS: i32 = 1_000;

type Cells = &'static [AtomicI32];

/// A place in the table: the process group of one child. Taken out of `FREE`, given back when dropped.
pub(super) struct Slot(u32);

/// Numbers that were given back, and the first that was never used.
static FREE: Mutex<(Vec<u32>, u32)> = Mutex::new((Vec::new(), 0));

/// A place for one more child; `None` when as many as may be are alive.
pub(super) fn take_slot() -> Option<Slot> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(number) = free.0.pop() {
        return Some(Slot(number));
    }
    let number = free.1;
    ((number as usize) < CHILDREN_MAX).then(|| free.1 += 1)?;
    Some(Slot(number))
}

impl Slot {
    pub(super) fn set(&self, group: libc::pid_t) {
        if let Some(cell) = cells().and_then(|cells| cells.get(self.0 as usize)) {
            cell.store(group, Ordering::Release);
        }
    }

    pub(super) fn clear(&self) {
        self.set(0);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.clear();
        FREE.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.0);
    }
}

/// The shared table; without memory for it there is none, and the guardian cannot be started.
fn cells() -> Option<Cells> {
    static CELLS: OnceLock<Option<Cells>> = OnceLock::new();
    *CELLS.get_or_init(|| {
        let bytes = CHILDREN_MAX * size_of::<AtomicI32>();
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping, of zeros, which are valid atomics; page alignment suffices; it is never unmapped.
        unsafe {
            let memory = libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0);
            (memory != libc::MAP_FAILED).then(|| std::slice::from_raw_parts(memory.cast(), CHILDREN_MAX))
        }
    })
}

/// The number of the guardian; 0 without one.
static GUARDIAN: AtomicI32 = AtomicI32::new(0);

pub(super) fn is_guardian(pid: libc::pid_t) -> bool {
    GUARDIAN.load(Ordering::Relaxed) == pid
}

/// Starts the guardian of this process, once; later calls do nothing. When this process is gone, in whatever way,
/// its children and everything that they have started get SIGTERM, and a second later what is left of them SIGKILL;
/// then `directories` are removed, which this process will have removed itself if it ended in order. Best called early,
/// while this process is small.
pub fn start_guardian(directories: &[PathBuf]) -> io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if *started {
        return Ok(());
    }
    let cells = cells().ok_or(io::ErrorKind::OutOfMemory)?;
    // Made before the fork, so that both have it.
    lease::shared().ok_or(io::ErrorKind::OutOfMemory)?;
    let mark = mark::of_process();
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [read_end, write_end] = ends;
    // SAFETY: the child process touches no lock of this program and never returns. It takes memory, which glibc
    // allows: its `fork` leaves the allocator usable, also when other threads were using it.
    match unsafe { libc::fork() } {
        -1 => {
            let error = io::Error::last_os_error();
            // SAFETY: both descriptors were opened above and are used nowhere else.
            unsafe {
                libc::close(read_end);
                libc::close(write_end);
            }
            Err(error)
        }
        0 => watch(read_end, cells, &mark, directories),
        guardian => {
            // SAFETY: as above. The other end stays open until this process ends: that is its purpose.
            unsafe { libc::close(read_end) };
            GUARDIAN.store(guardian, Ordering::Relaxed);
            *started = true;
            Ok(())
        }
    }
}

/// The guardian: waits for the end of the pipe, then ends what is in the table or marked.
fn watch(pipe: i32, cells: Cells, mark: &str, directories: &[PathBuf]) -> ! {
    // SAFETY: integers and pointers to locals or constants only; every function is async-signal-safe.
    unsafe {
        libc::setsid();
        libc::chdir(c"/".as_ptr());
        for signal in [
            libc::SIGINT,
            libc::SIGTERM,
            libc::SIGHUP,
            libc::SIGTSTP,
            libc::SIGPIPE,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGQUIT,
        ] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::prctl(libc::PR_SET_NAME, c"hq-guardian".as_ptr());
        libc::dup2(pipe, 0);
        close_from(1);
    }
    while parent_lives() {
        // A panic must not lead back into the program of which this is a copy.
        let _ = catch_unwind(|| keep_lease(cells, mark));
    }
    // A panic must not lead back into the program of which this is a copy.
    let ended = catch_unwind(|| {
        end_children(cells, mark);
        for directory in directories {
            let _ = std::fs::remove_dir_all(directory);
        }
    });
    // SAFETY: ends this process.
    unsafe { libc::_exit(i32::from(ended.is_err())) }
}

/// Waits for a while; whether the other end of the pipe on descriptor 0 is still open.
fn parent_lives() -> bool {
    let mut byte = 0_u8;
    let mut wait = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    let leased = lease::shared().is_some_and(|shared| shared.look().0);
    let timeout_ms = if leased { LEASE_LOOK_MS } else { IDLE_LOOK_MS };
    // SAFETY: pointers to locals of the sizes that are told.
    unsafe {
        match libc::poll(&mut wait, 1, timeout_ms) {
            0 => true,
            -1 => *libc::__errno_location() == libc::EINTR,
            _ => {
                let read = libc::read(0, ptr::from_mut(&mut byte).cast(), 1);
                read == -1 && *libc::__errno_location() == libc::EINTR
            }
        }
    }
}

/// Ends everything when the time is over until which it may run. The mark comes first, so that the parent knows why
/// they ended.
fn keep_lease(cells: Cells, mark: &str) {
    if let Some(shared) = lease::shared().filter(|shared| shared.look().1) {
        shared.note_end();
        end_children(cells, mark);
        shared.forget_if_over();
    }
}

/// Closes all descriptors from `first` on: the guardian must keep neither pipes nor sockets nor locks alive.
unsafe fn close_from(first: i32) {
    // SAFETY: the process uses none of them.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) == 0 {
            return;
        }
        let mut limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let end = i32::try_from(limit.rlim_cur).unwrap_or(i32::MAX).min(1 << 20);
        for fd in first..end {
            libc::close(fd);
        }
    }
}

fn end_children(cells: Cells, mark: &str) {
    let groups: HashSet<i32> =
        cells.iter().map(|cell| cell.load(Ordering::Acquire)).filter(|group| *group > 1).collect();
    if census::take().is_err() {
        return end_groups(&groups);
    }
    let mut is_first = true;
    hunt::end_everybody(GRACE, QUIET, |everybody, before| {
        let kin = Kin::new(everybody);
        // The numbers of groups are the children's only until somebody has reaped them.
        let at_first = std::mem::take(&mut is_first);
        let known = |process: &Process| {
            let is_known = before.contains(&process.name())
                || (at_first && groups.contains(&process.session))
                || census::mark_of(process).is_some_and(|found| found.contains(mark));
            (!process.is_dead && is_known).then_some(())
        };
        kin.belonging(known).into_iter().map(|(process, ())| *process).collect()
    });
}

/// The same without `/proc`, where descendants cannot be found.
fn end_groups(groups: &HashSet<i32>) {
    // SAFETY: integers only.
    let signal = |number| groups.iter().filter(|group| unsafe { libc::kill(-**group, number) } == 0).count();
    signal(libc::SIGTERM);
    signal(libc::SIGCONT);
    let end = Instant::now() + GRACE;
    while Instant::now() < end && signal(0) > 0 {
        std::thread::sleep(QUIET / 10);
    }
    signal(libc::SIGKILL);
}
