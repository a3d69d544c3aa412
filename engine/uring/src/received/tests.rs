use std::sync::mpsc;
use std::thread;

use shoal_world::Buffer;

use super::{Received, Shape};
use crate::played::{Provided, Taken};

const BUFFERS: u16 = 4;

fn received() -> Received {
    Received::new(Shape::messages(BUFFERS)).unwrap()
}

/// The ring as the kernel would know it.
fn provided(received: &Received) -> Provided {
    Provided::new(received.ring.at(0) as u64, BUFFERS)
}

/// Only the tail orders the two sides: the entry behind it, and what was read of the buffer before. Miri tells when it
/// does not.
#[test]
fn a_buffer_that_was_given_back_is_the_kernels_as_soon_as_the_tail_says_so() {
    const TIMES: u8 = 50;
    let mut received = received();
    let mut provided = provided(&received);
    let (told, tells) = mpsc::channel();
    let kernel = thread::spawn(move || {
        let mut times = 0;
        while times < TIMES {
            let Some(buffer) = provided.take() else {
                thread::yield_now();
                continue;
            };
            // SAFETY: the buffer is this side's until it is told of.
            unsafe { buffer.write(&[times; 3]) };
            times += 1;
            told.send(buffer.index).unwrap();
        }
    });
    for times in 0..TIMES {
        let buffer = received.take(tells.recv().unwrap(), 3);
        assert_eq!(received.bytes(buffer), [times; 3]);
        received.release(buffer);
    }
    kernel.join().unwrap();
}

#[test]
fn the_kernel_takes_as_many_as_there_are_and_more_as_they_return() {
    let mut received = received();
    let mut provided = provided(&received);
    let taken: Vec<u16> = std::iter::from_fn(|| provided.take())
        .map(|taken: Taken| taken.index)
        .collect();
    assert_eq!(taken, [0, 1, 2, 3]);
    let buffers: Vec<Buffer> = taken.into_iter().map(|index| received.take(index, 0)).collect();
    received.release(buffers[2]);
    received.release(buffers[0]);
    assert_eq!(provided.take().map(|taken| taken.index), Some(2));
    assert_eq!(provided.take().map(|taken| taken.index), Some(0));
    assert!(provided.take().is_none());
}

#[test]
fn what_was_skipped_is_not_seen() {
    let mut received = received();
    let taken = provided(&received).take().unwrap();
    // SAFETY: the buffer is this side's until it is told of.
    unsafe { taken.write(b"header and bytes") };
    let buffer = received.take(taken.index, 16);
    received.skip(buffer, 11);
    assert_eq!(received.bytes(buffer), b"bytes");
}

#[test]
#[should_panic(expected = "released twice")]
fn giving_a_buffer_back_twice_is_a_defect() {
    let mut received = received();
    let buffer = received.take(1, 0);
    received.release(buffer);
    received.release(buffer);
}

#[test]
#[should_panic(expected = "not its own")]
fn a_kernel_that_uses_what_is_not_its_own_is_noticed() {
    let mut received = received();
    received.take(1, 0);
    received.take(1, 0);
}
