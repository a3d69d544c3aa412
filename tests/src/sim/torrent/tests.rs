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
fn a_torrent_knows_its_own_bytes() {
    let torrent = Torrent::new(1, 1 << 14, &[1_003, -5, 2_000]);
    for (offset, len) in [
        (0, 3_008),
        (7, 1_500),
        (1_000, 9),
        (1_004, 3),
        (1_009, 100),
        (16, 8),
    ] {
        let mut bytes = vec![0; len];
        torrent.read(offset, &mut bytes);
        assert!(torrent.has(offset, &bytes));
        for place in [0, len / 2, len - 1] {
            bytes[place] ^= 1;
            assert!(!torrent.has(offset, &bytes), "{offset} {len} {place}");
            bytes[place] ^= 1;
        }
    }
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
