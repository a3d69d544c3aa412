//! What has a bound, and what happens beyond it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shoal_proto::handshake::{Handshake, Reserved};
use shoal_proto::layout::BLOCK_LEN;
use shoal_proto::message::{Decoder, Message};
use shoal_proto::peer_id::PeerId;
use shoal_proto::peer_priority::peer_priority;
use shoal_world::{AcceptPause, Completion, CoreIndex, FileStamp, Op, Socket, Time};

use super::stage::{INFO_HASH, Stage, stamp};
use super::{MIB, answers, request};
use crate::choker::{Algorithm, Choker, Slots};
use crate::files::{FileKey, Trust};
use crate::hot::FrameKey;
use crate::limits::{GREETING_MAX, METADATA_REQUESTS_MAX, REFUSED_MAX};
use crate::shard::Shard;
use crate::torrent::TorrentId;
use crate::{Cause, Event};

fn stage() -> Stage {
    Stage::new(16, 0, 1 << 18, &[MIB])
}

/// Somebody connects and says nothing yet.
fn accept(stage: &mut Stage, slot: u32, address: &str) -> Socket {
    let socket = Socket { slot, generation: 0 };
    let address: SocketAddr = address.parse().unwrap();
    stage.turn(vec![Completion::Accepted { socket, address }]);
    socket
}

#[test]
fn connections_have_a_maximum() {
    let mut stage = stage();
    stage.shard.settings.peers_max = 2;
    stage.peer(0, true, &[]);
    stage.peer(1, true, &[]);
    assert_eq!(stage.closed, []);
    let third = accept(&mut stage, 2, "10.0.0.3:6881");
    assert_eq!(stage.closed, [third]);
}

#[test]
fn a_full_shard_keeps_the_connections_of_highest_priority() {
    let ours = IpAddr::from([192, 0, 2, 1]);
    let priority = |host: u8| {
        let there = SocketAddr::from(([10, host, 0, host], 6881));
        peer_priority(SocketAddr::new(ours, 0), there)
    };
    let mut hosts: Vec<u8> = (1..=4).collect();
    hosts.sort_by_key(|host| priority(*host));
    let [lowest, low, high, highest] = hosts[..] else {
        panic!("four hosts")
    };
    let address = |host: u8| format!("10.{host}.0.{host}:6881");
    let mut stage = stage();
    stage.shard.our_ip = Some(ours);
    stage.shard.settings.peers_max = 2;
    let first = accept(&mut stage, 0, &address(low));
    let second = accept(&mut stage, 1, &address(high));
    stage.greet(first, true, PeerId::new([8; 20]));
    stage.greet(second, true, PeerId::new([9; 20]));
    assert_eq!(stage.closed, []);
    let refused = accept(&mut stage, 2, &address(lowest));
    assert_eq!(stage.closed, [refused]);
    accept(&mut stage, 3, &address(highest));
    assert_eq!(stage.closed, [refused, first]);
    assert!(!stage.closed.contains(&second));
}

#[test]
fn an_address_has_a_share_and_gets_it_back() {
    let mut stage = stage();
    stage.shard.settings.peers_per_address_max = 2;
    for (slot, port) in [(0, 1), (1, 2)] {
        accept(&mut stage, slot, &format!("10.0.0.1:{port}"));
    }
    let third = accept(&mut stage, 2, "10.0.0.1:3");
    assert_eq!(stage.closed, [third]);
    let other = accept(&mut stage, 3, "10.0.0.2:1");
    stage.pass(Duration::from_secs(15));
    assert_eq!(stage.closed.len(), 4, "none of them shook hands");
    assert!(stage.closed.contains(&other));
    accept(&mut stage, 4, "10.0.0.1:4");
    accept(&mut stage, 5, "10.0.0.1:5");
    assert_eq!(stage.closed.len(), 4, "who left does not count");
}

#[test]
fn a_handshake_has_its_time() {
    let mut stage = stage();
    let silent = accept(&mut stage, 0, "10.0.0.1:1");
    stage.pass(Duration::from_secs(9));
    assert_eq!(stage.closed, []);
    stage.pass(Duration::from_secs(3));
    assert_eq!(stage.closed, [silent]);
}

#[test]
fn the_oldest_unfinished_handshake_makes_room_for_the_newest() {
    let mut stage = stage();
    stage.shard.settings.peers_max = 10_000;
    stage.shard.settings.peers_per_address_max = 10_000;
    let first = accept(&mut stage, 0, "10.0.0.1:1");
    for slot in 1..GREETING_MAX as u32 {
        accept(&mut stage, slot, "10.0.0.1:1");
    }
    assert_eq!(stage.closed, []);
    accept(&mut stage, GREETING_MAX as u32, "10.0.0.1:1");
    assert_eq!(stage.closed, [first]);
}

#[test]
fn we_hang_up_on_ourselves() {
    let mut stage = stage();
    let socket = accept(&mut stage, 0, "10.0.0.1:1");
    let handshake = Handshake {
        reserved: Reserved::NONE,
        info_hash: INFO_HASH,
        peer_id: PeerId::ours([1; 12]),
    };
    let bytes = handshake.encode().to_vec();
    stage.turn(vec![Completion::ReceivedExact { socket, bytes }]);
    assert_eq!(stage.closed, [socket]);
    assert_eq!(stage.wire.get(&socket), None, "nothing is answered");
}

#[test]
fn accepting_goes_on_after_a_pause() {
    let mut stage = stage();
    let now = stage.now;
    let Stage { shard, memory, .. } = &mut stage;
    let (mut done, mut ops) = (Vec::new(), Vec::new());
    shard.on(now, &mut done, memory, &mut ops);
    assert!(matches!(ops[..], [Op::Accept]), "{ops:?}");
    ops.clear();
    done.push(Completion::AcceptPaused(AcceptPause::NoDescriptors));
    shard.on(now, &mut done, memory, &mut ops);
    assert!(ops.is_empty(), "not at once: {ops:?}");
    let again = shard.deadline().expect("it is tried again");
    shard.on(again, &mut done, memory, &mut ops);
    assert!(matches!(ops[..], [Op::Accept]), "{ops:?}");
}

#[test]
fn who_says_that_he_is_alive_may_stay_and_hears_the_same_of_us() {
    let mut stage = stage();
    let peer = stage.peer(0, true, &[]);
    for _ in 0..8 {
        stage.pass(Duration::from_secs(30));
        stage.say(peer, &[Message::KeepAlive]);
    }
    let mut bytes = &stage.wire[&peer][68..];
    let mut decoder = Decoder::new(4);
    let mut heard = 0;
    while let Some(message) = decoder.next(&mut bytes).unwrap() {
        heard += usize::from(message == Message::KeepAlive);
    }
    assert_eq!(stage.closed, []);
    assert_eq!(heard, 2);
}

#[test]
fn metadata_is_asked_for_in_bounded_numbers() {
    let mut stage = stage();
    let peer = stage.peer(0, true, &[]);
    // Only the first answer is begun, and the socket does not take it.
    stage.takes.push_back(0);
    let ask = Message::Extended {
        id: 1,
        payload: b"d8:msg_typei0e5:piecei0ee",
    };
    let handshake = Message::Extended {
        id: 0,
        payload: b"d1:md11:ut_metadatai9eee",
    };
    stage.say(peer, &[handshake, ask]);
    for _ in 0..100 {
        stage.say(peer, &[ask]);
    }
    let waiting = &stage.shard.peers.talking(peer).unwrap().metadata_requests;
    assert_eq!(waiting.len(), METADATA_REQUESTS_MAX);
}

#[test]
fn who_ignores_refusals_is_refused_only_so_often() {
    let mut stage = stage();
    let peer = stage.peer(0, true, &[]);
    let requests = vec![request(0, 0, BLOCK_LEN); 1_000];
    for _ in 0..REFUSED_MAX / 1_000 {
        stage.say(peer, &requests);
    }
    assert_eq!(stage.closed, []);
    stage.say(peer, &requests[..1]);
    assert_eq!(stage.closed, [peer]);
}

/// Its owner vouched for the file, so nobody knows how long it has to be until it is read.
#[test]
fn a_file_that_ends_early_ends_its_torrent() {
    let mut stage = stage();
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.shard.files.get(FileKey(0)).unwrap().trust = Trust::Vouched;
    let short = FileStamp {
        size: 5_000,
        ..stamp(0)
    };
    stage.stamps.insert(0, short);
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    assert_eq!(answers(&stage, peer, 4).len(), 0, "nothing is made up");
    let [Event::TorrentFailed { failure, .. }] = stage.events.as_slice() else {
        panic!("one failure is told: {:?}", stage.events);
    };
    assert_eq!(failure.cause, Cause::Short { len: 5_000 });
}

#[test]
fn who_belongs_to_another_core_is_handed_over() {
    let mut stage = stage();
    stage.shard.settings.cores = 2;
    let owner = Shard::owner(&INFO_HASH, 2);
    stage.shard.settings.core = CoreIndex(1 - owner.0);
    let socket = accept(&mut stage, 0, "10.0.0.1:1");
    let handshake = Handshake {
        reserved: Reserved::NONE,
        info_hash: INFO_HASH,
        peer_id: PeerId::new([9; 20]),
    };
    let Stage { shard, memory, .. } = &mut stage;
    let bytes = handshake.encode().to_vec();
    let mut done = vec![Completion::ReceivedExact { socket, bytes }];
    let mut ops = Vec::new();
    shard.on(Time::ZERO, &mut done, memory, &mut ops);
    let [Op::HandOver { core, first, .. }] = &ops[..] else {
        panic!("{ops:?}");
    };
    assert_eq!((*core, &first[..]), (owner, &handshake.encode()[..]));
    assert_eq!(shard.counters().peers, 0);
}

#[test]
fn slots_change_hands_until_everybody_had_one() {
    let mut stage = stage();
    stage.shard.torrents.active(TorrentId(0)).unwrap().choker =
        Choker::new(Slots::Fixed(1), Algorithm::RoundRobin);
    let peers = [0, 1, 2].map(|slot| stage.peer(slot, true, &[Message::Interested]));
    stage.pass(Duration::from_secs(50));
    for peer in peers {
        let mut bytes = &stage.wire[&peer][68..];
        let mut decoder = Decoder::new(4);
        let mut unchoked = 0;
        while let Some(message) = decoder.next(&mut bytes).unwrap() {
            unchoked += usize::from(message == Message::Unchoke);
        }
        assert!(unchoked > 0, "{peer:?} never had its turn");
    }
}

#[test]
fn a_block_that_needs_more_than_all_memory_is_refused() {
    let mut stage = Stage::new(1, 0, 1 << 19, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    let (fits, crosses) = (request(0, 0, BLOCK_LEN), request(0, 240 * 1024, 2 * BLOCK_LEN));
    stage.say(peer, &[fits, crosses, fits]);
    let served: Vec<bool> = answers(&stage, peer, 2)
        .iter()
        .map(|(_, data)| data.is_some())
        .collect();
    assert_eq!(served.iter().filter(|served| **served).count(), 2);
    assert_eq!(served.len(), 3, "it is answered");
}

#[test]
fn what_is_not_verified_is_neither_sent_nor_framed() {
    let mut stage = Stage::new(16, 4, 1 << 16, &[MIB]);
    let torrent = TorrentId(0);
    let active = stage.shard.torrents.active(torrent).unwrap();
    let piece = active.layout.piece(1).unwrap();
    active.have.clear(piece);
    let peer = stage.peer(0, true, &[Message::Interested]);
    for _ in 0..3 {
        stage.say(peer, &[request(0, 0, BLOCK_LEN), request(1, 0, BLOCK_LEN)]);
    }
    for (block, data) in answers(&stage, peer, 16) {
        assert_eq!(data.is_some(), block.index == 0, "{block:?}");
    }
    assert_eq!(answers(&stage, peer, 16).len(), 6);
    let key = FrameKey { torrent, index: 0 };
    assert!(!stage.shard.hot.holds(key), "it holds pieces 0 to 3");
}
