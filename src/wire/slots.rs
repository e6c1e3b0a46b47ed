//! The places of connections that have not proven themselves, and who has to leave one.
//!
//! A limit alone would let strangers fill it and wait: whoever came later, the owner included,
//! would queue behind them. So a newcomer takes the place of the one that shows the least.
//!
//! What holds: at most `total_max` places are taken, a place is free only after its connection is
//! closed, and one source can neither take more than its share nor push out others' for it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// How long a connection that showed something may keep its place in a crowd.
const STARTED_MS_MIN: u64 = 250;
const PROVEN_MS_MIN: u64 = 1_000;

/// How often a full gate looks again for a connection that has to leave.
const ROOM_MS_STEP: u64 = 50;

/// What a connection has shown so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shown {
    /// Nothing.
    Nothing,
    /// As many bytes as a beginning has.
    Started,
    /// A beginning that was made with the secret, now or once.
    Proven,
}

impl Shown {
    /// Time that the connection may stay when others need its place.
    fn stays(self) -> Duration {
        Duration::from_millis(match self {
            Shown::Nothing => 0,
            Shown::Started => STARTED_MS_MIN,
            Shown::Proven => PROVEN_MS_MIN,
        })
    }
}

/// The table of places of one port.
#[derive(Debug)]
pub(crate) struct Slots {
    table: Mutex<Table>,
    freed: Notify,
    total_max: usize,
    per_source_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    next_id: u64,
    closed: bool,
    /// Connections that had to leave since this was last asked.
    pushed_out: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    source: IpAddr,
    since: Instant,
    shown: Shown,
    /// Told to leave; the place is taken until its task is gone.
    leaving: bool,
    task: Option<AbortHandle>,
}

impl Entry {
    fn leave(&mut self) {
        self.leaving = true;
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A taken place; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    id: u64,
}

/// The part of an address that its holder cannot choose freely: an IPv6 host owns its /64.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

impl Slots {
    pub(crate) fn new(total_max: usize, per_source_max: usize) -> Arc<Self> {
        let (table, freed) = (Mutex::default(), Notify::new());
        let total_max = total_max.max(1);
        Arc::new(Slots { table, freed, total_max, per_source_max: per_source_max.max(1) })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The table is consistent between any two statements, so that a poisoned one is good.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a place is free, making the least deserving leave where none is.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            {
                let mut table = self.lock();
                if table.entries.len() < self.total_max {
                    return;
                }
                if !table.entries.iter().any(|entry| entry.leaving) {
                    table.evict(|_| true);
                }
            }
            let _ = timeout(Duration::from_millis(ROOM_MS_STEP), freed).await;
        }
    }

    /// Takes a place for a connection from `address`; `None` where its source has all its share
    /// with connections that deserve to stay.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, shown: Shown) -> Option<Slot> {
        let source = source_of(address);
        let mut table = self.lock();
        let own = |entry: &Entry| entry.source == source && !entry.leaving;
        if table.entries.iter().filter(|entry| own(entry)).count() >= self.per_source_max
            && !table.evict(|entry| entry.source == source)
        {
            return None;
        }
        let id = table.next_id;
        table.next_id += 1;
        let since = Instant::now();
        table.entries.push(Entry { id, source, since, shown, leaving: false, task: None });
        // The next to come shall find a place without waiting.
        if table.entries.iter().filter(|entry| !entry.leaving).count() >= self.total_max {
            table.evict(|entry| entry.id != id);
        }
        Some(Slot { slots: Arc::clone(self), id })
    }

    /// Names the task that has to be ended when the connection must leave.
    pub(crate) fn set_task(&self, id: u64, task: AbortHandle) {
        let mut table = self.lock();
        let closed = table.closed;
        if let Some(entry) = table.entries.iter_mut().find(|entry| entry.id == id) {
            entry.task = Some(task);
            if entry.leaving || closed {
                entry.leave();
            }
        }
    }

    /// How many had to leave since the last call.
    pub(crate) fn take_pushed_out(&self) -> u64 {
        std::mem::take(&mut self.lock().pushed_out)
    }

    /// Makes everybody leave, for the end of the listener.
    pub(crate) fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        table.entries.iter_mut().for_each(Entry::leave);
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.lock().entries.len()
    }
}

impl Table {
    /// Makes the one among `candidates` leave that has shown least, the oldest of these. False
    /// where all of them may stay.
    fn evict(&mut self, candidates: impl Fn(&Entry) -> bool) -> bool {
        let now = Instant::now();
        let may_go =
            |entry: &&mut Entry| !entry.leaving && candidates(entry) && now - entry.since >= entry.shown.stays();
        let least = self.entries.iter_mut().filter(may_go).min_by_key(|entry| (entry.shown, entry.id));
        let left = least.map(Entry::leave).is_some();
        self.pushed_out += u64::from(left);
        left
    }
}

impl Slot {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Notes what the connection has shown.
    pub(crate) fn show(&self, shown: Shown) {
        let mut table = self.slots.lock();
        if let Some(entry) = table.entries.iter_mut().find(|entry| entry.id == self.id) {
            entry.shown = shown;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().entries.retain(|entry| entry.id != self.id);
        self.slots.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn leaving(slots: &Slots) -> Vec<u64> {
        let table = slots.lock();
        table.entries.iter().filter(|entry| entry.leaving).map(|entry| entry.id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_silent_leave_first_and_the_oldest_of_them() {
        let slots = Slots::new(100, 3);
        let held: Vec<_> = [Shown::Proven, Shown::Nothing, Shown::Nothing]
            .into_iter()
            .map(|shown| slots.enter(ip(1), shown).unwrap())
            .collect();
        let other = slots.enter(ip(2), Shown::Nothing).unwrap();
        let newest = slots.enter(ip(1), Shown::Started).unwrap();
        assert_eq!(leaving(&slots), [held[1].id()]);
        let another = slots.enter(ip(1), Shown::Started).unwrap();
        assert_eq!(leaving(&slots), [held[1].id(), held[2].id()]);
        assert!(slots.enter(ip(1), Shown::Started).is_none(), "three that deserve to stay");
        tokio::time::advance(Duration::from_millis(STARTED_MS_MIN)).await;
        assert!(slots.enter(ip(1), Shown::Nothing).is_some());
        assert_eq!(leaving(&slots), [held[1].id(), held[2].id(), newest.id()]);
        drop((held, other, newest, another));
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_gate_makes_room_and_waits_until_the_place_is_free() {
        let slots = Slots::new(2, 2);
        let proven = slots.enter(ip(1), Shown::Proven).unwrap();
        slots.room().await;
        let silent = slots.enter(ip(2), Shown::Nothing).unwrap();
        let room = slots.room();
        tokio::pin!(room);
        assert!(timeout(Duration::from_millis(500), &mut room).await.is_err(), "nobody has left");
        assert_eq!(leaving(&slots), [silent.id()]);
        drop(silent);
        room.await;
        assert_eq!(slots.taken(), 1);
        proven.show(Shown::Nothing);
    }

    #[test]
    fn sources_are_hosts() {
        let v6 = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8:0:1::1"), v6("2001:db8::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), ip(1));
    }
}
