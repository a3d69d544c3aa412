mod asking;
mod fetching;
mod limits;
mod mutated;
mod seeding;
mod shortage;
mod stage;
mod swarm;
mod turnover;

use std::time::Duration;

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use shoal_proto::layout::{BLOCK_LEN, FileLength, Layout};
use shoal_proto::message::{BlockRequest, Decoder, Message};
use shoal_proto::metadata::MetadataMessage;
use shoal_world::{Completion, File, FileStamp, Op, Opened, Socket};
use stage::{INFO, INFO_HASH, Stage, content, stamp};

use crate::limits::{OUTBOX_LEN_MAX, READS_MAX, RUN_BLOCKS_MAX, RUNS_AHEAD_MAX};
use crate::torrent::TorrentId;
use crate::{Cause, Command, Event};

fn request(index: u32, begin: u32, length: u32) -> Message<'static> {
    Message::Request(BlockRequest { index, begin, length })
}

/// The blocks and rejects that a peer received, in order.
fn answers(stage: &Stage, socket: Socket, pieces: u32) -> Vec<(BlockRequest, Option<Vec<u8>>)> {
    let wire = stage.wire.get(&socket).map_or(&[][..], Vec::as_slice);
    let mut bytes = &wire[68..];
    let mut decoder = Decoder::new(pieces);
    let mut answers = Vec::new();
    while let Some(message) = decoder.next(&mut bytes).expect("we speak by the book") {
        match message {
            Message::Piece { index, begin, data } => {
                let block = BlockRequest {
                    index,
                    begin,
                    length: data.len() as u32,
                };
                answers.push((block, Some(data.to_vec())));
            }
            Message::Reject(block) => answers.push((block, None)),
            _ => {}
        }
    }
    answers
}

/// The bytes of a torrent of these files.
fn payload(files: &[i64]) -> Vec<u8> {
    let file = |(index, len): (usize, &i64)| {
        let byte = move |offset| {
            if *len < 0 {
                0
            } else {
                content(index as u32, offset)
            }
        };
        (0..len.unsigned_abs()).map(byte).collect::<Vec<u8>>()
    };
    files.iter().enumerate().flat_map(file).collect()
}

fn check_block(payload: &[u8], piece_length: u32, block: BlockRequest, data: &[u8]) {
    let start = block.index as usize * piece_length as usize + block.begin as usize;
    assert!(
        data == &payload[start..][..block.length as usize],
        "{block:?} has other bytes"
    );
}

const MIB: i64 = 1 << 20;

#[test]
fn a_peer_that_asks_gets_what_it_asked_for_in_order() {
    let mut stage = Stage::new(16, 4, 1 << 18, &[MIB]);
    let requests: Vec<Message<'_>> = (0..64)
        .map(|i| request(i / 16, i % 16 * BLOCK_LEN, BLOCK_LEN))
        .collect();
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.say(peer, &requests);
    let answers = answers(&stage, peer, 4);
    assert_eq!(answers.len(), 64);
    let payload = payload(&[MIB]);
    for ((block, data), asked) in answers.iter().zip(&requests) {
        assert_eq!(Message::Request(*block), *asked);
        check_block(&payload, 1 << 18, *block, data.as_ref().unwrap());
    }
    assert_eq!(stage.read_bytes, 1 << 20, "every byte was read once");
    let report = stage.shard.report();
    assert_eq!(report.torrents[0].uploaded_bytes, 1 << 20);
    assert_eq!(report.peers[0].uploaded_bytes, 1 << 20);
}

#[test]
fn what_is_asked_for_while_choked_is_rejected_with_the_fast_extension_and_ignored_without() {
    let mut stage = Stage::new(16, 4, 1 << 18, &[MIB]);
    for (slot, fast) in [(0, true), (1, false)] {
        let peer = stage.peer(slot, fast, &[request(0, 0, BLOCK_LEN)]);
        assert_eq!(answers(&stage, peer, 4).len(), usize::from(fast));
        assert_eq!(stage.read_bytes, 0);
    }
}

#[test]
fn a_choked_peer_forgets_its_requests() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    stage.takes.extend([u32::MAX, u32::MAX, 100]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    let requests: Vec<Message<'_>> = (0..6)
        .map(|block| request(0, block * BLOCK_LEN, BLOCK_LEN))
        .collect();
    stage.say(peer, &requests);
    stage.say(peer, &[Message::NotInterested]);
    stage.drain();
    let answers = answers(&stage, peer, 4);
    assert_eq!(answers.len(), 6, "each is answered");
    assert_eq!(
        answers.iter().filter(|(_, data)| data.is_none()).count(),
        2,
        "those that were not begun are rejected"
    );
}

fn check_violation(messages: &[Message<'_>]) {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, messages);
    assert_eq!(stage.closed, [peer], "{messages:?}");
    assert_eq!(stage.shard.counters().violations, 1);
}

#[test]
fn a_bitfield_may_come_again() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let messages = [
        Message::HaveNone,
        Message::Bitfield(&[0x80]),
        Message::Have(1),
        Message::Bitfield(&[0xc0]),
    ];
    stage.peer(0, true, &messages);
    assert_eq!(stage.closed, []);
}

#[test]
fn what_the_protocol_forbids_ends_the_connection() {
    check_violation(&[Message::Interested, request(4, 0, BLOCK_LEN)]);
    check_violation(&[Message::Interested, request(0, u32::MAX, BLOCK_LEN)]);
    check_violation(&[Message::Interested, request(0, 0, 0)]);
    check_violation(&[Message::Interested, request(0, 0, 1 << 20)]);
    check_violation(&[Message::Have(4)]);
    check_violation(&[Message::Bitfield(&[0xff])]);
    check_violation(&[Message::Bitfield(&[0x80, 0])]);
    check_violation(&[Message::HaveNone, Message::HaveNone]);
    check_violation(&[Message::Bitfield(&[0x80]), Message::HaveNone]);
    check_violation(&[Message::Piece {
        index: 0,
        begin: 0,
        data: b"unasked",
    }]);
    check_violation(&[Message::Reject(BlockRequest {
        index: 0,
        begin: 0,
        length: BLOCK_LEN,
    })]);
    check_violation(&[Message::Suggest(9)]);
    check_violation(&[Message::Extended {
        id: 0,
        payload: b"li",
    }]);
}

#[test]
fn a_peer_with_only_a_magnet_link_gets_the_metadata() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[]);
    let ask = |payload: &'static [u8]| Message::Extended { id: 1, payload };
    stage.say(
        peer,
        &[Message::Extended {
            id: 0,
            payload: b"d1:md11:ut_metadatai9eee",
        }],
    );
    stage.say(
        peer,
        &[
            ask(b"d8:msg_typei0e5:piecei0ee"),
            ask(b"d8:msg_typei0e5:piecei1ee"),
        ],
    );
    stage.say(peer, &[ask(b"d8:msg_typei0e5:piecei2ee")]);
    let mut bytes = &stage.wire[&peer][68..];
    let mut decoder = Decoder::new(4);
    let mut heard = Vec::new();
    while let Some(message) = decoder.next(&mut bytes).unwrap() {
        if let Message::Extended { id: 9, payload } = message {
            heard.push(match MetadataMessage::parse(payload).unwrap().unwrap() {
                MetadataMessage::Data {
                    piece,
                    total_len,
                    data,
                } => (piece, Some((total_len, data.to_vec()))),
                MetadataMessage::Reject { piece } | MetadataMessage::Request { piece } => (piece, None),
            });
        }
    }
    let data = |piece, range: std::ops::Range<usize>| (piece, Some((20_000, INFO[range].to_vec())));
    assert_eq!(heard, [data(0, 0..16_384), data(1, 16_384..20_000), (2, None)]);
}

#[test]
fn two_who_have_everything_part() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::HaveAll]);
    assert_eq!(stage.closed, [peer]);
    assert_eq!(stage.shard.counters().violations, 0);
}

#[test]
fn silent_peers_are_closed_when_their_time_is_over() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.pass(Duration::from_secs(170));
    assert_eq!(stage.closed, []);
    stage.pass(Duration::from_secs(30));
    assert_eq!(stage.closed, [peer]);
}

#[test]
fn a_peer_that_takes_nothing_is_closed_and_holds_nothing_meanwhile() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.takes.push_back(0);
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    assert!(stage.shard.cache.is_idle(), "nothing is pinned for it");
    for _ in 0..8 {
        stage.pass(Duration::from_secs(10));
        stage.say(peer, &[Message::KeepAlive]);
    }
    assert_eq!(stage.closed, [peer]);
}

fn check_changed(change: impl Fn(&mut FileStamp), expected: Cause) {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB, MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    let mut changed = stamp(1 << 20);
    change(&mut changed);
    stage.stamps.insert(1, changed);
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    assert_eq!(answers(&stage, peer, 8).len(), 1, "the other file is as it was");
    stage.say(peer, &[request(4, 0, BLOCK_LEN)]);
    assert_eq!(stage.closed, [peer]);
    assert_eq!(
        answers(&stage, peer, 8).len(),
        1,
        "nothing of the changed file is sent"
    );
    let [
        Event::TorrentFailed {
            info_hash: INFO_HASH,
            failure,
        },
    ] = stage.events.as_slice()
    else {
        panic!("one failure is told: {:?}", stage.events);
    };
    assert_eq!(failure.cause, expected);
}

#[test]
fn a_file_that_changed_ends_its_torrent_and_is_not_sent() {
    check_changed(|stamp| stamp.modified_ns += 1, Cause::Written);
    check_changed(|stamp| stamp.inode += 1, Cause::Replaced);
    check_changed(|stamp| stamp.links = 0, Cause::Deleted);
    check_changed(|stamp| stamp.size = 5, Cause::Resized { from: 1 << 20, to: 5 });
}

#[test]
fn a_deleted_file_is_noticed_while_its_blocks_come_from_the_cache() {
    let mut stage = Stage::new(16, 4, 1 << 18, &[1 << 18]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    stage.stamps.insert(
        0,
        FileStamp {
            links: 0,
            ..stamp(1 << 18)
        },
    );
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    assert_eq!(
        answers(&stage, peer, 1).len(),
        2,
        "verified bytes in memory stay right"
    );
    stage.pass(Duration::from_secs(5));
    assert_eq!(stage.closed, [peer]);
}

#[test]
fn a_file_in_use_is_looked_at_again_and_again() {
    let mut stage = Stage::new(16, 4, 1 << 18, &[1 << 18]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    for _ in 0..3 {
        stage.looked_at.clear();
        stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
        stage.pass(Duration::from_secs(5));
        assert!(stage.looked_at.contains(&0));
    }
}

/// A control message and the run behind it, of which the socket takes any number of bytes.
#[test]
fn a_send_may_be_cut_at_any_byte() {
    let payload = payload(&[MIB]);
    let block = |place| BlockRequest {
        index: 0,
        begin: place * BLOCK_LEN,
        length: BLOCK_LEN,
    };
    let all = [0, 1, 2, 3].map(|place| Message::Request(block(place)));
    for cut in (0..60).chain([BLOCK_LEN, BLOCK_LEN + 30, BLOCK_LEN + 31]) {
        let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
        let peer = stage.peer(0, true, &[Message::Interested]);
        // All of it is in memory, so that runs are ready when they are planned.
        let other = stage.peer(1, true, &[Message::Interested]);
        stage.say(other, &all);
        // The first send is not taken: a reject and a run pile up behind it.
        stage.takes.extend([0, u32::MAX, cut]);
        stage.say(peer, &all[..1]);
        stage.say(peer, &all[1..]);
        stage.say(peer, &[Message::Cancel(block(3))]);
        stage.drain();
        let mut answered = Vec::new();
        for (block, data) in answers(&stage, peer, 4) {
            answered.push((block.begin / BLOCK_LEN, data.is_some()));
            if let Some(data) = data {
                check_block(&payload, 1 << 18, block, &data);
            }
        }
        answered.sort_unstable();
        assert_eq!(answered, [(0, true), (1, true), (2, true), (3, false)], "{cut}");
    }
}

/// The first block of an extent. Pieces are as long as extents here.
fn first_of(extent: u32) -> Message<'static> {
    request(extent, 0, BLOCK_LEN)
}

/// All blocks of an extent, which make one run.
fn run_of(extent: u32) -> Vec<Message<'static>> {
    (0..16)
        .map(|block| request(extent, block * BLOCK_LEN, BLOCK_LEN))
        .collect()
}

/// A stage whose file of 96 extents is open, and peers who have shown that they take whole runs.
fn opened(peers: u32) -> (Stage, Vec<Socket>) {
    let mut stage = Stage::new(100, 0, 1 << 18, &[24 * MIB]);
    let peers = (0..peers).map(|slot| stage.peer(slot, true, &[Message::Interested]));
    let peers: Vec<Socket> = peers.collect();
    stage.say(peers[0], &[first_of(95)]);
    for peer in &peers {
        stage.shard.peers.talking(*peer).unwrap().run_blocks = RUN_BLOCKS_MAX;
    }
    stage.read_offsets.clear();
    (stage, peers)
}

fn count_reads(ops: &[Op]) -> usize {
    ops.iter().filter(|op| matches!(op, Op::Read { .. })).count()
}

#[test]
fn a_peer_has_a_few_runs_read_ahead() {
    let (mut stage, peers) = opened(1);
    let ops = stage.hear(&[(peers[0], (0..10).flat_map(run_of).collect())]);
    assert_eq!(count_reads(&ops), RUNS_AHEAD_MAX);
}

#[test]
fn reads_under_way_have_a_maximum() {
    let (mut stage, peers) = opened(30);
    let much = |index: u32| (3 * index..3 * index + 3).flat_map(run_of).collect();
    let said: Vec<_> = peers.into_iter().zip((0..).map(much)).collect();
    let ops = stage.hear(&said);
    assert_eq!(count_reads(&ops), READS_MAX);
}

#[test]
fn who_asked_first_is_served_first() {
    let (mut stage, peers) = opened(3);
    let said: Vec<_> = peers
        .iter()
        .zip(0..)
        .map(|(peer, extent)| (*peer, vec![first_of(extent)]))
        .collect();
    stage.say_together(&said);
    assert_eq!(stage.read_offsets, [0, 1 << 18, 2 << 18]);
}

/// One asks for much and another for little: after its share of one run the first has to wait.
#[test]
fn a_turn_is_one_run() {
    let (mut stage, peers) = opened(2);
    let much = (0..3).flat_map(run_of).collect();
    stage.say_together(&[(peers[0], much), (peers[1], vec![first_of(9)])]);
    assert_eq!(stage.read_offsets, [0, 9 << 18, 1 << 18, 2 << 18]);
}

#[test]
fn padding_is_never_looked_for_on_disk() {
    let files = [1_000, -261_144, 300_000];
    let mut stage = Stage::new(16, 8, 1 << 18, &files);
    let peer = stage.peer(0, true, &[Message::Interested]);
    for _ in 0..3 {
        stage.say(
            peer,
            &[
                request(0, 0, BLOCK_LEN),
                request(0, BLOCK_LEN, BLOCK_LEN),
                request(1, 0, BLOCK_LEN),
            ],
        );
        stage.pass(Duration::from_secs(5));
    }
    assert_eq!(stage.events, []);
    assert_eq!(answers(&stage, peer, 3).len(), 9);
    assert!(
        stage.looked_at.contains(&0) && stage.looked_at.contains(&2),
        "{:?}",
        stage.looked_at
    );
    assert!(!stage.looked_at.contains(&1), "there is no such file");
}

/// A peer that does not read makes us owe it rejects for ever; what waits for it stays bounded.
#[test]
fn what_a_peer_is_owed_is_bounded() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.takes.push_back(0);
    let requests: Vec<Message<'_>> = (0..400).map(|i| request(i % 4, 0, BLOCK_LEN)).collect();
    let mut owed = 0;
    for _ in 0..100 {
        stage.say(peer, &requests);
        stage.say(peer, &[Message::NotInterested, Message::Interested]);
        owed = owed.max(
            stage
                .shard
                .peers
                .talking(peer)
                .map_or(0, |talking| talking.outbox.len()),
        );
    }
    assert_eq!(stage.closed, [peer]);
    assert!(owed < OUTBOX_LEN_MAX + 20_000, "{owed} bytes waited");
}

#[test]
fn more_cancels_than_requests_are_not_searched_for() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    let cancel = |begin| {
        Message::Cancel(BlockRequest {
            index: 3,
            begin,
            length: BLOCK_LEN,
        })
    };
    stage.takes.push_back(0);
    let first_run = (0..4).map(|block| request(0, block * BLOCK_LEN, BLOCK_LEN));
    let waiting = [request(3, 0, BLOCK_LEN), request(3, BLOCK_LEN, BLOCK_LEN)];
    stage.say(peer, &first_run.chain(waiting).collect::<Vec<_>>());
    for _ in 0..1_000 {
        stage.say(peer, &[cancel(0)]);
    }
    assert_eq!(stage.shard.peers.talking(peer).unwrap().cancellable, 0);
    stage.drain();
    let rejected = answers(&stage, peer, 4)
        .iter()
        .filter(|(_, data)| data.is_none())
        .count();
    assert_eq!(
        rejected, 1,
        "the one that waited was taken back, the rest is noise"
    );
}

/// Runs are of four blocks at first, and three are read ahead: what is asked for after sixteen waits.
#[test]
fn a_cancel_takes_back_what_it_names_and_nothing_else() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.takes.push_back(0);
    let blocks: Vec<BlockRequest> = (0..20)
        .map(|block| BlockRequest {
            index: block / 16,
            begin: block % 16 * BLOCK_LEN,
            length: BLOCK_LEN,
        })
        .collect();
    let requests: Vec<Message<'_>> = blocks.iter().map(|block| Message::Request(*block)).collect();
    stage.say(peer, &requests);
    stage.say(peer, &[Message::Cancel(blocks[18])]);
    stage.drain();
    for (block, data) in answers(&stage, peer, 4) {
        assert_eq!(data.is_none(), block == blocks[18], "{block:?}");
    }
    assert_eq!(answers(&stage, peer, 4).len(), 20);
}

#[test]
fn a_peer_that_is_choked_gets_nothing_of_what_was_rejected_when_it_is_unchoked() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.takes.push_back(0);
    let requests: Vec<Message<'_>> = (0..16)
        .map(|block| request(0, block * BLOCK_LEN, BLOCK_LEN))
        .collect();
    stage.say(peer, &requests);
    stage.say(peer, &[Message::NotInterested]);
    stage.say(peer, &[Message::Interested]);
    stage.drain();
    assert_eq!(answers(&stage, peer, 4).len(), 16, "each is answered once");
}

#[test]
fn a_file_touched_for_no_visible_reason_waits_until_it_is_verified_again() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    let touched = FileStamp {
        changed_ns: 99,
        ..stamp(1 << 20)
    };
    stage.stamps.insert(0, touched);
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    let [Event::FileSuspect { info_hash, .. }] = stage.events[..] else {
        panic!("{:?}", stage.events)
    };
    assert_eq!(answers(&stage, peer, 4).len(), 0);
    assert!(stage.shard.cache.is_idle(), "nothing is held meanwhile");
    stage.command(Command::TorrentVerified {
        info_hash,
        stamps: vec![Some(touched)],
    });
    stage.turn(Vec::new());
    assert_eq!(answers(&stage, peer, 4).len(), 1);
}

/// Gives the torrent up; what is asked for then.
fn give_up(stage: &mut Stage) -> Vec<Op> {
    let file = stage
        .shard
        .torrents
        .active(TorrentId(0))
        .unwrap()
        .layout
        .files()
        .next()
        .unwrap()
        .0;
    let mut ops = Vec::new();
    let info_hash = INFO_HASH;
    let command = Command::FileRefuted { info_hash, file };
    stage.shard.command(stage.now, command, &mut ops);
    ops
}

#[test]
fn a_file_that_opens_too_late_is_closed_again() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    let ops = stage.hear(&[(peer, vec![request(0, 0, BLOCK_LEN)])]);
    let open = ops.iter().find_map(|op| match op {
        Op::Open { token, .. } => Some(*token),
        _ => None,
    });
    give_up(&mut stage);
    let opened = Opened {
        file: File(7),
        stamp: stamp(1 << 20),
    };
    let ops = stage.told(Completion::Opened {
        token: open.expect("the file is opened"),
        result: Ok(opened),
    });
    assert!(matches!(ops[..], [Op::CloseFile { file: File(7) }]), "{ops:?}");
}

#[test]
fn a_framed_extent_of_a_torrent_that_is_gone_is_discarded_after_its_last_send() {
    let mut stage = Stage::new(16, 4, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    let ops = stage.hear(&[(peer, vec![request(0, 0, BLOCK_LEN)])]);
    let [Op::SendFramed { frame: sent, .. }] = ops[..] else {
        panic!("{ops:?}");
    };
    let ops = give_up(&mut stage);
    assert!(!ops.iter().any(|op| matches!(op, Op::Discard { .. })), "{ops:?}");
    let ops = stage.told(Completion::Sent {
        socket: peer,
        result: Ok(BLOCK_LEN),
    });
    assert!(
        matches!(ops[..], [Op::Discard { frame }] if frame == sent),
        "{ops:?}"
    );
}

#[test]
fn links_and_permissions_do_not_disturb() {
    let mut stage = Stage::new(16, 0, 1 << 18, &[MIB]);
    let peer = stage.peer(0, true, &[Message::Interested]);
    stage.stamps.insert(
        0,
        FileStamp {
            changed_ns: 99,
            links: 2,
            mode: 0o100_600,
            ..stamp(1 << 20)
        },
    );
    stage.say(peer, &[request(0, 0, BLOCK_LEN)]);
    assert_eq!(answers(&stage, peer, 4).len(), 1);
    assert_eq!(stage.events, []);
}

#[test]
fn stopping_closes_everything_and_says_so() {
    let mut stage = Stage::new(16, 4, 1 << 18, &[MIB]);
    let peers = [
        stage.peer(0, true, &[Message::Interested]),
        stage.peer(1, false, &[]),
    ];
    stage.command(Command::Stop);
    assert_eq!(stage.closed, peers);
    assert_eq!(stage.events, [Event::Stopped]);
}

/// Files of every kind: large, tiny, empty, padding.
fn files() -> impl Strategy<Value = Vec<i64>> {
    let len = proptest::prop_oneof![
        1_i64..200,
        1_000_i64..700_000,
        (1_i64..9000).prop_map(|len| -len),
        0_i64..1
    ];
    proptest::collection::vec(len, 1..12)
        .prop_filter("some payload", |files| files.iter().any(|len| *len > 0))
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

    /// Whatever the layout, the requests, the memory and what sockets take: every request is answered once, in a
    /// valid stream, with the right bytes, and at the end nothing is held.
    #[test]
    fn every_request_is_answered_with_the_right_bytes(
        files in files(),
        piece_length in proptest::sample::select(&[16_384_u32, 32_768, 65_536, 100_000, 262_144][..]),
        extents in 2_u32..20,
        frames in 0_u32..5,
        picks in proptest::collection::vec((any::<u32>(), any::<bool>()), 1..120),
        takes in proptest::collection::vec(0_u32..300_000, 0..60),
    ) {
        let lengths = files.iter().map(|len| FileLength { len: len.unsigned_abs(), padding: *len < 0 });
        let layout = Layout::new(piece_length, lengths).unwrap();
        let blocks: Vec<_> = layout.piece_indices().flat_map(|piece| layout.blocks(piece)).collect();
        let mut stage = Stage::new(extents, frames, piece_length, &files);
        let peers = [stage.peer(0, true, &[Message::Interested]), stage.peer(1, true, &[Message::Interested])];
        stage.takes.extend(takes);
        let mut asked = [Vec::new(), Vec::new()];
        for (pick, which) in picks {
            let block = BlockRequest::from(blocks[pick as usize % blocks.len()]);
            asked[usize::from(which)].push(block);
            stage.say(peers[usize::from(which)], &[Message::Request(block)]);
        }
        stage.drain();
        stage.turn(Vec::new());
        stage.drain();
        prop_assert_eq!(&stage.closed, &[]);
        let payload = payload(&files);
        for (peer, mut asked) in peers.into_iter().zip(asked) {
            let mut answered = Vec::new();
            for (block, data) in answers(&stage, peer, layout.pieces()) {
                if let Some(data) = data {
                    check_block(&payload, piece_length, block, &data);
                }
                answered.push(block);
            }
            let key = |block: &BlockRequest| (block.index, block.begin);
            answered.sort_by_key(key);
            asked.sort_by_key(key);
            prop_assert_eq!(answered, asked);
        }
        prop_assert!(stage.shard.cache.is_idle());
        prop_assert!(stage.shard.reads.is_empty() && stage.shard.fills.is_empty());
    }
}
