//! Checking data against a torrent: which pieces are there and right, and what is wrong with which file.
//!
//! The data is looked for where every client puts it: below the given folder, at the paths of the torrent. Nothing is
//! written, created or truncated.
//!
//! Invariants:
//! - A piece is in [`Findings::have`] only if all of its bytes were read in this check, hash to what the torrent
//!   says, and lie in files that did not change meanwhile.
//! - A file longer than the torrent says is right as far as the torrent knows it; the rest is nobody's business.
//!
//! Not here: what to do about it. `shoal check` reports it, `shoal seed` serves what is right.

use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::layout::{FileIndex, PieceIndex};
use shoal_proto::metainfo::{File, FileKind, Metainfo};
use shoal_uring::scan::{self, Part, PartOutcome, Piece, Report, Source};
use shoal_world::FileStamp;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub use shoal_uring::scan::Cancelled;
pub use shoal_world::Refusal;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// The pieces that are there and right.
    pub have: Bitfield,
    /// How many pieces could be read in full and are wrong.
    pub pieces_wrong: u32,
    /// One for each file of the torrent, in its order.
    pub files: Vec<FileFinding>,
}

/// What a check found about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFinding {
    /// Its state.
    pub state: FileState,
    /// What the file was while it was read; nothing if it was not read to its end.
    pub stamp: Option<FileStamp>,
}

/// The state of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// All pieces that it is part of are right.
    Right,
    /// It holds no data of the torrent: padding, or a link.
    WithoutData,
    /// Bytes in it, or in a file that it shares a piece with, are not those of the torrent.
    Wrong {
        /// How many of its pieces are wrong.
        pieces: u32,
    },
    /// It was read, but pieces that it shares with other files could not be, because of the others.
    Undecided {
        /// How many pieces.
        pieces: u32,
    },
    /// It is not there.
    Missing,
    /// It ends too early.
    Short {
        /// Bytes in it.
        len: u64,
    },
    /// It could not be opened or read.
    Refused(Refusal),
    /// It was written to or replaced while it was read.
    Changed,
}

impl Findings {
    /// Every piece is there and right.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.have.is_all()
    }

    /// How many pieces could not be read in full.
    #[must_use]
    pub fn pieces_missing(&self) -> u32 {
        self.have.pieces() - self.have.count() - self.pieces_wrong
    }

    /// The stamps of the files, as a session takes them.
    #[must_use]
    pub fn stamps(&self) -> Vec<Option<FileStamp>> {
        self.files.iter().map(|file| file.stamp).collect()
    }
}

/// Checks all data of a torrent below `data`. `watch` hears how many bytes are done and may break off.
///
/// # Errors
/// The watcher broke off. What is wrong with the data is a finding, not an error.
pub fn check(
    metainfo: &Metainfo,
    data: &Path,
    options: &scan::Options,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<Findings, Cancelled> {
    let paths = metainfo.files().iter().map(|file| data.join(file.path.as_path()));
    let parts = parts(metainfo, paths);
    let report = scan::scan(&parts, metainfo.layout().piece_length(), options, watch)?;
    Ok(findings(metainfo, &report))
}

/// What a check of some pieces found.
pub(crate) struct SomeFindings {
    /// Those of them that are there and right.
    pub(crate) have: Bitfield,
    /// One for each file of the torrent. `None`: no piece of it was asked for, or it does not matter what it was.
    pub(crate) files: Vec<Option<FileRead>>,
}

/// What a file was while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRead {
    /// This, from before the first read to after the last.
    As(FileStamp),
    /// It could not be read, or changed meanwhile.
    Not,
}

impl SomeFindings {
    /// What each file was while it was read; nothing for those that were not.
    pub(crate) fn stamps(&self) -> Vec<Option<FileStamp>> {
        let stamp = |read: &Option<FileRead>| match read {
            Some(FileRead::As(stamp)) => Some(*stamp),
            Some(FileRead::Not) | None => None,
        };
        self.files.iter().map(stamp).collect()
    }
}

/// Checks the pieces for which `wanted` is true, in files that are at these paths.
pub(crate) fn check_pieces(
    metainfo: &Metainfo,
    paths: &[PathBuf],
    wanted: &[bool],
    options: &scan::Options,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<SomeFindings, Cancelled> {
    let parts = parts(metainfo, paths.iter().cloned());
    let report = scan::scan_pieces(&parts, metainfo.layout().piece_length(), wanted, options, watch)?;
    Ok(some_findings(metainfo, &report, wanted, |_| true))
}

/// What nobody writes to any more of a torrent that is being fetched.
pub(crate) struct Settled {
    /// Whether each file is whole.
    files: Vec<bool>,
    /// The pieces that reach into one of them.
    pub(crate) pieces: Bitfield,
}

impl Settled {
    /// Of a torrent of which these pieces are there.
    pub(crate) fn of(metainfo: &Metainfo, have: &Bitfield) -> Settled {
        let layout = metainfo.layout();
        let mut settled = Settled {
            files: Vec::with_capacity(metainfo.files().len()),
            pieces: Bitfield::none(layout.pieces()),
        };
        for (index, _) in layout.files() {
            let range = pieces_of(metainfo, index);
            let pieces = range.filter_map(|piece| layout.piece(piece as u32));
            let is_whole = pieces.clone().all(|piece| have.has(piece));
            settled.files.push(is_whole);
            if is_whole {
                for piece in pieces {
                    settled.pieces.set(piece);
                }
            }
        }
        settled
    }
}

/// Checks what is settled. Other files may change meanwhile: where a piece reaches into one of them, its bytes there were
/// written before.
pub(crate) fn check_settled(
    metainfo: &Metainfo,
    paths: &[PathBuf],
    settled: &Settled,
    options: &scan::Options,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<SomeFindings, Cancelled> {
    let layout = metainfo.layout();
    let parts = parts(metainfo, paths.iter().cloned());
    let wanted: Vec<bool> = layout
        .piece_indices()
        .map(|piece| settled.pieces.has(piece))
        .collect();
    let report = scan::scan_pieces(&parts, layout.piece_length(), &wanted, options, watch)?;
    Ok(some_findings(metainfo, &report, &wanted, |file| {
        settled.files[file]
    }))
}

/// What was found of the pieces that were wanted, where only changes of some files matter.
fn some_findings(
    metainfo: &Metainfo,
    report: &Report,
    wanted: &[bool],
    matters: impl Fn(usize) -> bool,
) -> SomeFindings {
    let layout = metainfo.layout();
    let mut have = Bitfield::none(layout.pieces());
    for piece in layout.piece_indices().filter(|piece| wanted[piece.index()]) {
        if verdict(metainfo, report, piece, &matters) == Verdict::Right {
            have.set(piece);
        }
    }
    let file = |(index, outcome): (usize, &PartOutcome)| match outcome {
        _ if !matters(index) => None,
        PartOutcome::Skipped | PartOutcome::Zeroes => None,
        PartOutcome::Read(stamp) | PartOutcome::Short(stamp) => Some(FileRead::As(*stamp)),
        PartOutcome::Missing | PartOutcome::Refused(_) | PartOutcome::Changed { .. } => Some(FileRead::Not),
    };
    SomeFindings {
        have,
        files: report.parts.iter().enumerate().map(file).collect(),
    }
}

/// The files of a torrent, as they are read.
fn parts(metainfo: &Metainfo, paths: impl Iterator<Item = PathBuf>) -> Vec<Part> {
    let part = |(file, path): (&File, PathBuf)| Part {
        source: match file.kind {
            FileKind::Padding => Source::Zeroes,
            FileKind::Regular(_) | FileKind::Symlink { .. } => Source::File(path),
        },
        len: file.len,
    };
    metainfo.files().iter().zip(paths).map(part).collect()
}

/// What became of one piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    Unread,
}

fn findings(metainfo: &Metainfo, report: &Report) -> Findings {
    let layout = metainfo.layout();
    let verdicts: Vec<Verdict> = layout
        .piece_indices()
        .map(|piece| verdict(metainfo, report, piece, |_| true))
        .collect();
    let mut have = Bitfield::none(layout.pieces());
    for (piece, verdict) in layout.piece_indices().zip(&verdicts) {
        if *verdict == Verdict::Right {
            have.set(piece);
        }
    }
    let file = |(index, file): (FileIndex, &File)| file_finding(metainfo, report, &verdicts, index, file);
    Findings {
        have,
        pieces_wrong: count(&verdicts, Verdict::Wrong),
        files: layout
            .files()
            .map(|(index, _)| index)
            .zip(metainfo.files())
            .map(file)
            .collect(),
    }
}

fn verdict(
    metainfo: &Metainfo,
    report: &Report,
    piece: PieceIndex,
    matters: impl Fn(usize) -> bool,
) -> Verdict {
    let layout = metainfo.layout();
    let Piece::Hashed(digest) = report.pieces[piece.index()] else {
        return Verdict::Unread;
    };
    if Digest::Sha1(digest) != metainfo.piece_hash(piece) {
        return Verdict::Wrong;
    }
    let segments = layout.segments(layout.piece_offset(piece), u64::from(layout.piece_len(piece)));
    // Bytes that were right once and may have changed since are as good as unread.
    let changed = segments
        .map(|segment| segment.file.index())
        .any(|file| matters(file) && matches!(report.parts[file], PartOutcome::Changed { .. }));
    if changed { Verdict::Unread } else { Verdict::Right }
}

fn file_finding(
    metainfo: &Metainfo,
    report: &Report,
    verdicts: &[Verdict],
    index: FileIndex,
    file: &File,
) -> FileFinding {
    if !matches!(file.kind, FileKind::Regular(_)) {
        return FileFinding {
            state: FileState::WithoutData,
            stamp: None,
        };
    }
    let without_stamp = |state| FileFinding { state, stamp: None };
    match report.parts[index.index()] {
        PartOutcome::Zeroes | PartOutcome::Skipped => panic!("a regular file is read as one"),
        PartOutcome::Missing => without_stamp(FileState::Missing),
        PartOutcome::Refused(refusal) => without_stamp(FileState::Refused(refusal)),
        PartOutcome::Changed { .. } => without_stamp(FileState::Changed),
        PartOutcome::Short(stamp) => FileFinding {
            state: FileState::Short { len: stamp.size },
            stamp: Some(stamp),
        },
        PartOutcome::Read(stamp) => FileFinding {
            state: state_by_pieces(&verdicts[pieces_of(metainfo, index)]),
            stamp: Some(stamp),
        },
    }
}

fn state_by_pieces(verdicts: &[Verdict]) -> FileState {
    match (count(verdicts, Verdict::Wrong), count(verdicts, Verdict::Unread)) {
        (0, 0) => FileState::Right,
        (0, pieces) => FileState::Undecided { pieces },
        (pieces, _) => FileState::Wrong { pieces },
    }
}

/// The pieces that a file has bytes in, as a range of indices.
fn pieces_of(metainfo: &Metainfo, index: FileIndex) -> std::ops::Range<usize> {
    let file = metainfo.layout().file(index);
    let piece_length = u64::from(metainfo.layout().piece_length());
    let first = file.start / piece_length;
    let end = if file.len == 0 {
        first
    } else {
        (file.start + file.len).div_ceil(piece_length)
    };
    first as usize..end as usize
}

fn count(verdicts: &[Verdict], wanted: Verdict) -> u32 {
    verdicts.iter().filter(|verdict| **verdict == wanted).count() as u32
}

#[cfg(test)]
mod tests;
