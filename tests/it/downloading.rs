//! `shoal download` as people and scripts meet it: arguments, exit codes, sentences, events, resuming, selected files.
//!
//! What is fetched comes from a real `shoal seed`, and is compared byte by byte where it matters. How fetching
//! behaves among hostile peers, faults and crashes is told elsewhere.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use shoal_tests::fetch::fetch_all;
use shoal_tests::peer::{FAST_AND_EXTENDED, Message, Peer};
use shoal_tests::place::Place;
use shoal_tests::process::{Finished, Process, Seed, Signal, run, shoal};
use shoal_tests::sample::Sample;

const PIECE_LEN: u32 = 16 * 1024;

/// An address where nobody is: the port discard (RFC 863) of this machine.
const NOBODY: &str = "127.0.0.1:9";

/// A torrent, somebody who has it, and an empty folder.
struct Stage {
    place: Place,
    sample: Sample,
    torrent: PathBuf,
    seed: Seed,
}

impl Stage {
    /// Three files of which two share a piece, as all neighbours do.
    fn new() -> Stage {
        Stage::of(Sample::directory(
            "series",
            &[
                ("e01.mkv", 1_000_000),
                ("extras/e02.mkv", 500_000),
                ("info.nfo", 321),
            ],
            PIECE_LEN,
        ))
    }

    fn of(sample: Sample) -> Stage {
        let place = Place::new();
        let torrent = place.add(&sample);
        let seed = Seed::of(&place, &[&torrent]);
        Stage {
            place,
            sample,
            torrent,
            seed,
        }
    }

    fn out(&self) -> PathBuf {
        self.place.path().join("out")
    }

    /// `shoal download` of the torrent to `out`, on one core and a port that the kernel chooses, from the seed.
    fn download(&self, more: &[&str]) -> Command {
        let mut command = self.download_from(&self.seed.address().to_string());
        command.args(more);
        command
    }

    fn download_from(&self, peer: &str) -> Command {
        let mut command = shoal();
        command
            .arg("download")
            .arg(&self.torrent)
            .arg("--out")
            .arg(self.out());
        command.args(["--listen", "127.0.0.1:0", "--cores", "0", "--peer", peer]);
        command
    }

    /// The file of the state, if there is one.
    fn state(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.out())
            .ok()?
            .map(|entry| entry.expect("a readable entry").path());
        entries.find(|path| path.extension().is_some_and(|extension| extension == "state"))
    }
}

/// Expects success and returns the last line of the results.
fn complete(command: Command) -> String {
    let finished = run(command);
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    finished.stdout.last().expect("a last line").clone()
}

/// Expects success and returns all events.
fn events(mut command: Command) -> Vec<Json> {
    command.arg("--json");
    let finished = run(command);
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    parsed(&finished)
}

fn parsed(finished: &Finished) -> Vec<Json> {
    let parse = |line: &String| serde_json::from_str(line).expect("--json prints JSON");
    finished.stdout.iter().map(parse).collect()
}

fn names(events: &[Json]) -> Vec<&str> {
    let names = events.iter().filter_map(|event| event["event"].as_str());
    names.filter(|name| *name != "progress").collect()
}

/// Expects bad input: exit code 2, one sentence with `text` in it, and nothing written.
fn refuses(place: &Place, command: Command, text: &str) {
    let before = place.entries();
    let finished = run(command);
    assert_eq!(finished.status.code(), Some(2), "{finished:#?}");
    assert_eq!(finished.stdout, [""; 0], "a failure has no result");
    let [sentence] = finished.stderr.as_slice() else {
        panic!("not one sentence: {:#?}", finished.stderr)
    };
    assert!(sentence.contains(text), "{sentence}");
    assert_eq!(place.entries(), before, "something was written");
}

/// Names below a folder.
fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a readable folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("a readable entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn download_fetches_everything_and_leaves_nothing_else() {
    let stage = Stage::new();
    let finished = run(stage.download(&[]));
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    stage.sample.assert_present_in(&stage.out());
    assert_eq!(listing(&stage.out()), ["series"]);
    assert_eq!(finished.stderr, [""; 0], "nothing moves without a terminal");
    let [ready, summary] = finished.stdout.as_slice() else {
        panic!("not two lines: {:#?}", finished.stdout)
    };
    assert!(
        ready
            .strip_prefix("ready ")
            .is_some_and(|address| address.parse::<SocketAddr>().is_ok()),
        "{ready}"
    );
    assert!(
        summary.starts_with("series: complete: 1.43 MiB, of which 1.43 MiB came in "),
        "{summary}"
    );
}

/// One on the way to `--out` is the user's own; one within the torrent's folder is followed as long as it stays there.
#[test]
fn folders_may_be_links() {
    let stage = Stage::new();
    let disk = stage.place.path().join("disk");
    fs::create_dir_all(disk.join("series/elsewhere")).expect("a writable place");
    symlink("elsewhere", disk.join("series/extras")).expect("a link");
    symlink(&disk, stage.out()).expect("a link");
    complete(stage.download(&["--part"]));
    stage.sample.assert_present_in(&stage.out());
    assert_eq!(listing(&disk.join("series/elsewhere")), ["e02.mkv"]);
}

#[test]
fn a_complete_download_says_so_without_a_peer() {
    let stage = Stage::new();
    stage.sample.write(&stage.out()).expect("a writable place");
    let finished = run(stage.download_from(NOBODY));
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    assert_eq!(finished.stdout, ["series: complete: 1.43 MiB, all there already"]);
    assert_eq!(listing(&stage.out()), ["series"]);
}

#[test]
fn events_tell_a_download_from_its_start_to_its_end() {
    let stage = Stage::new();
    let told = events(stage.download(&[]));
    assert_eq!(names(&told), ["started", "ready", "finished", "stopped"]);
    let started = &told[0];
    assert_eq!(started["name"], "series");
    assert_eq!(
        (&started["pieces"], &started["pieces_have"]),
        (&92.into(), &0.into())
    );
    let stopped = told.last().expect("a last event");
    assert_eq!(stopped["complete"], true);
    assert_eq!(stopped["bytes_done"], 1_500_321);
    assert_eq!(stopped["downloaded_bytes"], 1_500_321);
    let again = events(stage.download_from(NOBODY));
    assert_eq!(names(&again), ["started", "finished", "stopped"]);
    assert_eq!(again[0]["pieces_have"], 92);
}

#[test]
fn only_what_is_selected_is_fetched() {
    let stage = Stage::new();
    let summary = complete(stage.download(&["--files", "*/e02.mkv", "--files", "series/*.nfo"]));
    assert!(
        summary.starts_with("series: complete: 2 of 3 files, "),
        "{summary}"
    );
    for path in ["series/extras/e02.mkv", "series/info.nfo"] {
        let (original, fetched) = (stage.place.data().join(path), stage.out().join(path));
        assert!(
            fs::read(original).expect("a file") == fs::read(fetched).expect("a file"),
            "{path}"
        );
    }
    let told = events(stage.download(&[]));
    let came = told.last().expect("a last event")["downloaded_bytes"].as_u64();
    assert!(
        came.is_some_and(|came| came < 1_000_000 + u64::from(PIECE_LEN)),
        "only the rest comes later: {came:?}"
    );
    stage.sample.assert_present_in(&stage.out());
}

#[test]
fn files_have_another_name_until_they_are_whole() {
    let stage = Stage::new();
    let waiting = Process::start({
        let mut command = stage.download_from(NOBODY);
        command.arg("--part");
        command
    });
    waiting
        .stdout
        .wait_for(|line| line.starts_with("ready "))
        .expect("it waits for peers");
    assert_eq!(
        listing(&stage.out().join("series")),
        ["e01.mkv.part", "extras", "info.nfo.part"]
    );
    waiting.signal(Signal::INT);
    assert_eq!(waiting.finish().status.code(), Some(1));
    complete(stage.download(&[]));
    stage.sample.assert_present_in(&stage.out());
    assert_eq!(
        listing(&stage.out().join("series")),
        ["e01.mkv", "extras", "info.nfo"]
    );
}

#[test]
fn a_download_that_is_stopped_says_how_to_go_on() {
    let stage = Stage::new();
    complete(stage.download(&["--files", "*.nfo"]));
    let waiting = Process::start(stage.download_from(NOBODY));
    waiting
        .stdout
        .wait_for(|line| line.starts_with("ready "))
        .expect("it waits for peers");
    waiting.signal(Signal::INT);
    let finished = waiting.finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    assert_eq!(
        finished.stderr,
        ["shoal: stopped; the same command goes on from here"]
    );
    let last = finished.stdout.last().expect("a last line");
    assert!(last.starts_with("series: incomplete: "), "{last}");
    assert!(stage.state().is_some(), "what is there is remembered");
    let told = events(stage.download(&[]));
    assert!(
        told[0]["pieces_have"].as_u64() > Some(0),
        "what was there is not fetched again"
    );
    assert_eq!(stage.state(), None, "nothing depends on it any more");
    stage.sample.assert_present_in(&stage.out());
}

#[test]
fn what_was_downloaded_is_served_on() {
    let stage = Stage::new();
    let next = Seed::start(stage.download(&["--seed", "--part"]));
    let complete = next
        .process()
        .stdout
        .wait_for(|line| line.starts_with("series: complete"));
    complete.expect("it tells when all is there");
    fetch_all(next.address(), &stage.sample).expect("what was fetched is served");
    let finished = next.stop(Signal::INT);
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    assert!(stage.state().is_some(), "it will be served again without a check");
    let again = Seed::start(stage.download(&["--seed"]));
    fetch_all(again.address(), &stage.sample).expect("it is served again");
    assert_eq!(again.stop(Signal::TERM).status.code(), Some(0));
}

#[test]
fn what_was_downloaded_is_super_seeded() {
    let stage = Stage::new();
    // Given its names and served anew, served on as it is, and complete from the start.
    for (more, fresh) in [(&["--part"][..], true), (&[], true), (&[], false)] {
        if fresh && stage.out().exists() {
            fs::remove_dir_all(stage.out()).expect("ours");
        }
        let next = Seed::start(stage.download(&[&["--seed", "--super-seed"], more].concat()));
        let complete = |line: &str| line.starts_with("series: complete");
        next.process()
            .stdout
            .wait_for(complete)
            .expect("it tells when all is there");
        let mut peer =
            Peer::greet(next.address(), stage.sample.info_hash(), FAST_AND_EXTENDED).expect("welcome");
        let first = peer.receive_until(|message| match message {
            Message::Extended { .. } | Message::AllowedFast { .. } | Message::Unchoke => None,
            other => Some(other),
        });
        assert_eq!(first.expect("a word"), Message::HaveNone);
        let next_told = peer.receive_until(|message| match message {
            Message::Have { .. } => Some(()),
            Message::HaveAll | Message::Bitfield { .. } => panic!("{message:?}"),
            _ => None,
        });
        next_told.expect("it is told of a piece");
        assert_eq!(next.stop(Signal::TERM).status.code(), Some(0));
    }
}

#[test]
fn what_was_moved_is_served_from_there() {
    let stage = Stage::new();
    let target = stage.place.path().join("target");
    let folder = target.to_string_lossy().into_owned();
    for said in [
        "series: complete: 1.43 MiB, of which",
        "series: complete: 1.43 MiB, all there",
    ] {
        let next = Seed::start(stage.download(&["--seed", "--part", "--move-to", &folder]));
        let complete = next
            .process()
            .stdout
            .wait_for(|line| line.starts_with("series: "));
        let complete = complete.expect("it tells when all is there");
        assert!(complete.starts_with(said), "{complete}");
        assert!(complete.ends_with(&format!("; it is in {folder}")), "{complete}");
        fetch_all(next.address(), &stage.sample).expect("what was fetched is served");
        assert_eq!(next.stop(Signal::INT).status.code(), Some(0));
        stage.sample.assert_present_in(&target);
        assert_eq!(listing(&stage.out()).len(), 1, "only the state is left");
    }
}

#[test]
fn a_move_is_told_while_it_is_made() {
    let stage = Stage::new();
    let target = stage.place.path().join("target");
    let folder = target.to_string_lossy().into_owned();
    let finished = run(stage.download(&["--move-to", &folder]));
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    assert_eq!(finished.stderr, [format!("shoal: moving to {folder}")]);
    let told = events(stage.download(&["--move-to", &folder]));
    assert_eq!(names(&told), ["started", "finished", "stopped"]);
    let told = events(stage.download(&["--out", &folder, "--move-to", &stage.out().to_string_lossy()]));
    assert_eq!(
        names(&told),
        ["started", "moving", "moved", "finished", "stopped"]
    );
    assert_eq!(told[2]["folder"], stage.out().to_string_lossy().into_owned());
}

#[test]
fn the_state_may_be_kept_elsewhere() {
    let stage = Stage::new();
    let folder = stage.place.path().join("states");
    let mut command = stage.download_from(NOBODY);
    command
        .arg("--state")
        .arg(&folder)
        .args(["--preallocate", "sparse", "--sequential"]);
    let waiting = Process::start(command);
    waiting
        .stdout
        .wait_for(|line| line.starts_with("ready "))
        .expect("it waits for peers");
    assert_eq!(
        (listing(&folder).len(), listing(&stage.out()).as_slice()),
        (1, ["series".to_owned()].as_slice())
    );
    let second = run(stage.download(&["--state", &folder.to_string_lossy()]));
    assert_eq!(second.status.code(), Some(3), "two at once: {second:#?}");
    assert!(
        second.stderr[0].contains("another process has this state open"),
        "{second:#?}"
    );
    waiting.signal(Signal::INT);
    waiting.finish();
    complete(stage.download(&["--state", &folder.to_string_lossy()]));
    assert_eq!(listing(&folder), [""; 0]);
}

#[test]
fn bad_input_is_refused_in_one_sentence_and_leaves_nothing() {
    let stage = Stage::new();
    let check = |arguments: &[&str], text: &str| refuses(&stage.place, stage.download(arguments), text);
    check(
        &["--peer", "tracker.example:80"],
        "--peer: `tracker.example:80`: it takes ADDR:PORT, such as",
    );
    check(&["--peer", "192.0.2.1:0"], "--peer: `192.0.2.1:0`");
    check(
        &["--files", "*.iso"],
        "no file of the torrent matches; it has series/e01.mkv, series/extras/e02.mkv,",
    );
    check(&["--files", "series/["], "--files: `series/[`: ");
    check(
        &["--preallocate", "half"],
        "invalid value 'half' for '--preallocate <HOW>'",
    );
    let mut magnet = shoal();
    magnet.args([
        "download",
        "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567",
        "--out",
    ]);
    magnet.arg(stage.out());
    refuses(&stage.place, magnet, "magnet links cannot be downloaded");
    let mut missing = shoal();
    missing
        .args(["download", "/nowhere/x.torrent", "--out"])
        .arg(stage.out());
    refuses(&stage.place, missing, "/nowhere/x.torrent: ");
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let stage = Stage::new();
    let longer = stage.out().join("series/info.nfo");
    fs::create_dir_all(longer.parent().expect("a folder")).expect("a writable place");
    fs::write(&longer, [7; 322]).expect("a writable place");
    refuses(
        &stage.place,
        stage.download(&[]),
        "series/info.nfo: there is a file of 322 bytes where the torrent has one of 321",
    );
    assert_eq!(fs::read(&longer).expect("a file"), [7; 322]);
    let file = Stage::new();
    fs::write(file.out(), "a file").expect("a writable place");
    refuses(&file.place, file.download(&[]), "out: not a folder");
}
