//! The bytes of a torrent as a function of (seed, offset): splitmix64 over the index of each 8-byte word.
//!
//! Any range can be made alone and in any order, at several GB/s on one core, and no two blocks are alike, so a block
//! sent from the wrong place never passes for the right one.

use serde::{Deserialize, Serialize};

/// Bytes made from one evaluation of the generator.
const WORD_LEN: usize = 8;

/// Generates and compares the content of one torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    seed: u64,
}

impl Content {
    /// The content that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Content {
        Content { seed }
    }

    /// Writes the bytes from `offset` on into `out`.
    pub(crate) fn fill(self, offset: u64, out: &mut [u8]) {
        let skipped = (offset % WORD_LEN as u64) as usize;
        let mut index = offset / WORD_LEN as u64;
        let mut rest = out;
        if skipped != 0 {
            let (head, tail) = rest.split_at_mut(rest.len().min(WORD_LEN - skipped));
            head.copy_from_slice(&self.word(index)[skipped..skipped + head.len()]);
            rest = tail;
            index += 1;
        }
        let mut words = rest.chunks_exact_mut(WORD_LEN);
        for word in &mut words {
            word.copy_from_slice(&self.word(index));
            index += 1;
        }
        let tail = words.into_remainder();
        tail.copy_from_slice(&self.word(index)[..tail.len()]);
    }

    /// Whether `bytes` are what lies at `offset`.
    pub(crate) fn matches(self, offset: u64, bytes: &[u8]) -> bool {
        let mut expected = [0; 4096];
        let mut offset = offset;
        bytes.chunks(expected.len()).all(|chunk| {
            let expected = &mut expected[..chunk.len()];
            self.fill(offset, expected);
            offset += chunk.len() as u64;
            expected == chunk
        })
    }

    /// The word at `index`, by splitmix64 (Steele, Lea, Flood 2014).
    fn word(self, index: u64) -> [u8; WORD_LEN] {
        let mut mixed = self
            .seed
            .wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    }
}
