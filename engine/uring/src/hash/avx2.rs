//! Eight messages, one in each 32-bit lane of 256-bit registers.
//!
//! About 1,470 operations for eight blocks, which four vector pipes can do in 370 cycles: 0.72 cycles a byte, where one
//! message on the SHA extensions takes two. The shifts (448 of them, rotations need two each) have two of the pipes,
//! so they are never the limit. A second group of eight interleaved with the first would need twice the 16 registers:
//! 2.8 instead of 3.6 GB/s on Zen 3.
//!
//! Blocks are turned from rows (16 words of one message) into columns (one word of all messages) with two rounds of
//! unpacking, after loading 16 bytes of messages `n` and `n + 4` into the halves of one register, which spares a
//! third round across halves.

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm_set_epi64x, _mm256_add_epi32, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_or_si256, _mm256_set_m128i, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_xor_si256,
};

use super::BLOCK_LEN;
use super::rounds::eighty_rounds;

const LANES: usize = 8;

/// How far ahead of itself each lane asks for memory, in bytes: 8 blocks of 450 cycles each are more than a cache miss
/// takes. Eight streams are more than the hardware's own prefetchers follow well.
const PREFETCH_LEN: usize = 8 * BLOCK_LEN;

/// Compresses `bytes[i]` into `states[i]`, for one to eight lanes.
///
/// # Safety
/// The processor has AVX2; all of `bytes` have the same length, a multiple of the block length.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn compress(states: &mut [[u32; 5]], bytes: &[&[u8]]) {
    // Empty lanes hash what the first one hashes, and nobody looks at the result.
    let data: [*const u8; LANES] = std::array::from_fn(|lane| bytes.get(lane).unwrap_or(&bytes[0]).as_ptr());
    let mut columns: [__m256i; 5] = std::array::from_fn(|word| {
        let column: [u32; LANES] =
            std::array::from_fn(|lane| states.get(lane).map_or(0, |state| state[word]));
        // SAFETY: the array has the length of a register.
        unsafe { _mm256_loadu_si256(column.as_ptr().cast()) }
    });
    for start in (0..bytes[0].len()).step_by(BLOCK_LEN) {
        for data in data {
            // A prefetch beyond the end is no access: it cannot fault.
            _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(start + PREFETCH_LEN).cast());
        }
        // SAFETY: `start` is a multiple of the block length below the length that all lanes have.
        let block = data.map(|data| unsafe { data.add(start) });
        // SAFETY: one whole block is readable behind each pointer.
        unsafe { one_block(&mut columns, &block) };
    }
    for (word, register) in columns.into_iter().enumerate() {
        let mut column = [0_u32; LANES];
        // SAFETY: the array has the length of a register.
        unsafe { _mm256_storeu_si256(column.as_mut_ptr().cast(), register) };
        for (state, value) in states.iter_mut().zip(column) {
            state[word] = value;
        }
    }
}

/// # Safety
/// The processor has AVX2, and a block is readable behind each of `block`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn one_block(state: &mut [__m256i; 5], block: &[*const u8; LANES]) {
    let mut words = [_mm256_setzero_si256(); 16];
    let [mut a, mut b, mut c, mut d, mut e] = *state;

    macro_rules! round {
        ($round:expr, $function:ident, $constant:expr, $a:ident $b:ident $c:ident $d:ident $e:ident) => {
            // Words are loaded when they are needed first: 16 of them and the state do not fit the registers.
            if $round < 16 && $round % 4 == 0 {
                // SAFETY: 16 bytes from byte 0, 16, 32 or 48 of the block.
                let columns = unsafe { load(block, $round * 4) };
                for (word, column) in words[$round % 16..].iter_mut().zip(columns) {
                    *word = column;
                }
            }
            if $round >= 16 {
                let far = _mm256_xor_si256(words[($round + 2) % 16], words[$round % 16]);
                let near = _mm256_xor_si256(words[($round + 13) % 16], words[($round + 8) % 16]);
                words[$round % 16] = rotate_left_1(_mm256_xor_si256(far, near));
            }
            let word = _mm256_add_epi32(words[$round % 16], _mm256_set1_epi32($constant as i32));
            let sum = _mm256_add_epi32(_mm256_add_epi32($e, word), $function($b, $c, $d));
            // The rotation by five is two additions, the last of them the only one that waits for `a`.
            let sum = _mm256_add_epi32(sum, _mm256_slli_epi32::<5>($a));
            $e = _mm256_add_epi32(sum, _mm256_srli_epi32::<27>($a));
            $b = _mm256_or_si256(_mm256_slli_epi32::<30>($b), _mm256_srli_epi32::<2>($b));
        };
    }
    eighty_rounds!(round, (a b c d e), choose parity majority);

    for (before, after) in state.iter_mut().zip([a, b, c, d, e]) {
        *before = _mm256_add_epi32(*before, after);
    }
}

/// Words `at / 4` to `at / 4 + 3` of all lanes, as four columns.
///
/// # Safety
/// The processor has AVX2, and 16 bytes are readable `at` bytes behind each of `block`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(block: &[*const u8; LANES], at: usize) -> [__m256i; 4] {
    let big_endian =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0C0D_0E0F_0809_0A0B, 0x0405_0607_0001_0203));
    let row = |lane: usize| {
        // SAFETY: passed on from the caller.
        let (low, high) = unsafe {
            (
                _mm_loadu_si128(block[lane].add(at).cast()),
                _mm_loadu_si128(block[lane + 4].add(at).cast()),
            )
        };
        _mm256_shuffle_epi8(_mm256_set_m128i(high, low), big_endian)
    };
    let (row_0, row_1, row_2, row_3) = (row(0), row(1), row(2), row(3));
    let low_01 = _mm256_unpacklo_epi32(row_0, row_1);
    let high_01 = _mm256_unpackhi_epi32(row_0, row_1);
    let low_23 = _mm256_unpacklo_epi32(row_2, row_3);
    let high_23 = _mm256_unpackhi_epi32(row_2, row_3);
    [
        _mm256_unpacklo_epi64(low_01, low_23),
        _mm256_unpackhi_epi64(low_01, low_23),
        _mm256_unpacklo_epi64(high_01, high_23),
        _mm256_unpackhi_epi64(high_01, high_23),
    ]
}

#[target_feature(enable = "avx2")]
#[inline]
fn choose(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn parity(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_xor_si256(b, _mm256_xor_si256(c, d))
}

#[target_feature(enable = "avx2")]
#[inline]
fn majority(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(c, d), _mm256_and_si256(b, _mm256_or_si256(c, d)))
}

/// Doubling is an addition, for which all four pipes serve, where a shift has two.
#[target_feature(enable = "avx2")]
#[inline]
fn rotate_left_1(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_add_epi32(x, x), _mm256_srli_epi32::<31>(x))
}
