use super::{Extent, Gather, Part};

#[test]
fn parts_that_continue_each_other_become_one() {
    let mut gather = Gather::default();
    gather.push_bytes(b"head");
    gather.push_bytes(b"er");
    gather.push_extent(Extent(3), 0, 16_384);
    gather.push_extent(Extent(3), 16_384, 10);
    gather.push_extent(Extent(3), 20_000, 0);
    gather.push_bytes(b"");
    gather.push_bytes(b"next");
    assert_eq!(
        gather.parts,
        [
            Part::Bytes { start: 0, len: 6 },
            Part::Extent {
                extent: Extent(3),
                start: 0,
                len: 16_394
            },
            Part::Bytes { start: 6, len: 4 },
        ]
    );
    assert_eq!(gather.len(), 6 + 16_394 + 4);
}
