use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use shoal_proto::layout::{BLOCK_LEN, FileLength, Layout};
use shoal_proto::peer_id::PeerId;

use super::{Banned, Blame, Source, Suspect};
use crate::limits::{BANNED_MAX, SUSPECTS_MAX};

fn source(number: u32) -> Source {
    Source {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)), 6881),
        peer_id: PeerId::new([number as u8; 20]),
    }
}

#[test]
fn who_was_banned_first_is_forgotten_first() {
    let mut banned = Banned::default();
    for number in 0..=BANNED_MAX as u32 {
        assert!(banned.insert(source(number)));
        assert!(!banned.insert(source(number)), "once");
    }
    assert!(!banned.has_address(source(0).address));
    assert!(banned.has_address(source(1).address));
    assert!(banned.has_address(source(BANNED_MAX as u32).address));
}

#[test]
fn what_is_remembered_of_wrong_pieces_has_a_bound() {
    const PIECE_BLOCKS: u32 = 1_024;
    let file = FileLength {
        len: 4 << 30,
        padding: false,
    };
    let layout = Layout::new(PIECE_BLOCKS * BLOCK_LEN, [file]).unwrap();
    let mut blame = Blame::default();
    for piece in layout.piece_indices() {
        let suspects = layout.blocks(piece).map(|block| Suspect {
            block,
            source: source(piece.get()),
            digest: [0; 20],
        });
        blame.remember(piece, suspects.collect());
        assert!(blame.suspects(piece), "the newest is known");
        assert!(blame.suspected.contains(&source(piece.get())));
        let blocks: usize = blame.suspects.values().map(Vec::len).sum();
        assert!(blocks <= SUSPECTS_MAX);
        assert_eq!(blame.suspected.len(), blame.suspects.len());
    }
    assert_eq!(blame.suspects.len(), SUSPECTS_MAX / PIECE_BLOCKS as usize);
    let known = *blame.suspects.keys().next().unwrap();
    assert_eq!(blame.recall(known).len(), PIECE_BLOCKS as usize);
    assert!(!blame.suspected.contains(&source(known.get())));
}
