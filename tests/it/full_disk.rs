//! A disk that is full, or takes nothing for another reason, while a torrent is fetched onto it.
//!
//! The disk is a tmpfs of limited size with a filler file on it. The seed waits for nobody: whether it was asked
//! twice for what had come already is looked at in its ledger.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use shoal_tests::download::{assert_fetched, shoal_download, wait_for_event};
use shoal_tests::mounted::Mounted;
use shoal_tests::place::Place;
use shoal_tests::process::{Process, Signal, run};
use shoal_tests::sample::{Block, Sample};
use shoal_tests::scripted_seed::ScriptedSeed;

const MIB: u64 = 1 << 20;

/// A torrent of 16 MiB, a seed of it, and a disk with room for it and the state.
struct Scene {
    sample: Arc<Sample>,
    seed: ScriptedSeed,
    torrent: PathBuf,
    disk: Mounted,
    place: Place,
}

impl Scene {
    fn set() -> Option<Scene> {
        let place = Place::new();
        let disk = Mounted::tmpfs(&place.data(), 32 * MIB)?;
        let files = [
            ("one.bin", 7 << 20),
            ("two.bin", 1_234_567),
            ("three.bin", 8_000_000),
        ];
        let sample = Arc::new(Sample::directory("full disk", &files, 128 * 1024));
        // Slow enough for the state to be written now and then, and for a disk to change while blocks come.
        let seed = ScriptedSeed::paced(Ipv4Addr::LOCALHOST, &sample, 12 << 20);
        let torrent = place.add_metainfo(sample.name(), &sample.metainfo(None));
        Some(Scene {
            sample,
            seed,
            torrent,
            disk,
            place,
        })
    }

    fn out(&self) -> PathBuf {
        self.place.data()
    }

    fn download(&self, preallocation: &str) -> Command {
        let mut command = shoal_download(&self.torrent, &self.out(), &[self.seed.address()]);
        command.args(["--preallocate", preallocation]);
        command
    }

    /// The rest comes, all of it is right, and next to nothing came twice: pieces that were whole are kept.
    fn assert_finishes(self, process: Process) {
        wait_for_event(&process, "resumed");
        let finished = process.finish();
        assert_fetched(&finished, &self.sample, &self.out());
        let mut asked: BTreeMap<Block, usize> = BTreeMap::new();
        for block in self.seed.ledger().take_requests() {
            *asked.entry(block).or_default() += 1;
        }
        let twice: Vec<_> = asked.iter().filter(|(_, times)| **times > 2).collect();
        assert!(twice.is_empty(), "fetched again and again: {twice:?}");
    }
}

/// Waits until the download says that it pauses, and for what reason.
fn assert_pauses(process: &Process, reason: &str, directory: &Path) {
    let line = wait_for_event(process, "paused");
    assert!(line.contains(reason), "{line}");
    assert!(line.contains(directory.to_str().expect("a plain path")), "{line}");
}

#[test]
fn fetching_goes_on_when_there_is_room_again() {
    let Some(scene) = Scene::set() else { return };
    let filler = scene.disk.fill(24 * MIB);
    let process = Process::start(scene.download("sparse"));
    assert_pauses(&process, "No space left on device", &scene.out());
    fs::remove_file(filler).expect("the filler is ours");
    scene.assert_finishes(process);
}

/// The disk fills up under a download that had room when it began.
#[test]
fn a_disk_that_fills_up_later() {
    let Some(scene) = Scene::set() else { return };
    let process = Process::start(scene.download("sparse"));
    let ledger = Arc::clone(scene.seed.ledger());
    ledger.wait_until(|account| account.sent.len() > 100);
    let filler = scene.disk.fill(32 * MIB);
    assert_pauses(&process, "No space left on device", &scene.out());
    fs::remove_file(filler).expect("the filler is ours");
    scene.assert_finishes(process);
}

/// Stopped while it waits for room, it knows afterwards what it had.
#[test]
fn a_download_that_is_stopped_while_it_waits_for_room() {
    let Some(scene) = Scene::set() else { return };
    let filler = scene.disk.fill(24 * MIB);
    let process = Process::start(scene.download("sparse"));
    assert_pauses(&process, "No space left on device", &scene.out());
    process.signal(Signal::TERM);
    let stopped = process.finish();
    assert_eq!(stopped.status.code(), Some(1), "{stopped:#?}");
    fs::remove_file(filler).expect("the filler is ours");
    let finished = run(scene.download("sparse"));
    assert_fetched(&finished, &scene.sample, &scene.out());
}

/// Room that is taken in advance and is not there is said before a byte is fetched.
#[test]
fn a_disk_that_is_too_small_is_refused_at_once() {
    let Some(scene) = Scene::set() else { return };
    scene.disk.fill(24 * MIB);
    let refused = run(scene.download("full"));
    assert_eq!(refused.status.code(), Some(3), "{refused:#?}");
    let said = refused.stderr.join("\n");
    assert!(said.contains("no space left"), "{said}");
    assert_eq!(scene.seed.ledger().look(|account| account.sent.len()), 0);
}

/// A file system that takes no writes is named before a byte is fetched, and the same command works when it does.
#[test]
fn a_disk_that_is_read_only_is_refused_at_once() {
    let Some(scene) = Scene::set() else { return };
    scene.disk.set_read_only(true);
    let refused = run(scene.download("sparse"));
    assert_eq!(refused.status.code(), Some(3), "{refused:#?}");
    let said = refused.stderr.join("\n");
    assert!(said.to_lowercase().contains("read-only"), "{said}");
    assert_eq!(scene.seed.ledger().look(|account| account.sent.len()), 0);
    scene.disk.set_read_only(false);
    let finished = run(scene.download("sparse"));
    assert_fetched(&finished, &scene.sample, &scene.out());
}
