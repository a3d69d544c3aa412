use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
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

/// What becomes of a place in the memory file, as the world sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Empty,
    Filling(FrameKey),
    Written(FrameKey),
    /// In part, because the write failed.
    Broken,
}

/// The world's side: the places, and the sends that are under way from each.
#[derive(Default)]
struct World {
    places: [Place; 3],
    sends: [u32; 3],
}

impl World {
    fn discard(&mut self, frame: Frame) {
        let index = frame.0 as usize;
        assert_eq!(self.sends[index], 0, "discarded under a send");
        assert!(
            !matches!(self.places[index], Place::Filling(_)),
            "discarded under a fill"
        );
        self.places[index] = Place::Empty;
    }

    fn fill(&mut self, frame: Frame, key: FrameKey) {
        let place = &mut self.places[frame.0 as usize];
        assert_eq!(*place, Place::Empty, "filled without a discard before");
        *place = Place::Filling(key);
    }

    fn filled(&mut self, frame: Frame, whole: bool) {
        let place = &mut self.places[frame.0 as usize];
        let Place::Filling(key) = *place else {
            panic!("nobody filled it");
        };
        *place = if whole { Place::Written(key) } else { Place::Broken };
    }

    fn send_starts(&mut self, frame: Frame, key: FrameKey) {
        assert_eq!(
            self.places[frame.0 as usize],
            Place::Written(key),
            "sent what it does not hold"
        );
        self.sends[frame.0 as usize] += 1;
    }

    /// One of the framed extents for which `fits` holds.
    fn pick(&self, which: u32, fits: impl Fn(usize) -> bool) -> Option<Frame> {
        let fitting: Vec<usize> = (0..3).filter(|index| fits(*index)).collect();
        let index = fitting.get(which as usize % fitting.len().max(1))?;
        Some(Frame(*index as u32))
    }

    fn filling(&self, which: u32) -> Option<Frame> {
        self.pick(which, |index| matches!(self.places[index], Place::Filling(_)))
    }

    fn sending(&self, which: u32) -> Option<Frame> {
        self.pick(which, |index| self.sends[index] > 0)
    }
}

/// What happens to a hot cache.
#[derive(Clone, Copy, Debug)]
enum Step {
    Promote(FrameKey),
    FillEnds { which: u32, whole: bool },
    SendStarts(FrameKey),
    SendEnds { which: u32 },
    Forget(TorrentId),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || {
        (0_u32..2, 0_u32..4).prop_map(|(torrent, index)| FrameKey {
            torrent: TorrentId(torrent),
            index,
        })
    };
    prop_oneof![
        4 => key().prop_map(Step::Promote),
        3 => (any::<u32>(), proptest::bool::weighted(0.8)).prop_map(|(which, whole)| Step::FillEnds { which, whole }),
        6 => key().prop_map(Step::SendStarts),
        4 => any::<u32>().prop_map(|which| Step::SendEnds { which }),
        1 => (0_u32..2).prop_map(|torrent| Step::Forget(TorrentId(torrent))),
    ]
}

/// Does a step on both sides.
fn take(step: Step, hot: &mut HotCache, world: &mut World) {
    match step {
        Step::Promote(key) => {
            if let Some((frame, discard)) = hot.start_filling(key) {
                if discard {
                    world.discard(frame);
                }
                world.fill(frame, key);
            }
        }
        Step::FillEnds { which, whole } => {
            if let Some(frame) = world.filling(which) {
                world.filled(frame, whole);
                if hot.filled(frame, whole) {
                    world.discard(frame);
                }
            }
        }
        Step::SendStarts(key) => {
            if let Some(frame) = hot.pin(key) {
                world.send_starts(frame, key);
            }
        }
        Step::SendEnds { which } => {
            if let Some(frame) = world.sending(which) {
                world.sends[frame.0 as usize] -= 1;
                if hot.unpin(frame) {
                    world.discard(frame);
                }
            }
        }
        Step::Forget(torrent) => {
            for frame in hot.forget(torrent) {
                world.discard(frame);
            }
        }
    }
}

proptest! {
    /// Pages that were sent are never written again: nothing is discarded while it is sent or written, nothing is filled
    /// that was not discarded, and in the end every place is empty and free.
    #[test]
    fn a_frame_is_written_once_between_two_discards(steps in proptest::collection::vec(step(), 1..400)) {
        let mut hot = HotCache::new(3);
        let mut world = World::default();
        for step in steps {
            take(step, &mut hot, &mut world);
        }
        while world.filling(0).is_some() {
            take(Step::FillEnds { which: 0, whole: true }, &mut hot, &mut world);
        }
        for torrent in [0, 1] {
            take(Step::Forget(TorrentId(torrent)), &mut hot, &mut world);
        }
        while world.sending(0).is_some() {
            take(Step::SendEnds { which: 0 }, &mut hot, &mut world);
        }
        prop_assert_eq!(hot.free(), 3);
        prop_assert_eq!(world.places, [Place::Empty; 3]);
    }
}
