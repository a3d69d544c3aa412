//! How a scan is laid out: threads, chunks, reads in flight, and the memory that they need.

use super::Options;
use super::device::Motion;
use super::space::Space;
use shoal_world::PAGE_LEN;

/// Longest chunk: reads of this length reach the full rate of every disk measured, and four of them are hashed in a
/// millisecond, in which the reads in flight do not run dry.
const CHUNK_LEN_MAX: usize = 1 << 20;

/// Shortest chunk: shorter reads cost more than half of a disk's rate.
const CHUNK_LEN_MIN: usize = 64 << 10;

/// Reads in flight of all threads together, on a disk without an arm.
const DEPTH_STILL: usize = 16;

/// Reads in flight that one thread at least needs not to wait for each of them.
const DEPTH_THREAD_MIN: usize = 4;

/// One read being made and the next one waiting.
const DEPTH_ARM: usize = 2;

/// What alignment costs in a slot: an extent that begins and ends anywhere touches up to one page more at each end.
/// There is room for two such extents in a chunk of full length; more of them make the chunk shorter.
const SLOT_SLACK: usize = 4 * PAGE_LEN as usize;

/// The same for all threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many there are.
    pub(super) threads: usize,
    /// Longest chunk in bytes.
    pub(super) chunk_len: usize,
    /// Pieces in a unit: as many as fit a chunk, or one that takes several.
    pub(super) pieces_per_unit: u64,
    /// Units of several chunks that one thread advances side by side.
    pub(super) units: usize,
    /// Reads that one thread keeps in flight.
    pub(super) depth: usize,
    /// Chunks that one thread holds: while as many as a kernel takes are hashed, `depth` others are read.
    pub(super) slots: usize,
}

impl Shape {
    /// The layout for a space on disks that move like this, with a kernel that takes `lanes` messages at once.
    pub(super) fn new(space: &Space<'_>, options: &Options, motion: Motion, lanes: usize) -> Shape {
        let wanted = match motion {
            Motion::Arm => 1,
            Motion::Still => {
                let available = || std::thread::available_parallelism().map_or(1, usize::from);
                let chunks = usize::try_from(space.len() / CHUNK_LEN_MAX as u64).unwrap_or(usize::MAX);
                options
                    .threads
                    .map_or_else(available, usize::from)
                    .min(chunks.max(1))
            }
        };
        let with =
            |threads, lanes| Shape::with(space.piece_len(), threads, motion, lanes, options.memory_len);
        let fitting = (1..=wanted)
            .rev()
            .find_map(|threads| with(threads, lanes))
            .or_else(|| with(1, 1));
        fitting.unwrap_or(Shape {
            threads: 1,
            chunk_len: CHUNK_LEN_MIN,
            pieces_per_unit: (CHUNK_LEN_MIN as u64 / space.piece_len()).max(1),
            units: 1,
            depth: 1,
            slots: 1,
        })
    }

    /// The layout for so many threads with the longest chunks that fit the memory, if any do.
    fn with(
        piece_len: u64,
        threads: usize,
        motion: Motion,
        lanes: usize,
        memory_len: usize,
    ) -> Option<Shape> {
        let (units, depth) = match motion {
            Motion::Arm => (1, DEPTH_ARM),
            Motion::Still => (lanes, (DEPTH_STILL / threads).max(DEPTH_THREAD_MIN).max(lanes)),
        };
        let slots = depth + lanes;
        let chunk_lens = std::iter::successors(Some(CHUNK_LEN_MAX), |len| Some(len / 2));
        let chunk_len = chunk_lens
            .take_while(|len| *len >= CHUNK_LEN_MIN)
            .find(|len| threads * slots * (len + SLOT_SLACK) <= memory_len)?;
        let pieces_per_unit = (chunk_len as u64 / piece_len).max(1);
        Some(Shape {
            threads,
            chunk_len,
            pieces_per_unit,
            units,
            depth,
            slots,
        })
    }

    /// Bytes of a slot.
    pub(super) fn slot_len(&self) -> usize {
        self.chunk_len + SLOT_SLACK
    }
}

#[cfg(test)]
mod tests;
