//! Case 21 and 30 of the hostile inputs: connections that never become a conversation.

use std::time::Duration;

use shoal_tests::PATIENCE;
use shoal_tests::fetch::{Fetch, fetch_all};
use shoal_tests::peer::{FAST_AND_EXTENDED, Handshake, Message, PROTOCOL, Peer};
use shoal_tests::process::{allow_many_descriptors, shoal_seed_with_descriptors};
use shoal_tests::random::Random;
use shoal_tests::sample::Sample;

use crate::target::Target;

/// Says `opening` on a fresh connection, which must then be closed without the whole handshake having been answered.
fn check_refused(target: &Target, name: &str, opening: &[u8]) {
    let mut peer = Peer::connect(target.address()).expect("the seed accepts");
    // The seed may hang up while this is being sent.
    let sent = peer.send(opening);
    let answer = peer.receive_handshake();
    assert!(sent.is_err() || answer.is_err(), "{name}: was answered");
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let target = Target::start();
    let good = Handshake::new(target.sample.info_hash(), FAST_AND_EXTENDED).encode();
    let spoiled = |index: usize| {
        let mut bytes = good.clone();
        bytes[index] ^= 0x20;
        bytes
    };
    check_refused(&target, "another length of the protocol string", &spoiled(0));
    check_refused(&target, "another protocol string", &spoiled(1));
    check_refused(&target, "another end of the protocol string", &spoiled(19));
    check_refused(&target, "an unknown info-hash", &spoiled(28));
    check_refused(
        &target,
        "an info-hash of zeros",
        &[PROTOCOL.as_slice(), &[0; 48]].concat(),
    );
    check_refused(
        &target,
        "a web browser",
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(80)).as_bytes(),
    );
    check_refused(&target, "noise", &Random::named("noise").bytes(4096));
    target.assert_unharmed();
}

#[test]
fn a_handshake_cut_short_by_the_end_of_the_stream_is_dropped() {
    let target = Target::start();
    let whole = Handshake::new(target.sample.info_hash(), FAST_AND_EXTENDED).encode();
    for len in [0, 1, 19, 20, 47, 48, 67] {
        let mut peer = Peer::connect(target.address()).expect("the seed accepts");
        peer.send(&whole[..len]).expect("the seed listens");
        peer.finish().expect("a connected socket");
        peer.expect_hang_up();
    }
    target.assert_unharmed();
}

#[test]
fn a_peer_with_the_seeds_own_id_is_refused() {
    let target = Target::start();
    let mut first = Peer::connect(target.address()).expect("the seed accepts");
    let mut handshake = Handshake::new(target.sample.info_hash(), FAST_AND_EXTENDED);
    first.send(&handshake.encode()).expect("the seed listens");
    handshake.peer_id = first
        .receive_handshake()
        .expect("a fresh peer is answered")
        .peer_id;
    let mut itself = Peer::connect(target.address()).expect("the seed accepts");
    itself.send(&handshake.encode()).expect("the seed listens");
    itself.expect_hang_up();
    target.assert_unharmed();
}

#[test]
fn a_handshake_in_pieces_is_answered() {
    let target = Target::start();
    let mut peer = Peer::connect(target.address()).expect("the seed accepts");
    for byte in Handshake::new(target.sample.info_hash(), FAST_AND_EXTENDED).encode() {
        peer.send(&[byte]).expect("the seed listens");
    }
    peer.receive_handshake().expect("it is a good handshake");
    target.assert_unharmed();
}

#[test]
fn a_handshake_and_requests_in_one_segment_are_all_answered() {
    // The bytes after the handshake arrive before the connection is handed to the core that owns the torrent.
    let target = Target::start();
    for _ in 0..16 {
        let mut peer = Peer::connect(target.address()).expect("the seed accepts");
        let handshake = Handshake::new(target.sample.info_hash(), FAST_AND_EXTENDED).encode();
        let eager = [handshake, Message::Interested.encode()].concat();
        peer.send(&eager).expect("the seed listens");
        peer.receive_handshake().expect("it is a good handshake");
        while peer.receive().expect("the conversation goes on") != Message::Unchoke {}
    }
    target.assert_unharmed();
}

#[test]
fn slow_and_silent_connections_are_dropped_in_the_end() {
    let target = Target::start();
    let handshake = Handshake::new(target.sample.info_hash(), FAST_AND_EXTENDED).encode();
    let mut silent = Peer::connect(target.address()).expect("the seed accepts");
    let mut half = Peer::connect(target.address()).expect("the seed accepts");
    half.send(&handshake[..30]).expect("the seed listens");
    // The slow loris: a byte a second is 68 seconds for a handshake that ought to come in one segment.
    let mut slow = Peer::connect(target.address()).expect("the seed accepts");
    let mut bytes = handshake.into_iter();
    slow.expect_hang_up_while(Duration::from_secs(1), |peer| match bytes.next() {
        Some(byte) => peer.send(&[byte]),
        None => panic!("the whole handshake was awaited for {PATIENCE:?}"),
    });
    half.expect_hang_up();
    silent.expect_hang_up();
    target.assert_unharmed();
}

#[test]
fn half_open_connections_do_not_keep_an_honest_peer_out() {
    allow_many_descriptors();
    let target = Target::start();
    let held: Vec<_> = (0..1000)
        .map(|_| Peer::connect(target.address()).expect("the seed accepts"))
        .collect();
    target.assert_serves();
    drop(held);
    target.assert_unharmed();
}

#[test]
fn thousands_of_connects_from_one_address_leave_nothing_behind() {
    // Twenty times as many connections as descriptors: each must be given back.
    allow_many_descriptors();
    let target = limited_target(256);
    for _ in 0..5000 {
        drop(Peer::connect(target.address()).expect("the seed accepts"));
    }
    target.assert_unharmed();
}

#[test]
fn a_seed_out_of_descriptors_serves_on_and_accepts_again() {
    allow_many_descriptors();
    let target = limited_target(128);
    let blocks = target.sample.blocks();
    let (first, second) = blocks.split_at(blocks.len() / 2);
    let mut early =
        Fetch::start(target.address(), &target.sample, FAST_AND_EXTENDED).expect("a peer is welcome");
    early.blocks(first, 8).expect("nothing is wrong yet");
    // The kernel completes these connections from the backlog; most of them the seed cannot accept (EMFILE).
    let held: Vec<_> = (0..400)
        .map(|_| Peer::connect(target.address()).expect("the backlog is longer"))
        .collect();
    early
        .blocks(second, 8)
        .expect("a peer that is already in is served on");
    drop(held);
    fetch_all(target.address(), &target.sample).expect("there are descriptors again");
    target.assert_unharmed();
}

fn limited_target(descriptors: u32) -> Target {
    Target::start_with(
        Sample::file("limited.bin", 1_000_003, 64 * 1024),
        |place, torrents| shoal_seed_with_descriptors(descriptors, place, torrents),
    )
}
