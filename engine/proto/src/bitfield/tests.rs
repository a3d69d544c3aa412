use proptest::prelude::*;

use super::{Bitfield, BitfieldError, wire_len};
use crate::layout::PieceIndex;

fn check(bytes: &[u8], pieces: u32, expected: Result<&[u32], BitfieldError>) {
    let present = Bitfield::from_wire(bytes, pieces).map(|field| indices(field.present()));
    assert_eq!(present, expected.map(<[u32]>::to_vec));
}

fn indices(pieces: impl Iterator<Item = PieceIndex>) -> Vec<u32> {
    pieces.map(PieceIndex::get).collect()
}

fn length(len: usize, expected: usize) -> BitfieldError {
    BitfieldError::Length { len, expected }
}

#[test]
fn the_first_piece_is_the_highest_bit() {
    check(&[0b1000_0000], 8, Ok(&[0]));
    check(&[0b0000_0001, 0b0100_0000], 10, Ok(&[7, 9]));
    check(&[0, 0, 0, 0, 0, 0, 0, 1, 0x80], 65, Ok(&[63, 64]));
}

#[test]
fn case_24_a_wrong_size_is_refused() {
    check(&[], 1, Err(length(0, 1)));
    check(&[0, 0], 8, Err(length(2, 1)));
    check(&[0], 9, Err(length(1, 2)));
    check(&[0; 9], 64, Err(length(9, 8)));
}

#[test]
fn case_24_spare_bits_are_refused() {
    check(&[0b0000_0001], 7, Err(BitfieldError::SpareBits));
    check(&[0xff, 0b0010_0000], 10, Err(BitfieldError::SpareBits));
    check(&[0xff, 0b1100_0000], 10, Ok(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
}

#[test]
fn all_and_none_know_themselves() {
    for pieces in [1, 63, 64, 65, 1_024] {
        let (all, none) = (Bitfield::all(pieces), Bitfield::none(pieces));
        assert!(all.is_all() && !all.is_none() && none.is_none() && !none.is_all());
        assert_eq!(
            (all.count(), all.present().count(), all.missing().count()),
            (pieces, pieces as usize, 0)
        );
        assert_eq!(indices(none.missing()), Vec::from_iter(0..pieces));
    }
}

#[test]
fn setting_says_what_changed() {
    let mut field = Bitfield::none(70);
    let piece = PieceIndex::within(69, 70);
    assert!(field.set(piece) && !field.set(piece) && field.has(piece));
    assert_eq!(field.count(), 1);
    assert!(field.clear(piece) && !field.clear(piece) && !field.has(piece));
    assert!(field.is_none());
}

#[test]
#[should_panic(expected = "must come from this torrent's layout")]
fn a_piece_of_another_torrent_is_our_own_mistake() {
    Bitfield::none(10).has(PieceIndex::within(10, 11));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40), pieces in 0_u32..320) {
        if let Ok(field) = Bitfield::from_wire(&bytes, pieces) {
            let mut written = vec![7];
            field.write_wire(&mut written);
            prop_assert_eq!(&written[1..], &bytes);
            prop_assert_eq!(field.present().count() as u32, field.count());
            prop_assert_eq!(field.missing().count() as u32, pieces - field.count());
        }
    }

    #[test]
    fn a_set_of_pieces_reads_back(present in prop::collection::btree_set(0_u32..500, 0..100)) {
        let mut field = Bitfield::none(500);
        for index in &present {
            field.set(PieceIndex::within(*index, 500));
        }
        let mut bytes = Vec::new();
        field.write_wire(&mut bytes);
        prop_assert_eq!(bytes.len(), wire_len(500));
        let read = Bitfield::from_wire(&bytes, 500).unwrap();
        prop_assert_eq!(indices(read.present()), Vec::from_iter(present));
        prop_assert_eq!(read, field);
    }

    #[test]
    fn what_two_sets_share_comes_once_and_in_a_circle(
        ours in prop::collection::btree_set(0_u32..200, 0..60),
        theirs in prop::collection::btree_set(0_u32..200, 0..60),
        start in 0_u32..200,
    ) {
        let field = |of: &std::collections::BTreeSet<u32>| {
            let mut field = Bitfield::none(200);
            for index in of {
                field.set(PieceIndex::within(*index, 200));
            }
            field
        };
        let (a, b) = (field(&ours), field(&theirs));
        let both: Vec<u32> = ours.intersection(&theirs).copied().collect();
        let (before, after): (Vec<u32>, Vec<u32>) = both.iter().partition(|index| **index < start);
        prop_assert_eq!(indices(a.common_from(&b, PieceIndex::within(start, 200))), [after, before].concat());
        prop_assert_eq!(a.common_count(&b) as usize, both.len());
    }
}
