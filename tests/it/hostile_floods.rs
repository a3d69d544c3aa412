//! Cases 22, 26 and 28 of the hostile inputs: too much of what is allowed, and peers that never read.
//!
//! What an attack must not do is told by an honest peer that finishes while the attackers hold on.

use std::collections::BTreeSet;
use std::{io, thread};

use shoal_tests::fetch::fetch_all;
use shoal_tests::peer::{FAST_AND_EXTENDED, Message, PLAIN, Peer};
use shoal_tests::process::{allow_many_descriptors, shoal_seed};
use shoal_tests::sample::{BLOCK_LEN, Block, Sample};

use crate::target::Target;

/// Far more than a client asks for at a time: libtorrent sends up to 500 and drops a peer's requests above 2,000.
const FLOOD_LEN: u32 = 10_000;

/// `FLOOD_LEN` requests of 16 bytes that all differ.
fn flood() -> Vec<Block> {
    (0..FLOOD_LEN)
        .map(|index| Block {
            piece: index / 4096,
            offset: index % 4096 * 16,
            len: 16,
        })
        .collect()
}

fn encoded(blocks: &[Block], message: impl Fn(Block) -> Message) -> Vec<u8> {
    blocks.iter().flat_map(|block| message(*block).encode()).collect()
}

#[test]
fn ten_thousand_requests_are_each_answered_or_cost_the_connection() {
    let target = Target::start();
    let mut peer = target.unchoked();
    let mut asked: BTreeSet<_> = flood().into_iter().collect();
    let answered = peer.send(&encoded(&flood(), Message::Request)).and_then(|()| {
        while !asked.is_empty() {
            let block = match peer.receive()? {
                Message::Piece { piece, offset, data } => {
                    let block = Block {
                        piece,
                        offset,
                        len: data.len() as u32,
                    };
                    assert!(
                        data == target.sample.bytes_of(block),
                        "{block:?} differs from the original"
                    );
                    block
                }
                Message::Reject(block) => block,
                _ => continue,
            };
            assert!(
                asked.remove(&block),
                "{block:?} is answered but was not asked for, or twice"
            );
        }
        Ok(())
    });
    assert_served_or_hung_up(answered);
    target.assert_unharmed();
}

fn assert_served_or_hung_up(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn requests_while_choked_are_never_served() {
    let target = Target::start();
    for reserved in [PLAIN, FAST_AND_EXTENDED] {
        let mut peer =
            Peer::greet(target.address(), target.sample.info_hash(), reserved).expect("a peer is welcome");
        // Not interested, so not unchoked. The last request is rejected after all others have been decided; a plain
        // peer is told nothing, but interest brings an unchoke after them.
        let outcome = peer.send(&encoded(&flood(), Message::Request)).and_then(|()| {
            peer.say(&Message::Interested)?;
            peer.receive_until(|message| match message {
                Message::Piece { .. } => panic!("a choked peer was served"),
                Message::Unchoke => Some(()),
                _ => None,
            })
        });
        assert_served_or_hung_up(outcome);
    }
    target.assert_unharmed();
}

#[test]
fn cancel_storms_leave_the_connection_as_it_was() {
    let target = Target::start();
    let mut peer = target.unchoked();
    let requests_and_cancels: Vec<u8> = flood()
        .iter()
        .flat_map(|block| {
            [
                Message::Request(*block).encode(),
                Message::Cancel(*block).encode(),
            ]
            .concat()
        })
        .collect();
    let last = Block {
        piece: 5,
        offset: 0,
        len: BLOCK_LEN,
    };
    let outcome = peer
        .send(&encoded(&flood(), Message::Cancel))
        .and_then(|()| peer.send(&requests_and_cancels))
        .and_then(|()| peer.say(&Message::Request(last)))
        .and_then(|()| {
            peer.receive_until(|message| match message {
                Message::Piece { piece, offset, data } => {
                    let block = Block {
                        piece,
                        offset,
                        len: data.len() as u32,
                    };
                    assert!(
                        data == target.sample.bytes_of(block),
                        "{block:?} differs from the original"
                    );
                    (block == last).then_some(())
                }
                // A storm may exceed what the seed queues: the answer to the last request is an answer all the same.
                Message::Reject(block) => (block == last).then_some(()),
                _ => None,
            })
        });
    assert_served_or_hung_up(outcome);
    target.assert_unharmed();
}

#[test]
fn storms_of_messages_that_mean_nothing_to_a_seed() {
    let target = Target::start();
    let block = Block {
        piece: 0,
        offset: 0,
        len: BLOCK_LEN,
    };
    for message in [
        Message::KeepAlive,
        Message::Reject(block),
        Message::AllowedFast { piece: 2 },
        Message::Suggest { piece: 2 },
        Message::Unknown {
            id: 200,
            payload: vec![1, 2, 3],
        },
        Message::NotInterested,
    ] {
        let mut peer = target.unchoked();
        let outcome = peer
            .send(&message.encode().repeat(100_000))
            .and_then(|()| peer.say(&Message::Interested));
        assert_served_or_hung_up(outcome);
        target.assert_serves();
    }
    target.assert_unharmed();
}

#[test]
fn interest_that_comes_and_goes_ends_with_an_unchoke() {
    let target = Target::start();
    let mut peer = target.greet();
    let wavering = [Message::Interested.encode(), Message::NotInterested.encode()].concat();
    let block = Block {
        piece: 1,
        offset: 0,
        len: BLOCK_LEN,
    };
    let outcome = peer
        .send(&wavering.repeat(5_000))
        .and_then(|()| peer.say(&Message::Interested))
        .and_then(|()| {
            let mut unchoked = false;
            peer.receive_until(|message| match message {
                Message::Unchoke => Some(std::mem::replace(&mut unchoked, true)),
                _ => None,
            })?;
            peer.say(&Message::Request(block))?;
            peer.receive_until(|message| {
                matches!(message, Message::Piece { .. } | Message::Reject(_)).then_some(())
            })
        });
    assert_served_or_hung_up(outcome);
    target.assert_unharmed();
}

#[test]
fn hundreds_of_peers_that_never_read_do_not_slow_the_one_that_does() {
    allow_many_descriptors();
    let sample = Sample::file("wanted.bin", 24 * 1024 * 1024, 256 * 1024);
    let target = Target::start_with(sample, shoal_seed);
    let requests = encoded(&target.sample.blocks()[..250], Message::Request);
    let mut held: Vec<_> = (0..300).map(|_| target.unchoked()).collect();
    for peer in &mut held {
        peer.send(&requests).expect("the seed reads requests");
    }
    target.assert_serves();
    target.assert_serves();
    // They were not dropped to make room: what they asked for is there as soon as they read.
    for peer in &mut held {
        let first = peer.receive_until(|message| matches!(message, Message::Piece { .. }).then_some(()));
        first.expect("a peer that did not read for a moment is kept");
    }
    target.assert_unharmed();
}

#[test]
fn peers_that_vanish_in_the_middle_of_a_block_leave_nothing_behind() {
    allow_many_descriptors();
    let target = Target::start();
    let requests = encoded(&target.sample.blocks(), Message::Request);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut peer = target.unchoked();
                    peer.send(&requests).expect("the seed reads requests");
                    // Dropped with blocks on their way and unread: the kernel answers the rest with a reset.
                    peer.receive_until(|message| matches!(message, Message::Piece { .. }).then_some(()))
                        .expect("the first block comes");
                }
            });
        }
    });
    fetch_all(target.address(), &target.sample).expect("an honest peer is served");
    target.assert_unharmed();
}
