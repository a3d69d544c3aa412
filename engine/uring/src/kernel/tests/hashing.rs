//! Messages hashed by a pool: each once, the core woken, its memory kept until the last.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use sha1::{Digest, Sha1};
use shoal_world::{Completion, EXTENT_LEN, Extent, Op, Part, Rng, Time};

use super::super::JOBS_PER_CORE_MAX;
use super::Bench;
use crate::hash::pool::{Options, Pool};

/// A world with a hashing pool, and what its eight extents hold.
fn set(threads: usize) -> (Bench, Vec<u8>) {
    let pool = Pool::new(&Options {
        threads: NonZeroUsize::new(threads).unwrap(),
        processors: Vec::new(),
        waiting_max: JOBS_PER_CORE_MAX,
    });
    let pool = Arc::new(pool.unwrap());
    let mut bench = Bench::of(|options| options.hashing = Some(pool));
    let mut content = vec![0; 8 * EXTENT_LEN as usize];
    Rng::new(1).fill(&mut content);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("source");
    fs::write(&path, &content).unwrap();
    bench.load(&path);
    (bench, content)
}

/// A range of the arena as parts of its extents.
fn parts(start: u32, len: u32) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut at, end) = (start, start + len);
    while at < end {
        let part_len = (EXTENT_LEN - at % EXTENT_LEN).min(end - at);
        parts.push(Part::Extent {
            extent: Extent(at / EXTENT_LEN),
            start: at % EXTENT_LEN,
            len: part_len,
        });
        at += part_len;
    }
    parts
}

fn hashed(completion: &Completion) -> Option<(u32, [u8; 20])> {
    match completion {
        Completion::Hashed { token, digest } => Some((*token, *digest)),
        _ => None,
    }
}

/// More jobs than the pool takes of one core, of every length, in one turn.
#[test]
fn everything_that_was_asked_for_is_hashed_once() {
    let (mut bench, content) = set(2);
    let mut random = Rng::new(2);
    let jobs = 3 * JOBS_PER_CORE_MAX.get() as u32;
    let mut expected = Vec::new();
    for token in 0..jobs {
        let start = random.below(content.len() as u32);
        let len = random.below((content.len() as u32 - start).min(600_000) + 1);
        let message = &content[start as usize..][..len as usize];
        expected.push(Some(<[u8; 20]>::from(Sha1::digest(message))));
        let parts = parts(start, len);
        bench.ops.push(Op::Hash { token, parts });
    }
    for _ in 0..jobs {
        let (token, digest) = bench.until(hashed);
        assert_eq!(expected[token as usize].take(), Some(digest), "{token}");
    }
}

/// The bell wakes a core that sleeps in its ring: one job at a time, or a lost one would wait for the deadline.
#[test]
fn a_core_that_sleeps_is_woken_by_each_result() {
    let (mut bench, content) = set(1);
    let expected: [u8; 20] = Sha1::digest(&content[..1000]).into();
    for token in 0..1000 {
        let parts = parts(0, 1000);
        bench.ops.push(Op::Hash { token, parts });
        assert_eq!(bench.until(hashed), (token, expected));
    }
}

/// Jobs gather until the lanes are full: what is left over of them, and what comes alone, goes after a moment.
#[test]
fn fewer_jobs_than_lanes_are_not_forgotten() {
    let (mut bench, content) = set(1);
    for count in [1, 2, 7, 15, 17, 33] {
        for token in 0..count {
            let parts = parts(0, 1 + token);
            bench.ops.push(Op::Hash { token, parts });
        }
        for _ in 0..count {
            let (token, digest) = bench.until(hashed);
            assert_eq!(
                digest,
                <[u8; 20]>::from(Sha1::digest(&content[..1 + token as usize]))
            );
        }
    }
}

/// A core that has other things to do all the time gives jobs the time to gather, and no more.
#[test]
fn a_core_that_never_sleeps_hands_its_jobs_over() {
    let (mut bench, content) = set(1);
    let parts = parts(0, 1000);
    bench.ops.push(Op::Hash { token: 7, parts });
    let give_up = bench.kernel.now() + Duration::from_secs(20);
    let mut done = Vec::new();
    while done.is_empty() && bench.kernel.now() < give_up {
        bench
            .kernel
            .turn(&mut bench.ops, Some(Time::ZERO), || true, &mut done);
    }
    let expected: [u8; 20] = Sha1::digest(&content[..1000]).into();
    assert_eq!(done.first().and_then(hashed), Some((7, expected)));
}

#[test]
fn a_world_that_ends_waits_for_those_who_read_its_memory() {
    let (mut bench, content) = set(1);
    for token in 0..1000 {
        let parts = parts(0, content.len() as u32);
        bench.ops.push(Op::Hash { token, parts });
    }
    let Bench {
        ref mut kernel,
        ref mut ops,
        ..
    } = bench;
    kernel.turn(ops, None, || true, &mut Vec::new());
    // A thread that read on would find the memory gone.
    drop(bench);
}

#[test]
#[should_panic(expected = "a hash was asked for in a world without hashing threads")]
fn nothing_is_hashed_without_threads() {
    let mut bench = Bench::new();
    let parts = parts(0, 1);
    bench.ops.push(Op::Hash { token: 0, parts });
    bench.until(hashed);
}
