//! What a line broken on purpose (`tests/README.md`) showed that no other test noticed.

use std::net::SocketAddr;
use std::time::Duration;

use shoal_proto::handshake::{Handshake, Reserved};
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::BLOCK_LEN;
use shoal_proto::message::Message;
use shoal_world::{Completion, EXTENT_LEN, Errno, Op, Socket};

use super::stage::INFO_HASH;
use super::swarm::{Said, Swarm, block, peer_id};
use super::{answers, check_block, request};
use crate::limits::{ASKING_OUTBOX_LEN_MAX, UNASKED_MAX};
use crate::{Command, Event, Order, Priority};

/// Length of most pieces here: one extent, 16 blocks, the smallest pipeline.
const PIECE: u32 = EXTENT_LEN;

const LEN: i64 = PIECE as i64;

const ENOSPC: Errno = Errno(28);

fn connect(addresses: &[SocketAddr]) -> Command {
    Command::Connect {
        info_hash: INFO_HASH,
        addresses: addresses.to_vec(),
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, last], 6881))
}

fn socket(slot: u32) -> Socket {
    Socket { slot, generation: 1 }
}

fn hang_up(swarm: &mut Swarm, socket: Socket) {
    swarm
        .stage
        .turn(vec![Completion::ReceiveEnded { socket, error: None }]);
}

/// Whoever has its missing blocks may choke us for hours.
#[test]
fn a_piece_that_lies_idle_gives_its_memory_to_another() {
    let mut swarm = Swarm::new(1, PIECE, &[2 * LEN]);
    let (first, second) = (swarm.seed(0, false, 0..1), swarm.seed(1, true, 1..2));
    swarm.send(first, block(0, 0), true);
    swarm.stage.say(first, &[Message::Choke]);
    swarm.stage.pass(Duration::from_secs(20));
    assert_eq!(swarm.asked(second), [], "it may come back");
    swarm.stage.pass(Duration::from_secs(20));
    assert_eq!(swarm.asked(second).first(), Some(&block(1, 0)));
    swarm.serve(&[second]);
    swarm.stage.say(first, &[Message::Unchoke]);
    swarm.serve(&[first]);
    swarm.check_finished();
}

#[test]
fn a_peer_that_does_not_read_is_not_asked_for_more() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let bits = swarm.bits(0..1);
    let seed = swarm.guest(0, true);
    swarm.stage.takes.push_back(0);
    // Each is refused, with as many bytes as a request has; the first of them are in the send that waits.
    let refused = vec![request(0, 0, BLOCK_LEN); ASKING_OUTBOX_LEN_MAX / 17 * 2];
    swarm.stage.say(seed, &refused);
    swarm
        .stage
        .say(seed, &[Message::Bitfield(&bits), Message::Unchoke]);
    let asked = |swarm: &mut Swarm| swarm.stage.shard.peers.download(seed).unwrap().asked.len();
    assert_eq!(asked(&mut swarm), 0);
    swarm.stage.drain();
    swarm.stage.pass(Duration::from_secs(3));
    assert_eq!(asked(&mut swarm), 16);
}

/// BEP 6: a cancelled block may still come. An honest peer that is slower than another sends many of them.
#[test]
fn blocks_that_cross_their_cancels_are_no_violation() {
    const BLOCKS: u32 = 2 * UNASKED_MAX;
    const UNASKED: u32 = 30;
    let mut swarm = Swarm::new(BLOCKS / 16, BLOCKS * BLOCK_LEN, &[i64::from(BLOCKS * BLOCK_LEN)]);
    let fast = swarm.full_seed(0, true);
    while let first = swarm.asked(fast)[0]
        && swarm.asked(fast).last() != Some(&block(0, BLOCKS - 1))
    {
        swarm.send(fast, first, true);
    }
    let slow = swarm.guest(1, true);
    for place in 0..UNASKED {
        swarm.send(slow, block(0, place), true);
    }
    let bits = swarm.bits(0..1);
    swarm
        .stage
        .say(slow, &[Message::Bitfield(&bits), Message::Unchoke]);
    let mut crossed = 0;
    while let Some(first) = swarm.asked(fast).first().copied() {
        swarm.send(fast, first, true);
        for said in swarm.said(slow) {
            if let Said::Cancel(block) = said {
                swarm.send(slow, block, true);
                crossed += 1;
            }
        }
    }
    assert!(UNASKED + crossed >= UNASKED_MAX, "{crossed} blocks");
    assert_eq!(swarm.stage.shard.counters().violations, 0);
    swarm.check_finished();
}

#[test]
fn a_full_disk_is_tried_with_one_piece_at_a_time() {
    let mut swarm = Swarm::new(8, PIECE, &[3 * LEN]);
    let seeds = [0, 1, 2].map(|slot| swarm.seed(slot, true, slot..slot + 1));
    swarm.stage.holds = |op| matches!(op, Op::Hash { .. });
    seeds.iter().for_each(|seed| swarm.answer(*seed));
    swarm.stage.holds = |_| false;
    swarm.stage.faults.write = Some(ENOSPC);
    swarm.stage.release();
    assert_eq!(swarm.stage.shard.buffers.held(), 3, "all are whole and unwritten");
    swarm.stage.holds = |op| matches!(op, Op::Write { .. });
    swarm.stage.pass(Duration::from_secs(3));
    assert_eq!(swarm.stage.held.len(), 1);
    swarm.stage.faults.write = None;
    swarm.stage.holds = |_| false;
    swarm.stage.release();
    swarm.stage.pass(Duration::from_secs(3));
    swarm.check_finished();
}

/// The look that is under way began before the sync ended, so another one follows.
#[test]
fn a_file_that_is_being_looked_at_when_it_was_synced_is_looked_at_again() {
    let mut swarm = Swarm::new(8, PIECE, &[3 * LEN]);
    let (seed, leech) = (swarm.seed(0, true, 0..2), swarm.guest(1, true));
    swarm.send(seed, block(0, 0), true);
    for place in 1..16 {
        swarm.send(seed, block(0, place), true);
    }
    swarm.stage.pass(Duration::from_secs(3));
    swarm
        .stage
        .say(leech, &[Message::Interested, request(0, 0, BLOCK_LEN)]);
    swarm.stage.say(leech, &[request(0, 0, BLOCK_LEN)]);
    swarm.stage.holds = |op| matches!(op, Op::Stamp { .. });
    swarm.stage.pass(Duration::from_secs(3));
    assert_eq!(swarm.stage.held.len(), 1, "its file is in use");
    swarm.serve(&[seed]);
    swarm.stage.pass(Duration::from_secs(2));
    swarm.stage.holds = |_| false;
    swarm.stage.release();
    swarm.stage.pass(Duration::from_secs(1));
    assert_eq!(
        swarm.told(|event| matches!(event, Event::PiecesDurable { .. })),
        2
    );
}

/// The page in which two pieces meet was read when only one of them was there.
#[test]
fn a_page_that_a_new_piece_shares_with_an_old_one_is_read_again() {
    let files = [100, 3 * LEN];
    let mut swarm = Swarm::with(8, PIECE, &files, |seeding| {
        seeding.have.set(seeding.layout.piece(0).unwrap());
    });
    let leech = swarm.guest(1, true);
    let last = PIECE - BLOCK_LEN;
    swarm.stage.say(leech, &[Message::Interested]);
    swarm.stage.say(leech, &[request(0, last, BLOCK_LEN)]);
    let seed = swarm.full_seed(0, true);
    for place in 0..16 {
        swarm.send(seed, block(1, place), true);
    }
    swarm.stage.say(leech, &[request(1, 0, BLOCK_LEN)]);
    let answers = answers(&swarm.stage, leech, swarm.layout.pieces());
    assert_eq!(answers.len(), 2);
    for (block, data) in answers {
        check_block(&swarm.payload, PIECE, block, &data.expect("it was served"));
    }
}

#[test]
fn a_piece_that_a_wanted_file_shares_with_an_unwanted_one_is_fetched() {
    let mut swarm = Swarm::with(8, PIECE, &[LEN / 2, LEN / 2, LEN], |seeding| {
        let fetch = seeding.fetch.as_mut().unwrap();
        fetch.priorities = vec![Priority::Normal, Priority::Skip, Priority::Skip];
    });
    let seed = swarm.full_seed(0, true);
    swarm.serve(&[seed]);
    let written = |event: &Event| matches!(event, Event::PieceWritten { piece, .. } if piece.get() == 0);
    assert_eq!(swarm.told(written), 1);
    assert!(swarm.stage.writes.iter().all(|write| write.file != 2));
    assert_eq!(swarm.told(is_finished), 1);
}

/// Who set the priorities waits to hear that everything is there.
#[test]
fn an_owner_that_wants_what_is_there_is_told_that_it_is() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let seed = swarm.full_seed(0, true);
    swarm.serve(&[seed]);
    swarm.check_finished();
    swarm.stage.events.clear();
    swarm.command(Command::Prioritise {
        info_hash: INFO_HASH,
        priorities: vec![Priority::High],
        wish: 1,
    });
    swarm.check_finished();
}

#[test]
fn who_answers_a_call_with_another_info_hash_is_hung_up_on() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.command(connect(&[address(1)]));
    swarm.stage.answer_call(Ok(socket(0)));
    let handshake = Handshake {
        reserved: Reserved::NONE,
        info_hash: InfoHash::V1([8; 20]),
        peer_id: peer_id(0),
    };
    swarm.stage.turn(vec![Completion::ReceivedExact {
        socket: socket(0),
        bytes: handshake.encode().to_vec(),
    }]);
    assert_eq!(swarm.stage.closed, [socket(0)]);
    assert_eq!(swarm.stage.shard.counters().violations, 1);
}

#[test]
fn who_was_banned_is_not_called() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * LEN]);
    let liar = swarm.full_seed(0, true);
    swarm.send(liar, block(0, 0), false);
    swarm.answer(liar);
    assert_eq!(swarm.stage.closed, [liar]);
    // Another port of the same machine.
    swarm.command(connect(&[SocketAddr::from(([10, 0, 0, 1], 7000)), address(9)]));
    let called: Vec<SocketAddr> = swarm.stage.calls.iter().map(|(_, address)| *address).collect();
    assert_eq!(called, [address(9)]);
}

/// It may have had to go; what it gave is a reason to come back soon.
#[test]
fn who_gave_something_before_it_hung_up_is_called_again_as_soon_as_the_first_time() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.command(connect(&[address(1)]));
    let mut called_at = Vec::new();
    for second in 0..40 {
        if !swarm.stage.calls.is_empty() {
            called_at.push(second);
            let socket = socket(second);
            swarm.stage.answer_call(Ok(socket));
            swarm.stage.greet(socket, true, peer_id(0));
            swarm.stage.say(socket, &[Message::HaveAll, Message::Unchoke]);
            let first = swarm.asked(socket)[0];
            swarm.send(socket, first, true);
            hang_up(&mut swarm, socket);
        }
        swarm.stage.pass(Duration::from_secs(1));
    }
    assert_eq!(called_at, [0, 5, 10, 15, 20, 25, 30, 35]);
}

#[test]
fn a_limit_that_is_lifted_lets_who_waits_go_on_at_once() {
    let limit = |download| Command::Limit {
        info_hash: INFO_HASH,
        download,
        upload: None,
    };
    let mut swarm = Swarm::new(8, PIECE, &[2 * LEN]);
    swarm.command(limit(Some(1_000)));
    let seed = swarm.full_seed(0, true);
    assert_eq!(swarm.asked(seed).len(), 1, "16 KiB are 16 s");
    swarm.command(limit(None));
    assert!(swarm.asked(seed).len() >= 16);
}

#[test]
fn of_two_on_this_machine_only_the_one_that_lied_is_banned() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * LEN]);
    let come = |swarm: &mut Swarm, slot: u32, id: u32| {
        let address = SocketAddr::from(([127, 0, 0, 1], 1_000 + slot as u16));
        let socket = socket(slot);
        swarm.stage.turn(vec![Completion::Accepted { socket, address }]);
        swarm.stage.greet(socket, true, peer_id(id));
        socket
    };
    let [liar, honest] = [0, 1].map(|slot| come(&mut swarm, slot, slot));
    for seed in [liar, honest] {
        swarm.stage.say(seed, &[Message::HaveAll, Message::Unchoke]);
    }
    swarm.send(liar, block(0, 0), false);
    swarm.answer(liar);
    assert_eq!(swarm.stage.closed, [liar]);
    let again = come(&mut swarm, 2, 0);
    assert_eq!(swarm.stage.closed, [liar, again], "by its peer id");
    swarm.serve(&[honest]);
    swarm.check_finished();
}

/// One that hears of nothing else meanwhile, because it has what the others have.
#[test]
fn who_waits_for_memory_is_woken_when_some_becomes_free() {
    let mut swarm = Swarm::new(1, PIECE, &[2 * LEN]);
    let (first, waits) = (swarm.seed(0, true, 0..1), swarm.full_seed(1, true));
    assert_eq!(swarm.asked(waits), []);
    swarm.answer(first);
    assert_eq!(swarm.asked(waits).first(), Some(&block(1, 0)));
}

#[test]
fn who_sent_what_another_is_sending_is_not_asked_for_it_again_and_again() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let [slow, fast] = [0, 1].map(|slot| swarm.full_seed(slot, true));
    let (head, _) = parts_of_first_block(&swarm);
    swarm.stage.say_bytes(slow, &head);
    for place in 0..10 {
        swarm.send(fast, block(0, place), true);
    }
    assert!(!swarm.asked(fast).contains(&block(0, 0)));
}

/// Its place was taken as long as it came, and was free when its piece was given up.
#[test]
fn a_block_that_was_arriving_when_its_piece_was_skipped_may_come_again() {
    let prioritise = |first| Command::Prioritise {
        info_hash: INFO_HASH,
        priorities: vec![first, Priority::Normal],
        wish: 1,
    };
    let mut swarm = Swarm::new(8, PIECE, &[LEN, LEN]);
    let seed = swarm.seed(0, true, 0..1);
    let (head, tail) = parts_of_first_block(&swarm);
    swarm.stage.say_bytes(seed, &head);
    swarm.command(prioritise(Priority::Skip));
    swarm.command(prioritise(Priority::Normal));
    swarm.stage.say_bytes(seed, &tail);
    swarm.serve(&[seed]);
    assert_eq!(swarm.told(|event| matches!(event, Event::PieceWritten { .. })), 1);
}

#[test]
fn a_piece_is_as_rare_as_those_who_are_there_make_it() {
    let mut swarm = Swarm::with(8, PIECE, &[6 * LEN], |seeding| {
        seeding.fetch.as_mut().unwrap().order = Order::RarestFirst;
        for piece in 0..4 {
            seeding.have.set(seeding.layout.piece(piece).unwrap());
        }
    });
    for slot in [1, 2] {
        let leaves = swarm.guest(slot, true);
        swarm.stage.say(leaves, &[Message::Have(4)]);
        hang_up(&mut swarm, leaves);
    }
    let stays = swarm.guest(3, true);
    swarm.stage.say(stays, &[Message::Have(5)]);
    let seed = swarm.full_seed(0, true);
    assert_eq!(swarm.asked(seed).first(), Some(&block(4, 0)));
}

/// Its last piece is written, and nothing else is wanted any more.
#[test]
fn a_torrent_of_which_less_is_wanted_is_finished_when_the_rest_is_durable() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN, LEN]);
    let seed = swarm.seed(0, true, 0..1);
    swarm.stage.holds = |op| matches!(op, Op::Sync { .. });
    swarm.serve(&[seed]);
    swarm.stage.pass(Duration::from_secs(1));
    swarm.command(Command::Prioritise {
        info_hash: INFO_HASH,
        priorities: vec![Priority::Normal, Priority::Skip],
        wish: 1,
    });
    assert_eq!(swarm.told(is_finished), 0);
    swarm.stage.release();
    assert_eq!(swarm.told(is_finished), 1);
}

fn is_finished(event: &Event) -> bool {
    matches!(event, Event::TorrentFinished { .. })
}

/// The first block as it comes, in two parts.
fn parts_of_first_block(swarm: &Swarm) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    let data = swarm.block(block(0, 0));
    let (index, begin) = (0, 0);
    Message::Piece {
        index,
        begin,
        data: &data,
    }
    .encode(&mut bytes);
    let tail = bytes.split_off(5_000);
    (bytes, tail)
}
