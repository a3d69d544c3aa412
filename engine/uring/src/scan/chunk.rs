//! What is planned, read and hashed at once: up to a mebibyte of the space, and where its bytes are.
//!
//! Each extent of a chunk has its own place: a slot of the reader, the page cache, or nowhere. A read that fails or comes
//! back short is not examined: the extent is read once more through the page cache when it is hashed, where every
//! error gets its one treatment.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::AsRawFd;

use shoal_world::PAGE_LEN;

use super::Source;
use super::files::{Acquired, Files};
use super::hashing::Span;
use super::reader::{Read, Reader};
use super::space::{Extent, Space};
use crate::kernel::IoMode;

/// Extents in one chunk: with more of them, many tiny files would be open at once.
const EXTENTS_MAX: usize = 64;

/// See the module.
pub(super) struct Chunk {
    /// The bytes of the space.
    pub(super) range: Range<u64>,
    extents: Vec<Located>,
    slot: Option<usize>,
    /// Reads in flight.
    reads: usize,
}

/// An extent, and where its bytes are to be found.
struct Located {
    extent: Extent,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// In the reader's memory, from byte `at` on, once a read has brought `wanted_len` bytes.
    Memory { at: usize, wanted_len: u64 },
    /// In the page cache, or to be read through it.
    Cached,
    /// They are zero.
    Zeroes,
    /// Nowhere.
    Unread,
}

/// Where the bytes of one worker come from.
pub(super) struct Storage<'a> {
    pub(super) space: &'a Space<'a>,
    pub(super) files: Files,
    /// Nothing where the kernel refuses rings: then everything is read through the page cache.
    pub(super) reader: Option<Reader>,
    pub(super) io_mode: IoMode,
    pub(super) chunk_len: usize,
    pub(super) slot_len: usize,
}

impl Storage<'_> {
    /// Makes a chunk of the beginning of `range`, and starts its reads. Answers to them carry `token` in the upper half.
    /// Nothing while all files that may be open are in use by other chunks.
    pub(super) fn plan(&mut self, range: Range<u64>, token: u32) -> Option<Chunk> {
        let end = range.end.min(range.start + self.chunk_len as u64);
        let mut chunk = Chunk {
            range: range.start..range.start,
            extents: Vec::new(),
            slot: None,
            reads: 0,
        };
        let mut slot_used = 0;
        while chunk.range.end < end && chunk.extents.len() < EXTENTS_MAX {
            let mut rest = self.space.extents(chunk.range.end..end);
            let extent = rest.next().expect("the space holds what is planned of it");
            drop(rest);
            let Some(located) = self.locate(extent, &mut chunk, &mut slot_used, token) else {
                break;
            };
            chunk.range.end += located.extent.len;
            chunk.extents.push(located);
        }
        (!chunk.extents.is_empty()).then_some(chunk)
    }

    /// Where an extent, or the beginning of it, is to be found. Nothing if it is not for this chunk: the slot has no room
    /// for any of it, or its file cannot be opened yet.
    fn locate(
        &mut self,
        extent: Extent,
        chunk: &mut Chunk,
        slot_used: &mut usize,
        token: u32,
    ) -> Option<Located> {
        let Source::File(path) = &self.space.parts()[extent.part].source else {
            return Some(Located {
                extent,
                place: Place::Zeroes,
            });
        };
        let file = match self.files.acquire(extent.part, path) {
            Acquired::File(file) => file,
            Acquired::Failed => {
                return Some(Located {
                    extent,
                    place: Place::Unread,
                });
            }
            Acquired::Later => return None,
        };
        let size = file.before.size;
        if extent.offset >= size {
            self.files.release(extent.part);
            return Some(Located {
                extent,
                place: Place::Unread,
            });
        }
        let extent = Extent {
            len: extent.len.min(size - extent.offset),
            ..extent
        };
        let Some(reader) = &mut self.reader else {
            return Some(Located {
                extent,
                place: Place::Cached,
            });
        };
        if self.io_mode != IoMode::Direct && file.is_resident(extent.offset, extent.len) {
            return Some(Located {
                extent,
                place: Place::Cached,
            });
        }
        let (descriptor, alignment) = match file.direct() {
            Some(direct) => (direct.as_raw_fd(), u64::from(PAGE_LEN)),
            None => (file.cached.as_raw_fd(), 1),
        };
        let start = extent.offset - extent.offset % alignment;
        let end = (extent.offset + extent.len).min(start + (self.slot_len - *slot_used) as u64);
        if end <= extent.offset {
            self.files.release(extent.part);
            return None;
        }
        let extent = Extent {
            len: end - extent.offset,
            ..extent
        };
        let slot = *chunk
            .slot
            .get_or_insert_with(|| reader.take_slot().expect("as many slots as chunks"));
        let at = slot + *slot_used;
        let read_len = end.next_multiple_of(alignment) - start;
        reader.read(&Read {
            descriptor,
            offset: start,
            at,
            len: u32::try_from(read_len).expect("a slot is shorter than 4 GiB"),
            token: u64::from(token) << 32 | chunk.extents.len() as u64,
        });
        chunk.reads += 1;
        *slot_used += (read_len as usize).next_multiple_of(PAGE_LEN as usize);
        let place = Place::Memory {
            at: at + (extent.offset - start) as usize,
            wanted_len: end - start,
        };
        Some(Located { extent, place })
    }

    /// A read for an extent of this chunk was answered.
    pub(super) fn answered(&mut self, chunk: &mut Chunk, extent: u32, result: i32) {
        chunk.reads -= 1;
        let located = &mut chunk.extents[extent as usize];
        let Place::Memory { wanted_len, .. } = located.place else {
            unreachable!("only extents in memory are read by the ring");
        };
        if u64::try_from(result).is_ok_and(|read_len| read_len >= wanted_len) {
            return;
        }
        located.place = Place::Cached;
        if result == -libc::EINVAL {
            self.files.refuses_direct(located.extent.part);
        }
    }

    /// The bytes of `range`, a part of the chunk, or the part that they could not be read from.
    pub(super) fn spans(&self, chunk: &Chunk, range: &Range<u64>) -> Result<VecDeque<Span<'_>>, usize> {
        let mut spans = VecDeque::new();
        let mut start = chunk.range.start;
        for Located { extent, place } in &chunk.extents {
            let extent_range = start..start + extent.len;
            start = extent_range.end;
            let (from, to) = (
                range.start.max(extent_range.start),
                range.end.min(extent_range.end),
            );
            if from >= to {
                continue;
            }
            let skipped = from - extent_range.start;
            let len = (to - from) as usize;
            spans.push_back(match *place {
                Place::Unread => return Err(extent.part),
                Place::Zeroes => Span::Zeroes(len),
                Place::Memory { at, .. } => {
                    let reader = self
                        .reader
                        .as_ref()
                        .expect("whoever read into memory has a reader");
                    Span::Bytes(reader.bytes(at + skipped as usize, len))
                }
                Place::Cached => Span::Cached {
                    part: extent.part,
                    file: &self.files.file(extent.part).cached,
                    offset: extent.offset + skipped,
                    len,
                },
            });
        }
        Ok(spans)
    }

    /// The chunk is done with.
    pub(super) fn release(&mut self, chunk: &Chunk) {
        assert!(chunk.is_ready(), "a chunk was released while it was being read");
        for located in &chunk.extents {
            if matches!(located.place, Place::Memory { .. } | Place::Cached) {
                self.files.release(located.extent.part);
            }
        }
        if let (Some(slot), Some(reader)) = (chunk.slot, &mut self.reader) {
            reader.return_slot(slot);
        }
    }
}

impl Chunk {
    /// Whether all of its reads were answered.
    pub(super) fn is_ready(&self) -> bool {
        self.reads == 0
    }
}
