use shoal_world::{Extent, Frame, Gather, Part, Pool};

use super::super::payload::Payload;
use super::Memory;

const PART: Part = Part::Extent {
    extent: Extent(0),
    start: 4096,
    len: 100,
};

fn arrived(payload: &Payload) -> Vec<u8> {
    let mut bytes = Vec::new();
    payload.append_to(&mut bytes);
    bytes
}

#[test]
#[should_panic(expected = "read into while it is being sent")]
fn reading_into_what_is_being_sent_is_a_defect() {
    let mut memory = Memory::new(1, 0, 1);
    memory.start_using(&[PART]);
    memory.start_filling(Extent(0), 0, 8192);
}

#[test]
#[should_panic(expected = "used while it is being read into")]
fn sending_what_is_being_read_is_a_defect() {
    let mut memory = Memory::new(1, 0, 1);
    memory.start_filling(Extent(0), 0, 8192);
    memory.start_using(&[PART]);
}

#[test]
#[should_panic(expected = "received buffers were never released")]
fn a_buffer_that_is_kept_is_noticed() {
    let mut memory = Memory::new(1, 0, 2);
    memory.deliver(vec![1]);
    memory.assert_returned();
}

#[test]
fn pages_wait_for_their_bytes_poisoned() {
    let mut memory = Memory::new(1, 0, 1);
    memory.start_filling(Extent(0), 0, 4096);
    assert!(memory.bytes(Extent(0), 0, 4096).iter().all(|byte| *byte == 0xdb));
    memory.filled(Extent(0), 0, 4096).fill(7);
    let mut gather = Gather::default();
    gather.push_bytes(b"head");
    gather.push_extent(Extent(0), 10, 3);
    assert_eq!(memory.gathered(&gather), b"head\x07\x07\x07");
    memory.assert_returned();
}

#[test]
fn buffers_come_back_one_by_one() {
    let mut memory = Memory::new(0, 0, 2);
    let first = memory.deliver(b"one".to_vec());
    let second = memory.deliver(b"two".to_vec());
    assert!(!memory.has_buffer());
    assert_eq!(memory.received(second), b"two");
    memory.release(first);
    assert_eq!(memory.deliver(b"three".to_vec()), first);
}

/// The model of the rule that framed extents stand on: what is on its way keeps its bytes when its place is given away.
#[test]
fn what_is_on_its_way_survives_eviction_and_refilling() {
    let mut memory = Memory::new(0, 1, 0);
    memory.start_framing(Frame(0));
    assert!(memory.framed(Frame(0), Some(vec![0xaa; 100])));
    let on_its_way = memory.start_sending(Frame(0), 10, 50);
    memory.stop_sending(Frame(0));
    memory.discard(Frame(0));
    memory.start_framing(Frame(0));
    assert!(memory.framed(Frame(0), Some(vec![0xbb; 100])));
    assert_eq!(arrived(&on_its_way), [0xaa; 50]);
    assert_eq!(arrived(&memory.start_sending(Frame(0), 10, 50)), [0xbb; 50]);
}

#[test]
#[should_panic(expected = "was written twice")]
fn writing_over_a_frame_that_was_not_discarded_is_a_defect() {
    let mut memory = Memory::new(0, 1, 0);
    memory.start_framing(Frame(0));
    memory.framed(Frame(0), Some(vec![0xaa; 100]));
    memory.start_framing(Frame(0));
}

#[test]
#[should_panic(expected = "discarded while it was being sent")]
fn discarding_a_frame_that_is_being_sent_is_a_defect() {
    let mut memory = Memory::new(0, 1, 0);
    memory.start_framing(Frame(0));
    memory.framed(Frame(0), Some(vec![0xaa; 100]));
    let _on_its_way = memory.start_sending(Frame(0), 0, 10);
    memory.discard(Frame(0));
}
