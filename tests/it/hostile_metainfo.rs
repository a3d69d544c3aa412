//! Cases 1 to 15 and 20 of the hostile inputs: .torrent files that are not to be believed.
//!
//! The parser's own tests say what each limit is; here it is shown that every command that reads a .torrent file says one
//! sentence, exits 2 and writes nothing, however the file is bad.

use std::path::Path;
use std::process::Command;

use shoal_tests::bencode::Value;
use shoal_tests::place::Place;
use shoal_tests::process::{Finished, run, shoal};
use shoal_tests::sample::{Sample, sha1_hex};

/// A sentence for a person is short; what a hostile file can put into it is not unbounded.
const SENTENCE_LEN_MAX: usize = 1_000;

fn sample() -> Sample {
    Sample::file("good.bin", 100_000, 16 * 1024)
}

/// Each command that takes a .torrent file, so that no one of them has a reader of its own.
fn commands(torrent: &Path, place: &Place) -> [Command; 3] {
    let [mut show, mut check, mut seed] = ["show", "check", "seed"].map(|name| {
        let mut command = shoal();
        command.arg(name).arg(torrent);
        command
    });
    show.arg("--json");
    check.arg("--data").arg(place.data());
    seed.arg("--data")
        .arg(place.data())
        .args(["--listen", "127.0.0.1:0"]);
    [show, check, seed]
}

fn check_refused(cases: &[(&str, Vec<u8>)]) {
    let place = Place::new();
    place.add(&sample());
    for (name, bytes) in cases {
        let torrent = place.add_metainfo("hostile", bytes);
        check_path_refused(name, &torrent, &place);
    }
}

fn check_path_refused(name: &str, torrent: &Path, place: &Place) {
    let before = place.entries();
    for command in commands(torrent, place) {
        let said = format!("{name}: {command:?}");
        assert_one_sentence(&said, &run(command));
    }
    assert_eq!(place.entries(), before, "{name}: something was written");
}

fn assert_one_sentence(name: &str, finished: &Finished) {
    assert_eq!(finished.status.code(), Some(2), "{name}: {finished:#?}");
    assert_eq!(finished.stdout, [""; 0], "{name}: bad input has no result");
    let [sentence] = finished.stderr.as_slice() else {
        panic!("{name}: not one sentence: {:#?}", finished.stderr)
    };
    assert!(
        sentence.contains(' ') && sentence.len() <= SENTENCE_LEN_MAX,
        "{name}: {sentence}"
    );
    assert!(
        !sentence.chars().any(char::is_control),
        "{name}: control characters reach the terminal: {sentence:?}"
    );
}

/// The sample's metainfo with its info dictionary changed.
fn with_info(change: impl FnOnce(Value) -> Value) -> Vec<u8> {
    Value::dictionary([("info", change(sample().info().clone()))]).encode()
}

fn with(key: &str, value: Value) -> Vec<u8> {
    with_info(|info| info.with(key, value))
}

/// Metainfo of many files with these lengths and paths, without content that fits.
fn with_files(files: impl IntoIterator<Item = Value>) -> Vec<u8> {
    with_info(|info| {
        info.without("length")
            .with("files", Value::List(files.into_iter().collect()))
    })
}

fn file(len: i64, path: &[&[u8]]) -> Value {
    Value::dictionary([("length", Value::Integer(len)), ("path", Value::texts(path))])
}

/// Two files that together have the sample's length; the second has this path.
fn with_path(path: &[&[u8]]) -> Vec<u8> {
    with_files([file(50_000, &[b"first"]), file(50_000, path)])
}

#[test]
fn bencode_that_is_nested_or_endless() {
    let nested = |open: &str, depth: usize| [open.repeat(depth), "e".repeat(depth)].concat();
    let info = sample().info().encode();
    let beside_info =
        |value: String| [b"d4:aaaa".as_slice(), value.as_bytes(), b"4:info", &info, b"e"].concat();
    let with_tokens = |count: usize| beside_info(["l", &"i0e".repeat(count), "e"].concat());
    check_refused(&[
        ("20 kB of lists", "l".repeat(20_000).into_bytes()),
        ("20 kB of dictionaries", "d1:a".repeat(5_000).into_bytes()),
        ("10 MB of lists", "l".repeat(10_000_000).into_bytes()),
        ("lists 20,000 deep, all closed", nested("l", 20_000).into_bytes()),
        ("lists 20,000 deep beside info", beside_info(nested("l", 20_000))),
        (
            "lists 20,000 deep in info",
            with("zzzz", Value::raw(nested("l", 20_000))),
        ),
        ("3,000,001 integers", with_tokens(3_000_001)),
        (
            "more than 10 MiB",
            beside_info(format!("{}:{}", 11 * 1024 * 1024, " ".repeat(11 * 1024 * 1024))),
        ),
    ]);
}

#[test]
fn bencode_that_is_malformed() {
    let cases: [(&str, &[u8]); 24] = [
        ("an empty file", b""),
        ("text", b"hello, world\n"),
        ("only the beginning of a dictionary", b"d"),
        ("an integer", b"i1e"),
        ("a list", b"le"),
        ("an empty dictionary", b"de"),
        ("a length that overflows", b"d4:info99999999999999999999:xe"),
        ("a length of 2^64", b"d4:info18446744073709551616:xe"),
        ("a length beyond the end", b"d4:info100:xe"),
        ("a length with a leading zero", b"d04:infodee"),
        ("a negative length", b"d-4:infodee"),
        ("a length without an end", b"d4:info5"),
        ("minus zero", b"d4:infoi-0ee"),
        ("a leading zero", b"d4:infoi01ee"),
        ("an empty integer", b"d4:infoiee"),
        ("a lone minus", b"d4:infoi-ee"),
        ("a plus", b"d4:infoi+1ee"),
        ("a space", b"d4:infoi 1ee"),
        ("a fraction", b"d4:infoi1.5ee"),
        ("an integer without an end", b"d4:infoi1"),
        ("an integer as a key", b"di1ei2ee"),
        ("a key without a value", b"d4:infoe"),
        ("an end too many", b"d4:infodeee"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
    ];
    let mut cases: Vec<_> = cases
        .into_iter()
        .map(|(name, bytes)| (name, bytes.to_vec()))
        .collect();
    cases.push((
        "an integer of 100 digits",
        with("length", Value::raw(format!("i{}e", "9".repeat(100)))),
    ));
    let whole = sample().metainfo(None);
    cases.push(("all but the last byte", whole[..whole.len() - 1].to_vec()));
    check_refused(&cases);
}

#[test]
fn metainfo_whose_fields_are_of_the_wrong_type_or_missing() {
    let mut cases = Vec::new();
    for key in ["name", "piece length", "pieces", "length"] {
        cases.push((format!("no {key}"), with_info(|info| info.without(key))));
        cases.push((format!("a list as {key}"), with(key, Value::List(vec![]))));
    }
    for key in ["name", "pieces"] {
        cases.push((format!("an integer as {key}"), with(key, Value::Integer(5))));
    }
    for key in ["piece length", "length"] {
        cases.push((format!("text as {key}"), with(key, Value::bytes("16384"))));
    }
    cases.push((
        "info is a list".into(),
        Value::dictionary([("info", Value::List(vec![]))]).encode(),
    ));
    cases.push((
        "info is missing".into(),
        Value::dictionary([("announce", Value::bytes("x"))]).encode(),
    ));
    let cases: Vec<_> = cases
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    check_refused(&cases);
}

#[test]
fn pieces_and_lengths_that_do_not_fit_each_other() {
    let piece_length = |len: i64| with("piece length", Value::Integer(len));
    let length = |len: i64| with("length", Value::Integer(len));
    let pieces = |len: usize| with("pieces", Value::Bytes(vec![7; len]));
    check_refused(&[
        ("no hashes", pieces(0)),
        ("half a hash", pieces(6 * 20 + 10)),
        ("a hash too few", pieces(6 * 20)),
        ("a hash too many", pieces(8 * 20)),
        ("a piece length of zero", piece_length(0)),
        ("a negative piece length", piece_length(-16_384)),
        ("pieces of one byte", piece_length(1)),
        ("pieces of 512 MiB", piece_length(512 << 20)),
        ("pieces of 2^62 bytes", piece_length(1 << 62)),
        ("an empty file", length(0)),
        ("a negative length", length(-1)),
        ("a length of 2^63 - 1", length(i64::MAX)),
        (
            "lengths whose sum overflows",
            with_files([file(i64::MAX, &[b"a"]), file(i64::MAX, &[b"b"])]),
        ),
        (
            "lengths whose sum wraps to the right one",
            with_files(wrapping_files()),
        ),
        (
            "a negative file among others",
            with_files([file(200_000, &[b"a"]), file(-100_000, &[b"b"])]),
        ),
    ]);
}

/// Lengths that add up to 2^64 + 100,000.
fn wrapping_files() -> [Value; 4] {
    [
        file(i64::MAX, &[b"a"]),
        file(i64::MAX, &[b"b"]),
        file(2, &[b"c"]),
        file(100_000, &[b"d"]),
    ]
}

#[test]
fn torrents_without_files() {
    let million = (0..1_000_000).map(|_| Value::raw("d6:lengthi0e4:pathl1:aee"));
    let padding = |len: i64| {
        let path = Value::texts([".pad", "100000"]);
        Value::dictionary([
            ("attr", Value::bytes("p")),
            ("length", Value::Integer(len)),
            ("path", path),
        ])
    };
    check_refused(&[
        ("no files", with_files([])),
        ("a million files", with_files(million)),
        (
            "only empty files",
            with_files([file(0, &[b"a"]), file(0, &[b"b"])]),
        ),
        ("only padding", with_files([padding(100_000)])),
    ]);
}

#[test]
fn paths_that_lead_elsewhere() {
    let long = "x".repeat(256);
    let deep: Vec<&[u8]> = vec![b"d"; 101];
    let wide = "y".repeat(250);
    let beyond_path_max: Vec<&[u8]> = vec![wide.as_bytes(); 17];
    check_refused(&[
        ("..", with_path(&[b".."])),
        (".. on the way", with_path(&[b"a", b"..", b"..", b"b"])),
        ("only .", with_path(&[b"."])),
        ("no elements", with_path(&[])),
        ("only empty elements", with_path(&[b"", b""])),
        ("an absolute path", with_path(&[b"/etc/passwd"])),
        ("a slash inside", with_path(&[b"a/b"])),
        ("a backslash", with_path(&[b"a\\..\\b"])),
        ("a line feed", with_path(&[b"a\nb"])),
        ("an escape sequence", with_path(&[b"\x1b[2J"])),
        (
            "a right-to-left override",
            with_path(&["a\u{202e}gpj.exe".as_bytes()]),
        ),
        ("a NUL", with_path(&[b"a\0b"])),
        ("an element of 256 bytes", with_path(&[long.as_bytes()])),
        ("101 elements", with_path(&deep)),
        ("more than PATH_MAX in all", with_path(&beyond_path_max)),
        (
            "a path that is a string",
            with_files([file(100_000, &[b"a"]).with("path", Value::bytes("a"))]),
        ),
        ("a name of ..", with("name", Value::bytes(".."))),
        ("a name of .", with("name", Value::bytes("."))),
        ("an empty name", with("name", Value::bytes(""))),
        ("an absolute name", with("name", Value::bytes("/tmp/x"))),
        ("a name with a slash", with("name", Value::bytes("a/../../b"))),
        ("a name with a NUL", with("name", Value::bytes("a\0b"))),
    ]);
}

#[test]
fn files_that_collide() {
    let same = |count: usize| with_files((0..count).map(|_| file(100_000 / count as i64, &[b"same"])));
    check_refused(&[
        ("two files with one path", same(2)),
        ("500 files with one path", same(500)),
        (
            "a file that is also a directory",
            with_files([file(50_000, &[b"a"]), file(50_000, &[b"a", b"b"])]),
        ),
        (
            "a directory that is also a file",
            with_files([file(50_000, &[b"a", b"b"]), file(50_000, &[b"a"])]),
        ),
    ]);
}

#[test]
fn symbolic_links_that_lead_elsewhere() {
    let link = |target: &[&[u8]]| {
        let link = Value::dictionary([
            ("attr", Value::bytes("l")),
            ("length", Value::Integer(0)),
            ("path", Value::texts(["link"])),
            ("symlink path", Value::texts(target)),
        ]);
        with_files([file(100_000, &[b"a"]), link])
    };
    check_refused(&[
        ("up and out", link(&[b"..", b"..", b"etc", b"passwd"])),
        ("an absolute target", link(&[b"/etc/passwd"])),
    ]);
}

#[test]
fn names_that_would_write_to_the_terminal() {
    // The sentence names the file; what the file is called must not move the cursor or colour the screen.
    let place = Place::new();
    let torrent = place.add_metainfo("\u{1b}[31mred\u{7}\r\n", b"not a torrent");
    check_path_refused("escape sequences in the file name", &torrent, &place);
    let torrent = place.add_metainfo("name", &with("name", Value::bytes("\u{1b}[2J\u{1b}[1;1H/")));
    check_path_refused("escape sequences in the torrent's name", &torrent, &place);
}

#[test]
fn paths_that_are_no_torrent_file() {
    let place = Place::new();
    let fifo = place.path().join("fifo");
    let made = Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .expect("coreutils are installed");
    assert!(made.success());
    let unreadable = place.path().join("loop");
    std::os::unix::fs::symlink(&unreadable, &unreadable).expect("a writable place");
    check_path_refused("nothing there", &place.path().join("absent.torrent"), &place);
    check_path_refused("a directory", &place.data(), &place);
    check_path_refused("an endless device", Path::new("/dev/zero"), &place);
    check_path_refused("an empty device", Path::new("/dev/null"), &place);
    check_path_refused("a pipe that nobody writes to", &fifo, &place);
    check_path_refused("a link to itself", &unreadable, &place);
}

#[test]
fn one_bad_file_among_good_ones_stops_a_seed_before_it_serves() {
    let place = Place::new();
    let good = place.add(&sample());
    let bad = place.add_metainfo("bad", b"d4:infodee");
    let mut command = shoal();
    command
        .arg("seed")
        .args([&good, &bad])
        .arg("--data")
        .arg(place.data())
        .args(["--listen", "127.0.0.1:0"]);
    let finished = run(command);
    assert_one_sentence("one bad file", &finished);
    assert!(
        finished.stderr[0].contains("bad.torrent"),
        "which file? {}",
        finished.stderr[0]
    );
}

/// `shoal show` accepts the torrent and names the SHA-1 of `info` as it stands.
fn check_accepted(name: &str, metainfo: &Value, info: &Value) {
    let place = Place::new();
    let torrent = place.add_metainfo("odd", &metainfo.encode());
    let mut show = shoal();
    show.arg("show").arg(torrent).arg("--json");
    let finished = run(show);
    assert_eq!(finished.status.code(), Some(0), "{name}: {finished:#?}");
    let hash = sha1_hex(&info.encode());
    assert!(
        finished.stdout.join("\n").contains(&hash),
        "{name}: {hash} is not in {:#?}",
        finished.stdout
    );
}

#[test]
fn odd_torrents_that_others_make_are_accepted() {
    let info = sample().info().clone();
    let check =
        |name: &str, info: &Value| check_accepted(name, &Value::dictionary([("info", info.clone())]), info);
    check(
        "unknown keys",
        &info.clone().with("zzzz", Value::List(vec![Value::Integer(1)])),
    );
    check(
        "private as text",
        &info.clone().with("private", Value::bytes("1")),
    );
    check("private is 2", &info.clone().with("private", Value::Integer(2)));
    let dotted = [
        file(50_000, &[b"a", b"", b".", b"b"]),
        file(50_000, &[b"a", b"c"]),
    ];
    check(
        "elements that name nothing",
        &info
            .clone()
            .without("length")
            .with("files", Value::List(dotted.into())),
    );
    let twins = [file(50_000, &[b"Readme"]), file(50_000, &[b"README"])];
    check(
        "names that differ in case",
        &info
            .clone()
            .without("length")
            .with("files", Value::List(twins.into())),
    );
    check(
        "pieces that are no power of two",
        Sample::file("x", 100_000, 20_000).info(),
    );
    check(
        "a name that is not UTF-8",
        &info.with("name", Value::bytes([0xff, 0xfe, b'x'])),
    );
}

#[test]
fn the_hash_is_of_the_bytes_as_they_stand() {
    // Old tools wrote keys out of order; to sort them, or to drop a second one, would make another torrent of it.
    let Value::Dictionary(sorted) = sample().info().clone() else {
        panic!("info is a dictionary")
    };
    let reversed = Value::Dictionary(sorted.iter().rev().cloned().collect());
    check_accepted(
        "keys out of order",
        &Value::dictionary([("info", reversed.clone())]),
        &reversed,
    );
    let twice = Value::Dictionary(
        sorted
            .iter()
            .flat_map(|entry| [entry.clone(), entry.clone()])
            .collect(),
    );
    check_accepted(
        "every key twice",
        &Value::dictionary([("info", twice.clone())]),
        &twice,
    );
}

#[test]
fn what_stands_beside_info_does_not_change_the_hash() {
    let info = sample().info().clone();
    let metainfo = Value::dictionary([("info", info.clone())]);
    let nested = Value::raw(["l".repeat(50), "e".repeat(50)].concat());
    check_accepted(
        "a comment",
        &metainfo.clone().with("comment", Value::bytes("hello")),
        &info,
    );
    check_accepted("an unknown key", &metainfo.clone().with("zzzz", nested), &info);
    check_accepted(
        "web seeds",
        &metainfo.with("url-list", Value::texts(["http://127.0.0.1/"])),
        &info,
    );
}
