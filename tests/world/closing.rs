//! Closing: what is told before the end of a socket, what never is, and what its slot becomes.

use shoal_world::{Completion, Op};

use crate::on_both_worlds;
use crate::sockets::fill;
use crate::stage::{Stage, bytes, gather};

on_both_worlds! {
    a_quiet_socket_closes,
    nothing_is_told_of_a_receive_that_closing_ends,
    nothing_is_told_of_an_exact_receive_that_closing_ends,
    nothing_is_told_of_bytes_that_wait_when_a_socket_closes,
    nothing_is_told_of_a_wait_for_room_that_closing_ends,
    a_send_is_told_before_the_end_of_its_socket,
    what_was_sent_arrives_after_closing,
    a_slot_returns_as_another_life_after_its_end_was_told,
    buffers_come_back_from_connections_that_close,
}

fn a_quiet_socket_closes(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.closes(socket);
    stage.assert_quiet();
    assert!(stage.world.hear(far, 1).is_empty());
}

fn nothing_is_told_of_a_receive_that_closing_ends(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.assert_quiet();
    stage.closes(socket);
    stage.assert_quiet();
    assert!(stage.world.hear(far, 1).is_empty());
}

fn nothing_is_told_of_an_exact_receive_that_closing_ends(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceiveExact { socket, len: 68 });
    stage.world.say(far, b"not all of it");
    stage.assert_quiet();
    stage.closes(socket);
    stage.assert_quiet();
}

fn nothing_is_told_of_bytes_that_wait_when_a_socket_closes(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.world.say(far, &bytes(20_000));
    stage.assert_quiet();
    stage.ask(Op::Receive { socket });
    stage.closes(socket);
    stage.assert_quiet();
}

fn nothing_is_told_of_a_wait_for_room_that_closing_ends(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    fill(stage, socket);
    stage.closes(socket);
    let (_far, socket) = stage.visitor();
    // Here there is room, so that both happen in one turn.
    stage.ask(Op::AwaitWritable { socket });
    stage.closes(socket);
    stage.assert_quiet();
}

fn a_send_is_told_before_the_end_of_its_socket(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    let gather = gather(b"the last words");
    stage.ask(Op::Send { socket, gather });
    stage.ask(Op::Close { socket });
    let took = stage.sent(socket).expect("the connection stands") as usize;
    stage.closed(socket);
    assert_eq!(stage.world.hear(far, 100), b"the last words"[..took]);
}

fn what_was_sent_arrives_after_closing(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(50_000);
    stage.send(socket, &said);
    stage.closes(socket);
    assert!(stage.world.hear(far, said.len() + 1) == said);
}

fn a_slot_returns_as_another_life_after_its_end_was_told(stage: &mut Stage) {
    let (_, mut socket) = stage.visitor();
    for _ in 0..50 {
        // Somebody comes while the slot is being closed, possibly in the same turn.
        stage.ask(Op::Receive { socket });
        stage.ask(Op::Close { socket });
        stage.world.dial();
        let (mut next, mut ended) = (None, false);
        while next.is_none() || !ended {
            match stage.next() {
                Completion::Accepted { socket: other, .. } => {
                    assert_ne!(other, socket);
                    assert!(
                        other.slot != socket.slot || ended,
                        "a slot was used before its end was told"
                    );
                    next = Some(other);
                }
                Completion::Closed { socket: of } => {
                    assert_eq!(of, socket);
                    ended = true;
                }
                other => panic!("neither an end nor a visitor: {other:?}"),
            }
        }
        socket = next.expect("the loop waited for it");
    }
}

fn buffers_come_back_from_connections_that_close(stage: &mut Stage) {
    for _ in 0..3 * stage.world.buffers().div_ceil(16) {
        let (far, socket) = stage.visitor();
        stage.world.say(far, &bytes(16 * 4096));
        stage.ask(Op::Receive { socket });
        stage.closes(socket);
    }
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.world.say(far, b"still heard");
    assert_eq!(stage.receives(socket, 11), b"still heard");
}
