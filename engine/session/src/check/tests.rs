use super::{FileState, Findings, Settled, check, check_settled, some_findings};
use crate::create::{Details, Hidden, Plan, Tree};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::metainfo::{Attributes, Content, EntryKind, FileEntry, Metainfo, MetainfoBuilder};
use shoal_uring::scan::{self, PartOutcome, Piece, Report};
use shoal_world::FileStamp;
use std::fs;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
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

fn numbers(pieces: &Bitfield) -> Vec<u32> {
    pieces.present().map(|piece| piece.get()).collect()
}

fn some_pieces(place: &Place, pieces: &[u32]) -> Bitfield {
    let layout = place.metainfo.layout();
    let mut have = Bitfield::none(layout.pieces());
    for piece in pieces.iter().filter_map(|piece| layout.piece(*piece)) {
        have.set(piece);
    }
    have
}

#[test]
fn what_is_settled_is_every_piece_of_a_whole_file() {
    let place = Place::new();
    let check = |have: &[u32], files: [bool; 4], pieces: &[u32]| {
        let settled = Settled::of(&place.metainfo, &some_pieces(&place, have));
        assert_eq!(settled.files, files);
        assert_eq!(numbers(&settled.pieces), pieces);
    };
    check(&[], [false, false, true, false], &[]);
    check(&[0, 2, 4], [false, false, true, false], &[]);
    check(&[0, 1, 2], [true, false, true, false], &[0, 1]);
    check(&[0, 1, 2, 3, 4], [true; 4], &[0, 1, 2, 3, 4]);
}

/// Found by reading: a piece that reaches from a whole file into one that was being written counted as lost.
#[test]
fn a_file_that_is_being_written_casts_no_doubt_on_what_is_settled() {
    let place = Place::new();
    let settled = Settled::of(&place.metainfo, &some_pieces(&place, &[0, 1]));
    let stamp = stamp(&place.file("a"));
    let changed = PartOutcome::Changed {
        before: stamp,
        after: stamp,
    };
    let right = |piece: u32| {
        let piece = place.metainfo.layout().piece(piece).expect("a piece");
        let Digest::Sha1(digest) = place.metainfo.piece_hash(piece) else {
            panic!("a torrent of version 1")
        };
        Piece::Hashed(digest)
    };
    let found = |a, b| {
        let report = Report {
            pieces: vec![right(0), right(1), Piece::Skipped, Piece::Skipped, Piece::Skipped],
            parts: vec![a, b, PartOutcome::Skipped, PartOutcome::Skipped],
        };
        let wanted = [true, true, false, false, false];
        let findings = some_findings(&place.metainfo, &report, &wanted, |file| settled.files[file]);
        (numbers(&findings.have), findings.stamps())
    };
    let read = PartOutcome::Read(stamp);
    let only_a = vec![Some(stamp), None, None, None];
    assert_eq!(found(read, changed), (vec![0, 1], only_a));
    assert_eq!(found(changed, read), (vec![], vec![None; 4]));
}

#[test]
fn of_what_is_settled_every_byte_is_read() {
    let place = Place::new();
    let found = || {
        let settled = Settled::of(&place.metainfo, &some_pieces(&place, &[0, 1]));
        let paths = ["a", "b", "c", "d"].map(|name| place.file(name));
        let options = scan::Options::default();
        let findings = check_settled(&place.metainfo, &paths, &settled, &options, &watch).expect("findings");
        numbers(&findings.have)
    };
    fs::remove_file(place.file("d")).expect("it is there");
    assert_eq!(found(), [0, 1], "nothing of it is there yet");
    overwrite(&place.file("b"), 29_999);
    assert_eq!(found(), [0, 1]);
    overwrite(&place.file("b"), 0);
    assert_eq!(
        found(),
        [0],
        "a piece has to be whole, whatever file the byte is in"
    );
    overwrite(&place.file("a"), 0);
    assert_eq!(found(), Vec::<u32>::new());
}

fn overwrite(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("it is there");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("it is ours");
}

fn stamp(path: &Path) -> FileStamp {
    let file = fs::File::open(path).expect("it is there");
    shoal_uring::stamp(file.as_fd()).expect("it is open")
}
