//! Received buffers: few, held by whoever reads them, and given back one by one.

use shoal_world::{Buffer, Completion, Op, Socket};

use crate::on_both_worlds;
use crate::stage::{Stage, bytes};

on_both_worlds! {
    more_bytes_than_buffers_wait_until_there_are_some,
    all_that_wait_for_buffers_go_on,
    a_receive_that_waits_for_buffers_can_be_closed,
    a_stream_that_ended_while_there_were_no_buffers_loses_nothing,
}

/// Receives one byte at a time until no buffer is left. The buffers, in order.
fn hold_all(stage: &mut Stage) -> Vec<Buffer> {
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    let held: Vec<Buffer> = (0..stage.world.buffers())
        .map(|round| {
            stage.world.say(far, &[round as u8]);
            match stage.next() {
                Completion::Received { buffer, .. } => buffer,
                other => panic!("not a portion: {other:?}"),
            }
        })
        .collect();
    for (round, buffer) in held.iter().enumerate() {
        assert_eq!(stage.world.pool(0).received(*buffer), [round as u8]);
    }
    held
}

fn release(stage: &mut Stage, held: Vec<Buffer>) {
    for buffer in held {
        stage.world.pool(0).release(buffer);
    }
}

fn more_bytes_than_buffers_wait_until_there_are_some(stage: &mut Stage) {
    let held = hold_all(stage);
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    let said = bytes(60_000);
    stage.world.say(far, &said);
    stage.assert_quiet();
    release(stage, held);
    assert!(stage.receives(socket, said.len()) == said);
}

fn all_that_wait_for_buffers_go_on(stage: &mut Stage) {
    let held = hold_all(stage);
    let visitors: Vec<_> = (0..10).map(|_| stage.visitor()).collect();
    for (index, (far, socket)) in visitors.iter().enumerate() {
        stage.ask(Op::Receive { socket: *socket });
        stage.world.say(*far, &[index as u8; 100]);
    }
    stage.assert_quiet();
    release(stage, held);
    let mut heard = [0; 10];
    while heard.iter().sum::<usize>() < 1000 {
        let Completion::Received { socket, buffer } = stage.next() else {
            panic!("not a portion");
        };
        let index = visitors
            .iter()
            .position(|(_, of)| *of == socket)
            .expect("a visitor");
        let portion = stage.world.pool(0).received(buffer);
        assert!(portion.iter().all(|byte| *byte == index as u8));
        heard[index] += portion.len();
        stage.world.pool(0).release(buffer);
    }
    assert_eq!(heard, [100; 10]);
}

fn a_receive_that_waits_for_buffers_can_be_closed(stage: &mut Stage) {
    let held = hold_all(stage);
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.world.say(far, b"nobody will read this");
    stage.assert_quiet();
    stage.closes(socket);
    release(stage, held);
    stage.assert_quiet();
}

fn a_stream_that_ended_while_there_were_no_buffers_loses_nothing(stage: &mut Stage) {
    let held = hold_all(stage);
    let (far, socket): (_, Socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    let said = bytes(20_000);
    stage.world.say(far, &said);
    stage.world.close(far);
    stage.assert_quiet();
    release(stage, held);
    assert!(stage.receives(socket, said.len()) == said);
    assert_eq!(stage.receive_ended(socket), None);
}
