//! Timers: a wheel of one-second slots.
//!
//! Deadlines here are seconds to minutes and need no precision below one second, so a timer costs one push and one pop.
//! Nothing is ever cancelled: whoever is woken looks whether its deadline still stands and asks again. A deadline
//! beyond the wheel's horizon comes up at the horizon, and is asked for again.

use std::time::Duration;

use shoal_world::Time;

/// Slots of one second: longer than every deadline but the longest idle timeouts.
const SLOTS: u64 = 256;

const SLOT_NS: u64 = 1_000_000_000;

/// Timers of one kind of thing.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slots: Vec<Vec<T>>,
    /// The next slot to come up, counted from the beginning of time.
    next: u64,
    len: usize,
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Wheel<T> {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            next: 0,
            len: 0,
        }
    }

    /// Wakes `whom` at `when`, up to a second later, or earlier at the horizon.
    pub(crate) fn wake(&mut self, whom: T, when: Time) {
        let slot = (when.as_ns() / SLOT_NS + 1).clamp(self.next, self.next + SLOTS - 1);
        self.slots[(slot % SLOTS) as usize].push(whom);
        self.len += 1;
    }

    /// Everybody whose time has come.
    pub(crate) fn due(&mut self, now: Time) -> Vec<T> {
        let mut due = Vec::new();
        let current = now.as_ns() / SLOT_NS;
        if self.len == 0 {
            self.next = self.next.max(current);
            return due;
        }
        // After a long sleep one round sees every slot.
        for slot in self.next..=current.min(self.next + SLOTS - 1) {
            due.append(&mut self.slots[(slot % SLOTS) as usize]);
        }
        self.next = self.next.max(current + 1);
        self.len -= due.len();
        due
    }

    /// When the next one is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.len == 0 {
            return None;
        }
        let occupied =
            (self.next..self.next + SLOTS).find(|slot| !self.slots[(slot % SLOTS) as usize].is_empty());
        occupied.map(|slot| Time::ZERO + Duration::from_nanos(slot * SLOT_NS))
    }
}

#[cfg(test)]
mod tests;
