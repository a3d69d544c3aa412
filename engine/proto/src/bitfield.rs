//! Which pieces somebody has: one bit for each piece of a torrent.
//!
//! Bits are kept in `u64` words in the order of the wire (the first piece is the highest bit of the first
//! byte, hence of the first word), so that counting and searching go by words and the wire form is a byte
//! swap away.
//!
//! Invariants: there is a bit for every piece and for none beyond: the spare bits of the last word are zero,
//! and [`Bitfield::from_wire`] refuses a peer that sets them. Pieces given to one bitfield come from the
//! layout it was made for.

use std::fmt;

use thiserror::Error;

use crate::layout::PieceIndex;
use crate::limits::PIECES_MAX;

const WORD_BITS: u32 = u64::BITS;

/// A set of pieces of one torrent.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    words: Box<[u64]>,
    pieces: u32,
    /// Kept at every change: a peer's progress is asked for far more often than it changes.
    count: u32,
}

/// What is wrong with a peer's bitfield message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BitfieldError {
    /// The number of bytes does not follow from the number of pieces.
    #[error("a bitfield of {len} bytes where {expected} were due")]
    Length {
        /// Bytes that came.
        len: usize,
        /// Bytes that the torrent's pieces need.
        expected: usize,
    },
    /// Bits behind the last piece are set.
    #[error("a bitfield with spare bits set")]
    SpareBits,
}

impl Bitfield {
    /// No piece out of `pieces`.
    pub fn none(pieces: u32) -> Bitfield {
        assert!(
            pieces <= PIECES_MAX,
            "a torrent's piece count is limited where it is loaded"
        );
        let words = vec![0; pieces.div_ceil(WORD_BITS) as usize];
        Bitfield {
            words: words.into(),
            pieces,
            count: 0,
        }
    }

    /// Every piece out of `pieces`.
    pub fn all(pieces: u32) -> Bitfield {
        let mut field = Bitfield::none(pieces);
        field.words.fill(u64::MAX);
        if let Some(last) = field.words.last_mut() {
            *last &= used_bits(pieces);
        }
        field.count = pieces;
        field
    }

    /// Reads the payload of a bitfield message for a torrent of `pieces`.
    pub fn from_wire(bytes: &[u8], pieces: u32) -> Result<Bitfield, BitfieldError> {
        let expected = wire_len(pieces);
        if bytes.len() != expected {
            return Err(BitfieldError::Length {
                len: bytes.len(),
                expected,
            });
        }
        let mut field = Bitfield::none(pieces);
        for (word, chunk) in field.words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_be_bytes(padded);
        }
        if field
            .words
            .last()
            .is_some_and(|last| last & !used_bits(pieces) != 0)
        {
            return Err(BitfieldError::SpareBits);
        }
        field.count = field.words.iter().map(|word| word.count_ones()).sum();
        Ok(field)
    }

    /// Appends the payload of a bitfield message: [`wire_len`] bytes.
    pub fn write_wire(&self, out: &mut Vec<u8>) {
        let len = out.len() + wire_len(self.pieces);
        out.extend(self.words.iter().flat_map(|word| word.to_be_bytes()));
        out.truncate(len);
    }

    /// Adds the piece; true when it was not there before.
    pub fn set(&mut self, piece: PieceIndex) -> bool {
        let (word, bit) = self.place(piece);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u32::from(new);
        new
    }

    /// Takes the piece out; true when it was there before.
    pub fn clear(&mut self, piece: PieceIndex) -> bool {
        let (word, bit) = self.place(piece);
        let old = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        self.count -= u32::from(old);
        old
    }

    /// Whether the piece is in the set.
    pub fn has(&self, piece: PieceIndex) -> bool {
        let (word, bit) = self.place(piece);
        self.words[word] & bit != 0
    }

    /// How many pieces the torrent has, in the set or not.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Every piece is in the set.
    pub fn is_all(&self) -> bool {
        self.count == self.pieces
    }

    /// No piece is in the set.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// The pieces in the set, ascending.
    pub fn present(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let words = self.words.iter().copied();
        ones(words, self.pieces)
    }

    /// The pieces not in the set, ascending.
    pub fn missing(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let words = self.words.iter().map(|word| !word);
        ones(words, self.pieces)
    }

    /// How many pieces are in both sets.
    pub fn common_count(&self, other: &Bitfield) -> u32 {
        self.assert_same_torrent(other);
        let pairs = self.words.iter().zip(&other.words);
        pairs.map(|(ours, theirs)| (ours & theirs).count_ones()).sum()
    }

    /// The pieces in both sets, once each: ascending from `start` to the end, then from the beginning up to `start`.
    pub fn common_from<'a>(
        &'a self,
        other: &'a Bitfield,
        start: PieceIndex,
    ) -> impl Iterator<Item = PieceIndex> + 'a {
        self.assert_same_torrent(other);
        let (first, bit) = self.place(start);
        let from_start = bit | (bit - 1);
        let len = self.words.len();
        // The first word comes twice: its part from `start` on, and at the very end its part before.
        (0..=len).flat_map(move |step| {
            let position = if first + step < len {
                first + step
            } else {
                first + step - len
            };
            let mask = match step {
                0 => from_start,
                _ if step == len => !from_start,
                _ => u64::MAX,
            };
            let word = self.words[position] & other.words[position] & mask;
            let base = position as u32 * WORD_BITS;
            ones_of(word).map(move |bit| PieceIndex::within(base + bit, self.pieces))
        })
    }

    fn assert_same_torrent(&self, other: &Bitfield) {
        assert_eq!(
            self.pieces, other.pieces,
            "only sets of one torrent's pieces meet"
        );
    }

    fn place(&self, piece: PieceIndex) -> (usize, u64) {
        let index = piece.get();
        assert!(
            index < self.pieces,
            "a piece index must come from this torrent's layout"
        );
        (
            (index / WORD_BITS) as usize,
            1 << (WORD_BITS - 1 - index % WORD_BITS),
        )
    }
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} pieces", self.count, self.pieces)
    }
}

/// Bytes in the bitfield message of a torrent with `pieces`.
pub fn wire_len(pieces: u32) -> usize {
    pieces.div_ceil(8) as usize
}

/// The bits of the last word that stand for a piece.
fn used_bits(pieces: u32) -> u64 {
    match pieces % WORD_BITS {
        0 => u64::MAX,
        used => !(u64::MAX >> used),
    }
}

/// The positions of set bits, below `pieces`.
fn ones(words: impl Iterator<Item = u64>, pieces: u32) -> impl Iterator<Item = PieceIndex> {
    let positions = words
        .zip(0_u32..)
        .flat_map(|(word, position)| ones_of(word).map(move |bit| position * WORD_BITS + bit));
    positions
        .take_while(move |index| *index < pieces)
        .map(move |index| PieceIndex::within(index, pieces))
}

/// The places of a word's set bits, counted from its highest.
fn ones_of(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let zeros = word.leading_zeros();
        if zeros == WORD_BITS {
            return None;
        }
        word &= !(1 << (WORD_BITS - 1 - zeros));
        Some(zeros)
    })
}

#[cfg(test)]
mod tests;
