use std::time::SystemTime;

use super::*;

const SHAPE: Shape = Shape {
    length: 3 * 65_536 + 100,
    piece_length: 65_536,
};

#[test]
fn content_is_the_same_however_it_is_cut() {
    let content = Content::new(7);
    let mut whole = vec![0; 10_000];
    content.fill(0, &mut whole);
    for (offset, len) in [
        (0, 1),
        (1, 3),
        (3, 4_096),
        (5, 0),
        (8, 8),
        (4_095, 4_098),
        (9_999, 1),
    ] {
        let mut part = vec![0; len];
        content.fill(offset as u64, &mut part);
        assert_eq!(part, whole[offset..offset + len], "at {offset}, {len} bytes");
    }
}

#[test]
fn one_wrong_byte_anywhere_is_noticed() {
    let content = Content::new(1);
    let mut bytes = vec![0; 5_000];
    content.fill(16_384, &mut bytes);
    assert!(content.matches(16_384, &bytes));
    assert!(!content.matches(16_392, &bytes));
    for at in [0, 4_095, 4_096, 4_999] {
        bytes[at] ^= 1;
        assert!(!content.matches(16_384, &bytes), "at {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn the_last_piece_takes_what_is_left() {
    assert_eq!(SHAPE.pieces(), 4);
    assert_eq!((SHAPE.piece_len(0), SHAPE.piece_len(3)), (65_536, 100));
}

#[test]
fn metainfo_is_canonical_bencode() {
    let info = metainfo::info(
        "x.bin",
        Shape {
            length: 10,
            piece_length: 16_384,
        },
        &[b'h'; 20],
        0,
    );
    let expected = b"d6:lengthi10e4:name5:x.bin12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhe";
    assert_eq!(info, expected);
    let file = metainfo::file(&info);
    assert!(
        file.starts_with(
            b"d8:announce27:http://127.0.0.1:1/announce10:created by11:shoal-bench4:infod6:length"
        )
    );
    assert!(file.ends_with(b"hhee"));
}

#[test]
fn data_is_written_once_and_again_when_it_is_wrong() {
    let work = tempfile::tempdir().unwrap();
    let recipe = Recipe::new("small", SHAPE.length, SHAPE.piece_length);
    let first = recipe.prepare(work.path()).unwrap();
    let right = fs::read(&first.file).unwrap();
    assert_eq!(right.len() as u64, SHAPE.length);
    assert!(first.content.matches(0, &right));

    // Some clients do this without changing anything.
    File::options()
        .write(true)
        .open(&first.file)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(recipe.prepare(work.path()).unwrap().info_hash, first.info_hash);
    assert_eq!(
        fs::metadata(&first.file).unwrap().modified().unwrap(),
        SystemTime::UNIX_EPOCH,
        "written again"
    );

    for wrong in [&right[1..], &vec![0; right.len()]] {
        fs::write(&first.file, wrong).unwrap();
        assert_eq!(recipe.prepare(work.path()).unwrap().info_hash, first.info_hash);
        assert_eq!(fs::read(&first.file).unwrap(), right);
    }
}

#[test]
fn piece_hashes_are_those_of_the_file() {
    let work = tempfile::tempdir().unwrap();
    let torrent = Recipe::new("hashed", SHAPE.length, SHAPE.piece_length)
        .prepare(work.path())
        .unwrap();
    let hashes: Vec<u8> = fs::read(&torrent.file)
        .unwrap()
        .chunks(65_536)
        .flat_map(|piece| Sha1::digest(piece).to_vec())
        .collect();
    let info = metainfo::info("hashed.bin", SHAPE, &hashes, 0);
    assert_eq!(torrent.info_hash, <[u8; 20]>::from(Sha1::digest(&info)));
}

#[test]
fn a_torrent_falls_on_the_core_that_it_was_made_for() {
    let work = tempfile::tempdir().unwrap();
    for core in 0..3 {
        let place = Place { core, of: 3 };
        let recipe = Recipe {
            place,
            ..Recipe::new(&format!("core-{core}"), SHAPE.length, SHAPE.piece_length)
        };
        assert!(place.admits(recipe.prepare(work.path()).unwrap().info_hash));
    }
    assert!(
        Place { core: 0, of: 7 }.admits([0, 0, 1, 3, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        "259 % 7 is 0"
    );
}

#[test]
fn fetched_data_is_right_only_when_every_byte_is() {
    let work = tempfile::tempdir().unwrap();
    let length = TRANSFER_LEN as u64 + 5_000;
    let torrent = Recipe::new("compared", length, 65_536)
        .prepare(work.path())
        .unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let fetched = torrent.at(elsewhere.path());
    assert!(fetched.compare().unwrap_err().to_string().contains("cannot read"));
    fs::copy(&torrent.file, &fetched.file).unwrap();
    fetched.compare().unwrap();

    let file = OpenOptions::new().write(true).open(&fetched.file).unwrap();
    let mut last = [0];
    torrent.content.fill(length - 1, &mut last);
    file.write_all_at(&[last[0] ^ 1], length - 1).unwrap();
    let error = fetched.compare().unwrap_err().to_string();
    assert!(
        error.contains("is wrong in the MiB that begins at byte 1048576"),
        "{error}"
    );
    file.set_len(length - 1).unwrap();
    let error = fetched.compare().unwrap_err().to_string();
    assert!(error.contains("1053575 bytes instead of 1053576"), "{error}");
}
