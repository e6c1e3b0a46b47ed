//! The agent's timers.
//!
//! A set ordered by time beside a map by name: arming, disarming and asking for the next are all logarithmic.
//!
//! What holds: a timer is in both or in neither; a disarmed timer never runs out.

use hq_core::agent::Timer;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// See the module. Times are those of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Duration, Timer)>,
    by_name: BTreeMap<Timer, Duration>,
}

impl Timers {
    /// Arms a timer, again if it was armed.
    pub(super) fn arm(&mut self, at: Duration, timer: Timer) {
        self.disarm(timer);
        self.by_time.insert((at, timer));
        self.by_name.insert(timer, at);
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        if let Some(at) = self.by_name.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// When the next timer runs out.
    pub(super) fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out one timer that has run out.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        (at <= now).then(|| {
            self.disarm(timer);
            timer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_of_time() {
        let mut timers = Timers::default();
        let ms = Duration::from_millis;
        timers.arm(ms(5), Timer::Lifetime);
        timers.arm(ms(3), Timer::Lease(1));
        timers.arm(ms(4), Timer::Lease(2));
        timers.arm(ms(9), Timer::Lease(1));
        timers.disarm(Timer::Lease(3));
        assert_eq!(timers.next(), Some(ms(4)));
        assert_eq!(timers.pop(ms(3)), None);
        timers.disarm(Timer::Lease(2));
        assert_eq!(timers.pop(ms(10)), Some(Timer::Lifetime));
        assert_eq!(timers.pop(ms(10)), Some(Timer::Lease(1)));
        assert_eq!((timers.pop(ms(10)), timers.next()), (None, None));
    }
}
