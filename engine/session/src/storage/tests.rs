use super::{Place, Placed, Preallocation, Prepared, StorageError, finish, move_to, prepare};
use shoal_proto::digest::Digest;
use shoal_proto::metainfo::{Attributes, Content, EntryKind, FileEntry, Metainfo, MetainfoBuilder};
use shoal_world::FileStamp;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PIECE_LENGTH: u32 = 16 * 1024;

fn entry(path: &str, len: u64) -> FileEntry {
    FileEntry {
        path: path.split('/').map(str::to_owned).collect(),
        len,
        kind: EntryKind::Regular(Attributes::default()),
    }
}

/// A torrent `T` of these files, whose hashes nobody asks for.
fn torrent(files: Vec<FileEntry>) -> Metainfo {
    let builder = MetainfoBuilder::new("T", Content::Folder(files), PIECE_LENGTH);
    let pieces = builder.layout().expect("a layout").pieces();
    let hashes = vec![Digest::Sha1([0; 20]); pieces as usize];
    builder.build(&hashes).expect("a torrent").metainfo
}

/// `a` is piece 0 and the start of 1, `sub/b` the rest of 1 to the start of 3, `c` is empty, `sub/deep/d` the rest of 3
/// and all of 4.
fn four_files() -> Metainfo {
    torrent(vec![
        entry("a", 20_000),
        entry("sub/b", 30_000),
        entry("c", 0),
        entry("sub/deep/d", 30_000),
    ])
}

const ALL: [bool; 4] = [true; 4];

/// A root in a folder of its own, and a torrent that is to be kept there.
struct Disk {
    directory: TempDir,
    place: Place,
    metainfo: Metainfo,
}

impl Disk {
    fn new(metainfo: Metainfo) -> Disk {
        Disk::within(tempfile::tempdir().expect("a directory"), metainfo)
    }

    fn within(directory: TempDir, metainfo: Metainfo) -> Disk {
        let place = Place {
            root: directory.path().join("out"),
            part_suffix: true,
            preallocation: Preallocation::Sparse,
            data_expected: false,
        };
        Disk {
            directory,
            place,
            metainfo,
        }
    }

    fn prepare(&self) -> Prepared {
        self.try_prepare().expect("prepared")
    }

    fn try_prepare(&self) -> Result<Prepared, StorageError> {
        prepare(
            &self.metainfo,
            &self.place,
            &vec![true; self.metainfo.files().len()],
        )
    }

    /// A path in the torrent's folder.
    fn path(&self, name: &str) -> PathBuf {
        self.place.root.join("T").join(name)
    }

    /// Writes a file of somebody else before anything is prepared.
    fn put(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("written");
    }

    /// Every file below the root with its length, sorted.
    fn listing(&self) -> Vec<(String, u64)> {
        listing(&self.place.root)
    }

    fn assert_listing(&self, expected: &[(&str, u64)]) {
        assert_listing(&self.place.root, expected);
    }
}

fn assert_listing(root: &Path, expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, len)| ((*name).to_owned(), *len))
        .collect();
    assert_eq!(listing(root), expected);
}

fn listing(root: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("metadata");
            if metadata.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below the root");
                found.push((name.display().to_string(), metadata.len()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn files_and_folders_are_made_under_the_names_of_unfinished_ones() {
    let disk = Disk::new(four_files());
    let prepared = disk.prepare();
    disk.assert_listing(&[
        ("T/a.part", 20_000),
        ("T/c.part", 0),
        ("T/sub/b.part", 30_000),
        ("T/sub/deep/d.part", 30_000),
    ]);
    assert_eq!(prepared.paths[1], disk.path("sub/b.part"));
    assert_eq!(prepared.existed, [false; 4]);
    let again = disk.prepare();
    assert_eq!(again.paths, prepared.paths);
    assert_eq!(again.existed, [true; 4]);
}
