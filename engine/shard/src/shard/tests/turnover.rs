//! Where connections are scarce, who makes room for an address that was not tried: who goes, when, and who never does.

use std::time::Duration;

use shoal_proto::message::Message;
use shoal_world::{EXTENT_LEN, Socket};

use super::stage::INFO_HASH;
use super::swarm::{Swarm, block, peer_id};
use crate::Command;
use crate::limits::{CALL_AGAIN_AFTER, TURNOVER_EVERY};

const PIECE: u32 = EXTENT_LEN;

const PIECES: u32 = 64;

/// Peers at most, and so called at most.
const PEERS_MAX: u32 = 3;

fn socket(slot: u32) -> Socket {
    Socket { slot, generation: 1 }
}

/// A torrent that has room for three peers and knows so many addresses.
fn swarm(addresses: u8) -> Swarm {
    let mut swarm = Swarm::new(PIECES, PIECE, &[i64::from(PIECES * PIECE)]);
    let settings = &mut swarm.stage.shard.settings;
    settings.peers_max = PEERS_MAX;
    // Nobody here says that it is alive.
    settings.idle_timeout = Duration::from_secs(3_600);
    let addresses = (1..=addresses).map(|last| ([10, 0, 1, last], 6881).into());
    swarm.command(Command::Connect {
        info_hash: INFO_HASH,
        addresses: addresses.collect(),
    });
    swarm
}

/// The next call is answered by a peer that has these pieces.
fn answer(swarm: &mut Swarm, slot: u32, pieces: std::ops::Range<u32>) -> Socket {
    let bits = swarm.bits(pieces);
    let socket = socket(slot);
    swarm.stage.answer_call(Ok(socket));
    swarm.stage.greet(socket, true, peer_id(slot));
    let said = [Message::Bitfield(&bits), Message::Unchoke];
    swarm.stage.say(socket, &said);
    socket
}

fn pass_to_turnover(swarm: &mut Swarm) {
    swarm.stage.pass(TURNOVER_EVERY + Duration::from_secs(1));
}

#[test]
fn who_gave_least_makes_room_for_an_untried_address() {
    let mut swarm = swarm(4);
    let [once, never, _gives] = [0, 1, 2].map(|slot| answer(&mut swarm, slot, 0..PIECES));
    swarm.answer(once);
    assert_eq!(swarm.stage.calls, [], "there is no room for the fourth");
    swarm.stage.pass(TURNOVER_EVERY - Duration::from_secs(1));
    assert_eq!(swarm.stage.closed, []);
    swarm.stage.pass(Duration::from_secs(1) + CALL_AGAIN_AFTER);
    assert_eq!(swarm.stage.closed, [never]);
    assert_eq!(swarm.stage.calls.len(), 1);
    answer(&mut swarm, 3, 0..PIECES);
    pass_to_turnover(&mut swarm);
    assert_eq!(swarm.stage.closed, [never], "nobody waits who was not tried");
}

#[test]
fn who_gives_stays() {
    let mut swarm = swarm(4);
    let peers = [0, 1, 2].map(|slot| answer(&mut swarm, slot, 0..PIECES));
    swarm.stage.pass(TURNOVER_EVERY - Duration::from_secs(1));
    for peer in peers {
        let next = swarm.asked(peer)[0];
        swarm.send(peer, next, true);
    }
    swarm.stage.pass(Duration::from_secs(2));
    assert_eq!(swarm.stage.closed, []);
    swarm.send(peers[1], block(63, 0), true);
    pass_to_turnover(&mut swarm);
    assert_eq!(swarm.stage.closed.len(), 1, "once it gives no more it may go");
}

#[test]
fn the_only_source_of_a_piece_stays() {
    let mut swarm = swarm(4);
    let only = answer(&mut swarm, 0, 0..2);
    let like = answer(&mut swarm, 1, 1..PIECES);
    answer(&mut swarm, 2, 1..PIECES);
    pass_to_turnover(&mut swarm);
    assert_eq!(
        swarm.stage.closed,
        [like],
        "not {only:?}, which gave as little and came first"
    );
}

#[test]
fn who_came_since_the_last_time_stays() {
    let mut swarm = swarm(4);
    let sources = [answer(&mut swarm, 0, 0..1), answer(&mut swarm, 1, 1..2)];
    swarm.stage.pass(TURNOVER_EVERY / 2);
    let late = answer(&mut swarm, 2, 0..0);
    swarm.stage.pass(TURNOVER_EVERY / 2 + Duration::from_secs(1));
    assert_eq!(swarm.stage.closed, [], "{sources:?} stay in any case");
    pass_to_turnover(&mut swarm);
    assert_eq!(swarm.stage.closed, [late]);
}

#[test]
fn where_there_is_room_nobody_goes() {
    let mut swarm = swarm(3);
    for slot in [0, 1] {
        answer(&mut swarm, slot, 0..PIECES);
    }
    pass_to_turnover(&mut swarm);
    assert_eq!(swarm.stage.closed, []);
}

#[test]
fn who_called_us_does_not_make_room_for_whom_we_call() {
    let mut swarm = swarm(1);
    for slot in [0, 1, 2] {
        swarm.full_seed(slot, true);
    }
    pass_to_turnover(&mut swarm);
    assert_eq!(swarm.stage.closed, []);
}
