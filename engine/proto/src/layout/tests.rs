use proptest::prelude::*;

use super::{BLOCK_LEN, FileLength, Layout, LayoutError};
use crate::limits::{PIECE_LENGTH_MAX, TOTAL_LEN_MAX};

fn layout(piece_length: u32, lengths: &[u64]) -> Layout {
    Layout::new(
        piece_length,
        lengths.iter().map(|len| FileLength {
            len: *len,
            padding: false,
        }),
    )
    .unwrap()
}

/// Segments as `file: offset + len`.
fn check(layout: &Layout, start: u64, len: u64, expected: &[&str]) {
    let segments: Vec<String> = layout
        .segments(start, len)
        .map(|s| format!("{}: {} + {}", s.file, s.offset, s.len))
        .collect();
    assert_eq!(segments, expected);
}

fn check_refused(piece_length: u32, lengths: &[u64], expected: LayoutError) {
    let files = lengths.iter().map(|len| FileLength {
        len: *len,
        padding: false,
    });
    assert_eq!(Layout::new(piece_length, files), Err(expected));
}

#[test]
fn one_file_is_one_segment() {
    let layout = layout(1024, &[5000]);
    assert_eq!(layout.pieces(), 5);
    check(&layout, 0, 5000, &["0: 0 + 5000"]);
    check(&layout, 4999, 1, &["0: 4999 + 1"]);
    check(&layout, 100, 0, &[]);
    check(&layout, 5000, 0, &[]);
}

#[test]
fn segments_cross_files_and_skip_empty_ones() {
    let layout = layout(1024, &[0, 10, 0, 0, 20, 0, 5]);
    check(&layout, 0, 35, &["1: 0 + 10", "4: 0 + 20", "6: 0 + 5"]);
    check(&layout, 10, 20, &["4: 0 + 20"]);
    check(&layout, 9, 2, &["1: 9 + 1", "4: 0 + 1"]);
    check(&layout, 30, 5, &["6: 0 + 5"]);
}

#[test]
fn padding_is_marked() {
    let files = [(1000, false), (24, true), (8, false)];
    let layout = Layout::new(1024, files.map(|(len, padding)| FileLength { len, padding })).unwrap();
    let padding: Vec<bool> = layout.segments(990, 40).map(|segment| segment.padding).collect();
    assert_eq!(padding, [false, true, false]);
}

#[test]
#[should_panic(expected = "must not pass the payload's end")]
fn segments_beyond_the_payload_are_our_own_mistake() {
    let _ = layout(1024, &[5000]).segments(4999, 2).count();
}

#[test]
fn the_last_piece_may_be_one_byte() {
    let layout = layout(65_536, &[65_537]);
    let [first, last] = [0, 1].map(|index| layout.piece(index).unwrap());
    assert_eq!((layout.piece_len(first), layout.piece_len(last)), (65_536, 1));
    assert_eq!((layout.block_count(first), layout.block_count(last)), (4, 1));
    assert_eq!(layout.piece(2), None);
    assert_eq!(layout.offset(layout.span(1, 0, 1).unwrap()), 65_536);
}

#[test]
fn blocks_cut_a_piece_of_odd_length() {
    let layout = layout(40_000, &[40_000]);
    let piece = layout.piece(0).unwrap();
    let blocks: Vec<(u32, u32)> = layout
        .blocks(piece)
        .map(|block| (block.offset(), block.len()))
        .collect();
    assert_eq!(blocks, [(0, BLOCK_LEN), (16_384, BLOCK_LEN), (32_768, 7_232)]);
}

#[test]
fn case_23_spans_outside_the_piece_do_not_exist() {
    let layout = layout(65_536, &[65_537]);
    for (piece, offset, len) in [
        (2, 0, 1),
        (u32::MAX, 0, 1),
        (0, 0, 0),
        (0, 65_536, 1),
        (0, 65_535, 2),
        (0, u32::MAX, 1),
        (0, 1, u32::MAX),
        (0, u32::MAX, u32::MAX),
        (1, 0, 2),
        (1, 1, 1),
    ] {
        assert_eq!(layout.span(piece, offset, len), None, "{piece} {offset} {len}");
    }
    assert!(layout.span(0, 65_535, 1).is_some());
    assert!(layout.span(0, 0, 65_536).is_some());
}

#[test]
fn case_9_piece_lengths_out_of_range_are_refused() {
    for piece_length in [0, 1, 1023, PIECE_LENGTH_MAX + 1, u32::MAX] {
        check_refused(piece_length, &[1], LayoutError::PieceLength { piece_length });
    }
}

#[test]
fn case_10_sums_of_lengths_do_not_overflow() {
    check_refused(1024, &[u64::MAX, u64::MAX], LayoutError::TotalLength);
    check_refused(1024, &[1, u64::MAX], LayoutError::TotalLength);
    check_refused(PIECE_LENGTH_MAX, &[TOTAL_LEN_MAX, 1], LayoutError::TotalLength);
    check_refused(
        1024,
        &[TOTAL_LEN_MAX],
        LayoutError::Pieces {
            pieces: TOTAL_LEN_MAX / 1024,
        },
    );
}

#[test]
fn case_11_files_without_bytes_are_refused() {
    check_refused(1024, &[], LayoutError::Empty);
    check_refused(1024, &[0, 0, 0], LayoutError::Empty);
    check_refused(1024, &vec![0; 1_000_000], LayoutError::Files);
}

proptest! {
    #[test]
    fn segments_cover_any_range_exactly(
        lengths in prop::collection::vec(0_u64..5_000, 1..20),
        from in 0_u64..100_000,
        len in 0_u64..100_000,
    ) {
        let total: u64 = lengths.iter().sum();
        prop_assume!(total > 0);
        let layout = layout(1024, &lengths);
        let start = from % total;
        let len = len % (total - start + 1);
        let mut at = start;
        for segment in layout.segments(start, len) {
            let file = layout.file(segment.file);
            prop_assert!(segment.len > 0 && segment.offset + segment.len <= file.len);
            prop_assert_eq!(file.start + segment.offset, at);
            at += segment.len;
        }
        prop_assert_eq!(at, start + len);
    }

    #[test]
    fn pieces_and_blocks_cover_the_payload(piece_length in 1_024_u32..100_000, total in 1_u64..3_000_000) {
        let layout = layout(piece_length, &[total]);
        let mut at = 0;
        for piece in layout.piece_indices() {
            for block in layout.blocks(piece) {
                prop_assert_eq!(layout.offset(block), at);
                prop_assert_eq!(layout.span(piece.get(), block.offset(), block.len()), Some(block));
                at += u64::from(block.len());
            }
        }
        prop_assert_eq!(at, total);
    }

    #[test]
    fn any_numbers_make_a_span_inside_its_piece_or_none(piece: u32, offset: u32, len: u32) {
        let layout = layout(1 << 20, &[u64::from(u32::MAX) * 7]);
        if let Some(span) = layout.span(piece, offset, len) {
            prop_assert!(span.end() <= layout.piece_len(span.piece()));
        }
    }
}
