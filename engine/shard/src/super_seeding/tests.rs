use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::{FileLength, Layout, PieceIndex};
use shoal_world::Socket;

use super::SuperSeeding;

const PIECES: u32 = 4;

fn layout() -> Layout {
    let len = u64::from(PIECES) * 16_384;
    Layout::new(16_384, [FileLength { len, padding: false }]).unwrap()
}

fn piece(index: u32) -> PieceIndex {
    layout().piece(index).unwrap()
}

fn peer(slot: u32) -> Socket {
    Socket { slot, generation: 0 }
}

/// The number of the piece that a peer is told of which has these.
fn next(seeding: &mut SuperSeeding, socket: Socket, has: &[u32]) -> Option<u32> {
    let mut bits = Bitfield::none(PIECES);
    for index in has {
        bits.set(piece(*index));
    }
    seeding.due.remove(&socket);
    seeding.next(socket, &bits).map(|piece| piece.get())
}

fn with_peers(peers: u32) -> SuperSeeding {
    let mut seeding = SuperSeeding::new(&layout());
    (0..peers).for_each(|slot| seeding.joined(peer(slot)));
    seeding
}

#[test]
fn everybody_who_comes_is_told_of_another_piece() {
    let mut seeding = with_peers(5);
    assert_eq!(seeding.due.len(), 5);
    let told = [0, 1, 2, 3, 4].map(|slot| next(&mut seeding, peer(slot), &[]));
    assert_eq!(told, [Some(0), Some(1), Some(2), Some(3), Some(0)]);
}

#[test]
fn a_peer_is_told_of_no_second_piece_before_it_has_the_first() {
    let mut seeding = with_peers(2);
    assert_eq!(next(&mut seeding, peer(0), &[]), Some(0));
    assert_eq!(next(&mut seeding, peer(0), &[]), None);
    assert_eq!(next(&mut seeding, peer(0), &[0]), Some(1));
}

#[test]
fn a_piece_that_another_peer_has_was_passed_on() {
    let mut seeding = with_peers(3);
    let told = [0, 1, 2].map(|slot| next(&mut seeding, peer(slot), &[]));
    assert_eq!(told, [Some(0), Some(1), Some(2)]);
    seeding.seen(peer(0), piece(0));
    assert!(seeding.due.is_empty(), "that it has it says nothing");
    seeding.seen(peer(2), piece(0));
    assert_eq!(seeding.due.iter().collect::<Vec<_>>(), [&peer(0)]);
    seeding.seen(peer(1), piece(3));
    assert_eq!(
        next(&mut seeding, peer(0), &[0]),
        Some(1),
        "all others are known to one as well"
    );
    assert_eq!(next(&mut seeding, peer(0), &[0, 1]), Some(2));
}

#[test]
fn a_piece_that_came_from_elsewhere_is_told_last() {
    let mut seeding = with_peers(2);
    seeding.seen(peer(1), piece(0));
    assert_eq!(next(&mut seeding, peer(0), &[]), Some(1));
}

#[test]
fn who_leaves_may_not_have_what_it_was_told_of() {
    let mut seeding = with_peers(3);
    assert_eq!(next(&mut seeding, peer(0), &[]), Some(0));
    seeding.left(peer(0));
    seeding.left(peer(0));
    assert_eq!(next(&mut seeding, peer(1), &[]), Some(0));
    seeding.seen(peer(1), piece(0));
    assert!(!seeding.due.contains(&peer(1)));
    seeding.left(peer(2));
    assert!(seeding.due.contains(&peer(1)), "there is nobody to pass it on to");
    seeding.seen(peer(1), piece(0));
    assert_eq!(next(&mut seeding, peer(1), &[0]), Some(1));
}

#[test]
fn who_has_everything_is_told_of_nothing() {
    let mut seeding = with_peers(1);
    assert_eq!(next(&mut seeding, peer(0), &[0, 1, 2, 3]), None);
    assert_eq!(next(&mut seeding, peer(9), &[]), None, "nor is who never came");
}
