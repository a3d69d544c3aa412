//! The life of a piece that is fetched: memory, hash, disk, durability; who lied; what happens when the disk refuses.

use std::time::Duration;

use shoal_proto::layout::BLOCK_LEN;
use shoal_proto::message::Message;
use shoal_world::{Completion, EXTENT_LEN, Errno, FileStamp, Op, PAGE_LEN};

use super::request;
use super::stage::{INFO_HASH, stamp};
use super::swarm::{Said, Swarm, block};
use crate::{Cause, Command, Event, Priority};

/// Length of most pieces here: one extent, 16 blocks, the smallest pipeline.
const PIECE: u32 = EXTENT_LEN;

const EIO: Errno = Errno(5);
const ENOSPC: Errno = Errno(28);
const EROFS: Errno = Errno(30);
const ESTALE: Errno = Errno(116);
const EDQUOT: Errno = Errno(122);

fn is_written(event: &Event) -> bool {
    matches!(event, Event::PieceWritten { .. })
}

fn is_durable(event: &Event) -> bool {
    matches!(event, Event::PiecesDurable { .. })
}

fn is_paused(event: &Event) -> bool {
    matches!(event, Event::TorrentPaused { .. })
}

fn is_banned(event: &Event) -> bool {
    matches!(event, Event::PeerBanned { .. })
}

#[test]
fn a_torrent_comes_whole_from_several_seeds() {
    let mut swarm = Swarm::new(16, PIECE, &[3 << 20, 100_001, 70_000]);
    let seeds: Vec<_> = (0..4).map(|slot| swarm.full_seed(slot, slot % 2 == 0)).collect();
    swarm.serve(&seeds);
    swarm.check_finished();
    swarm.check_nothing_leaks();
    let counters = swarm.stage.shard.counters();
    assert_eq!(counters.written_bytes, swarm.layout.total_len());
    assert_eq!(counters.failed_pieces, 0);
}

#[test]
fn a_block_is_asked_for_only_when_its_piece_has_memory() {
    let mut swarm = Swarm::new(2, PIECE, &[4 * i64::from(PIECE)]);
    let seeds = [0, 1, 2].map(|slot| swarm.seed(slot, true, slot..slot + 1));
    assert_eq!(seeds.map(|seed| swarm.asked(seed).len()), [16, 16, 0]);
    assert_eq!(swarm.stage.shard.buffers.held(), 2);
}

#[test]
fn memory_that_becomes_free_wakes_those_who_waited_for_it() {
    let mut swarm = Swarm::new(2, PIECE, &[4 * i64::from(PIECE)]);
    let [first, _, waits] = [0, 1, 2].map(|slot| swarm.seed(slot, true, slot..slot + 1));
    swarm.answer(first);
    assert_eq!(swarm.told(is_written), 1);
    assert_eq!(swarm.asked(waits).first(), Some(&block(2, 0)));
}

#[test]
fn a_piece_is_hashed_written_told_synced_looked_at_and_then_durable() {
    let mut swarm = Swarm::new(2, PIECE, &[i64::from(PIECE)]);
    let (seed, leech) = (swarm.full_seed(0, true), swarm.guest(1, true));
    swarm.stage.holds = |op| {
        let stored = matches!(op, Op::Open { .. } | Op::Write { .. } | Op::Sync { .. });
        stored || matches!(op, Op::Hash { .. } | Op::Stamp { .. })
    };
    swarm.answer(seed);
    assert!(matches!(swarm.stage.held[..], [Op::Hash { .. }]));
    swarm.stage.release();
    assert!(matches!(swarm.stage.held[..], [Op::Open { .. }]));
    swarm.stage.release();
    assert!(matches!(swarm.stage.held[..], [Op::Write { .. }]));
    assert_eq!(swarm.told(is_written), 0);
    assert_eq!(swarm.said(leech), []);
    swarm.stage.release();
    assert_eq!(swarm.told(is_written), 1);
    assert_eq!(swarm.said(leech), [Said::Have(0)]);
    assert!(!swarm.said(seed).contains(&Said::Have(0)), "it has the piece");
    assert!(matches!(swarm.stage.held[..], [Op::Sync { .. }]));
    swarm.stage.release();
    assert!(matches!(swarm.stage.held[..], [Op::Stamp { .. }]));
    assert_eq!(swarm.told(is_durable), 0);
    swarm.stage.release();
    assert_eq!(swarm.told(is_durable), 1);
    swarm.check_finished();
}

#[test]
fn pieces_become_durable_together_after_a_second() {
    let mut swarm = Swarm::new(8, PIECE, &[4 * i64::from(PIECE)]);
    let seed = swarm.seed(0, true, 0..2);
    swarm.serve(&[seed]);
    assert_eq!((swarm.told(is_written), swarm.told(is_durable)), (2, 0));
    swarm.stage.pass(Duration::from_secs(1));
    assert_eq!(swarm.told(is_durable), 1, "{:?}", swarm.stage.events);
    let named = |event: &Event| matches!(event, Event::PiecesDurable { pieces, stamps, .. } if pieces.len() == 2 && stamps.len() == 1);
    assert_eq!(swarm.told(named), 1);
}

#[test]
fn the_edges_of_files_are_written_apart_from_whole_pages() {
    let mut swarm = Swarm::new(8, PIECE, &[100_000, 300_000, 5, 200_000]);
    let seed = swarm.full_seed(0, true);
    swarm.serve(&[seed]);
    swarm.check_finished();
    let writes = &swarm.stage.writes;
    assert!(
        writes.iter().all(|write| write.direct || write.len < PAGE_LEN),
        "{writes:?}"
    );
    let direct: u64 = writes
        .iter()
        .filter(|write| write.direct)
        .map(|write| u64::from(write.len))
        .sum();
    assert!(
        direct > 580_000,
        "all but two edges of each piece and file: {direct}"
    );
}

#[test]
fn padding_is_hashed_and_never_written() {
    let len = i64::from(PIECE);
    let mut swarm = Swarm::new(8, PIECE, &[100_000, 100_000 - len, len, -len, 1]);
    let seed = swarm.full_seed(0, true);
    swarm.serve(&[seed]);
    swarm.check_finished();
    assert!(
        swarm
            .stage
            .writes
            .iter()
            .all(|write| ![1, 3].contains(&write.file))
    );
    assert!(!swarm.stage.looked_at.contains(&1), "there is no such file");
    assert_eq!(swarm.told(is_written), 4, "a piece of padding only as well");
}

#[test]
fn a_piece_of_thousands_of_tiny_files_is_packed() {
    let mut swarm = Swarm::new(3, PIECE, &[100; 4_000]);
    let seed = swarm.full_seed(0, true);
    assert_eq!(
        swarm.stage.shard.buffers.held(),
        1,
        "its files begin on 2,622 pages"
    );
    swarm.serve(&[seed]);
    // Batches look at many files, a few at a time.
    swarm.stage.pass(Duration::from_secs(10));
    swarm.check_finished();
    swarm.check_nothing_leaks();
}

#[test]
fn pieces_that_meet_in_an_extent_share_it_and_leave_it_to_the_cache() {
    let mut swarm = Swarm::new(1, PIECE / 4, &[2 * i64::from(PIECE)]);
    let leech = swarm.guest(1, true);
    swarm.stage.say(leech, &[Message::Interested]);
    let seed = swarm.full_seed(0, true);
    assert_eq!(swarm.asked(seed).len(), 16, "four pieces");
    assert_eq!(swarm.stage.shard.buffers.held(), 1);
    for place in 0..4 {
        for index in 0..4 {
            swarm.send(seed, block(index, place), true);
        }
    }
    assert_eq!(swarm.told(is_written), 4);
    swarm.stage.say(leech, &[request(1, BLOCK_LEN, BLOCK_LEN)]);
    assert_eq!(swarm.stage.shard.counters().uploaded_bytes, u64::from(BLOCK_LEN));
    assert_eq!(swarm.stage.read_bytes, 0, "it was never away");
}

#[test]
fn a_peer_that_sent_a_wrong_piece_alone_is_banned() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * i64::from(PIECE)]);
    let (liar, honest) = (swarm.full_seed(0, true), swarm.full_seed(1, true));
    assert_eq!(swarm.asked(liar).first(), Some(&block(0, 0)));
    swarm.send(liar, block(0, 0), false);
    swarm.answer(liar);
    assert_eq!(swarm.told(is_banned), 1);
    assert_eq!(swarm.stage.closed, [liar]);
    swarm.serve(&[honest]);
    swarm.check_finished();
    assert_eq!(swarm.stage.shard.counters().failed_pieces, 1);
    let again = swarm.guest(0, true);
    assert_eq!(
        swarm.stage.closed.last(),
        Some(&again),
        "it comes again for nothing"
    );
}

/// A piece of 32 blocks, of which two peers were asked for one half each.
fn shared_piece() -> (Swarm, [shoal_world::Socket; 2]) {
    let mut swarm = Swarm::new(8, 2 * PIECE, &[4 * i64::from(PIECE)]);
    let peers = [0, 1].map(|slot| swarm.seed(slot, true, 0..1));
    assert_eq!(swarm.asked(peers[0]).first(), Some(&block(0, 0)));
    assert_eq!(swarm.asked(peers[1]).first(), Some(&block(0, 16)));
    (swarm, peers)
}

#[test]
fn of_two_who_sent_a_wrong_piece_only_the_liar_is_banned() {
    let (mut swarm, [honest, liar]) = shared_piece();
    swarm.send(liar, block(0, 17), false);
    swarm.answer(liar);
    swarm.answer(honest);
    assert_eq!(swarm.stage.shard.counters().failed_pieces, 1);
    assert_eq!(swarm.told(is_banned), 0, "either may have lied");
    while swarm.told(is_written) == 0 {
        // It lies whenever it is asked.
        for asked in swarm.asked(liar) {
            swarm.send(liar, asked, false);
        }
        swarm.answer(honest);
    }
    assert_eq!(swarm.told(is_banned), 1);
    assert_eq!(swarm.stage.closed, [liar]);
    swarm.check_nothing_leaks();
}

#[test]
fn who_lied_once_is_found_out_by_the_right_bytes_that_it_sends_later() {
    let (mut swarm, [honest, liar]) = shared_piece();
    swarm.send(liar, block(0, 17), false);
    swarm.answer(liar);
    swarm.answer(honest);
    swarm.stage.turn(vec![Completion::ReceiveEnded {
        socket: honest,
        error: None,
    }]);
    swarm.serve(&[liar]);
    assert_eq!(swarm.told(is_written), 1);
    assert_eq!(swarm.told(is_banned), 1);
    assert!(swarm.stage.closed.contains(&liar));
}

#[test]
fn a_piece_that_failed_is_asked_of_one_peer_alone() {
    let (mut swarm, peers) = shared_piece();
    swarm.send(peers[1], block(0, 17), false);
    peers.iter().for_each(|peer| swarm.answer(*peer));
    let asked = peers.map(|peer| swarm.asked(peer).len());
    assert!(asked.contains(&0), "{asked:?}");
    assert!(asked.iter().sum::<usize>() > 0);
}

/// Writes are refused with this for a minute, and nothing of it is left when they are taken again.
fn check_pause(errno: Errno) {
    let mut swarm = Swarm::new(8, PIECE, &[4 * i64::from(PIECE)]);
    let (first, second) = (swarm.seed(0, true, 0..1), swarm.seed(1, true, 1..4));
    swarm.stage.faults.write = Some(errno);
    swarm.send(second, block(1, 0), true);
    swarm.answer(first);
    let paused = |event: &Event| matches!(event, Event::TorrentPaused { failure, .. } if failure.cause == Cause::Errno(errno));
    assert_eq!(swarm.told(paused), 1);
    assert_eq!(swarm.asked(second), [], "told with cancels");
    assert_eq!(
        swarm.stage.shard.buffers.held(),
        1,
        "only what is verified is kept"
    );
    swarm.stage.pass(Duration::from_secs(60));
    assert_eq!(swarm.told(is_paused), 1, "said once");
    assert_eq!(swarm.told(is_written), 0);
    assert_eq!(swarm.asked(second), []);
    swarm.stage.faults.write = None;
    swarm.stage.pass(Duration::from_secs(3));
    assert_eq!(swarm.told(is_written), 1, "without asking for it again");
    let resumed = Event::TorrentResumed { info_hash: INFO_HASH };
    assert_eq!(swarm.told(|event| *event == resumed), 1);
    swarm.serve(&[first, second]);
    swarm.check_finished();
    swarm.check_nothing_leaks();
}

#[test]
fn a_full_disk_pauses_keeps_what_is_verified_and_resumes() {
    check_pause(ENOSPC);
}

/// A quota is raised, a disk is mounted for writing again, a server of NFS comes back.
#[test]
fn a_disk_that_takes_nothing_for_another_reason_pauses_as_a_full_one_does() {
    [EDQUOT, EROFS, ESTALE].into_iter().for_each(check_pause);
}

/// Found by reading: half a block was copied into the memory of the next attempt, and its honest sender banned.
#[test]
fn a_block_that_was_arriving_when_its_piece_was_given_up_is_not_taken_for_whole() {
    let mut swarm = Swarm::new(8, PIECE, &[3 * i64::from(PIECE)]);
    // Its memory is another one the next time: that of piece 2 is taken first.
    let (arrives, fails) = (swarm.seed(0, true, 0..1), swarm.seed(1, true, 1..3));
    let mut bytes = Vec::new();
    let data = swarm.block(block(0, 0));
    Message::Piece {
        index: 0,
        begin: 0,
        data: &data,
    }
    .encode(&mut bytes);
    let (head, tail) = bytes.split_at(10_000);
    swarm.stage.say_bytes(arrives, head);
    swarm.stage.faults.write = Some(ENOSPC);
    swarm.answer(fails);
    assert_eq!(swarm.told(is_paused), 1);
    swarm.stage.faults.write = None;
    swarm.stage.pass(Duration::from_secs(3));
    let requests = |swarm: &mut Swarm| {
        let asked = swarm.asked(arrives);
        asked.iter().filter(|asked| **asked == block(0, 0)).count()
    };
    assert_eq!(requests(&mut swarm), 1, "taken back, and asked for again");
    let tail = tail.to_vec();
    swarm.stage.say_bytes(arrives, &tail);
    assert_eq!(
        requests(&mut swarm),
        1,
        "the tail answers the first request, and the second is still to be answered"
    );
    swarm.serve(&[arrives, fails]);
    assert_eq!(swarm.told(is_banned), 0);
    swarm.check_finished();
}

#[test]
fn a_failed_sync_ends_the_torrent() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * i64::from(PIECE)]);
    let seed = swarm.full_seed(0, true);
    swarm.stage.faults.sync = Some(EIO);
    swarm.serve(&[seed]);
    let failed = |event: &Event| matches!(event, Event::TorrentFailed { failure, .. } if failure.cause == Cause::Unsynced(EIO));
    assert_eq!(swarm.told(failed), 1);
    assert_eq!(swarm.told(is_durable), 0);
    assert_eq!(swarm.stage.closed, [seed]);
    swarm.check_nothing_leaks();
}

/// Lets a torrent go, or fail, while operations of one kind are under way on two pieces, and come back.
fn check_removal(holds: fn(&Op) -> bool) {
    let mut swarm = Swarm::new(8, PIECE, &[300_000, 2 * i64::from(PIECE)]);
    let liar = swarm.seed(0, true, 0..1);
    let seeds = [1, 2].map(|slot| swarm.seed(slot, true, slot..slot + 1));
    swarm.stage.holds = holds;
    swarm.send(liar, block(0, 0), false);
    swarm.answer(liar);
    seeds.iter().for_each(|seed| swarm.answer(*seed));
    swarm.stage.pass(Duration::from_secs(2));
    assert!(!swarm.stage.held.is_empty(), "something is under way");
    swarm.stage.command(Command::Remove { info_hash: INFO_HASH });
    assert_eq!(swarm.stage.shard.counters().torrents, 0);
    let before: Vec<Op> = std::mem::take(&mut swarm.stage.held);
    // What was under way ends in the life of the next torrent, which has the same number.
    swarm.add(|_| {});
    let seed = swarm.full_seed(5, true);
    swarm.stage.holds = |_| false;
    swarm.stage.held.extend(before);
    swarm.stage.release();
    swarm.serve(&[seed]);
    swarm.check_finished();
    swarm.check_nothing_leaks();
    swarm.stage.command(Command::Remove { info_hash: INFO_HASH });
    swarm.stage.turn(Vec::new());
    swarm.check_nothing_leaks();
}

#[test]
fn a_torrent_that_goes_while_it_is_hashed_leaks_nothing() {
    check_removal(|op| matches!(op, Op::Hash { .. }));
}

#[test]
fn a_torrent_that_goes_while_its_blocks_are_compared_leaks_nothing() {
    check_removal(
        |op| matches!(op, Op::Hash { parts, .. } if parts.iter().all(|part| part.len() == BLOCK_LEN)),
    );
}

/// Found by reading: writes that waited for their file went with it, and their pieces kept their memory.
#[test]
fn a_torrent_that_goes_while_its_files_are_opened_leaks_nothing() {
    check_removal(|op| matches!(op, Op::Open { .. }));
}

#[test]
fn a_torrent_that_goes_while_it_is_written_leaks_nothing() {
    check_removal(|op| matches!(op, Op::Write { .. }));
}

#[test]
fn a_torrent_that_goes_while_it_is_synced_leaks_nothing() {
    check_removal(|op| matches!(op, Op::Sync { .. }));
}

#[test]
fn a_torrent_that_goes_while_it_is_looked_at_leaks_nothing() {
    check_removal(|op| matches!(op, Op::Stamp { .. }));
}

#[test]
fn want_of_descriptors_delays_writes_and_loses_nothing() {
    const EMFILE: Errno = Errno(24);
    let mut swarm = Swarm::new(8, PIECE, &[2 * i64::from(PIECE)]);
    let seed = swarm.full_seed(0, true);
    swarm.stage.faults.open = Some(EMFILE);
    swarm.serve(&[seed]);
    swarm.stage.pass(Duration::from_secs(5));
    assert_eq!((swarm.told(is_written), swarm.told(is_paused)), (0, 0));
    swarm.stage.faults.open = None;
    swarm.stage.faults.stamp = Some(EMFILE);
    swarm.stage.pass(Duration::from_secs(5));
    assert_eq!((swarm.told(is_written), swarm.told(is_durable)), (2, 0));
    swarm.stage.faults.stamp = None;
    swarm.stage.pass(Duration::from_secs(5));
    swarm.check_finished();
}

#[test]
fn a_complete_torrent_parts_from_seeds_and_goes_on_serving() {
    let mut swarm = Swarm::new(8, PIECE, &[2 * i64::from(PIECE)]);
    let (seed, leech) = (swarm.full_seed(0, true), swarm.guest(1, true));
    swarm.serve(&[seed]);
    swarm.check_finished();
    assert_eq!(swarm.stage.closed, [seed]);
    assert_eq!(swarm.said(leech), [Said::Have(0), Said::Have(1)]);
    swarm.stage.say(leech, &[Message::Interested]);
    swarm.stage.say(leech, &[request(1, 0, BLOCK_LEN)]);
    assert_eq!(swarm.stage.shard.counters().uploaded_bytes, u64::from(BLOCK_LEN));
}

#[test]
fn pieces_that_are_there_are_served_and_not_fetched() {
    let mut swarm = Swarm::with(8, PIECE, &[3 * i64::from(PIECE)], |seeding| {
        seeding.have.set(seeding.layout.piece(1).unwrap());
    });
    let leech = swarm.guest(1, true);
    swarm.stage.say(leech, &[Message::Interested]);
    swarm
        .stage
        .say(leech, &[request(1, 0, BLOCK_LEN), request(0, 0, BLOCK_LEN)]);
    let counters = swarm.stage.shard.counters();
    assert_eq!(
        (counters.uploaded_bytes, counters.refused),
        (u64::from(BLOCK_LEN), 1)
    );
    let seed = swarm.full_seed(0, true);
    swarm.serve(&[seed]);
    swarm.check_finished();
    assert_eq!(
        swarm.stage.shard.counters().downloaded_bytes,
        u64::from(2 * PIECE)
    );
}

/// Found by reading: what was fetched next was taken for somebody else's write, and failed the torrent.
#[test]
fn a_file_that_is_being_fetched_is_not_held_to_what_it_was_while_another_was_verified() {
    let files = [i64::from(PIECE), 2 * i64::from(PIECE)];
    let mut swarm = Swarm::with(8, PIECE, &files, |seeding| {
        let fetch = seeding.fetch.as_mut().unwrap();
        fetch.priorities = vec![Priority::Normal, Priority::Skip];
    });
    let (seed, leech) = (swarm.seed(0, true, 0..2), swarm.guest(1, true));
    swarm.serve(&[seed]);
    swarm.command(Command::Prioritise {
        info_hash: INFO_HASH,
        priorities: vec![Priority::Normal; 2],
        wish: 1,
    });
    swarm.serve(&[seed]);
    swarm.stage.events.clear();
    let [whole, half] = [files[0], files[1]].map(|len| stamp(len as u64));
    let touched = FileStamp {
        changed_ns: whole.changed_ns + 1,
        ..whole
    };
    swarm.stage.stamps.insert(0, touched);
    swarm.stage.say(leech, &[Message::Interested]);
    swarm.stage.say(leech, &[request(0, 0, BLOCK_LEN)]);
    let suspect = |event: &Event| matches!(event, Event::FileSuspect { .. });
    assert_eq!(swarm.told(suspect), 1);
    swarm.command(Command::TorrentVerified {
        info_hash: INFO_HASH,
        stamps: vec![Some(touched), Some(half)],
    });
    assert_eq!(swarm.stage.shard.counters().uploaded_bytes, u64::from(BLOCK_LEN));
    let written = FileStamp {
        modified_ns: half.modified_ns + 1,
        changed_ns: half.changed_ns + 1,
        ..half
    };
    swarm.stage.stamps.insert(1, written);
    swarm.stage.say(leech, &[request(1, 0, BLOCK_LEN)]);
    let rest = swarm.seed(2, true, 2..3);
    swarm.serve(&[rest]);
    swarm.check_finished();
    let failed = |event: &Event| matches!(event, Event::TorrentFailed { .. });
    assert_eq!(swarm.told(failed), 0, "{:?}", swarm.stage.events);
}
