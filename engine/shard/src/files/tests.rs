use std::path::Path;
use std::sync::Arc;

use shoal_proto::layout::{FileLength, Layout};
use shoal_world::File;

use super::{FileKey, Files, Handle, Trust};
use crate::torrent::TorrentId;

/// So many files of a torrent, none of them open.
fn files(open_max: u32, count: usize) -> (Files, Vec<FileKey>) {
    let file = FileLength {
        len: 10,
        padding: false,
    };
    let layout = Layout::new(16_384, std::iter::repeat_n(file, count)).unwrap();
    let mut files = Files::new(open_max);
    let path: Arc<Path> = Arc::from(Path::new("file"));
    let insert = |(index, _)| files.insert(TorrentId(0), index, path.clone(), Trust::Vouched);
    let keys = layout.files().map(insert).collect();
    (files, keys)
}

#[test]
fn the_file_open_longest_is_closed_for_a_new_one() {
    let (mut files, keys) = files(2, 3);
    assert_eq!(files.opened(keys[0], File(0)), []);
    assert_eq!(files.opened(keys[1], File(1)), []);
    assert_eq!(files.opened(keys[2], File(2)), [File(0)]);
    assert_eq!(files.get(keys[0]).unwrap().handle, Handle::Closed);
}

/// Found by a swarm (seed 6): it was closed while all others were being read, and a core opened it half a million times.
#[test]
fn a_file_is_not_closed_for_itself() {
    let (mut files, keys) = files(1, 3);
    files.opened(keys[0], File(0));
    files.get(keys[0]).unwrap().under_way = 1;
    assert_eq!(
        files.opened(keys[1], File(1)),
        [],
        "one is being read, the other was just opened"
    );
    assert_eq!(files.get(keys[1]).unwrap().handle, Handle::Open(File(1)));
    assert_eq!(files.ended(keys[0]), [File(0)], "back to one when nobody reads");
    assert_eq!(files.opened(keys[2], File(2)), [File(1)]);
}
