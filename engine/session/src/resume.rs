//! What of a torrent is there at the start, with as little reading as is safe.
//!
//! | what was saved | what is done |
//! |---|---|
//! | a claim, and all files of the piece are as their stamps say | believed |
//! | no claim, and all files of the piece are as their stamps say | it is not there |
//! | a file of the piece is not as its stamp says | the piece is hashed, claimed or not |
//! | nothing of this torrent, but files were there | every piece of them is hashed |
//! | something that cannot be of this torrent | as nothing |
//!
//! A process that was killed while it wrote, or that could not save what it knew, leaves files younger than their stamps:
//! what is in them is hashed, and what is right is not fetched again, whoever put it there. A hole (length that a file
//! has and that was never written) reads as zeroes; the file system tells of it, so a torrent that was only just begun
//! costs no reading.
//!
//! Nothing is written here, and what was saved is not changed.
//!
//! Invariant: a piece is in [`Found::have`] only if it was claimed for files that are unchanged since, or all of
//! its bytes were read now and are right; and each file that holds such a piece was, until the end of this work, as
//! its stamp in [`Found::stamps`] says.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, SeekFrom, seek};
use rustix::io::Errno;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::layout::{PieceIndex, Segment};
use shoal_proto::metainfo::{FileKind, Metainfo};
use shoal_uring::scan::{self, Cancelled, Part, Piece, Source};
use shoal_world::{FileStamp, StampChange};

use crate::check::{FileRead, SomeFindings, check_pieces};
use crate::state::Saved;
use crate::storage::Prepared;

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The pieces that are there and right.
    pub have: Bitfield,
    /// One for each file of the torrent. `None`: nothing of it is there.
    pub stamps: Vec<Option<FileStamp>>,
    /// How many pieces were read and hashed to know it.
    pub rehashed_pieces: u32,
}

/// Which pieces are there now. `watch` hears how many bytes were hashed and may break off.
///
/// # Errors
/// The watcher broke off. Files that are missing or cannot be read have no pieces.
pub fn resume(
    metainfo: &Metainfo,
    prepared: &Prepared,
    saved: Option<&Saved>,
    options: &scan::Options,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<Found, Cancelled> {
    let believable = saved.filter(|saved| is_of(saved, metainfo));
    let mut look = match believable {
        Some(saved) => Look::at_claims(metainfo, prepared, saved),
        None => Look::at_everything(metainfo, prepared),
    };
    if look.doubtful.contains(&true) {
        look.leave_out_holes(&mut Holes::new(metainfo, prepared, options, watch)?);
    }
    let rehashed_pieces = look.doubtful.iter().filter(|doubtful| **doubtful).count() as u32;
    if rehashed_pieces > 0 {
        let findings = check_pieces(metainfo, &prepared.paths, &look.doubtful, options, watch)?;
        look.take(metainfo, &findings);
    }
    Ok(Found {
        stamps: look.stamps(metainfo),
        have: look.have,
        rehashed_pieces,
    })
}

/// Whether what was saved was saved of these files: one of them at least is still as it says. Nothing is read.
pub fn is_about(saved: &Saved, metainfo: &Metainfo, prepared: &Prepared) -> bool {
    is_of(saved, metainfo) && unchanged(saved, &stamps_now(metainfo, prepared)).contains(&true)
}

/// Whether what was saved has the shape of this torrent.
fn is_of(saved: &Saved, metainfo: &Metainfo) -> bool {
    saved.pieces.pieces() == metainfo.layout().pieces() && saved.stamps.len() == metainfo.files().len()
}

/// What is known so far.
struct Look {
    have: Bitfield,
    /// For each piece whether it must be hashed.
    doubtful: Vec<bool>,
    /// For each file what it is now, if it is there.
    now: Vec<Option<FileStamp>>,
}

impl Look {
    /// Compares claims with the files that they are about.
    fn at_claims(metainfo: &Metainfo, prepared: &Prepared, saved: &Saved) -> Look {
        let layout = metainfo.layout();
        let now = stamps_now(metainfo, prepared);
        let unchanged = unchanged(saved, &now);
        let mut look = Look {
            have: Bitfield::none(layout.pieces()),
            doubtful: vec![false; layout.pieces() as usize],
            now,
        };
        for piece in layout.piece_indices() {
            if files_of(metainfo, piece).all(|file| unchanged[file]) {
                if saved.pieces.has(piece) {
                    look.have.set(piece);
                }
            } else if files_of(metainfo, piece).all(|file| look.now[file].is_some()) {
                look.doubtful[piece.index()] = true;
            }
        }
        look
    }

    /// Doubts every piece that may be in files that were there before.
    fn at_everything(metainfo: &Metainfo, prepared: &Prepared) -> Look {
        let layout = metainfo.layout();
        let now = stamps_now(metainfo, prepared);
        let may_be_there =
            |piece| files_of(metainfo, piece).all(|file| prepared.existed[file] && now[file].is_some());
        Look {
            have: Bitfield::none(layout.pieces()),
            doubtful: layout.piece_indices().map(may_be_there).collect(),
            now,
        }
    }

    fn leave_out_holes(&mut self, holes: &mut Holes<'_>) {
        for piece in holes.metainfo.layout().piece_indices() {
            let doubtful = &mut self.doubtful[piece.index()];
            *doubtful = *doubtful && !holes.has(piece);
        }
    }

    /// Learns what the check found. A believed file that changed meanwhile is believed no more.
    fn take(&mut self, metainfo: &Metainfo, findings: &SomeFindings) {
        let mut moving = vec![false; self.now.len()];
        for ((now, read), moving) in self.now.iter_mut().zip(&findings.files).zip(&mut moving) {
            match (*now, read) {
                (_, None) => {}
                (Some(then), Some(FileRead::As(stamp))) => {
                    *moving = then.change(stamp) != StampChange::None;
                    *now = Some(*stamp);
                }
                (None, Some(FileRead::As(_))) | (_, Some(FileRead::Not)) => *moving = true,
            }
        }
        for piece in findings.have.present() {
            self.have.set(piece);
        }
        let lost: Vec<PieceIndex> = self
            .have
            .present()
            .filter(|piece| files_of(metainfo, *piece).any(|file| moving[file]))
            .collect();
        for piece in lost {
            self.have.clear(piece);
        }
    }

    /// The stamps of files that hold a piece.
    fn stamps(&self, metainfo: &Metainfo) -> Vec<Option<FileStamp>> {
        let mut stamps = vec![None; self.now.len()];
        for file in self.have.present().flat_map(|piece| files_of(metainfo, piece)) {
            stamps[file] = self.now[file];
        }
        stamps
    }
}

/// For each file whether it is as it was saved.
fn unchanged(saved: &Saved, now: &[Option<FileStamp>]) -> Vec<bool> {
    let stamps = saved.stamps.iter().zip(now);
    stamps
        .map(|stamps| matches!(stamps, (Some(then), Some(now)) if then.change(now) == StampChange::None))
        .collect()
}

/// The files that are on disk and hold bytes of the piece, by index.
fn files_of(metainfo: &Metainfo, piece: PieceIndex) -> impl Iterator<Item = usize> + '_ {
    let layout = metainfo.layout();
    let segments = layout.segments(layout.piece_offset(piece), u64::from(layout.piece_len(piece)));
    segments
        .filter(|segment| !segment.padding)
        .map(|segment| segment.file.index())
}

fn stamps_now(metainfo: &Metainfo, prepared: &Prepared) -> Vec<Option<FileStamp>> {
    let files = metainfo.files().iter().zip(&prepared.paths);
    files
        .map(|(file, path)| match file.kind {
            FileKind::Regular(_) => stamp_now(path),
            FileKind::Padding | FileKind::Symlink { .. } => None,
        })
        .collect()
}

/// What is at a path now. Nothing is opened for that, whatever it is.
fn stamp_now(path: &Path) -> Option<FileStamp> {
    let handle: OwnedFd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    shoal_uring::stamp(handle.as_fd()).ok()
}

/// Where the files of a torrent were never written. Asked piece by piece in order, it has one file open at a time.
struct Holes<'m> {
    metainfo: &'m Metainfo,
    paths: &'m [PathBuf],
    /// The file that was asked for last, by index. One that cannot be opened has no holes: reading will tell why.
    open: Option<(usize, Option<OwnedFd>)>,
    /// The digest of a whole piece of zeroes, which a hole may well be. A last, shorter one is fetched again.
    zeroes: Digest,
}

impl<'m> Holes<'m> {
    fn new(
        metainfo: &'m Metainfo,
        prepared: &'m Prepared,
        options: &scan::Options,
        watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
    ) -> Result<Holes<'m>, Cancelled> {
        let piece_length = metainfo.layout().piece_length();
        let part = Part {
            source: Source::Zeroes,
            len: u64::from(piece_length),
        };
        let report = scan::scan(&[part], piece_length, options, watch)?;
        let Piece::Hashed(zeroes) = report.pieces[0] else {
            panic!("zeroes can always be read");
        };
        Ok(Holes {
            metainfo,
            paths: &prepared.paths,
            open: None,
            zeroes: Digest::Sha1(zeroes),
        })
    }

    /// Whether no byte of the piece was ever written, and zeroes would be wrong.
    fn has(&mut self, piece: PieceIndex) -> bool {
        let layout = self.metainfo.layout();
        let mut segments = layout.segments(layout.piece_offset(piece), u64::from(layout.piece_len(piece)));
        self.metainfo.piece_hash(piece) != self.zeroes
            && segments.all(|segment| segment.padding || self.is_hole(&segment))
    }

    fn is_hole(&mut self, segment: &Segment) -> bool {
        let index = segment.file.index();
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            // Not waiting, should it be a pipe.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            self.open = Some((
                index,
                rustix::fs::open(&self.paths[index], flags, Mode::empty()).ok(),
            ));
        }
        let file = self.open.as_ref().and_then(|(_, file)| file.as_ref());
        file.is_some_and(|file| is_hole(file, segment.offset, segment.len))
    }
}

/// Whether a stretch of a file has no data, as far as its file system tells.
fn is_hole(file: &OwnedFd, offset: u64, len: u64) -> bool {
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data >= offset + len,
        // None up to the end of the file.
        Err(error) => error == Errno::NXIO,
    }
}

#[cfg(test)]
mod tests;
