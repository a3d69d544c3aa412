use shoal_world::{Extent, File, PAGE_LEN};

use super::Transfer;

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
