//! Datagrams.

use shoal_world::{Completion, DATAGRAM_LEN_MAX, Op};

use crate::on_both_worlds;
use crate::stage::{Stage, bytes};

on_both_worlds! {
    datagrams_go_both_ways,
    a_datagram_may_be_sent_before_any_is_asked_for,
    a_datagram_that_is_too_long_is_lost_and_the_next_one_comes,
    datagrams_come_again_when_there_are_buffers,
}

fn receives(stage: &mut Stage) -> (std::net::SocketAddr, Vec<u8>) {
    let Completion::Datagram { from, buffer } = stage.next() else {
        panic!("not a datagram");
    };
    let payload = stage.world.pool(0).received(buffer).to_vec();
    stage.world.pool(0).release(buffer);
    (from, payload)
}

fn datagrams_go_both_ways(stage: &mut Stage) {
    stage.ask(Op::ReceiveDatagrams);
    stage.assert_quiet();
    let (near, first, second) = (stage.world.datagrams(), stage.world.bind(), stage.world.bind());
    for (far, len) in [
        (first, 0),
        (second, 1),
        (first, 1_500),
        (second, DATAGRAM_LEN_MAX as usize),
    ] {
        let payload = bytes(len);
        stage.world.send_datagram(far, &payload);
        assert_eq!(receives(stage), (far, payload.clone()));
        stage.ask(Op::SendDatagram {
            to: far,
            bytes: payload.clone(),
        });
        stage.assert_quiet();
        assert_eq!(stage.world.receive_datagram(far), (near, payload));
    }
}

fn a_datagram_may_be_sent_before_any_is_asked_for(stage: &mut Stage) {
    let (near, far) = (stage.world.datagrams(), stage.world.bind());
    for round in 0..3 {
        stage.ask(Op::SendDatagram {
            to: far,
            bytes: vec![round],
        });
    }
    stage.assert_quiet();
    let mut heard: Vec<_> = (0..3).map(|_| stage.world.receive_datagram(far)).collect();
    heard.sort_unstable();
    assert_eq!(heard, [0, 1, 2].map(|round| (near, vec![round])));
}

fn a_datagram_that_is_too_long_is_lost_and_the_next_one_comes(stage: &mut Stage) {
    stage.ask(Op::ReceiveDatagrams);
    let far = stage.world.bind();
    for len in [DATAGRAM_LEN_MAX + 1, 20_000, 3] {
        stage.world.send_datagram(far, &bytes(len as usize));
    }
    assert_eq!(receives(stage), (far, bytes(3)));
}

fn datagrams_come_again_when_there_are_buffers(stage: &mut Stage) {
    stage.ask(Op::ReceiveDatagrams);
    let far = stage.world.bind();
    let mut held = Vec::new();
    for _ in 0..stage.world.buffers() {
        stage.world.send_datagram(far, b"held");
        let Completion::Datagram { buffer, .. } = stage.next() else {
            panic!("not a datagram");
        };
        held.push(buffer);
    }
    // It may be lost, or wait.
    stage.world.send_datagram(far, b"one more");
    stage.assert_quiet();
    for buffer in held {
        assert_eq!(stage.world.pool(0).received(buffer), b"held");
        stage.world.pool(0).release(buffer);
    }
    stage.look().into_iter().for_each(|completion| {
        let Completion::Datagram { buffer, .. } = completion else {
            panic!("not a datagram");
        };
        assert_eq!(stage.world.pool(0).received(buffer), b"one more");
        stage.world.pool(0).release(buffer);
    });
    stage.world.send_datagram(far, b"and another");
    assert_eq!(receives(stage), (far, b"and another".to_vec()));
}
