//! Connections that this side begins.

use std::net::SocketAddr;
use std::time::Duration;

use shoal_world::{Completion, Errno, Op, Socket};

use crate::on_both_worlds;
use crate::sockets::ECONNRESET;
use crate::stage::{Stage, bytes};

on_both_worlds! {
    a_connection_that_we_begin_is_one_like_any_other,
    a_connection_is_refused_where_nobody_listens,
    a_connection_that_nobody_answers_is_given_up,
    a_connection_may_break_as_soon_as_it_stands,
    connections_begin_side_by_side,
}

/// Longer than any connection takes that can come to stand.
const LONG: Duration = Duration::from_secs(20);

fn call(stage: &mut Stage, address: SocketAddr, timeout: Duration) -> Result<Socket, Errno> {
    stage.ask(Op::Connect {
        token: 7,
        address,
        timeout,
    });
    match stage.next() {
        Completion::Connected { token: 7, result } => result,
        other => panic!("not a connection: {other:?}"),
    }
}

fn a_connection_that_we_begin_is_one_like_any_other(stage: &mut Stage) {
    let at = stage.world.listen();
    let socket = call(stage, at, LONG).expect("somebody listens");
    let far = stage.world.answer(at);
    let said = bytes(10_000);
    stage.send(socket, &said);
    assert!(stage.world.hear(far, said.len()) == said);
    stage.ask(Op::Receive { socket });
    stage.world.say(far, &said);
    assert!(stage.receives(socket, said.len()) == said);
    stage.world.close(far);
    assert_eq!(stage.receive_ended(socket), None);
    stage.closes(socket);
    let again = call(stage, at, LONG).expect("somebody listens");
    assert_eq!(again.slot, socket.slot);
    assert_ne!(again.generation, socket.generation);
}

fn a_connection_is_refused_where_nobody_listens(stage: &mut Stage) {
    let at = stage.world.refusing();
    assert_eq!(call(stage, at, LONG), Err(Errno(111)), "ECONNREFUSED");
    stage.assert_quiet();
}

fn a_connection_that_nobody_answers_is_given_up(stage: &mut Stage) {
    let at = stage.world.silent();
    let result = call(stage, at, Duration::from_millis(100));
    assert_eq!(result, Err(Errno(110)), "ETIMEDOUT");
    stage.assert_quiet();
}

fn a_connection_may_break_as_soon_as_it_stands(stage: &mut Stage) {
    let at = stage.world.listen();
    let socket = call(stage, at, LONG).expect("somebody listens");
    let far = stage.world.answer(at);
    stage.world.reset(far);
    stage.ask(Op::Receive { socket });
    assert_eq!(stage.receive_ended(socket), Some(ECONNRESET));
    stage.closes(socket);
}

fn connections_begin_side_by_side(stage: &mut Stage) {
    let (listening, refusing) = (stage.world.listen(), stage.world.refusing());
    for token in 0..40 {
        let address = if token % 2 == 0 { listening } else { refusing };
        stage.ask(Op::Connect {
            token,
            address,
            timeout: LONG,
        });
    }
    let mut outcomes = [None; 40];
    for _ in 0..40 {
        let Completion::Connected { token, result } = stage.next() else {
            panic!("not a connection");
        };
        let before = outcomes[token as usize].replace(result.is_ok());
        assert_eq!(before, None, "{token} completed twice");
    }
    for (token, outcome) in outcomes.iter().enumerate() {
        assert_eq!(*outcome, Some(token % 2 == 0), "{token}");
    }
    stage.assert_quiet();
}
