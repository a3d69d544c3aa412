//! What a complete torrent says to its peers besides blocks: pieces one at a time while it is super-seeded, proposals where
//! few are served, and no more than a peer reads.

use shoal_proto::layout::BLOCK_LEN;
use shoal_proto::message::{Decoder, Message};
use shoal_world::{Completion, Socket};

use super::stage::{INFO_HASH, Stage};
use super::{MIB, request};
use crate::Command;
use crate::choker::{Algorithm, Choker, Slots};
use crate::limits::{OUTBOX_LEN_MAX, PROPOSED_MAX};
use crate::torrent::TorrentId;

const PIECES: u32 = 8;

fn stage() -> Stage {
    Stage::new(16, 0, 1 << 17, &[MIB])
}

fn super_seed(stage: &mut Stage, on: bool) {
    let info_hash = INFO_HASH;
    stage.command(Command::SuperSeed { info_hash, on });
    stage.turn(Vec::new());
}

/// The pieces that a peer was told of, or had proposed, in order.
fn told(stage: &Stage, socket: Socket, piece: fn(Message<'_>) -> Option<u32>) -> Vec<u32> {
    let mut bytes = &stage.wire[&socket][68..];
    let mut decoder = Decoder::new(PIECES);
    let mut told = Vec::new();
    while let Some(message) = decoder.next(&mut bytes).expect("we speak by the book") {
        assert!(
            !matches!(message, Message::HaveAll | Message::Bitfield(_))
                || piece(Message::Suggest(0)).is_some(),
            "it is told of everything at once"
        );
        told.extend(piece(message));
    }
    told
}

fn haves(stage: &Stage, socket: Socket) -> Vec<u32> {
    told(stage, socket, |message| match message {
        Message::Have(piece) => Some(piece),
        _ => None,
    })
}

fn proposals(stage: &Stage, socket: Socket) -> Vec<u32> {
    told(stage, socket, |message| match message {
        Message::Suggest(piece) => Some(piece),
        _ => None,
    })
}

fn leave(stage: &mut Stage, socket: Socket) {
    let error = None;
    stage.turn(vec![Completion::ReceiveEnded { socket, error }]);
}

#[test]
fn a_super_seeded_piece_is_told_to_one_peer_and_the_next_when_another_has_it() {
    let mut stage = stage();
    super_seed(&mut stage, true);
    let [one, other] = [0, 1].map(|slot| stage.peer(slot, true, &[Message::HaveNone]));
    assert_eq!((haves(&stage, one), haves(&stage, other)), (vec![0], vec![1]));
    stage.say(one, &[Message::Have(0)]);
    assert_eq!(haves(&stage, one), [0], "it has not passed it on");
    stage.say(other, &[Message::Have(0)]);
    assert_eq!(haves(&stage, one), [0, 2], "what the fewest were told of");
    assert_eq!(haves(&stage, other), [1]);
}

#[test]
fn a_peer_that_is_alone_is_told_of_the_next_piece_when_it_has_the_one_before() {
    let mut stage = stage();
    super_seed(&mut stage, true);
    let [stays, leaves] = [0, 1].map(|slot| stage.peer(slot, true, &[Message::HaveNone]));
    stage.say(stays, &[Message::Have(0)]);
    assert_eq!(haves(&stage, stays), [0]);
    leave(&mut stage, leaves);
    stage.say(stays, &[Message::KeepAlive]);
    assert_eq!(
        haves(&stage, stays),
        [0, 1],
        "which the one that left may not have"
    );
    stage.say(stays, &[Message::Have(1)]);
    assert_eq!(haves(&stage, stays), [0, 1, 2]);
}

#[test]
fn what_a_peer_asks_for_it_gets_also_if_it_was_not_told_of_it() {
    let mut stage = stage();
    super_seed(&mut stage, true);
    let said = [Message::HaveNone, Message::Interested];
    let peer = stage.peer(0, true, &said);
    stage.say(peer, &[request(5, 0, BLOCK_LEN)]);
    assert_eq!(stage.shard.counters().uploaded_bytes, u64::from(BLOCK_LEN));
}

#[test]
fn when_super_seeding_ends_peers_are_told_of_the_rest() {
    let mut stage = stage();
    super_seed(&mut stage, true);
    let [one, other] = [0, 1].map(|slot| stage.peer(slot, true, &[Message::HaveNone]));
    super_seed(&mut stage, false);
    assert_eq!(haves(&stage, one), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(haves(&stage, other), [1, 0, 2, 3, 4, 5, 6, 7]);
}

/// A seed that serves so many at a time.
fn narrow(slots: u32) -> Stage {
    let mut stage = stage();
    stage.shard.settings.upload_slots = Slots::Fixed(slots);
    let active = stage.shard.torrents.active(TorrentId(0)).expect("it is served");
    active.choker = Choker::new(Slots::Fixed(slots), Algorithm::RoundRobin);
    stage
}

#[test]
fn every_piece_is_proposed_to_one_peer_two_ahead_of_what_it_asks_for() {
    let mut stage = narrow(2);
    let [one, other, waits] = [0, 1, 2].map(|slot| stage.peer(slot, true, &[Message::Interested]));
    assert_eq!(proposals(&stage, one).len(), PROPOSED_MAX);
    assert_eq!(proposals(&stage, one), [0, 1]);
    assert_eq!(proposals(&stage, other), [2, 3]);
    assert_eq!(proposals(&stage, waits), [], "it is not served");
    stage.say(one, &[request(0, 0, BLOCK_LEN), request(0, BLOCK_LEN, BLOCK_LEN)]);
    assert_eq!(proposals(&stage, one), [0, 1, 4]);
    stage.say(other, &[request(5, 0, BLOCK_LEN)]);
    assert_eq!(proposals(&stage, other), [2, 3], "it still has two to ask for");
    stage.say(one, &[request(1, 0, BLOCK_LEN)]);
    assert_eq!(
        proposals(&stage, one),
        [0, 1, 4, 6],
        "5 was asked for without being proposed"
    );
}

#[test]
fn what_was_proposed_to_a_peer_that_left_is_proposed_to_another() {
    let mut stage = narrow(1);
    let [leaves, next] = [0, 1].map(|slot| stage.peer(slot, true, &[Message::Interested]));
    stage.say(leaves, &[request(0, 0, BLOCK_LEN)]);
    assert_eq!(proposals(&stage, leaves), [0, 1, 2]);
    leave(&mut stage, leaves);
    for piece in 3..PIECES {
        stage.say(next, &[request(piece, 0, BLOCK_LEN)]);
    }
    let mut proposed = proposals(&stage, next);
    proposed.sort_unstable();
    assert_eq!(proposed, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_seed_with_room_for_all_proposes_nothing() {
    let mut stage = stage();
    let peer = stage.peer(0, true, &[Message::Interested]);
    assert_eq!(proposals(&stage, peer), []);
}

/// Every change of mind makes us say something, and so does every request that the choke takes back.
#[test]
fn a_peer_that_reads_nothing_while_its_choke_flips_is_owed_little_and_closed() {
    let mut stage = narrow(1);
    let mute = stage.peer(0, true, &[]);
    stage.takes.push_back(0);
    stage.say(mute, &[Message::Interested]);
    let flip: Vec<Message<'_>> = [request(0, 0, BLOCK_LEN); 50]
        .into_iter()
        .chain([Message::NotInterested, Message::Interested])
        .collect();
    let mut owed_max = 0;
    for _ in 0..OUTBOX_LEN_MAX {
        let Some(talking) = stage.shard.peers.talking(mute) else {
            break;
        };
        owed_max = owed_max.max(talking.outbox.len());
        stage.say(mute, &flip[..51]);
        stage.say(mute, &flip[51..]);
    }
    assert_eq!(stage.closed, [mute]);
    assert!(owed_max > OUTBOX_LEN_MAX / 2, "{owed_max}");
    assert!(owed_max <= OUTBOX_LEN_MAX, "{owed_max}");
    assert!(stage.shard.cache.is_idle(), "nothing is pinned for it");
}
