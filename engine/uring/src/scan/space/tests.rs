use std::path::PathBuf;

use super::{Extent, Space};
use crate::scan::{Part, Source};

fn parts(lens: &[u64]) -> Vec<Part> {
    let part = |len: &u64| Part {
        source: Source::File(PathBuf::from("file")),
        len: *len,
    };
    lens.iter().map(part).collect()
}

fn check_extents(lens: &[u64], range: std::ops::Range<u64>, expected: &[(usize, u64, u64)]) {
    let parts = parts(lens);
    let extents: Vec<Extent> = Space::new(&parts, 16).extents(range).collect();
    let expected: Vec<Extent> = expected
        .iter()
        .map(|&(part, offset, len)| Extent { part, offset, len })
        .collect();
    assert_eq!(extents, expected);
}

#[test]
fn a_range_inside_one_part_is_one_extent() {
    check_extents(&[100], 10..30, &[(0, 10, 20)]);
}

#[test]
fn a_range_across_parts_is_one_extent_for_each() {
    check_extents(&[10, 5, 100], 8..20, &[(0, 8, 2), (1, 0, 5), (2, 0, 5)]);
}

#[test]
fn empty_parts_have_no_extents() {
    check_extents(&[0, 10, 0, 0, 10, 0], 0..20, &[(1, 0, 10), (4, 0, 10)]);
    check_extents(&[10, 0, 10], 10..12, &[(2, 0, 2)]);
    check_extents(&[0], 0..0, &[]);
    check_extents(&[], 0..0, &[]);
}

#[test]
fn a_range_beyond_the_end_is_cut() {
    check_extents(&[10], 8..100, &[(0, 8, 2)]);
    check_extents(&[10], 10..100, &[]);
}

#[test]
fn the_last_piece_may_be_short() {
    let parts = parts(&[30, 3]);
    let space = Space::new(&parts, 16);
    assert_eq!((space.len(), space.pieces()), (33, 3));
    assert_eq!(space.bytes(1..3), 16..33);
    assert_eq!(space.bytes(2..3), 32..33);
    assert_eq!(space.pieces_in(&(31..33)), 1..3);
    assert_eq!(space.pieces_in(&(16..32)), 1..2);
}

#[test]
fn extents_of_any_cut_cover_the_space_once() {
    let parts = parts(&[1, 0, 7, 64, 3, 0, 0, 25]);
    let space = Space::new(&parts, 16);
    for step in 1..=space.len() {
        let mut covered = vec![0; parts.len()];
        for start in (0..space.len()).step_by(step as usize) {
            for extent in space.extents(start..start + step) {
                assert_eq!(covered[extent.part], extent.offset, "in order and without gaps");
                covered[extent.part] += extent.len;
            }
        }
        assert!(
            covered
                .iter()
                .zip(&parts)
                .all(|(covered, part)| *covered == part.len)
        );
    }
}
