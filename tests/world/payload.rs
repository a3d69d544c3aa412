//! Payload: received in portions of another size than messages, and copied into extents.

use sha1::{Digest, Sha1};
use shoal_world::{Completion, EXTENT_LEN, Extent, Op, Part, Socket};

use crate::on_both_worlds;
use crate::stage::{Stage, bytes};

on_both_worlds! {
    payload_arrives_in_order_however_it_was_cut,
    payload_and_messages_arrive_side_by_side,
    payload_comes_before_the_end_of_its_stream,
    payload_that_is_held_does_not_keep_the_rest_from_coming,
    a_payload_receive_can_be_closed,
    what_is_stored_lies_where_it_was_put,
    what_is_stored_piece_by_piece_is_hashed_as_a_whole,
}

fn payload_arrives_in_order_however_it_was_cut(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceivePayload { socket });
    let said = bytes(300_000);
    for part in said.chunks(77_777) {
        stage.world.say(far, part);
    }
    assert!(stage.receives(socket, said.len()) == said);
    stage.assert_quiet();
}

fn payload_and_messages_arrive_side_by_side(stage: &mut Stage) {
    let (far, payload) = stage.visitor();
    let (near, messages) = stage.visitor();
    stage.ask(Op::ReceivePayload { socket: payload });
    stage.ask(Op::Receive { socket: messages });
    let said = bytes(40_000);
    stage.world.say(far, &said);
    stage.world.say(near, &said);
    let mut heard = [Vec::new(), Vec::new()];
    while heard.iter().any(|heard| heard.len() < said.len()) {
        let Completion::Received { socket, buffer } = stage.next() else {
            panic!("not a portion");
        };
        let portion = stage.world.pool(0).received(buffer);
        assert!(socket == payload || portion.len() <= 4096, "a message's buffer");
        heard[usize::from(socket == payload)].extend_from_slice(portion);
        stage.world.pool(0).release(buffer);
    }
    assert!(heard.iter().all(|heard| *heard == said));
}

fn payload_comes_before_the_end_of_its_stream(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(100_000);
    stage.world.say(far, &said);
    stage.world.close(far);
    stage.ask(Op::ReceivePayload { socket });
    assert!(stage.receives(socket, said.len()) == said);
    assert_eq!(stage.receive_ended(socket), None);
}

/// Portions of one byte, each held: after so many there may be no buffer left, and nothing is lost.
fn payload_that_is_held_does_not_keep_the_rest_from_coming(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceivePayload { socket });
    let mut held = Vec::new();
    let mut said = Vec::new();
    for round in 0..200 {
        stage.world.say(far, &[round as u8]);
        said.push(round as u8);
        let news = stage.look();
        held.extend(news.into_iter().map(|completion| match completion {
            Completion::Received { buffer, .. } => buffer,
            other => panic!("not a portion: {other:?}"),
        }));
    }
    let mut heard = Vec::new();
    for buffer in held {
        heard.extend_from_slice(stage.world.pool(0).received(buffer));
        stage.world.pool(0).release(buffer);
    }
    let left = said.len() - heard.len();
    heard.extend(stage.receives(socket, left));
    assert_eq!(heard, said);
}

fn a_payload_receive_can_be_closed(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.world.say(far, &bytes(200_000));
    stage.ask(Op::ReceivePayload { socket });
    stage.closes(socket);
    stage.assert_quiet();
}

/// Receives bytes and stores them from `at` on, in the portions in which they come.
fn store(stage: &mut Stage, socket: Socket, len: u32, mut at: u32) {
    let end = at + len;
    while at < end {
        let Completion::Received { socket: from, buffer } = stage.next() else {
            panic!("not a portion");
        };
        assert_eq!(from, socket);
        let pool = stage.world.pool(0);
        let portion = pool.received(buffer).len() as u32;
        let mut start = 0;
        while start < portion {
            let room = EXTENT_LEN - at % EXTENT_LEN;
            let part = room.min(portion - start);
            pool.store(buffer, start, part, Extent(at / EXTENT_LEN), at % EXTENT_LEN);
            (start, at) = (start + part, at + part);
        }
        pool.release(buffer);
    }
    assert_eq!(at, end, "more bytes than were said");
}

fn what_is_stored_lies_where_it_was_put(stage: &mut Stage) {
    let before = bytes(EXTENT_LEN as usize);
    stage.load(&before);
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceivePayload { socket });
    let said: Vec<u8> = before.iter().rev().take(50_001).copied().collect();
    stage.world.say(far, &said);
    store(stage, socket, said.len() as u32, 4_097);
    let mut expected = before;
    expected[4_097..][..said.len()].copy_from_slice(&said);
    assert!(stage.extent(Extent(0), EXTENT_LEN) == expected);
}

fn what_is_stored_piece_by_piece_is_hashed_as_a_whole(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceivePayload { socket });
    let said = bytes(2 * EXTENT_LEN as usize);
    for (index, part) in (0..).zip(said.chunks(50_000)) {
        stage.world.say(far, part);
        store(stage, socket, part.len() as u32, index * 50_000);
    }
    let part = |extent| Part::Extent {
        extent: Extent(extent),
        start: 0,
        len: EXTENT_LEN,
    };
    let parts = vec![part(0), part(1)];
    stage.ask(Op::Hash { token: 3, parts });
    let Completion::Hashed { token: 3, digest } = stage.next() else {
        panic!("not a digest");
    };
    assert_eq!(digest, <[u8; 20]>::from(Sha1::digest(&said)));
}
