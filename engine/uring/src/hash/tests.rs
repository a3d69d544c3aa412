use sha1::{Digest, Sha1};

use super::{BLOCK_LEN, Feed, Hasher, INITIAL, Kernel, LANES_MAX, Plan, Stream};

/// Examples published with the standard: FIPS 180-2, appendix A (one block, two blocks, a million times `a`), and the
/// empty message and the 896 bits of the NIST Cryptographic Algorithm Validation Program ("SHA1ShortMsg.rsp", and the
/// example values that accompany FIPS 180-4).
const PUBLISHED: [(&[u8], u32, &str); 5] = [
    (b"", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    (b"abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        1,
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
    ),
    (
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        1,
        "a49b2446a02c645bf419f995b67091253a04a259",
    ),
    (b"a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
];

/// Bytes that differ everywhere, the same in every run (splitmix64).
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut word = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31).to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut word)
        .take(len.div_ceil(8))
        .flatten()
        .collect();
    bytes.truncate(len);
    bytes
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One hasher for each kernel of this processor, and the one that combines them. Says what it leaves out.
fn hashers() -> Vec<(String, Hasher)> {
    let mut hashers = vec![("all kernels".to_owned(), Hasher::new())];
    for kernel in Kernel::ALL {
        if kernel.is_supported() {
            hashers.push((format!("{kernel:?}"), Hasher::with_plan(Plan::only(kernel))));
        } else {
            println!("skipped: this processor lacks the instructions of {kernel:?}");
        }
    }
    hashers
}

fn check_digests(messages: &[&[u8]]) {
    let expected: Vec<[u8; 20]> = messages
        .iter()
        .map(|message| Sha1::digest(message).into())
        .collect();
    for (name, hasher) in hashers() {
        assert_eq!(hasher.digests(messages), expected, "{name}");
    }
}

#[test]
fn published_vectors_come_out_as_published() {
    let messages: Vec<Vec<u8>> = PUBLISHED
        .iter()
        .map(|(part, times, _)| part.repeat(*times as usize))
        .collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    for (name, hasher) in hashers() {
        let together: Vec<String> = hasher
            .digests(&messages)
            .iter()
            .map(|digest| hex(digest))
            .collect();
        for (index, (_, _, expected)) in PUBLISHED.iter().enumerate() {
            assert_eq!(together[index], *expected, "{name}, together with the others");
            assert_eq!(
                hex(&hasher.digests(&messages[index..=index])[0]),
                *expected,
                "{name}, alone"
            );
        }
    }
}

#[test]
fn every_length_up_to_five_blocks_is_padded_rightly() {
    let data = bytes(1, 300);
    let messages: Vec<&[u8]> = (0..=300).map(|len| &data[..len]).collect();
    check_digests(&messages);
}

#[test]
fn any_number_of_messages_of_any_length_is_hashed() {
    let lens = bytes(2, 4 * 40);
    let messages: Vec<Vec<u8>> = lens
        .chunks_exact(4)
        .zip(0..)
        .map(|(len, seed)| {
            bytes(
                seed,
                u32::from_le_bytes(len.try_into().unwrap()) as usize % 20_000,
            )
        })
        .collect();
    for count in 0..=messages.len() {
        let messages: Vec<&[u8]> = messages[..count].iter().map(Vec::as_slice).collect();
        check_digests(&messages);
    }
}

#[test]
fn messages_do_not_feel_where_they_are_cut() {
    let data = bytes(3, 5_000);
    let expected: [u8; 20] = Sha1::digest(&data).into();
    for (name, hasher) in hashers() {
        for cut_len in [1, 3, 63, 64, 65, 127, 128, 1_000, 4_999, 5_000] {
            let segments: Vec<&[u8]> = data.chunks(cut_len).collect();
            let mut in_one_call = Stream::new();
            hasher.advance([Feed {
                stream: &mut in_one_call,
                segments: &segments,
            }]);
            let mut in_many_calls = Stream::new();
            for segment in &segments {
                hasher.advance([Feed {
                    stream: &mut in_many_calls,
                    segments: &[segment, &[]],
                }]);
            }
            assert_eq!(in_many_calls.len(), 5_000);
            let digests = hasher.finish(&mut [in_one_call, in_many_calls]);
            assert_eq!(
                digests, [expected; 2],
                "{name}, cut into parts of {cut_len} bytes"
            );
        }
    }
}

#[test]
fn streams_that_are_cut_differently_advance_side_by_side() {
    let messages: Vec<Vec<u8>> = (0..LANES_MAX)
        .map(|index| bytes(index as u64, 3_000 + 61 * index))
        .collect();
    let expected: Vec<[u8; 20]> = messages
        .iter()
        .map(|message| Sha1::digest(message).into())
        .collect();
    for (name, hasher) in hashers() {
        let segments: Vec<Vec<&[u8]>> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| message.chunks(40 + 37 * index).collect())
            .collect();
        let mut streams = vec![Stream::new(); messages.len()];
        let feeds = streams
            .iter_mut()
            .zip(&segments)
            .map(|(stream, segments)| Feed { stream, segments });
        hasher.advance(feeds);
        assert_eq!(hasher.finish(&mut streams), expected, "{name}");
        assert!(
            streams.iter().all(Stream::is_empty),
            "finished streams start anew"
        );
    }
}

#[test]
fn kernels_agree_for_every_number_of_lanes_and_blocks() {
    let data = bytes(4, LANES_MAX * 5 * BLOCK_LEN + LANES_MAX);
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported()) {
        for lanes in 1..=kernel.lanes() {
            for blocks in [0, 1, 2, 5] {
                let len = blocks * BLOCK_LEN;
                // Lanes start at odd addresses: messages are not aligned in memory.
                let lane_bytes: Vec<&[u8]> =
                    (0..lanes).map(|lane| &data[lane * (len + 1)..][..len]).collect();
                let before: Vec<[u32; 5]> = (0..lanes as u32)
                    .map(|lane| INITIAL.map(|word| word.wrapping_mul(2 * lane + 1)))
                    .collect();
                let mut expected = before.clone();
                for (state, bytes) in expected.iter_mut().zip(&lane_bytes) {
                    Kernel::Portable.compress(std::slice::from_mut(state), &[bytes]);
                }
                let mut states = before;
                kernel.compress(&mut states, &lane_bytes);
                assert_eq!(states, expected, "{kernel:?}, {lanes} lanes, {blocks} blocks");
            }
        }
    }
}

#[test]
fn kernels_refuse_lanes_of_unequal_length() {
    for kernel in Kernel::ALL
        .into_iter()
        .filter(|kernel| kernel.is_supported() && kernel.lanes() > 1)
    {
        let refused = std::panic::catch_unwind(|| {
            kernel.compress(&mut [INITIAL; 2], &[&[0; BLOCK_LEN], &[0; 2 * BLOCK_LEN]]);
        });
        assert!(
            refused.is_err(),
            "{kernel:?} would have read beyond the shorter one"
        );
    }
}
