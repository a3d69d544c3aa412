//! Files that are read: what arrives, and what their stamps say.

use shoal_world::{
    Access, Completion, EXTENT_LEN, Errno, Extent, FileStamp, Op, PAGE_LEN, Refusal, StampChange,
};

use crate::on_both_worlds;
use crate::stage::{Change, Stage, bytes};

on_both_worlds! {
    what_is_not_there_is_not_opened,
    a_directory_is_no_file,
    a_file_is_read_page_by_page_to_its_end,
    nothing_is_read_beyond_the_end,
    reads_of_one_file_complete_once_each,
    a_file_that_nobody_changes_keeps_its_stamp,
    a_file_that_was_written_says_so,
    a_file_that_was_truncated_says_so_and_ends_there,
    a_file_that_grew_says_so,
    a_file_that_was_deleted_says_so_and_can_still_be_read,
    a_file_that_was_replaced_is_another_and_can_still_be_read,
    a_file_whose_mode_changed_is_the_same,
    a_file_whose_change_time_moved_alone_is_suspect,
    a_file_that_was_cut_and_grew_again_holds_zeroes,
    a_number_names_its_file_until_it_is_closed,
}

const ENOENT: Refusal = Refusal::Errno(Errno(2));

fn what_is_not_there_is_not_opened(stage: &mut Stage) {
    let path = stage.path("nothing");
    assert_eq!(stage.open(&path, Access::Read), Err(ENOENT));
    assert_eq!(stage.stamp(&path), Err(ENOENT));
    stage.assert_quiet();
}

fn a_directory_is_no_file(stage: &mut Stage) {
    let path = stage.world.directory();
    assert_eq!(stage.open(&path, Access::Read), Err(Refusal::NotRegular));
    assert_eq!(stage.open(&path, Access::Write), Err(Refusal::NotRegular));
    assert_eq!(stage.stamp(&path), Err(Refusal::NotRegular));
}

fn a_file_is_read_page_by_page_to_its_end(stage: &mut Stage) {
    let content = bytes(2 * EXTENT_LEN as usize + 777);
    let path = stage.put("file", &content);
    let opened = stage.open(&path, Access::Read).expect("it is there");
    assert_eq!(opened.stamp.size, content.len() as u64);
    for (index, expected) in content.chunks(EXTENT_LEN as usize).enumerate() {
        let offset = index as u64 * u64::from(EXTENT_LEN);
        let read = stage
            .read(opened.file, offset, Extent(3))
            .expect("a healthy disk");
        assert_eq!((read.len as usize, read.stamp), (expected.len(), opened.stamp));
        assert!(stage.extent(Extent(3), read.len) == expected);
    }
    // One page into the middle of an extent leaves what stands around it.
    stage.ask(Op::Read {
        token: 1,
        file: opened.file,
        offset: u64::from(EXTENT_LEN),
        extent: Extent(3),
        start: 8 * PAGE_LEN,
        len: PAGE_LEN,
    });
    assert!(matches!(stage.next(), Completion::Read { token: 1, result: Ok(read) } if read.len == PAGE_LEN));
    let held = stage.extent(Extent(3), 9 * PAGE_LEN);
    assert!(held[..777] == content[2 * EXTENT_LEN as usize..]);
    assert!(held[8 * PAGE_LEN as usize..] == content[EXTENT_LEN as usize..][..PAGE_LEN as usize]);
}

fn nothing_is_read_beyond_the_end(stage: &mut Stage) {
    let path = stage.put("file", &bytes(PAGE_LEN as usize));
    let empty = stage.put("empty", b"");
    for (path, offset) in [(&path, PAGE_LEN), (&path, 40 * PAGE_LEN), (&empty, 0)] {
        let opened = stage.open(path, Access::Read).expect("it is there");
        let read = stage
            .read(opened.file, u64::from(offset), Extent(0))
            .expect("the end is no error");
        assert_eq!((read.len, read.stamp), (0, opened.stamp));
    }
}

fn reads_of_one_file_complete_once_each(stage: &mut Stage) {
    let content = bytes(8 * EXTENT_LEN as usize);
    let path = stage.put("file", &content);
    let file = stage.open(&path, Access::Read).expect("it is there").file;
    for extent in 0..8 {
        stage.ask(Op::Read {
            token: extent,
            file,
            offset: u64::from(7 - extent) * u64::from(EXTENT_LEN),
            extent: Extent(extent),
            start: 0,
            len: EXTENT_LEN,
        });
    }
    let mut seen = [false; 8];
    for _ in 0..8 {
        let Completion::Read { token, result } = stage.next() else {
            panic!("not a read");
        };
        assert_eq!(result.expect("a healthy disk").len, EXTENT_LEN);
        assert!(
            !std::mem::replace(&mut seen[token as usize], true),
            "{token} twice"
        );
    }
    for (extent, expected) in content.chunks(EXTENT_LEN as usize).rev().enumerate() {
        assert!(stage.extent(Extent(extent as u32), 3 * PAGE_LEN) == expected[..3 * PAGE_LEN as usize]);
    }
}

/// What the stamps that a read and a look bring say after a change, against that of the opening.
fn after(
    stage: &mut Stage,
    change: Option<Change<'_>>,
) -> (FileStamp, FileStamp, Result<FileStamp, Refusal>) {
    let path = stage.put("file", &bytes(100_000));
    let opened = stage.open(&path, Access::Read).expect("it is there");
    assert_eq!(stage.stamp(&path), Ok(opened.stamp));
    stage.world.age();
    if let Some(change) = change {
        stage.world.change(&path, change);
    }
    let read = stage.read(opened.file, 0, Extent(0)).expect("a healthy disk");
    assert_eq!(read.len, EXTENT_LEN.min(read.stamp.size as u32));
    (opened.stamp, read.stamp, stage.stamp(&path))
}

fn a_file_that_nobody_changes_keeps_its_stamp(stage: &mut Stage) {
    let (before, read, looked) = after(stage, None);
    assert_eq!((read, looked), (before, Ok(before)));
    assert_eq!(before.change(&read), StampChange::None);
}

fn a_file_that_was_written_says_so(stage: &mut Stage) {
    let (before, read, looked) = after(stage, Some(Change::Write(b"other bytes")));
    assert_eq!(before.change(&read), StampChange::Written);
    assert_eq!(looked, Ok(read));
    assert_eq!(stage.extent(Extent(0), 11), b"other bytes");
}

fn a_file_that_was_truncated_says_so_and_ends_there(stage: &mut Stage) {
    let (before, read, looked) = after(stage, Some(Change::Truncate(5_000)));
    let expected = StampChange::Resized {
        from: 100_000,
        to: 5_000,
    };
    assert_eq!(before.change(&read), expected);
    assert_eq!(looked, Ok(read));
}

fn a_file_that_grew_says_so(stage: &mut Stage) {
    let (before, read, looked) = after(stage, Some(Change::Truncate(200_000)));
    let expected = StampChange::Resized {
        from: 100_000,
        to: 200_000,
    };
    assert_eq!(before.change(&read), expected);
    assert_eq!(looked, Ok(read));
    assert!(stage.extent(Extent(0), 100_001).ends_with(&[0]));
}

fn a_file_that_was_deleted_says_so_and_can_still_be_read(stage: &mut Stage) {
    let (before, read, looked) = after(stage, Some(Change::Delete));
    assert_eq!(before.change(&read), StampChange::Deleted);
    assert_eq!(looked, Err(ENOENT));
    assert!(stage.extent(Extent(0), 5_000) == bytes(5_000));
}

fn a_file_that_was_replaced_is_another_and_can_still_be_read(stage: &mut Stage) {
    let path = stage.put("file", &bytes(100_000));
    let opened = stage.open(&path, Access::Read).expect("it is there");
    stage.put("file", &[1; 100_000]);
    let looked = stage.stamp(&path).expect("another is there");
    assert_eq!(opened.stamp.change(&looked), StampChange::Replaced);
    let read = stage.read(opened.file, 0, Extent(0)).expect("a healthy disk");
    assert_eq!(opened.stamp.change(&read.stamp), StampChange::Deleted);
    assert!(stage.extent(Extent(0), 5_000) == bytes(5_000));
    stage.ask(Op::CloseFile { file: opened.file });
    let again = stage.open(&path, Access::Read).expect("another is there");
    assert_eq!(again.stamp, looked);
}

fn a_file_whose_mode_changed_is_the_same(stage: &mut Stage) {
    let (before, read, looked) = after(stage, Some(Change::Mode));
    assert_ne!(before.mode, read.mode);
    assert_eq!(before.change(&read), StampChange::None);
    assert_eq!(looked, Ok(read));
}

fn a_file_that_was_cut_and_grew_again_holds_zeroes(stage: &mut Stage) {
    let path = stage.put("file", &bytes(20_000));
    stage.world.change(&path, Change::Truncate(5_000));
    stage.world.change(&path, Change::Truncate(20_000));
    let mut expected = bytes(5_000);
    expected.resize(20_000, 0);
    let file = stage.open(&path, Access::Read).expect("it is there").file;
    assert_eq!(stage.read(file, 0, Extent(0)).map(|read| read.len), Ok(20_000));
    assert!(stage.extent(Extent(0), 20_000) == expected);
}

fn a_file_whose_change_time_moved_alone_is_suspect(stage: &mut Stage) {
    let (before, read, looked) = after(stage, Some(Change::Touch));
    assert_eq!(before.change(&read), StampChange::Suspect);
    assert_eq!(looked, Ok(read));
}

fn a_number_names_its_file_until_it_is_closed(stage: &mut Stage) {
    let paths = ["first", "second"].map(|name| stage.put(name, name.as_bytes()));
    let [first, second] = paths
        .each_ref()
        .map(|path| stage.open(path, Access::Read).expect("it is there").file);
    let again = stage.open(&paths[0], Access::Read).expect("it is there").file;
    assert!(first != second && first != again && second != again);
    stage.ask(Op::CloseFile { file: first });
    stage.assert_quiet();
    assert_eq!(stage.read(again, 0, Extent(0)).map(|read| read.len), Ok(5));
    assert_eq!(stage.read(second, 0, Extent(0)).map(|read| read.len), Ok(6));
}
