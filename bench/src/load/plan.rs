//! Which blocks a connection asks for, and in which order.
//!
//! Pieces are dealt out to connections by a [`Pattern`]; inside a piece the blocks come in order, as in every client. A
//! plan does not know about the network: blocks that were rejected are asked for again by the connection, not by it.

#[cfg(test)]
mod tests;

use clap::ValueEnum;
use serde::Serialize;

use super::wire::{BLOCK_LEN, Block};
use crate::data::Shape;

/// How the pieces of a torrent are dealt out to the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pattern {
    /// Every connection has its own contiguous part of the torrent.
    Split,
    /// Connection i of n has the pieces i, i + n, i + 2n and so on: neighbours are asked for at about the same time.
    Strided,
    /// Every connection wants the whole torrent from its first piece on, as if they had all just joined.
    Same,
    /// Like `split`, but of the pieces in a random order (always the same one).
    Random,
}

/// How much of the torrent a connection asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Its share, this many times over.
    Laps(u32),
    /// The whole torrent beginning with its share, over and over. Even a thousand connections then never run out of
    /// distinct blocks to have outstanding.
    Endless,
}

/// The place of one connection among all connections of a torrent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// Counted from 0.
    pub(crate) index: u32,
    /// Number of connections.
    pub(crate) of: u32,
}

/// Yields the blocks that one connection asks for.
#[derive(Debug)]
pub(crate) struct Plan {
    shape: Shape,
    pieces: Vec<u32>,
    laps_left: u64,
    at: usize,
    offset: u32,
}

impl Plan {
    /// The plan of the connection in `seat`.
    pub(crate) fn new(shape: Shape, pattern: Pattern, extent: Extent, seat: Seat) -> Plan {
        let (pieces, laps_left) = match extent {
            Extent::Laps(laps) => (share(shape.pieces(), pattern, seat), u64::from(laps)),
            Extent::Endless => (round(shape.pieces(), pattern, seat), u64::MAX),
        };
        Plan {
            shape,
            pieces,
            laps_left,
            at: 0,
            offset: 0,
        }
    }

    /// Different blocks in one lap: no more than these can sensibly be outstanding at a time.
    pub(crate) fn distinct_blocks(&self) -> usize {
        self.pieces
            .iter()
            .map(|&piece| self.shape.piece_len(piece).div_ceil(BLOCK_LEN) as usize)
            .sum()
    }
}

impl Iterator for Plan {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        if self.laps_left == 0 {
            return None;
        }
        let piece = self.pieces[self.at];
        let piece_len = self.shape.piece_len(piece);
        let block = Block {
            piece,
            offset: self.offset,
            len: BLOCK_LEN.min(piece_len - self.offset),
        };
        self.offset += block.len;
        if self.offset == piece_len {
            self.offset = 0;
            self.at = (self.at + 1) % self.pieces.len();
            self.laps_left -= u64::from(self.at == 0);
        }
        Some(block)
    }
}

/// The pieces of one connection's share. Never empty: with more connections than pieces, some share a piece.
fn share(pieces: u32, pattern: Pattern, seat: Seat) -> Vec<u32> {
    match pattern {
        Pattern::Split => slice(pieces, seat).collect(),
        Pattern::Strided => (seat.index % pieces..pieces).step_by(seat.of as usize).collect(),
        Pattern::Same => (0..pieces).collect(),
        Pattern::Random => {
            let shuffled = shuffled(pieces);
            slice(pieces, seat)
                .map(|place| shuffled[place as usize])
                .collect()
        }
    }
}

/// All pieces, beginning with the share of this connection.
fn round(pieces: u32, pattern: Pattern, seat: Seat) -> Vec<u32> {
    let begin = slice(pieces, seat).start;
    let rotated = |begin: u32| (begin..pieces).chain(0..begin);
    match pattern {
        Pattern::Split => rotated(begin).collect(),
        Pattern::Strided => (0..seat.of.min(pieces))
            .flat_map(|turn| ((seat.index + turn) % seat.of.min(pieces)..pieces).step_by(seat.of as usize))
            .collect(),
        Pattern::Same => (0..pieces).collect(),
        Pattern::Random => {
            let shuffled = shuffled(pieces);
            rotated(begin).map(|place| shuffled[place as usize]).collect()
        }
    }
}

fn slice(pieces: u32, seat: Seat) -> std::ops::Range<u32> {
    let bound = |index: u32| (u64::from(index) * u64::from(pieces) / u64::from(seat.of)) as u32;
    let begin = bound(seat.index);
    begin..bound(seat.index + 1).max(begin + 1)
}

/// Fisher-Yates with a fixed linear congruential generator (Knuth's MMIX): every run shuffles alike.
fn shuffled(pieces: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..pieces).collect();
    let mut state = 1_u64;
    for end in (1..order.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(end, (state >> 33) as usize % (end + 1));
    }
    order
}
