use super::{Place, Placed, Preallocation, Prepared, StorageError, find, prepare, prepare_pieces};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::Errno;
use shoal_proto::digest::Digest;
use shoal_proto::metainfo::{Attributes, Content, EntryKind, FileEntry, Metainfo, MetainfoBuilder};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

mod finish;
mod relocate;

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

    /// Preparing says this of a file, in one line that names it.
    fn assert_refused(&self, path: &Path, what: &str) {
        let sentence = self.try_prepare().expect_err("a refusal").to_string();
        assert!(sentence.starts_with(&path.display().to_string()), "{sentence}");
        assert!(sentence.contains(what), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }

    /// Checks every file below the root and its length, sorted by name.
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

#[test]
fn without_the_suffix_files_have_their_own_names() {
    let mut disk = Disk::new(four_files());
    disk.place.part_suffix = false;
    disk.prepare();
    disk.assert_listing(&[
        ("T/a", 20_000),
        ("T/c", 0),
        ("T/sub/b", 30_000),
        ("T/sub/deep/d", 30_000),
    ]);
    // What was begun without goes on without.
    disk.place.part_suffix = true;
    assert_eq!(disk.prepare().paths[0], disk.path("a"));
}

#[test]
fn what_was_begun_with_the_suffix_goes_on_with_it() {
    let mut disk = Disk::new(four_files());
    disk.prepare();
    disk.place.part_suffix = false;
    let prepared = disk.prepare();
    assert_eq!(prepared.paths[0], disk.path("a.part"));
    assert_eq!(prepared.existed, [true; 4]);
}

#[test]
fn a_shorter_file_is_made_longer_and_keeps_its_bytes() {
    let disk = Disk::new(four_files());
    disk.put("a", b"here before");
    let prepared = disk.prepare();
    assert_eq!(prepared.paths[0], disk.path("a"));
    assert_eq!(prepared.existed, [true, false, false, false]);
    let content = fs::read(disk.path("a")).expect("read");
    assert_eq!(content.len(), 20_000);
    assert!(content.starts_with(b"here before\0"));
}

#[test]
fn a_longer_file_is_refused_before_anything_is_made() {
    for name in ["sub/deep/d", "sub/deep/d.part"] {
        let disk = Disk::new(four_files());
        disk.put(name, &[7; 30_001]);
        disk.assert_refused(
            &disk.path(name),
            "of 30001 bytes where the torrent has one of 30000",
        );
        disk.assert_listing(&[(&format!("T/{name}"), 30_001)]);
    }
}

#[test]
fn what_is_no_file_is_refused_and_never_opened() {
    let disk = Disk::new(four_files());
    fs::create_dir_all(disk.path("a")).expect("a folder");
    disk.assert_refused(&disk.path("a"), "not a regular file");
    fs::remove_dir(disk.path("a")).expect("removed");

    mkfifoat(CWD, disk.path("c"), Mode::RWXU).expect("a pipe");
    disk.assert_refused(&disk.path("c"), "not a regular file");
    fs::remove_file(disk.path("c")).expect("removed");

    disk.put("sub", b"a file where a folder must be");
    disk.assert_refused(&disk.path("sub/b"), "needs a folder");
}

#[test]
fn links_that_lead_out_are_refused_and_nothing_is_made_there() {
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("a"), "of somebody else").expect("written");
    let disk = Disk::new(four_files());
    fs::create_dir_all(disk.path("")).expect("a folder");
    for target in [outside.path(), Path::new("../.."), Path::new("sub")] {
        symlink(target, disk.path("sub")).expect("a link");
        disk.assert_refused(&disk.path("sub/b"), "a symbolic link on its way");
        fs::remove_file(disk.path("sub")).expect("removed");
    }
    symlink(outside.path().join("a"), disk.path("a")).expect("a link");
    disk.assert_refused(&disk.path("a"), "a symbolic link on its way");
    assert_listing(outside.path(), &[("a", 16)]);
}

#[test]
fn links_beneath_the_root_are_followed_unless_they_lead_nowhere() {
    let mut disk = Disk::new(four_files());
    fs::create_dir_all(disk.path("elsewhere")).expect("a folder");
    symlink("elsewhere", disk.path("sub")).expect("a link");
    disk.prepare();
    assert_eq!(
        fs::metadata(disk.path("elsewhere/b.part")).expect("made").len(),
        30_000
    );

    disk = Disk::new(four_files());
    disk.place.part_suffix = false;
    fs::create_dir_all(disk.path("")).expect("a folder");
    symlink("nowhere", disk.path("sub")).expect("a link");
    disk.assert_refused(&disk.path("sub"), "needs a folder");
    fs::remove_file(disk.path("sub")).expect("removed");
    fs::remove_file(disk.path("a")).expect("removed");
    symlink("nowhere", disk.path("a")).expect("a link");
    disk.assert_refused(&disk.path("a"), "not a regular file");
}

#[test]
fn two_names_for_one_file_are_refused_with_both() {
    let disk = Disk::new(four_files());
    disk.put("sub/b", b"");
    fs::create_dir_all(disk.path("sub/deep")).expect("a folder");
    fs::hard_link(disk.path("sub/b"), disk.path("sub/deep/d")).expect("a link");
    let first = disk.path("sub/b").display().to_string();
    disk.assert_refused(&disk.path("sub/deep/d"), &format!("the same file as {first}"));
}

#[test]
fn case_twins_are_refused_where_case_is_ignored() {
    let Some(mount) = Mount::tmpfs("casefold=utf8-12.1.0") else {
        return;
    };
    let flagged = Command::new("chattr").arg("+F").arg(mount.path()).output();
    if !flagged.is_ok_and(|output| output.status.success()) {
        println!("skipped: chattr +F is refused");
        return;
    }
    for longer in [10, 30] {
        let directory = tempfile::tempdir_in(mount.path()).expect("a directory");
        let twins = torrent(vec![entry("Name", 20), entry("nAME", longer)]);
        let disk = Disk::within(directory, twins);
        disk.assert_refused(&disk.path("nAME.part"), "the same file as");
    }
}

#[test]
fn padding_and_links_are_never_on_disk() {
    let padding = FileEntry {
        kind: EntryKind::Padding,
        ..entry(".pad/12768", 12_768)
    };
    let link = FileEntry {
        kind: EntryKind::Symlink {
            target: vec!["a".to_owned()],
        },
        ..entry("link", 0)
    };
    let disk = Disk::new(torrent(vec![entry("a", 20_000), padding, link, entry("b", 1)]));
    let prepared = disk.prepare();
    disk.assert_listing(&[("T/a.part", 20_000), ("T/b.part", 1)]);
    assert_eq!(prepared.existed, [false; 4]);
    assert_eq!(disk.prepare().existed, [true, false, false, true]);
}

#[test]
fn of_unwanted_files_only_those_are_made_that_a_wanted_piece_reaches() {
    let check = |wanted: [bool; 4], expected: &[(&str, u64)]| {
        let mut disk = Disk::new(four_files());
        disk.place.preallocation = Preallocation::Full;
        prepare(&disk.metainfo, &disk.place, &wanted).expect("prepared");
        disk.assert_listing(expected);
        for (name, wanted) in [("a", wanted[0]), ("sub/b", wanted[1]), ("sub/deep/d", wanted[3])] {
            if let Ok(made) = fs::metadata(disk.path(&format!("{name}.part"))) {
                assert_eq!(made.blocks() > 0, wanted, "{name}: unwanted files are sparse");
            }
        }
    };
    let (a, b, c, d) = (
        ("T/a.part", 20_000),
        ("T/sub/b.part", 30_000),
        ("T/c.part", 0),
        ("T/sub/deep/d.part", 30_000),
    );
    check([false; 4], &[]);
    check([true, false, false, false], &[a, b]);
    check([false, true, false, false], &[a, b, d]);
    check([false, false, true, false], &[c]);
    check([false, false, false, true], &[b, d]);
}

#[test]
fn for_a_piece_the_files_are_made_that_it_reaches_sparse() {
    let mut disk = Disk::new(four_files());
    disk.place.preallocation = Preallocation::Full;
    let layout = disk.metainfo.layout();
    let pieces: Vec<_> = [0, 3].iter().filter_map(|piece| layout.piece(*piece)).collect();
    let prepared = prepare_pieces(&disk.metainfo, &disk.place, &pieces[..1]).expect("prepared");
    assert_eq!(prepared.existed, [false; 4]);
    assert_listing(&disk.place.root, &[("T/a.part", 20_000)]);
    let prepared = prepare_pieces(&disk.metainfo, &disk.place, &pieces[1..]).expect("prepared");
    assert_eq!(prepared.existed, [true, false, false, false]);
    let made = [
        ("T/a.part", 20_000),
        ("T/sub/b.part", 30_000),
        ("T/sub/deep/d.part", 30_000),
    ];
    assert_listing(&disk.place.root, &made);
    for path in [0, 1, 3].map(|file| &prepared.paths[file]) {
        assert_eq!(fs::metadata(path).expect("it was made").blocks(), 0, "{path:?}");
    }
}

#[test]
fn what_is_in_the_way_of_an_unwanted_file_is_no_obstacle() {
    let disk = Disk::new(four_files());
    fs::create_dir_all(disk.path("sub/deep/d")).expect("a folder");
    let wanted = [true, false, false, false];
    prepare(&disk.metainfo, &disk.place, &wanted).expect("prepared");
}

#[test]
fn full_preallocation_takes_the_room_and_sparse_takes_none() {
    for (preallocation, at_least) in [(Preallocation::Full, 20_000), (Preallocation::Sparse, 0)] {
        let mut disk = Disk::new(four_files());
        disk.place.preallocation = preallocation;
        let prepared = disk.prepare();
        let metadata = fs::metadata(&prepared.paths[0]).expect("made");
        assert_eq!(metadata.len(), 20_000);
        assert!(metadata.blocks() * 512 >= at_least);
        assert_eq!(metadata.blocks() == 0, at_least == 0);
    }
}

#[test]
fn preparing_again_leaves_the_times_of_files_alone() {
    let mut disk = Disk::new(four_files());
    disk.place.preallocation = Preallocation::Full;
    let times = |disk: &Disk| {
        let metadata = fs::metadata(disk.path("a.part")).expect("made");
        (metadata.mtime_nsec(), metadata.ctime_nsec())
    };
    disk.prepare();
    let before = times(&disk);
    disk.prepare();
    assert_eq!(times(&disk), before);
}

#[test]
fn a_name_that_takes_no_suffix_is_used_as_it_is() {
    let long = "n".repeat(251);
    let disk = Disk::new(torrent(vec![
        entry(&long, 20_000),
        entry("a", 1),
        entry("a.part", 2),
        entry("b", 3),
        entry("b.part/c", 4),
    ]));
    disk.prepare();
    disk.assert_listing(&[
        ("T/a", 1),
        ("T/a.part.part", 2),
        ("T/b", 3),
        ("T/b.part/c.part", 4),
        (&format!("T/{long}"), 20_000),
    ]);
}

#[test]
fn programs_may_be_run() {
    let program = FileEntry {
        kind: EntryKind::Regular(Attributes {
            executable: true,
            hidden: false,
        }),
        ..entry("run", 100)
    };
    let disk = Disk::new(torrent(vec![program, entry("read", 100)]));
    disk.prepare();
    let runs = |name| fs::metadata(disk.path(name)).expect("made").permissions().mode() & 0o100 != 0;
    assert!(runs("run.part"));
    assert!(!runs("read.part"));
}

#[test]
fn an_empty_tree_is_not_made_where_data_is_expected() {
    let mut disk = Disk::new(four_files());
    disk.place.data_expected = true;
    disk.assert_refused(&disk.place.root, "mount the disk");
    assert!(!disk.place.root.exists());

    fs::create_dir(&disk.place.root).expect("a mount point");
    disk.assert_refused(&disk.place.root, "mount the disk");
    disk.assert_listing(&[]);
    assert!(disk.try_prepare().expect_err("a refusal").may_pass());

    disk.put("sub/b.part", b"still here");
    disk.prepare();
}

#[test]
fn a_full_disk_is_named_with_what_it_lacks() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    let directory = tempfile::tempdir_in(mount.path()).expect("a directory");
    let mut disk = Disk::within(directory, torrent(vec![entry("a", 100), entry("b", 2 << 20)]));
    disk.place.preallocation = Preallocation::Full;
    disk.assert_refused(&disk.path("b.part"), "no space left for its 2097152 bytes");
    assert!(disk.try_prepare().expect_err("a refusal").may_pass());
    // With room it goes on from there.
    mount.remount("size=8m");
    assert_eq!(disk.prepare().existed, [true, true]);
    assert!(fs::metadata(disk.path("b.part")).expect("made").blocks() * 512 >= 2 << 20);
}

#[test]
fn a_read_only_disk_is_named() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    let disk = Disk::within(
        tempfile::tempdir_in(mount.path()).expect("a directory"),
        four_files(),
    );
    mount.remount("ro");
    disk.assert_refused(&disk.place.root, "read-only");
    mount.remount("rw");
    disk.prepare();
}

#[test]
fn what_the_kernel_says_is_said_in_a_sentence_that_names_the_path() {
    let cases = [
        (Errno::NOSPC, "no space left for its 5 bytes", true),
        (Errno::DQUOT, "quota", true),
        (Errno::ROFS, "read-only", true),
        (Errno::STALE, "mount the disk", true),
        (Errno::ACCESS, "no permission", false),
        (
            Errno::NAMETOOLONG,
            "a name that its file system does not take",
            false,
        ),
        (Errno::FBIG, "its 5 bytes are more", false),
        (Errno::IO, "Input/output error", false),
    ];
    for (errno, what, may_pass) in cases {
        let error = StorageError::refused(Path::new("/x/\u{202e}y"), errno, 5);
        let sentence = error.to_string();
        assert!(sentence.starts_with("/x/\u{fffd}y: "), "{sentence}");
        assert!(sentence.contains(what), "{sentence}");
        assert_eq!(error.may_pass(), may_pass, "{sentence}");
    }
}

/// A file system of its own, for as long as this lives. Mounting takes privileges; without them the test says so.
struct Mount {
    directory: TempDir,
}

impl Mount {
    fn tmpfs(options: &str) -> Option<Mount> {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "shoal-test"])
            .arg(directory.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("skipped: a tmpfs with {options} cannot be mounted here");
            return None;
        }
        Some(Mount { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn remount(&self, options: &str) {
        let remounted = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.path())
            .status();
        assert!(remounted.expect("mount runs").success(), "remount,{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, because what is in it goes after this does.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.expect("umount runs").success(), "umount");
    }
}

#[test]
fn files_are_found_by_either_name_and_nothing_is_made() {
    let disk = Disk::new(four_files());
    let root = &disk.place.root;
    let missing = find(&disk.metainfo, root).expect("a look");
    assert_eq!(missing.existed, [false; 4]);
    assert!(!root.exists());
    disk.put("a.part", b"begun");
    disk.put("sub/b", &[7; 50_000]);
    fs::create_dir_all(disk.path("sub/deep/d")).expect("a folder");
    let found = find(&disk.metainfo, root).expect("a look");
    assert_eq!(found.existed, [true, true, false, true], "whatever it is");
    assert_eq!(
        found.paths,
        ["a.part", "sub/b", "c", "sub/deep/d"].map(|name| disk.path(name))
    );
    disk.assert_listing(&[("T/a.part", 5), ("T/sub/b", 50_000)]);
}
