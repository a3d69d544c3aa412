//! Virtual time: a clock that stands still until the next event, and the events in their order.
//!
//! Events are ordered by time, and events of one moment by the order in which they were announced, so that a run
//! depends on nothing but its seed.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use shoal_world::Time;

/// The clock and everything that will happen.
#[derive(Debug)]
pub struct Clock<E> {
    now: Time,
    entries: BinaryHeap<Entry<E>>,
    announced: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    sequence: u64,
    event: E,
}

impl<E> Default for Clock<E> {
    fn default() -> Clock<E> {
        Clock {
            now: Time::ZERO,
            entries: BinaryHeap::new(),
            announced: 0,
        }
    }
}

impl<E> Clock<E> {
    /// The moment of the event that happens now.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Announces an event; one of the past happens now.
    pub fn at(&mut self, at: Time, event: E) {
        let entry = Entry {
            at: at.max(self.now),
            sequence: self.announced,
            event,
        };
        self.announced += 1;
        self.entries.push(entry);
    }

    /// Announces an event from now.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// When the next event happens.
    pub fn next_at(&self) -> Option<Time> {
        self.entries.peek().map(|entry| entry.at)
    }

    /// Moves on to the next event that happens not later than `until`. Without one the clock shows `until`.
    pub fn next(&mut self, until: Time) -> Option<E> {
        if self.next_at().is_none_or(|at| at > until) {
            self.now = self.now.max(until);
            return None;
        }
        let entry = self.entries.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }

    /// How many events were announced since the beginning.
    pub fn announced(&self) -> u64 {
        self.announced
    }
}

/// The earliest is the greatest: `BinaryHeap` gives the greatest first.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Entry<E>) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Entry<E>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Entry<E>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests;
