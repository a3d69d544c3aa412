//! The bell in every order of steps: a core that sleeps although a message waits for it is a deadlock, which loom
//! reports. Messages are bare relaxed counters, so that nothing but the bell orders them.

use std::sync::Arc;

use super::Doorbell;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{explore, thread};

/// A core with a bell, and the messages that were put for it.
struct Core {
    bell: Doorbell,
    messages: AtomicUsize,
}

impl Core {
    fn new() -> Arc<Core> {
        Arc::new(Core {
            bell: Doorbell::new().unwrap(),
            messages: AtomicUsize::new(0),
        })
    }

    fn put(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bell.ring();
    }

    /// One turn of a core that has seen `seen` messages; says how many there are now. `something_else` completes in
    /// its ring as well, so that it does not stay asleep.
    fn turn(&self, seen: usize, something_else: bool) -> usize {
        self.bell.falls_asleep();
        let rings = if self.messages.load(Ordering::Relaxed) == seen && !something_else {
            self.bell.sleep();
            true
        } else {
            false
        };
        self.bell.wakes();
        if rings {
            self.bell.heard();
        }
        self.messages.load(Ordering::Relaxed)
    }
}

/// `ringers` put `each` messages; the core's first turns end at once, and then it sleeps until it has seen all.
fn check(preemptions: Option<usize>, ringers: usize, each: usize, short_turns: usize) {
    explore(preemptions, move || {
        let core = Core::new();
        let ringers: Vec<_> = (0..ringers)
            .map(|_| {
                let core = Arc::clone(&core);
                thread::spawn(move || {
                    for _ in 0..each {
                        core.put();
                    }
                })
            })
            .collect();
        let mut seen = 0;
        for _ in 0..short_turns {
            seen = core.turn(seen, true);
        }
        while seen < ringers.len() * each {
            seen = core.turn(seen, false);
        }
        for ringer in ringers {
            ringer.join().unwrap();
        }
    });
}

#[test]
fn every_message_of_one_ringer_wakes_the_core() {
    check(None, 1, 1, 0);
    check(None, 1, 2, 0);
}

#[test]
fn a_core_that_something_else_woke_does_not_miss_the_next_message() {
    check(None, 1, 1, 1);
    check(Some(5), 1, 2, 1);
}

#[test]
fn of_two_ringers_the_one_who_finds_the_core_awake_is_heard_as_well() {
    check(Some(4), 2, 1, 0);
    check(Some(3), 2, 1, 1);
}
