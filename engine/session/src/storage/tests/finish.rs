//! Files that are whole get their names, whatever came in between.

use super::super::finish;
use super::{Disk, Placed, Prepared, StorageError, four_files};
use shoal_world::FileStamp;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

pub(super) fn stamp(path: &Path) -> Option<FileStamp> {
    let file = File::open(path).expect("a file");
    Some(shoal_uring::stamp(file.as_fd()).expect("a stamp"))
}

pub(super) fn stamps(prepared: &Prepared) -> Vec<Option<FileStamp>> {
    prepared.paths.iter().map(|path| stamp(path)).collect()
}

impl Disk {
    fn finish(&self, prepared: &Prepared, whole: [bool; 4]) -> Result<Placed, StorageError> {
        finish(&self.metainfo, &self.place, prepared, &whole, &stamps(prepared))
    }

    fn assert_finished(&self) {
        self.assert_listing(&[
            ("T/a", 20_000),
            ("T/c", 0),
            ("T/sub/b", 30_000),
            ("T/sub/deep/d", 30_000),
        ]);
    }
}

#[test]
fn whole_files_get_their_names_and_the_stamps_that_follow() {
    let disk = Disk::new(four_files());
    let prepared = disk.prepare();
    let placed = disk.finish(&prepared, [true; 4]).expect("finished");
    disk.assert_finished();
    for path in &placed.paths {
        assert!(path.extension().is_none(), "{}", path.display());
    }
    let now: Vec<_> = placed.paths.iter().map(|path| stamp(path)).collect();
    assert_eq!(placed.stamps, now);
}

#[test]
fn files_that_are_not_whole_keep_the_suffix() {
    let disk = Disk::new(four_files());
    let prepared = disk.prepare();
    let placed = disk
        .finish(&prepared, [false, true, false, false])
        .expect("finished");
    disk.assert_listing(&[
        ("T/a.part", 20_000),
        ("T/c.part", 0),
        ("T/sub/b", 30_000),
        ("T/sub/deep/d.part", 30_000),
    ]);
    assert_eq!(placed.paths[0], prepared.paths[0]);
    assert_eq!(placed.paths[1], disk.path("sub/b"));
}

#[test]
fn a_file_that_changed_since_keeps_its_old_stamp() {
    let disk = Disk::new(four_files());
    let prepared = disk.prepare();
    let mut before = stamps(&prepared);
    let stale = before[1].as_mut().expect("a stamp");
    stale.modified_ns -= 1;
    let placed = finish(&disk.metainfo, &disk.place, &prepared, &[true; 4], &before).expect("finished");
    assert_eq!(placed.stamps[1], before[1]);
}

#[test]
fn after_a_crash_the_rest_gets_its_names() {
    let disk = Disk::new(four_files());
    let prepared = disk.prepare();
    let before = stamps(&prepared);
    fs::rename(disk.path("a.part"), disk.path("a")).expect("renamed");
    // Both names, where a rename is a link and an unlink.
    fs::hard_link(disk.path("sub/b.part"), disk.path("sub/b")).expect("linked");
    let finish = || finish(&disk.metainfo, &disk.place, &prepared, &[true; 4], &before);
    let placed = finish().expect("finished");
    disk.assert_finished();
    assert_eq!(finish().expect("again").paths, placed.paths);
    // And after a new start.
    let prepared = disk.prepare();
    assert_eq!(prepared.paths, placed.paths);
    disk.finish(&prepared, [true; 4]).expect("nothing left to do");
    disk.assert_finished();
}

#[test]
fn a_file_of_somebody_else_is_never_replaced() {
    let disk = Disk::new(four_files());
    let prepared = disk.prepare();
    disk.put("a", b"of somebody else");
    let error = disk.finish(&prepared, [true; 4]).expect_err("a refusal");
    assert!(matches!(error, StorageError::Occupied { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with(&disk.path("a").display().to_string()),
        "{error}"
    );
    assert_eq!(fs::read(disk.path("a")).expect("read"), b"of somebody else");
    assert_eq!(
        fs::metadata(disk.path("a.part")).expect("still there").len(),
        20_000
    );
}

#[test]
fn a_file_that_is_gone_is_named() {
    let disk = Disk::new(four_files());
    let prepared = disk.prepare();
    let before = stamps(&prepared);
    fs::remove_file(disk.path("a.part")).expect("removed");
    let ended = finish(&disk.metainfo, &disk.place, &prepared, &[true; 4], &before);
    assert!(matches!(ended, Err(StorageError::Missing { .. })), "{ended:?}");
}
