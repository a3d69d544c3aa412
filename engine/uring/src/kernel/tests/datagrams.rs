//! Datagrams of both families, those that are lost, and those that wait for buffers.

use std::net::{SocketAddr, UdpSocket};

use shoal_world::{Completion, DATAGRAM_LEN_MAX, Op};

use super::Bench;

/// A world with a datagram socket at `near`, its address, and a socket that talks to it from `far`.
fn set(near: &str, far: &str) -> (Bench, SocketAddr, UdpSocket) {
    let near = UdpSocket::bind(near).unwrap();
    let port = near.local_addr().unwrap().port();
    let mut bench = Bench::of(|options| options.datagrams = Some(near));
    bench.ops.push(Op::ReceiveDatagrams);
    let far = UdpSocket::bind(far).unwrap();
    let address = SocketAddr::new(far.local_addr().unwrap().ip(), port);
    (bench, address, far)
}

impl Bench {
    fn datagram(&mut self) -> (SocketAddr, Vec<u8>) {
        let (from, buffer) = self.until(|completion| match completion {
            Completion::Datagram { from, buffer } => Some((*from, *buffer)),
            _ => None,
        });
        let bytes = self.kernel.pool().received(buffer).to_vec();
        self.kernel.pool().release(buffer);
        (from, bytes)
    }
}

fn check_round_trip(near: &str, far: &str) {
    let (mut bench, address, far) = set(near, far);
    let long = vec![7; DATAGRAM_LEN_MAX as usize];
    let from = far.local_addr().unwrap();
    for payload in [&b"ping"[..], b"", &long] {
        far.send_to(payload, address).unwrap();
        assert_eq!(bench.datagram(), (from, payload.to_vec()));
        bench.ops.push(Op::SendDatagram {
            to: from,
            bytes: payload.to_vec(),
        });
        bench.kernel.turn(&mut bench.ops, None, || true, &mut Vec::new());
        let mut answer = vec![0; 10_000];
        let (len, by) = far.recv_from(&mut answer).unwrap();
        assert_eq!(&answer[..len], payload);
        assert_eq!(by, address);
    }
}

#[test]
fn datagrams_go_both_ways_over_both_families() {
    check_round_trip("127.0.0.1:0", "127.0.0.1:0");
    check_round_trip("[::1]:0", "[::1]:0");
    // One socket for both.
    check_round_trip("[::]:0", "127.0.0.1:0");
    check_round_trip("[::]:0", "[::1]:0");
}

#[test]
fn a_datagram_that_is_too_long_is_lost_and_the_next_one_comes() {
    let (mut bench, address, far) = set("127.0.0.1:0", "127.0.0.1:0");
    for len in [DATAGRAM_LEN_MAX + 1, 5_000, 60_000, 3] {
        far.send_to(&vec![1; len as usize], address).unwrap();
    }
    assert_eq!(bench.datagram().1, [1; 3]);
}

#[test]
fn what_cannot_be_sent_is_lost_without_a_word() {
    let (mut bench, address, far) = set("127.0.0.1:0", "127.0.0.1:0");
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let elsewhere = "[::1]:9".parse().unwrap();
    for (to, len) in [(nobody, 10), (elsewhere, 10), (address, 100_000)] {
        let bytes = vec![0; len];
        bench.ops.push(Op::SendDatagram { to, bytes });
    }
    // The socket still works in both directions.
    bench.ops.push(Op::SendDatagram {
        to: far.local_addr().unwrap(),
        bytes: b"still here".to_vec(),
    });
    far.send_to(b"so am I", address).unwrap();
    assert_eq!(bench.datagram().1, b"so am I");
    assert_eq!(far.recv(&mut [0; 100]).unwrap(), 10);
}

/// Buffers are held back until there are none, and then given back.
#[test]
fn datagrams_come_again_when_there_are_buffers() {
    let (mut bench, address, far) = set("127.0.0.1:0", "127.0.0.1:0");
    let mut held = Vec::new();
    for round in 0..1024_u32 {
        far.send_to(&round.to_be_bytes(), address).unwrap();
        held.push(bench.until(|completion| match completion {
            Completion::Datagram { buffer, .. } => Some(*buffer),
            _ => None,
        }));
    }
    // It waits in the socket: there is no buffer for it.
    far.send_to(b"one more", address).unwrap();
    let mut done = Vec::new();
    bench.kernel.turn(&mut bench.ops, None, || true, &mut done);
    assert!(done.is_empty(), "{done:?}");
    for buffer in held {
        bench.kernel.pool().release(buffer);
    }
    assert_eq!(bench.datagram().1, b"one more");
}

#[test]
#[should_panic(expected = "datagrams were asked for in a world without a socket for them")]
fn there_are_no_datagrams_without_a_socket() {
    let mut bench = Bench::new();
    bench.ops.push(Op::ReceiveDatagrams);
    bench.until(|_| None::<()>);
}

#[test]
#[should_panic(expected = "datagrams were asked for twice")]
fn datagrams_are_asked_for_once() {
    let (mut bench, _, _) = set("127.0.0.1:0", "127.0.0.1:0");
    bench.ops.push(Op::ReceiveDatagrams);
    bench.until(|_| None::<()>);
}
