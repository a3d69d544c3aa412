//! Streams: what is received and sent, in which order, and how it ends.

use shoal_world::{Completion, CoreIndex, Errno, Op};

use crate::on_both_worlds;
use crate::stage::{Stage, bytes, gather};

on_both_worlds! {
    who_comes_before_we_accept_waits,
    bytes_arrive_in_order_however_they_were_cut,
    exactly_what_was_asked_for_arrives_and_the_rest_follows,
    an_exact_receive_waits_for_its_last_byte,
    an_exact_receive_that_is_cut_short_ends,
    an_exact_receive_that_is_reset_says_so,
    an_exact_receive_that_is_reset_after_a_part_ends,
    bytes_come_before_the_end_of_their_stream,
    bytes_come_before_the_reset_that_follows_them,
    after_the_last_byte_was_received_we_may_still_send,
    bytes_that_arrived_before_a_reset_are_still_received,
    a_reset_waits_for_who_receives,
    a_reset_waits_for_who_sends,
    a_reset_is_seen_by_a_send,
    who_sends_to_somebody_who_closed_learns_it,
    a_broken_socket_is_writable_at_once,
    a_reset_makes_a_full_socket_writable,
    a_socket_takes_a_part_and_says_when_it_takes_more,
    a_full_socket_takes_nothing_and_that_is_no_error,
    a_socket_with_room_is_writable_at_once,
    a_connection_goes_to_another_core_with_what_was_read,
    a_slot_that_was_handed_over_returns_as_another_life,
}

fn who_comes_before_we_accept_waits(stage: &mut Stage) {
    let said = bytes(1_000);
    let visitors: Vec<_> = (0..3).map(|_| stage.world.dial()).collect();
    for (far, _) in &visitors {
        stage.world.say(*far, &said);
    }
    stage.assert_quiet();
    stage.ask(Op::Accept);
    for (_, from) in visitors {
        let Completion::Accepted { socket, address } = stage.next() else {
            panic!("not a visitor");
        };
        assert_eq!(address, from, "in the order in which they came");
        stage.ask(Op::Receive { socket });
    }
    let mut heard = [const { Vec::new() }; 3];
    while heard.iter().map(Vec::len).sum::<usize>() < 3 * said.len() {
        let Completion::Received { socket, buffer } = stage.next() else {
            panic!("not a portion");
        };
        heard[socket.slot as usize].extend_from_slice(stage.world.pool(0).received(buffer));
        stage.world.pool(0).release(buffer);
    }
    assert!(heard.iter().all(|heard| *heard == said));
}

fn bytes_arrive_in_order_however_they_were_cut(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    let said = bytes(100_000);
    let mut rest = &said[..];
    for len in (1..).map(|round| round * round) {
        let (part, later) = rest.split_at(rest.len().min(len));
        stage.world.say(far, part);
        assert!(stage.receives(socket, part.len()) == part, "bytes of round {len}");
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

fn exactly_what_was_asked_for_arrives_and_the_rest_follows(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(5_000);
    stage.world.say(far, &said);
    stage.ask(Op::ReceiveExact { socket, len: 68 });
    assert!(
        matches!(stage.next(), Completion::ReceivedExact { socket: of, bytes } if of == socket && bytes == said[..68])
    );
    stage.assert_quiet();
    stage.ask(Op::Receive { socket });
    assert!(stage.receives(socket, 5_000 - 68) == said[68..]);
}

fn an_exact_receive_waits_for_its_last_byte(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(68);
    stage.ask(Op::ReceiveExact { socket, len: 68 });
    for byte in &said[..67] {
        stage.world.say(far, &[*byte]);
    }
    stage.assert_quiet();
    stage.world.say(far, &said[67..]);
    assert!(matches!(stage.next(), Completion::ReceivedExact { bytes, .. } if bytes == said));
}

fn an_exact_receive_that_is_cut_short_ends(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceiveExact { socket, len: 68 });
    stage.world.say(far, &bytes(67));
    stage.world.close(far);
    assert_eq!(stage.receive_ended(socket), None);
    stage.closes(socket);
}

/// A part of what was asked for comes without the error behind it, as recv(2) has it.
fn an_exact_receive_that_is_reset_after_a_part_ends(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceiveExact { socket, len: 68 });
    stage.world.say(far, &bytes(67));
    stage.assert_quiet();
    stage.world.reset(far);
    assert_eq!(stage.receive_ended(socket), None);
    stage.closes(socket);
}

fn an_exact_receive_that_is_reset_says_so(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::ReceiveExact { socket, len: 68 });
    stage.world.reset(far);
    assert_eq!(stage.receive_ended(socket), Some(ECONNRESET));
    stage.closes(socket);
}

fn bytes_come_before_the_end_of_their_stream(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(30_000);
    stage.world.say(far, &said);
    stage.world.close(far);
    stage.ask(Op::Receive { socket });
    assert!(stage.receives(socket, said.len()) == said);
    assert_eq!(stage.receive_ended(socket), None);
    stage.closes(socket);
}

fn bytes_come_before_the_reset_that_follows_them(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(3_000);
    stage.ask(Op::Receive { socket });
    stage.world.say(far, &said);
    assert!(stage.receives(socket, said.len()) == said);
    stage.world.reset(far);
    assert_eq!(stage.receive_ended(socket), Some(ECONNRESET));
    stage.closes(socket);
}

fn after_the_last_byte_was_received_we_may_still_send(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.world.finish(far);
    assert_eq!(stage.receive_ended(socket), None);
    let said = bytes(10_000);
    stage.send(socket, &said);
    assert!(stage.world.hear(far, said.len()) == said);
    stage.closes(socket);
    assert!(stage.world.hear(far, 1).is_empty(), "the end follows");
}

fn bytes_that_arrived_before_a_reset_are_still_received(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(20_000);
    stage.world.say(far, &said);
    stage.assert_quiet();
    stage.world.reset(far);
    stage.assert_quiet();
    stage.ask(Op::Receive { socket });
    assert!(stage.receives(socket, said.len()) == said);
    assert_eq!(stage.receive_ended(socket), Some(ECONNRESET));
    stage.closes(socket);
}

fn a_reset_waits_for_who_receives(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.world.reset(far);
    stage.assert_quiet();
    stage.ask(Op::Receive { socket });
    assert_eq!(stage.receive_ended(socket), Some(ECONNRESET));
    stage.assert_quiet();
    stage.closes(socket);
}

fn a_reset_waits_for_who_sends(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.world.reset(far);
    stage.assert_quiet();
    let gather = gather(b"anybody there?");
    stage.ask(Op::Send { socket, gather });
    assert_eq!(stage.sent(socket), Err(ECONNRESET));
    stage.closes(socket);
}

fn who_sends_to_somebody_who_closed_learns_it(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.world.close(far);
    assert_eq!(stage.receive_ended(socket), None);
    // The socket does not know yet whether the other side closed or only has no more to say.
    stage.send(socket, b"anybody there?");
    stage.assert_quiet();
    let gather = gather(b"anybody there?");
    stage.ask(Op::Send { socket, gather });
    assert!(matches!(stage.sent(socket), Err(EPIPE | ECONNRESET)));
    stage.closes(socket);
}

fn a_broken_socket_is_writable_at_once(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.world.reset(far);
    stage.assert_quiet();
    stage.ask(Op::AwaitWritable { socket });
    assert!(matches!(stage.next(), Completion::Writable { socket: of } if of == socket));
    stage.closes(socket);
}

fn a_reset_is_seen_by_a_send(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.world.reset(far);
    assert_eq!(stage.receive_ended(socket), Some(ECONNRESET));
    let gather = gather(b"anybody there?");
    stage.ask(Op::Send { socket, gather });
    assert!(matches!(stage.sent(socket), Err(EPIPE | ECONNRESET)));
    stage.closes(socket);
}

fn a_reset_makes_a_full_socket_writable(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    fill(stage, socket);
    stage.world.reset(far);
    assert!(matches!(stage.next(), Completion::Writable { socket: of } if of == socket));
    let gather = gather(b"anybody there?");
    stage.ask(Op::Send { socket, gather });
    assert!(matches!(stage.sent(socket), Err(EPIPE | ECONNRESET)));
    stage.closes(socket);
}

/// Sends until the socket takes nothing more and waits for room. How many bytes it took.
pub(crate) fn fill(stage: &mut Stage, socket: shoal_world::Socket) -> usize {
    let filler = bytes(1 << 20);
    let mut taken = 0;
    loop {
        let place = taken % filler.len();
        let gather = gather(&filler[place..]);
        stage.ask(Op::Send { socket, gather });
        let took = stage.sent(socket).expect("the connection stands") as usize;
        taken += took;
        if took == filler.len() - place {
            continue;
        }
        stage.ask(Op::AwaitWritable { socket });
        // What was taken may have made room meanwhile by leaving.
        match stage.look()[..] {
            [] => return taken,
            [Completion::Writable { socket: of }] => assert_eq!(of, socket),
            ref other => panic!("not room: {other:?}"),
        }
    }
}

fn a_socket_takes_a_part_and_says_when_it_takes_more(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let taken = fill(stage, socket);
    let heard = stage.world.hear(far, taken);
    let filler = bytes(1 << 20);
    assert!(
        heard
            .chunks(filler.len())
            .all(|chunk| chunk == &filler[..chunk.len()])
    );
    assert!(matches!(stage.next(), Completion::Writable { socket: of } if of == socket));
    stage.send(socket, b"and more");
    assert_eq!(stage.world.hear(far, 8), b"and more");
    stage.closes(socket);
    assert!(stage.world.hear(far, 1).is_empty(), "nothing was sent twice");
}

fn a_full_socket_takes_nothing_and_that_is_no_error(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    let filler = bytes(1 << 20);
    let mut took_nothing = 0;
    // Twice in a row with time between them: nothing that is on its way makes room any more.
    while took_nothing < 2 {
        let gather = gather(&filler);
        stage.ask(Op::Send { socket, gather });
        let took = stage.sent(socket).expect("the connection stands");
        took_nothing = if took == 0 { took_nothing + 1 } else { 0 };
        stage.assert_quiet();
    }
    stage.closes(socket);
}

fn a_socket_with_room_is_writable_at_once(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.ask(Op::AwaitWritable { socket });
    assert!(matches!(stage.next(), Completion::Writable { socket: of } if of == socket));
    stage.assert_quiet();
}

fn a_connection_goes_to_another_core_with_what_was_read(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let said = bytes(1_000);
    stage.world.say(far, &said);
    stage.ask(Op::ReceiveExact { socket, len: 68 });
    let Completion::ReceivedExact { bytes: first, .. } = stage.next() else {
        panic!("not the handshake");
    };
    stage.ask(Op::HandOver {
        socket,
        core: CoreIndex(1),
        first: first.clone(),
    });
    stage.assert_quiet();
    let Completion::Arrived {
        socket: there,
        first: before,
        ..
    } = stage.next_of(1)
    else {
        panic!("not a connection of another core");
    };
    assert_eq!(before, first);
    stage.ask_core(
        1,
        Op::ReceiveExact {
            socket: there,
            len: 932,
        },
    );
    assert!(matches!(stage.next_of(1), Completion::ReceivedExact { bytes, .. } if bytes == said[68..]));
    let gather = gather(b"from the other core");
    stage.ask_core(
        1,
        Op::Send {
            socket: there,
            gather,
        },
    );
    let Completion::Sent { result: Ok(took), .. } = stage.next_of(1) else {
        panic!("not a send that succeeded");
    };
    assert_eq!(
        stage.world.hear(far, took as usize),
        b"from the other core"[..took as usize]
    );
    stage.ask_core(1, Op::Close { socket: there });
    assert!(matches!(stage.next_of(1), Completion::Closed { socket } if socket == there));
    assert!(stage.world.hear(far, 1).is_empty());
}

fn a_slot_that_was_handed_over_returns_as_another_life(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.ask(Op::HandOver {
        socket,
        core: CoreIndex(1),
        first: Vec::new(),
    });
    stage.assert_quiet();
    let (_far, next) = stage.visitor();
    assert_eq!(next.slot, socket.slot);
    assert_ne!(next.generation, socket.generation);
}

/// The stream was finished on this side, or broken and told of.
const EPIPE: Errno = Errno(32);

/// The other side broke the connection.
pub(crate) const ECONNRESET: Errno = Errno(104);
