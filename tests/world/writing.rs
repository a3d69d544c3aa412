//! Files that are written and made durable.

use shoal_world::{Access, Completion, EXTENT_LEN, Errno, Extent, Op, PAGE_LEN, Refusal};

use crate::on_both_worlds;
use crate::stage::{Stage, bytes};

on_both_worlds! {
    a_file_is_made_in_a_directory_that_exists,
    a_file_that_is_opened_for_writing_keeps_what_it_holds,
    what_was_written_is_read_back_at_every_alignment,
    writes_side_by_side_fill_one_page,
    a_write_beyond_the_end_leaves_zeroes_before_it,
    a_write_moves_the_stamp,
    a_full_disk_refuses_and_takes_more_when_there_is_room,
    a_sync_may_stand_beside_reads_and_writes,
}

fn a_file_is_made_in_a_directory_that_exists(stage: &mut Stage) {
    let path = stage.path("made");
    let opened = stage.open(&path, Access::Write).expect("a directory that exists");
    assert_eq!(opened.stamp.size, 0);
    assert_eq!(stage.stamp(&path), Ok(opened.stamp));
    assert!(stage.world.content(&path).is_empty());
    let nowhere = stage.path("no such directory/made");
    assert_eq!(
        stage.open(&nowhere, Access::Write),
        Err(Refusal::Errno(Errno(2))),
        "ENOENT"
    );
}

fn a_file_that_is_opened_for_writing_keeps_what_it_holds(stage: &mut Stage) {
    let content = bytes(10_000);
    let path = stage.put("file", &content);
    let before = stage.stamp(&path).expect("it is there");
    let opened = stage.open(&path, Access::Write).expect("it is there");
    assert_eq!(opened.stamp, before);
    assert_eq!(
        stage.read(opened.file, 0, Extent(0)).map(|read| read.len),
        Ok(10_000)
    );
    assert!(stage.world.content(&path) == content);
}

fn what_was_written_is_read_back_at_every_alignment(stage: &mut Stage) {
    let content = bytes(EXTENT_LEN as usize);
    stage.load(&content);
    let path = stage.path("made");
    let file = stage
        .open(&path, Access::Write)
        .expect("a directory that exists")
        .file;
    let mut expected: Vec<u8> = Vec::new();
    let page = PAGE_LEN;
    let writes = [
        (0, 0, 4 * page),
        (1, 1, 10),
        (3 * page, 5 * page, 2 * page),
        (page - 1, 0, 2),
        (2 * page, 7, page),
        (30 * page, page, 30 * page),
        (30 * page + 5, 3, EXTENT_LEN - 3),
    ];
    for (offset, start, len) in writes {
        assert_eq!(
            stage.write(file, u64::from(offset), Extent(0), start, len),
            Ok(())
        );
        let (offset, end) = (offset as usize, (offset + len) as usize);
        expected.resize(expected.len().max(end), 0);
        expected[offset..end].copy_from_slice(&content[start as usize..][..len as usize]);
        assert!(stage.world.content(&path) == expected);
    }
    for (index, part) in expected.chunks(EXTENT_LEN as usize).enumerate() {
        let read = stage.read(file, index as u64 * u64::from(EXTENT_LEN), Extent(1));
        let read = read.expect("a healthy disk");
        assert_eq!(
            (read.len as usize, read.stamp.size),
            (part.len(), expected.len() as u64)
        );
        assert!(stage.extent(Extent(1), read.len) == part);
    }
}

fn writes_side_by_side_fill_one_page(stage: &mut Stage) {
    let content = bytes(2 * PAGE_LEN as usize);
    stage.load(&content);
    let path = stage.path("made");
    let file = stage
        .open(&path, Access::Write)
        .expect("a directory that exists")
        .file;
    let cuts = [0, 1, 700, PAGE_LEN - 1, PAGE_LEN, PAGE_LEN + 3, 2 * PAGE_LEN];
    for (token, cut) in cuts.windows(2).enumerate() {
        stage.ask(Op::Write {
            token: token as u32,
            file,
            offset: u64::from(cut[0]),
            extent: Extent(0),
            start: cut[0],
            len: cut[1] - cut[0],
        });
    }
    let mut seen = [false; 6];
    for _ in 0..6 {
        let Completion::Wrote {
            token,
            result: Ok(()),
        } = stage.next()
        else {
            panic!("not a write that succeeded");
        };
        assert!(
            !std::mem::replace(&mut seen[token as usize], true),
            "{token} twice"
        );
    }
    assert!(stage.world.content(&path) == content);
}

fn a_write_beyond_the_end_leaves_zeroes_before_it(stage: &mut Stage) {
    stage.load(b"bytes");
    let path = stage.put("file", b"head");
    let file = stage.open(&path, Access::Write).expect("it is there").file;
    assert_eq!(stage.write(file, 10_001, Extent(0), 0, 5), Ok(()));
    let expected = [&b"head"[..], &[0; 9_997], b"bytes"].concat();
    assert!(stage.world.content(&path) == expected);
    assert_eq!(stage.read(file, 0, Extent(1)).map(|read| read.len), Ok(10_006));
}

fn a_write_moves_the_stamp(stage: &mut Stage) {
    stage.load(b"bytes");
    let path = stage.put("file", &bytes(1_000));
    let opened = stage.open(&path, Access::Write).expect("it is there");
    stage.world.age();
    assert_eq!(stage.write(opened.file, 0, Extent(0), 0, 5), Ok(()));
    let stamp = stage.stamp(&path).expect("it is there");
    assert_eq!(opened.stamp.change(&stamp), shoal_world::StampChange::Written);
    let read = stage.read(opened.file, 0, Extent(1)).expect("a healthy disk");
    assert_eq!(read.stamp, stamp);
}

fn a_full_disk_refuses_and_takes_more_when_there_is_room(stage: &mut Stage) {
    let content = bytes(EXTENT_LEN as usize);
    stage.load(&content);
    let Some(disk) = stage.world.small_disk(u64::from(EXTENT_LEN) / 2) else {
        println!("skip: a full disk: no right to mount one");
        return;
    };
    let path = std::sync::Arc::from(disk.join("made"));
    let file = stage
        .open(&path, Access::Write)
        .expect("a directory that exists")
        .file;
    let full = Err(Errno(28));
    assert_eq!(stage.write(file, 0, Extent(0), 0, EXTENT_LEN), full, "ENOSPC");
    stage.world.make_room();
    // Less than there is: file systems keep something for themselves.
    let len = EXTENT_LEN - 8 * PAGE_LEN;
    assert_eq!(stage.write(file, 0, Extent(0), 0, len), Ok(()));
    assert_eq!(stage.sync(file), Ok(()));
    assert!(stage.world.content(&path)[..len as usize] == content[..len as usize]);
    stage.ask(Op::CloseFile { file });
    stage.assert_quiet();
}

fn a_sync_may_stand_beside_reads_and_writes(stage: &mut Stage) {
    stage.load(&bytes(EXTENT_LEN as usize));
    let path = stage.path("made");
    let file = stage
        .open(&path, Access::Write)
        .expect("a directory that exists")
        .file;
    assert_eq!(stage.write(file, 0, Extent(0), 0, EXTENT_LEN), Ok(()));
    stage.ask(Op::Sync { token: 1, file });
    stage.ask(Op::Write {
        token: 2,
        file,
        offset: u64::from(EXTENT_LEN),
        extent: Extent(0),
        start: 100,
        len: 100,
    });
    stage.ask(Op::Read {
        token: 3,
        file,
        offset: 0,
        extent: Extent(1),
        start: 0,
        len: EXTENT_LEN,
    });
    let mut tokens: Vec<u32> = (0..3)
        .map(|_| match stage.next() {
            Completion::Synced { token, result } | Completion::Wrote { token, result } => {
                result.expect("a healthy disk");
                token
            }
            Completion::Read { token, result } => {
                assert_eq!(result.expect("a healthy disk").len, EXTENT_LEN);
                token
            }
            other => panic!("nobody asked for this: {other:?}"),
        })
        .collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2, 3]);
    assert_eq!(stage.sync(file), Ok(()));
    stage.ask(Op::CloseFile { file });
    stage.assert_quiet();
}
