use super::Selection;
use shoal_proto::metainfo::Metainfo;

/// Files a (3 bytes), d/b.mkv (40,000), d/e/c.mkv (0), [x].txt (16,384) in a folder `t`, in pieces of 16 KiB.
fn metainfo() -> Metainfo {
    let file = |len: u32, path: &[&str]| {
        let path: String = path.iter().map(|name| format!("{}:{name}", name.len())).collect();
        format!("d6:lengthi{len}e4:pathl{path}ee")
    };
    let files = [
        file(3, &["a"]),
        file(40_000, &["d", "b.mkv"]),
        file(0, &["d", "e", "c.mkv"]),
        file(16_384, &["[x].txt"]),
    ];
    let hashes = "h".repeat(4 * 20);
    let text = format!(
        "d4:infod5:filesl{}e4:name1:t12:piece lengthi16384e6:pieces80:{hashes}ee",
        files.concat()
    );
    Metainfo::parse(text.as_bytes()).expect("a torrent")
}

/// Which files, which pieces and how many bytes are wanted.
fn check(globs: &[&str], files: &[usize], pieces: &[u32], bytes: u64) {
    let globs: Vec<String> = globs.iter().map(ToString::to_string).collect();
    let selection = Selection::of(&metainfo(), &globs).expect("something matches");
    let wanted: Vec<usize> = (0..4).filter(|file| selection.wants(*file)).collect();
    assert_eq!(wanted, files, "{globs:?}");
    assert_eq!(selection.files(&metainfo()), files.len(), "{globs:?}");
    let found: Vec<u32> = selection.pieces.present().map(|piece| piece.get()).collect();
    assert_eq!(found, pieces, "{globs:?}");
    assert_eq!(selection.bytes, bytes, "{globs:?}");
}

fn refuses(glob: &str, sentence: &str) {
    let failure = Selection::of(&metainfo(), &[glob.to_owned()]).expect_err("nothing is selected");
    assert_eq!(failure.message, sentence);
}

#[test]
fn files_are_selected_by_path_or_pattern() {
    let all = 3 + 40_000 + 16_384;
    check(&[], &[0, 1, 2, 3], &[0, 1, 2, 3], all);
    check(&["*"], &[0, 1, 2, 3], &[0, 1, 2, 3], all);
    check(&["t/a"], &[0], &[0], 16_384);
    check(&["*.mkv"], &[1, 2], &[0, 1, 2], 3 * 16_384);
    check(&["t/d/e/*"], &[2], &[], 0);
    check(&["t/?", "*.txt"], &[0, 3], &[0, 2, 3], all - 16_384);
    check(&["t/{a,d/b.mkv}"], &[0, 1], &[0, 1, 2], 3 * 16_384);
}

#[test]
fn a_path_means_itself_whatever_is_in_it() {
    check(&["t/[x].txt"], &[3], &[2, 3], all_but_two());
}

/// Bytes of the last two pieces.
fn all_but_two() -> u64 {
    3 + 40_000 + 16_384 - 2 * 16_384
}

#[test]
fn what_selects_nothing_is_refused_with_names() {
    refuses(
        "*.iso",
        "--files: `*.iso`: no file of the torrent matches; it has t/a, t/d/b.mkv, t/d/e/c.mkv and 1 more, as `shoal show` \
         lists them",
    );
    refuses("t/[", "--files: `t/[`: unclosed character class; missing ']'");
}

#[test]
fn what_is_done_is_counted_in_wanted_bytes() {
    let metainfo = metainfo();
    let selection = Selection::of(&metainfo, &["*.txt".to_owned()]).expect("it matches");
    let mut have = shoal_proto::bitfield::Bitfield::none(4);
    assert!(!selection.is_within(&have));
    for piece in metainfo.layout().piece_indices().filter(|piece| piece.get() != 1) {
        have.set(piece);
    }
    assert!(selection.is_within(&have), "piece 1 is nobody's wish");
    assert_eq!(selection.bytes_done(&metainfo, &have), selection.bytes);
}
