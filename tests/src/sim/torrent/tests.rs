use super::{Torrent, generate};
use crate::sample::Block;

#[test]
fn content_is_the_same_however_it_is_cut() {
    let mut whole = [0; 1000];
    generate(7, 12_345, &mut whole);
    let mut parts = [0; 1000];
    for (index, part) in parts.chunks_mut(37).enumerate() {
        generate(7, 12_345 + 37 * index as u64, part);
    }
    assert_eq!(whole, parts);
    let mut other = [0; 1000];
    generate(8, 12_345, &mut other);
    assert_ne!(whole, other);
}

#[test]
fn padding_is_zero_and_the_last_piece_is_short() {
    let torrent = Torrent::new(1, 1 << 14, &[10_000, -6_384, 20_000]);
    assert_eq!(torrent.pieces(), 3);
    assert_eq!(torrent.len_of(2), Some(20_000 - (1 << 14)));
    assert_eq!(torrent.len_of(3), None);
    let mut bytes = [1; 16_384];
    torrent.read(0, &mut bytes);
    assert!(bytes[10_000..].iter().all(|byte| *byte == 0));
    assert!(bytes[..10_000].iter().any(|byte| *byte != 0));
    let place = |offset, len| {
        torrent.place_of(Block {
            piece: 2,
            offset,
            len,
        })
    };
    assert_eq!(place(3_000, 616), Some(2 * 16_384 + 3_000));
    assert_eq!(place(3_000, 617), None);
}
