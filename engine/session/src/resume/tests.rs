use super::{Found, is_about, resume};
use crate::create::{Details, Hidden, Plan, Tree};
use crate::state::Saved;
use crate::storage::{Place, Preallocation, Prepared, prepare};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::metainfo::Metainfo;
use shoal_uring::scan::{self, Cancelled};
use shoal_world::FileStamp;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const PIECE_LENGTH: u32 = 16 * 1024;

const FILES: [(&str, usize); 4] = [("a", 20_000), ("b", 30_000), ("c", 0), ("d", 30_000)];

/// The torrent of a folder `T` of four files over five pieces: `a` is piece 0 and the start of 1, `b` the rest of
/// 1, all of 2 and the start of 3, `c` is empty, `d` the rest of 3 and 4.
fn metainfo() -> &'static Metainfo {
    static METAINFO: OnceLock<Metainfo> = OnceLock::new();
    METAINFO.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("T");
        fs::create_dir(&root).expect("a directory");
        for (name, len) in FILES {
            fs::write(root.join(name), name.repeat(len)).expect("a file");
        }
        let tree = Tree::walk(&root, Hidden::Take, Path::new("x")).expect("a tree");
        let details = Details {
            piece_length: Some(PIECE_LENGTH),
            ..Details::default()
        };
        let plan = Plan::new(tree, details).expect("a plan");
        plan.hash(&scan::Options::default(), &watch)
            .expect("a torrent")
            .built
            .metainfo
    })
}

fn watch(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A folder in which the torrent is being fetched.
struct Disk {
    directory: TempDir,
}

impl Disk {
    /// Files of the right length and without content.
    fn empty() -> Disk {
        let disk = Disk {
            directory: tempfile::tempdir().expect("a directory"),
        };
        disk.prepare();
        disk
    }

    /// All of the data.
    fn full() -> Disk {
        let disk = Disk::empty();
        for (name, len) in FILES {
            disk.write(name, 0, &name.repeat(len));
        }
        disk
    }

    fn prepare(&self) -> Prepared {
        let place = Place {
            root: self.directory.path().to_owned(),
            part_suffix: false,
            preallocation: Preallocation::Sparse,
            data_expected: false,
        };
        prepare(metainfo(), &place, &[true; 4]).expect("prepared")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("T").join(name)
    }

    fn write(&self, name: &str, offset: u64, content: &str) {
        let file = File::options().write(true).open(self.path(name)).expect("a file");
        file.write_all_at(content.as_bytes(), offset).expect("written");
    }

    fn stamp(&self, name: &str) -> Option<FileStamp> {
        let file = File::open(self.path(name)).expect("a file");
        Some(shoal_uring::stamp(file.as_fd()).expect("a stamp"))
    }

    /// What a state says that was saved now.
    fn claim(&self, pieces: &[u32]) -> Saved {
        // The next write is to leave another time: a tick of the coarse clock takes at most 10 ms.
        thread::sleep(Duration::from_millis(20));
        let layout = metainfo().layout();
        let mut claimed = Bitfield::none(layout.pieces());
        for piece in pieces {
            claimed.set(layout.piece(*piece).expect("a piece"));
        }
        Saved {
            pieces: claimed,
            stamps: FILES.iter().map(|(name, _)| self.stamp(name)).collect(),
            priorities: vec![4; FILES.len()],
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            complete: false,
        }
    }

    fn resume(&self, saved: Option<&Saved>) -> Found {
        let options = scan::Options::default();
        resume(metainfo(), &self.prepare(), saved, &options, &watch).expect("nobody breaks off")
    }

    /// Checks which pieces are found, how many were hashed for that, and which files have stamps, which must be
    /// those of now.
    fn assert(&self, saved: Option<&Saved>, have: &[u32], rehashed_pieces: u32, files: &str) {
        let found = self.resume(saved);
        let pieces: Vec<u32> = found.have.present().map(|piece| piece.get()).collect();
        assert_eq!(pieces, have);
        assert_eq!(found.rehashed_pieces, rehashed_pieces);
        for ((name, _), stamp) in FILES.iter().zip(&found.stamps) {
            let expected = files.contains(name).then(|| self.stamp(name)).flatten();
            assert_eq!(*stamp, expected, "{name}");
        }
    }
}

#[test]
fn claims_about_unchanged_files_are_believed_without_reading() {
    let disk = Disk::full();
    disk.assert(Some(&disk.claim(&[0, 1, 2, 3, 4])), &[0, 1, 2, 3, 4], 0, "abd");
    disk.assert(Some(&disk.claim(&[0, 4])), &[0, 4], 0, "ad");
    disk.assert(Some(&disk.claim(&[])), &[], 0, "");
}

#[test]
fn claims_about_a_file_that_was_written_to_are_hashed_again() {
    let disk = Disk::full();
    let saved = disk.claim(&[0, 1, 2, 3, 4]);
    disk.write("b", 0, "b");
    disk.assert(Some(&saved), &[0, 1, 2, 3, 4], 3, "abd");
    // The start of `b` is in piece 1.
    disk.write("b", 0, "x");
    disk.assert(Some(&saved), &[0, 2, 3, 4], 3, "abd");
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote_whole() {
    let disk = Disk::empty();
    disk.write("a", 0, &"a".repeat(16_384));
    let saved = disk.claim(&[0]);
    disk.write("a", 16_384, &"a".repeat(3_616));
    disk.write("b", 0, &"b".repeat(12_768));
    disk.assert(Some(&saved), &[0, 1], 3, "ab");
}

#[test]
fn what_was_not_claimed_is_not_looked_for_where_nothing_changed() {
    let disk = Disk::full();
    disk.assert(Some(&disk.claim(&[2])), &[2], 0, "b");
    let saved = disk.claim(&[2]);
    disk.write("d", 0, "d");
    disk.assert(Some(&saved), &[2, 3, 4], 2, "bd");
}

#[test]
fn files_that_nobody_claimed_anything_of_are_hashed() {
    Disk::full().assert(None, &[0, 1, 2, 3, 4], 5, "abd");
    let disk = Disk::full();
    disk.write("d", 29_999, "x");
    disk.assert(None, &[0, 1, 2, 3], 5, "abd");
}

#[test]
fn a_torrent_that_was_only_just_begun_costs_no_reading() {
    let disk = Disk::empty();
    disk.assert(None, &[], 0, "");
    // Piece 0 has data now, and piece 1 its first page where pages are longer than its share of `a`.
    disk.write("a", 0, "a");
    let found = disk.resume(None);
    assert!(found.have.is_none());
    assert!((1..=2).contains(&found.rehashed_pieces), "{found:?}");
}

#[test]
fn claims_about_data_that_is_gone_are_believed_nowhere() {
    let disk = Disk::full();
    let saved = disk.claim(&[0, 1, 2, 3, 4]);
    fs::remove_file(disk.path("a")).expect("removed");
    // `a` is made anew, as a hole.
    disk.assert(Some(&saved), &[2, 3, 4], 1, "bd");
    fs::remove_dir_all(disk.path("")).expect("removed");
    disk.assert(Some(&saved), &[], 0, "");
}

#[test]
fn a_file_that_cannot_be_found_has_no_pieces() {
    let disk = Disk::full();
    let saved = disk.claim(&[0, 1, 2, 3, 4]);
    let prepared = disk.prepare();
    fs::remove_file(disk.path("b")).expect("removed");
    for (saved, rehashed_pieces) in [(Some(&saved), 0), (None, 2)] {
        let options = scan::Options::default();
        let found = resume(metainfo(), &prepared, saved, &options, &watch).expect("nobody breaks off");
        let pieces: Vec<u32> = found.have.present().map(|piece| piece.get()).collect();
        assert_eq!((pieces, found.rehashed_pieces), (vec![0, 4], rehashed_pieces));
        assert_eq!(found.stamps[1], None);
    }
}

#[test]
fn another_file_under_the_name_is_hashed() {
    let disk = Disk::full();
    let saved = disk.claim(&[0, 1, 2, 3, 4]);
    fs::copy(disk.path("d"), disk.path("other")).expect("copied");
    fs::rename(disk.path("other"), disk.path("d")).expect("renamed");
    disk.assert(Some(&saved), &[0, 1, 2, 3, 4], 2, "abd");
}

#[test]
fn what_was_saved_of_another_shape_is_believed_nowhere() {
    let disk = Disk::full();
    let saved = disk.claim(&[0, 1, 2, 3, 4]);
    let longer = Saved {
        pieces: Bitfield::all(6),
        ..saved.clone()
    };
    let mut fewer_files = saved;
    fewer_files.stamps.pop();
    for poisoned in [longer, fewer_files] {
        disk.assert(Some(&poisoned), &[0, 1, 2, 3, 4], 5, "abd");
    }
}

#[test]
fn claims_without_stamps_are_hashed() {
    let disk = Disk::full();
    let mut saved = disk.claim(&[0, 1, 2, 3, 4]);
    saved.stamps[3] = None;
    disk.assert(Some(&saved), &[0, 1, 2, 3, 4], 2, "abd");
}

#[test]
fn a_state_is_about_files_of_which_one_is_as_it_was_saved() {
    let disk = Disk::full();
    let saved = disk.claim(&[0, 1, 2, 3, 4]);
    let check = |disk: &Disk, saved: &Saved| is_about(saved, metainfo(), &disk.prepare());
    assert!(check(&disk, &saved));
    disk.write("a", 0, "x");
    disk.write("b", 0, "x");
    assert!(check(&disk, &saved), "the other two are");
    assert!(!check(&Disk::full(), &saved), "equal files, and others");
    let mut nothing = saved;
    nothing.stamps.fill(None);
    assert!(!check(&disk, &nothing));
}

#[test]
fn the_watcher_may_break_off() {
    let disk = Disk::full();
    let options = scan::Options::default();
    let ended = resume(metainfo(), &disk.prepare(), None, &options, &|_| {
        ControlFlow::Break(())
    });
    assert_eq!(ended, Err(Cancelled));
}
