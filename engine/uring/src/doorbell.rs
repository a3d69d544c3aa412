//! Waking a core that sleeps in its ring: once per sleep, not once per message.
//!
//! Whoever has something for a core first puts it where the core will look (a lock-free queue), then rings. Before it
//! sleeps, the core says so and then looks once more. Either the core sees the message, or the ringer sees that the
//! core sleeps.
//!
//! Why no wake-up is lost: `asleep` is only ever exchanged, never stored or loaded, and exchanges stand in one order. A
//! ringer that comes before the one in `falls_asleep` has shown its message to the look that follows, because a chain
//! of exchanges carries every release in it on to the next acquire. A ringer that comes after it finds `true` and
//! rings, or comes after one who did. That holds for messages of any kind, in queues that order nothing themselves. A
//! plain store in `wakes` would break the chain: what was put by a ringer whose mark the store covers need not be
//! seen by the look that follows, and this ringer did not ring.

use std::io;
use std::os::fd::RawFd;

use crate::sync::Event;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The bell of one core.
#[derive(Debug)]
pub struct Doorbell {
    /// Said before sleeping, taken back by the first ringer or by the core when it is awake again.
    asleep: AtomicBool,
    /// What the core's ring has a poll armed on.
    event: Event,
}

impl Doorbell {
    /// A bell for a core that is awake.
    pub fn new() -> io::Result<Doorbell> {
        Ok(Doorbell {
            asleep: AtomicBool::new(false),
            event: Event::new()?,
        })
    }

    /// Wakes the core if it sleeps. Call it after the message is in its place.
    pub fn ring(&self) {
        if self.asleep.swap(false, Ordering::Release) {
            self.event.signal();
        }
    }

    /// The core is about to sleep: from here on a ringer will ring. Look for messages after this, then sleep.
    pub(crate) fn falls_asleep(&self) {
        self.asleep.swap(true, Ordering::Acquire);
    }

    /// The core is awake: nobody needs to ring.
    pub(crate) fn wakes(&self) {
        // An exchange although nothing is learnt from it: see above.
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// The poll reported the bell: silence it, or a poll that is armed anew would report what was heard already.
    pub(crate) fn heard(&self) {
        self.event.clear();
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.event.fd()
    }

    /// Sleeps as the core does in its ring when nothing but the bell can wake it.
    #[cfg(all(loom, test))]
    pub(crate) fn sleep(&self) {
        self.event.wait();
    }
}

#[cfg(all(loom, test))]
mod models;
#[cfg(test)]
mod tests;
