use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use super::Doorbell;

/// How often the bell was rung since it was last asked.
fn rings(bell: &Doorbell) -> u64 {
    // SAFETY: the bell keeps its descriptor open for the call.
    let descriptor = unsafe { BorrowedFd::borrow_raw(bell.fd()) };
    let mut counter = File::from(descriptor.try_clone_to_owned().unwrap());
    let mut count = [0; 8];
    // A silent eventfd would block, which ours refuses.
    counter.read(&mut count).map_or(0, |_| u64::from_ne_bytes(count))
}

#[test]
fn a_core_that_is_awake_is_not_disturbed() {
    let bell = Doorbell::new().unwrap();
    bell.ring();
    bell.falls_asleep();
    bell.wakes();
    bell.ring();
    assert_eq!(rings(&bell), 0);
}

#[test]
fn a_sleeping_core_is_woken_once() {
    let bell = Doorbell::new().unwrap();
    bell.falls_asleep();
    bell.ring();
    bell.ring();
    assert_eq!(rings(&bell), 1);
}

#[test]
fn what_was_heard_does_not_ring_again() {
    let bell = Doorbell::new().unwrap();
    bell.falls_asleep();
    bell.ring();
    bell.heard();
    assert_eq!(rings(&bell), 0);
}
