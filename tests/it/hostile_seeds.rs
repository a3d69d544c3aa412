//! Cases 21 to 28 of hostile inputs from the side of who fetches: seeds that lie, stall, flood or break the protocol.
//!
//! Each test starts `shoal download` with two seeds: a hostile one, and an honest one that unchokes only when the
//! hostile one has done what it is there for. In every case the download ends with exit code 0 and every byte
//! right. Nobody is banned unless a test says so, and never the honest one.
//!
//! Where the protocol is broken beyond doubt, the hostile seed must be hung up on before the honest one serves at all.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use shoal_tests::bencode::Value;
use shoal_tests::download::{assert_fetched, events, shoal_download};
use shoal_tests::peer::{FAST_AND_EXTENDED, Handshake, Message, PLAIN, frame, numbers};
use shoal_tests::place::Place;
use shoal_tests::process::{Finished, run};
use shoal_tests::random::Random;
use shoal_tests::sample::{BLOCK_LEN, Block, Sample};
use shoal_tests::scripted_seed::{ScriptedSeed, Visit};

/// Where hostile seeds listen: an address of its own, so that who is banned for their deeds can be told apart.
const HOSTILE_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// How a download beside a hostile seed ended: with everything.
struct Ended {
    finished: Finished,
    hostile: SocketAddr,
}

impl Ended {
    fn assert_nobody_banned(&self) {
        assert_eq!(self.bans(), Vec::<&str>::new(), "{:#?}", self.finished);
    }

    fn assert_only_the_hostile_banned(&self) {
        let bans = self.bans();
        let hostile = format!(r#""{}""#, self.hostile);
        assert!(!bans.is_empty(), "nobody was banned: {:#?}", self.finished);
        assert!(bans.iter().all(|ban| ban.contains(&hostile)), "{bans:?}");
    }

    fn bans(&self) -> Vec<&str> {
        events(&self.finished, "peer_banned").collect()
    }
}

/// Downloads a torrent of 37 pieces, so that the bitfield has spare bits, the last one short.
fn download_beside(misdeed: impl Fn(&mut Visit) -> io::Result<()> + Send + Sync + 'static) -> Ended {
    let place = Place::new();
    let sample = Arc::new(Sample::file("wanted.bin", 36 * 64 * 1024 + 12_345, 64 * 1024));
    let torrent = place.add_metainfo(sample.name(), &sample.metainfo(None));
    let hostile = ScriptedSeed::start(HOSTILE_HOST, &sample, misdeed);
    let ledger = Arc::clone(hostile.ledger());
    let honest = ScriptedSeed::start(Ipv4Addr::LOCALHOST, &sample, move |visit| {
        visit.introduce()?;
        ledger.wait_until(|account| account.misdeeds > 0);
        visit.peer.say(&Message::Unchoke)?;
        visit.serve()
    });
    let peers = [hostile.address(), honest.address()];
    let finished = run(shoal_download(&torrent, &place.data(), &peers));
    assert_fetched(&finished, &sample, &place.data());
    Ended {
        finished,
        hostile: hostile.address(),
    }
}

/// The hostile seed breaks the protocol and must be hung up on; only then does the honest one serve.
fn download_beside_thrown_out(breach: impl Fn(&mut Visit) -> io::Result<()> + Send + Sync + 'static) {
    let ended = download_beside(move |visit| {
        // That it is hung up on while it still speaks is as good.
        let _ = breach(visit);
        visit.peer.expect_hang_up();
        visit.misdeed();
        Ok(())
    });
    ended.assert_nobody_banned();
}

/// As [`download_beside_thrown_out`], for one message after a proper introduction.
fn thrown_out_for(message: Vec<u8>) {
    download_beside_thrown_out(move |visit| {
        visit.welcome()?;
        visit.peer.send(&message)
    });
}

/// The first half of the message that answers a request, and no more.
fn send_half(visit: &mut Visit, block: Block) -> io::Result<()> {
    let Block { piece, offset, .. } = block;
    let data = visit.sample.bytes_of(block).to_vec();
    let message = Message::Piece { piece, offset, data }.encode();
    visit.peer.send(&message[..message.len() / 2])
}

fn introduce_plainly(visit: &mut Visit) -> io::Result<()> {
    visit.greet(PLAIN)?;
    let bits = vec![0xff, 0xff, 0xff, 0xff, 0b1111_1000];
    visit.peer.say(&Message::Bitfield { bits })
}

#[test]
fn case_21_another_protocol() {
    download_beside_thrown_out(|visit| {
        visit.peer.receive_handshake()?;
        visit.peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 65536\r\n\r\n<!doctype html>",
        )
    });
}

#[test]
fn case_21_another_torrent() {
    download_beside_thrown_out(|visit| {
        visit.peer.receive_handshake()?;
        visit
            .peer
            .send(&Handshake::new([7; 20], FAST_AND_EXTENDED).encode())
    });
}

#[test]
fn case_21_our_own_peer_id() {
    download_beside_thrown_out(|visit| {
        let theirs = visit.peer.receive_handshake()?;
        visit.peer.send(&theirs.encode())
    });
}

#[test]
fn case_21_no_handshake_at_all() {
    let ended = download_beside(|visit| {
        visit.misdeed();
        visit.say_no_more()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_22_a_message_of_4_gib() {
    thrown_out_for([&u32::MAX.to_be_bytes()[..], &[7; 4096]].concat());
}

#[test]
fn case_22_messages_without_end_that_say_nothing() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        visit.peer.send(&[0; 4 * 100_000])?;
        visit.misdeed();
        visit.serve()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_23_a_piece_behind_the_end() {
    thrown_out_for(Message::Have { piece: 37 }.encode());
    thrown_out_for(Message::Have { piece: u32::MAX }.encode());
}

#[test]
fn case_23_hints_behind_the_end() {
    thrown_out_for(Message::Suggest { piece: 37 }.encode());
    thrown_out_for(Message::AllowedFast { piece: u32::MAX }.encode());
}

#[test]
fn case_23_blocks_that_do_not_exist() {
    let block = |piece, offset, len| {
        let data = vec![0; len];
        Message::Piece { piece, offset, data }.encode()
    };
    thrown_out_for(block(37, 0, 16_384));
    thrown_out_for(block(0, 65_536, 16_384));
    thrown_out_for(block(36, 0, 16_384));
    thrown_out_for(block(0, u32::MAX - 16_383, 16_384));
}

/// Blocks of lengths that nobody asked for, in place of those that were: they are not taken for an answer.
#[test]
fn case_23_blocks_of_other_lengths() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        for len in [0, 1, BLOCK_LEN - 1, BLOCK_LEN + 1, 2 * BLOCK_LEN, 4 * BLOCK_LEN] {
            let block = visit.next_request()?;
            visit.misdeed();
            visit.send_as(block, vec![0xee; len as usize])?;
        }
        visit.say_no_more()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_23_blocks_at_odd_places() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        for _ in 0..8 {
            let Block { piece, offset, .. } = visit.next_request()?;
            visit.misdeed();
            let data = vec![0xee; 16_383];
            let offset = offset + 1;
            visit.peer.say(&Message::Piece { piece, offset, data })?;
        }
        visit.say_no_more()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_24_bitfields_of_the_wrong_size() {
    for bits in [vec![], vec![0xff; 4], vec![0xff; 6], vec![0xff; 100_000]] {
        download_beside_thrown_out(move |visit| {
            visit.greet(FAST_AND_EXTENDED)?;
            visit.peer.say(&Message::Bitfield { bits: bits.clone() })
        });
    }
}

#[test]
fn case_24_spare_bits() {
    download_beside_thrown_out(|visit| {
        visit.greet(FAST_AND_EXTENDED)?;
        visit.peer.say(&Message::Bitfield { bits: vec![0xff; 5] })
    });
}

/// aria2 sends a bitfield in place of many haves, so one that comes late is no breach; neither is one that takes
/// everything back. What it says last counts.
#[test]
fn case_24_bitfields_late_and_often() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        let mut random = Random::named("bitfields late and often");
        for _ in 0..50 {
            let mut bits = random.bytes(5);
            bits[4] &= 0b1111_1000;
            visit.peer.say(&Message::Bitfield { bits })?;
        }
        visit.misdeed();
        let bits = vec![0; 5];
        visit.peer.say(&Message::Bitfield { bits })?;
        visit.say_no_more()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_24_have_all_twice() {
    thrown_out_for(Message::HaveAll.encode());
}

/// A few blocks that nobody asked for are passed over, right or wrong.
#[test]
fn case_25_blocks_never_asked_for() {
    let ended = download_beside(|visit| {
        visit.introduce()?;
        for block in visit.sample.blocks().into_iter().take(100) {
            visit.send_corrupt(block)?;
        }
        visit.peer.say(&Message::Unchoke)?;
        visit.serve()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_25_blocks_never_asked_for_without_end() {
    download_beside_thrown_out(|visit| {
        visit.introduce()?;
        let blocks = visit.sample.blocks();
        blocks
            .iter()
            .cycle()
            .take(1_000)
            .try_for_each(|block| visit.send_block(*block))
    });
}

#[test]
fn case_25_every_block_twice() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        loop {
            let block = visit.next_request()?;
            visit.send_block(block)?;
            visit.send_corrupt(block)?;
        }
    });
    ended.assert_nobody_banned();
}

/// It answers only what was taken back, with wrong bytes: they come too late to be believed.
#[test]
fn case_25_blocks_after_their_cancel() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        visit.next_request()?;
        visit.misdeed();
        loop {
            if let Message::Cancel(block) = visit.receive()? {
                visit.send_corrupt(block)?;
            }
        }
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_25_every_block_corrupt() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        loop {
            let block = visit.next_request()?;
            visit.send_corrupt(block)?;
        }
    });
    ended.assert_only_the_hostile_banned();
}

/// The first block of every piece is wrong and all others are right.
#[test]
fn case_25_one_block_of_a_piece_corrupt() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        loop {
            match visit.next_request()? {
                block if block.offset == 0 => visit.send_corrupt(block)?,
                block => visit.send_block(block)?,
            }
        }
    });
    ended.assert_only_the_hostile_banned();
}

/// Two seeds send every other block of the same pieces, so that no piece comes from one alone: the one whose block
/// differs in the end is banned, the other is not.
#[test]
fn case_25_who_shares_a_piece_with_a_liar_is_innocent() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        let mut rejected = 0;
        loop {
            let block = visit.next_request()?;
            match block.offset / BLOCK_LEN {
                0 => visit.send_corrupt(block)?,
                // Refused, so that the honest seed is asked for the rest of the piece.
                _ if rejected < 100 => {
                    rejected += 1;
                    visit.peer.say(&Message::Reject(block))?;
                }
                _ => visit.send_block(block)?,
            }
        }
    });
    ended.assert_only_the_hostile_banned();
}

/// Ten thousand requests of a choked peer, and it reads nothing of what is answered.
#[test]
fn case_26_requests_without_end() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        let requests: Vec<u8> = visit
            .sample
            .blocks()
            .iter()
            .cycle()
            .take(10_000)
            .flat_map(|block| Message::Request(*block).encode())
            .collect();
        visit.peer.send(&requests)?;
        visit.misdeed();
        visit.serve()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_27_an_extension_handshake_of_lists_in_lists() {
    thrown_out_for(frame(20, &[&[0][..], &vec![b'l'; 60_000]].concat()));
}

#[test]
fn case_27_an_extension_handshake_of_the_largest_numbers() {
    let ended = download_beside(|visit| {
        visit.greet(FAST_AND_EXTENDED)?;
        for reqq in [0, 1, -1, i64::MAX, i64::MIN] {
            let handshake = Value::dictionary([
                ("m", Value::dictionary([("ut_pex", Value::Integer(1))])),
                ("metadata_size", Value::Integer(i64::MAX)),
                ("reqq", Value::Integer(reqq)),
            ]);
            let payload = handshake.encode();
            visit.peer.say(&Message::Extended { id: 0, payload })?;
        }
        visit.peer.say(&Message::HaveAll)?;
        visit.peer.say(&Message::Unchoke)?;
        visit.misdeed();
        visit.serve()
    });
    ended.assert_nobody_banned();
}

/// BEP 11: 10,000 peers at once, the receiver among them, loopback and port 0.
#[test]
fn case_27_peers_without_end() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        let peers = (0..10_000_u32).flat_map(|peer| [127, 0, 0, (peer % 256) as u8, 0, (peer / 256) as u8]);
        let added = Value::dictionary([("added", Value::Bytes(peers.collect()))]);
        let payload = added.encode();
        for id in [1, 2, 3, 255] {
            let payload = payload.clone();
            visit.peer.say(&Message::Extended { id, payload })?;
        }
        visit.misdeed();
        visit.serve()
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_28_every_request_is_rejected() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        loop {
            let block = visit.next_request()?;
            visit.misdeed();
            visit.peer.say(&Message::Reject(block))?;
        }
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_28_rejects_of_what_was_never_asked_for() {
    download_beside_thrown_out(|visit| {
        visit.introduce()?;
        let blocks = visit.sample.blocks();
        let rejects = blocks.iter().cycle().take(10_000);
        let rejects: Vec<u8> = rejects
            .flat_map(|block| Message::Reject(*block).encode())
            .collect();
        visit.peer.send(&rejects)
    });
    thrown_out_for(frame(16, &numbers(&[37, 0, 16_384])));
}

/// Everything is allowed while it chokes, and nothing of it is served.
#[test]
fn case_28_allowed_fast_that_is_rejected() {
    let ended = download_beside(|visit| {
        visit.introduce()?;
        let pieces = (0..37).cycle().take(10_000);
        let allowed: Vec<u8> = pieces
            .flat_map(|piece| Message::AllowedFast { piece }.encode())
            .collect();
        visit.peer.send(&allowed)?;
        visit.misdeed();
        loop {
            let block = visit.next_request()?;
            visit.peer.say(&Message::Reject(block))?;
            let piece = block.piece;
            visit.peer.say(&Message::AllowedFast { piece })?;
        }
    });
    ended.assert_nobody_banned();
}

#[test]
fn case_28_suggestions_without_end() {
    let ended = download_beside(|visit| {
        visit.introduce()?;
        let pieces = (0..37).cycle().take(10_000);
        let suggested: Vec<u8> = pieces
            .flat_map(|piece| Message::Suggest { piece }.encode())
            .collect();
        visit.peer.send(&suggested)?;
        visit.misdeed();
        visit.peer.say(&Message::Unchoke)?;
        visit.serve()
    });
    ended.assert_nobody_banned();
}

#[test]
fn chokes_and_unchokes_without_end() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        loop {
            let block = visit.next_request()?;
            let storm = [Message::Choke.encode(), Message::Unchoke.encode()].concat();
            visit.peer.send(&storm.repeat(200))?;
            visit.misdeed();
            visit.send_block(block)?;
        }
    });
    ended.assert_nobody_banned();
}

/// Without the fast extension a choke takes back all requests, each time.
#[test]
fn chokes_that_take_back_every_request() {
    let ended = download_beside(|visit| {
        introduce_plainly(visit)?;
        loop {
            visit.peer.say(&Message::Unchoke)?;
            visit.next_request()?;
            visit.peer.say(&Message::Choke)?;
            visit.misdeed();
        }
    });
    ended.assert_nobody_banned();
}

/// It hangs up in the middle of every block, also when it is called again.
#[test]
fn blocks_that_end_with_the_connection() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        let block = visit.next_request()?;
        send_half(visit, block)?;
        visit.misdeed();
        Ok(())
    });
    ended.assert_nobody_banned();
}

/// The rest of the block never comes; somebody else is asked for it.
#[test]
fn a_block_that_stops_in_the_middle() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        let block = visit.next_request()?;
        send_half(visit, block)?;
        visit.misdeed();
        visit.say_no_more()
    });
    ended.assert_nobody_banned();
}

/// It unchokes, is asked, and says no word more.
#[test]
fn a_seed_that_falls_silent() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        visit.next_request()?;
        visit.misdeed();
        visit.say_no_more()
    });
    ended.assert_nobody_banned();
}

#[test]
fn blocks_byte_by_byte() {
    let ended = download_beside(|visit| {
        visit.welcome()?;
        let block = visit.next_request()?;
        let Block { piece, offset, .. } = block;
        let data = visit.sample.bytes_of(block).to_vec();
        let message = Message::Piece { piece, offset, data }.encode();
        message.chunks(1).try_for_each(|byte| visit.peer.send(byte))?;
        visit.misdeed();
        visit.serve()
    });
    ended.assert_nobody_banned();
}
