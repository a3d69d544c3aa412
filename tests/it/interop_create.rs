//! Torrents that shoal creates are read by others, and the other way round, with the same info-hash.

use std::fs;
use std::path::{Path, PathBuf};

use shoal_tests::client::Client;
use shoal_tests::place::Place;
use shoal_tests::process::{Finished, run, shoal};
use shoal_tests::sample::Sample;

const PIECE_LEN: u32 = 32 * 1024;

/// Content to make torrents of. Hidden files are content like others; the order of the names is that of their bytes.
fn samples() -> [Sample; 3] {
    let files = [
        (".hidden/file", 300),
        ("B/upper case first", 50_000),
        ("a/nested/deeper/file", 123_456),
        ("a/sibling", 1),
        ("empty", 0),
        ("with spaces and ünïcode ✓", 77_777),
    ];
    [
        Sample::file("single.bin", 1_000_001, PIECE_LEN),
        Sample::file("tiny", 1, PIECE_LEN),
        Sample::directory("a directory", &files, PIECE_LEN),
    ]
}

/// Runs one of the scripts beside this module's siblings in `tests/interop`, which prints an info-hash.
fn libtorrent(script: &str, arguments: &[&Path]) -> Option<String> {
    let mut client = Client::Libtorrent.find()?;
    client
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(script))
        .args(arguments);
    let finished = run(client);
    assert!(finished.status.success(), "{script}: {finished:#?}");
    Some(finished.stdout.concat())
}

fn shoal_with(arguments: &[&Path]) -> Finished {
    let mut command = shoal();
    command.args(arguments);
    let finished = run(command);
    assert_eq!(finished.status.code(), Some(0), "{arguments:?}: {finished:#?}");
    finished
}

fn shoal_create(content: &Path, out: &Path) -> String {
    let mut command = shoal();
    command.arg("create").arg(content).arg("-o").arg(out).args([
        "--piece-length",
        &PIECE_LEN.to_string(),
        "--json",
    ]);
    let finished = run(command);
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    info_hash(&finished)
}

fn shoal_show(torrent: &Path) -> String {
    info_hash(&shoal_with(&["show".as_ref(), torrent, "--json".as_ref()]))
}

fn info_hash(finished: &Finished) -> String {
    let json: serde_json::Value =
        serde_json::from_str(&finished.stdout.concat()).expect("--json prints JSON");
    json["info_hash"]
        .as_str()
        .unwrap_or_else(|| panic!("no info_hash in {json}"))
        .to_owned()
}

/// Writes the content of `sample` only, and returns where it stands.
fn content(place: &Place, sample: &Sample) -> PathBuf {
    sample.write(&place.data()).expect("the content can be written");
    place.data().join(sample.name())
}

#[test]
fn libtorrent_creates_the_same_torrent_and_accepts_ours() {
    for sample in samples() {
        let place = Place::new();
        let content = content(&place, &sample);
        let [ours, theirs] = ["ours.torrent", "theirs.torrent"].map(|name| place.path().join(name));
        let length = PIECE_LEN.to_string();
        let Some(expected) = libtorrent("libtorrent_create.py", &[&content, length.as_ref(), &theirs]) else {
            return;
        };
        assert_eq!(
            shoal_create(&content, &ours),
            expected,
            "{}: created",
            sample.name()
        );
        assert_eq!(
            libtorrent("libtorrent_show.py", &[&ours]).as_deref(),
            Some(expected.as_str()),
            "{}: theirs of ours",
            sample.name()
        );
        assert_eq!(shoal_show(&theirs), expected, "{}: ours of theirs", sample.name());
    }
}

#[test]
fn shoal_shows_and_checks_what_mktorrent_made() {
    for sample in samples() {
        let Some(mut mktorrent) = Client::Mktorrent.find() else {
            return;
        };
        let place = Place::new();
        let content = content(&place, &sample);
        let torrent = place.path().join("made.torrent");
        // Two to the fifteenth is PIECE_LEN.
        mktorrent
            .args(["-l", "15", "-a", "http://127.0.0.1:1/announce", "-o"])
            .arg(&torrent)
            .arg(&content);
        let made = run(mktorrent);
        assert!(made.status.success(), "{made:#?}");
        let shown = shoal_show(&torrent);
        assert_eq!(
            shoal_create(&content, &place.path().join("ours.torrent")),
            shown,
            "{}: created",
            sample.name()
        );
        if let Some(expected) = libtorrent("libtorrent_show.py", &[&torrent]) {
            assert_eq!(shown, expected, "{}: shown", sample.name());
        }
        shoal_with(&["check".as_ref(), &torrent, "--data".as_ref(), &place.data()]);
    }
}

#[test]
fn a_wrong_byte_is_found_by_check() {
    for sample in samples() {
        let place = Place::new();
        let torrent = place.add(&sample);
        let path = place
            .data()
            .join(sample.paths().next().expect("a torrent has files"));
        let mut bytes = fs::read(&path).expect("the content was written");
        *bytes.last_mut().expect("the first file is not empty") ^= 1;
        fs::write(&path, bytes).expect("a writable place");
        let mut check = shoal();
        check.arg("check").arg(&torrent).arg("--data").arg(place.data());
        assert_eq!(run(check).status.code(), Some(1), "{}", sample.name());
    }
}
