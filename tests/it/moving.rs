//! `shoal download --move-to`: files are carried when all is there, whatever cuts it off, and no byte comes twice.
//!
//! The seed is scripted and keeps accounts: every test ends with the same question, whether each block was sent
//! exactly once. A move within a file system and one to another are told apart by a tmpfs, where one can be mounted.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier};

use shoal_tests::download::{assert_fetched, events, shoal_download, state_path, wait_for_event};
use shoal_tests::mounted::Mounted;
use shoal_tests::place::Place;
use shoal_tests::process::{Finished, Process, Signal, run};
use shoal_tests::sample::{Block, Sample};
use shoal_tests::scripted_seed::ScriptedSeed;

const PIECE_LEN: u32 = 16 * 1024;

/// Two files that share a piece, and one that lies in the last piece with the end of the second.
const FILES: [(&str, usize); 3] = [
    ("one.bin", 1_000_000),
    ("sub/two.bin", 700_000),
    ("three.nfo", 321),
];

/// A torrent, a seed that counts, an empty folder to fetch to, and one to move to that is not there yet.
struct Scene {
    sample: Arc<Sample>,
    seed: ScriptedSeed,
    torrent: PathBuf,
    /// Before the place, which it is mounted in.
    mounted: Option<Mounted>,
    place: Place,
}

impl Scene {
    fn new() -> Scene {
        let sample = Arc::new(Sample::directory("moved", &FILES, PIECE_LEN));
        let place = Place::new();
        Scene {
            seed: ScriptedSeed::honest(Ipv4Addr::LOCALHOST, &sample),
            torrent: place.add_metainfo(sample.name(), &sample.metainfo(None)),
            mounted: None,
            sample,
            place,
        }
    }

    /// One whose target is another file system, of so many bytes. Nothing where none can be mounted.
    fn across(len: u64) -> Option<Scene> {
        let mut scene = Scene::new();
        scene.mounted = Some(Mounted::tmpfs(&scene.target(), len)?);
        Some(scene)
    }

    /// One of either kind.
    fn both() -> impl Iterator<Item = Scene> {
        [Some(Scene::new()), Scene::across(8 << 20)].into_iter().flatten()
    }

    fn out(&self) -> PathBuf {
        self.place.path().join("out")
    }

    fn target(&self) -> PathBuf {
        self.place.path().join("target")
    }

    fn stay(&self, more: &[&str]) -> Command {
        let mut command = shoal_download(&self.torrent, &self.out(), &[self.seed.address()]);
        command.args(more);
        command
    }

    fn download(&self, more: &[&str]) -> Command {
        let mut command = self.stay(more);
        command.arg("--move-to").arg(self.target());
        command
    }

    /// Fetches, keeps the state for the next time, and is stopped.
    fn fetch_and_keep_state(&self, mut command: Command) {
        command.arg("--seed");
        let process = Process::start(command);
        wait_for_event(&process, "finished");
        process.signal(Signal::TERM);
        assert_eq!(process.finish().status.code(), Some(0));
    }

    /// A file of the torrent in a folder.
    fn file(&self, folder: &Path, name: &str) -> PathBuf {
        folder.join(self.sample.name()).join(name)
    }

    /// Carries a file as a move does that is cut off after it.
    fn carry(&self, name: &str) {
        let (from, to) = (self.file(&self.out(), name), self.file(&self.target(), name));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a writable place");
        fs::copy(&from, to).expect("a copy");
        fs::remove_file(from).expect("ours");
    }

    /// It ended well, everything is in the target and nothing is left where it was.
    fn assert_is_in_target(&self, finished: &Finished) {
        assert_fetched(finished, &self.sample, &self.target());
        assert_eq!(left_in(&self.out()), [""; 0], "{finished:#?}");
        self.assert_sent_once();
    }

    fn assert_sent_once(&self) {
        let mut sent = self.seed.ledger().look(|account| account.sent.clone());
        sent.sort();
        let mut all: Vec<Block> = self.sample.blocks();
        all.sort();
        assert!(sent == all, "{} blocks were sent, of {}", sent.len(), all.len());
    }
}

/// Names in a folder.
fn left_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a readable folder");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries
        .map(|entry| name(entry.expect("a readable entry")))
        .collect()
}

/// It ended with this exit code and one sentence, which has `text` in it.
fn assert_refused(finished: &Finished, exit: i32, text: &str) {
    assert_eq!(finished.status.code(), Some(exit), "{finished:#?}");
    assert_eq!(events(finished, "finished").count(), 0, "{finished:#?}");
    let said = finished.stderr.last().map_or("", String::as_str);
    assert!(said.contains(text), "{finished:#?}");
}

#[test]
fn what_is_complete_is_moved_and_found_again() {
    for scene in Scene::both() {
        let finished = run(scene.download(&["--part"]));
        scene.assert_is_in_target(&finished);
        let moved: Vec<_> = events(&finished, "moved").collect();
        let folder = scene.target().display().to_string();
        assert!(moved.len() == 1 && moved[0].contains(&folder), "{finished:#?}");
        let again = run(scene.download(&["--part"]));
        scene.assert_is_in_target(&again);
        assert_eq!(events(&again, "moved").count(), 0, "{again:#?}");
    }
}

#[test]
fn what_was_fetched_without_being_moved_is_moved_later() {
    for scene in Scene::both() {
        assert_fetched(&run(scene.stay(&[])), &scene.sample, &scene.out());
        scene.assert_is_in_target(&run(scene.download(&[])));
    }
}

#[test]
fn a_move_that_was_cut_off_goes_on() {
    let cut_off_after: [&[&str]; 4] = [
        &["one.bin"],
        &["sub/two.bin"],
        &["one.bin", "sub/two.bin"],
        // All of them: only the state was not forgotten yet.
        &["one.bin", "sub/two.bin", "three.nfo"],
    ];
    for carried in cut_off_after {
        for scene in Scene::both() {
            scene.fetch_and_keep_state(scene.stay(&[]));
            carried.iter().for_each(|name| scene.carry(name));
            let finished = run(scene.download(&[]));
            assert_fetched(&finished, &scene.sample, &scene.target());
            assert!(!state_path(&scene.out(), &scene.sample).exists());
            scene.assert_sent_once();
        }
    }
}

/// Wherever in the move it lands: how each place looks is told by the test above and by those of the library.
#[test]
fn a_move_that_was_killed_goes_on() {
    for scene in Scene::both() {
        let process = Process::start(scene.download(&[]));
        wait_for_event(&process, "moving");
        process.kill();
        scene.assert_is_in_target(&run(scene.download(&[])));
    }
}

/// It is not waited for: who is late finds that all was moved, and that is no error either.
#[test]
fn a_move_that_is_interrupted_ends_and_goes_on() {
    for signal in [Signal::INT, Signal::TERM] {
        for scene in Scene::both() {
            let process = Process::start(scene.download(&[]));
            wait_for_event(&process, "moving");
            process.signal(signal);
            let stopped = process.finish();
            if events(&stopped, "moved").count() == 0 {
                assert_refused(&stopped, 1, "the same command moves what is not moved yet");
                assert_eq!(events(&stopped, "stopped").count(), 1, "{stopped:#?}");
            } else {
                assert_fetched(&stopped, &scene.sample, &scene.target());
            }
            scene.assert_is_in_target(&run(scene.download(&[])));
        }
    }
}

#[test]
fn what_comes_to_the_old_folder_later_stays_there() {
    for scene in Scene::both() {
        scene.fetch_and_keep_state(scene.download(&[]));
        let stranger = scene.file(&scene.out(), "three.nfo");
        fs::create_dir_all(stranger.parent().expect("a folder")).expect("a writable place");
        fs::write(&stranger, "mine").expect("a writable place");
        scene.fetch_and_keep_state(scene.download(&[]));
        scene.sample.assert_present_in(&scene.target());
        assert_eq!(fs::read(&stranger).expect("a file"), b"mine");
        scene.assert_sent_once();
    }
}

#[test]
fn what_does_not_fit_waits_where_it_is() {
    // The first file fits, the second does not.
    let Some(scene) = Scene::across(4 << 20) else {
        return;
    };
    let mounted = scene.mounted.as_ref().expect("mounted above");
    let filler = mounted.fill((4 << 20) - 1_500_000);
    for _ in 0..2 {
        assert_refused(&run(scene.download(&[])), 3, "no space left for its 700000 bytes");
        assert!(scene.file(&scene.out(), "sub/two.bin").exists());
    }
    fs::remove_file(filler).expect("ours");
    scene.assert_is_in_target(&run(scene.download(&[])));
}

#[test]
fn a_folder_that_takes_nothing_is_said_and_tried_again() {
    let Some(scene) = Scene::across(8 << 20) else {
        return;
    };
    let mounted = scene.mounted.as_ref().expect("mounted above");
    mounted.set_read_only(true);
    let refused = run(scene.download(&[]));
    assert_refused(&refused, 3, "on a read-only file system");
    assert_refused(&refused, 3, "the same command moves what is not moved yet");
    scene.sample.assert_present_in(&scene.out());
    mounted.set_read_only(false);
    scene.assert_is_in_target(&run(scene.download(&[])));
}

#[test]
fn a_file_of_somebody_else_is_refused_before_anything_is_fetched() {
    for stranger in [&[7; 1_000_000][..], b"shorter"] {
        let scene = Scene::new();
        let path = scene.file(&scene.target(), "one.bin");
        fs::create_dir_all(path.parent().expect("a folder")).expect("a writable place");
        fs::write(&path, stranger).expect("a writable place");
        let before = scene.place.entries();
        assert_refused(
            &run(scene.download(&[])),
            2,
            "one.bin: there is another file by that name",
        );
        assert_eq!(scene.place.entries(), before, "something was written");
        assert_eq!(fs::read(&path).expect("a file"), stranger);
        assert_eq!(scene.seed.ledger().look(|account| account.visits), 0);
        // Where nothing of it is wanted it is no obstacle.
        let finished = run(scene.download(&["--files", "*.nfo"]));
        assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
        assert!(scene.file(&scene.target(), "three.nfo").exists());
        assert_eq!(fs::read(&path).expect("a file"), stranger);
    }
}

#[test]
fn a_file_of_somebody_else_that_comes_later_is_left_alone() {
    let mut scene = Scene::new();
    let stranger_is_there = Arc::new(Barrier::new(2));
    let gate = Arc::clone(&stranger_is_there);
    scene.seed = ScriptedSeed::start(Ipv4Addr::LOCALHOST, &scene.sample, move |visit| {
        visit.welcome()?;
        let first = visit.next_request()?;
        gate.wait();
        visit.send_block(first)?;
        visit.serve()
    });
    let process = Process::start(scene.download(&[]));
    scene
        .seed
        .ledger()
        .wait_until(|account| !account.requests.is_empty());
    let stranger = scene.file(&scene.target(), "sub/two.bin");
    fs::create_dir_all(stranger.parent().expect("a folder")).expect("a writable place");
    fs::write(&stranger, "mine").expect("a writable place");
    stranger_is_there.wait();
    assert_refused(
        &process.finish(),
        3,
        "two.bin: there is another file by that name",
    );
    scene.sample.assert_present_in(&scene.out());
    assert_refused(
        &run(scene.download(&[])),
        3,
        "two.bin: there is another file by that name",
    );
    assert_eq!(fs::read(&stranger).expect("a file"), b"mine");
    fs::remove_file(stranger).expect("ours");
    scene.assert_is_in_target(&run(scene.download(&[])));
}

#[test]
fn a_selection_takes_its_neighbour_along_and_the_rest_comes_to_it() {
    for scene in Scene::both() {
        let finished = run(scene.download(&["--files", "*/one.bin"]));
        assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
        assert_eq!(left_in(&scene.out()), [""; 0]);
        let carried = |name| scene.file(&scene.target(), name).exists();
        assert!(carried("one.bin") && carried("sub/two.bin") && !carried("three.nfo"));
        scene.assert_is_in_target(&run(scene.download(&[])));
    }
}

#[test]
fn a_download_that_goes_on_in_the_target_goes_on_there_again() {
    let mut scene = Scene::new();
    assert_eq!(
        run(scene.download(&["--files", "*/one.bin"])).status.code(),
        Some(0)
    );
    let before = scene.seed.ledger().look(|account| account.sent.clone());
    scene.seed = ScriptedSeed::start(Ipv4Addr::LOCALHOST, &scene.sample, |visit| {
        visit.introduce()?;
        visit.say_no_more()
    });
    let waiting = Process::start(scene.download(&[]));
    scene.seed.ledger().wait_until(|account| account.visitors == 1);
    waiting.signal(Signal::INT);
    assert_eq!(waiting.finish().status.code(), Some(1));
    scene.seed = ScriptedSeed::honest(Ipv4Addr::LOCALHOST, &scene.sample);
    let finished = run(scene.download(&[]));
    assert_fetched(&finished, &scene.sample, &scene.target());
    let sent = scene.seed.ledger().look(|account| account.sent.clone());
    assert!(!sent.iter().any(|block| before.contains(block)));
    assert_eq!(sent.len() + before.len(), scene.sample.blocks().len());
}

#[test]
fn a_folder_that_is_the_same_one_or_within_it() {
    let scene = Scene::new();
    let out = scene.out();
    let detour = out.join("..").join("out").display().to_string();
    let finished = run(scene.stay(&["--move-to", &detour]));
    assert_fetched(&finished, &scene.sample, &out);
    assert_eq!(events(&finished, "moved").count(), 0, "{finished:#?}");
    let own = out.join("moved/sub/x").display().to_string();
    let refused = run(scene.stay(&["--move-to", &own]));
    assert_refused(&refused, 2, "a folder of the torrent itself");
    let file = scene.torrent.display().to_string();
    assert_refused(&run(scene.stay(&["--move-to", &file])), 2, "not a folder");
    scene.sample.assert_present_in(&out);
    let within = out.join("done").display().to_string();
    let finished = run(scene.stay(&["--move-to", &within]));
    assert_fetched(&finished, &scene.sample, &out.join("done"));
    assert_eq!(left_in(&out), ["done"]);
    scene.assert_sent_once();
}
