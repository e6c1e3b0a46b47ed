//! One call of `posix_spawn`, made safe.
//!
//! glibc implements it with CLONE_VM | CLONE_VFORK: no page tables are copied, so the cost of a start does not grow
//! with the memory of this process, as it does with `fork`.
//!
//! Invariants: the child has a new session, no blocked signal, every signal at its default, the given directory and
//! the given descriptors as 0, 1, 2 and so on; it inherits no other descriptor that is closed on exec.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// The last of the classic signals; real-time signals are never ignored in practice.
const SIGNAL_LAST: i32 = 31;

/// What `posix_spawn` needs.
pub(super) struct Call<'a> {
    pub(super) program: &'a CStr,
    pub(super) words: &'a [CString],
    pub(super) environment: &'a [&'a CStr],
    pub(super) cwd: &'a CStr,
    /// Standard input, output and error, and what follows.
    pub(super) streams: &'a [BorrowedFd<'a>],
}

impl Call<'_> {
    /// Starts the program. The error may be about the program or about the working directory.
    pub(super) fn run(&self) -> io::Result<libc::pid_t> {
        let attributes = Attributes::new()?;
        let mut actions = Actions::new()?;
        actions.change_directory(self.cwd)?;
        for (stream, target) in self.streams.iter().zip(0..) {
            actions.duplicate(*stream, target)?;
        }
        let words = pointers(self.words.iter().map(CString::as_c_str));
        let environment = pointers(self.environment.iter().copied());
        let mut pid = 0;
        // SAFETY: `program` and all elements of the two null-terminated arrays are C strings that outlive the call;
        // both objects are initialised; the call does not write through the pointers although they are not const.
        check(unsafe {
            libc::posix_spawn(
                &mut pid,
                self.program.as_ptr(),
                &actions.0,
                &attributes.0,
                words.as_ptr().cast(),
                environment.as_ptr().cast(),
            )
        })?;
        Ok(pid)
    }
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const libc::c_char> {
    strings.map(CStr::as_ptr).chain([ptr::null()]).collect()
}

/// The functions of this family return the error instead of setting `errno`.
fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the call initialises `raw`, which is only used when it succeeded.
        let mut attributes = unsafe {
            check(libc::posix_spawnattr_init(raw.as_mut_ptr()))?;
            Attributes(raw.assume_init())
        };
        let mut none = MaybeUninit::uninit();
        let mut all = MaybeUninit::uninit();
        let flags = libc::POSIX_SPAWN_SETSID | (libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF) as i16;
        // SAFETY: both sets are initialised by `sigemptyset` before use; the numbers are valid signals; the
        // attributes were initialised above.
        unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigemptyset(all.as_mut_ptr());
            for signal in (1..=SIGNAL_LAST).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
                libc::sigaddset(all.as_mut_ptr(), signal);
            }
            check(libc::posix_spawnattr_setsigmask(&mut attributes.0, none.as_ptr()))?;
            check(libc::posix_spawnattr_setsigdefault(&mut attributes.0, all.as_ptr()))?;
            check(libc::posix_spawnattr_setflags(&mut attributes.0, flags))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, used nowhere after this.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the call initialises `raw`, which is only used when it succeeded.
        unsafe {
            check(libc::posix_spawn_file_actions_init(raw.as_mut_ptr()))?;
            Ok(Actions(raw.assume_init()))
        }
    }

    fn change_directory(&mut self, path: &CStr) -> io::Result<()> {
        // SAFETY: the actions are initialised; glibc copies the path.
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(&mut self.0, path.as_ptr()) })
    }

    fn duplicate(&mut self, from: BorrowedFd<'_>, to: libc::c_int) -> io::Result<()> {
        // SAFETY: the actions are initialised; both numbers are descriptors, used only in the child.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, from.as_raw_fd(), to) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, used nowhere after this.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}
