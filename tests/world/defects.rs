//! Rules that a shard breaks: both worlds find it out at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shoal_world::{
    Access, Completion, CoreIndex, EXTENT_LEN, Extent, File, Frame, Op, PAGE_LEN, Part, Socket,
};

use crate::on_both_worlds;
use crate::stage::{Stage, gather};

on_both_worlds! {
    two_sends_on_one_socket,
    two_receives_on_one_socket,
    two_exact_receives_on_one_socket,
    two_waits_for_room_on_one_socket,
    an_operation_on_a_closed_socket,
    an_operation_on_a_socket_that_is_closing,
    a_socket_closed_twice,
    a_socket_handed_over_under_a_receive,
    an_operation_on_a_closed_file,
    a_file_closed_under_a_read,
    a_file_closed_under_a_write,
    a_file_closed_under_a_sync,
    a_write_to_a_file_that_was_opened_for_reading,
    a_write_of_nothing,
    a_read_that_is_not_aligned,
    a_range_outside_its_extent,
    a_framed_extent_written_twice,
    a_framed_extent_sent_empty,
    a_buffer_released_twice,
    a_buffer_read_after_its_release,
    a_hash_of_bytes_of_its_own,
    datagrams_asked_for_twice,
}

/// Panics unless these operations, asked for together, do.
fn breaks(stage: &mut Stage, ops: impl IntoIterator<Item = Op>) {
    breaks_when(stage, |stage| {
        ops.into_iter().for_each(|op| stage.ask(op));
        stage.look();
    });
}

fn breaks_when(stage: &mut Stage, act: impl FnOnce(&mut Stage)) {
    let outcome = catch_unwind(AssertUnwindSafe(|| act(stage)));
    assert!(outcome.is_err(), "nobody noticed");
}

fn send(socket: Socket) -> Op {
    Op::Send {
        socket,
        gather: gather(b"bytes"),
    }
}

fn two_sends_on_one_socket(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    breaks(stage, [send(socket), send(socket)]);
}

fn two_receives_on_one_socket(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.assert_quiet();
    breaks(stage, [Op::Receive { socket }]);
}

fn two_exact_receives_on_one_socket(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.ask(Op::ReceiveExact { socket, len: 10 });
    stage.assert_quiet();
    breaks(stage, [Op::ReceiveExact { socket, len: 10 }]);
}

fn two_waits_for_room_on_one_socket(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    breaks(
        stage,
        [Op::AwaitWritable { socket }, Op::AwaitWritable { socket }],
    );
}

fn an_operation_on_a_closed_socket(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.closes(socket);
    breaks(stage, [send(socket)]);
}

fn an_operation_on_a_socket_that_is_closing(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.assert_quiet();
    breaks(stage, [Op::Close { socket }, send(socket)]);
}

fn a_socket_closed_twice(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.assert_quiet();
    breaks(stage, [Op::Close { socket }, Op::Close { socket }]);
}

fn a_socket_handed_over_under_a_receive(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    stage.ask(Op::Receive { socket });
    stage.assert_quiet();
    let hand_over = Op::HandOver {
        socket,
        core: CoreIndex(1),
        first: Vec::new(),
    };
    breaks(stage, [hand_over]);
}

fn open(stage: &mut Stage, access: Access) -> File {
    let path = stage.put("file", &[1; 10_000]);
    stage.open(&path, access).expect("it is there").file
}

fn read(file: File) -> Op {
    Op::Read {
        token: 1,
        file,
        offset: 0,
        extent: Extent(0),
        start: 0,
        len: PAGE_LEN,
    }
}

fn write(file: File, start: u32, len: u32) -> Op {
    Op::Write {
        token: 1,
        file,
        offset: 0,
        extent: Extent(0),
        start,
        len,
    }
}

fn an_operation_on_a_closed_file(stage: &mut Stage) {
    let file = open(stage, Access::Read);
    breaks(stage, [Op::CloseFile { file }, read(file)]);
}

fn a_file_closed_under_a_read(stage: &mut Stage) {
    let file = open(stage, Access::Read);
    breaks(stage, [read(file), Op::CloseFile { file }]);
}

fn a_file_closed_under_a_write(stage: &mut Stage) {
    let file = open(stage, Access::Write);
    breaks(stage, [write(file, 0, 10), Op::CloseFile { file }]);
}

fn a_file_closed_under_a_sync(stage: &mut Stage) {
    let file = open(stage, Access::Write);
    breaks(stage, [Op::Sync { token: 1, file }, Op::CloseFile { file }]);
}

fn a_write_to_a_file_that_was_opened_for_reading(stage: &mut Stage) {
    let file = open(stage, Access::Read);
    breaks(stage, [write(file, 0, 10)]);
}

fn a_write_of_nothing(stage: &mut Stage) {
    let file = open(stage, Access::Write);
    breaks(stage, [write(file, 0, 0)]);
}

fn a_read_that_is_not_aligned(stage: &mut Stage) {
    let file = open(stage, Access::Read);
    let unaligned = Op::Read {
        token: 1,
        file,
        offset: 512,
        extent: Extent(0),
        start: 0,
        len: PAGE_LEN,
    };
    breaks(stage, [unaligned]);
}

fn a_range_outside_its_extent(stage: &mut Stage) {
    let file = open(stage, Access::Write);
    breaks(stage, [write(file, EXTENT_LEN - 9, 10)]);
}

fn fill(bytes: &[u8]) -> Op {
    Op::Fill {
        frame: Frame(0),
        gather: gather(bytes),
    }
}

fn a_framed_extent_written_twice(stage: &mut Stage) {
    breaks(stage, [fill(b"once"), fill(b"twice")]);
}

fn a_framed_extent_sent_empty(stage: &mut Stage) {
    let (_far, socket) = stage.visitor();
    let send = Op::SendFramed {
        socket,
        frame: Frame(0),
        start: 0,
        len: 1,
    };
    breaks(stage, [send]);
}

fn buffer(stage: &mut Stage) -> shoal_world::Buffer {
    let (far, socket) = stage.visitor();
    stage.world.say(far, b"hello");
    stage.ask(Op::Receive { socket });
    match stage.next() {
        Completion::Received { buffer, .. } => buffer,
        other => panic!("not a portion: {other:?}"),
    }
}

fn a_buffer_released_twice(stage: &mut Stage) {
    let buffer = buffer(stage);
    stage.world.pool(0).release(buffer);
    breaks_when(stage, |stage| stage.world.pool(0).release(buffer));
}

fn a_buffer_read_after_its_release(stage: &mut Stage) {
    let buffer = buffer(stage);
    stage.world.pool(0).release(buffer);
    breaks_when(stage, |stage| drop(stage.world.pool(0).received(buffer).to_vec()));
}

fn a_hash_of_bytes_of_its_own(stage: &mut Stage) {
    let parts = vec![Part::Bytes { start: 0, len: 1 }];
    breaks(stage, [Op::Hash { token: 1, parts }]);
}

fn datagrams_asked_for_twice(stage: &mut Stage) {
    breaks(stage, [Op::ReceiveDatagrams, Op::ReceiveDatagrams]);
}
