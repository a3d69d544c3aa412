//! Two torrents that want more memory than there is.

use std::sync::Arc;
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::handshake::{Handshake, Reserved};
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::BLOCK_LEN;
use shoal_proto::message::Message;
use shoal_world::{Completion, EXTENT_LEN, Socket};

use super::content;
use super::stage::{INFO, layout, paths};
use super::swarm::{Swarm, block, peer_id};
use crate::limits::IDLE_PIECE_AFTER;
use crate::torrent::Fetch;
use crate::{Command, Event, Order, Priority, Seeding};

const PIECE: u32 = EXTENT_LEN;

const LEN: i64 = PIECE as i64;

const OTHER: InfoHash = InfoHash::V1([8; 20]);

/// The file of the other torrent, which has one piece.
const OTHER_FILE: u32 = 1;

fn other_payload() -> Vec<u8> {
    (0..u64::from(PIECE)).map(|at| content(OTHER_FILE, at)).collect()
}

/// Adds the other torrent beside the swarm's.
fn add_other(swarm: &mut Swarm) {
    swarm.stage.disk.insert(OTHER_FILE, vec![0; PIECE as usize]);
    let fetch = Fetch {
        hashes: [Digest::Sha1(Sha1::digest(other_payload()).into())].into(),
        priorities: vec![Priority::Normal],
        order: Order::Sequential,
    };
    swarm.stage.command(Command::Add(Box::new(Seeding {
        info_hash: OTHER,
        layout: Arc::new(layout(PIECE, &[LEN])),
        info: INFO.into(),
        paths: paths(2).split_off(1),
        have: Bitfield::none(1),
        stamps: vec![None],
        fetch: Some(fetch),
    })));
}

/// A seed of the other torrent.
fn other_seed(swarm: &mut Swarm, slot: u32) -> Socket {
    let socket = Socket { slot, generation: 0 };
    let address = format!("10.0.1.{slot}:6881").parse().unwrap();
    swarm.stage.turn(vec![Completion::Accepted { socket, address }]);
    let handshake = Handshake {
        reserved: Reserved::NONE.with_fast(),
        info_hash: OTHER,
        peer_id: peer_id(slot),
    };
    let bytes = handshake.encode().to_vec();
    swarm
        .stage
        .turn(vec![Completion::ReceivedExact { socket, bytes }]);
    swarm.stage.say(socket, &[Message::HaveAll, Message::Unchoke]);
    socket
}

fn is_other_finished(event: &Event) -> bool {
    matches!(event, Event::TorrentFinished { info_hash: OTHER, .. })
}

#[test]
fn a_torrent_whose_pieces_lie_idle_makes_room_for_one_that_could_go_on() {
    let mut swarm = Swarm::new(2, PIECE, &[4 * LEN]);
    let idle = [0, 1].map(|slot| swarm.seed(slot, true, slot..slot + 1));
    assert_eq!(swarm.stage.shard.buffers.held(), 2, "all there is");
    add_other(&mut swarm);
    let goes_on = other_seed(&mut swarm, 2);
    assert_eq!(swarm.asked(goes_on), []);
    // A block now and then is enough to keep a piece.
    swarm.stage.pass(IDLE_PIECE_AFTER / 2);
    let late = swarm.asked(idle[1])[0];
    swarm.send(idle[1], late, true);
    swarm.stage.pass(IDLE_PIECE_AFTER / 2 + Duration::from_secs(4));
    assert_eq!(swarm.asked(goes_on).len(), 16);
    assert!(swarm.asked(idle[0]).is_empty(), "it was taken back");
    let payload = other_payload();
    for asked in swarm.asked(goes_on) {
        let data = &payload[asked.begin as usize..][..BLOCK_LEN as usize];
        let (index, begin) = (asked.index, asked.begin);
        swarm.stage.say(goes_on, &[Message::Piece { index, begin, data }]);
    }
    assert_eq!(swarm.told(is_other_finished), 1);
    assert_eq!(
        swarm.asked(idle[0]).first(),
        Some(&block(0, 0)),
        "there is memory again"
    );
    let rest = swarm.seed(3, true, 2..4);
    swarm.serve(&[idle[0], idle[1], rest]);
    let finished = |event: &Event| matches!(event, Event::TorrentFinished { .. });
    assert_eq!(swarm.told(finished), 2);
    swarm.check_nothing_leaks();
}
