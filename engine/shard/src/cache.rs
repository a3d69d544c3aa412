//! The cold cache: extents of the arena, what part of which torrent each holds, and who waits for it.
//!
//! A torrent's *page space* is its files one after another, each beginning on a page of its own: every page of a file
//! stands at one place in it, aligned for direct reads, and many small files share an extent. Extents divide that space.
//!
//! Reads fill extents page by page; an extent knows by two bit sets which of its 64 pages are valid and which are
//! being read. It is taken for another part in the order in which extents were filled (a small probation
//! queue: what is asked for again moves to the hot cache instead), and never while it is pinned or read into.
//!
//! It decides nothing about what is read or sent.

use std::collections::{BTreeMap, VecDeque};

use shoal_world::{EXTENT_LEN, Extent, PAGE_LEN, Socket};

use crate::torrent::TorrentId;

/// A part of a torrent's page space as large and as aligned as an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExtentKey {
    pub(crate) torrent: TorrentId,
    /// Offset in the page space, in extents.
    pub(crate) index: u32,
}

/// Pages of an extent as bits, the first page in the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages(pub(crate) u64);

/// Some pages of an extent that a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) extent: Extent,
    pub(crate) pages: Pages,
}

#[derive(Debug, Default)]
struct Slot {
    /// What the extent holds; `None` when that torrent is gone. The index leads here unless it was outdated.
    key: Option<ExtentKey>,
    valid: Pages,
    reading: Pages,
    /// Runs that will send from it.
    pins: u32,
    waiters: Vec<Socket>,
}

/// The extents of one core.
#[derive(Debug)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
    index: BTreeMap<ExtentKey, Extent>,
    /// Extents that hold something, in the order in which they were taken.
    order: VecDeque<Extent>,
    free: Vec<Extent>,
}

impl Pages {
    /// The pages that bytes `start..start + len` of an extent touch.
    pub(crate) fn touched_by(start: u32, len: u32) -> Pages {
        assert!(len > 0 && start + len <= EXTENT_LEN, "a range outside its extent");
        let first = start / PAGE_LEN;
        let last = (start + len - 1) / PAGE_LEN;
        Pages((u64::MAX >> (63 - (last - first))) << first)
    }

    /// The pages that bytes `start..start + len` of an extent fill as a whole. What ends its file fills its last page:
    /// nothing follows there.
    pub(crate) fn filled_by(start: u32, len: u32, ends_file: bool) -> Pages {
        let first = start.next_multiple_of(PAGE_LEN);
        let end = start + len;
        let end = if ends_file {
            end.next_multiple_of(PAGE_LEN)
        } else {
            end - end % PAGE_LEN
        };
        if end > first {
            Pages::touched_by(first, end - first)
        } else {
            Pages::default()
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn contains(self, other: Pages) -> bool {
        other.0 & !self.0 == 0
    }

    pub(crate) fn is_disjoint(self, other: Pages) -> bool {
        other.0 & self.0 == 0
    }

    pub(crate) fn with(self, other: Pages) -> Pages {
        Pages(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Pages) -> Pages {
        Pages(self.0 & !other.0)
    }

    /// Neighbouring pages as ranges of bytes: start and length.
    pub(crate) fn ranges(self) -> impl Iterator<Item = (u32, u32)> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let first = left.trailing_zeros();
            let count = (left >> first).trailing_ones();
            left &= !((u64::MAX >> (64 - count)) << first);
            Some((first * PAGE_LEN, count * PAGE_LEN))
        })
    }
}

impl Cache {
    pub(crate) fn new(extents: u32) -> Cache {
        Cache {
            slots: (0..extents).map(|_| Slot::default()).collect(),
            index: BTreeMap::new(),
            order: VecDeque::new(),
            free: (0..extents).rev().map(Extent).collect(),
        }
    }

    /// The extent that holds this part, or will.
    pub(crate) fn find(&self, key: ExtentKey) -> Option<Extent> {
        self.index.get(&key).copied()
    }

    /// The extent for this part, and a pin on it. `None`: all are pinned or being read into.
    pub(crate) fn pin(&mut self, key: ExtentKey) -> Option<Extent> {
        let extent = match self.find(key) {
            Some(extent) => extent,
            None => self.take(key)?,
        };
        self.slot(extent).pins += 1;
        Some(extent)
    }

    /// Another pin on an extent that is pinned already.
    pub(crate) fn pin_again(&mut self, extent: Extent) {
        let slot = self.slot(extent);
        assert!(slot.pins > 0, "a second pin on an extent without a first");
        slot.pins += 1;
    }

    pub(crate) fn unpin(&mut self, extent: Extent) {
        let slot = self.slot(extent);
        slot.pins = slot
            .pins
            .checked_sub(1)
            .expect("an extent was unpinned more often than pinned");
    }

    pub(crate) fn has(&self, need: Need) -> bool {
        self.slots[need.extent.0 as usize].valid.contains(need.pages)
    }

    /// The pages of a need that nobody reads yet. They are being read from here on.
    pub(crate) fn start_reading(&mut self, need: Need) -> Pages {
        let slot = self.slot(need.extent);
        assert!(slot.pins > 0, "an extent was read into without a pin");
        let missing = need.pages.without(slot.valid).without(slot.reading);
        slot.reading = slot.reading.with(missing);
        missing
    }

    /// Wakes `socket` when a read into the extent ends.
    pub(crate) fn wait(&mut self, extent: Extent, socket: Socket) {
        let waiters = &mut self.slot(extent).waiters;
        if !waiters.contains(&socket) {
            waiters.push(socket);
        }
    }

    /// A read ended; its pages are valid if they are what the extent still stands for. Who waited.
    pub(crate) fn read_ended(&mut self, extent: Extent, pages: Pages, valid: bool) -> Vec<Socket> {
        let slot = self.slot(extent);
        slot.reading = slot.reading.without(pages);
        if valid && slot.key.is_some() {
            slot.valid = slot.valid.with(pages);
        }
        std::mem::take(&mut slot.waiters)
    }

    /// An extent to be used outside of the cache. `None`: all are pinned or being read into.
    pub(crate) fn take_away(&mut self) -> Option<Extent> {
        let extent = self.free.pop().or_else(|| self.evict())?;
        *self.slot(extent) = Slot::default();
        Some(extent)
    }

    /// What was taken away returns, and holds nothing.
    pub(crate) fn give_back(&mut self, extent: Extent) {
        self.free.push(extent);
    }

    /// What was taken away returns, and holds valid pages of this part.
    pub(crate) fn adopt(&mut self, key: ExtentKey, extent: Extent, valid: Pages) {
        if self.index.contains_key(&key) {
            // It was read meanwhile, and may be pinned.
            self.give_back(extent);
            return;
        }
        *self.slot(extent) = Slot {
            key: Some(key),
            valid,
            ..Slot::default()
        };
        self.index.insert(key, extent);
        self.order.push_back(extent);
    }

    /// Bytes of these pages are other ones on disk from now on, beside those that were read for somebody: whoever holds
    /// them goes on with what they read, all others read them anew.
    pub(crate) fn outdate(&mut self, key: ExtentKey, pages: Pages) {
        let Some(extent) = self.find(key) else { return };
        let slot = self.slot(extent);
        if slot.pins == 0 && slot.reading.is_empty() {
            slot.valid = slot.valid.without(pages);
        } else if !slot.valid.with(slot.reading).is_disjoint(pages) {
            self.index.remove(&key);
        }
    }

    /// Forgets everything that was read of a torrent.
    pub(crate) fn forget(&mut self, torrent: TorrentId) {
        let range = ExtentKey { torrent, index: 0 }..=ExtentKey {
            torrent,
            index: u32::MAX,
        };
        let held: Vec<(ExtentKey, Extent)> = self
            .index
            .range(range)
            .map(|(key, extent)| (*key, *extent))
            .collect();
        for (key, extent) in held {
            self.index.remove(&key);
            let slot = self.slot(extent);
            slot.key = None;
            slot.valid = Pages::default();
            slot.waiters.clear();
        }
    }

    /// Whether neither a run nor a read holds any extent.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots
            .iter()
            .all(|slot| slot.pins == 0 && slot.reading.is_empty())
    }

    fn take(&mut self, key: ExtentKey) -> Option<Extent> {
        let extent = self.free.pop().or_else(|| self.evict())?;
        *self.slot(extent) = Slot {
            key: Some(key),
            ..Slot::default()
        };
        self.index.insert(key, extent);
        self.order.push_back(extent);
        Some(extent)
    }

    /// The extent that was taken longest ago among those that nobody uses.
    fn evict(&mut self) -> Option<Extent> {
        for _ in 0..self.order.len() {
            let extent = self.order.pop_front()?;
            let slot = &self.slots[extent.0 as usize];
            if slot.pins > 0 || !slot.reading.is_empty() {
                self.order.push_back(extent);
                continue;
            }
            // One that was outdated while somebody held it may have a successor.
            if let Some(key) = slot.key
                && self.find(key) == Some(extent)
            {
                self.index.remove(&key);
            }
            return Some(extent);
        }
        None
    }

    fn slot(&mut self, extent: Extent) -> &mut Slot {
        &mut self.slots[extent.0 as usize]
    }
}

#[cfg(test)]
mod tests;
