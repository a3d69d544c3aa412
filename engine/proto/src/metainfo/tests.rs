use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Attributes, FileKind, Metainfo, MetainfoError};
use crate::digest::Digest;
use crate::limits::METAINFO_LEN_MAX;

mod hostile;

/// A dictionary of raw values: those of `base`, but for those of `changes`; an empty one removes the key.
fn dictionary(base: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
    let entries: BTreeMap<&str, &str> = base.iter().chain(changes).copied().collect();
    let present = entries.iter().filter(|(_, raw)| !raw.is_empty());
    let body: String = present
        .map(|(key, raw)| format!("{}:{key}{raw}", key.len()))
        .collect();
    format!("d{body}e")
}

const HASH: &str = "20:abcdefghijklmnopqrst";
const ONE_FILE: &[(&str, &str)] = &[
    ("length", "i7e"),
    ("name", "4:file"),
    ("piece length", "i16384e"),
    ("pieces", HASH),
];
const FOLDER: &[(&str, &str)] = &[
    ("name", "6:folder"),
    ("piece length", "i16384e"),
    ("pieces", HASH),
];

/// A torrent of one file, with changes to `info`.
fn one_file(changes: &[(&str, &str)]) -> Vec<u8> {
    dictionary(&[("info", &dictionary(ONE_FILE, changes))], &[]).into_bytes()
}

/// A torrent of a folder with entries that are written out.
fn folder(entries: &[String]) -> Vec<u8> {
    let files = format!("l{}e", entries.concat());
    dictionary(&[("info", &dictionary(FOLDER, &[("files", &files)]))], &[]).into_bytes()
}

/// An entry of one byte under a path of elements between `/`, with further keys.
fn entry(path: &str, changes: &[(&str, &str)]) -> String {
    let elements: String = path
        .split('/')
        .map(|element| format!("{}:{element}", element.len()))
        .collect();
    dictionary(&[("length", "i1e"), ("path", &format!("l{elements}e"))], changes)
}

/// The sentence of the refusal, or that there is none.
fn check(torrent: &[u8], expected: &str) {
    let found = Metainfo::parse(torrent).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
    assert_eq!(
        found,
        expected,
        "{}",
        torrent[..torrent.len().min(500)].escape_ascii()
    );
}

/// A torrent of one file, with changes to what is around `info`.
fn around(changes: &[(&str, &str)]) -> Metainfo {
    let torrent = dictionary(&[("info", &dictionary(ONE_FILE, &[]))], changes);
    Metainfo::parse(torrent.as_bytes()).unwrap()
}

fn paths(metainfo: &Metainfo) -> Vec<&str> {
    metainfo.files().iter().map(|file| file.path.as_str()).collect()
}

fn cautions(torrent: &[u8]) -> Vec<String> {
    Metainfo::parse(torrent)
        .unwrap()
        .cautions()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn one_file_is_called_like_the_torrent() {
    let metainfo = Metainfo::parse(&one_file(&[])).unwrap();
    assert_eq!((metainfo.name(), paths(&metainfo)), ("file", vec!["file"]));
    assert_eq!(metainfo.layout().total_len(), 7);
    let piece = metainfo.layout().piece(0).unwrap();
    assert_eq!(metainfo.piece_hash(piece), Digest::Sha1(*b"abcdefghijklmnopqrst"));
    assert!(!metainfo.is_private() && metainfo.cautions().is_empty());
}

#[test]
fn files_are_below_the_folder_that_is_called_like_the_torrent() {
    let torrent = folder(&[
        entry("a", &[]),
        entry("b/c d", &[("length", "i0e")]),
        entry("b/\u{e4}", &[]),
    ]);
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!(paths(&metainfo), ["folder/a", "folder/b/c d", "folder/b/\u{e4}"]);
    let files: Vec<_> = metainfo
        .layout()
        .files()
        .map(|(_, extent)| (extent.start, extent.len))
        .collect();
    assert_eq!(files, [(0, 1), (1, 0), (1, 1)]);
    let last: Vec<&str> = metainfo.files()[2].path.elements().collect();
    assert_eq!(last, ["folder", "b", "\u{e4}"]);
}

#[test]
fn the_info_hash_is_that_of_the_raw_bytes() {
    // SHA-1 of these bytes by sha1sum(1).
    let info = b"d6:lengthi7e4:name4:file12:piece lengthi16384e6:pieces20:abcdefghijklmnopqrste";
    let torrent = [b"d8:announce1:x4:info".as_slice(), info, b"e"].concat();
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!(**metainfo.info(), info[..]);
    assert_eq!(
        metainfo.info_hash().to_string(),
        "ed65fc7105343a857174985b6577469188309215"
    );
}

#[test]
fn attributes_tell_the_kinds_of_files() {
    let torrent = folder(&[
        entry("program", &[("attr", "1:x")]),
        entry("secret", &[("attr", "2:hx")]),
        entry(".pad/1", &[("attr", "1:p")]),
        entry(
            "bin/link",
            &[
                ("attr", "1:l"),
                ("length", "i0e"),
                ("symlink path", "l7:programe"),
            ],
        ),
        entry("plain", &[("attr", "3:q?!")]),
    ]);
    let metainfo = Metainfo::parse(&torrent).unwrap();
    let regular = |executable, hidden| FileKind::Regular(Attributes { executable, hidden });
    let kinds: Vec<FileKind> = metainfo.files().iter().map(|file| file.kind.clone()).collect();
    let target = metainfo.files()[0].path.clone();
    let link = FileKind::Symlink { target };
    assert_eq!(
        kinds,
        [
            regular(true, false),
            regular(true, true),
            FileKind::Padding,
            link,
            regular(false, false)
        ]
    );
    let padding: Vec<bool> = metainfo
        .layout()
        .files()
        .map(|(_, extent)| extent.padding)
        .collect();
    assert_eq!(padding, [false, false, true, false, false]);
}

#[test]
fn announce_list_goes_before_announce() {
    let list = "ll11:udp://a.b/114:http://a.b:80/el11:udp://a.b/12:xxele";
    let metainfo = around(&[
        ("announce", "11:udp://z.z/1"),
        ("announce-list", &format!("{list}e")),
    ]);
    assert_eq!(metainfo.trackers(), [["udp://a.b/1", "http://a.b:80/"]]);
    let metainfo = around(&[("announce", "11:udp://z.z/1"), ("announce-list", "ll2:xxeli7eee")]);
    assert_eq!(metainfo.trackers(), [["udp://z.z/1"]]);
    assert!(around(&[("announce", "i7e")]).trackers().is_empty());
}

#[test]
fn web_seeds_are_one_or_a_list() {
    assert_eq!(
        around(&[("url-list", "11:http://a.b/")]).web_seeds(),
        ["http://a.b/"]
    );
    let metainfo = around(&[("url-list", "l11:http://a.b/0:11:http://a.b/3:ftp12:https://a.b/e")]);
    assert_eq!(metainfo.web_seeds(), ["http://a.b/", "https://a.b/"]);
    assert!(around(&[("url-list", "0:")]).web_seeds().is_empty());
}

#[test]
fn texts_and_dates_are_read_where_they_make_sense() {
    let metainfo = around(&[
        ("comment", "2:hi"),
        ("created by", "1:x"),
        ("creation date", "i1700000000e"),
    ]);
    assert_eq!(
        (metainfo.comment(), metainfo.created_by()),
        (Some("hi"), Some("x"))
    );
    assert_eq!(metainfo.creation_date_s(), Some(1_700_000_000));
    let metainfo = around(&[
        ("comment", "i1e"),
        ("created by", "0:"),
        ("creation date", "i-1e"),
    ]);
    assert_eq!(
        (
            metainfo.comment(),
            metainfo.created_by(),
            metainfo.creation_date_s()
        ),
        (None, None, None)
    );
    let metainfo = Metainfo::parse(&one_file(&[("source", "4:SITE")])).unwrap();
    assert_eq!(metainfo.source(), Some("SITE"));
}

#[test]
fn a_utf8_variant_of_a_name_is_preferred() {
    let metainfo = Metainfo::parse(&one_file(&[("name.utf-8", "5:\u{e4}\u{f6}x")])).unwrap();
    assert_eq!(metainfo.name(), "\u{e4}\u{f6}x");
    let torrent = folder(&[
        entry("old", &[("path.utf-8", "l3:newe")]),
        entry("b", &[("path.utf-8", "3:abc")]),
    ]);
    assert_eq!(
        paths(&Metainfo::parse(&torrent).unwrap()),
        ["folder/new", "folder/b"]
    );
}

#[test]
fn a_name_that_is_not_utf8_reads_with_underscores() {
    let mut torrent = one_file(&[]);
    let name = torrent.windows(6).position(|window| window == b"4:file").unwrap();
    torrent[name + 3] = 0xFF;
    assert_eq!(Metainfo::parse(&torrent).unwrap().name(), "f_le");
    assert_eq!(
        cautions(&torrent),
        ["`info.name` is not UTF-8; what is wrong in it reads as `_`"]
    );
}

#[test]
fn a_wrong_sequence_is_as_long_as_its_first_byte_says() {
    // What libtorrent 2.1.1 makes of the same bytes; the differential test compares thousands more.
    let cases: [(&[u8], &str); 12] = [
        (b"caf\xe9.txt", "caf_xt"),
        (b"caf\xe9", "caf_"),
        (b"\xc9a", "_"),
        (b"\xf1andu.x", "_u.x"),
        (b"M\xfcller.txt", "M_ller.txt"),
        (b"\x80a\x81", "_a_"),
        (b"\xed\xa0\x80a", "_a"),
        (b"\xc0\xafa", "_a"),
        (b"\xe2\x82\xe2\x82\xac", "___"),
        (b"\xf8\x88\x80\x80\x80a", "_a"),
        (b"\xfe\xffab", "__ab"),
        (b"caf\xe9 \xc3\xa9", "caf__"),
    ];
    for (name, expected) in cases {
        let mut torrent = one_file(&[("name", "4:NAME")]);
        let at = torrent.windows(6).position(|window| window == b"4:NAME").unwrap();
        torrent.splice(
            at..at + 6,
            [name.len().to_string().as_bytes(), b":", name].concat(),
        );
        let metainfo = Metainfo::parse(&torrent).unwrap();
        assert_eq!(metainfo.name(), expected, "{}", name.escape_ascii());
    }
}

#[test]
fn a_hybrid_loads_through_its_version_1_half() {
    assert_eq!(
        cautions(&one_file(&[("meta version", "i2e"), ("file tree", "de")])),
        ["a hybrid torrent; only its version 1 half is used"]
    );
}

#[test]
fn a_torrent_of_version_2_only_is_refused() {
    check(
        &one_file(&[
            ("meta version", "i2e"),
            ("file tree", "de"),
            ("pieces", ""),
            ("length", ""),
        ]),
        "this is a version 2 torrent (BEP 52), and only version 1 and hybrid torrents are supported",
    );
}

#[test]
fn every_error_is_one_line_that_names_its_place() {
    check(&one_file(&[("name", "")]), "`info.name` is missing");
    check(&one_file(&[("name", "i7e")]), "`info.name` is not a string");
    check(&one_file(&[("length", "")]), "`info.length` is missing");
    check(&one_file(&[("pieces", "le")]), "`info.pieces` is not a string");
    check(
        &one_file(&[("piece length", "3:abc")]),
        "`info.piece length` is not an integer",
    );
    check(
        &folder(&["i7e".to_owned()]),
        "`info.files` is not a list of dictionaries",
    );
    check(
        &folder(&[entry("a", &[]), entry("b", &[("path", "")])]),
        "`info.files[1].path` is missing",
    );
    check(
        &folder(&[entry("a", &[("path", "1:a")])]),
        "`info.files[0].path` is not a list of strings",
    );
    check(
        &folder(&[entry("a", &[("path", "li7ee")])]),
        "`info.files[0].path` is not a list of strings",
    );
    check(b"de", "`info` is missing");
    check(b"d4:info4:nonee", "`info` is not a dictionary");
    check(b"i7e", "this is no torrent file: it is not a dictionary");
    check(
        b"<html>",
        "this is no torrent file: byte 0: no value begins with `<`",
    );
    check(
        b"",
        "this is no torrent file: byte 0: the input ends inside a value",
    );
}

#[test]
fn case_20_a_file_over_ten_mebibytes_is_refused_unread() {
    let torrent = vec![b'l'; METAINFO_LEN_MAX + 1];
    assert_eq!(
        Metainfo::parse(&torrent),
        Err(MetainfoError::TooLong {
            len: METAINFO_LEN_MAX + 1
        })
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Metainfo::parse(&bytes);
    }

    #[test]
    fn any_value_under_any_key_is_read_or_refused(
        key in prop::sample::select(vec![
            "announce", "announce-list", "attr", "comment", "creation date", "files", "length", "meta version",
            "name", "name.utf-8", "path", "piece length", "pieces", "private", "source", "url-list",
        ]),
        value in "(i-?[1-9][0-9]{0,17}e|l(l1:ae|i7e|d1:ai1ee)*e|d1:a(1:b|le)e|4:[ -~]{4}|0:)",
    ) {
        let _ = Metainfo::parse(&one_file(&[(key, &value)]));
        let _ = Metainfo::parse(&folder(&[entry("a", &[(key, &value)]), entry("b", &[])]));
        let torrent = dictionary(&[("info", &dictionary(ONE_FILE, &[]))], &[(key, &value)]);
        prop_assert!(Metainfo::parse(torrent.as_bytes()).is_ok());
    }

    #[test]
    fn a_torrent_with_a_byte_changed_is_read_or_refused(at in 0_usize..500, byte: u8) {
        let link = [("attr", "1:l"), ("length", "i0e"), ("symlink path", "l1:ae")];
        let mut torrent = folder(&[entry("a", &[]), entry("b/c", &[("attr", "1:p")]), entry("d", &link)]);
        let at = at % torrent.len();
        torrent[at] = byte;
        if let Ok(metainfo) = Metainfo::parse(&torrent) {
            for file in metainfo.files() {
                prop_assert!(file.path.elements().all(|element| !matches!(element, "" | "." | "..")));
            }
        }
    }
}
