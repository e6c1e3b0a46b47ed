//! Until when the children of this process may run, where the guardian can see it.
//!
//! A worker that is frozen cannot end its tasks when it has to. The guardian, a process of its own, can: it looks at a
//! deadline in memory that both share, and leaves a mark when it has acted.
//!
//! Invariants: without a deadline nothing is ended; the deadline is by the clock since boot, which nobody can set.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::platform::clock;

/// What both processes see.
#[derive(Default)]
pub(super) struct Shared {
    /// Milliseconds since boot; 0: none.
    deadline_ms: AtomicU64,
    /// Whether the guardian has ended the children because of the deadline.
    ended: AtomicBool,
}

/// The shared memory; without it there are no deadlines.
pub(super) fn shared() -> Option<&'static Shared> {
    static SHARED: OnceLock<Option<&'static Shared>> = OnceLock::new();
    *SHARED.get_or_init(|| {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping of zeros, which are valid for both atomics; a page is large and aligned enough; it is
        // never unmapped.
        unsafe {
            let memory = libc::mmap(ptr::null_mut(), size_of::<Shared>(), access, kind, -1, 0);
            (memory != libc::MAP_FAILED).then(|| &*memory.cast::<Shared>())
        }
    })
}

impl Shared {
    /// Whether a deadline is set, and whether it is over.
    pub(super) fn look(&self) -> (bool, bool) {
        let deadline_ms = self.deadline_ms.load(Ordering::Acquire);
        (deadline_ms != 0, deadline_ms != 0 && now_ms() > deadline_ms)
    }

    /// Notes that the children were ended; they are not ended twice for the same deadline.
    pub(super) fn note_end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Forgets a deadline that was acted upon, unless it was set anew meanwhile.
    pub(super) fn forget_if_over(&self) {
        let deadline_ms = self.deadline_ms.load(Ordering::Acquire);
        if now_ms() > deadline_ms {
            let _ = self.deadline_ms.compare_exchange(deadline_ms, 0, Ordering::AcqRel, Ordering::Acquire);
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::since_boot().as_millis()).unwrap_or(u64::MAX)
}

/// Has the guardian end all children at this time since boot, unless another time is set before; `None`: never.
pub fn set_lease(deadline: Option<Duration>) {
    if let Some(shared) = shared() {
        let deadline_ms = deadline.map_or(0, |deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).max(1));
        shared.deadline_ms.store(deadline_ms, Ordering::Release);
    }
}

/// Whether the guardian has ended the children since this was asked last.
pub fn take_lease_end() -> bool {
    shared().is_some_and(|shared| shared.ended.load(Ordering::Relaxed) && shared.ended.swap(false, Ordering::AcqRel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_seen_and_forgotten() {
        let shared = Shared::default();
        assert_eq!(shared.look(), (false, false));
        shared.deadline_ms.store(now_ms() + 60_000, Ordering::Release);
        assert_eq!(shared.look(), (true, false));
        shared.forget_if_over();
        assert_eq!(shared.look(), (true, false));
        shared.deadline_ms.store(1, Ordering::Release);
        assert_eq!(shared.look(), (true, true));
        shared.forget_if_over();
        assert_eq!(shared.look(), (false, false));
        shared.note_end();
        assert!(shared.ended.load(Ordering::Acquire));
    }
}
