//! Threads that sleep while there is nothing to do, and are woken when there is.
//!
//! The protocol, and why no wake-up is lost: whoever brings work first makes it visible, then looks for sleepers.
//! A worker first says that it sleeps, then looks for work once more. Between the two steps of each side stands a
//! sequentially consistent fence, and of two such fences one comes first: either the bringer's, then the worker sees
//! the work, or the worker's, then the bringer sees the sleeper and unparks it. `park` returns at once when an unpark
//! came before it, so the moment between looking and parking is safe as well.
//!
//! A wake-up may find the work taken by somebody who was awake. That costs a turn, and the worker sleeps again.

use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::thread::{self, Thread};

/// One place for each worker of a group.
#[derive(Debug)]
pub(super) struct Sleepers {
    places: Box<[Place]>,
}

#[derive(Debug)]
struct Place {
    /// Said by the worker before it sleeps, taken back by whoever wakes it, or by itself.
    asleep: AtomicBool,
    thread: Thread,
}

impl Sleepers {
    /// A place for each of these threads, all awake.
    pub(super) fn new(threads: impl IntoIterator<Item = Thread>) -> Sleepers {
        let place = |thread| Place {
            asleep: AtomicBool::new(false),
            thread,
        };
        Sleepers {
            places: threads.into_iter().map(place).collect(),
        }
    }

    /// Sleeps until woken, unless there is work. Only the thread of this place may call it.
    pub(super) fn sleep_unless(&self, place: usize, work: impl Fn() -> bool) {
        let asleep = &self.places[place].asleep;
        asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if work() {
            // Somebody may have woken this place just now for work that is seen here too; the next `park` returns
            // at once then, finds `asleep` still said, and parks again.
            asleep.store(false, Ordering::Relaxed);
            return;
        }
        // `park` may return for no reason.
        while asleep.load(Ordering::Acquire) {
            thread::park();
        }
    }

    /// Wakes one sleeper, if there is any. Call it after the work is visible.
    pub(super) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        let _ = self.places.iter().any(Place::wake);
    }

    /// Wakes all sleepers. Call it after the reason is visible.
    pub(super) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        for place in &self.places {
            place.wake();
        }
    }
}

impl Place {
    /// Whether somebody slept here, who is awake now.
    fn wake(&self) -> bool {
        // The load keeps the line shared while everybody is awake, which is when speed matters.
        let woken = self.asleep.load(Ordering::Relaxed)
            && self
                .asleep
                .compare_exchange(true, false, Ordering::Release, Ordering::Relaxed)
                .is_ok();
        if woken {
            self.thread.unpark();
        }
        woken
    }
}

#[cfg(all(loom, test))]
mod models;
