//! What people and scripts see of `shoal`: results, sentences, exit codes, and what lies on the disk afterwards.
//!
//! Hostile torrents, other clients and signals have files of their own; here is what is asked for in good faith, and
//! the slips of the fingers that come with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;
use shoal_tests::client::Client;
use shoal_tests::fetch::Fetch;
use shoal_tests::peer::FAST_AND_EXTENDED;
use shoal_tests::place::Place;
use shoal_tests::process::{Finished, Process, Seed, Signal, run, shoal, shoal_seed};
use shoal_tests::sample::Sample;

const PIECE_LEN: u32 = 16 * 1024;

/// Runs `shoal` with these arguments in the place.
fn shoal_in(place: &Place, arguments: &[&str]) -> Finished {
    run(command_in(place, arguments))
}

fn command_in(place: &Place, arguments: &[&str]) -> Command {
    let mut command = shoal();
    command
        .args(arguments)
        .current_dir(place.path())
        .env_remove("SOURCE_DATE_EPOCH");
    command
}

/// Runs it and expects success; returns the lines of its result.
fn succeeds(place: &Place, arguments: &[&str]) -> Vec<String> {
    let finished = shoal_in(place, arguments);
    assert_eq!(finished.status.code(), Some(0), "{arguments:?}: {finished:#?}");
    finished.stdout
}

fn json(place: &Place, arguments: &[&str]) -> Json {
    let lines = succeeds(place, &[arguments, &["--json"]].concat());
    assert_eq!(lines.len(), 1, "one result is one line: {lines:#?}");
    serde_json::from_str(&lines[0]).expect("--json prints JSON")
}

/// Runs it and expects this exit code, no result, one sentence that has `text` in it, and nothing written.
fn fails(place: &Place, exit: i32, arguments: &[&str], text: &str) {
    let before = place.entries();
    let finished = shoal_in(place, arguments);
    assert_eq!(finished.status.code(), Some(exit), "{arguments:?}: {finished:#?}");
    assert_eq!(finished.stdout, [""; 0], "{arguments:?}: a failure has no result");
    let [sentence] = finished.stderr.as_slice() else {
        panic!("{arguments:?}: not one sentence: {:#?}", finished.stderr)
    };
    assert!(
        sentence.starts_with("shoal: ") && sentence.contains(text),
        "{arguments:?}: {sentence}"
    );
    assert_eq!(place.entries(), before, "{arguments:?}: something was written");
}

/// A folder `tree` with names that are hard to order, a hidden file, an empty one and a link.
fn odd_tree(place: &Place) {
    let files = [
        "10",
        "9",
        "A",
        "B/q",
        "a b/x",
        "a-1",
        "a.txt",
        "a/x",
        "a/y/deep",
        "aB",
        "ünï cöde",
        ".hidden",
        ".hidden folder/x",
        "~",
        "!",
        "日本語",
        "quote\"'`$&",
        "trailing dot.",
    ];
    for name in files {
        let path = place.path().join("tree").join(name);
        fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("a writable place");
        fs::write(path, name.repeat(1_000)).expect("a writable place");
    }
    fs::write(place.path().join("tree/empty"), "").expect("a writable place");
    symlink("a.txt", place.path().join("tree/link")).expect("a writable place");
}

#[test]
fn create_writes_into_the_current_folder_and_says_what() {
    let place = Place::new();
    fs::write(place.path().join("data/film.mkv"), vec![7; 40_000]).expect("a writable place");
    let created = json(&place, &["create", "data/film.mkv"]);
    assert_eq!(created["file"], "film.mkv.torrent");
    assert_eq!(created["written"], true);
    assert_eq!(
        (created["size_bytes"].as_u64(), created["pieces"].as_u64()),
        (Some(40_000), Some(3))
    );
    let shown = json(&place, &["show", "film.mkv.torrent"]);
    assert_eq!(shown["info_hash"], created["info_hash"]);
    assert_eq!(shown["files"][0]["path"], "film.mkv");
    let magnet = succeeds(&place, &["magnet", "film.mkv.torrent"]);
    assert_eq!(Some(magnet[0].as_str()), created["magnet"].as_str());
    assert_eq!(
        json(&place, &["show", &magnet[0]])["info_hash"],
        created["info_hash"]
    );
    assert_eq!(
        json(&place, &["create", "data/film.mkv"])["written"],
        false,
        "the same torrent is kept"
    );
}

#[test]
fn create_gives_the_info_hash_of_mktorrent_for_odd_names() {
    let Some(mut mktorrent) = Client::Mktorrent.find() else {
        return;
    };
    let place = Place::new();
    odd_tree(&place);
    mktorrent
        .args(["-l", "15", "-o", "theirs.torrent", "tree"])
        .current_dir(place.path());
    assert!(run(mktorrent).status.success());
    let theirs = json(&place, &["show", "theirs.torrent"]);
    let ours = json(&place, &["create", "tree", "--piece-length", "32KiB"]);
    assert_eq!(ours["info_hash"], theirs["info_hash"]);
}

#[test]
fn torrents_of_transmission_are_read_and_their_data_found() {
    // The same package has both.
    if Client::Transmission.find().is_none() {
        return;
    }
    let place = Place::new();
    odd_tree(&place);
    let mut transmission = Command::new("transmission-create");
    transmission
        .args(["-s", "32", "-o", "theirs.torrent", "tree"])
        .current_dir(place.path());
    assert!(run(transmission).status.success());
    assert_eq!(
        json(&place, &["check", "theirs.torrent", "--data", "."])["complete"],
        true
    );
}

#[test]
fn create_never_writes_over_another_file() {
    let place = Place::new();
    fs::write(place.path().join("data/x"), "one").expect("a writable place");
    let refused = "is there already and is not this torrent";
    fs::write(place.path().join("x.torrent"), "mine").expect("a writable place");
    fails(&place, 2, &["create", "data/x"], refused);
    assert_eq!(fs::read(place.path().join("x.torrent")).expect("a file"), b"mine");
    succeeds(&place, &["create", "data/x", "-o", "y.torrent"]);
    fails(
        &place,
        2,
        &["create", "data/x", "-o", "y.torrent", "--private"],
        refused,
    );
    fails(
        &place,
        2,
        &[
            "create",
            "data/x",
            "-o",
            "y.torrent",
            "--tracker",
            "http://a.example/",
        ],
        refused,
    );
    fs::write(place.path().join("data/x"), "two").expect("a writable place");
    fails(&place, 2, &["create", "data/x", "-o", "y.torrent"], refused);
}

#[test]
fn create_refuses_what_cannot_be_shared() {
    let place = Place::new();
    fs::write(place.path().join("data/x"), "x").expect("a writable place");
    fs::create_dir_all(place.path().join("nothing/in/it")).expect("a writable place");
    fs::create_dir(place.path().join("circle")).expect("a writable place");
    symlink(".", place.path().join("circle/again")).expect("a writable place");
    fs::create_dir(place.path().join("broken")).expect("a writable place");
    symlink("nowhere", place.path().join("broken/link")).expect("a writable place");
    fails(
        &place,
        2,
        &["create", "absent"],
        "absent: cannot be read: No such file or directory",
    );
    fails(
        &place,
        2,
        &["create", "nothing"],
        "nothing: holds no data to share",
    );
    fails(
        &place,
        2,
        &["create", "circle"],
        "again: a link to a folder that it is in",
    );
    fails(
        &place,
        2,
        &["create", "broken"],
        "link: cannot be read: No such file or directory",
    );
    fails(
        &place,
        2,
        &["create", "/dev/null"],
        "/dev/null: neither a file nor a folder",
    );
    fails(
        &place,
        2,
        &["create", "/"],
        "has no name that a torrent could have",
    );
    fails(
        &place,
        2,
        &["create", "data/x", "--piece-length", "3MB"],
        "a power of two from 16KiB to 256MiB",
    );
    fails(
        &place,
        2,
        &["create", "data/x", "--piece-length", "24KiB"],
        "a power of two",
    );
    fails(
        &place,
        2,
        &["create", "data/x", "--tracker", "tracker.example"],
        "a tracker's address is not one",
    );
    fails(
        &place,
        2,
        &["create", "data/x", "--web-seed", "ftp://a.example/"],
        "a web seed's address",
    );
    fails(
        &place,
        3,
        &["create", "data/x", "-o", "absent/x.torrent"],
        "absent/x.torrent: cannot be written",
    );
}

#[test]
fn create_can_be_repeated_byte_by_byte() {
    let place = Place::new();
    odd_tree(&place);
    let create = |output: &str, date: &str, more: &[&str]| {
        let mut command = command_in(&place, &["create", "tree", "-o", output]);
        let finished = run({
            command.args(more).env("SOURCE_DATE_EPOCH", date);
            command
        });
        (
            finished.status.code(),
            fs::read(place.path().join(output)).unwrap_or_default(),
        )
    };
    let (code, first) = create("first.torrent", "1234567890", &[]);
    assert_eq!(code, Some(0));
    assert_eq!(create("second.torrent", "1234567890", &[]).1, first);
    assert_eq!(
        json(&place, &["show", "first.torrent"])["creation_date"],
        1_234_567_890
    );
    let (code, without) = create("without.torrent", "1234567890", &["--no-date"]);
    assert!(code == Some(0) && !without.windows(13).any(|window| window == b"creation date"));
    assert_eq!(create("never.torrent", "yesterday", &[]), (Some(2), Vec::new()));
}

#[test]
fn create_can_leave_hidden_files_out() {
    let place = Place::new();
    odd_tree(&place);
    let all = json(&place, &["create", "tree", "-o", "all.torrent"]);
    let some = json(&place, &["create", "tree", "-o", "some.torrent", "--skip-hidden"]);
    let files = |torrent: &Json| torrent["files"].as_array().map_or(0, Vec::len);
    assert_eq!(files(&all), files(&some) + 2);
}

#[test]
fn show_tells_all_that_a_torrent_says() {
    let place = Place::new();
    fs::write(place.path().join("data/x"), "x").expect("a writable place");
    let details = [
        "--tracker",
        "http://a.example/announce",
        "--tracker",
        "udp://b.example:6969",
    ];
    let more = [
        "--web-seed",
        "https://c.example/",
        "--private",
        "--comment",
        "red \u{1b}[31m",
    ];
    succeeds(&place, &[&["create", "data/x"][..], &details, &more].concat());
    let shown = json(&place, &["show", "x.torrent"]);
    assert_eq!(
        shown["trackers"],
        serde_json::json!([["http://a.example/announce"], ["udp://b.example:6969"]])
    );
    assert_eq!(shown["web_seeds"], serde_json::json!(["https://c.example/"]));
    assert_eq!(shown["private"], true);
    let lines = succeeds(&place, &["show", "x.torrent"]).join("\n");
    for text in [
        "http://a.example/announce",
        "udp://b.example:6969",
        "https://c.example/",
        "private",
        "1 B  x",
    ] {
        assert!(lines.contains(text), "{text} is not in\n{lines}");
    }
    assert!(
        !lines.chars().any(|c| c.is_control() && c != '\n'),
        "control characters reach the terminal"
    );
}

#[test]
fn show_refuses_what_is_neither_torrent_nor_magnet_link() {
    let place = Place::new();
    fails(
        &place,
        2,
        &["show", "magnet:?dn=nothing"],
        "the magnet link names no torrent",
    );
    fails(
        &place,
        2,
        &["show", "magnet:?xt=urn:btih:0123"],
        "an info-hash has 40 hexadecimal digits",
    );
    fails(
        &place,
        2,
        &["show", "absent.torrent"],
        "absent.torrent: cannot be read",
    );
    fails(&place, 2, &["magnet", "data"], "data: not a regular file");
}

/// A torrent of several files whose data is in the place.
fn sample() -> Sample {
    let files = [("a", 20_000), ("b", 30_000), ("empty", 0), ("sub/d", 30_000)];
    Sample::directory("files", &files, PIECE_LEN)
}

#[test]
fn check_says_what_is_wrong_with_which_file() {
    let (sample, place) = (sample(), Place::new());
    let torrent = place.add(&sample);
    let torrent = torrent.to_str().expect("a path of ASCII");
    let check = ["check", torrent, "--data", "data"];
    assert_eq!(
        succeeds(&place, &check),
        ["files: complete: 5 of 5 pieces are right, 78.1 KiB"]
    );
    fs::remove_file(place.data().join("files/b")).expect("a file");
    let finished = shoal_in(&place, &check);
    assert_eq!(finished.status.code(), Some(1));
    let expected = [
        "files: incomplete: of 5 pieces 2 are right, 0 wrong and 3 missing",
        "  files/a: 1 of its pieces also need files that are missing",
        "  files/b: missing",
        "  files/sub/d: 1 of its pieces also need files that are missing",
    ];
    assert_eq!(finished.stdout, expected);
    let finished = shoal_in(&place, &[&check[..], &["--json"]].concat());
    assert_eq!(finished.status.code(), Some(1));
    let found: Json = serde_json::from_str(&finished.stdout.concat()).expect("--json prints JSON");
    assert_eq!(
        found["pieces"],
        serde_json::json!({ "total": 5, "verified": 2, "wrong": 0, "missing": 3 })
    );
    assert_eq!(found["bitfield"], "88");
    assert_eq!(found["files"][1]["state"], "missing");
}

#[test]
fn check_needs_a_folder_that_is_there() {
    let place = Place::new();
    let torrent = place.add(&sample());
    let torrent = torrent.to_str().expect("a path of ASCII");
    fails(
        &place,
        2,
        &["check", torrent, "--data", "absent"],
        "absent: cannot be read",
    );
    fails(&place, 2, &["check", torrent, "--data", torrent], "not a folder");
    fails(&place, 2, &["check", torrent], "--data <DIR>");
    fails(
        &place,
        2,
        &["seed", torrent, "--data", "absent"],
        "absent: cannot be read",
    );
}

#[test]
fn seed_serves_what_is_right_of_an_incomplete_torrent() {
    let (sample, place) = (sample(), Place::new());
    let torrent = place.add(&sample);
    let path = place.data().join("files/sub/d");
    let content = fs::read(&path).expect("a file");
    fs::write(&path, &content[..20_000]).expect("a writable place");
    let seed = Seed::of(&place, &[&torrent]);
    seed.wait_for_diagnostic("of 5 pieces 4 are right, 0 wrong and 1 missing; what is right is served");
    let mut fetch =
        Fetch::start(seed.address(), &sample, FAST_AND_EXTENDED).expect("a fresh peer is welcome");
    let right: Vec<_> = (0..4).flat_map(|piece| sample.blocks_of(piece)).collect();
    fetch.blocks(&right, 4).expect("what is right is served");
    assert_eq!(seed.stop(Signal::TERM).status.code(), Some(0));
}

#[test]
fn seed_leaves_out_what_is_not_there_and_serves_the_rest() {
    let (here, gone, place) = (
        sample(),
        Sample::file("gone.bin", 100_000, PIECE_LEN),
        Place::new(),
    );
    let torrents = [place.add(&here), place.add(&gone)];
    fs::remove_file(place.data().join("gone.bin")).expect("a file");
    let seed = Seed::of(&place, &torrents);
    seed.wait_for_diagnostic("gone.bin: nothing of it is in ");
    assert_eq!(seed.stop(Signal::INT).status.code(), Some(0));
}

#[test]
fn seed_without_anything_to_serve_ends() {
    let (sample, place) = (Sample::file("alone.bin", 100_000, PIECE_LEN), Place::new());
    let torrent = place.add(&sample);
    let torrent = torrent.to_str().expect("a path of ASCII");
    let seed = ["seed", torrent, "--data", "data", "--listen", "127.0.0.1:0"];
    let file = place.data().join("alone.bin");
    fs::write(&file, vec![0; 100_000]).expect("a writable place");
    fails(
        &place,
        2,
        &seed,
        "alone.bin: none of its 7 pieces is right in data",
    );
    fs::remove_file(&file).expect("a file");
    fails(
        &place,
        2,
        &seed,
        "alone.bin: nothing of it is in data; --data is the folder in which",
    );
    fails(
        &place,
        2,
        &[&seed[..], &["--trust"]].concat(),
        "data/alone.bin: missing or shorter",
    );
}

#[test]
fn settings_come_from_the_file_and_options_win() {
    let (sample, place) = (sample(), Place::new());
    let torrent = place.add(&sample);
    fs::write(
        place.path().join("config.yaml"),
        "listen: 127.0.0.2:0\ncores: 0\n",
    )
    .expect("a writable place");
    let data = place.data();
    let start = |more: &[&str]| {
        let torrent = torrent.to_str().expect("a path of ASCII");
        let mut command = command_in(&place, &["seed", torrent, "--config", "config.yaml", "--data"]);
        command.arg(&data).args(more);
        Seed::start(command)
    };
    assert!(start(&[]).address().to_string().starts_with("127.0.0.2:"));
    assert!(
        start(&["--listen", "127.0.0.1:0"])
            .address()
            .to_string()
            .starts_with("127.0.0.1:")
    );
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let (sample, place) = (sample(), Place::new());
    let torrent = place.add(&sample);
    let torrent = torrent.to_str().expect("a path of ASCII");
    fs::write(place.path().join("c.yaml"), "listn: x\npeers_max: 0\n").expect("a writable place");
    let expected = [
        "shoal: c.yaml:1:1: there is no setting `listn`; did you mean `listen`?",
        "shoal: c.yaml:2:12: `peers_max` is `0`; it takes a whole number from 1 to 1000000",
    ];
    for arguments in [
        &["config", "check", "c.yaml"][..],
        &["seed", torrent, "--data", "data", "--config", "c.yaml"],
    ] {
        let finished = shoal_in(&place, arguments);
        assert_eq!(finished.status.code(), Some(2));
        assert_eq!(
            (finished.stdout, finished.stderr),
            (vec![], expected.map(str::to_owned).to_vec())
        );
    }
    let finished = shoal_in(&place, &["config", "check", "c.yaml", "--json"]);
    let found: Json = serde_json::from_str(&finished.stdout.concat()).expect("--json prints JSON");
    assert_eq!(
        (found["valid"].as_bool(), found["problems"][1]["line"].as_u64()),
        (Some(false), Some(2))
    );
    for (option, value) in [("--listen", "nowhere"), ("--cores", "0-"), ("--slots", "0")] {
        fails(
            &place,
            2,
            &["seed", torrent, "--data", "data", option, value],
            "it takes",
        );
    }
    fails(
        &place,
        2,
        &["seed", torrent, "--data", "data", "--cores", "8191"],
        "CPU 8191 is not among those",
    );
}

#[test]
fn what_config_show_prints_is_a_configuration() {
    let place = Place::new();
    let shown = succeeds(&place, &["config", "show"]).join("\n");
    fs::write(place.path().join("c.yaml"), format!("{shown}\n")).expect("a writable place");
    assert_eq!(
        succeeds(&place, &["config", "check", "c.yaml"]),
        ["c.yaml: valid"]
    );
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config.yaml");
    let documented = documented.to_str().expect("a path of UTF-8");
    assert_eq!(
        succeeds(&place, &["config", "show", documented]).join("\n"),
        shown
    );
    assert_eq!(json(&place, &["config", "show"])["listen"], "0.0.0.0:6881");
}

/// Starts `shoal share` and waits until it serves; returns the magnet link as well.
fn share(place: &Place, path: &str) -> (Process, String) {
    let process = Process::start(command_in(place, &["share", path, "--listen", "127.0.0.1:0"]));
    let ready = process
        .stdout
        .wait_for(|line| line.starts_with("ready 127.0.0.1:"));
    assert!(ready.is_some(), "{}", process.said());
    let magnet = process.stdout.all().remove(0);
    (process, magnet)
}

#[test]
fn share_makes_a_torrent_serves_it_and_does_so_again() {
    let (sample, place) = (sample(), Place::new());
    sample.write(&place.data()).expect("a writable place");
    let mut magnets = Vec::new();
    for said in [
        "files.torrent: written",
        "files.torrent: was there already and is used again",
    ] {
        let (process, magnet) = share(&place, "data/files");
        assert!(
            process.stderr.wait_for(|line| line.contains(said)).is_some(),
            "{}",
            process.said()
        );
        assert!(
            magnet.starts_with("magnet:?xt=urn:btih:") && magnet.contains("&x.pe=127.0.0.1:"),
            "{magnet}"
        );
        magnets.push(magnet.split("&x.pe=").next().unwrap_or_default().to_owned());
        process.signal(Signal::INT);
        assert_eq!(process.finish().status.code(), Some(0));
    }
    assert_eq!(magnets[0], magnets[1]);
    fs::write(place.data().join("files/new"), "x").expect("a writable place");
    let refused = "files.torrent: is there already and is not this torrent";
    let share = ["share", "data/files", "--listen", "127.0.0.1:0"];
    fails(&place, 2, &share, refused);
    fs::remove_file(place.data().join("files/new")).expect("a file");
    fs::write(place.data().join("files/a"), vec![0; 20_000]).expect("a writable place");
    fails(&place, 2, &share, refused);
}

#[test]
fn json_of_a_running_seed_is_one_event_to_a_line() {
    let (sample, place) = (sample(), Place::new());
    let mut command = shoal_seed(&place, &[place.add(&sample)]);
    command.arg("--json");
    let process = Process::start(command);
    let ready = process.stdout.wait_for(|_| true).expect("a line");
    let ready: Json = serde_json::from_str(&ready).expect("--json prints JSON");
    assert_eq!(ready["event"], "ready");
    assert!(
        ready["address"]
            .as_str()
            .is_some_and(|address| address.starts_with("127.0.0.1:"))
    );
    process.signal(Signal::TERM);
    let finished = process.finish();
    assert_eq!(finished.status.code(), Some(0));
    let stopped: Json = serde_json::from_str(&finished.stdout[1]).expect("--json prints JSON");
    assert_eq!(
        (stopped["event"].as_str(), stopped["uploaded_bytes"].as_u64()),
        (Some("stopped"), Some(0))
    );
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let place = Place::new();
    let commands = [
        "create",
        "show",
        "magnet",
        "check",
        "seed",
        "share",
        "download",
        "config",
        "completions",
        "man",
    ];
    let whole = succeeds(&place, &["--help"]).join("\n");
    assert!(whole.contains("Exit codes:"));
    for command in commands {
        assert!(
            whole.contains(&format!("\n  {command} ")),
            "{command} is not in --help"
        );
        let help = succeeds(&place, &[command, "--help"]).join("\n");
        assert!(
            help.contains("Example") && help.contains(&format!("\n  shoal {command}")),
            "{help}"
        );
        assert!(help.contains("--json"), "{command} --help");
        assert!(
            succeeds(&place, &["man", command])[0].contains(".ie"),
            "a page for {command}"
        );
    }
    assert!(succeeds(&place, &["--version"])[0].starts_with("shoal "));
    assert!(
        succeeds(&place, &["completions", "bash"])
            .join("\n")
            .contains("complete -F _shoal")
    );
}

#[test]
fn slips_of_the_fingers_are_one_sentence() {
    let place = Place::new();
    fails(&place, 2, &[], "no command given; see shoal --help");
    fails(
        &place,
        2,
        &["config"],
        "no command given; see shoal config --help",
    );
    fails(
        &place,
        2,
        &["sow"],
        "unrecognized subcommand 'sow'; a similar subcommand exists: 'show'",
    );
    fails(
        &place,
        2,
        &["create"],
        "required arguments were not provided: <PATH>; see shoal create --help",
    );
    fails(
        &place,
        2,
        &["create", "x", "--priv"],
        "unexpected argument '--priv' found",
    );
    fails(&place, 2, &["man", "sow"], "there is no command `sow`");
}
