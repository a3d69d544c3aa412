//! Torrents whose bytes are a function of torrent and offset, so that a terabyte costs nothing.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::sample::{BLOCK_LEN, Block};

/// A torrent of the simulation.
#[derive(Clone, Debug)]
pub struct Torrent {
    /// What its bytes are derived from.
    pub key: u64,
    /// Which torrent.
    pub info_hash: [u8; 20],
    /// Length of all pieces but the last, in bytes.
    pub piece_len: u32,
    /// Its files in order.
    pub files: Vec<FilePart>,
    /// BEP 27: only its own tracker may bring peers together.
    pub private: bool,
    /// The SHA-1 of every piece, once somebody asked.
    hashes: OnceCell<Vec<[u8; 20]>>,
}

/// One file of a torrent.
#[derive(Clone, Debug)]
pub struct FilePart {
    /// Where its first byte stands in the torrent.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// Zeroes that no disk holds (BEP 47).
    pub padding: bool,
    /// Its path on the disk of the daemon that has it.
    pub path: Arc<Path>,
}

impl Torrent {
    /// A torrent of files of these lengths; a negative length is padding.
    pub fn new(key: u64, piece_len: u32, lengths: &[i64]) -> Torrent {
        let mut start = 0;
        let files = lengths.iter().enumerate().map(|(index, len)| {
            let file = FilePart {
                start,
                len: len.unsigned_abs(),
                padding: *len < 0,
                path: Arc::from(Path::new(&format!("/data/{key}/{index}"))),
            };
            start += len.unsigned_abs();
            file
        });
        let files = files.collect();
        let mut info_hash = [0; 20];
        for (index, chunk) in info_hash.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(key ^ (0xfeed + index as u64)).to_be_bytes()[..chunk.len()]);
        }
        Torrent {
            key,
            info_hash,
            piece_len,
            files,
            private: key.is_multiple_of(2),
            hashes: OnceCell::new(),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.files.last().map_or(0, |file| file.start + file.len)
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.len().div_ceil(u64::from(self.piece_len)) as u32
    }

    /// Length of a piece in bytes; `None` if there is no such piece.
    pub fn len_of(&self, piece: u32) -> Option<u32> {
        let start = u64::from(piece) * u64::from(self.piece_len);
        let left = self.len().checked_sub(start)?;
        (left > 0).then(|| left.min(u64::from(self.piece_len)) as u32)
    }

    /// The SHA-1 of every piece.
    pub fn hashes(&self) -> &[[u8; 20]] {
        self.hashes.get_or_init(|| {
            let hash = |piece| Sha1::digest(self.bytes_of(piece)).into();
            (0..self.pieces()).map(hash).collect()
        })
    }

    /// The bytes of a piece.
    pub fn bytes_of(&self, piece: u32) -> Vec<u8> {
        let mut bytes = vec![0; self.len_of(piece).unwrap_or(0) as usize];
        self.read(u64::from(piece) * u64::from(self.piece_len), &mut bytes);
        bytes
    }

    /// The blocks of a piece.
    pub fn blocks_of(&self, piece: u32) -> impl Iterator<Item = Block> + use<> {
        self.cut(piece, BLOCK_LEN)
    }

    /// A piece cut into blocks of another length.
    pub fn cut(&self, piece: u32, block_len: u32) -> impl Iterator<Item = Block> + use<> {
        let len = self.len_of(piece).unwrap_or(0);
        (0..len).step_by(block_len as usize).map(move |offset| Block {
            piece,
            offset,
            len: block_len.min(len - offset),
        })
    }

    /// All blocks, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        (0..self.pieces()).flat_map(|piece| self.blocks_of(piece))
    }

    /// Where a block stands in the torrent. `None`: nowhere.
    pub fn place_of(&self, block: Block) -> Option<u64> {
        let end = block.offset.checked_add(block.len)?;
        (end <= self.len_of(block.piece)?)
            .then(|| u64::from(block.piece) * u64::from(self.piece_len) + u64::from(block.offset))
    }

    /// Whether these are the torrent's own bytes from `offset` on.
    pub fn has(&self, offset: u64, bytes: &[u8]) -> bool {
        let end = offset + bytes.len() as u64;
        let inside = self
            .files
            .iter()
            .filter(|file| file.start < end && file.start + file.len > offset);
        for file in inside {
            let from = file.start.max(offset);
            let to = (file.start + file.len).min(end);
            let part = &bytes[(from - offset) as usize..(to - offset) as usize];
            let right = if file.padding {
                part.iter().all(|byte| *byte == 0)
            } else {
                is_generated(self.key, from, part)
            };
            if !right {
                return false;
            }
        }
        true
    }

    /// The torrent's own bytes from `offset` on: payload as generated, padding as zeroes.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) {
        generate(self.key, offset, bytes);
        let end = offset + bytes.len() as u64;
        for file in self.files.iter().filter(|file| file.padding) {
            let from = file.start.clamp(offset, end) - offset;
            let to = (file.start + file.len).clamp(offset, end) - offset;
            bytes[from as usize..to as usize].fill(0);
        }
    }
}

/// The bytes from `offset` on in the endless stream of `key`.
pub fn generate(key: u64, offset: u64, bytes: &mut [u8]) {
    let (head, whole, tail) = words(key, offset, bytes.len());
    let (first, rest) = bytes.split_at_mut(head.len);
    first.copy_from_slice(head.bytes());
    let (middle, last) = rest.split_at_mut(rest.len() - tail.len);
    for (word, place) in whole.zip(middle.as_chunks_mut::<8>().0) {
        *place = word_at(key, word);
    }
    last.copy_from_slice(tail.bytes());
}

/// Whether these are the bytes from `offset` on in the endless stream of `key`.
fn is_generated(key: u64, offset: u64, bytes: &[u8]) -> bool {
    let (head, mut whole, tail) = words(key, offset, bytes.len());
    let (first, rest) = bytes.split_at(head.len);
    let (middle, last) = rest.split_at(rest.len() - tail.len);
    let mut middle = middle.as_chunks::<8>().0.iter();
    first == head.bytes()
        && last == tail.bytes()
        && middle.all(|place| whole.next().is_some_and(|word| *place == word_at(key, word)))
}

/// Part of one word of the stream, at an edge of a range.
struct Edge {
    word: [u8; 8],
    skip: usize,
    len: usize,
}

impl Edge {
    fn bytes(&self) -> &[u8] {
        &self.word[self.skip..self.skip + self.len]
    }
}

/// A range of the stream as part of a word, whole words, part of a word.
fn words(key: u64, offset: u64, len: usize) -> (Edge, std::ops::Range<u64>, Edge) {
    let skip = (offset % 8) as usize;
    let head = Edge {
        word: word_at(key, offset / 8),
        skip,
        len: if skip == 0 { 0 } else { len.min(8 - skip) },
    };
    let first = offset.div_ceil(8);
    let left = len - head.len;
    let whole = first..first + left as u64 / 8;
    let tail = Edge {
        word: word_at(key, whole.end),
        skip: 0,
        len: left % 8,
    };
    (head, whole, tail)
}

fn word_at(key: u64, index: u64) -> [u8; 8] {
    mix(key.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ index).to_le_bytes()
}

/// The finisher of MurmurHash3: every bit of the input moves half of the output.
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests;
