use proptest::prelude::*;

use super::{Content, EntryKind, FileEntry, MetainfoBuilder, piece_length_for};
use crate::bencode::decode;
use crate::digest::Digest;
use crate::metainfo::{Attributes, FileKind, Metainfo};

const HASH: Digest = Digest::Sha1(*b"abcdefghijklmnopqrst");

fn one_file() -> MetainfoBuilder {
    MetainfoBuilder::new(
        "file",
        Content::File {
            len: 7,
            attributes: Attributes::default(),
        },
        16_384,
    )
}

fn regular(path: &str, len: u64) -> FileEntry {
    let path = path.split('/').map(str::to_owned).collect();
    FileEntry {
        path,
        len,
        kind: EntryKind::Regular(Attributes::default()),
    }
}

fn folder(files: Vec<FileEntry>) -> MetainfoBuilder {
    MetainfoBuilder::new("folder", Content::Folder(files), 16_384)
}

fn check(builder: &MetainfoBuilder, expected: &str) {
    let bytes = builder.build(&[HASH]).unwrap().bytes;
    assert_eq!(bytes.escape_ascii().to_string(), expected);
}

fn check_refused(builder: &MetainfoBuilder, expected: &str) {
    let [layout, built] = [builder.layout().map(drop), builder.build(&[HASH]).map(drop)];
    assert_eq!(layout, built, "what is refused is refused before hashing");
    assert_eq!(built.unwrap_err().to_string(), expected);
}

#[test]
fn the_least_torrent_has_four_keys() {
    check(
        &one_file(),
        "d4:infod6:lengthi7e4:name4:file12:piece lengthi16384e6:pieces20:abcdefghijklmnopqrstee",
    );
}

#[test]
fn every_option_has_its_key() {
    let builder = MetainfoBuilder {
        content: Content::File {
            len: 7,
            attributes: Attributes {
                executable: true,
                hidden: true,
            },
        },
        trackers: vec![vec!["udp://a/".to_owned()], vec!["udp://b/".to_owned()]],
        web_seeds: vec!["http://a/".to_owned()],
        private: true,
        source: Some("SITE".to_owned()),
        comment: Some("hi".to_owned()),
        created_by: Some("shoal".to_owned()),
        creation_date_s: Some(1_700_000_000),
        ..one_file()
    };
    check(
        &builder,
        "d8:announce8:udp://a/13:announce-listll8:udp://a/el8:udp://b/ee7:comment2:hi10:created by5:shoal\
         13:creation datei1700000000e4:infod4:attr2:hx6:lengthi7e4:name4:file12:piece lengthi16384e\
         6:pieces20:abcdefghijklmnopqrst7:privatei1e6:source4:SITEe8:url-list9:http://a/e",
    );
}

#[test]
fn a_folder_keeps_order_kinds_and_links() {
    let pad = FileEntry {
        path: vec![".pad".into(), "9".into()],
        len: 9,
        kind: EntryKind::Padding,
    };
    let kind = EntryKind::Symlink {
        target: vec!["a b".into()],
    };
    let link = FileEntry {
        path: vec!["link".into()],
        len: 0,
        kind,
    };
    let builder = folder(vec![regular("a b", 1), pad, link, regular("\u{e4}/x", 0)]);
    let built = builder.build(&[HASH]).unwrap();
    let files = built.metainfo.files();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        ["folder/a b", "folder/.pad/9", "folder/link", "folder/\u{e4}/x"]
    );
    assert_eq!(files[1].kind, FileKind::Padding);
    assert_eq!(
        files[2].kind,
        FileKind::Symlink {
            target: files[0].path.clone()
        }
    );
    assert_eq!(builder.layout().unwrap(), *built.metainfo.layout());
}

#[test]
fn what_would_not_load_is_not_written() {
    check_refused(
        &folder(vec![]),
        "`info.files` is refused: the files hold no bytes at all",
    );
    check_refused(
        &folder(vec![regular("a", 1), regular("a", 1)]),
        "`info.files[1].path` is the path of file 0 as well",
    );
    check_refused(
        &folder(vec![regular("a\nb", 1)]),
        "`info.files[0].path` holds the control character U+000A",
    );
    check_refused(
        &MetainfoBuilder {
            name: "..".to_owned(),
            ..one_file()
        },
        "`info.name` holds `..`, which would leave the torrent's folder",
    );
    check_refused(
        &MetainfoBuilder {
            trackers: vec![vec!["tracker.example".to_owned()]],
            ..one_file()
        },
        "`announce-list` holds an address that cannot be used",
    );
    check_refused(
        &MetainfoBuilder {
            web_seeds: vec!["udp://a/".to_owned()],
            ..one_file()
        },
        "`url-list` holds an address that cannot be used",
    );
    check_refused(
        &MetainfoBuilder {
            piece_length: 100,
            ..one_file()
        },
        "`info.piece length` is refused: a piece of 100 bytes is outside 1024 to 268435456",
    );
}

#[test]
fn the_piece_length_follows_the_payload() {
    const MIB: u64 = 1 << 20;
    for (total, expected) in [
        (0, 16_384),
        (1, 16_384),
        (32 * MIB, 16_384),
        (32 * MIB + 1, 32_768),
        (1024 * MIB, 524_288),
        (4096 * MIB, 2 << 20),
        (32_768 * MIB, 16 << 20),
        (1 << 49, 16 << 20),
        (u64::MAX, 16 << 20),
    ] {
        assert_eq!(piece_length_for(total), expected, "{total}");
    }
}

proptest! {
    #[test]
    fn the_piece_count_stays_between_one_and_two_thousand(total in 32_u64 << 20..32 << 30) {
        let length = piece_length_for(total);
        prop_assert!(length.is_power_of_two());
        let pieces = total.div_ceil(u64::from(length));
        prop_assert!((1_024..=2_048).contains(&pieces), "{pieces}");
    }

    #[test]
    fn what_is_written_is_canonical_and_reads_back(
        names in prop::collection::btree_set("[a-z \u{e4}-\u{ff}]{1,12}", 1..10),
        lens in prop::collection::vec(0_u64..40_000, 10),
        private: bool,
        comment in prop::option::of("[a-z]{1,20}"),
    ) {
        let files: Vec<FileEntry> = names.iter().zip(lens).map(|(name, len)| regular(name, len)).collect();
        let total: u64 = files.iter().map(|file| file.len).sum();
        prop_assume!(total > 0);
        let builder = MetainfoBuilder { private, comment: comment.clone(), ..folder(files.clone()) };
        let hashes = vec![HASH; builder.layout().unwrap().pieces() as usize];
        let built = builder.build(&hashes).unwrap();
        prop_assert_eq!(decode(&built.bytes).unwrap().disorder(), None);
        let read = Metainfo::parse(&built.bytes).unwrap();
        prop_assert_eq!(&read, &built.metainfo);
        prop_assert_eq!((read.is_private(), read.comment()), (private, comment.as_deref()));
        for (file, entry) in read.files().iter().zip(&files) {
            prop_assert_eq!(file.len, entry.len);
            prop_assert_eq!(file.path.as_str(), format!("folder/{}", entry.path[0]));
        }
    }
}
