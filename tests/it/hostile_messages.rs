//! Cases 22 to 25, 27, 28 and 31 of the hostile inputs: single messages that a peer must not send.
//!
//! Each stands in a table with what must come of it. Whatever it is, an honest peer is served afterwards.

use std::io;

use shoal_tests::bencode::Value;
use shoal_tests::peer::{FAST_AND_EXTENDED, Message, PLAIN, Peer, frame, numbers};
use shoal_tests::sample::{BLOCK_LEN, Block};

use crate::target::Target;

/// What must come of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The connection is closed: nobody sends this by mistake.
    HangUp,
    /// The request is answered by a reject (BEP 6) or by closing, but never by a piece.
    NotServed,
    /// It changes nothing: the peer is served on the same connection.
    Harmless,
}

fn check(target: &Target, name: &str, reserved: [u8; 8], bytes: &[u8], expected: Outcome) {
    let mut peer =
        Peer::unchoked(target.address(), target.sample.info_hash(), reserved).expect("a peer is welcome");
    let block = Block {
        piece: 3,
        offset: 0,
        len: BLOCK_LEN,
    };
    let sent = peer.send(bytes).and_then(|()| peer.say(&Message::Request(block)));
    let answer = sent.and_then(|()| first_answer(&mut peer));
    match (expected, answer) {
        (Outcome::HangUp | Outcome::NotServed, Err(error)) => {
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{name}");
        }
        (Outcome::NotServed, Ok(Message::Reject(rejected))) => assert_ne!(rejected, block, "{name}"),
        (
            Outcome::Harmless,
            Ok(Message::Piece {
                piece: 3,
                offset: 0,
                data,
            }),
        ) => {
            assert!(data == target.sample.bytes_of(block), "{name}");
        }
        (_, answer) => panic!("{name}: expected {expected:?}, was answered {answer:?}"),
    }
}

fn first_answer(peer: &mut Peer) -> io::Result<Message> {
    peer.receive_until(|message| match message {
        // Nothing that the scripted peer does not know is a seed's to say.
        Message::Piece { .. } | Message::Reject(_) | Message::Unknown { .. } => Some(message),
        _ => None,
    })
}

fn request(piece: u32, offset: u32, len: u32) -> Vec<u8> {
    Message::Request(Block { piece, offset, len }).encode()
}

#[test]
fn lengths_that_no_message_has() {
    let target = Target::start();
    for len in [u32::MAX, i32::MAX as u32, 1 << 24, 2 * 1024 * 1024] {
        check(
            &target,
            &format!("length {len}"),
            FAST_AND_EXTENDED,
            &numbers(&[len]),
            Outcome::HangUp,
        );
    }
    // The id is there, so a lazy parser would wait for the rest of a request of 4 GiB.
    let giant = [u32::MAX.to_be_bytes().as_slice(), &[6, 0, 0, 0]].concat();
    check(
        &target,
        "a request of 4 GiB",
        FAST_AND_EXTENDED,
        &giant,
        Outcome::HangUp,
    );
    target.assert_unharmed();
}

#[test]
fn payloads_too_short_or_too_long_for_their_id() {
    let target = Target::start();
    let cases: [(&str, u8, usize); 16] = [
        ("choke with a payload", 0, 1),
        ("unchoke with a payload", 1, 4),
        ("interested with a payload", 2, 1),
        ("not interested with a payload", 3, 100),
        ("have without a piece", 4, 0),
        ("have with half a piece", 4, 2),
        ("have with two pieces", 4, 8),
        ("request cut short", 6, 11),
        ("request too long", 6, 13),
        ("piece without an offset", 7, 7),
        ("cancel cut short", 8, 8),
        ("have all with a payload", 14, 1),
        ("have none with a payload", 15, 1),
        ("reject cut short", 16, 11),
        ("allowed fast cut short", 17, 3),
        ("extended without an id", 20, 0),
    ];
    for (name, id, len) in cases {
        check(
            &target,
            name,
            FAST_AND_EXTENDED,
            &frame(id, &vec![0; len]),
            Outcome::HangUp,
        );
    }
    target.assert_unharmed();
}

#[test]
fn requests_for_what_is_not_there() {
    let target = Target::start();
    let pieces = target.sample.pieces();
    let piece_len = target.sample.piece_len();
    let cases = [
        ("the piece after the last", request(pieces, 0, BLOCK_LEN)),
        ("the last number", request(u32::MAX, 0, BLOCK_LEN)),
        ("no bytes", request(0, 0, 0)),
        ("1 MiB", request(0, 0, 1 << 20)),
        ("4 GiB", request(0, 0, u32::MAX)),
        ("beyond the piece", request(0, piece_len, BLOCK_LEN)),
        ("across the end of the piece", request(0, piece_len - 1, 2)),
        ("across the end of the torrent", request(pieces - 1, 0, BLOCK_LEN)),
        ("an offset that overflows", request(0, u32::MAX, BLOCK_LEN)),
        (
            "an end that wraps around to zero",
            request(1, u32::MAX - BLOCK_LEN + 1, BLOCK_LEN),
        ),
    ];
    for (name, bytes) in &cases {
        check(&target, name, FAST_AND_EXTENDED, bytes, Outcome::NotServed);
        check(&target, name, PLAIN, bytes, Outcome::HangUp);
    }
    target.assert_unharmed();
}

#[test]
fn pieces_that_do_not_exist_are_not_announced() {
    let target = Target::start();
    let pieces = target.sample.pieces();
    for piece in [pieces, pieces + 1, 1 << 31, u32::MAX] {
        let have = Message::Have { piece }.encode();
        check(
            &target,
            &format!("have {piece} of {pieces}"),
            FAST_AND_EXTENDED,
            &have,
            Outcome::HangUp,
        );
    }
    let have = Message::Have { piece: pieces - 1 }.encode();
    check(
        &target,
        "have of the last piece",
        FAST_AND_EXTENDED,
        &have,
        Outcome::Harmless,
    );
    target.assert_unharmed();
}

#[test]
fn bitfields_of_the_wrong_size_and_at_the_wrong_time() {
    let target = Target::start();
    let len = target.sample.pieces().div_ceil(8) as usize;
    let first = |name: &str, bits: Vec<u8>, expected: Outcome| {
        check_first(&target, name, &Message::Bitfield { bits }.encode(), expected);
    };
    first("a bitfield of no pieces", vec![0; len], Outcome::Harmless);
    first("an empty bitfield", vec![], Outcome::HangUp);
    first("a byte too short", vec![0; len - 1], Outcome::HangUp);
    first("a byte too long", vec![0; len + 1], Outcome::HangUp);
    first("64 KiB too long", vec![0; len + 65_536], Outcome::HangUp);
    // 37 pieces: the last three bits of the fifth byte stand for nothing.
    first(
        "a spare bit set",
        [vec![0; len - 1], vec![0x01]].concat(),
        Outcome::HangUp,
    );
    let bitfield = Message::Bitfield { bits: vec![0; len] }.encode();
    // BEP 3 wants it first and once, but aria2 sends another one in place of many haves.
    check_first(
        &target,
        "a bitfield twice",
        &bitfield.repeat(2),
        Outcome::Harmless,
    );
    check_first(
        &target,
        "have none and then a bitfield",
        &[frame(15, &[]), bitfield.clone()].concat(),
        Outcome::Harmless,
    );
    check(
        &target,
        "a bitfield after other messages",
        FAST_AND_EXTENDED,
        &bitfield,
        Outcome::Harmless,
    );
    // BEP 6 leaves no such room for its own two.
    check_first(
        &target,
        "a bitfield and then have none",
        &[bitfield, frame(15, &[])].concat(),
        Outcome::HangUp,
    );
    target.assert_unharmed();
}

/// As [`check`], with `bytes` as the first message of the connection.
fn check_first(target: &Target, name: &str, bytes: &[u8], expected: Outcome) {
    let mut peer = target.greet();
    let unchoked = peer.send(bytes).and_then(|()| peer.say(&Message::Interested));
    let unchoked =
        unchoked.and_then(|()| peer.receive_until(|message| (message == Message::Unchoke).then_some(())));
    assert_eq!(
        unchoked.is_ok(),
        expected == Outcome::Harmless,
        "{name}: {unchoked:?}"
    );
}

#[test]
fn pieces_that_nobody_asked_for_are_refused() {
    let target = Target::start();
    let piece = |piece, offset, len| {
        Message::Piece {
            piece,
            offset,
            data: vec![7; len],
        }
        .encode()
    };
    let cases = [
        ("a block that could be right", piece(0, 0, BLOCK_LEN as usize)),
        ("an empty block", piece(0, 0, 0)),
        ("a piece that does not exist", piece(u32::MAX, 0, 100)),
        ("an offset that does not exist", piece(0, u32::MAX, 100)),
    ];
    for (name, bytes) in &cases {
        check(&target, name, FAST_AND_EXTENDED, bytes, Outcome::HangUp);
    }
    target.assert_unharmed();
}

#[test]
fn messages_that_a_seed_has_no_use_for_are_harmless() {
    let target = Target::start();
    let block = Block {
        piece: 0,
        offset: 0,
        len: BLOCK_LEN,
    };
    let cases = [
        ("keep-alives", Message::KeepAlive.encode().repeat(100)),
        (
            "choke and unchoke",
            [Message::Choke.encode(), Message::Unchoke.encode()]
                .concat()
                .repeat(50),
        ),
        ("interested again", Message::Interested.encode().repeat(50)),
        ("a cancel of nothing", Message::Cancel(block).encode()),
        ("a suggestion", Message::Suggest { piece: 1 }.encode()),
        ("an allowed piece", Message::AllowedFast { piece: 1 }.encode()),
        ("a DHT port", frame(9, &[0x1a, 0xe1])),
    ];
    for (name, bytes) in &cases {
        check(&target, name, FAST_AND_EXTENDED, bytes, Outcome::Harmless);
    }
    target.assert_unharmed();
}

#[test]
fn unknown_messages_are_skipped() {
    // BEP 3 names no answer to an id that is not known; skipping it is what lets the protocol grow.
    let target = Target::start();
    for id in [10, 11, 12, 18, 19, 21, 99, 254, 255] {
        check(
            &target,
            &format!("id {id}"),
            FAST_AND_EXTENDED,
            &frame(id, &[0; 40]),
            Outcome::Harmless,
        );
    }
    target.assert_unharmed();
}

/// BEP 52: version 2 is not spoken here, so that its messages are like any other that is not known.
#[test]
fn hashes_of_version_2_are_not_given_to_who_announces_it() {
    // The fourth-highest bit of the last reserved byte: this peer would upgrade a torrent of version 1.
    let mut reserved = FAST_AND_EXTENDED;
    reserved[7] |= 0x10;
    let target = Target::start();
    // A root of 32 bytes; base layer, index, length and proof layers, all as large as they can be.
    let huge = [[7; 32].as_slice(), &[0xff; 16]].concat();
    for (name, id) in [("hash request", 21), ("hashes", 22), ("hash reject", 23)] {
        check(&target, name, reserved, &frame(id, &huge), Outcome::Harmless);
        check(&target, name, reserved, &frame(id, &[]), Outcome::Harmless);
    }
    let storm = frame(21, &huge).repeat(10_000);
    check(
        &target,
        "hash requests without end",
        reserved,
        &storm,
        Outcome::Harmless,
    );
    target.assert_unharmed();
}

#[test]
fn fast_messages_from_a_peer_that_did_not_announce_them() {
    let target = Target::start();
    for id in [14, 15] {
        check(
            &target,
            &format!("id {id}"),
            PLAIN,
            &frame(id, &[]),
            Outcome::HangUp,
        );
    }
    target.assert_unharmed();
}

fn extended(id: u8, payload: &[u8]) -> Vec<u8> {
    Message::Extended {
        id,
        payload: payload.to_vec(),
    }
    .encode()
}

#[test]
fn extension_handshakes_that_are_odd_but_honest() {
    let target = Target::start();
    let names = Value::dictionary([("ut_metadata", Value::Integer(1)), ("ut_pex", Value::Integer(2))]);
    let honest = Value::dictionary([
        ("m", names),
        ("reqq", Value::Integer(500)),
        ("v", Value::bytes("test 1.0")),
        ("yourip", Value::bytes([127, 0, 0, 1])),
    ]);
    let cases = [
        ("an ordinary one", honest.encode()),
        ("an empty one", b"de".to_vec()),
        (
            "unknown keys",
            honest
                .clone()
                .with("zz", Value::List(vec![Value::Integer(1)]))
                .encode(),
        ),
        (
            "a negative queue",
            honest.clone().with("reqq", Value::Integer(-1)).encode(),
        ),
        (
            "an unbounded queue",
            honest.clone().with("reqq", Value::Integer(i64::MAX)).encode(),
        ),
        (
            "a long client name",
            honest.clone().with("v", Value::bytes("x".repeat(4096))).encode(),
        ),
        (
            "an address of five bytes",
            honest.with("yourip", Value::bytes([1; 5])).encode(),
        ),
    ];
    for (name, payload) in &cases {
        check(
            &target,
            name,
            FAST_AND_EXTENDED,
            &extended(0, payload),
            Outcome::Harmless,
        );
    }
    check(
        &target,
        "an extension nobody has",
        FAST_AND_EXTENDED,
        &extended(77, b"d1:xi1ee"),
        Outcome::Harmless,
    );
    target.assert_unharmed();
}

#[test]
fn extension_handshakes_that_are_attacks() {
    let target = Target::start();
    let nested = |depth: usize| [b"d1:m".to_vec(), b"l".repeat(depth), b"e".repeat(depth + 1)].concat();
    let many = (0..20_000).map(|index| (format!("{index:05}").into_bytes(), Value::Integer(index)));
    let cases = [
        ("not bencode", b"hello".to_vec()),
        ("not a dictionary", b"i1e".to_vec()),
        (
            "a string that is longer than the message",
            b"d1:v99999999:xe".to_vec(),
        ),
        ("nested 5,000 deep", nested(5_000)),
        (
            "20,000 extensions",
            Value::dictionary([("m", Value::Dictionary(many.collect()))]).encode(),
        ),
        (
            "a client name of 900 kB",
            Value::dictionary([("v", Value::bytes("x".repeat(900_000)))]).encode(),
        ),
    ];
    for (name, payload) in &cases {
        check(
            &target,
            name,
            FAST_AND_EXTENDED,
            &extended(0, payload),
            Outcome::HangUp,
        );
    }
    target.assert_unharmed();
}
