//! Framed extents: written once, sent by reference, and never what somebody gets who reads late.

use shoal_world::{Completion, Extent, FRAME_LEN, Frame, Gather, Op, Socket};

use crate::on_both_worlds;
use crate::stage::{Far, Stage, bytes, gather};

on_both_worlds! {
    a_framed_extent_is_sent_from_any_byte_to_any,
    a_framed_extent_gathers_bytes_and_extents,
    a_receiver_that_reads_late_gets_what_was_sent,
}

fn filled(stage: &mut Stage, frame: Frame, gather: Box<Gather>) {
    stage.ask(Op::Fill { frame, gather });
    match stage.next() {
        Completion::Filled { frame: of, result } => assert_eq!((of, result), (frame, Ok(()))),
        other => panic!("not a fill: {other:?}"),
    }
}

/// Sends a range, as often as it takes.
fn send(stage: &mut Stage, socket: Socket, frame: Frame, start: u32, len: u32) {
    let mut sent = 0;
    while sent < len {
        stage.ask(Op::SendFramed {
            socket,
            frame,
            start: start + sent,
            len: len - sent,
        });
        sent += stage.sent(socket).expect("the connection stands");
    }
}

fn a_framed_extent_is_sent_from_any_byte_to_any(stage: &mut Stage) {
    let (far, socket) = stage.visitor();
    let content = bytes(FRAME_LEN as usize);
    filled(stage, Frame(2), gather(&content));
    for (start, len) in [(0, 1), (13, 16_384), (4095, 2), (FRAME_LEN - 1, 1), (1, 100_000)] {
        send(stage, socket, Frame(2), start, len);
        assert!(stage.world.hear(far, len as usize) == content[start as usize..][..len as usize]);
    }
    stage.ask(Op::Discard { frame: Frame(2) });
    stage.assert_quiet();
}

fn a_framed_extent_gathers_bytes_and_extents(stage: &mut Stage) {
    let content = bytes(300_000);
    stage.load(&content);
    let mut gather = Box::new(Gather::default());
    gather.push_bytes(b"head");
    gather.push_extent(Extent(0), 262_000, 144);
    gather.push_extent(Extent(1), 0, 1_000);
    gather.push_bytes(b"tail");
    filled(stage, Frame(0), gather);
    let (far, socket) = stage.visitor();
    send(stage, socket, Frame(0), 2, 1_148);
    let expected = [b"ad", &content[262_000..263_144], b"ta"].concat();
    assert!(stage.world.hear(far, 1_148) == expected);
}

/// What a socket took stays what it was, although its frame is emptied and written again meanwhile.
fn a_receiver_that_reads_late_gets_what_was_sent(stage: &mut Stage) {
    let content = bytes(FRAME_LEN as usize);
    let (late, slow): (Vec<Far>, Vec<Socket>) = (0..3).map(|_| stage.visitor()).unzip();
    let mut taken = Vec::new();
    for round in 0..3_u8 {
        let old: Vec<u8> = content.iter().map(|byte| byte ^ round).collect();
        filled(stage, Frame(1), gather(&old));
        let socket = slow[usize::from(round)];
        stage.ask(Op::SendFramed {
            socket,
            frame: Frame(1),
            start: 0,
            len: FRAME_LEN,
        });
        let took = stage.sent(socket).expect("the connection stands") as usize;
        taken.push(old[..took].to_vec());
        stage.ask(Op::Discard { frame: Frame(1) });
    }
    filled(stage, Frame(1), gather(&vec![0xee; FRAME_LEN as usize]));
    for (far, old) in late.into_iter().zip(taken) {
        assert!(stage.world.hear(far, old.len()) == old);
    }
}
