use std::path::Path;
use std::sync::Arc;

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use shoal_proto::layout::{FileLength, Layout};
use shoal_world::{EXTENT_LEN, Extent, PAGE_LEN, Rng};

use super::{BufferId, Cut, PieceBuffers, Spot, Stage};
use crate::cache::{Cache, ExtentKey, Need, Pages};
use crate::files::{Files, Trust};
use crate::limits::SERVING_EXTENTS_MIN;
use crate::torrent::{FilePlace, TorrentId};

impl PieceBuffers {
    /// Extents that pieces lie in.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}

const ID: TorrentId = TorrentId(0);

/// Memory for so many extents of pieces, and a torrent.
struct Set {
    cache: Cache,
    buffers: PieceBuffers,
    layout: Layout,
    files: Vec<FilePlace>,
}

impl Set {
    /// A negative length is padding.
    fn new(extents: u32, piece_length: u32, lens: &[i64]) -> Set {
        let lengths = lens.iter().map(|len| FileLength {
            len: len.unsigned_abs(),
            padding: *len < 0,
        });
        let layout = Layout::new(piece_length, lengths).unwrap();
        let mut opened = Files::new(1);
        let path: Arc<Path> = Arc::from(Path::new("file"));
        let mut first_page = 0;
        let place = |(index, file): (_, shoal_proto::layout::FileExtent)| {
            let place = FilePlace {
                key: opened.insert(ID, index, path.clone(), Trust::Ours(None)),
                first_page,
            };
            first_page += file.len.div_ceil(u64::from(PAGE_LEN));
            place
        };
        let files = layout.files().map(place).collect();
        Set {
            cache: Cache::new(SERVING_EXTENTS_MIN + extents),
            buffers: PieceBuffers::new(SERVING_EXTENTS_MIN + extents),
            layout,
            files,
        }
    }

    fn begin(&mut self, piece: u32) -> Option<BufferId> {
        let cut = Cut {
            id: ID,
            layout: &self.layout,
            files: &self.files,
        };
        let piece = self.layout.piece(piece).unwrap();
        self.buffers.begin(&mut self.cache, cut, piece)
    }

    fn cut(&self) -> Cut<'_> {
        Cut {
            id: ID,
            layout: &self.layout,
            files: &self.files,
        }
    }

    fn spots(&self, buffer: BufferId, start: u32, len: u32) -> Vec<Spot> {
        let mut spots = Vec::new();
        self.buffers
            .each_spot(buffer, self.cut(), start, len, |spot| spots.push(spot));
        spots
    }

    fn piece_len(&self, buffer: BufferId) -> u32 {
        self.layout.piece_len(self.buffers.get(buffer).piece)
    }

    fn write_and_release(&mut self, buffer: BufferId) {
        let cut = Cut {
            id: ID,
            layout: &self.layout,
            files: &self.files,
        };
        self.buffers.note_written(buffer, cut);
        self.buffers.release(buffer, &mut self.cache);
    }

    fn is_cached(&self, index: u32, start: u32, len: u32) -> bool {
        let key = ExtentKey { torrent: ID, index };
        let pages = Pages::touched_by(start, len);
        let holds = |extent| self.cache.has(Need { extent, pages });
        self.cache.find(key).is_some_and(holds)
    }
}

#[test]
fn a_piece_has_all_of_its_extents_or_none() {
    let mut set = Set::new(5, 3 * EXTENT_LEN, &[9 * i64::from(EXTENT_LEN)]);
    let first = set.begin(0).unwrap();
    assert_eq!(set.begin(1), None, "two extents are left, it needs three");
    assert_eq!(set.buffers.held(), 3);
    set.buffers.release(first, &mut set.cache);
    assert!(set.buffers.take_freed());
    assert!(!set.buffers.take_freed(), "said once");
    assert!(set.begin(1).is_some());
}

#[test]
fn what_serving_needs_is_never_taken() {
    let mut set = Set::new(0, EXTENT_LEN, &[i64::from(EXTENT_LEN)]);
    assert_eq!(set.begin(0), None);
    assert!(!set.buffers.fits(set.cut(), set.layout.piece(0).unwrap()));
}

#[test]
fn a_piece_that_has_room_only_without_gaps_is_packed() {
    let len = 4 * i64::from(EXTENT_LEN);
    // The second file begins on the second page: the first piece touches a fifth extent.
    let mut set = Set::new(4, 4 * EXTENT_LEN, &[100, 2 * len]);
    assert!(set.buffers.fits(set.cut(), set.layout.piece(0).unwrap()));
    assert!(set.begin(0).is_some());
    assert_eq!(set.buffers.held(), 4);
}

#[test]
fn pages_lie_in_extents_as_in_their_files() {
    let mut set = Set::new(8, 300_000, &[100_000, 500_000]);
    let buffer = set.begin(1).unwrap();
    for spot in set.spots(buffer, 0, 300_000) {
        assert_eq!(
            u64::from(spot.start % PAGE_LEN),
            spot.offset % u64::from(PAGE_LEN)
        );
    }
}

#[test]
fn pieces_that_meet_share_an_extent_until_the_last_is_done() {
    let half = EXTENT_LEN / 2;
    let mut set = Set::new(1, half, &[i64::from(EXTENT_LEN)]);
    let (first, second) = (set.begin(0).unwrap(), set.begin(1).unwrap());
    assert_eq!(set.buffers.held(), 1);
    assert_eq!(
        set.spots(first, 0, 1)[0].extent,
        set.spots(second, 0, 1)[0].extent
    );
    set.write_and_release(first);
    assert_eq!(set.buffers.held(), 1);
    set.write_and_release(second);
    assert_eq!(set.buffers.held(), 0);
    assert!(set.is_cached(0, 0, EXTENT_LEN));
}

#[test]
fn only_whole_pages_that_were_written_are_cached() {
    // Pieces that meet inside a page, of which only the first is written.
    let mut set = Set::new(4, 100_000, &[200_000]);
    let (first, second) = (set.begin(0).unwrap(), set.begin(1).unwrap());
    set.write_and_release(first);
    set.buffers.release(second, &mut set.cache);
    assert!(set.is_cached(0, 0, 98_304));
    assert!(!set.is_cached(0, 98_304, 1), "half of this page is not there");
    assert!(!set.is_cached(0, 102_400, 1));
}

#[test]
fn what_was_not_written_is_not_cached() {
    let mut set = Set::new(4, EXTENT_LEN, &[i64::from(EXTENT_LEN)]);
    let buffer = set.begin(0).unwrap();
    set.buffers.release(buffer, &mut set.cache);
    let key = ExtentKey {
        torrent: ID,
        index: 0,
    };
    assert_eq!(set.cache.find(key), None);
}

#[test]
fn a_piece_of_tiny_files_is_packed_and_one_of_large_files_is_not() {
    let mut tiny = Set::new(8, EXTENT_LEN, &[1_000; 1_000]);
    let buffer = tiny.begin(0).unwrap();
    assert_eq!(tiny.buffers.held(), 1);
    let spots = tiny.spots(buffer, 0, EXTENT_LEN);
    assert!(
        spots
            .windows(2)
            .all(|pair| pair[0].start + pair[0].len == pair[1].start),
        "no gaps"
    );
    tiny.write_and_release(buffer);
    assert_eq!(
        tiny.cache.find(ExtentKey {
            torrent: ID,
            index: 0
        }),
        None
    );

    let mut large = Set::new(8, EXTENT_LEN, &[100_001; 4]);
    let buffer = large.begin(0).unwrap();
    assert!(
        large
            .spots(buffer, 0, EXTENT_LEN)
            .iter()
            .all(|spot| { u64::from(spot.start % PAGE_LEN) == spot.offset % u64::from(PAGE_LEN) })
    );
}

#[test]
fn buffers_of_a_torrent_that_is_gone_go_when_nothing_is_under_way_on_them() {
    let mut set = Set::new(4, EXTENT_LEN, &[3 * i64::from(EXTENT_LEN)]);
    let buffers = [0, 1, 2].map(|piece| set.begin(piece).unwrap());
    set.buffers.get_mut(buffers[1]).stage = Stage::Hashing;
    set.buffers.get_mut(buffers[2]).stage = Stage::Writing {
        left: 1,
        failed: None,
    };
    set.buffers.orphan(ID, &mut set.cache);
    assert_eq!(set.buffers.held(), 2);
    assert!(
        buffers[1..]
            .iter()
            .all(|buffer| set.buffers.get(*buffer).torrent.is_none())
    );
    // The same torrent comes again meanwhile, and gets memory of its own.
    let again = set.begin(1).unwrap();
    assert_ne!(
        set.spots(again, 0, 1)[0].extent,
        set.spots(buffers[1], 0, 1)[0].extent
    );
    for buffer in [buffers[1], buffers[2]] {
        set.buffers.release(buffer, &mut set.cache);
    }
    assert_eq!(
        set.cache.find(ExtentKey {
            torrent: ID,
            index: 2
        }),
        None,
        "it is nobody's"
    );
    assert_eq!(set.buffers.held(), 1);
}

proptest! {
    /// Pieces begin and end in any order: their bytes never lie in the same place, and all memory comes back.
    #[test]
    fn no_two_bytes_lie_in_one_place(seed in any::<u64>()) {
        let mut random = Rng::new(seed);
        let lens: Vec<i64> = (0..1 + random.below(20))
            .map(|_| {
                let longest = 64 << random.below(14);
                let len = 1 + i64::from(random.below(longest));
                if random.below(5) == 0 { -len } else { len }
            })
            .collect();
        let mut set = Set::new(12, 16_384 << random.below(6), &lens);
        let mut in_hand: Vec<BufferId> = Vec::new();
        let mut begun = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let piece = random.below(set.layout.pieces());
            if random.below(3) > 0 && !begun.contains(&piece) {
                if let Some(buffer) = set.begin(piece) {
                    begun.insert(piece);
                    in_hand.push(buffer);
                }
            } else if !in_hand.is_empty() {
                let buffer = in_hand.swap_remove(random.below(in_hand.len() as u32) as usize);
                begun.remove(&set.buffers.get(buffer).piece.get());
                if random.below(2) == 0 {
                    set.write_and_release(buffer);
                } else {
                    set.buffers.release(buffer, &mut set.cache);
                }
            }
            prop_assert!(set.buffers.held() <= 12);
            let mut places: Vec<(Extent, u32, u32)> = Vec::new();
            for buffer in &in_hand {
                let spots = set.spots(*buffer, 0, set.piece_len(*buffer));
                let len: u32 = spots.iter().map(|spot| spot.len).sum();
                prop_assert_eq!(len, set.piece_len(*buffer));
                places.extend(spots.iter().map(|spot| (spot.extent, spot.start, spot.len)));
            }
            places.sort_unstable();
            let apart = |pair: &[(Extent, u32, u32)]| {
                pair[0].0 != pair[1].0 || pair[0].1 + pair[0].2 <= pair[1].1
            };
            prop_assert!(places.windows(2).all(apart));
        }
        for buffer in in_hand {
            set.buffers.release(buffer, &mut set.cache);
        }
        prop_assert_eq!(set.buffers.held(), 0);
        let all = SERVING_EXTENTS_MIN + 12;
        let taken = (0..all).filter_map(|_| set.cache.take_away()).count();
        prop_assert_eq!(taken, all as usize, "every extent is the cache's again");
    }
}

#[test]
fn what_was_taken_for_a_piece_that_finds_no_room_is_given_back() {
    let mut set = Set::new(5, 3 * EXTENT_LEN, &[9 * i64::from(EXTENT_LEN)]);
    let mut taken: Vec<Extent> = std::iter::from_fn(|| set.cache.take_away()).collect();
    for _ in 0..2 {
        set.cache.give_back(taken.pop().unwrap());
    }
    assert_eq!(set.begin(0), None, "the others are being sent from");
    set.cache.give_back(taken.pop().unwrap());
    assert!(set.begin(0).is_some());
}

/// The next torrent may have its number.
#[test]
fn an_extent_of_a_torrent_that_is_gone_does_not_stay_in_the_cache() {
    let mut set = Set::new(2, EXTENT_LEN / 2, &[i64::from(EXTENT_LEN)]);
    let (written, hashed) = (set.begin(0).unwrap(), set.begin(1).unwrap());
    set.write_and_release(written);
    set.buffers.get_mut(hashed).stage = Stage::Hashing;
    set.buffers.orphan(ID, &mut set.cache);
    set.buffers.release(hashed, &mut set.cache);
    assert!(!set.is_cached(0, 0, PAGE_LEN));
    assert_eq!(set.buffers.held(), 0);
}
