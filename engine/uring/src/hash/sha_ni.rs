//! Up to four messages interleaved on the SHA extensions.
//!
//! `sha1rnds4` does four rounds but its result takes six cycles, and every four rounds need the result of the four
//! before. One message therefore leaves the unit idle two cycles of three. Several independent ones fill the gaps: on
//! Zen 3 two are 1.8, three 2.1 and four 2.4 times as fast as one, which is 48 cycles a block where the unit's own limit
//! is 40. Five would only move more registers to the stack. The hardware follows four streams through memory without
//! being told: prefetching gained nothing.
//!
//! AVX2 lanes cannot run in its shadow, although other pipes are free: the SHA instructions have no encoding that
//! clears the upper halves of registers, and while any of those is in use each of them costs hundreds of cycles.
//!
//! The register layout is Intel's: the word with the lowest index stands in the highest lane.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32, _mm_sha1rnds4_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128, _mm_xor_si128,
};

use super::BLOCK_LEN;

/// Compresses `bytes[i]` into `states[i]`, for one to four lanes.
///
/// # Safety
/// The processor has SHA, SSSE3 and SSE4.1; all of `bytes` have the same length, a multiple of the block length.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) unsafe fn compress(states: &mut [[u32; 5]], bytes: &[&[u8]]) {
    // SAFETY: passed on from the caller.
    unsafe {
        match states.len() {
            1 => interleaved::<1>(states, bytes),
            2 => interleaved::<2>(states, bytes),
            3 => interleaved::<3>(states, bytes),
            4 => interleaved::<4>(states, bytes),
            lanes => unreachable!("{lanes} lanes where one to four were asserted"),
        }
    }
}

/// # Safety
/// As [`compress`], for `N` lanes.
#[target_feature(enable = "sha,ssse3,sse4.1")]
unsafe fn interleaved<const N: usize>(states: &mut [[u32; 5]], bytes: &[&[u8]]) {
    let mut abcd: [__m128i; N] = std::array::from_fn(|lane| {
        // SAFETY: a state has five words, of which four are read.
        let words = unsafe { _mm_loadu_si128(states[lane].as_ptr().cast()) };
        _mm_shuffle_epi32::<0b00_01_10_11>(words)
    });
    let mut e: [__m128i; N] = std::array::from_fn(|lane| _mm_set_epi32(states[lane][4] as i32, 0, 0, 0));
    let data: [*const u8; N] = std::array::from_fn(|lane| bytes[lane].as_ptr());
    for start in (0..bytes[0].len()).step_by(BLOCK_LEN) {
        // SAFETY: `start` is a multiple of the block length below the length that all lanes have.
        let block = data.map(|data| unsafe { data.add(start) });
        // SAFETY: one whole block is readable behind each pointer.
        unsafe { one_block(&mut abcd, &mut e, &block) };
    }
    for lane in 0..N {
        let words = _mm_shuffle_epi32::<0b00_01_10_11>(abcd[lane]);
        // SAFETY: a state has five words, of which four are written.
        unsafe { _mm_storeu_si128(states[lane].as_mut_ptr().cast(), words) };
        states[lane][4] = _mm_extract_epi32::<3>(e[lane]) as u32;
    }
}

/// # Safety
/// The processor has the instructions, and a block is readable behind each of `block`.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
unsafe fn one_block<const N: usize>(abcd: &mut [__m128i; N], e: &mut [__m128i; N], block: &[*const u8; N]) {
    let big_endian = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F);
    let (abcd_before, e_before) = (*abcd, *e);
    // The last 16 words of the message schedule of each lane, four in each register.
    let mut words = [[_mm_setzero_si128(); 4]; N];

    // The words for the four rounds of group `$group`.
    macro_rules! schedule {
        ($group:expr, $lane:expr) => {
            let words = &mut words[$lane];
            if $group < 4 {
                // SAFETY: four times 16 bytes are the block behind the pointer.
                let bytes = unsafe { _mm_loadu_si128(block[$lane].add($group * 16).cast()) };
                words[$group % 4] = _mm_shuffle_epi8(bytes, big_endian);
            } else if $group < 20 {
                let far = _mm_sha1msg1_epu32(words[$group % 4], words[($group + 1) % 4]);
                let sum = _mm_xor_si128(far, words[($group + 2) % 4]);
                words[$group % 4] = _mm_sha1msg2_epu32(sum, words[($group + 3) % 4]);
            }
        };
    }
    // Four rounds of every lane, and the words for its next four while the unit is at work.
    macro_rules! group {
        ($group:expr, $function:expr) => {
            for lane in 0..N {
                let addend = if $group == 0 {
                    _mm_add_epi32(e[lane], words[lane][0])
                } else {
                    _mm_sha1nexte_epu32(e[lane], words[lane][$group % 4])
                };
                e[lane] = abcd[lane];
                abcd[lane] = _mm_sha1rnds4_epu32::<$function>(abcd[lane], addend);
            }
            for lane in 0..N {
                schedule!($group + 1, lane);
            }
        };
    }
    macro_rules! five_groups {
        ($first:expr, $function:expr) => {
            group!($first, $function);
            group!($first + 1, $function);
            group!($first + 2, $function);
            group!($first + 3, $function);
            group!($first + 4, $function);
        };
    }
    for lane in 0..N {
        schedule!(0, lane);
    }
    five_groups!(0, 0);
    five_groups!(5, 1);
    five_groups!(10, 2);
    five_groups!(15, 3);

    for lane in 0..N {
        e[lane] = _mm_sha1nexte_epu32(e[lane], e_before[lane]);
        abcd[lane] = _mm_add_epi32(abcd[lane], abcd_before[lane]);
    }
}
