use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::{CHUNK_LEN_MAX, CHUNK_LEN_MIN, Shape};
use crate::scan::device::Motion;
use crate::scan::space::Space;
use crate::scan::{Options, Part, Source};

const GIB: u64 = 1 << 30;

fn shape(len: u64, piece_len: u32, threads: usize, memory_len: usize, motion: Motion, lanes: usize) -> Shape {
    let parts = [Part {
        source: Source::File(PathBuf::from("file")),
        len,
    }];
    let options = Options {
        threads: NonZeroUsize::new(threads),
        memory_len,
        ..Options::default()
    };
    Shape::new(&Space::new(&parts, piece_len), &options, motion, lanes)
}

#[test]
fn memory_stays_within_what_was_allowed() {
    for piece_len in [16 << 10, 1 << 20, 256 << 20] {
        for threads in 1..64 {
            for lanes in [1, 4, 16] {
                for memory_len in [4 << 20, 64 << 20, 1 << 30] {
                    let shape = shape(4 * GIB, piece_len, threads, memory_len, Motion::Still, lanes);
                    assert!(
                        shape.threads * shape.slots * shape.slot_len() <= memory_len,
                        "{shape:?}"
                    );
                    assert!(
                        shape.slots > shape.depth,
                        "reads go on while chunks are hashed: {shape:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn two_threads_with_the_default_memory_read_whole_mebibytes() {
    for lanes in [1, 4, 8] {
        let shape = shape(
            4 * GIB,
            1 << 20,
            2,
            super::super::MEMORY_LEN_DEFAULT,
            Motion::Still,
            lanes,
        );
        assert_eq!(
            (shape.threads, shape.chunk_len, shape.depth),
            (2, CHUNK_LEN_MAX, 8)
        );
    }
}

#[test]
fn a_disk_with_an_arm_is_read_in_order_by_one() {
    let shape = shape(4 * GIB, 16 << 20, 8, 64 << 20, Motion::Arm, 4);
    assert_eq!((shape.threads, shape.units, shape.depth), (1, 1, 2));
}

#[test]
fn small_spaces_do_not_start_threads() {
    assert_eq!(shape(100, 16 << 10, 8, 64 << 20, Motion::Still, 4).threads, 1);
    assert_eq!(shape(3 << 20, 16 << 10, 8, 64 << 20, Motion::Still, 4).threads, 3);
    assert_eq!(shape(0, 16 << 10, 8, 64 << 20, Motion::Still, 4).threads, 1);
}

#[test]
fn too_little_memory_still_makes_one_thread_with_one_chunk() {
    let shape = shape(4 * GIB, 16 << 10, 8, 0, Motion::Still, 4);
    assert_eq!(
        (shape.threads, shape.slots, shape.chunk_len),
        (1, 1, CHUNK_LEN_MIN)
    );
    assert_eq!(shape.pieces_per_unit, 4);
}
