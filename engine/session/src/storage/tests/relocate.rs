//! Carrying files to another folder, on the same file system and on another one, with crashes in between.

use super::super::{MoveError, move_to};
use super::finish::{stamp, stamps};
use super::{Disk, Placed, Prepared, StorageError, assert_listing, entry, four_files, torrent};
use shoal_proto::metainfo::{EntryKind, FileEntry};
use std::cell::RefCell;
use std::fs::{self, File, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MOVED: [(&str, u64); 4] = [
    ("T/a.part", 20_000),
    ("T/c.part", 0),
    ("T/sub/b.part", 30_000),
    ("T/sub/deep/d.part", 30_000),
];

/// A torrent with data, and the folder that it is to be carried to.
struct Move {
    disk: Disk,
    prepared: Prepared,
    target: TempDir,
}

impl Move {
    fn to(target: TempDir) -> Move {
        let disk = Disk::new(four_files());
        let prepared = disk.prepare();
        for path in [&prepared.paths[0], &prepared.paths[1], &prepared.paths[3]] {
            let file = File::options().write(true).open(path).expect("a file");
            file.write_all_at(path.as_os_str().as_encoded_bytes(), 9_000)
                .expect("written");
        }
        Move {
            disk,
            prepared,
            target,
        }
    }

    /// One on this file system and, if there is one, one to another. Every test is about both.
    fn both() -> Vec<Move> {
        let mut moves = vec![Move::to(tempfile::tempdir().expect("a directory"))];
        match TempDir::new_in("/dev/shm") {
            Ok(shared) => moves.push(Move::to(shared)),
            Err(_) => println!("skipped: there is no /dev/shm here"),
        }
        moves
    }

    fn root(&self) -> PathBuf {
        self.target.path().join("new")
    }

    fn carry(&self) -> Result<Placed, StorageError> {
        unstopped(self.carry_watched(&never_stop))
    }

    fn carry_watched(&self, watch: &dyn Fn(u64) -> ControlFlow<()>) -> Result<Placed, MoveError> {
        let stamps = vec![None; 4];
        let Disk { metainfo, place, .. } = &self.disk;
        move_to(metainfo, place, &self.prepared, &stamps, &self.root(), watch)
    }

    /// What the files hold, wherever they are.
    fn contents(paths: &[PathBuf]) -> Vec<Vec<u8>> {
        paths.iter().map(|path| fs::read(path).expect("read")).collect()
    }

    /// Copies a file as a crash would have left it, under another name if given.
    fn copy(&self, name: &str, as_name: &str, len: u64) {
        let target = self.root().join("T").join(as_name);
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(self.disk.path(name), &target).expect("copied");
        let file = File::options().write(true).open(target).expect("a file");
        file.set_len(len).expect("cut");
    }

    fn assert_carried(&self, before: &[Vec<u8>], placed: &Placed) {
        assert_listing(&self.root(), &MOVED);
        assert_eq!(Move::contents(&placed.paths), before);
        assert!(!self.disk.path("").exists(), "emptied folders are removed");
        assert!(self.disk.place.root.exists(), "the root is the user's");
    }
}

fn never_stop(_bytes: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The result of a move that nobody stops.
fn unstopped(moved: Result<Placed, MoveError>) -> Result<Placed, StorageError> {
    moved.map_err(|error| match error {
        MoveError::Storage(error) => error,
        MoveError::Cancelled => panic!("nobody stopped it"),
    })
}

#[test]
fn all_files_are_carried_with_their_content() {
    for case in Move::both() {
        let before = Move::contents(&case.prepared.paths);
        let placed = case.carry().expect("carried");
        case.assert_carried(&before, &placed);
        assert_eq!(placed.paths[1], case.root().join("T/sub/b.part"));
        assert_eq!(case.carry().expect("again").paths, placed.paths);
    }
}

#[test]
fn stamps_follow_unchanged_files_and_no_others() {
    for case in Move::both() {
        let mut before = stamps(&case.prepared);
        let stale = before[1].as_mut().expect("a stamp");
        stale.modified_ns -= 1;
        let Disk { metainfo, place, .. } = &case.disk;
        let placed = move_to(
            metainfo,
            place,
            &case.prepared,
            &before,
            &case.root(),
            &never_stop,
        )
        .expect("carried");
        for index in [0, 2, 3] {
            assert_eq!(placed.stamps[index], stamp(&placed.paths[index]));
        }
        assert_eq!(placed.stamps[1], before[1]);
    }
}

#[test]
fn holes_times_and_modes_stay() {
    for case in Move::both() {
        let path = &case.prepared.paths[3];
        fs::set_permissions(path, Permissions::from_mode(0o640)).expect("changed");
        let before = fs::metadata(path).expect("metadata");
        let placed = case.carry().expect("carried");
        let after = fs::metadata(&placed.paths[3]).expect("metadata");
        assert_eq!(
            (before.mode(), before.mtime(), before.mtime_nsec()),
            (after.mode(), after.mtime(), after.mtime_nsec())
        );
        assert!(after.blocks() * 512 < 20_000, "{} blocks", after.blocks());
    }
}

#[test]
fn a_move_goes_on_wherever_it_was_cut_off() {
    let temporary = format!("sub/.shoal-moving-{}", four_files().info_hash());
    let crashes: [&dyn Fn(&Move); 5] = [
        // In the middle of a copy.
        &|case| case.copy("sub/b.part", &temporary, 12_345),
        // Before the copy got its name.
        &|case| case.copy("sub/b.part", &temporary, 30_000),
        // Before the source was deleted.
        &|case| case.copy("sub/b.part", "sub/b.part", 30_000),
        // After it was.
        &|case| {
            case.copy("sub/b.part", "sub/b.part", 30_000);
            fs::remove_file(case.disk.path("sub/b.part")).expect("removed");
        },
        // After all were carried, before the last folder was removed.
        &|case| {
            case.carry().expect("carried");
            fs::create_dir_all(case.disk.path("")).expect("a folder");
            fs::remove_dir(case.disk.path("")).expect("removed");
        },
    ];
    for crash in crashes {
        for case in Move::both() {
            let before = Move::contents(&case.prepared.paths);
            crash(&case);
            let placed = case.carry().expect("carried");
            // A copy on the same file system is left behind by nothing that we do, but is no obstacle.
            let _ = fs::remove_file(case.root().join("T").join(&temporary));
            case.assert_carried(&before, &placed);
        }
    }
}

#[test]
fn a_move_that_is_stopped_between_chunks_goes_on() {
    const FIRST_LEN: u64 = 20_000;
    for case in Move::both() {
        for (path, len) in [(0, FIRST_LEN), (1, 600_000)] {
            fs::write(&case.prepared.paths[path], vec![7; len as usize]).expect("written");
        }
        let before = Move::contents(&case.prepared.paths);
        let heard = RefCell::new(Vec::new());
        let stopped = case.carry_watched(&|bytes| {
            heard.borrow_mut().push(bytes);
            // After a chunk of the second file.
            if bytes > FIRST_LEN {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match stopped {
            // Names are given without asking: that takes no time.
            Ok(_) => assert_eq!(heard.into_inner(), [0; 0]),
            Err(MoveError::Cancelled) => {
                assert_eq!(heard.into_inner(), [0, FIRST_LEN, FIRST_LEN + (256 << 10)]);
                assert_listing(&case.root(), &[("T/a.part", FIRST_LEN)]);
            }
            Err(error) => panic!("{error}"),
        }
        let placed = case.carry().expect("carried");
        assert_eq!(Move::contents(&placed.paths), before);
        assert!(!case.disk.path("").exists(), "emptied folders are removed");
    }
}

#[test]
fn a_comparison_can_be_stopped_as_a_copy_can() {
    for case in Move::both() {
        let before = Move::contents(&case.prepared.paths);
        case.copy("sub/b.part", "sub/b.part", 30_000);
        let stopped = case.carry_watched(&|_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(MoveError::Cancelled)), "{stopped:?}");
        case.disk.assert_listing(&MOVED);
        let placed = case.carry().expect("carried");
        case.assert_carried(&before, &placed);
    }
}

#[test]
fn a_file_of_somebody_else_stops_the_move_before_it_begins() {
    let strangers: [&[u8]; 2] = [b"shorter", &[7; 30_000]];
    for stranger in strangers {
        for case in Move::both() {
            let path = case.root().join("T/sub/deep/d.part");
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, stranger).expect("written");
            let error = case.carry().expect_err("a refusal");
            assert!(matches!(error, StorageError::Occupied { .. }), "{error}");
            assert!(
                error.to_string().starts_with(&path.display().to_string()),
                "{error}"
            );
            assert_eq!(fs::read(&path).expect("read"), stranger);
            assert_listing(&case.root(), &[("T/sub/deep/d.part", stranger.len() as u64)]);
            case.disk.assert_listing(&MOVED);
        }
    }
}

#[test]
fn to_where_it_is_already_nothing_is_carried() {
    let case = Move::to(tempfile::tempdir().expect("a directory"));
    let before = Move::contents(&case.prepared.paths);
    let Disk {
        metainfo,
        place,
        directory,
    } = &case.disk;
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&place.root, &link).expect("a link");
    for target in [place.root.as_path(), link.as_path()] {
        let placed =
            move_to(metainfo, place, &case.prepared, &[None; 4], target, &never_stop).expect("carried");
        assert_eq!(Move::contents(&placed.paths), before);
        case.disk.assert_listing(&MOVED);
    }
}

#[test]
fn what_is_not_the_torrents_stays() {
    for case in Move::both() {
        case.disk.put("sub/of somebody else", b"kept");
        case.carry().expect("carried");
        case.disk.assert_listing(&[("T/sub/of somebody else", 4)]);
    }
}

#[test]
fn what_is_at_the_path_of_padding_stays() {
    let padding = FileEntry {
        kind: EntryKind::Padding,
        ..entry(".pad/12768", 12_768)
    };
    let disk = Disk::new(torrent(vec![entry("a", 20_000), padding, entry("b", 1)]));
    let prepared = disk.prepare();
    disk.put(".pad/12768", b"of another program");
    let target = tempfile::tempdir().expect("a directory");
    let Disk { metainfo, place, .. } = &disk;
    let placed =
        move_to(metainfo, place, &prepared, &[None; 3], target.path(), &never_stop).expect("carried");
    assert_listing(target.path(), &[("T/a.part", 20_000), ("T/b.part", 1)]);
    disk.assert_listing(&[("T/.pad/12768", 18)]);
    assert_eq!(placed.paths[1], target.path().join("T/.pad/12768"));
}

#[test]
fn a_disk_that_is_too_small_keeps_nothing_and_loses_nothing() {
    let Some(mount) = super::Mount::tmpfs("size=32k") else {
        return;
    };
    let case = Move::to(tempfile::tempdir_in(mount.path()).expect("a directory"));
    for path in [1, 3].map(|index| &case.prepared.paths[index]) {
        fs::write(path, [7; 30_000]).expect("written");
    }
    let before = Move::contents(&case.prepared.paths);
    let error = case.carry().expect_err("a refusal");
    assert!(
        matches!(error, StorageError::NoSpace { needed: 30_000, .. }),
        "{error}"
    );
    let left: Vec<_> = super::listing(Path::new(mount.path()))
        .into_iter()
        .filter(|(name, _)| name.contains(".shoal-moving-"))
        .collect();
    assert_eq!(left, []);
    mount.remount("size=1m");
    let placed = case.carry().expect("carried");
    case.assert_carried(&before, &placed);
}
