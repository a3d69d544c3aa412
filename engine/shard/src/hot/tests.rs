use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use shoal_proto::layout::{BLOCK_LEN, FileLength, Layout, Span};
use shoal_world::Frame;

use super::{Advice, FrameKey, FramedBlock, HotCache, blocks_of, frames_of};
use crate::torrent::TorrentId;

fn layout(piece_length: u32, len: u64) -> Layout {
    Layout::new(piece_length, [FileLength { len, padding: false }]).unwrap()
}

fn key(index: u32) -> FrameKey {
    FrameKey {
        torrent: TorrentId(0),
        index,
    }
}

/// Fills a framed extent the way a shard does.
fn fill(hot: &mut HotCache, index: u32) -> Option<(Frame, bool)> {
    let (frame, discard) = hot.start_filling(key(index))?;
    assert!(!hot.filled(frame, true));
    Some((frame, discard))
}

fn check_place(layout: &Layout, span: Option<Span>, expected: Option<(u32, u32)>) {
    let framed = FramedBlock::of(layout, span.expect("a span of the test's layout"));
    assert_eq!(framed.map(|block| (block.index, block.place)), expected);
}

#[test]
fn blocks_stand_in_order_whatever_piece_they_belong_to() {
    let small = layout(32 * 1024, 10 * 32 * 1024 + 5);
    check_place(&small, small.span(0, 0, BLOCK_LEN), Some((0, 0)));
    check_place(&small, small.span(7, BLOCK_LEN, BLOCK_LEN), Some((0, 15)));
    check_place(&small, small.span(8, 0, BLOCK_LEN), Some((1, 0)));
    check_place(&small, small.span(10, 0, 5), Some((1, 4)));
    assert_eq!(blocks_of(&small, 0).count(), 16);
    assert_eq!(blocks_of(&small, 1).count(), 5);
    assert_eq!(frames_of(&small), 2);
}

#[test]
fn what_is_not_exactly_a_block_is_never_framed() {
    let regular = layout(1 << 20, 1 << 20);
    check_place(&regular, regular.span(0, 1, BLOCK_LEN), None);
    check_place(&regular, regular.span(0, 0, BLOCK_LEN - 1), None);
    check_place(&regular, regular.span(0, 0, 2 * BLOCK_LEN), None);
    let odd = layout(100_000, 1 << 20);
    check_place(&odd, odd.span(0, 0, BLOCK_LEN), None);
}

#[test]
fn blocks_are_promoted_when_they_are_asked_for_again() {
    let mut hot = HotCache::new(4);
    for place in 0..16 {
        assert_eq!(hot.advise(key(3), place, false), Advice::Cold);
    }
    assert_eq!(hot.advise(key(3), 7, false), Advice::Promote);
}

#[test]
fn a_torrent_that_fits_is_promoted_at_first_sight_while_there_is_room() {
    let mut hot = HotCache::new(1);
    assert_eq!(hot.advise(key(0), 0, true), Advice::Promote);
    fill(&mut hot, 0);
    assert_eq!(hot.advise(key(1), 0, true), Advice::Cold);
}

#[test]
fn what_was_sent_is_remembered_in_bounded_numbers() {
    let mut hot = HotCache::new(2);
    for index in 0..100 {
        assert_eq!(hot.advise(key(index), 0, false), Advice::Cold);
    }
    assert_eq!((hot.seen.len(), hot.seen_order.len()), (2, 2));
}

#[test]
fn what_was_used_is_spared_once_and_what_is_being_sent_always() {
    let mut hot = HotCache::new(2);
    let (first, _) = fill(&mut hot, 0).unwrap();
    let (second, _) = fill(&mut hot, 1).unwrap();
    assert_eq!(hot.pin(key(0)), Some(first));
    let _ = hot.unpin(first);
    assert_eq!(
        fill(&mut hot, 2),
        Some((second, true)),
        "the one that was not used goes"
    );
    assert_eq!(hot.pin(key(0)), Some(first));
    assert_eq!(hot.pin(key(2)), Some(second));
    assert_eq!(fill(&mut hot, 3), None, "both are being sent");
}

#[test]
fn a_frame_that_could_not_be_written_is_discarded_and_holds_nothing() {
    let mut hot = HotCache::new(1);
    let (frame, _) = hot.start_filling(key(0)).unwrap();
    assert_eq!(hot.pin(key(0)), None, "not before it is written");
    assert!(hot.filled(frame, false));
    assert!(!hot.holds(key(0)));
    assert_eq!(hot.free(), 1);
}

#[test]
fn a_forgotten_torrent_gives_its_frames_back_when_nothing_is_under_way_on_them() {
    let mut hot = HotCache::new(3);
    let (idle, _) = fill(&mut hot, 0).unwrap();
    let (sending, _) = fill(&mut hot, 1).unwrap();
    let (filling, _) = hot.start_filling(key(2)).unwrap();
    hot.pin(key(1)).unwrap();
    assert_eq!(hot.forget(TorrentId(0)), [idle]);
    assert!(hot.unpin(sending), "discarded when the send ended");
    assert!(hot.filled(filling, true), "discarded when the write ended");
    assert_eq!(hot.free(), 3);
}

proptest! {
    /// Whatever is done to it, a frame that is pinned keeps its blocks and none is handed out twice.
    #[test]
    fn random_use_keeps_the_rules(steps in proptest::collection::vec((0_u32..8, any::<bool>()), 1..300)) {
        let mut hot = HotCache::new(3);
        let mut pinned: Vec<(u32, Frame)> = Vec::new();
        for (index, release) in steps {
            if release && !pinned.is_empty() {
                let (_, frame) = pinned.remove(index as usize % pinned.len());
                prop_assert!(!hot.unpin(frame));
            } else if let Some(frame) = hot.pin(key(index)) {
                pinned.push((index, frame));
            } else if let Some((frame, _)) = fill(&mut hot, index) {
                prop_assert!(pinned.iter().all(|(_, other)| *other != frame));
            }
            for (index, frame) in pinned.clone() {
                prop_assert_eq!(hot.pin(key(index)), Some(frame));
                prop_assert!(!hot.unpin(frame));
            }
        }
    }
}
