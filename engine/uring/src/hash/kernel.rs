//! The ways to compress: one variant per instruction set, all with the same result.
//!
//! A kernel is only about blocks and chaining values. Cutting messages into blocks, padding, and choosing between
//! kernels happen above it.

use std::ops::RangeInclusive;

use super::BLOCK_LEN;

/// One implementation of the compression function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The `sha1` crate: one message at a time, with the SHA extensions where it finds them.
    Portable,
    /// Up to four messages interleaved on the SHA extensions of x86.
    ShaNi,
    /// Up to eight messages, one in each 32-bit lane of AVX2 registers.
    Avx2,
    /// Up to sixteen messages, one in each 32-bit lane of AVX-512 registers.
    Avx512,
}

impl Kernel {
    /// All of them, the portable one first.
    pub const ALL: [Kernel; 4] = [Kernel::Portable, Kernel::ShaNi, Kernel::Avx2, Kernel::Avx512];

    /// Whether this processor has the instructions.
    pub fn is_supported(self) -> bool {
        match self {
            Kernel::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Kernel::ShaNi => is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1"),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
            #[cfg(not(target_arch = "x86_64"))]
            Kernel::ShaNi | Kernel::Avx2 | Kernel::Avx512 => false,
        }
    }

    /// Messages it takes side by side. Fewer are always allowed.
    pub const fn lanes(self) -> usize {
        match self {
            Kernel::Portable => 1,
            Kernel::ShaNi => 4,
            Kernel::Avx2 => 8,
            Kernel::Avx512 => 16,
        }
    }

    /// The numbers of lanes that take this kernel different times: one that holds a lane in each part of a register works
    /// on all of them, used or not.
    pub(super) fn lanes_that_differ(self) -> RangeInclusive<usize> {
        match self {
            Kernel::ShaNi => 1..=self.lanes(),
            Kernel::Portable | Kernel::Avx2 | Kernel::Avx512 => self.lanes()..=self.lanes(),
        }
    }

    /// Compresses equally many whole blocks into each state: `bytes[i]` into `states[i]`.
    ///
    /// # Panics
    /// When the processor lacks the instructions, or the shapes do not fit.
    pub fn compress(self, states: &mut [[u32; 5]], bytes: &[&[u8]]) {
        assert!(
            self.is_supported(),
            "{self:?} needs instructions that this processor lacks"
        );
        assert!(
            (1..=self.lanes()).contains(&states.len()),
            "{self:?} was given {} lanes",
            states.len()
        );
        assert_eq!(states.len(), bytes.len(), "every lane has a state and bytes");
        let len = bytes[0].len();
        assert!(len.is_multiple_of(BLOCK_LEN), "kernels compress whole blocks");
        assert!(
            bytes.iter().all(|bytes| bytes.len() == len),
            "lanes advance by the same number of blocks"
        );
        match self {
            Kernel::Portable => {
                let (blocks, _) = bytes[0].as_chunks();
                sha1::block_api::compress(&mut states[0], blocks);
            }
            // SAFETY: the instructions are there and all lanes have the same whole number of blocks: asserted above.
            #[cfg(target_arch = "x86_64")]
            Kernel::ShaNi => unsafe { super::sha_ni::compress(states, bytes) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { super::avx2::compress(states, bytes) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { super::avx512::compress(states, bytes) },
            #[cfg(not(target_arch = "x86_64"))]
            Kernel::ShaNi | Kernel::Avx2 | Kernel::Avx512 => unreachable!("unsupported here: asserted above"),
        }
    }
}
