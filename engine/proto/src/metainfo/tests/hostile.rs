//! Cases 1 to 17 of the hostile inputs, as torrent files.

use super::{cautions, check, dictionary, entry, folder, one_file, paths};
use crate::metainfo::Metainfo;

#[test]
fn case_1_nesting_up_to_the_longest_file_is_refused() {
    for open in ["l", "d1:a"] {
        let torrent = open.repeat(10_000_000 / open.len());
        check(
            torrent.as_bytes(),
            &format!(
                "this is no torrent file: byte {}: lists and dictionaries are nested deeper than 100",
                100 * open.len()
            ),
        );
    }
}

#[test]
fn case_2_deep_unknown_keys_do_not_matter_until_too_deep() {
    let nested = |depth| format!("{}{}", "l".repeat(depth), "e".repeat(depth));
    let torrent = |depth| dictionary(&[("info", &info()), ("x", &nested(depth))], &[]).into_bytes();
    check(&torrent(99), "fine");
    check(
        &torrent(20_000),
        "this is no torrent file: byte 187: lists and dictionaries are nested deeper than 100",
    );
}

fn info() -> String {
    dictionary(super::ONE_FILE, &[])
}

#[test]
fn case_5_the_hash_is_of_the_raw_bytes_in_whatever_order() {
    let info = b"d4:name4:file6:lengthi7e12:piece lengthi16384e6:pieces20:abcdefghijklmnopqrst4:name1:xe";
    let torrent = [b"d4:info".as_slice(), info, b"e"].concat();
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!((metainfo.name(), &**metainfo.info()), ("file", info.as_slice()));
    // SHA-1 of these bytes by sha1sum(1).
    assert_eq!(
        metainfo.info_hash().to_string(),
        "0820974a815dc04bdec26dd8cd8a77e895e7fcfc"
    );
    assert_eq!(
        cautions(&torrent),
        ["byte 20: the keys are out of order; of equal keys the first counts"]
    );
}

#[test]
fn case_6_garbage_behind_the_torrent_is_refused() {
    let mut torrent = one_file(&[]);
    let len = torrent.len();
    torrent.extend(b"\r\n");
    check(
        &torrent,
        &format!("this is no torrent file: byte {len}: 2 bytes follow the end of the value"),
    );
}

#[test]
fn case_7_three_million_values_are_refused() {
    let torrent = format!("d1:al{}ee", "0:".repeat(3_000_000));
    check(
        torrent.as_bytes(),
        "this is no torrent file: byte 5999999: there are more than 3000000 values",
    );
}

#[test]
fn case_8_hashes_must_fit_the_pieces() {
    check(
        &one_file(&[("pieces", "19:abcdefghijklmnopqrs")]),
        "`info.pieces` is 19 bytes long, which is no multiple of 20",
    );
    check(
        &one_file(&[("pieces", "0:")]),
        "`info.pieces` has 0 hashes where the files make 1 pieces",
    );
    check(
        &one_file(&[("length", "i16385e")]),
        "`info.pieces` has 1 hashes where the files make 2 pieces",
    );
    check(&one_file(&[("length", "i16384e")]), "fine");
}

#[test]
fn case_9_piece_lengths_are_within_bounds() {
    let refused = |length: &str| {
        format!("`info.piece length` is refused: a piece of {length} bytes is outside 1024 to 268435456")
    };
    for length in ["0", "1", "1023", "268435457", "4294967295"] {
        check(
            &one_file(&[("piece length", &format!("i{length}e"))]),
            &refused(length),
        );
    }
    for length in ["-1", "4294967296", "9223372036854775807"] {
        let expected = format!("`info.piece length` is {length}, which is no length");
        check(&one_file(&[("piece length", &format!("i{length}e"))]), &expected);
    }
    check(&one_file(&[("piece length", "i268435456e")]), "fine");
    check(&one_file(&[("piece length", "i17000e")]), "fine");
}

#[test]
fn case_10_lengths_do_not_overflow() {
    check(
        &one_file(&[("length", "i-1e")]),
        "`info.length` is -1, which is no length",
    );
    let huge = "i9223372036854775807e";
    check(
        &one_file(&[("length", huge)]),
        "`info.length` is refused: the files hold more than 562949953421312 bytes",
    );
    let entries = ["a", "b", "c"].map(|path| entry(path, &[("length", huge)]));
    check(
        &folder(&entries),
        "`info.files` is refused: the files hold more than 562949953421312 bytes",
    );
    check(
        &folder(&[entry("a", &[]), entry("b", &[("length", "i-5e")])]),
        "`info.files[1].length` is -5, which is no length",
    );
}

#[test]
fn case_11_a_torrent_without_payload_is_refused() {
    check(
        &one_file(&[("length", "i0e")]),
        "`info.length` is refused: the files hold no bytes at all",
    );
    let refused = "`info.files` is refused: the files hold no bytes at all";
    check(&folder(&[]), refused);
    check(
        &folder(&[entry("a", &[("attr", "1:p")]), entry("b", &[("attr", "1:p")])]),
        refused,
    );
    let empty: Vec<String> = (0..200_000)
        .map(|n| entry(&n.to_string(), &[("length", "i0e")]))
        .collect();
    check(&folder(&empty), refused);
    let empty: Vec<String> = (0..1_000_000)
        .map(|n| entry(&n.to_string(), &[("length", "i0e")]))
        .collect();
    check(
        &folder(&empty),
        "the torrent file is 28888976 bytes long, and 10485760 is the most",
    );
}

#[test]
fn case_11_the_path_of_padding_is_not_looked_at() {
    let padding = |path: &str| entry("a", &[("attr", "1:p"), ("path", path)]);
    let paddings = ["l1:ae", "l1:a1:be", "l2:..e", "i7e", ""].map(padding);
    let torrent = folder(&[&[entry("a", &[])], &paddings[..]].concat());
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!(paths(&metainfo)[1..], ["folder/.pad/1"; 5]);
    assert_eq!(
        metainfo
            .layout()
            .segments(0, 6)
            .filter(|segment| segment.padding)
            .count(),
        5
    );
}

/// A path in a folder, a name of one file, and the element as the name of the folder follow one rule.
fn check_element(element: &str, expected: &str) {
    let raw = format!("{}:{element}", element.len());
    let refused = |place: &str| match expected {
        "fine" => "fine".to_owned(),
        problem => format!("{place} {problem}"),
    };
    check(&one_file(&[("name", &raw)]), &refused("`info.name`"));
    let path = format!("l1:a{raw}1:be");
    check(
        &folder(&[entry("x", &[("path", &path)])]),
        &refused("`info.files[0].path`"),
    );
}

#[test]
fn case_12_elements_that_leave_the_folder_are_refused() {
    check_element("..", "holds `..`, which would leave the torrent's folder");
    check_element("a/b", "holds '/' inside a name");
    check_element("/etc", "holds '/' inside a name");
    check_element("../x", "holds '/' inside a name");
    check_element("..\\x", "holds '\\\\' inside a name");
    check_element("a\0", "holds '\\0' inside a name");
    check_element("...", "fine");
    check_element("..a", "fine");
}

#[test]
fn case_12_empty_elements_and_dots_are_left_out() {
    let path = |raw: &str| folder(&[entry("x", &[("path", raw)])]);
    let torrent = path("l0:1:.3:etc0:6:passwde");
    assert_eq!(paths(&Metainfo::parse(&torrent).unwrap()), ["folder/etc/passwd"]);
    for nothing in ["le", "l0:e", "l1:.1:.e"] {
        check(&path(nothing), "`info.files[0].path` names nothing");
    }
}

#[test]
fn case_12_names_that_deceive_are_refused() {
    check_element("a\nb", "holds the control character U+000A");
    check_element("\u{1b}[2J", "holds the control character U+001B");
    check_element("a\u{7f}", "holds the control character U+007F");
    check_element("a\u{85}", "holds the control character U+0085");
    check_element(
        "photo\u{202e}gpj.exe",
        "holds U+202E, which makes a name read as another",
    );
    check_element("a\u{2066}b", "holds U+2066, which makes a name read as another");
    check_element("\u{5e9}\u{5dc}\u{200f}!", "fine");
}

#[test]
fn case_12_paths_are_as_long_and_deep_as_linux_allows() {
    check_element(&"a".repeat(255), "fine");
    check_element(&"a".repeat(256), "holds a name of 256 bytes, and 255 is the most");
    check_element(
        &"\u{e4}".repeat(128),
        "holds a name of 256 bytes, and 255 is the most",
    );
    let deep = |depth: usize| folder(&[entry(&vec!["a"; depth].join("/"), &[])]);
    check(&deep(99), "fine");
    check(&deep(100), "`info.files[0].path` is deeper than 100 folders");
    let long = |elements: usize| folder(&[entry(&vec!["a".repeat(250); elements].join("/"), &[])]);
    check(&long(12), "fine");
    check(&long(13), "`info.files[0].path` is longer than 3071 bytes");
}

#[test]
fn case_13_two_files_of_one_path_are_refused() {
    check(
        &folder(&[entry("a", &[]), entry("b", &[]), entry("a", &[])]),
        "`info.files[2].path` is the path of file 0 as well",
    );
    let dotted = entry("a", &[("path", "l1:.1:ae")]);
    check(
        &folder(&[entry("a", &[]), dotted]),
        "`info.files[1].path` is the path of file 0 as well",
    );
    let many = vec![entry("same/path", &[]); 501];
    check(
        &folder(&many),
        "`info.files[1].path` is the path of file 0 as well",
    );
}

#[test]
fn case_13_a_file_that_is_a_folder_too_is_refused() {
    check(
        &folder(&[
            entry("a/b/c", &[]),
            entry("a/b", &[]),
            entry("a/b.c", &[]),
            entry("a/b c", &[]),
        ]),
        "`info.files[0].path` leads through file 1 as if that were a folder",
    );
    check(
        &folder(&[entry("a/b", &[]), entry("a/b.c", &[]), entry("a/bc/d", &[])]),
        "fine",
    );
}

#[test]
fn case_13_paths_that_differ_in_case_load_with_a_caution() {
    let torrent = folder(&[
        entry("a/xt_DSCP.h", &[]),
        entry("b", &[]),
        entry("a/xt_dscp.h", &[]),
    ]);
    assert_eq!(
        cautions(&torrent),
        ["the paths of files 0 and 2 differ in case only, which some file systems ignore"]
    );
    let torrent = folder(&[entry("\u{e4}", &[]), entry("a\u{308}", &[])]);
    assert!(
        cautions(&torrent).is_empty(),
        "composed and decomposed letters are different names to Linux"
    );
}

#[test]
fn case_14_links_stay_inside_the_torrent() {
    let link = |path: &str, target: &str| {
        let elements: String = target
            .split('/')
            .map(|element| format!("{}:{element}", element.len()))
            .collect();
        let target = format!("l{elements}e");
        entry(
            path,
            &[("attr", "1:l"), ("length", "i0e"), ("symlink path", &target)],
        )
    };
    let with = |links: &[String]| folder(&[&[entry("a", &[]), entry("d/e", &[])], links].concat());
    check(
        &with(&[link("x/y", "a"), link("z", "d"), link("d/f", "d/e")]),
        "fine",
    );
    check(
        &with(&[link("x", "../a")]),
        "`info.files[2].symlink path` holds `..`, which would leave the torrent's folder",
    );
    let nowhere = |index| {
        format!("`info.files[{index}].symlink path` leads to no other file or folder of this torrent")
    };
    check(&with(&[link("x", "missing")]), &nowhere(2));
    check(&with(&[link("x", "d/e/f")]), &nowhere(2));
    check(&with(&[link("x", "x")]), &nowhere(2));
    check(&with(&[link("x", "y"), link("y", "x")]), &nowhere(2));
    check(&with(&[link("d/up", "d")]), &nowhere(2));
    check(&with(&[link("d/up", "z"), link("z", "d")]), &nowhere(2));
    check(&with(&[link("x", "z"), link("z", "d"), link("w", "x")]), "fine");
    let chain: Vec<String> = (0..41)
        .map(|n| link(&format!("l{n}"), &format!("l{}", n + 1)))
        .collect();
    check(&with(&[&chain[..], &[link("l41", "a")]].concat()), &nowhere(2));
    check(&with(&[&chain[2..], &[link("l41", "a")]].concat()), "fine");
    check(
        &folder(&[entry("a", &[("attr", "1:l"), ("symlink path", "l1:ae")])]),
        "`info.files[0].length` is not 0, but a symbolic link has no bytes of its own",
    );
    check(
        &with(&[entry("x", &[("attr", "1:l"), ("length", "i0e")])]),
        "`info.files[2].symlink path` is missing",
    );
}

#[test]
fn case_15_a_torrent_without_a_name_is_refused() {
    check(&one_file(&[("name", "")]), "`info.name` is missing");
    check(&one_file(&[("name", "0:")]), "`info.name` names nothing");
    check(&one_file(&[("name", "1:.")]), "`info.name` names nothing");
    check(
        &one_file(&[("name", "2:..")]),
        "`info.name` holds `..`, which would leave the torrent's folder",
    );
}

#[test]
fn case_16_in_doubt_a_torrent_is_private() {
    let private = |raw| {
        Metainfo::parse(&one_file(&[("private", raw)]))
            .unwrap()
            .is_private()
    };
    for raw in ["i1e", "i2e", "i-1e", "1:1", "0:", "le"] {
        assert!(private(raw), "{raw}");
    }
    assert!(!private("i0e") && !private(""));
}

#[test]
fn one_file_and_a_list_of_files_at_once_is_refused() {
    check(
        &one_file(&[("files", "le")]),
        "`info.files` is there beside `info.length`, but a torrent is either one file or a list of files",
    );
}
