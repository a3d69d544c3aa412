//! The parts as one space of bytes: which bytes are where, and how the space is cut.
//!
//! Three cuts lie over the space. *Pieces* are given. *Units* are runs of whole pieces that one worker claims at a time.
//! *Extents* are the stretches of parts that a range of the space consists of.

use std::ops::Range;

use super::Part;

/// A stretch of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Index of the part.
    pub(super) part: usize,
    /// First byte, counted from the start of the part.
    pub(super) offset: u64,
    /// Length in bytes, never 0.
    pub(super) len: u64,
}

/// The parts, laid end to end.
pub(super) struct Space<'a> {
    parts: &'a [Part],
    /// Where each part begins, and at the end where the last one ends.
    starts: Vec<u64>,
    piece_len: u64,
}

impl<'a> Space<'a> {
    pub(super) fn new(parts: &'a [Part], piece_len: u32) -> Space<'a> {
        assert!(piece_len > 0, "pieces have a length");
        let mut starts = vec![0_u64];
        for part in parts {
            let end = starts[starts.len() - 1].checked_add(part.len);
            starts.push(end.expect("the lengths of all parts together fit 64 bits"));
        }
        let space = Space {
            parts,
            starts,
            piece_len: u64::from(piece_len),
        };
        assert!(
            u32::try_from(space.pieces()).is_ok(),
            "more pieces than 32 bits can number"
        );
        space
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.starts[self.parts.len()]
    }

    pub(super) fn parts(&self) -> &'a [Part] {
        self.parts
    }

    /// Number of pieces; the last may be shorter.
    pub(super) fn pieces(&self) -> u64 {
        self.len().div_ceil(self.piece_len)
    }

    pub(super) fn piece_len(&self) -> u64 {
        self.piece_len
    }

    /// The pieces that a range of bytes, which is not empty, touches.
    pub(super) fn pieces_in(&self, range: &Range<u64>) -> Range<u64> {
        range.start / self.piece_len..(range.end - 1) / self.piece_len + 1
    }

    /// The bytes of a run of pieces.
    pub(super) fn bytes(&self, pieces: Range<u64>) -> Range<u64> {
        let end = |pieces: u64| (pieces * self.piece_len).min(self.len());
        end(pieces.start)..end(pieces.end)
    }

    /// What the space consists of from byte `start` on, up to byte `end`.
    pub(super) fn extents(&self, range: Range<u64>) -> impl Iterator<Item = Extent> + '_ {
        // The last part that begins at or before the start; empty parts in between hold no byte.
        let first = self
            .starts
            .partition_point(|part_start| *part_start <= range.start)
            .saturating_sub(1);
        let end = range.end.min(self.len());
        let mut at = range.start;
        (first..self.parts.len())
            .map_while(move |part| {
                if at >= end {
                    return None;
                }
                let part_end = self.starts[part + 1].min(end);
                let extent = Extent {
                    part,
                    offset: at - self.starts[part],
                    len: part_end - at,
                };
                at = part_end;
                Some(extent)
            })
            .filter(|extent| extent.len > 0)
    }
}

#[cfg(test)]
mod tests;
