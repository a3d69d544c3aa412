//! Piece buffers: where blocks land until their piece is verified and written.
//!
//! A buffer is made of extents of the same arena that the cold cache lives in, and holds its piece as the torrent's
//! page space does: every page of a file at its place in an extent, so that whole pages go to the disk as they lie and
//! an extent whose pieces were written becomes part of the cache without a copy. Pieces that meet in an extent
//! share it. A piece of many tiny files would need a page for each; it is packed without gaps instead, and written
//! through the page cache.
//!
//! What is taken here is taken from the cache, and never so much that nothing is left to seed from. A piece gets all
//! of its extents before its first block is asked for, or none: memory bounds what is asked for, and so what arrives.
//!
//! It decides neither which pieces are begun nor when they are written.

use std::collections::BTreeMap;

use shoal_proto::layout::{FileIndex, Layout, PieceIndex};
use shoal_world::{EXTENT_LEN, Errno, Extent};
use slab::Slab;

use crate::cache::{Cache, ExtentKey, Pages};
use crate::limits::SERVING_EXTENTS_MIN;
use crate::torrent::{FilePlace, TorrentId, places};

/// A piece buffer by number; it is not used again before everything that was under way on it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BufferId(pub(crate) u32);

/// A piece on its way from peers to the disk.
#[derive(Debug)]
pub(crate) struct PieceBuffer {
    /// `None`: the torrent is gone, and the buffer goes when nothing is under way on it.
    pub(crate) torrent: Option<TorrentId>,
    pub(crate) piece: PieceIndex,
    pub(crate) stage: Stage,
    room: Room,
}

/// What is happening to a piece.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its blocks come in.
    Filling,
    /// It is being hashed as a whole.
    Hashing,
    /// It is wrong, or right where it was wrong before: its blocks are hashed one by one, to tell who lied.
    Comparing {
        /// Whether the piece as a whole is right.
        right: bool,
        /// Digests of its blocks, in order, as they come.
        digests: Vec<Option<[u8; 20]>>,
    },
    /// It is right and being written.
    Writing {
        /// Writes that have not ended.
        left: u32,
        /// Why one of them failed.
        failed: Option<(FileIndex, Errno)>,
    },
    /// A write failed: it waits for another attempt.
    Unwritten,
}

/// Which extents hold a piece.
#[derive(Debug)]
enum Room {
    /// Those of the torrent's page space from this one on.
    InPlace { first: u32, extents: Vec<Extent> },
    /// The piece from its first byte on, without gaps.
    Packed(Vec<Extent>),
}

/// Some bytes of a piece in memory, and where they belong on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) extent: Extent,
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) file: FileIndex,
    /// First byte in the file.
    pub(crate) offset: u64,
    /// They belong nowhere on disk.
    pub(crate) padding: bool,
}

/// What a torrent's buffers are cut by.
#[derive(Clone, Copy)]
pub(crate) struct Cut<'a> {
    pub(crate) id: TorrentId,
    pub(crate) layout: &'a Layout,
    pub(crate) files: &'a [FilePlace],
}

/// An extent that pieces lie in.
#[derive(Debug)]
struct Held {
    /// What it stands for; `None`: nothing that the cache could use.
    key: Option<ExtentKey>,
    /// Pieces that lie in it.
    pieces: u32,
    /// Pages that were written as a whole.
    written: Pages,
}

/// The piece buffers of one core.
#[derive(Debug)]
pub(crate) struct PieceBuffers {
    pieces: Slab<PieceBuffer>,
    held: BTreeMap<Extent, Held>,
    /// Where parts of page spaces are being put together.
    index: BTreeMap<ExtentKey, Extent>,
    taken_max: u32,
    /// Extents became free since this was asked last.
    freed: bool,
}

impl PieceBuffers {
    /// Buffers in an arena of so many extents.
    pub(crate) fn new(extents: u32) -> PieceBuffers {
        PieceBuffers {
            pieces: Slab::new(),
            held: BTreeMap::new(),
            index: BTreeMap::new(),
            taken_max: extents.saturating_sub(SERVING_EXTENTS_MIN),
            freed: false,
        }
    }

    pub(crate) fn get(&self, id: BufferId) -> &PieceBuffer {
        &self.pieces[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: BufferId) -> &mut PieceBuffer {
        &mut self.pieces[id.0 as usize]
    }

    /// Whether extents became free since this was asked last.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Whether a piece of a torrent could be held at all, with nothing else in memory.
    pub(crate) fn fits(&self, cut: Cut<'_>, piece: PieceIndex) -> bool {
        let (first, last) = extents_of(cut, piece);
        (last - first + 1).min(packed_count(cut, piece)) <= self.taken_max
    }

    /// Room for a piece. `None`: there is none now.
    pub(crate) fn begin(&mut self, cache: &mut Cache, cut: Cut<'_>, piece: PieceIndex) -> Option<BufferId> {
        let (first, last) = extents_of(cut, piece);
        let packed = packed_count(cut, piece);
        // In place a piece may take twice what it needs, and the two extents at its ends, where there is ever room for
        // that.
        let in_place = last - first < 2 * packed + 1 && last - first < self.taken_max;
        let room = if in_place {
            self.begin_in_place(cache, cut.id, first, last)?
        } else {
            self.begin_packed(cache, packed)?
        };
        let id = self.pieces.insert(PieceBuffer {
            torrent: Some(cut.id),
            piece,
            stage: Stage::Filling,
            room,
        });
        Some(BufferId(id as u32))
    }

    fn begin_in_place(
        &mut self,
        cache: &mut Cache,
        torrent: TorrentId,
        first: u32,
        last: u32,
    ) -> Option<Room> {
        let key = |index| ExtentKey { torrent, index };
        let missing: Vec<ExtentKey> = (first..=last)
            .map(key)
            .filter(|key| !self.index.contains_key(key))
            .collect();
        let taken = self.take(cache, missing.len() as u32)?;
        for (key, extent) in missing.into_iter().zip(taken) {
            self.index.insert(key, extent);
            self.hold(extent).key = Some(key);
        }
        let extents: Vec<Extent> = (first..=last).map(|index| self.index[&key(index)]).collect();
        for extent in &extents {
            self.hold(*extent).pieces += 1;
        }
        Some(Room::InPlace { first, extents })
    }

    fn begin_packed(&mut self, cache: &mut Cache, count: u32) -> Option<Room> {
        let extents = self.take(cache, count)?;
        for extent in &extents {
            self.hold(*extent).pieces += 1;
        }
        Some(Room::Packed(extents))
    }

    fn hold(&mut self, extent: Extent) -> &mut Held {
        self.held.entry(extent).or_insert(Held {
            key: None,
            pieces: 0,
            written: Pages::default(),
        })
    }

    fn take(&mut self, cache: &mut Cache, count: u32) -> Option<Vec<Extent>> {
        if self.held.len() as u32 + count > self.taken_max {
            return None;
        }
        let mut extents = Vec::with_capacity(count as usize);
        while extents.len() < count as usize {
            let Some(extent) = cache.take_away() else {
                extents.into_iter().for_each(|extent| cache.give_back(extent));
                return None;
            };
            extents.push(extent);
        }
        Some(extents)
    }

    /// Where `len` bytes of a piece from `start` on lie, in order.
    pub(crate) fn each_spot(
        &self,
        id: BufferId,
        cut: Cut<'_>,
        start: u32,
        len: u32,
        mut visit: impl FnMut(Spot),
    ) {
        let buffer = self.get(id);
        let from = cut.layout.piece_offset(buffer.piece) + u64::from(start);
        match &buffer.room {
            Room::InPlace { first, extents } => {
                for place in places(cut.layout, cut.files, from, u64::from(len)) {
                    visit(Spot {
                        extent: extents[(place.extent - first) as usize],
                        start: place.start,
                        len: place.len,
                        file: place.file,
                        offset: place.offset,
                        padding: place.padding,
                    });
                }
            }
            Room::Packed(extents) => {
                let mut at = start;
                for segment in cut.layout.segments(from, u64::from(len)) {
                    let mut offset = segment.offset;
                    let mut left = segment.len as u32;
                    while left > 0 {
                        let start = at % EXTENT_LEN;
                        let len = left.min(EXTENT_LEN - start);
                        visit(Spot {
                            extent: extents[(at / EXTENT_LEN) as usize],
                            start,
                            len,
                            file: segment.file,
                            offset,
                            padding: segment.padding,
                        });
                        at += len;
                        offset += u64::from(len);
                        left -= len;
                    }
                }
            }
        }
    }

    /// A piece was written: its pages may become part of the cache.
    pub(crate) fn note_written(&mut self, id: BufferId, cut: Cut<'_>) {
        let mut written = Vec::new();
        let piece = self.get(id).piece;
        self.each_spot(id, cut, 0, cut.layout.piece_len(piece), |spot| {
            let ends_file = spot.offset + u64::from(spot.len) == cut.layout.file(spot.file).len;
            let pages = Pages::filled_by(spot.start, spot.len, ends_file);
            written.push((spot.extent, pages));
        });
        for (extent, pages) in written {
            let held = self.hold(extent);
            held.written = held.written.with(pages);
        }
    }

    /// Lets go of a piece. Extents that no other piece lies in go back to the cache: as what they hold where all of it
    /// was written, else empty.
    pub(crate) fn release(&mut self, id: BufferId, cache: &mut Cache) {
        let buffer = self.pieces.remove(id.0 as usize);
        self.freed = true;
        let (Room::InPlace { extents, .. } | Room::Packed(extents)) = buffer.room;
        let mut empty = Vec::new();
        for extent in extents {
            let held = self.hold(extent);
            held.pieces -= 1;
            if held.pieces > 0 {
                continue;
            }
            let Some(Held { key, written, .. }) = self.held.remove(&extent) else {
                continue;
            };
            if let Some(key) = key {
                self.index.remove(&key);
            }
            match key {
                Some(key) if !written.is_empty() => cache.adopt(key, extent, written),
                _ => empty.push(extent),
            }
        }
        // What is given back last is taken first: neighbours stay neighbours, and their writes one write.
        empty.into_iter().rev().for_each(|extent| cache.give_back(extent));
    }

    /// Cuts a torrent's buffers loose: they go when nothing is under way on them any more, most of them now.
    pub(crate) fn orphan(&mut self, torrent: TorrentId, cache: &mut Cache) {
        let range = ExtentKey { torrent, index: 0 }..=ExtentKey {
            torrent,
            index: u32::MAX,
        };
        let keys: Vec<ExtentKey> = self.index.range(range).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(extent) = self.index.remove(&key) {
                self.hold(extent).key = None;
            }
        }
        let mut idle = Vec::new();
        for (id, buffer) in &mut self.pieces {
            if buffer.torrent == Some(torrent) {
                buffer.torrent = None;
                idle.extend(buffer.is_idle().then_some(BufferId(id as u32)));
            }
        }
        for id in idle {
            self.release(id, cache);
        }
    }
}

impl PieceBuffer {
    /// Whether no operation is under way on it.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.stage {
            Stage::Filling | Stage::Unwritten => true,
            Stage::Hashing => false,
            Stage::Comparing { digests, .. } => digests.iter().all(Option::is_some),
            Stage::Writing { left, .. } => *left == 0,
        }
    }
}

/// The first and the last extent of the page space that a piece touches.
fn extents_of(cut: Cut<'_>, piece: PieceIndex) -> (u32, u32) {
    let start = cut.layout.piece_offset(piece);
    let len = u64::from(cut.layout.piece_len(piece));
    let extent_of = |offset: u64| {
        let place = places(cut.layout, cut.files, offset, 1).next();
        place.expect("a byte of a piece lies in a file").extent
    };
    (extent_of(start), extent_of(start + len - 1))
}

/// Extents that a piece needs at least.
fn packed_count(cut: Cut<'_>, piece: PieceIndex) -> u32 {
    cut.layout.piece_len(piece).div_ceil(EXTENT_LEN)
}

#[cfg(test)]
mod tests;
