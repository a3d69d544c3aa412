use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha1::{Digest, Sha1};
use shoal_world::Refusal;
use tempfile::TempDir;

use super::device::Motion;
use super::files::{Acquired, Files};
use super::space::Space;
use super::{Cancelled, Options, Part, PartOutcome, Piece, Report, Source, scan, scan_on, scan_pieces};
use crate::kernel::IoMode;

/// What a part is to be in a test.
enum Content {
    File(Vec<u8>),
    /// A file of the second length where one of the first is expected.
    OtherLength(usize, usize),
    Missing(usize),
    Zeroes(usize),
}

struct Scene {
    directory: TempDir,
    parts: Vec<Part>,
    /// The space as it would be if everything were there.
    bytes: Vec<u8>,
}

/// Beside the test binary, because `/tmp` may be a file system without direct reads.
fn directory() -> TempDir {
    let binary = std::env::current_exe().expect("tests know their binary");
    TempDir::new_in(binary.parent().expect("a binary is in a directory")).expect("the target is writable")
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| ((index + seed).wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

fn scene(contents: &[Content]) -> Scene {
    let directory = directory();
    let mut scene = Scene {
        directory,
        parts: Vec::new(),
        bytes: Vec::new(),
    };
    for (index, content) in contents.iter().enumerate() {
        let path = scene.directory.path().join(format!("{index}"));
        let (source, expected) = match content {
            Content::File(bytes) => {
                fs::write(&path, bytes).unwrap();
                (Source::File(path), bytes.clone())
            }
            Content::OtherLength(expected, len) => {
                let bytes = bytes(index, *expected.max(len));
                fs::write(&path, &bytes[..*len]).unwrap();
                (Source::File(path), bytes[..*expected].to_vec())
            }
            Content::Missing(len) => (Source::File(path), vec![0; *len]),
            Content::Zeroes(len) => (Source::Zeroes, vec![0; *len]),
        };
        scene.parts.push(Part {
            source,
            len: expected.len() as u64,
        });
        scene.bytes.extend(expected);
    }
    scene
}

/// All the ways a scan may go about it.
fn all_options() -> Vec<Options> {
    let threads = |count| NonZeroUsize::new(count);
    let mut all = Vec::new();
    for io_mode in [IoMode::Auto, IoMode::Direct, IoMode::Buffered] {
        // Too little memory for one chunk, for long chunks, and enough.
        for memory_len in [0, 1 << 20, 64 << 20] {
            for threads in [threads(1), threads(3)] {
                all.push(Options {
                    threads,
                    memory_len,
                    io_mode,
                });
            }
        }
    }
    all
}

fn run(parts: &[Part], piece_len: u32, options: &Options) -> Report {
    scan(parts, piece_len, options, &|_| ControlFlow::Continue(())).expect("nobody cancels")
}

/// Checks the digests of all pieces, of which those in `unread` are lost to the given parts.
fn check(contents: &[Content], piece_len: u32, unread: &[(usize, usize)]) -> Vec<PartOutcome> {
    let scene = scene(contents);
    let mut outcomes = Vec::new();
    let ways = all_options()
        .into_iter()
        .flat_map(|options| [Motion::Still, Motion::Arm].map(|motion| (motion, options.clone())));
    for (motion, options) in ways {
        let space = Space::new(&scene.parts, piece_len);
        let report =
            scan_on(motion, &space, None, &options, &|_| ControlFlow::Continue(())).expect("nobody cancels");
        let expected: Vec<Piece> = (scene.bytes.chunks(piece_len as usize).enumerate())
            .map(
                |(index, bytes)| match unread.iter().find(|(piece, _)| *piece == index) {
                    Some((_, part)) => Piece::Unread { part: *part },
                    None => Piece::Hashed(Sha1::digest(bytes).into()),
                },
            )
            .collect();
        assert_eq!(report.pieces, expected, "{motion:?}, {options:?}");
        outcomes = report.parts;
    }
    outcomes
}

fn len_read(outcome: PartOutcome) -> Option<u64> {
    match outcome {
        PartOutcome::Read(stamp) => Some(stamp.size),
        _ => None,
    }
}

#[test]
fn one_file_is_hashed_piece_by_piece() {
    for len in [1, 16_383, 16_384, 16_385, 3_000_000] {
        let outcomes = check(&[Content::File(bytes(1, len))], 16_384, &[]);
        assert_eq!(
            outcomes.into_iter().map(len_read).collect::<Vec<_>>(),
            [Some(len as u64)]
        );
    }
}

#[test]
fn pieces_longer_than_a_chunk_are_hashed() {
    check(&[Content::File(bytes(2, 11 << 20))], 4 << 20, &[]);
    check(&[Content::File(bytes(3, (5 << 20) + 1))], 1_500_000, &[]);
}

#[test]
fn pieces_span_files_of_any_length() {
    let lens = [1, 70_000, 0, 4_095, 4_096, 4_097, 3, 2 << 20, 12_345, 0, 1];
    let contents: Vec<Content> = lens.iter().map(|len| Content::File(bytes(*len, *len))).collect();
    for piece_len in [16_384, 65_536, 1 << 20, 8 << 20] {
        let outcomes = check(&contents, piece_len, &[]);
        let expected: Vec<Option<u64>> = lens.iter().map(|len| Some(*len as u64)).collect();
        assert_eq!(outcomes.into_iter().map(len_read).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn many_tiny_files_make_one_piece() {
    let contents: Vec<Content> = (0..300)
        .map(|index| Content::File(bytes(index, 1 + index * 7 % 1_000)))
        .collect();
    check(&contents, 1 << 20, &[]);
    check(&contents, 16_384, &[]);
}

#[test]
fn padding_is_zeroes_that_nobody_reads() {
    let contents = [
        Content::File(bytes(1, 5_000)),
        Content::Zeroes(16_384 - 5_000),
        Content::File(bytes(2, 20_000)),
        Content::Zeroes(3 << 20),
    ];
    let outcomes = check(&contents, 16_384, &[]);
    assert_eq!(outcomes[1], PartOutcome::Zeroes);
}

#[test]
fn an_empty_space_has_no_pieces() {
    assert_eq!(check(&[], 16_384, &[]), []);
    let outcomes = check(&[Content::File(Vec::new()), Content::Missing(0)], 16_384, &[]);
    assert_eq!(len_read(outcomes[0]), Some(0));
    assert_eq!(outcomes[1], PartOutcome::Missing);
}

#[test]
fn a_missing_file_costs_only_its_own_pieces() {
    let contents = [
        Content::File(bytes(1, 40_000)),
        Content::Missing(30_000),
        Content::File(bytes(2, 40_000)),
    ];
    let outcomes = check(&contents, 16_384, &[(2, 1), (3, 1), (4, 1)]);
    assert_eq!(outcomes[1], PartOutcome::Missing);
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| len_read(**outcome).is_some())
            .count(),
        2
    );
}

#[test]
fn a_missing_file_of_many_chunks_does_not_stop_the_rest() {
    let contents = [Content::Missing(9 << 20), Content::File(bytes(2, 3 << 20))];
    check(&contents, 4 << 20, &[(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn a_file_that_ends_early_costs_the_pieces_behind_its_end() {
    let contents = [
        Content::OtherLength(50_000, 20_000),
        Content::File(bytes(2, 50_000)),
    ];
    let outcomes = check(&contents, 16_384, &[(1, 0), (2, 0), (3, 0)]);
    assert!(
        matches!(outcomes[0], PartOutcome::Short(stamp) if stamp.size == 20_000),
        "{:?}",
        outcomes[0]
    );
}

#[test]
fn what_a_file_has_beyond_its_part_is_not_read() {
    let outcomes = check(
        &[
            Content::OtherLength(20_000, 50_000),
            Content::File(bytes(2, 50_000)),
        ],
        16_384,
        &[],
    );
    assert_eq!(len_read(outcomes[0]), Some(50_000));
}

#[test]
fn no_more_files_are_open_than_may_be() {
    let scene = scene(&[
        Content::File(vec![1]),
        Content::File(vec![2]),
        Content::Missing(1),
    ]);
    let mut files = Files::new(IoMode::Auto, 1);
    let acquire = |files: &mut Files, part: usize| {
        let Source::File(path) = &scene.parts[part].source else {
            panic!("all parts are files")
        };
        match files.acquire(part, path) {
            Acquired::File(_) => "file",
            Acquired::Failed => "failed",
            Acquired::Later => "later",
        }
    };
    assert_eq!(acquire(&mut files, 0), "file");
    assert_eq!(acquire(&mut files, 0), "file");
    assert_eq!(acquire(&mut files, 1), "later");
    files.release(0);
    assert_eq!(acquire(&mut files, 1), "later");
    files.release(0);
    assert_eq!(acquire(&mut files, 1), "file");
    files.release(1);
    assert_eq!(acquire(&mut files, 2), "failed");
    assert_eq!(files.into_observations().len(), 3, "each opening left one");
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = directory();
    let fifo = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .expect("coreutils are installed");
    assert!(made.success());
    for path in [fifo, directory.path().to_owned(), PathBuf::from("/dev/null")] {
        let report = run(&[part(&path, 100)], 16_384, &Options::default());
        assert_eq!(
            report.parts,
            [PartOutcome::Refused(Refusal::NotRegular)],
            "{}",
            path.display()
        );
        assert_eq!(report.pieces, [Piece::Unread { part: 0 }]);
    }
}

#[test]
fn what_the_system_refuses_is_told() {
    let directory = directory();
    let path = directory.path().join("circle");
    symlink("circle", &path).unwrap();
    let report = run(&[part(&path, 100)], 16_384, &Options::default());
    let refused = PartOutcome::Refused(Refusal::Errno(shoal_world::Errno(libc::ELOOP)));
    assert_eq!(report.parts, [refused]);
}

#[test]
fn data_without_direct_reads_is_hashed_too() {
    // A tmpfs on every distribution, which has no direct reads before Linux 6.6.
    let Ok(directory) = TempDir::new_in("/dev/shm") else {
        println!("skipped: there is no /dev/shm here");
        return;
    };
    let path = directory.path().join("data");
    let data = bytes(1, 3_000_000);
    fs::write(&path, &data).unwrap();
    for options in all_options() {
        let report = run(&[part(&path, data.len())], 65_536, &options);
        let expected: Vec<Piece> = data
            .chunks(65_536)
            .map(|piece| Piece::Hashed(Sha1::digest(piece).into()))
            .collect();
        assert_eq!(report.pieces, expected, "{options:?}");
    }
}

#[test]
fn a_file_that_is_written_meanwhile_is_told_from_one_that_is_not() {
    let scene = scene(&[Content::File(bytes(1, 8 << 20)), Content::File(bytes(2, 8 << 20))]);
    let Source::File(victim) = &scene.parts[0].source else {
        unreachable!("the first part is a file")
    };
    let options = Options {
        threads: NonZeroUsize::new(1),
        ..Options::default()
    };
    let written = AtomicBool::new(false);
    let watch = |_| {
        // The first file is open from before the first piece of it was hashed.
        if !written.swap(true, Ordering::Relaxed) {
            let mut data = fs::read(victim).unwrap();
            data[0] ^= 1;
            fs::write(victim, data).unwrap();
        }
        ControlFlow::Continue(())
    };
    let report = scan(&scene.parts, 65_536, &options, &watch).expect("nobody cancels");
    assert!(
        matches!(report.parts[0], PartOutcome::Changed { .. }),
        "{:?}",
        report.parts[0]
    );
    assert!(
        matches!(report.parts[1], PartOutcome::Read(_)),
        "{:?}",
        report.parts[1]
    );
}

#[test]
fn the_stamp_is_that_of_the_file() {
    let directory = directory();
    let path = directory.path().join("data");
    fs::write(&path, bytes(1, 1_000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let report = run(&[part(&path, 1_000)], 16_384, &Options::default());
    let file = fs::File::open(&path).unwrap();
    let expected = crate::stamp(std::os::fd::AsFd::as_fd(&file)).unwrap();
    assert_eq!(report.parts, [PartOutcome::Read(expected)]);
}

#[test]
fn the_watcher_sees_every_byte_and_may_end_it() {
    let scene = scene(&[Content::File(bytes(1, 8 << 20)), Content::Missing(1 << 20)]);
    let most = AtomicU64::new(0);
    let watch = |done| {
        most.fetch_max(done, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    scan(&scene.parts, 65_536, &Options::default(), &watch).expect("nobody cancels");
    assert_eq!(most.into_inner(), 9 << 20);

    let ended = scan(&scene.parts, 65_536, &Options::default(), &|_| {
        ControlFlow::Break(())
    });
    assert_eq!(ended, Err(Cancelled));
}

#[test]
fn some_pieces_are_hashed_as_all_are_and_the_rest_is_not_read() {
    const PIECE_LEN: usize = 1 << 20;
    let scene = scene(&[
        Content::File(bytes(1, 5 * PIECE_LEN + 7)),
        Content::Missing(2 * PIECE_LEN),
        Content::Zeroes(PIECE_LEN),
        Content::File(bytes(2, PIECE_LEN)),
    ]);
    for options in all_options() {
        let all = run(&scene.parts, PIECE_LEN as u32, &options);
        for wanted in [vec![0], vec![1, 4], vec![7, 8], vec![9], vec![]] {
            let wanted: Vec<bool> = (0..10).map(|piece| wanted.contains(&piece)).collect();
            let watch = |_| ControlFlow::Continue(());
            let some = scan_pieces(&scene.parts, PIECE_LEN as u32, &wanted, &options, &watch);
            let some = some.expect("nobody cancels");
            for (piece, wanted) in wanted.iter().enumerate() {
                let expected = if *wanted {
                    all.pieces[piece]
                } else {
                    Piece::Skipped
                };
                assert_eq!(some.pieces[piece], expected, "piece {piece}, {options:?}");
            }
            // The first file has pieces 0 to 5, the last one pieces 8 and 9.
            for (part, pieces) in [(0, 0..6), (3, 8..10)] {
                let expected = if wanted[pieces].contains(&true) {
                    all.parts[part]
                } else {
                    PartOutcome::Skipped
                };
                assert_eq!(some.parts[part], expected, "part {part}, {options:?}");
            }
        }
    }
}

fn part(path: &Path, len: usize) -> Part {
    Part {
        source: Source::File(path.to_owned()),
        len: len as u64,
    }
}
