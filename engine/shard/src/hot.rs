//! The hot cache: framed extents, which of them hold which blocks, and what was asked for before.
//!
//! A framed extent holds 16 consecutive blocks of a torrent, each behind the 13 bytes of its message header. Headers
//! are the same for every peer, so any run of blocks in it goes out by one reference, without a copy. Writing one
//! costs as much as three sends, so blocks are promoted when they are asked for again, which a bounded memory of what was
//! sent tells; a torrent that fits into free room is promoted at first sight, since that costs each byte of room once.
//!
//! Framed extents are given up by second chance: in the order in which they were written, sparing those that were
//! used since they were last looked at, and never while a send from them is under way.
//!
//! It decides nothing about when blocks are read; it never writes over a framed extent, only discards.

use std::collections::{BTreeMap, VecDeque};

use shoal_proto::layout::{BLOCK_LEN, Layout, Span};
use shoal_proto::message::PIECE_HEADER_LEN;
use shoal_world::Frame;

use crate::limits::RUN_BLOCKS_MAX;
use crate::torrent::TorrentId;

/// Length of a block with its header in front.
const FRAMED_BLOCK_LEN: u32 = BLOCK_LEN + PIECE_HEADER_LEN as u32;

/// Blocks of one framed extent.
const BLOCKS: u64 = RUN_BLOCKS_MAX as u64;

/// 16 consecutive blocks of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FrameKey {
    pub(crate) torrent: TorrentId,
    /// Offset in the torrent, in groups of 16 blocks.
    pub(crate) index: u32,
}

/// A block that could stand in a framed extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FramedBlock {
    pub(crate) index: u32,
    /// Its place among the 16.
    pub(crate) place: u32,
}

/// What to do about a block that is not in the hot cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Send it from the arena.
    Cold,
    /// Send it from the arena and promote it.
    Promote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Empty,
    /// Being written.
    Filling(FrameKey),
    Ready(FrameKey),
    /// Its torrent is gone; discarded when the last send ended.
    Orphaned,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    content: Content,
    /// Sends under way or planned.
    pins: u32,
    /// Used since second chance last looked.
    used: bool,
}

/// The framed extents of one core.
#[derive(Debug)]
pub(crate) struct HotCache {
    slots: Vec<Slot>,
    index: BTreeMap<FrameKey, Frame>,
    order: VecDeque<Frame>,
    free: Vec<Frame>,
    /// Blocks that were sent from the arena, by framed extent: a bit for each.
    seen: BTreeMap<FrameKey, u16>,
    seen_order: VecDeque<FrameKey>,
}

impl FramedBlock {
    /// Where a span would stand. `None` for what no framed extent can hold: torrents whose pieces are not a whole
    /// number of blocks, and requests that are not exactly a block.
    pub(crate) fn of(layout: &Layout, span: Span) -> Option<FramedBlock> {
        let regular =
            layout.piece_length().is_multiple_of(BLOCK_LEN) && span.offset().is_multiple_of(BLOCK_LEN);
        let whole = BLOCK_LEN.min(layout.piece_len(span.piece()) - span.offset());
        if !regular || span.len() != whole {
            return None;
        }
        let block = layout.offset(span) / u64::from(BLOCK_LEN);
        Some(FramedBlock {
            index: u32::try_from(block / BLOCKS).ok()?,
            place: (block % BLOCKS) as u32,
        })
    }

    /// First byte of the block's message in the framed extent.
    pub(crate) fn start(self) -> u32 {
        self.place * FRAMED_BLOCK_LEN
    }
}

/// The blocks of a framed extent, in order.
pub(crate) fn blocks_of(layout: &Layout, index: u32) -> impl Iterator<Item = Span> + '_ {
    let first = u64::from(index) * BLOCKS * u64::from(BLOCK_LEN);
    (0..BLOCKS).map_while(move |place| {
        let offset = first + place * u64::from(BLOCK_LEN);
        let len = u64::from(BLOCK_LEN).min(layout.total_len().checked_sub(offset)?);
        let piece = u32::try_from(offset / u64::from(layout.piece_length())).ok()?;
        layout.span(
            piece,
            (offset % u64::from(layout.piece_length())) as u32,
            len as u32,
        )
    })
}

/// How many framed extents a whole torrent takes.
pub(crate) fn frames_of(layout: &Layout) -> u64 {
    layout.total_len().div_ceil(BLOCKS * u64::from(BLOCK_LEN))
}

impl HotCache {
    pub(crate) fn new(frames: u32) -> HotCache {
        HotCache {
            slots: vec![
                Slot {
                    content: Content::Empty,
                    pins: 0,
                    used: false
                };
                frames as usize
            ],
            index: BTreeMap::new(),
            order: VecDeque::new(),
            free: (0..frames).rev().map(Frame).collect(),
            seen: BTreeMap::new(),
            seen_order: VecDeque::new(),
        }
    }

    /// Framed extents that hold nothing.
    pub(crate) fn free(&self) -> u64 {
        self.free.len() as u64
    }

    /// The framed extent that holds these blocks, pinned until [`HotCache::unpin`].
    pub(crate) fn pin(&mut self, key: FrameKey) -> Option<Frame> {
        let frame = *self.index.get(&key)?;
        let slot = &mut self.slots[frame.0 as usize];
        if slot.content != Content::Ready(key) {
            return None;
        }
        slot.pins += 1;
        slot.used = true;
        Some(frame)
    }

    /// Whether these blocks can be sent from a framed extent.
    pub(crate) fn holds(&self, key: FrameKey) -> bool {
        let frame = self.index.get(&key);
        frame.is_some_and(|frame| self.slots[frame.0 as usize].content == Content::Ready(key))
    }

    /// A send from a framed extent ended. True: it is to be discarded now.
    #[must_use]
    pub(crate) fn unpin(&mut self, frame: Frame) -> bool {
        let slot = &mut self.slots[frame.0 as usize];
        slot.pins = slot
            .pins
            .checked_sub(1)
            .expect("a framed extent was unpinned more often than pinned");
        slot.pins == 0 && slot.content == Content::Orphaned && self.release(frame)
    }

    /// Remembers that a block was asked for, and says whether it has been before. `warm`: its torrent fits into free
    /// room as a whole.
    pub(crate) fn advise(&mut self, key: FrameKey, place: u32, warm: bool) -> Advice {
        if self.slots.is_empty() || self.index.contains_key(&key) {
            return Advice::Cold;
        }
        if warm && !self.free.is_empty() {
            return Advice::Promote;
        }
        let bit = 1_u16 << place;
        match self.seen.get_mut(&key) {
            Some(bits) if *bits & bit != 0 => return Advice::Promote,
            Some(bits) => *bits |= bit,
            None => self.remember(key, bit),
        }
        Advice::Cold
    }

    /// A framed extent to write these blocks to, and whether it must be discarded first. `None`: all are in use, or
    /// one holds the blocks already.
    pub(crate) fn start_filling(&mut self, key: FrameKey) -> Option<(Frame, bool)> {
        if self.index.contains_key(&key) {
            return None;
        }
        let (frame, discard) = match self.free.pop() {
            Some(frame) => (frame, false),
            None => (self.evict()?, true),
        };
        self.slots[frame.0 as usize] = Slot {
            content: Content::Filling(key),
            pins: 0,
            used: false,
        };
        self.index.insert(key, frame);
        self.order.push_back(frame);
        self.seen.remove(&key);
        Some((frame, discard))
    }

    /// The writing of a framed extent ended. True: it is to be discarded now.
    #[must_use]
    pub(crate) fn filled(&mut self, frame: Frame, whole: bool) -> bool {
        let slot = &mut self.slots[frame.0 as usize];
        match slot.content {
            Content::Filling(key) if whole => {
                slot.content = Content::Ready(key);
                false
            }
            Content::Filling(key) => {
                self.index.remove(&key);
                self.release(frame)
            }
            Content::Orphaned => self.release(frame),
            Content::Empty | Content::Ready(_) => panic!("a framed extent was filled that nobody filled"),
        }
    }

    /// Forgets a torrent; returns what is to be discarded now. The rest follows as sends and writes end.
    pub(crate) fn forget(&mut self, torrent: TorrentId) -> Vec<Frame> {
        let range = FrameKey { torrent, index: 0 }..=FrameKey {
            torrent,
            index: u32::MAX,
        };
        let held: Vec<(FrameKey, Frame)> = self
            .index
            .range(range)
            .map(|(key, frame)| (*key, *frame))
            .collect();
        self.seen.retain(|key, _| key.torrent != torrent);
        let mut discard = Vec::new();
        for (key, frame) in held {
            self.index.remove(&key);
            let slot = &mut self.slots[frame.0 as usize];
            let filling = matches!(slot.content, Content::Filling(_));
            slot.content = Content::Orphaned;
            if !filling && slot.pins == 0 && self.release(frame) {
                discard.push(frame);
            }
        }
        discard
    }

    fn remember(&mut self, key: FrameKey, bit: u16) {
        // What is asked for again within the time in which the cache turns over once is worth its room.
        while self.seen_order.len() >= self.slots.len() {
            if let Some(oldest) = self.seen_order.pop_front() {
                self.seen.remove(&oldest);
            }
        }
        self.seen.insert(key, bit);
        self.seen_order.push_back(key);
    }

    /// Makes a framed extent free; true, for the caller to emit the discard.
    fn release(&mut self, frame: Frame) -> bool {
        self.slots[frame.0 as usize] = Slot {
            content: Content::Empty,
            pins: 0,
            used: false,
        };
        self.order.retain(|other| *other != frame);
        self.free.push(frame);
        true
    }

    fn evict(&mut self) -> Option<Frame> {
        // Twice around: the first round takes the chances away, the second finds who used his up.
        for _ in 0..2 * self.order.len() {
            let frame = self.order.pop_front()?;
            let slot = &mut self.slots[frame.0 as usize];
            match slot.content {
                Content::Ready(key) if slot.pins == 0 && !slot.used => {
                    self.index.remove(&key);
                    return Some(frame);
                }
                _ => {
                    slot.used = false;
                    self.order.push_back(frame);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
