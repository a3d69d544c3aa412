use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use shoal_world::{Extent, PAGE_LEN, Socket};

use super::{Cache, ExtentKey, Need, Pages};
use crate::torrent::TorrentId;

fn key(index: u32) -> ExtentKey {
    ExtentKey {
        torrent: TorrentId(1),
        index,
    }
}

fn all() -> Pages {
    Pages(u64::MAX)
}

/// Takes and fills an extent, and lets it go.
fn fill(cache: &mut Cache, index: u32) -> Extent {
    let extent = cache.pin(key(index)).unwrap();
    let read = cache.start_reading(Need { extent, pages: all() });
    cache.read_ended(extent, read, true);
    cache.unpin(extent);
    extent
}

#[test]
fn bytes_touch_the_pages_they_lie_in() {
    assert_eq!(Pages::touched_by(0, 1), Pages(0b1));
    assert_eq!(Pages::touched_by(PAGE_LEN - 1, 2), Pages(0b11));
    assert_eq!(Pages::touched_by(PAGE_LEN, 3 * PAGE_LEN), Pages(0b1110));
    assert_eq!(Pages::touched_by(0, 64 * PAGE_LEN), all());
    assert_eq!(Pages::touched_by(63 * PAGE_LEN, PAGE_LEN), Pages(1 << 63));
}

#[test]
fn what_was_read_is_there_until_its_extent_is_needed() {
    let mut cache = Cache::new(2);
    let first = fill(&mut cache, 0);
    fill(&mut cache, 1);
    assert!(cache.has(Need {
        extent: first,
        pages: all()
    }));
    assert_eq!(cache.find(key(0)), Some(first));
    fill(&mut cache, 2);
    assert_eq!(cache.find(key(0)), None, "the oldest goes first");
    assert!(cache.find(key(1)).is_some());
}

#[test]
fn pages_are_read_once_for_all_who_need_them() {
    let mut cache = Cache::new(1);
    let extent = cache.pin(key(0)).unwrap();
    assert_eq!(
        cache.start_reading(Need {
            extent,
            pages: Pages(0b0110)
        }),
        Pages(0b0110)
    );
    assert_eq!(
        cache.start_reading(Need {
            extent,
            pages: Pages(0b1111)
        }),
        Pages(0b1001)
    );
    cache.read_ended(extent, Pages(0b0110), true);
    assert!(cache.has(Need {
        extent,
        pages: Pages(0b0110)
    }));
    assert!(!cache.has(Need {
        extent,
        pages: Pages(0b0111)
    }));
}

#[test]
fn what_is_pinned_or_being_read_is_never_given_away() {
    let mut cache = Cache::new(2);
    let pinned = cache.pin(key(0)).unwrap();
    let read = cache.pin(key(1)).unwrap();
    let pages = cache.start_reading(Need {
        extent: read,
        pages: all(),
    });
    cache.unpin(read);
    assert_eq!(cache.pin(key(2)), None);
    cache.read_ended(read, pages, true);
    assert_eq!(cache.pin(key(2)), Some(read));
    assert_eq!(cache.find(key(0)), Some(pinned));
}

#[test]
fn a_forgotten_torrent_leaves_nothing_valid_even_if_a_read_still_arrives() {
    let mut cache = Cache::new(1);
    let socket = Socket {
        slot: 3,
        generation: 0,
    };
    let extent = cache.pin(key(0)).unwrap();
    let pages = cache.start_reading(Need { extent, pages: all() });
    cache.wait(extent, socket);
    cache.forget(TorrentId(1));
    assert_eq!(cache.read_ended(extent, pages, true), []);
    cache.unpin(extent);
    let again = cache.pin(key(0)).unwrap();
    assert!(!cache.has(Need {
        extent: again,
        pages: Pages(1)
    }));
}

/// A page that two pieces share is read when the first is there, and other bytes of it are written with the second.
#[test]
fn what_was_outdated_is_read_anew_and_stays_with_who_holds_it() {
    let mut cache = Cache::new(2);
    let (shared, whole) = (Pages(0b10), Pages(0b01));
    let read = |cache: &mut Cache, extent| {
        let pages = cache.start_reading(Need { extent, pages: all() });
        cache.read_ended(extent, pages, true);
    };
    let held = cache.pin(key(0)).unwrap();
    read(&mut cache, held);
    cache.outdate(key(0), shared);
    assert!(
        cache.has(Need {
            extent: held,
            pages: shared
        }),
        "a run that is being sent keeps its bytes"
    );
    let other = cache.pin(key(0)).unwrap();
    assert_ne!(other, held);
    assert!(!cache.has(Need {
        extent: other,
        pages: shared
    }));
    read(&mut cache, other);
    cache.unpin(held);
    cache.unpin(other);
    cache.outdate(key(0), shared);
    assert!(
        !cache.has(Need {
            extent: other,
            pages: shared
        }),
        "nobody holds it: it is read into again"
    );
    assert!(cache.has(Need {
        extent: other,
        pages: whole
    }));
    assert!(cache.pin(key(1)).is_some(), "the extent of before is free");
    assert_eq!(
        cache.find(key(0)),
        Some(other),
        "and what came after it is still found"
    );
}

proptest! {
    #[test]
    fn ranges_cover_exactly_the_pages(bits in any::<u64>()) {
        let mut seen = 0_u64;
        for (start, len) in Pages(bits).ranges() {
            let pages = Pages::touched_by(start, len);
            prop_assert_eq!(seen & pages.0, 0);
            seen |= pages.0;
        }
        prop_assert_eq!(seen, bits);
    }

    /// Random use against the plainest statement of the rules.
    #[test]
    fn random_use_keeps_the_rules(steps in proptest::collection::vec((0_u32..6, any::<bool>()), 1..200)) {
        let mut cache = Cache::new(3);
        let mut pinned: Vec<(u32, Extent)> = Vec::new();
        for (index, release) in steps {
            if release && !pinned.is_empty() {
                let (_, extent) = pinned.remove(index as usize % pinned.len());
                cache.unpin(extent);
            } else if let Some(extent) = cache.pin(key(index)) {
                let read = cache.start_reading(Need { extent, pages: all() });
                cache.read_ended(extent, read, true);
                pinned.push((index, extent));
            }
            for (index, extent) in &pinned {
                prop_assert_eq!(cache.find(key(*index)), Some(*extent));
                let need = Need { extent: *extent, pages: all() };
                prop_assert!(cache.has(need));
            }
        }
        for (_, extent) in pinned {
            cache.unpin(extent);
        }
        prop_assert!(cache.is_idle());
    }
}
