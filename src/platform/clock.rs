//! Wall clock and monotonic clock.
//!
//! The deciding code asks no clock: times come to it with each command, and they are read here.
//!
//! Invariants: `monotonic` never goes back within one process; `wall_us` may, when somebody sets the clock.

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

/// [`monotonic`] in microseconds.
pub fn monotonic_us() -> u64 {
    u64::try_from(monotonic().as_micros()).unwrap_or(u64::MAX)
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
    fn monotonic_never_goes_back() {
        let mut last = monotonic_us();
        for _ in 0..1000 {
            let now = monotonic_us();
            assert!(now >= last);
            last = now;
        }
    }
}
