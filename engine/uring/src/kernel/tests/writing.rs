//! Files that are made, written at every alignment, full and synced, and the rules for using them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use shoal_world::{
    Access, Completion, EXTENT_LEN, Errno, Extent, File, Op, Opened, PAGE_LEN, ReadDone, Refusal, Rng,
};

use super::{Bench, IoMode};

impl Bench {
    pub(super) fn open(&mut self, path: &Path, access: Access) -> Result<Opened, Refusal> {
        self.ops.push(Op::Open {
            token: 1,
            path: Arc::from(path),
            access,
        });
        self.until(|completion| match completion {
            Completion::Opened { token: 1, result } => Some(*result),
            _ => None,
        })
    }

    /// Fills extents from 0 on with what a file holds.
    pub(super) fn load(&mut self, path: &Path) {
        let opened = self.open(path, Access::Read).unwrap();
        let extents = opened.stamp.size.div_ceil(u64::from(EXTENT_LEN)) as u32;
        for extent in 0..extents {
            self.read(
                opened.file,
                u64::from(extent) * u64::from(EXTENT_LEN),
                Extent(extent),
            )
            .unwrap();
        }
        self.ops.push(Op::CloseFile { file: opened.file });
    }

    fn read(&mut self, file: File, offset: u64, extent: Extent) -> Result<ReadDone, Errno> {
        self.ops.push(Op::Read {
            token: 2,
            file,
            offset,
            extent,
            start: 0,
            len: EXTENT_LEN,
        });
        self.until(|completion| match completion {
            Completion::Read { token: 2, result } => Some(*result),
            _ => None,
        })
    }

    /// Writes from extent 0.
    fn write(&mut self, file: File, offset: u64, start: u32, len: u32) -> Result<(), Errno> {
        self.ops.push(Op::Write {
            token: 3,
            file,
            offset,
            extent: Extent(0),
            start,
            len,
        });
        self.until(|completion| match completion {
            Completion::Wrote { token: 3, result } => Some(*result),
            _ => None,
        })
    }

    fn sync(&mut self, file: File) -> Result<(), Errno> {
        self.ops.push(Op::Sync { token: 4, file });
        self.until(|completion| match completion {
            Completion::Synced { token: 4, result } => Some(*result),
            _ => None,
        })
    }
}

/// A directory, a world whose extent 0 is filled, and what it is filled with.
fn set(io_mode: IoMode) -> (tempfile::TempDir, Bench, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let mut content = vec![0; EXTENT_LEN as usize];
    Rng::new(1).fill(&mut content);
    fs::write(directory.path().join("source"), &content).unwrap();
    let mut bench = Bench::with(io_mode);
    bench.load(&directory.path().join("source"));
    (directory, bench, content)
}

/// Ranges of every alignment, one after the other, against a vector that is written in the same places.
fn check_like_a_vector(io_mode: IoMode) {
    let (directory, mut bench, content) = set(io_mode);
    let path = directory.path().join("made");
    let file = bench.open(&path, Access::Write).unwrap().file;
    let mut expected: Vec<u8> = Vec::new();
    let mut random = Rng::new(2);
    for _ in 0..200 {
        let (unit, count) = if random.below(2) == 0 {
            (PAGE_LEN, 32)
        } else {
            (1, 32 * PAGE_LEN)
        };
        let start = random.below(count) * unit;
        let len = (1 + random.below(count)) * unit;
        let offset = random.below(4 * count) * unit;
        bench.write(file, u64::from(offset), start, len).unwrap();
        let end = (offset + len) as usize;
        expected.resize(expected.len().max(end), 0);
        expected[offset as usize..end].copy_from_slice(&content[start as usize..][..len as usize]);
    }
    bench.sync(file).unwrap();
    assert!(fs::read(&path).unwrap() == expected, "{io_mode:?}");
    let copy = directory.path().join("copy");
    let copied = bench.open(&copy, Access::Write).unwrap().file;
    for offset in (0..expected.len() as u64).step_by(EXTENT_LEN as usize) {
        let read = bench.read(file, offset, Extent(0)).unwrap();
        assert_eq!(read.stamp.size, expected.len() as u64);
        bench.write(copied, offset, 0, read.len).unwrap();
    }
    assert!(fs::read(copy).unwrap() == expected, "{io_mode:?}, read back");
    bench.ops.push(Op::CloseFile { file });
}

#[test]
fn a_file_holds_what_was_written_at_every_alignment() {
    check_like_a_vector(IoMode::Auto);
    check_like_a_vector(IoMode::Direct);
    check_like_a_vector(IoMode::Buffered);
}

#[test]
fn edges_of_pages_are_written_while_the_pages_between_them_are() {
    let (directory, mut bench, content) = set(IoMode::Auto);
    let path = directory.path().join("made");
    let file = bench.open(&path, Access::Write).unwrap().file;
    let (first, last) = (100, EXTENT_LEN - 100);
    let edges = [first, PAGE_LEN, EXTENT_LEN - PAGE_LEN, last];
    for (token, edge) in edges.windows(2).enumerate() {
        bench.ops.push(Op::Write {
            token: token as u32,
            file,
            offset: u64::from(edge[0]),
            extent: Extent(0),
            start: edge[0],
            len: edge[1] - edge[0],
        });
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(bench.until(|completion| match completion {
            Completion::Wrote { token, result } => Some((*token, *result)),
            _ => None,
        }));
    }
    seen.sort_by_key(|(token, _)| *token);
    assert_eq!(seen, [(0, Ok(())), (1, Ok(())), (2, Ok(()))]);
    let written = fs::read(&path).unwrap();
    assert_eq!(written.len(), last as usize);
    assert!(written[first as usize..] == content[first as usize..last as usize]);
}

impl Bench {
    /// Asks for writes of one page each, all in one turn; what each of them is told, in the order of their numbers.
    fn write_pages(&mut self, file: File, pages: &[u32]) -> Vec<Result<(), Errno>> {
        for (token, page) in pages.iter().enumerate() {
            self.ops.push(Op::Write {
                token: token as u32,
                file,
                offset: u64::from(page * PAGE_LEN),
                extent: Extent(0),
                start: page * PAGE_LEN,
                len: PAGE_LEN,
            });
        }
        let mut told = vec![None; pages.len()];
        while let Some(left) = told.iter().position(Option::is_none) {
            let (token, result) = self.until(|completion| match completion {
                Completion::Wrote { token, result } => Some((*token, *result)),
                _ => None,
            });
            assert_eq!(
                told[token as usize].replace(result),
                None,
                "told twice, {left} not yet"
            );
        }
        told.into_iter().flatten().collect()
    }
}

#[test]
fn each_of_the_writes_that_became_one_is_told_of() {
    for io_mode in [IoMode::Auto, IoMode::Direct, IoMode::Buffered] {
        let (directory, mut bench, content) = set(io_mode);
        let path = directory.path().join("made");
        let file = bench.open(&path, Access::Write).unwrap().file;
        // Some follow each other, others go back or leave gaps.
        let pages = [0, 1, 2, 3, 10, 11, 5, 6, 4, 63, 62];
        assert_eq!(bench.write_pages(file, &pages), [Ok(()); 11]);
        let written = fs::read(&path).unwrap();
        for page in 0..64 {
            let range = page * PAGE_LEN as usize..(page + 1) * PAGE_LEN as usize;
            let expected = pages.contains(&(page as u32));
            assert_eq!(
                written[range.clone()] == content[range],
                expected,
                "page {page}, {io_mode:?}"
            );
        }
        bench.ops.push(Op::CloseFile { file });
        bench.open(&path, Access::Read).unwrap();
    }
}

#[test]
fn a_failure_is_told_to_each_of_the_writes_that_became_one() {
    let (directory, mut bench, _) = set(IoMode::Auto);
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(_disk) = SmallDisk::mount(&disk, "16k") else {
        println!("skip: a full disk: no right to mount one");
        return;
    };
    let file = bench.open(&disk.join("made"), Access::Write).unwrap().file;
    let told = bench.write_pages(file, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(
        told,
        [Err(Errno(libc::ENOSPC)); 8],
        "nobody knows which of them are there"
    );
    bench.ops.push(Op::CloseFile { file });
    bench.open(&disk.join("made"), Access::Read).unwrap();
}

#[test]
fn a_write_beyond_the_end_leaves_zeroes_before_it() {
    let (directory, mut bench, content) = set(IoMode::Auto);
    let path = directory.path().join("made");
    let file = bench.open(&path, Access::Write).unwrap().file;
    bench.write(file, 1 << 20, 0, PAGE_LEN).unwrap();
    bench.write(file, 3_000_001, 7, 11).unwrap();
    let written = fs::read(&path).unwrap();
    assert_eq!(written.len(), 3_000_012);
    assert_eq!(written[3_000_001..], content[7..18]);
    assert_eq!(
        written[1 << 20..][..PAGE_LEN as usize],
        content[..PAGE_LEN as usize]
    );
    assert!(written[..1 << 20].iter().all(|byte| *byte == 0));
    assert!(
        written[(1 << 20) + PAGE_LEN as usize..3_000_001]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn a_file_is_made_for_writing_only_and_only_in_a_directory_that_exists() {
    let (directory, mut bench, content) = set(IoMode::Auto);
    let path = directory.path().join("made");
    let missing = Err(Refusal::Errno(Errno(libc::ENOENT)));
    assert_eq!(bench.open(&path, Access::Read), missing);
    assert_eq!(bench.open(&path.join("inside"), Access::Write), missing);
    assert_eq!(bench.open(&path, Access::Write).unwrap().stamp.size, 0);
    // What stands there already stays as it is.
    let again = bench
        .open(&directory.path().join("source"), Access::Write)
        .unwrap();
    assert_eq!(again.stamp.size, content.len() as u64);
}

#[test]
fn what_is_no_regular_file_is_not_opened_for_writing() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut bench = Bench::new();
    for path in [&pipe, &socket, &directory.path().to_owned()] {
        for access in [Access::Read, Access::Write] {
            assert_eq!(
                bench.open(path, access),
                Err(Refusal::NotRegular),
                "{path:?}, {access:?}"
            );
        }
    }
}

/// A file system of its own in memory, as long as the value lives. `None` without the right to mount.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<SmallDisk> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o"]).arg(format!("size={size}"));
        let mounted = mount.args(["shoal-test"]).arg(at).output().ok()?;
        mounted.status.success().then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a world that a failing test dropped may still hold files open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_and_takes_more_when_there_is_room() {
    let (directory, mut bench, content) = set(IoMode::Auto);
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(_disk) = SmallDisk::mount(&disk, "256k") else {
        println!("skip: a full disk: no right to mount one");
        return;
    };
    fs::write(disk.join("other"), vec![0; 128 * 1024]).unwrap();
    let path = disk.join("made");
    let file = bench.open(&path, Access::Write).unwrap().file;
    assert_eq!(bench.write(file, 0, 0, EXTENT_LEN), Err(Errno(libc::ENOSPC)));
    assert_eq!(bench.write(file, 1 << 20, 1, 10), Err(Errno(libc::ENOSPC)));
    fs::remove_file(disk.join("other")).unwrap();
    assert_eq!(bench.write(file, 0, 0, EXTENT_LEN - PAGE_LEN), Ok(()));
    assert_eq!(bench.sync(file), Ok(()));
    assert!(fs::read(path).unwrap()[..] == content[..(EXTENT_LEN - PAGE_LEN) as usize]);
    bench.ops.push(Op::CloseFile { file });
    bench.open(&disk.join("made"), Access::Read).unwrap();
}

#[test]
#[should_panic(expected = "a file was closed with reads, writes or syncs under way")]
fn a_file_is_not_closed_under_a_write() {
    let (directory, mut bench, _) = set(IoMode::Auto);
    let file = bench
        .open(&directory.path().join("made"), Access::Write)
        .unwrap()
        .file;
    bench.ops.push(Op::CloseFile { file });
    bench.ops.insert(
        0,
        Op::Write {
            token: 0,
            file,
            offset: 0,
            extent: Extent(0),
            start: 0,
            len: 10,
        },
    );
    bench.until(|_| None::<()>);
}

#[test]
#[should_panic(expected = "a file was closed with reads, writes or syncs under way")]
fn a_file_is_not_closed_under_a_sync() {
    let (directory, mut bench, _) = set(IoMode::Auto);
    let file = bench
        .open(&directory.path().join("made"), Access::Write)
        .unwrap()
        .file;
    bench
        .ops
        .extend([Op::Sync { token: 0, file }, Op::CloseFile { file }]);
    bench.until(|_| None::<()>);
}

#[test]
#[should_panic(expected = "a file that was opened for reading was written")]
fn a_file_that_was_opened_for_reading_is_not_written() {
    let (directory, mut bench, _) = set(IoMode::Auto);
    let file = bench
        .open(&directory.path().join("source"), Access::Read)
        .unwrap()
        .file;
    let _ = bench.write(file, 0, 0, 10);
}
