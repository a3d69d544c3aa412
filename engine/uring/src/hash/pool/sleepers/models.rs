//! Sleeping and waking in every order of steps: a worker that sleeps although work waits is a deadlock, which loom
//! reports. Work is a relaxed counter, so that nothing but the protocol orders it.

use std::sync::Arc;

use super::Sleepers;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{explore, mpsc, thread};

/// What bringers and workers share.
struct Group {
    work: AtomicUsize,
    ending: AtomicBool,
    sleepers: Sleepers,
}

impl Group {
    fn new(workers: impl IntoIterator<Item = thread::Thread>) -> Arc<Group> {
        Arc::new(Group {
            work: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
            sleepers: Sleepers::new(workers),
        })
    }

    fn bring(&self) {
        self.work.fetch_add(1, Ordering::Relaxed);
        self.sleepers.wake_one();
    }

    fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.sleepers.wake_all();
    }

    fn take(&self) -> bool {
        let one_less = |work: usize| work.checked_sub(1);
        self.work
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }

    fn is_needed(&self) -> bool {
        self.work.load(Ordering::Relaxed) > 0 || self.ending.load(Ordering::Relaxed)
    }

    /// What a worker does until the end.
    fn run(&self, place: usize) {
        while !self.ending.load(Ordering::Relaxed) {
            if !self.take() {
                self.sleepers.sleep_unless(place, || self.is_needed());
            }
        }
    }
}

/// One worker, who takes all that the bringers bring.
fn check_bringers(preemptions: Option<usize>, bringers: usize, each: usize) {
    explore(preemptions, move || {
        let group = Group::new([thread::current()]);
        let bringers: Vec<_> = (0..bringers)
            .map(|_| {
                let group = Arc::clone(&group);
                thread::spawn(move || {
                    for _ in 0..each {
                        group.bring();
                    }
                })
            })
            .collect();
        let mut taken = 0;
        while taken < bringers.len() * each {
            if group.take() {
                taken += 1;
            } else {
                group.sleepers.sleep_unless(0, || group.is_needed());
            }
        }
        for bringer in bringers {
            bringer.join().unwrap();
        }
    });
}

#[test]
fn every_piece_of_work_wakes_the_worker() {
    check_bringers(None, 1, 1);
    check_bringers(None, 1, 2);
}

#[test]
fn of_two_bringers_none_is_missed() {
    check_bringers(Some(3), 2, 1);
}

#[test]
fn the_end_wakes_a_worker_that_just_had_work() {
    explore(None, || {
        let group = Group::new([thread::current()]);
        let theirs = Arc::clone(&group);
        let bringer = thread::spawn(move || {
            theirs.bring();
            theirs.end();
        });
        group.run(0);
        bringer.join().unwrap();
    });
}

/// Two workers take two pieces of work from each other: neither is left, and both end.
#[test]
fn of_two_workers_one_is_woken_for_each_piece_of_work_and_both_for_the_end() {
    explore(Some(2), || {
        let (start, started) = mpsc::channel::<Arc<Group>>();
        let second = thread::spawn(move || started.recv().unwrap().run(1));
        let group = Group::new([thread::current(), second.thread().clone()]);
        start.send(Arc::clone(&group)).unwrap();
        let theirs = Arc::clone(&group);
        let bringer = thread::spawn(move || {
            theirs.bring();
            theirs.bring();
            theirs.end();
        });
        group.run(0);
        bringer.join().unwrap();
        second.join().unwrap();
    });
}
