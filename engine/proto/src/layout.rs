//! Where everything is: the one owner of every mapping between pieces, blocks and files.
//!
//! A torrent's payload is one stream of bytes. Pieces cut it at equal lengths, files lie in it one after
//! another, blocks are what requests are made of. A [`Layout`] is a value of those lengths only: it knows
//! neither names nor hashes, and never changes once built, so share it by `Arc`.
//!
//! Invariants:
//! - A [`PieceIndex`] is below the piece count of the layout it came from, a [`FileIndex`] below its file
//!   count, and a [`Span`] lies inside its piece and is not empty. There is no other way to make one, so past
//!   this door nothing is checked again.
//! - The segments of a range cover it exactly, in order, and none is empty.
//!
//! Version 2 torrents (BEP 52) align pieces to files; that will be another constructor here, not another
//! type.

use std::fmt;

use thiserror::Error;

use crate::limits::{FILES_MAX, PIECE_LENGTH_MAX, PIECE_LENGTH_MIN, PIECES_MAX, TOTAL_LEN_MAX};

/// Bytes in a block: what every client asks for in one request, except for the end of the torrent.
pub const BLOCK_LEN: u32 = 16_384;

/// A piece that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

/// A file that exists. Padding files (BEP 47) count, so indices are those of the metainfo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIndex(u32);

/// A part of one piece: never empty, never beyond the piece's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    piece: PieceIndex,
    offset: u32,
    len: u32,
}

/// Where the payload's bytes of one file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileExtent {
    /// Offset of the file's first byte in the payload.
    pub start: u64,
    /// Bytes in the file; may be 0.
    pub len: u64,
    /// A padding file (BEP 47): all zero, present in hashes, absent on disk.
    pub padding: bool,
}

/// A part of one file; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The file.
    pub file: FileIndex,
    /// Offset of the segment's first byte in that file.
    pub offset: u64,
    /// Bytes in the segment.
    pub len: u64,
    /// The file is padding: its bytes are zero and nothing is read or written.
    pub padding: bool,
}

/// One file as a constructor needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLength {
    /// Bytes in the file.
    pub len: u64,
    /// A padding file (BEP 47).
    pub padding: bool,
}

/// Why lengths make no torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// The piece length is zero, tiny or huge.
    #[error("a piece of {piece_length} bytes is outside {PIECE_LENGTH_MIN} to {PIECE_LENGTH_MAX}")]
    PieceLength {
        /// The length that was given.
        piece_length: u32,
    },
    /// All files together have no bytes.
    #[error("the files hold no bytes at all")]
    Empty,
    /// The sum of the file lengths is over the maximum.
    #[error("the files hold more than {TOTAL_LEN_MAX} bytes")]
    TotalLength,
    /// Too many pieces for one torrent.
    #[error("{pieces} pieces are more than {PIECES_MAX}")]
    Pieces {
        /// The count that follows from the lengths.
        pieces: u64,
    },
    /// Too many files for one torrent.
    #[error("there are more than {FILES_MAX} files")]
    Files,
}

/// The lengths of a torrent's pieces and files, and every mapping between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    piece_length: u32,
    pieces: u32,
    total_len: u64,
    files: Box<[FileExtent]>,
}

impl Layout {
    /// A version 1 layout: files one after another, pieces of equal length but for the last.
    pub fn new(
        piece_length: u32,
        files: impl IntoIterator<Item = FileLength>,
    ) -> Result<Layout, LayoutError> {
        if !(PIECE_LENGTH_MIN..=PIECE_LENGTH_MAX).contains(&piece_length) {
            return Err(LayoutError::PieceLength { piece_length });
        }
        let mut total_len: u64 = 0;
        let mut extents = Vec::new();
        for FileLength { len, padding } in files {
            if extents.len() == FILES_MAX {
                return Err(LayoutError::Files);
            }
            extents.push(FileExtent {
                start: total_len,
                len,
                padding,
            });
            total_len = match total_len.checked_add(len) {
                Some(sum) if sum <= TOTAL_LEN_MAX => sum,
                _ => return Err(LayoutError::TotalLength),
            };
        }
        if total_len == 0 {
            return Err(LayoutError::Empty);
        }
        let pieces = total_len.div_ceil(u64::from(piece_length));
        if pieces > u64::from(PIECES_MAX) {
            return Err(LayoutError::Pieces { pieces });
        }
        Ok(Layout {
            piece_length,
            pieces: pieces as u32,
            total_len,
            files: extents.into(),
        })
    }

    /// A piece by the number that somebody else gave, if there is such a piece.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.pieces).then_some(PieceIndex(index))
    }

    /// A part of a piece by the numbers that somebody else gave: `None` unless it has bytes and all of them
    /// exist.
    pub fn span(&self, piece: u32, offset: u32, len: u32) -> Option<Span> {
        let piece = self.piece(piece)?;
        let end = offset.checked_add(len)?;
        (len > 0 && end <= self.piece_len(piece)).then_some(Span { piece, offset, len })
    }

    /// How many pieces there are; at least 1.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Every piece, in order.
    pub fn piece_indices(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + use<> {
        (0..self.pieces).map(PieceIndex)
    }

    /// Bytes in every piece but the last, which may be shorter.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Bytes in this piece.
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        let left = self.total_len - self.piece_offset(piece);
        left.min(u64::from(self.piece_length)) as u32
    }

    /// Bytes in the payload, padding included.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Offset of the piece's first byte in the payload.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        assert!(
            piece.0 < self.pieces,
            "a piece index must come from this torrent's layout"
        );
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// Offset of the span's first byte in the payload.
    pub fn offset(&self, span: Span) -> u64 {
        self.piece_offset(span.piece) + u64::from(span.offset)
    }

    /// How many blocks of [`BLOCK_LEN`] the piece has, a shorter last one included.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK_LEN)
    }

    /// The blocks of the piece, in order.
    pub fn blocks(&self, piece: PieceIndex) -> impl Iterator<Item = Span> + use<> {
        let piece_len = self.piece_len(piece);
        (0..self.block_count(piece)).map(move |block| {
            let offset = block * BLOCK_LEN;
            Span {
                piece,
                offset,
                len: BLOCK_LEN.min(piece_len - offset),
            }
        })
    }

    /// How many files there are, padding included; at least 1.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Every file, in order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (FileIndex, FileExtent)> + '_ {
        self.files
            .iter()
            .enumerate()
            .map(|(index, extent)| (FileIndex(index as u32), *extent))
    }

    /// Where the file is in the payload.
    pub fn file(&self, file: FileIndex) -> FileExtent {
        self.files[file.index()]
    }

    /// The parts of files that hold `len` bytes of the payload from `start` on, in order, without empty ones.
    /// The range must lie in the payload: take it from a [`Span`] or from [`Layout::total_len`].
    pub fn segments(&self, start: u64, len: u64) -> impl Iterator<Item = Segment> + '_ {
        let end = start.checked_add(len).filter(|end| *end <= self.total_len);
        let end = end.expect("a range of payload must not pass the payload's end");
        // Of files that start at the same byte only the last can have bytes, and it is the last that this
        // finds.
        let first = self
            .files
            .partition_point(|file| file.start <= start)
            .saturating_sub(1);
        let touched = self.files[first..]
            .iter()
            .take_while(move |file| file.start < end);
        touched.enumerate().filter_map(move |(position, file)| {
            let from = start.max(file.start);
            let to = end.min(file.start + file.len);
            (from < to).then(|| Segment {
                file: FileIndex((first + position) as u32),
                offset: from - file.start,
                len: to - from,
                padding: file.padding,
            })
        })
    }
}

impl PieceIndex {
    /// The number as the wire has it.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number as an index into a slice with one entry for each piece.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// For this crate's own iterations, which know their range.
    pub(crate) fn within(index: u32, pieces: u32) -> PieceIndex {
        assert!(
            index < pieces,
            "an iteration over pieces must stop at their count"
        );
        PieceIndex(index)
    }
}

impl FileIndex {
    /// The number as other programs have it.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number as an index into a slice with one entry for each file.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Span {
    /// The piece.
    pub fn piece(self) -> PieceIndex {
        self.piece
    }

    /// Offset of the first byte in the piece.
    pub fn offset(self) -> u32 {
        self.offset
    }

    /// Bytes; at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub fn len(self) -> u32 {
        self.len
    }

    /// Offset in the piece of the first byte behind the span.
    pub fn end(self) -> u32 {
        self.offset + self.len
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for PieceIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "piece {}", self.0)
    }
}

impl fmt::Display for FileIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for FileIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "file {}", self.0)
    }
}

#[cfg(test)]
mod tests;
