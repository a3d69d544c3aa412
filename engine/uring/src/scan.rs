//! Reads whole files as fast as their disk gives them, and hashes every piece: what `check` and `create` wait for.
//!
//! [`scan`] takes an ordered list of [`Part`]s, which together form one space of bytes, and cuts it into pieces of equal
//! length. Worker threads claim runs of consecutive pieces and share nothing else: each has its own ring, its own open
//! files, its own memory. What already lies in the page cache is copied from there in strips that stay in the
//! second-level cache; the rest is read around it, with many reads in flight. Pieces advance side by side, chunk by
//! chunk, so memory stays within [`Options::memory_len`] whatever the piece length.
//!
//! It does not compare digests with anything, does not write, and does not know where the paths come from. Symbolic
//! links are followed; whoever distrusts a directory resolves it first.
//!
//! Invariants: every piece and every part gets exactly one outcome, in order; a piece is [`Piece::Hashed`] only if every
//! byte of it was read; a file is [`PartOutcome::Read`] only if its stamps from before the first read and after the last
//! one are equal, and the first was old enough to tell a later write apart.

mod chunk;
mod device;
mod files;
mod hashing;
mod outcome;
mod reader;
mod shape;
mod space;
mod worker;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;

use shoal_world::{FileStamp, Refusal};

use crate::hash::{DIGEST_LEN, Hasher};
use crate::kernel::IoMode;
use device::Motion;
use files::{Acquired, Files};
use outcome::Findings;
use shape::Shape;
use space::Space;
use worker::{Shared, Worker};

/// Memory for reads in flight, all threads together. Two threads with 16 chunks of 1 MiB each use half of it.
pub const MEMORY_LEN_DEFAULT: usize = 64 << 20;

/// One stretch of the space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where its bytes are.
    pub source: Source,
    /// How many bytes of the space it covers.
    pub len: u64,
}

/// Where the bytes of a part are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// At the start of this file.
    File(PathBuf),
    /// Nowhere: they are all zero (padding files of BEP 47).
    Zeroes,
}

/// How to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads that read and hash. `None`: as many as this process may run at once. Fewer are used where the space is
    /// small, memory does not suffice, or a disk has an arm to move.
    pub threads: Option<NonZeroUsize>,
    /// Memory for reads in flight in bytes, all threads together.
    pub memory_len: usize,
    /// Around the page cache or through it.
    pub io_mode: IoMode,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            threads: None,
            memory_len: MEMORY_LEN_DEFAULT,
            io_mode: IoMode::Auto,
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One for each piece, in order.
    pub pieces: Vec<Piece>,
    /// One for each part, in order.
    pub parts: Vec<PartOutcome>,
}

/// What became of one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Every byte of it was read; this is the SHA-1 digest.
    Hashed([u8; DIGEST_LEN]),
    /// Some of it could not be read.
    Unread {
        /// Index of the first part to blame. [`Report::parts`] says why.
        part: usize,
    },
    /// Nobody asked for it ([`scan_pieces`]).
    Skipped,
}

/// What became of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOutcome {
    /// Zeroes: there is nothing to find.
    Zeroes,
    /// Read as it was from before the first read to after the last. The file may be longer than the part.
    Read(FileStamp),
    /// The file ends before the part does.
    Short(FileStamp),
    /// There is no such file.
    Missing,
    /// It is not a regular file, or the operating system refused to open or read it.
    Refused(Refusal),
    /// It was changed, replaced or deleted while it was read: its pieces may be of neither version.
    Changed {
        /// Before the first read.
        before: FileStamp,
        /// The stamp that differs.
        after: FileStamp,
    },
    /// Nobody asked for any piece of it ([`scan_pieces`]).
    Skipped,
}

/// The watcher broke the scan off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scan was cancelled")]
pub struct Cancelled;

/// Reads `parts` and hashes every `piece_len` bytes of them.
///
/// `watch` is told every few megabytes how many bytes are done in total, from any of the threads; it breaks the scan
/// off by returning [`ControlFlow::Break`].
///
/// # Panics
/// When `piece_len` is 0 or there would be more than 2³² pieces.
pub fn scan(
    parts: &[Part],
    piece_len: u32,
    options: &Options,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<Report, Cancelled> {
    let space = Space::new(parts, piece_len);
    scan_on(device::motion(&space), &space, None, options, watch)
}

/// Does the same for some pieces only: those for which `wanted`, with one entry for each piece, is true. Where pieces
/// are read many at a time, a neighbour of such a piece may be hashed as well; all others are [`Piece::Skipped`].
///
/// # Panics
/// When `piece_len` is 0, there would be more than 2³² pieces, or `wanted` has not one entry for each.
pub fn scan_pieces(
    parts: &[Part],
    piece_len: u32,
    wanted: &[bool],
    options: &Options,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<Report, Cancelled> {
    let space = Space::new(parts, piece_len);
    assert_eq!(wanted.len() as u64, space.pieces(), "a wish for every piece");
    scan_on(device::motion(&space), &space, Some(wanted), options, watch)
}

/// Scans disks that move like this.
fn scan_on(
    motion: Motion,
    space: &Space<'_>,
    wanted: Option<&[bool]>,
    options: &Options,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<Report, Cancelled> {
    let hasher = Hasher::new();
    let shape = Shape::new(space, options, motion, hasher.lanes());
    let shared = Shared {
        space,
        wanted,
        shape,
        io_mode: options.io_mode,
        files_open_max: files::open_max(shape.threads),
        hasher: &hasher,
        watch,
        units_claimed: AtomicU64::new(0),
        bytes_done: AtomicU64::new(0),
        cancelled: AtomicBool::new(false),
    };
    let mut findings = thread::scope(|scope| {
        let work = || Worker::new(&shared).run();
        let spawn = |_| {
            thread::Builder::new()
                .name("scan".to_owned())
                .spawn_scoped(scope, work)
                .ok()
        };
        // Where no more threads are to be had, fewer do the same work, in the end this one alone.
        let others: Vec<_> = (1..shape.threads).map_while(spawn).collect();
        let own = work();
        let others = others
            .into_iter()
            .map(|thread| thread.join().expect("a scanning thread panicked"));
        std::iter::once(own).chain(others).collect::<Result<Vec<_>, _>>()
    })?;
    findings.push(look_at_empty_files(space.parts()));
    Ok(outcome::report(space, wanted, findings))
}

/// Files that no piece has a byte of are there or not all the same.
fn look_at_empty_files(parts: &[Part]) -> Findings {
    let mut files = Files::new(IoMode::Buffered, 1);
    for (index, part) in parts.iter().enumerate().filter(|(_, part)| part.len == 0) {
        if let Source::File(path) = &part.source
            && let Acquired::File(_) = files.acquire(index, path)
        {
            files.release(index);
        }
    }
    Findings {
        pieces: Vec::new(),
        observations: files.into_observations(),
    }
}

#[cfg(test)]
mod tests;
