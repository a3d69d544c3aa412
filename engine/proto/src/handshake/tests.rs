use proptest::prelude::*;

use super::{HANDSHAKE_LEN, Handshake, HandshakeError, Reserved};
use crate::info_hash::InfoHash;
use crate::peer_id::PeerId;

fn ours() -> Handshake {
    Handshake {
        reserved: Reserved::NONE.with_fast().with_extension().with_dht(),
        info_hash: InfoHash::V1([0xAA; 20]),
        peer_id: PeerId::ours(*b"abcdefghijkl"),
    }
}

#[test]
fn the_bytes_are_those_of_the_beps() {
    let mut expected = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05".to_vec();
    expected.extend([0xAA; 20]);
    expected.extend(b"-SH0100-abcdefghijkl");
    assert_eq!(ours().encode().as_slice(), expected);
    assert_eq!(Handshake::parse(&ours().encode()), Ok(ours()));
}

#[test]
fn a_version_2_torrent_travels_under_twenty_bytes() {
    let handshake = Handshake {
        info_hash: InfoHash::V2([0xAA; 32]),
        ..ours()
    };
    assert_eq!(handshake.encode(), ours().encode());
}

#[test]
fn case_21_another_protocol_is_refused() {
    for (position, byte) in [(0, 18), (1, b'b'), (19, b'L')] {
        let mut bytes = ours().encode();
        bytes[position] = byte;
        assert_eq!(Handshake::parse(&bytes), Err(HandshakeError::Preamble));
    }
}

#[test]
fn only_what_both_know_is_common() {
    let common = ours().reserved.common(Reserved::NONE.with_fast());
    assert!(common.fast() && !common.extension() && !common.dht());
}

proptest! {
    #[test]
    fn any_bytes_behind_the_preamble_read_back(tail in prop::collection::vec(any::<u8>(), 48)) {
        let mut bytes = [0; HANDSHAKE_LEN];
        bytes[..20].copy_from_slice(b"\x13BitTorrent protocol");
        bytes[20..].copy_from_slice(&tail);
        prop_assert_eq!(Handshake::parse(&bytes).unwrap().encode(), bytes);
    }
}
