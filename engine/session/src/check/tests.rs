use super::{FileState, Findings, check};
use crate::create::{Details, Hidden, Plan, Tree};
use shoal_proto::digest::Digest;
use shoal_proto::metainfo::{Attributes, Content, EntryKind, FileEntry, Metainfo, MetainfoBuilder};
use shoal_uring::scan;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PIECE_LENGTH: u32 = 16 * 1024;

/// A folder `T` of four files over five pieces, and its torrent: `a` is pieces 0 and the start of 1, `b` the rest of 1,
/// all of 2 and the start of 3, `c` is empty, `d` the rest of 3 and 4.
struct Place {
    directory: TempDir,
    metainfo: Metainfo,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("T");
        fs::create_dir(&root).expect("a directory");
        for (name, len) in [("a", 20_000), ("b", 30_000), ("c", 0), ("d", 30_000)] {
            fs::write(root.join(name), name.repeat(len)).expect("a file");
        }
        let tree = Tree::walk(&root, Hidden::Take, Path::new("x")).expect("a tree");
        let details = Details {
            piece_length: Some(PIECE_LENGTH),
            ..Details::default()
        };
        let plan = Plan::new(tree, details).expect("a plan");
        let created = plan.hash(&scan::Options::default(), &watch).expect("a torrent");
        let metainfo = created.built.metainfo;
        Place { directory, metainfo }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("T").join(name)
    }

    fn check(&self) -> Findings {
        check(
            &self.metainfo,
            self.directory.path(),
            &scan::Options::default(),
            &watch,
        )
        .expect("findings")
    }

    /// Checks which pieces are right, how many are wrong and missing, and the state of each file.
    fn assert(&self, right: &[u32], wrong: u32, missing: u32, states: [FileState; 4]) -> Findings {
        let findings = self.check();
        let found: Vec<u32> = findings.have.present().map(|piece| piece.get()).collect();
        assert_eq!(found, right);
        assert_eq!(
            (findings.pieces_wrong, findings.pieces_missing()),
            (wrong, missing)
        );
        let found: Vec<FileState> = findings.files.iter().map(|file| file.state).collect();
        assert_eq!(found, states);
        assert_eq!(findings.is_complete(), right.len() == 5);
        findings
    }
}

fn watch(_bytes: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

use FileState::{Missing, Right, Short, Undecided, Wrong};

#[test]
fn data_as_it_should_be_is_complete() {
    let findings = Place::new().assert(&[0, 1, 2, 3, 4], 0, 0, [Right; 4]);
    assert!(findings.stamps().iter().all(Option::is_some));
}

#[test]
fn a_missing_file_takes_the_pieces_it_shares_with_it() {
    let place = Place::new();
    fs::remove_file(place.file("b")).expect("a file");
    let undecided = Undecided { pieces: 1 };
    let findings = place.assert(&[0, 4], 0, 3, [undecided, Missing, Right, undecided]);
    assert_eq!(
        findings.stamps().iter().filter(|stamp| stamp.is_none()).count(),
        1
    );
}

#[test]
fn a_wrong_byte_makes_its_piece_wrong_in_all_files_that_share_it() {
    let place = Place::new();
    let mut bytes = fs::read(place.file("b")).expect("a file");
    bytes[29_999] = b'x';
    fs::write(place.file("b"), bytes).expect("a file");
    let wrong = Wrong { pieces: 1 };
    place.assert(&[0, 1, 2, 4], 1, 0, [Right, wrong, Right, wrong]);
}

#[test]
fn a_short_file_keeps_the_pieces_before_its_end() {
    let place = Place::new();
    fs::write(place.file("d"), "d".repeat(20_000)).expect("a file");
    let findings = place.assert(&[0, 1, 2, 3], 0, 1, [Right, Right, Right, Short { len: 20_000 }]);
    assert!(
        findings.files[3].stamp.is_some(),
        "what is right of it can be served"
    );
}

#[test]
fn a_longer_file_is_right_as_far_as_the_torrent_knows_it() {
    let place = Place::new();
    fs::write(place.file("d"), "d".repeat(40_000)).expect("a file");
    place.assert(&[0, 1, 2, 3, 4], 0, 0, [Right; 4]);
    assert_eq!(
        fs::read(place.file("d")).expect("a file").len(),
        40_000,
        "it was not touched"
    );
}

#[test]
fn an_empty_file_that_is_missing_costs_no_piece() {
    let place = Place::new();
    fs::remove_file(place.file("c")).expect("a file");
    place.assert(&[0, 1, 2, 3, 4], 0, 0, [Right, Right, Missing, Right]);
}

#[test]
fn a_folder_in_place_of_a_file_is_refused_and_not_entered() {
    let place = Place::new();
    fs::remove_file(place.file("a")).expect("a file");
    fs::create_dir(place.file("a")).expect("a directory");
    let findings = place.check();
    assert!(
        matches!(findings.files[0].state, FileState::Refused(_)),
        "{:?}",
        findings.files[0]
    );
}

#[test]
fn nothing_at_all_is_all_missing_and_nothing_is_created() {
    let place = Place::new();
    fs::remove_dir_all(place.directory.path().join("T")).expect("a directory");
    place.assert(&[], 0, 5, [Missing; 4]);
    assert_eq!(
        fs::read_dir(place.directory.path()).expect("a directory").count(),
        0
    );
}

#[test]
fn padding_is_zeroes_that_need_no_file() {
    let place = tempfile::tempdir().expect("a directory");
    fs::create_dir(place.path().join("T")).expect("a directory");
    fs::write(place.path().join("T/a"), "a".repeat(1_000)).expect("a file");
    symlink("a", place.path().join("T/link")).expect("a link");
    let entry = |name: &str, len: u64, kind: EntryKind| FileEntry {
        path: vec![name.to_owned()],
        len,
        kind,
    };
    let files = vec![
        entry("a", 1_000, EntryKind::Regular(Attributes::default())),
        entry("pad", u64::from(PIECE_LENGTH) - 1_000, EntryKind::Padding),
        entry(
            "link",
            0,
            EntryKind::Symlink {
                target: vec!["a".to_owned()],
            },
        ),
    ];
    // SHA-1 of 1,000 times `a` and 15,384 zero bytes.
    let hash = Digest::Sha1([
        0x1b, 0x44, 0x5b, 0xa8, 0xc1, 0xa1, 0x7f, 0xb2, 0x71, 0xb5, 0xc2, 0xc6, 0x13, 0x72, 0x07, 0xa1, 0xe0,
        0x17, 0xb3, 0x2f,
    ]);
    let builder = MetainfoBuilder::new("T", Content::Folder(files), PIECE_LENGTH);
    let metainfo = builder.build(&[hash]).expect("a torrent").metainfo;
    let findings = check(&metainfo, place.path(), &scan::Options::default(), &watch).expect("findings");
    assert!(findings.is_complete());
    let states: Vec<FileState> = findings.files.iter().map(|file| file.state).collect();
    assert_eq!(states, [Right, FileState::WithoutData, FileState::WithoutData]);
}
