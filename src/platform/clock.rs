//! Wall clock and monotonic clock.
//!
//! The deciding code asks no clock: times come to it with each command, and they are read here.
//!
//! Invariants: `monotonic` never goes back within one process; `wall_us` may, when somebody sets the clock, and a
//! [`SteadyClock`] does not.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z by the wall clock; 0 for a clock set before that.
pub fn wall_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// Time since the first call in this process, by a clock that nobody can set back.
pub fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Time since the machine was started, by a clock that nobody can set and that runs on while the machine sleeps.
pub fn since_boot() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`, which `now` is.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    match (result, u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec)) {
        (0, Ok(seconds), Ok(nanoseconds)) => Duration::new(seconds, nanoseconds),
        // Every Linux of the last decade has the clock.
        _ => monotonic(),
    }
}

/// A wall clock that never jumps: it runs by [`since_boot`], and follows the machine's wall clock slowly. Deadlines may
/// be reckoned by it.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    wall_us: u64,
    boot_us: u64,
}

/// One part of so many is how much slower or faster a [`SteadyClock`] may run.
const SLEW_PARTS: u64 = 200;

impl Default for SteadyClock {
    fn default() -> Self {
        Self::starting(micros(since_boot()), wall_us())
    }
}

impl SteadyClock {
    /// Microseconds since 1970-01-01T00:00:00Z, never before what was said last.
    pub fn now_us(&mut self) -> u64 {
        self.advance(micros(since_boot()), wall_us())
    }

    /// A clock that does not begin before this time, in microseconds since 1970, also where the wall clock was set back.
    pub fn not_before(wall_us_min: u64) -> Self {
        Self::starting(micros(since_boot()), wall_us().max(wall_us_min))
    }

    /// A clock that begins with this reading of the two clocks, in microseconds.
    pub fn starting(boot_us: u64, wall_us: u64) -> Self {
        Self { wall_us, boot_us }
    }

    /// The time when the clock since boot and the wall clock say this, in microseconds.
    pub fn advance(&mut self, boot_us: u64, wall_us: u64) -> u64 {
        let elapsed = boot_us.saturating_sub(self.boot_us);
        let (next, slew) = (self.wall_us.saturating_add(elapsed), elapsed / SLEW_PARTS);
        self.wall_us = wall_us.clamp(next.saturating_sub(slew), next.saturating_add(slew));
        self.boot_us = boot_us;
        self.wall_us
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_is_in_microseconds() {
        // 2020-01-01 and 2200-01-01: a value in milliseconds or nanoseconds falls outside.
        assert!((1_577_836_800_000_000..7_258_118_400_000_000).contains(&wall_us()));
    }

    #[test]
    fn a_steady_clock_follows_slowly_and_never_goes_back() {
        let mut clock = SteadyClock { wall_us: 1_000_000, boot_us: 500 };
        assert_eq!(clock.advance(1_500, 1_001_000), 1_001_000);
        assert_eq!(clock.advance(201_500, 9_000_000), 1_202_000, "a jump forward");
        assert_eq!(clock.advance(401_500, 0), 1_401_000, "a jump back");
        assert_eq!(clock.advance(401_500, 0), 1_401_000);
        let mut clock = SteadyClock::default();
        let (first, second) = (clock.now_us(), clock.now_us());
        assert!(first <= second && second.abs_diff(wall_us()) < 60_000_000);
        assert!(since_boot() > Duration::ZERO);
        let hour_ahead = wall_us() + 3_600_000_000;
        assert!(SteadyClock::not_before(hour_ahead).now_us() >= hour_ahead, "the wall clock was set back");
        assert!(SteadyClock::not_before(0).now_us().abs_diff(wall_us()) < 60_000_000);
    }

    #[test]
    fn monotonic_never_goes_back() {
        let mut last = monotonic();
        for _ in 0..1000 {
            let now = monotonic();
            assert!(now >= last);
            last = now;
        }
    }
}
