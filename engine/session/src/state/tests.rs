use super::{ABOUT, FORMAT, FORMAT_KEY, Saved, StateError, Store, builder, found, record};
use redb::Database;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileLength, Layout};
use shoal_world::FileStamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

mod power;

const PIECES: u32 = 77;

pub(super) fn info_hash(number: u8) -> InfoHash {
    InfoHash::V1([number; 20])
}

fn stamp(number: u64) -> FileStamp {
    FileStamp {
        device: number,
        inode: number << 40,
        size: u64::MAX - number,
        modified_ns: -1,
        changed_ns: i64::MAX,
        links: 1,
        mode: 0o100_644,
        uid: 1000,
        gid: u32::MAX,
    }
}

/// A torrent of three files of which `count` pieces are there.
pub(super) fn saved(count: usize) -> Saved {
    let length = FileLength {
        len: u64::from(PIECES) * 16_384,
        padding: false,
    };
    let layout = Layout::new(16_384, [length]).expect("a layout");
    let mut pieces = Bitfield::none(PIECES);
    for piece in layout.piece_indices().rev().take(count) {
        pieces.set(piece);
    }
    Saved {
        pieces,
        stamps: vec![Some(stamp(count as u64)), None, Some(stamp(7))],
        priorities: vec![0, 4, 255],
        uploaded_bytes: count as u64,
        downloaded_bytes: u64::MAX,
        complete: count == PIECES as usize,
    }
}

/// A folder with a state of two torrents that is closed.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            directory: tempfile::tempdir().expect("a directory"),
        };
        let store = place.open();
        store
            .save(&[(info_hash(1), saved(5)), (info_hash(2), saved(77))])
            .expect("saved");
        place
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state.redb")
    }

    fn open(&self) -> Store {
        Store::open(&self.path()).expect("a state")
    }

    /// Opening says this of the file, in one line that names it.
    fn assert_refused(&self, what: &str) {
        let error = Store::open(&self.path()).expect_err("a refusal");
        let sentence = error.to_string();
        let path = self.path().display().to_string();
        assert!(sentence.starts_with(&path), "{sentence}");
        assert!(sentence.contains(what), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn what_was_saved_is_there_after_opening_again() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.load(&info_hash(1)).expect("read"), Some(saved(5)));
    assert_eq!(store.load(&info_hash(2)).expect("read"), Some(saved(77)));
    assert_eq!(store.load(&info_hash(3)).expect("read"), None);
}

#[test]
fn a_version_2_torrent_is_another_than_the_one_that_its_hash_begins_like() {
    let place = Place::new();
    let store = place.open();
    let long = InfoHash::V2([1; 32]);
    assert_eq!(store.load(&long).expect("read"), None);
    store.save(&[(long, saved(9))]).expect("saved");
    assert_eq!(store.load(&long).expect("read"), Some(saved(9)));
    assert_eq!(store.load(&info_hash(1)).expect("read"), Some(saved(5)));
}

#[test]
fn the_later_record_counts_and_a_removed_one_is_gone() {
    let place = Place::new();
    let store = place.open();
    store.save(&[(info_hash(1), saved(6))]).expect("saved");
    store.remove(&info_hash(2)).expect("removed");
    store.remove(&info_hash(2)).expect("removed twice");
    drop(store);
    let store = place.open();
    assert_eq!(store.load(&info_hash(1)).expect("read"), Some(saved(6)));
    assert_eq!(store.load(&info_hash(2)).expect("read"), None);
}

#[test]
fn a_record_is_the_bytes_that_are_documented() {
    let record = record::encode(&saved(0));
    let bits = 77_usize.div_ceil(8);
    assert_eq!(
        record.len(),
        1 + 8 + 8 + (4 + bits) + (4 + 57 + 1 + 57) + (4 + 3) + 8
    );
    assert_eq!(&record[9..17], &[255; 8]);
    assert_eq!(&record[17..21], &[77, 0, 0, 0]);
    assert_eq!(&record[31..35], &[3, 0, 0, 0]);
    assert_eq!(&record[36..52], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(record::decode(&record), Some(saved(0)));
}

#[test]
fn a_record_with_any_bit_flipped_cut_or_continued_is_none() {
    let record = record::encode(&saved(3));
    for at in 0..record.len() {
        for bit in 0..8 {
            let mut flipped = record.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(record::decode(&flipped), None, "bit {bit} of byte {at}");
        }
        assert_eq!(record::decode(&record[..at]), None, "{at} bytes");
    }
    let longer = [record.as_slice(), &[0]].concat();
    assert_eq!(record::decode(&longer), None);
}

#[test]
fn a_newer_format_is_refused() {
    let place = Place::new();
    let database = Database::open(place.path()).expect("a database");
    let write = database.begin_write().expect("a transaction");
    write
        .open_table(ABOUT)
        .expect("a table")
        .insert(FORMAT_KEY, FORMAT + 1)
        .expect("inserted");
    write.commit().expect("committed");
    drop(database);
    place.assert_refused("newer shoal (format 2");
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let place = Place::new();
    fs::remove_file(place.path()).expect("removed");
    drop(Database::create(place.path()).expect("a database"));
    place.assert_refused("not a state of shoal");
}

#[test]
fn what_is_no_database_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let contents: [&[u8]; 4] = [b"", b"x", b"redb", &[0x5a; 100_000]];
    for content in contents {
        fs::write(place.path(), content).expect("written");
        place.assert_refused(if content.is_empty() { "empty" } else { "damaged" });
        assert_eq!(fs::read(place.path()).expect("read"), content);
    }
}

#[test]
fn a_folder_in_place_of_the_state_is_refused() {
    let place = Place::new();
    fs::remove_file(place.path()).expect("removed");
    fs::create_dir(place.path()).expect("a folder");
    place.assert_refused("not a state of shoal");
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let error = Store::open(Path::new("/nowhere/at/all")).expect_err("a refusal");
    assert!(matches!(error, StateError::Refused { .. }), "{error:?}");
    assert!(error.to_string().starts_with("/nowhere/at/all: "), "{error}");
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let place = Place::new();
    let store = place.open();
    place.assert_refused("another process");
    drop(store);
    place.open();
}

#[test]
fn nothing_but_the_state_is_left_in_its_folder() {
    let place = Place::new();
    let names: Vec<_> = fs::read_dir(place.directory.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["state.redb"]);
}

#[test]
fn a_full_disk_keeps_what_was_saved_and_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let mount = |options: &str, what: &[&str]| {
        let mut mounted = Command::new("mount");
        mounted.args(what).args(["-o", options]).arg(directory.path());
        mounted.output().is_ok_and(|output| output.status.success())
    };
    if !mount("size=4m", &["-t", "tmpfs", "shoal-test"]) {
        println!("skipped: no tmpfs can be mounted here");
        return;
    }
    let path = directory.path().join("state.redb");
    let store = Store::open(&path).expect("a state");
    store.save(&[(info_hash(1), saved(5))]).expect("saved");
    // Records of the most priorities that a small disk has no room for.
    let large = Saved {
        priorities: vec![4; 100_000],
        ..saved(6)
    };
    let many: Vec<_> = (2..60).map(|number| (info_hash(number), large.clone())).collect();
    for _ in 0..2 {
        let error = store.save(&many).expect_err("no room");
        assert!(matches!(error, StateError::NoSpace { .. }), "{error}");
        assert_eq!(store.load(&info_hash(1)).expect("read"), Some(saved(5)));
        assert_eq!(store.load(&info_hash(2)).expect("read"), None);
    }
    assert!(mount("remount,size=64m", &[]));
    store.save(&many).expect("saved");
    assert_eq!(store.load(&info_hash(59)).expect("read"), Some(large));
    drop(store);
    let unmounted = Command::new("umount").arg(directory.path()).status();
    assert!(unmounted.expect("umount runs").success());
}

/// Opens a damaged copy of a state and reads from it: refused or right, and never a panic.
fn assert_refused_or_right(path: &Path, content: &[u8], what: &str) {
    fs::write(path, content).expect("written");
    let Ok(store) = Store::open(path) else { return };
    for (number, count) in [(1, 5), (2, 77)] {
        if let Ok(loaded) = store.load(&info_hash(number)) {
            assert!(loaded.is_none_or(|loaded| loaded == saved(count)), "{what}");
        }
    }
}

#[test]
fn a_truncated_state_is_refused_or_right() {
    let place = Place::new();
    let content = fs::read(place.path()).expect("read");
    let copy = place.directory.path().join("copy");
    for len in (1..content.len()).step_by(4_096 - 7) {
        assert_refused_or_right(&copy, &content[..len], &format!("{len} bytes"));
    }
}

#[test]
fn a_state_with_flipped_bits_is_refused_or_right() {
    let place = Place::new();
    let content = fs::read(place.path()).expect("read");
    let copy = place.directory.path().join("copy");
    // Where all is zero there is nothing that counts; elsewhere every 97th byte, in turn each bit.
    let used = (0..content.len()).filter(|at| content[*at] != 0).step_by(97);
    for (turn, at) in used.enumerate() {
        let mut flipped = content.clone();
        flipped[at] ^= 1 << (turn % 8);
        assert_refused_or_right(&copy, &flipped, &format!("byte {at}"));
    }
}
