//! The box and its bell together: every connection that was handed over is taken by a core that sleeps in between.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{HandedOver, Mailbox};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{explore, thread};

const SOMEBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6881);

fn connection() -> HandedOver {
    HandedOver {
        stream: File::open("/dev/null").unwrap().into(),
        address: SOMEBODY,
        first: Vec::new(),
    }
}

/// One turn of a core: sleeps if it may, wakes, takes what is there.
fn turn(mailbox: &Mailbox, awake: impl FnOnce() -> bool) -> usize {
    let sleeps = mailbox.may_sleep(awake);
    if sleeps {
        mailbox.bell().sleep();
    }
    mailbox.bell().wakes();
    if sleeps {
        mailbox.bell().heard();
    }
    std::iter::from_fn(|| mailbox.take()).count()
}

fn check(preemptions: Option<usize>, cores: usize, each: usize) {
    explore(preemptions, move || {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let others: Vec<_> = (0..cores)
            .map(|_| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || {
                    for _ in 0..each {
                        mailbox.hand_over(connection());
                    }
                })
            })
            .collect();
        let mut taken = 0;
        while taken < others.len() * each {
            taken += turn(&mailbox, || false);
        }
        for other in others {
            other.join().unwrap();
        }
        assert!(mailbox.take().is_none());
    });
}

#[test]
fn every_connection_of_another_core_is_taken() {
    check(None, 1, 1);
    check(None, 1, 2);
}

#[test]
fn every_connection_of_two_other_cores_is_taken() {
    check(Some(4), 2, 1);
}

/// Commands come by another queue and ring the same bell.
#[test]
fn a_message_elsewhere_wakes_the_core_as_well() {
    explore(Some(5), || {
        let shared = Arc::new((Mailbox::new().unwrap(), AtomicBool::new(false)));
        let theirs = Arc::clone(&shared);
        let other = thread::spawn(move || {
            let (mailbox, command) = &*theirs;
            mailbox.hand_over(connection());
            command.store(true, Ordering::Relaxed);
            mailbox.bell().ring();
        });
        let (mailbox, command) = &*shared;
        let mut taken = 0;
        while !(taken == 1 && command.load(Ordering::Relaxed)) {
            let commanded = taken == 1;
            taken += turn(mailbox, || commanded && command.load(Ordering::Relaxed));
        }
        other.join().unwrap();
    });
}
