//! Until when the children of this process may run, where the guardian can see it.
//!
//! A worker that is frozen cannot end its tasks when it has to. The guardian, a process of its own, can: it looks at a
//! deadline in memory that both share, and leaves a mark when it has acted.
//!
//! Each end of the lease begins a new term. What was ordered in an old one is not started any more: a thread that was
//! frozen between the order and the start would otherwise start a second copy when it thaws.
//!
//! Invariants: without a deadline nothing is ended; the deadline is by the clock since boot, which nobody can set.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::platform::clock;

/// What is over is judged within this many steps: by the worker, or else by the guardian.
const JUDGED_STEPS: u32 = 100;
const JUDGED_STEP: Duration = Duration::from_millis(10);

/// The time between two ends of the lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Term(u64);

/// What both processes see.
#[derive(Default)]
pub(super) struct Shared {
    /// Milliseconds since boot; 0: none.
    deadline_ms: AtomicU64,
    /// How often the lease has ended.
    ends: AtomicU64,
    /// It has ended, and a new one has not begun.
    is_closed: AtomicBool,
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

    /// Begins a new term, in which nothing starts until there is a new deadline.
    pub(super) fn note_end(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.ends.fetch_add(1, Ordering::AcqRel);
    }

    fn set(&self, deadline: Option<Duration>) {
        let deadline_ms = deadline.map_or(0, |deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).max(1));
        self.deadline_ms.store(deadline_ms, Ordering::Release);
        if deadline_ms > now_ms() {
            self.is_closed.store(false, Ordering::Release);
        }
    }

    fn term(&self) -> Term {
        Term(self.ends.load(Ordering::Acquire))
    }

    /// Whether what was ordered in this term may still be started. While the deadline is over and nobody has said yet
    /// what that means, this waits for it.
    fn permits(&self, term: Term) -> bool {
        let is_closed = || self.is_closed.load(Ordering::Acquire) || self.term() != term;
        for _ in 0..JUDGED_STEPS {
            if is_closed() || !self.look().1 {
                break;
            }
            std::thread::sleep(JUDGED_STEP);
        }
        !is_closed()
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
    shared().into_iter().for_each(|shared| shared.set(deadline));
}

/// The lease has ended: nothing is started before there is a new one, and nothing ever that was ordered before.
pub fn end_lease() {
    shared().into_iter().for_each(Shared::note_end);
}

/// Whether the lease has ended and no new one has begun.
pub fn is_lease_over() -> bool {
    shared().is_some_and(|shared| shared.is_closed.load(Ordering::Acquire))
}

/// The term that runs; another one than before when the worker or the guardian has ended the lease.
pub fn lease_term() -> Term {
    shared().map(Shared::term).unwrap_or_default()
}

/// Whether what was ordered in this term may still be started; may wait for a second.
pub(super) fn permits(term: Term) -> bool {
    shared().is_none_or(|shared| shared.permits(term))
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
    }

    #[test]
    fn what_was_ordered_before_the_end_is_not_started_after_it() {
        let shared = Shared::default();
        let before = shared.term();
        assert!(shared.permits(before));
        shared.note_end();
        // What the server had sent before it gave the tasks away may still be read now.
        assert!(!shared.permits(before) && !shared.permits(shared.term()));
        shared.set(Some(clock::since_boot() + Duration::from_secs(60)));
        assert!(!shared.permits(before) && shared.permits(shared.term()));
        // Over, and not judged yet: whoever would start something waits for the verdict, whichever it is.
        for is_end in [false, true] {
            shared.deadline_ms.store(1, Ordering::Release);
            let term = shared.term();
            let is_permitted = std::thread::scope(|scope| {
                let start = scope.spawn(|| shared.permits(term));
                if is_end {
                    shared.note_end();
                } else {
                    shared.set(Some(clock::since_boot() + Duration::from_secs(60)));
                }
                start.join().unwrap()
            });
            assert_eq!(is_permitted, !is_end);
        }
    }
}
