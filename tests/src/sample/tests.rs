use super::{Block, Sample};

#[test]
fn the_blocks_are_the_torrent_once_and_in_order() {
    for (len, piece_len) in [
        (1, 16_384),
        (16_384, 16_384),
        (100_000, 20_000),
        (1_000_001, 65_536),
    ] {
        let sample = Sample::file("covered", len, piece_len);
        let joined: Vec<u8> = sample
            .blocks()
            .into_iter()
            .flat_map(|block| sample.bytes_of(block).to_vec())
            .collect();
        assert!(joined == sample.content, "{len} bytes in pieces of {piece_len}");
    }
}

#[test]
fn the_last_piece_is_as_long_as_what_is_left() {
    let sample = Sample::file("short", 3 * 32_768 + 16_385, 32_768);
    assert_eq!(sample.pieces(), 4);
    let last = [
        Block {
            piece: 3,
            offset: 0,
            len: 16_384,
        },
        Block {
            piece: 3,
            offset: 16_384,
            len: 1,
        },
    ];
    assert_eq!(sample.blocks_of(3), last);
}

#[test]
fn metainfo_is_what_bep_3_says() {
    let sample = Sample::directory("d", &[("a/b", 2), ("c", 0)], 16_384);
    let text = String::from_utf8_lossy(&sample.metainfo(Some("http://x/"))).into_owned();
    let files = "5:filesld6:lengthi2e4:pathl1:a1:beed6:lengthi0e4:pathl1:ceee";
    let start = format!("d8:announce9:http://x/4:infod{files}4:name1:d12:piece lengthi16384e6:pieces20:");
    assert!(text.starts_with(&start), "{text}");
}
