//! The ideal sender as a client of another program sees it: over sockets, at more than one address.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Shutdown};
use std::thread;

use super::*;
use crate::data::Recipe;
use crate::load::wire::requests_max;
use crate::seeder::process::free_address;

/// Two pieces of two blocks and one of a few bytes.
const LENGTH: u64 = 4 * 16_384 + 100;

fn torrent() -> (tempfile::TempDir, Torrent) {
    let work = tempfile::tempdir().unwrap();
    let torrent = Recipe::new("ideal", LENGTH, 32_768).prepare(work.path()).unwrap();
    (work, torrent)
}

/// Starts a sender at two addresses.
fn sender(torrent: &Torrent) -> [SocketAddrV4; 2] {
    let port = free_address().unwrap().port();
    let addresses = [2, 3].map(|host| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), port));
    let torrents = [torrent.clone()];
    thread::spawn(move || serve(&torrents, &addresses).unwrap());
    addresses
}

/// Connects as soon as somebody listens, shakes hands; returns the connection and the other side's peer id.
fn connect(address: SocketAddrV4, torrent: &Torrent, offered: Extensions) -> (TcpStream, [u8; 20]) {
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(_) => thread::yield_now(),
        }
    };
    let ours = wire::handshake(torrent.info_hash, *b"-sB0001-some-fetcher", offered);
    stream.write_all(&ours).unwrap();
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs).unwrap();
    (stream, theirs[48..].try_into().unwrap())
}

/// Everything that it sends, once we have stopped sending: it ends the connection when it has read that.
fn rest(mut stream: TcpStream, expected_len: usize) -> Vec<u8> {
    let mut bytes = vec![0; expected_len];
    stream.read_exact(&mut bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let behind = stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(behind, 0, "nothing comes behind what is expected");
    bytes
}

const NONE: Extensions = Extensions {
    fast: false,
    extended: false,
};

const INTERESTED: [u8; 5] = [0, 0, 0, 1, 2];

#[test]
fn every_address_is_a_peer_of_its_own() {
    let (_work, torrent) = torrent();
    let ids = sender(&torrent).map(|address| connect(address, &torrent, NONE).1);
    assert_eq!(BTreeSet::from(ids).len(), 2, "{ids:?}");
}

#[test]
fn blocks_come_in_the_order_of_their_requests_and_one_unchoke_before_them() {
    let (_work, torrent) = torrent();
    let [address, _] = sender(&torrent);
    let (mut stream, _) = connect(address, &torrent, NONE);
    let blocks = [(2, 0, 100), (0, 16_384, 16_384), (1, 0, 16_384), (0, 0, 16_384)];
    let blocks = blocks.map(|(piece, offset, len)| Block { piece, offset, len });
    let mut expected = [&[0, 0, 0, 2, 5, 0b1110_0000][..], &wire::UNCHOKE].concat();
    let mut asked = INTERESTED.to_vec();
    for block in blocks {
        wire::request(&mut asked, block);
        expected.extend(wire::block_header(block));
        let payload = expected.len();
        expected.resize(payload + block.len as usize, 0);
        let begin = u64::from(block.piece) * 32_768 + u64::from(block.offset);
        torrent.content.fill(begin, &mut expected[payload..]);
        asked.extend(INTERESTED);
    }
    stream.write_all(&asked).unwrap();
    assert!(
        rest(stream, expected.len()) == expected,
        "other bytes than expected"
    );
}

#[test]
fn a_peer_with_extensions_hears_have_all_and_how_much_it_may_ask() {
    let (_work, torrent) = torrent();
    let [address, _] = sender(&torrent);
    let all = Extensions {
        fast: true,
        extended: true,
    };
    let (mut stream, _) = connect(address, &torrent, all);
    stream.write_all(&INTERESTED).unwrap();
    let mut expected = wire::seeder_opening(all, 3, REQUESTS_MAX);
    assert_eq!(requests_max(&expected), Some(REQUESTS_MAX));
    expected.extend(wire::UNCHOKE);
    assert_eq!(rest(stream, expected.len()), expected);
}

#[test]
fn what_is_not_a_whole_block_is_refused() {
    let (_work, torrent) = torrent();
    let framed = Framed::new(&torrent).unwrap();
    let answer = |piece, offset, len| framed.answer(Block { piece, offset, len }).ok();
    let frame = FRAME_LEN;
    assert_eq!(answer(1, 16_384, 16_384), Some(3 * frame..4 * frame));
    assert_eq!(answer(2, 0, 100), Some(4 * frame..4 * frame + 113));
    for (piece, offset, len) in [
        (3, 0, 100),
        (2, 0, 16_384),
        (2, 16_384, 100),
        (0, 0, 100),
        (0, 1, 16_384),
        (0, 32_768, 16_384),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        assert_eq!(answer(piece, offset, len), None, "{piece} {offset} {len}");
    }
}

#[test]
fn visits_add_up() {
    let moment = Duration::from_millis;
    let first = Visit::with(None, moment(20), 100);
    let longer = Visit::with(Some(first), moment(50), 11);
    let expected = Visit {
        first_sent: moment(20),
        last_sent: moment(50),
        sent_len: 111,
    };
    assert_eq!(longer, expected);
    assert_eq!(
        Visit::with(None, moment(10), 0).and(longer).first_sent,
        moment(10)
    );
    let told = serde_json::to_string(&longer).unwrap();
    assert_eq!(serde_json::from_str::<Visit>(&told).unwrap(), longer);
}
