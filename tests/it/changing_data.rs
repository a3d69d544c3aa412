//! Case 44 of the hostile inputs: payload that changes under a running seed.
//!
//! A torrent whose data is no longer what was verified stops with a reason. A block that is sent after the change is
//! compared like any other: what is right may still be sent (from memory, or from a file that is merely unlinked),
//! what is wrong never.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use shoal_tests::PATIENCE;
use shoal_tests::fetch::{Fetch, fetch_all};
use shoal_tests::peer::FAST_AND_EXTENDED;
use shoal_tests::place::Place;
use shoal_tests::process::{Seed, Signal};
use shoal_tests::random::Random;
use shoal_tests::sample::Sample;

/// Two torrents under one seed: the data of one of them changes.
struct Pair {
    place: Place,
    victim: Sample,
    bystander: Sample,
    seed: Seed,
}

impl Pair {
    fn start() -> Pair {
        let place = Place::new();
        let files = [("payload.bin", 8 * 1024 * 1024 + 333), ("small", 5_000)];
        let victim = Sample::directory("victim", &files, 128 * 1024);
        let files = [("one", 700_000), ("two", 1), ("three", 900_000)];
        let bystander = Sample::directory("bystander", &files, 64 * 1024);
        let seed = Seed::of(&place, &[place.add(&victim), place.add(&bystander)]);
        Pair {
            place,
            victim,
            bystander,
            seed,
        }
    }

    fn victim_path(&self) -> PathBuf {
        self.place.data().join("victim/payload.bin")
    }

    /// A connection that already has an eighth of the victim, so that some of it is in memory when the data changes.
    fn fetch_some(&self) -> Fetch<'_> {
        let blocks = self.victim.blocks();
        let mut fetch =
            Fetch::start(self.seed.address(), &self.victim, FAST_AND_EXTENDED).expect("a peer is welcome");
        fetch
            .blocks(&blocks[..blocks.len() / 8], 16)
            .expect("nothing is wrong yet");
        fetch
    }
}

/// `change` puts the torrent in error; until its peers are disconnected they get right blocks or none.
fn check_stopped(change: impl Fn(&Path, &Place)) {
    let pair = Pair::start();
    let mut fetch = pair.fetch_some();
    change(&pair.victim_path(), &pair.place);
    let mut blocks = pair.victim.blocks();
    let mut random = Random::named("after the change");
    let deadline = Instant::now() + PATIENCE;
    loop {
        random.shuffle(&mut blocks);
        if fetch.blocks(&blocks, 16).is_err() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "still served\n{}",
            pair.seed.process().said()
        );
    }
    let line = pair.seed.wait_for_diagnostic(pair.victim.name());
    assert!(
        line.len() > pair.victim.name().len() + 10,
        "what is wrong with it? {line}"
    );
    // Whoever comes now is not served either, and the other torrent is.
    assert!(
        fetch_all(pair.seed.address(), &pair.victim).is_err(),
        "a torrent in error is served"
    );
    fetch_all(pair.seed.address(), &pair.bystander).expect("the other torrent is seeded on");
    assert_eq!(pair.seed.stop(Signal::TERM).status.code(), Some(0));
}

/// `change` is none that matters: all blocks are served, before and after.
fn check_undisturbed(change: impl Fn(&Path, &Place)) {
    let pair = Pair::start();
    let mut fetch = pair.fetch_some();
    change(&pair.victim_path(), &pair.place);
    let mut blocks = pair.victim.blocks();
    Random::named("undisturbed").shuffle(&mut blocks);
    for _ in 0..3 {
        let fetched = fetch.blocks(&blocks, 16);
        fetched.unwrap_or_else(|error| panic!("{error}\n{}", pair.seed.process().said()));
    }
    fetch_all(pair.seed.address(), &pair.victim).expect("a later peer is served as well");
    fetch_all(pair.seed.address(), &pair.bystander).expect("the other torrent is seeded on");
    assert_eq!(pair.seed.stop(Signal::TERM).status.code(), Some(0));
}

fn open(path: &Path) -> File {
    OpenOptions::new()
        .write(true)
        .open(path)
        .expect("the data is there")
}

/// Overwrites everything from the middle on with other bytes, leaving the length as it is.
fn overwrite(file: &mut File) {
    let len = file.metadata().expect("an open file").len();
    file.seek(SeekFrom::Start(len / 2)).expect("a seekable file");
    file.write_all(&Random::named("other bytes").bytes((len - len / 2) as usize))
        .expect("a writable file");
}

#[test]
fn truncated_to_nothing() {
    check_stopped(|path, _| open(path).set_len(0).expect("a writable file"));
}

#[test]
fn truncated_in_the_middle_of_a_piece() {
    check_stopped(|path, _| open(path).set_len(4_321_987).expect("a writable file"));
}

#[test]
fn grown() {
    check_stopped(|path, _| open(path).set_len(9 * 1024 * 1024).expect("a writable file"));
}

#[test]
fn deleted() {
    check_stopped(|path, _| fs::remove_file(path).expect("the data is there"));
}

#[test]
fn replaced_by_a_rename() {
    check_stopped(|path, place| {
        let other = place.path().join("other");
        fs::copy(path, &other).expect("room for a copy");
        overwrite(&mut open(&other));
        fs::rename(&other, path).expect("the same file system");
    });
}

#[test]
fn overwritten_in_place() {
    check_stopped(|path, _| overwrite(&mut open(path)));
}

#[test]
fn overwritten_in_place_with_the_time_put_back() {
    check_stopped(|path, _| {
        let mut file = open(path);
        let modified = file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .expect("ext4 keeps times");
        overwrite(&mut file);
        file.set_times(FileTimes::new().set_modified(modified))
            .expect("the owner may set times");
    });
}

#[test]
fn overwritten_a_byte_at_a_time_while_it_is_read() {
    // The change goes on while the first wrong reads complete.
    check_stopped(|path, _| {
        let mut file = open(path);
        for offset in (2_000_000..8_000_000).step_by(50_000) {
            file.seek(SeekFrom::Start(offset))
                .and_then(|_| file.write_all(b"x"))
                .expect("a writable file");
        }
    });
}

#[test]
fn touched() {
    // A new time of modification says that somebody wrote; whether the same bytes is not asked.
    check_stopped(|path, _| {
        let touched = open(path).set_modified(SystemTime::now());
        touched.expect("the owner may set times");
    });
}

#[test]
fn its_directory_moved_away() {
    check_stopped(|_, place| {
        fs::rename(place.data().join("victim"), place.path().join("elsewhere"))
            .expect("the same file system");
    });
}

#[test]
fn a_hard_link_and_other_names_do_not_matter() {
    check_undisturbed(|path, place| {
        fs::hard_link(path, place.path().join("another name")).expect("the same file system");
    });
}

#[test]
fn permissions_do_not_matter_to_a_file_that_is_open() {
    check_undisturbed(|path, _| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the owner may");
    });
}

#[test]
fn renamed_and_back_does_not_matter() {
    check_undisturbed(|path, place| {
        let aside = place.path().join("aside");
        fs::rename(path, &aside)
            .and_then(|()| fs::rename(&aside, path))
            .expect("the same file system");
    });
}

#[test]
fn reading_it_does_not_matter() {
    check_undisturbed(|path, _| {
        fs::read(path).expect("a readable file");
    });
}
