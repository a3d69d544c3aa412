//! The real queue and the real event between threads. Miri runs this under many schedules, with stale values: see
//! `tools/test.sh`.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use super::{HandedOver, Mailbox};

fn connection(first: Vec<u8>) -> HandedOver {
    HandedOver {
        stream: File::open("/dev/null").unwrap().into(),
        address: SocketAddr::from(([127, 0, 0, 1], 6881)),
        first,
    }
}

#[test]
fn what_two_cores_hand_over_arrives_whole_and_in_the_order_of_each() {
    const EACH: u8 = if cfg!(miri) { 5 } else { 100 };
    let mailbox = Arc::new(Mailbox::new().unwrap());
    let cores: Vec<_> = (0..2_u8)
        .map(|core| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for index in 0..EACH {
                    mailbox.hand_over(connection(vec![core, index]));
                }
            })
        })
        .collect();
    let mut next = [0; 2];
    while next != [EACH; 2] {
        // Nobody sleeps here: the order of memory is what is looked at, not the waking.
        let _ = mailbox.may_sleep(|| true);
        mailbox.bell().wakes();
        while let Some(HandedOver { first, .. }) = mailbox.take() {
            let (core, index) = (usize::from(first[0]), first[1]);
            assert_eq!(index, next[core], "of core {core}");
            next[core] += 1;
        }
        thread::yield_now();
    }
    for core in cores {
        core.join().unwrap();
    }
}
