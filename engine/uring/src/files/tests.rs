use shoal_world::{EXTENT_LEN, Extent, File, PAGE_LEN};

use super::{Transfer, WRITE_LEN_MAX, Writing};

/// The kernel did a part: what is left follows it, in the file and in memory.
#[test]
fn what_is_left_of_a_transfer_follows_what_moved() {
    let whole = Transfer {
        token: 0,
        file: File(0),
        offset: 10 * u64::from(PAGE_LEN),
        extent: Extent(0),
        start: 2 * PAGE_LEN,
        len: 4 * PAGE_LEN,
        moved: 0,
    };
    for moved in [0, 1, PAGE_LEN, 3 * PAGE_LEN + 7] {
        let rest = Transfer { moved, ..whole };
        assert_eq!(rest.next_offset() - whole.offset, u64::from(moved));
        assert_eq!(rest.next_start() - whole.start, moved);
        assert_eq!(rest.left() + moved, whole.len);
        assert_eq!(rest.is_whole_pages(), moved.is_multiple_of(PAGE_LEN));
    }
}

/// A write of whole pages, each place counted in pages.
fn write(token: u32, file: u32, offset: u64, extent: u32, start: u32, len: u32) -> Transfer {
    Transfer {
        token,
        file: File(file),
        offset: offset * u64::from(PAGE_LEN),
        extent: Extent(extent),
        start: start * PAGE_LEN,
        len: len * PAGE_LEN,
        moved: 0,
    }
}

/// Registered buffers of 16 extents.
fn buffer_index(extent: Extent) -> u16 {
    (extent.0 / 16) as u16
}

fn joins(first: Transfer, next: Transfer) -> bool {
    let mut writing = Writing {
        transfer: first,
        more: Vec::new(),
    };
    let joined = writing.join(&next, buffer_index);
    let (len, more) = if joined {
        (first.len + next.len, vec![next.token])
    } else {
        (first.len, Vec::new())
    };
    assert_eq!((writing.transfer.len, writing.more), (len, more));
    joined
}

#[test]
fn writes_that_follow_each_other_become_one() {
    let first = write(0, 1, 8, 0, 0, 64);
    assert!(joins(first, write(1, 1, 72, 1, 0, 64)));
    assert!(joins(write(0, 1, 8, 0, 3, 5), write(1, 1, 13, 0, 8, 1)));
}

#[test]
fn writes_do_not_join_across_files_and_gaps() {
    let first = write(0, 1, 8, 0, 0, 64);
    assert!(!joins(first, write(1, 2, 72, 1, 0, 64)), "another file");
    assert!(!joins(first, write(1, 1, 73, 1, 0, 64)), "a gap in the file");
    assert!(!joins(first, write(1, 1, 71, 1, 0, 64)), "back in the file");
    assert!(!joins(first, write(1, 1, 72, 1, 1, 63)), "a gap in memory");
    assert!(!joins(first, write(1, 1, 72, 2, 0, 64)), "another extent");
    assert!(
        !joins(write(0, 1, 72, 1, 0, 64), write(1, 1, 8, 0, 0, 64)),
        "before it"
    );
}

#[test]
fn edges_of_pages_are_written_by_themselves() {
    let first = write(0, 1, 8, 0, 0, 4);
    let tail = Transfer {
        len: 100,
        ..write(1, 1, 12, 0, 4, 1)
    };
    assert!(!joins(first, tail));
    let head = Transfer {
        offset: first.offset + u64::from(first.len) - 100,
        start: first.len - 100,
        len: 100,
        ..first
    };
    assert!(!joins(head, write(1, 1, 12, 0, 4, 1)));
}

#[test]
fn writes_do_not_leave_a_registered_buffer() {
    assert!(joins(write(0, 1, 0, 14, 0, 64), write(1, 1, 64, 15, 0, 64)));
    assert!(!joins(write(0, 1, 0, 15, 0, 64), write(1, 1, 64, 16, 0, 64)));
}

#[test]
fn what_is_written_as_one_has_a_maximum() {
    let extents = WRITE_LEN_MAX / EXTENT_LEN;
    let mut writing = Writing {
        transfer: write(0, 1, 0, 0, 0, 64),
        more: Vec::new(),
    };
    let one_buffer = |_: Extent| 0;
    for extent in 1..extents {
        let next = write(extent, 1, 64 * u64::from(extent), extent, 0, 64);
        assert!(writing.join(&next, one_buffer));
    }
    assert_eq!(writing.transfer.len, WRITE_LEN_MAX);
    let next = write(extents, 1, 64 * u64::from(extents), extents, 0, 1);
    assert!(!writing.join(&next, one_buffer));
    let others: Vec<u32> = (1..extents).collect();
    assert_eq!(writing.more, others, "each is told of");
}
