//! Payload: received into the larger buffers, which are fewer, and copied on into the arena.

use std::fs;
use std::io::Write;

use shoal_world::{Access, Buffer, Completion, EXTENT_LEN, Extent, Op, Rng, Socket};

use super::Bench;
use crate::received::{BUFFER_LEN, PAYLOAD_BUFFER_LEN, PAYLOAD_BUFFERS_LEN};

impl Bench {
    /// The next portion that a connection receives.
    fn portion(&mut self, socket: Socket) -> Buffer {
        self.until(|completion| match completion {
            Completion::Received { socket: from, buffer } if *from == socket => Some(*buffer),
            _ => None,
        })
    }

    /// Receives so many bytes.
    fn receive(&mut self, socket: Socket, len: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while received.len() < len {
            let buffer = self.portion(socket);
            received.extend(self.kernel.pool().received(buffer));
            self.kernel.pool().release(buffer);
        }
        received
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(3).fill(&mut bytes);
    bytes
}

#[test]
fn payload_comes_in_larger_portions_than_messages() {
    let mut bench = Bench::new();
    let said = noise(PAYLOAD_BUFFER_LEN);
    for (payload, limit) in [(false, BUFFER_LEN), (true, PAYLOAD_BUFFER_LEN)] {
        let (mut far, socket) = bench.connect();
        // All of it waits in the socket before anything is received.
        far.write_all(&said).unwrap();
        bench.ops.push(if payload {
            Op::ReceivePayload { socket }
        } else {
            Op::Receive { socket }
        });
        let first = bench.portion(socket);
        let mut received = bench.kernel.pool().received(first).to_vec();
        assert!(received.len() <= limit);
        assert_eq!(received.len() > BUFFER_LEN, payload, "{} bytes", received.len());
        bench.kernel.pool().release(first);
        received.extend(bench.receive(socket, said.len() - received.len()));
        assert!(received == said);
    }
}

/// Who holds every buffer keeps payload waiting, and messages not: they have buffers of their own.
#[test]
fn payload_that_finds_no_buffer_comes_when_one_is_free() {
    let mut bench = Bench::new();
    let (mut far, socket) = bench.connect();
    bench.ops.push(Op::ReceivePayload { socket });
    let held: Vec<Buffer> = (0..PAYLOAD_BUFFERS_LEN)
        .map(|round| {
            far.write_all(&[round as u8]).unwrap();
            bench.portion(socket)
        })
        .collect();
    let said = noise(300_000);
    let others: Vec<_> = (0..3).map(|_| bench.connect()).collect();
    let writers: Vec<_> = others
        .iter()
        .map(|(far, socket)| {
            bench.ops.push(Op::ReceivePayload { socket: *socket });
            let (mut far, said) = (far.try_clone().unwrap(), said.clone());
            std::thread::spawn(move || far.write_all(&said).unwrap())
        })
        .collect();
    let (mut talker, talks) = bench.connect();
    bench.ops.push(Op::Receive { socket: talks });
    talker.write_all(b"a message").unwrap();
    let message = bench.until(|completion| match completion {
        Completion::Received { socket, buffer } => Some((*socket, *buffer)),
        _ => None,
    });
    assert_eq!(message.0, talks, "nobody else received anything");
    assert_eq!(bench.kernel.pool().received(message.1), b"a message");
    for (round, buffer) in held.into_iter().enumerate() {
        assert_eq!(bench.kernel.pool().received(buffer), [round as u8]);
        bench.kernel.pool().release(buffer);
    }
    let mut received = vec![Vec::<u8>::new(); others.len()];
    while received.iter().any(|bytes| bytes.len() < said.len()) {
        let (from, buffer) = bench.until(|completion| match completion {
            Completion::Received { socket, buffer } => Some((*socket, *buffer)),
            _ => None,
        });
        let place = others.iter().position(|(_, socket)| *socket == from);
        received[place.expect("one of them")].extend(bench.kernel.pool().received(buffer));
        bench.kernel.pool().release(buffer);
    }
    assert!(received.iter().all(|bytes| *bytes == said));
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[test]
fn what_is_stored_is_what_was_received_and_nothing_beside_it_changes() {
    let mut bench = Bench::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zeroes");
    fs::write(&path, vec![0; EXTENT_LEN as usize]).unwrap();
    bench.load(&path);
    let (mut far, socket) = bench.connect();
    let said = noise(5_000);
    far.write_all(&said).unwrap();
    bench.ops.push(Op::ReceivePayload { socket });
    let buffer = bench.portion(socket);
    assert_eq!(
        bench.kernel.pool().received(buffer),
        said,
        "it all waited in the socket"
    );
    let pool = bench.kernel.pool();
    pool.store(buffer, 0, 13, Extent(0), 0);
    pool.store(buffer, 13, 4_000, Extent(0), 4_095);
    pool.store(buffer, 4_999, 1, Extent(0), EXTENT_LEN - 1);
    pool.release(buffer);
    let made = directory.path().join("made");
    let file = bench.open(&made, Access::Write).unwrap().file;
    bench.ops.push(Op::Write {
        token: 9,
        file,
        offset: 0,
        extent: Extent(0),
        start: 0,
        len: EXTENT_LEN,
    });
    let wrote = bench.until(|completion| match completion {
        Completion::Wrote { token: 9, result } => Some(*result),
        _ => None,
    });
    assert_eq!(wrote, Ok(()));
    let mut expected = vec![0; EXTENT_LEN as usize];
    expected[..13].copy_from_slice(&said[..13]);
    expected[4_095..8_095].copy_from_slice(&said[13..4_013]);
    expected[EXTENT_LEN as usize - 1] = said[4_999];
    assert!(fs::read(&made).unwrap() == expected);
}
