use super::*;

const PATTERNS: [Pattern; 4] = [Pattern::Split, Pattern::Strided, Pattern::Same, Pattern::Random];

/// 10 pieces of two blocks and a bit each, the last one of 5 bytes.
const SHAPE: Shape = Shape {
    length: 9 * 40_000 + 5,
    piece_length: 40_000,
};

fn seats(of: u32) -> impl Iterator<Item = Seat> {
    (0..of).map(move |index| Seat { index, of })
}

#[test]
fn blocks_of_a_piece_come_in_order_and_cover_it() {
    let blocks: Vec<Block> =
        Plan::new(SHAPE, Pattern::Split, Extent::Laps(1), Seat { index: 0, of: 1 }).collect();
    assert_eq!(
        blocks.iter().map(|block| u64::from(block.len)).sum::<u64>(),
        SHAPE.length
    );
    assert_eq!(
        blocks[1],
        Block {
            piece: 0,
            offset: 16_384,
            len: 16_384
        }
    );
    assert_eq!(
        blocks[2],
        Block {
            piece: 0,
            offset: 32_768,
            len: 7_232
        }
    );
    assert_eq!(
        *blocks.last().unwrap(),
        Block {
            piece: 9,
            offset: 0,
            len: 5
        }
    );
}

#[test]
fn shares_cover_every_piece_once_unless_all_want_the_same() {
    for pattern in PATTERNS {
        for of in [1, 3, 8, 10] {
            let mut dealt: Vec<u32> = seats(of).flat_map(|seat| share(10, pattern, seat)).collect();
            dealt.sort_unstable();
            let times = if pattern == Pattern::Same { of } else { 1 };
            let expected: Vec<u32> = (0..10).flat_map(|piece| vec![piece; times as usize]).collect();
            assert_eq!(dealt, expected, "{pattern:?} over {of}");
        }
    }
}

#[test]
fn with_more_connections_than_pieces_nobody_goes_without() {
    for pattern in PATTERNS {
        for seat in seats(64) {
            assert!(!share(10, pattern, seat).is_empty(), "{pattern:?} {seat:?}");
        }
    }
}

#[test]
fn an_endless_round_has_every_piece_and_begins_with_the_share() {
    for pattern in PATTERNS {
        for of in [1, 3, 8, 64] {
            for seat in seats(of) {
                let order = round(10, pattern, seat);
                assert_eq!(order[0], share(10, pattern, seat)[0], "{pattern:?} {seat:?}");
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(
                    sorted,
                    (0..10).collect::<Vec<_>>(),
                    "{pattern:?} {seat:?} {order:?}"
                );
            }
        }
    }
}

#[test]
fn laps_repeat_the_share() {
    let one = Plan::new(SHAPE, Pattern::Random, Extent::Laps(1), Seat { index: 1, of: 4 });
    let distinct = one.distinct_blocks();
    let one: Vec<Block> = one.collect();
    let three: Vec<Block> =
        Plan::new(SHAPE, Pattern::Random, Extent::Laps(3), Seat { index: 1, of: 4 }).collect();
    assert_eq!(one.len(), distinct);
    assert_eq!(three, [one.clone(), one.clone(), one].concat());
}
