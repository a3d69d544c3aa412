//! Whom a fetching shard asks for what: chokes and rejects, peers that are late, the end game, wishes, limits, and the
//! connections that it makes itself.

use std::net::SocketAddr;
use std::time::Duration;

use shoal_proto::layout::BLOCK_LEN;
use shoal_proto::message::{BlockRequest, Message};
use shoal_world::{Completion, EXTENT_LEN, Errno, Socket};

use super::stage::{INFO_HASH, Stage};
use super::swarm::{Said, Swarm, block, peer_id};
use super::{answers, request};
use crate::limits::{CALLS_MAX, UNASKED_MAX};
use crate::{Command, Event, Priority};

/// Length of most pieces here: one extent, 16 blocks, the smallest pipeline.
const PIECE: u32 = EXTENT_LEN;

const LEN: i64 = PIECE as i64;

const ECONNREFUSED: Errno = Errno(111);

/// The blocks that the shard believes to have asked a peer for.
fn under_way(swarm: &mut Swarm, socket: Socket) -> usize {
    let download = swarm.stage.shard.peers.download(socket);
    download.map_or(0, |download| download.asked.len())
}

fn first_asked(swarm: &mut Swarm, socket: Socket) -> Option<BlockRequest> {
    swarm.asked(socket).first().copied()
}

#[test]
fn a_choke_without_the_fast_extension_takes_requests_back() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let seed = swarm.full_seed(0, false);
    assert_eq!(under_way(&mut swarm, seed), 16);
    swarm.stage.say(seed, &[Message::Choke]);
    assert_eq!(under_way(&mut swarm, seed), 0);
    let other = swarm.full_seed(1, false);
    assert_eq!(swarm.asked(other).len(), 16);
}

#[test]
fn a_choke_with_the_fast_extension_takes_nothing_back_and_a_reject_does() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let seed = swarm.full_seed(0, true);
    swarm.stage.say(seed, &[Message::Choke]);
    assert_eq!(under_way(&mut swarm, seed), 16);
    swarm.stage.say(seed, &[Message::Reject(block(0, 3))]);
    assert_eq!(under_way(&mut swarm, seed), 15);
    let other = swarm.full_seed(1, true);
    assert_eq!(
        first_asked(&mut swarm, other),
        Some(block(0, 3)),
        "it is the only free one"
    );
}

#[test]
fn a_peer_that_chokes_is_asked_for_what_it_allows_and_nothing_else() {
    let mut swarm = Swarm::new(8, PIECE, &[4 * LEN]);
    let seed = swarm.guest(0, true);
    swarm
        .stage
        .say(seed, &[Message::HaveAll, Message::AllowedFast(2)]);
    let asked = swarm.asked(seed);
    assert_eq!(asked.len(), 16);
    assert!(asked.iter().all(|block| block.index == 2));
}

#[test]
fn a_peer_without_anything_new_is_not_told_of_interest() {
    let mut swarm = Swarm::with(8, PIECE, &[2 * LEN], |seeding| {
        seeding.have.set(seeding.layout.piece(0).unwrap());
    });
    let peer = swarm.seed(0, true, 0..1);
    assert_eq!(swarm.said(peer), []);
    swarm.stage.say(peer, &[Message::Have(1)]);
    assert_eq!(swarm.said(peer), [Said::Interested]);
    swarm.serve(&[peer]);
    assert_eq!(swarm.asked(peer), []);
}

#[test]
fn a_peer_that_is_late_is_told_and_others_are_asked() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let late = swarm.full_seed(0, true);
    assert_eq!(swarm.asked(late).len(), 16);
    // Deadlines are looked at every two seconds.
    swarm.stage.pass(Duration::from_secs(14));
    assert_eq!(swarm.stage.shard.counters().snubbed, 0);
    swarm.stage.pass(Duration::from_secs(4));
    assert_eq!(swarm.stage.shard.counters().snubbed, 1);
    assert_eq!(
        swarm.asked(late).len(),
        1,
        "one at a time, to see whether it wakes up"
    );
    let other = swarm.full_seed(1, true);
    assert_eq!(
        swarm.asked(other).len(),
        16,
        "all of them, one for the second time"
    );
    swarm.serve(&[other]);
    swarm.check_finished();
}

#[test]
fn a_peer_that_was_late_is_asked_as_before_when_it_delivers() {
    let mut swarm = Swarm::new(8, PIECE, &[4 * LEN]);
    let late = swarm.full_seed(0, true);
    swarm.stage.pass(Duration::from_secs(20));
    let asked = swarm.asked(late);
    assert_eq!(asked.len(), 1);
    swarm.send(late, asked[0], true);
    assert!(swarm.asked(late).len() > 16);
}

#[test]
fn who_refuses_and_unchokes_is_asked_again_when_it_is_looked_at() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let seed = swarm.full_seed(0, true);
    let rejects = swarm.asked(seed).into_iter().map(Message::Reject);
    let said: Vec<_> = [Message::Choke].into_iter().chain(rejects).collect();
    swarm.stage.say(seed, &said);
    swarm.stage.say(seed, &[Message::Unchoke]);
    assert_eq!(under_way(&mut swarm, seed), 0);
    swarm.stage.pass(Duration::from_secs(4));
    assert_eq!(under_way(&mut swarm, seed), 16);
}

#[test]
fn two_who_refuse_again_and_again_do_not_keep_a_block_from_who_gives_it() {
    let mut swarm = Swarm::new(8, PIECE, &[BLOCK_LEN.into()]);
    let wavers = [0, 1].map(|slot| swarm.full_seed(slot, true));
    let seed = swarm.full_seed(2, true);
    assert_eq!(under_way(&mut swarm, seed), 0, "two are asked");
    let refusal = [Message::Choke, Message::Reject(block(0, 0)), Message::Unchoke];
    swarm.stage.say(wavers[0], &refusal);
    assert_eq!(under_way(&mut swarm, seed), 1);
    swarm.serve(&[seed]);
    swarm.check_finished();
}

#[test]
fn near_the_end_two_are_asked_and_the_slower_is_told_to_stop() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let peers = [0, 1, 2].map(|slot| swarm.full_seed(slot, true));
    assert_eq!(
        peers.map(|peer| swarm.asked(peer).len()),
        [16, 16, 0],
        "never three"
    );
    swarm.send(peers[1], block(0, 5), true);
    assert!(swarm.said(peers[0]).contains(&Said::Cancel(block(0, 5))));
    assert_eq!(swarm.asked(peers[0]).len(), 15);
    swarm.serve(&peers);
    swarm.check_finished();
    assert_eq!(swarm.stage.shard.counters().wasted_bytes, 0);
}

#[test]
fn a_block_that_two_deliver_at_once_is_written_by_one() {
    for first_is_right in [true, false] {
        let mut swarm = Swarm::new(8, PIECE, &[LEN]);
        let [first, second] = [0, 1].map(|slot| swarm.full_seed(slot, true));
        let mut data = swarm.block(block(0, 0));
        data[10_000] ^= u8::from(!first_is_right);
        let mut bytes = Vec::new();
        let (index, begin) = (0, 0);
        Message::Piece {
            index,
            begin,
            data: &data,
        }
        .encode(&mut bytes);
        swarm.stage.say_bytes(first, &bytes[..5_000]);
        swarm.send(second, block(0, 0), !first_is_right);
        swarm.stage.say_bytes(first, &bytes[5_000..]);
        let counters = swarm.stage.shard.counters();
        assert_eq!(counters.wasted_bytes, u64::from(BLOCK_LEN), "the second one's");
        for place in 1..16 {
            swarm.send(second, block(0, place), true);
        }
        let counters = swarm.stage.shard.counters();
        assert_eq!(counters.failed_pieces, u64::from(!first_is_right));
    }
}

#[test]
fn who_leaves_within_a_block_does_not_keep_it_from_others() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let [leaves, stays] = [0, 1].map(|slot| swarm.full_seed(slot, true));
    let mut bytes = Vec::new();
    let data = swarm.block(block(0, 0));
    let (index, begin) = (0, 0);
    Message::Piece {
        index,
        begin,
        data: &data,
    }
    .encode(&mut bytes);
    swarm.stage.say_bytes(leaves, &bytes[..5_000]);
    swarm.stage.turn(vec![Completion::ReceiveEnded {
        socket: leaves,
        error: None,
    }]);
    swarm.serve(&[stays]);
    swarm.check_finished();
}

#[test]
fn blocks_that_nobody_asked_for_are_dropped_and_too_many_end_the_conversation() {
    let mut swarm = Swarm::new(8, PIECE, &[32 * LEN]);
    let peer = swarm.guest(0, true);
    for sent in 0..UNASKED_MAX {
        assert_eq!(swarm.stage.closed, [], "after {sent} blocks");
        swarm.send(peer, block(sent / 16, sent % 16), true);
    }
    assert_eq!(swarm.stage.closed, [peer]);
    let counters = swarm.stage.shard.counters();
    assert_eq!(counters.violations, 1);
    assert_eq!(counters.wasted_bytes, counters.downloaded_bytes);
    assert_eq!(swarm.stage.writes, []);
    swarm.check_nothing_leaks();
}

#[test]
fn a_block_longer_than_what_was_asked_for_is_dropped() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let seed = swarm.full_seed(0, true);
    let odd = BlockRequest {
        index: 0,
        begin: 0,
        length: BLOCK_LEN - 1,
    };
    swarm.send(seed, odd, true);
    assert_eq!(
        swarm.stage.shard.counters().wasted_bytes,
        u64::from(BLOCK_LEN - 1)
    );
    swarm.serve(&[seed]);
    swarm.check_finished();
}

fn prioritise(priorities: &[Priority]) -> Command {
    Command::Prioritise {
        info_hash: INFO_HASH,
        priorities: priorities.to_vec(),
        wish: 1,
    }
}

fn is_finished(event: &Event) -> bool {
    matches!(event, Event::TorrentFinished { .. })
}

/// The pieces that a peer is asked for, in order, until nothing more is.
fn order_of_pieces(swarm: &mut Swarm, seed: Socket) -> Vec<u32> {
    let mut order = Vec::new();
    while let Some(next) = first_asked(swarm, seed) {
        if order.last() != Some(&next.index) {
            order.push(next.index);
        }
        swarm.send(seed, next, true);
    }
    order
}

#[test]
fn priorities_change_what_is_asked_for_next() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN, LEN, LEN, LEN]);
    let seed = swarm.full_seed(0, true);
    assert_eq!(first_asked(&mut swarm, seed), Some(block(0, 0)));
    swarm.command(prioritise(&[
        Priority::Normal,
        Priority::Low,
        Priority::Normal,
        Priority::High,
    ]));
    assert_eq!(order_of_pieces(&mut swarm, seed), [0, 3, 2, 1]);
}

#[test]
fn what_a_reader_waits_for_is_asked_for_next() {
    let mut swarm = Swarm::new(8, PIECE, &[6 * LEN]);
    let seed = swarm.full_seed(0, true);
    swarm.command(Command::Expect {
        info_hash: INFO_HASH,
        pieces: vec![4, 2, 99],
    });
    assert_eq!(order_of_pieces(&mut swarm, seed), [0, 4, 2, 1, 3, 5]);
}

#[test]
fn what_is_skipped_is_not_fetched_until_it_is_wanted() {
    let mut swarm = Swarm::with(8, PIECE, &[LEN, LEN], |seeding| {
        let fetch = seeding.fetch.as_mut().unwrap();
        fetch.priorities = vec![Priority::Normal, Priority::Skip];
    });
    let seed = swarm.full_seed(0, true);
    swarm.serve(&[seed]);
    assert_eq!(swarm.told(is_finished), 1);
    assert_eq!(swarm.stage.closed, [], "we may want more of it one day");
    assert_eq!(swarm.said(seed).last(), Some(&Said::NotInterested));
    swarm.stage.events.clear();
    swarm.command(prioritise(&[Priority::Normal, Priority::Low]));
    assert_eq!(swarm.said(seed), [Said::Interested]);
    swarm.serve(&[seed]);
    swarm.check_finished();
}

/// Found by reading: an answer to an earlier wish was taken for the answer to the latest.
#[test]
fn that_a_torrent_is_finished_is_told_with_the_number_of_the_wish() {
    let mut swarm = Swarm::with(8, PIECE, &[LEN, LEN, LEN], |seeding| {
        let fetch = seeding.fetch.as_mut().unwrap();
        fetch.priorities = vec![Priority::Normal, Priority::Skip, Priority::Skip];
    });
    let seed = swarm.full_seed(0, true);
    swarm.serve(&[seed]);
    let wishes = [
        [Priority::Normal, Priority::Normal, Priority::Skip],
        [Priority::Normal, Priority::Skip, Priority::Skip],
        [Priority::Normal; 3],
        [Priority::High; 3],
    ];
    for (wish, priorities) in (1..).zip(wishes) {
        swarm.command(Command::Prioritise {
            info_hash: INFO_HASH,
            priorities: priorities.to_vec(),
            wish,
        });
        swarm.serve(&[seed]);
    }
    let number = |event: &Event| match event {
        Event::TorrentFinished { wish, .. } => Some(*wish),
        _ => None,
    };
    let numbers: Vec<u64> = swarm.stage.events.iter().filter_map(number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4], "also when nothing is left to fetch");
}

/// Found by reading: it kept its memory, and the torrent was never finished.
#[test]
fn a_piece_in_progress_that_is_skipped_does_not_keep_the_rest_from_being_finished() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN, LEN]);
    let (first, second) = (swarm.seed(0, false, 0..1), swarm.seed(1, true, 1..2));
    swarm.send(first, block(0, 0), true);
    swarm.stage.say(first, &[Message::Choke]);
    swarm.command(prioritise(&[Priority::Skip, Priority::Normal]));
    assert_eq!(swarm.stage.shard.buffers.held(), 1, "the other one");
    swarm.serve(&[second]);
    assert_eq!(swarm.told(is_finished), 1);
    swarm.check_nothing_leaks();
}

#[test]
fn what_is_asked_of_a_piece_that_is_given_up_is_taken_back() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN, LEN]);
    let seed = swarm.seed(0, true, 0..1);
    assert_eq!(under_way(&mut swarm, seed), 16);
    swarm.command(prioritise(&[Priority::Skip, Priority::Normal]));
    assert_eq!(under_way(&mut swarm, seed), 0);
    assert!(swarm.said(seed).contains(&Said::Cancel(block(0, 15))));
    swarm.check_nothing_leaks();
}

/// Wants these pieces so much, whatever their files say.
fn prioritise_pieces(swarm: &Swarm, pieces: &[u32], priority: Option<Priority>) -> Command {
    let piece = |piece: &u32| swarm.layout.piece(*piece).expect("a piece of the torrent");
    Command::PrioritisePieces {
        info_hash: INFO_HASH,
        pieces: pieces.iter().map(piece).collect(),
        priority,
        wish: 1,
    }
}

#[test]
fn a_piece_of_its_own_priority_keeps_it_whatever_its_files_say() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * LEN, 4 * LEN]);
    let seed = swarm.full_seed(0, true);
    swarm.command(prioritise_pieces(&swarm, &[3], Some(Priority::High)));
    swarm.command(prioritise_pieces(&swarm, &[1, 4], Some(Priority::Skip)));
    swarm.command(prioritise(&[Priority::High, Priority::Low]));
    assert_eq!(order_of_pieces(&mut swarm, seed), [0, 3, 2, 5]);
    assert_eq!(swarm.told(is_finished), 1);
    assert_eq!(swarm.said(seed).last(), Some(&Said::NotInterested));
    swarm.stage.events.clear();
    swarm.command(prioritise_pieces(&swarm, &[4], None));
    swarm.command(prioritise_pieces(&swarm, &[1], Some(Priority::Normal)));
    assert_eq!(
        order_of_pieces(&mut swarm, seed),
        [4, 1],
        "the first was begun at once"
    );
    swarm.check_finished();
}

#[test]
fn a_piece_of_a_skipped_file_can_be_wanted() {
    let mut swarm = Swarm::with(8, PIECE, &[LEN, 3 * LEN], |seeding| {
        let fetch = seeding.fetch.as_mut().unwrap();
        fetch.priorities = vec![Priority::Skip; 2];
    });
    let seed = swarm.full_seed(0, true);
    assert_eq!(swarm.asked(seed), []);
    swarm.command(prioritise_pieces(&swarm, &[2], Some(Priority::Low)));
    assert_eq!(order_of_pieces(&mut swarm, seed), [2]);
    assert_eq!(swarm.told(is_finished), 2, "of nothing, and of the piece");
    swarm.check_nothing_leaks();
}

#[test]
fn a_piece_in_progress_that_is_skipped_by_itself_gives_its_memory_back() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * LEN]);
    let seed = swarm.seed(0, true, 0..1);
    assert_eq!(under_way(&mut swarm, seed), 16);
    swarm.command(prioritise_pieces(&swarm, &[0], Some(Priority::Skip)));
    assert_eq!(under_way(&mut swarm, seed), 0);
    assert!(swarm.said(seed).contains(&Said::Cancel(block(0, 15))));
    swarm.check_nothing_leaks();
    swarm.command(prioritise_pieces(&swarm, &[0], None));
    assert_eq!(under_way(&mut swarm, seed), 16);
}

#[test]
fn a_limit_lets_as_much_be_asked_for_in_a_second_as_it_says() {
    const LIMIT: u64 = 1 << 20;
    let mut swarm = Swarm::new(32, PIECE, &[64 * LEN]);
    let throttles = swarm.stage.shard.settings.throttles.clone();
    throttles.download.all.set(Some(LIMIT));
    let seeds = [0, 1, 2].map(|slot| swarm.full_seed(slot, true));
    for _ in 0..500 {
        seeds.iter().for_each(|seed| swarm.answer(*seed));
        swarm.stage.pass(Duration::from_millis(10));
    }
    let came = swarm.stage.shard.counters().downloaded_bytes;
    assert!(
        (5 * LIMIT * 98 / 100..=5 * LIMIT * 104 / 100).contains(&came),
        "{came} bytes in 5 s"
    );
}

/// What is asked for counts against the limit at once: it is given back when it is taken back.
#[test]
fn peers_that_choke_at_once_do_not_use_up_a_limit() {
    const LIMIT: u64 = 1 << 20;
    let mut swarm = Swarm::new(32, PIECE, &[64 * LEN]);
    let throttles = swarm.stage.shard.settings.throttles.clone();
    throttles.download.all.set(Some(LIMIT));
    let flapping = [0, 1, 2].map(|slot| swarm.full_seed(slot, false));
    let seed = swarm.full_seed(3, true);
    for _ in 0..500 {
        for peer in flapping {
            if !swarm.asked(peer).is_empty() {
                swarm.stage.say(peer, &[Message::Choke, Message::Unchoke]);
            }
        }
        swarm.answer(seed);
        swarm.stage.pass(Duration::from_millis(10));
    }
    let came = swarm.stage.shard.counters().downloaded_bytes;
    assert!(
        (5 * LIMIT * 95 / 100..=5 * LIMIT * 104 / 100).contains(&came),
        "{came} bytes in 5 s"
    );
}

#[test]
fn a_limit_lets_as_much_be_sent_in_a_second_as_it_says() {
    const LIMIT: u64 = 1 << 20;
    let mut stage = Stage::new(64, 0, PIECE, &[32 * LEN]);
    let command = Command::Limit {
        info_hash: INFO_HASH,
        download: None,
        upload: Some(LIMIT),
    };
    stage.command(command);
    let peers = [0, 1].map(|slot| stage.peer(slot, true, &[Message::Interested]));
    let asked: Vec<Message<'_>> = (0..480)
        .map(|i| request(i / 16, i % 16 * BLOCK_LEN, BLOCK_LEN))
        .collect();
    peers.iter().for_each(|peer| stage.say(*peer, &asked));
    stage.pass(Duration::from_secs(5));
    let sent = stage.shard.counters().uploaded_bytes;
    // Beside the rate: a burst of 50 ms, and a run of 256 KiB that is not cut.
    assert!(
        (5 * LIMIT * 96 / 100..=5 * LIMIT * 108 / 100).contains(&sent),
        "{sent} bytes in 5 s"
    );
    assert!(
        peers.iter().all(|peer| answers(&stage, *peer, 32).len() > 100),
        "both get of it"
    );
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, last], 6881))
}

fn connect(addresses: &[SocketAddr]) -> Command {
    Command::Connect {
        info_hash: INFO_HASH,
        addresses: addresses.to_vec(),
    }
}

fn socket(slot: u32) -> Socket {
    Socket { slot, generation: 1 }
}

#[test]
fn a_peer_that_is_called_is_fetched_from() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * LEN]);
    swarm.command(connect(&[address(1)]));
    assert_eq!(swarm.stage.answer_call(Ok(socket(0))), address(1));
    assert_eq!(swarm.stage.wire[&socket(0)].len(), 68, "we speak first");
    swarm.stage.greet(socket(0), true, peer_id(0));
    swarm.stage.say(socket(0), &[Message::HaveAll, Message::Unchoke]);
    swarm.serve(&[socket(0)]);
    swarm.check_finished();
}

#[test]
fn addresses_that_do_not_answer_are_called_later_and_later() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.command(connect(&[address(1)]));
    let mut called_at = Vec::new();
    for second in 0..200 {
        if !swarm.stage.calls.is_empty() {
            called_at.push(second);
            swarm.stage.answer_call(Err(ECONNREFUSED));
        }
        swarm.stage.pass(Duration::from_secs(1));
    }
    assert_eq!(called_at, [0, 5, 15, 35, 75, 155]);
}

#[test]
fn who_hangs_up_without_having_given_anything_is_called_later_and_later() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.command(connect(&[address(1)]));
    let mut called_at = Vec::new();
    for second in 0..100 {
        if !swarm.stage.calls.is_empty() {
            called_at.push(second);
            let socket = socket(second);
            swarm.stage.answer_call(Ok(socket));
            swarm.stage.greet(socket, true, peer_id(0));
            swarm
                .stage
                .turn(vec![Completion::ReceiveEnded { socket, error: None }]);
        }
        swarm.stage.pass(Duration::from_secs(1));
    }
    assert_eq!(called_at, [0, 5, 15, 35, 75]);
}

#[test]
fn calls_under_way_have_a_maximum() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let addresses: Vec<SocketAddr> = (0..200).map(address).collect();
    swarm.command(connect(&addresses));
    assert_eq!(swarm.stage.calls.len(), CALLS_MAX);
    swarm.stage.answer_call(Err(ECONNREFUSED));
    assert_eq!(swarm.stage.calls.len(), CALLS_MAX);
    assert_eq!(swarm.stage.calls.last().unwrap().1, address(CALLS_MAX as u8));
}

#[test]
fn our_own_address_is_called_once() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.command(connect(&[address(1)]));
    swarm.stage.answer_call(Ok(socket(0)));
    let ours = swarm.stage.shard.settings.peer_id;
    swarm.stage.greet(socket(0), true, ours);
    assert_eq!(swarm.stage.closed, [socket(0)]);
    swarm.command(connect(&[address(1)]));
    swarm.stage.pass(Duration::from_secs(1_000));
    assert_eq!(swarm.stage.calls, []);
}

#[test]
fn a_called_peer_that_answers_for_another_torrent_is_hung_up_on() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.command(connect(&[address(1)]));
    swarm.stage.answer_call(Ok(socket(0)));
    swarm.stage.turn(vec![Completion::ReceivedExact {
        socket: socket(0),
        bytes: vec![0; 68],
    }]);
    assert_eq!(swarm.stage.closed, [socket(0)]);
}

#[test]
fn who_has_everything_or_stops_calls_nobody() {
    let mut swarm = Swarm::with(8, PIECE, &[LEN], |seeding| {
        seeding.have.set(seeding.layout.piece(0).unwrap());
    });
    swarm.command(connect(&[address(1)]));
    swarm.stage.pass(Duration::from_secs(100));
    assert_eq!(swarm.stage.calls, []);

    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.command(connect(&[address(1), address(2)]));
    swarm.stage.answer_call(Err(ECONNREFUSED));
    swarm.command(Command::Stop);
    swarm.stage.answer_call(Ok(socket(0)));
    assert_eq!(swarm.stage.closed, [socket(0)], "it was called before");
    swarm.command(connect(&[address(3)]));
    swarm.stage.pass(Duration::from_secs(100));
    assert_eq!(swarm.stage.calls, []);
}

/// Two call each other at the same time; `ours_first`: our call is answered before theirs comes.
fn check_duplicates(they: [u8; 20], ours_first: bool, ours_stays: bool) {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    let peer_id = shoal_proto::peer_id::PeerId::new(they);
    swarm.command(connect(&[address(1)]));
    let (ours, theirs) = (socket(0), socket(1));
    let call = |swarm: &mut Swarm| {
        swarm.stage.answer_call(Ok(ours));
        swarm.stage.greet(ours, true, peer_id);
    };
    let come = |swarm: &mut Swarm| {
        swarm.stage.turn(vec![Completion::Accepted {
            socket: theirs,
            address: address(1),
        }]);
        swarm.stage.greet(theirs, true, peer_id);
    };
    if ours_first {
        call(&mut swarm);
        come(&mut swarm);
    } else {
        come(&mut swarm);
        call(&mut swarm);
    }
    assert_eq!(swarm.stage.closed, [if ours_stays { theirs } else { ours }]);
}

#[test]
fn of_two_connections_the_call_of_the_larger_peer_id_stays_on_both_sides() {
    for ours_first in [true, false] {
        check_duplicates([0; 20], ours_first, true);
        check_duplicates([0xff; 20], ours_first, false);
    }
}

#[test]
fn a_second_connection_in_the_same_direction_is_refused() {
    let mut swarm = Swarm::new(8, PIECE, &[LEN]);
    swarm.guest(0, true);
    let second = socket(9);
    swarm.stage.turn(vec![Completion::Accepted {
        socket: second,
        address: address(9),
    }]);
    swarm.stage.greet(second, true, peer_id(0));
    assert_eq!(swarm.stage.closed, [second]);
}
