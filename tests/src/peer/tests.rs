use super::{Handshake, Message, PLAIN};
use crate::sample::Block;

/// `message` is `bytes` on the wire (BEP 3, 6, 10), and is read from them.
fn check(message: &Message, bytes: &[u8]) {
    assert_eq!(message.encode(), bytes);
    assert_eq!(Message::decode(&bytes[4..]), *message);
}

#[test]
fn messages_are_as_the_protocol_has_them() {
    let block = Block {
        piece: 1,
        offset: 2,
        len: 3,
    };
    check(&Message::KeepAlive, &[0, 0, 0, 0]);
    check(&Message::Interested, &[0, 0, 0, 1, 2]);
    check(&Message::Have { piece: 258 }, &[0, 0, 0, 5, 4, 0, 0, 1, 2]);
    check(&Message::Bitfield { bits: vec![0x80] }, &[0, 0, 0, 2, 5, 0x80]);
    check(
        &Message::Request(block),
        &[0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
    );
    check(
        &Message::Piece {
            piece: 1,
            offset: 2,
            data: vec![9],
        },
        &[0, 0, 0, 10, 7, 0, 0, 0, 1, 0, 0, 0, 2, 9],
    );
    check(
        &Message::Reject(block),
        &[0, 0, 0, 13, 16, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
    );
    check(
        &Message::Extended {
            id: 0,
            payload: b"de".to_vec(),
        },
        &[0, 0, 0, 4, 20, 0, b'd', b'e'],
    );
    check(
        &Message::Unknown {
            id: 99,
            payload: vec![],
        },
        &[0, 0, 0, 1, 99],
    );
}

#[test]
fn no_two_peers_have_one_id() {
    let [one, other] = [(); 2].map(|()| Handshake::new([0; 20], PLAIN));
    assert_ne!(one.peer_id, other.peer_id);
    assert_eq!(one.encode().len(), 68);
}
