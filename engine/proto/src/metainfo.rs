//! Torrent files: reading them with suspicion, writing them canonically.
//!
//! [`Metainfo::parse`] takes the bytes of a `.torrent` (BEP 3, with announce-list of BEP 12, `private` of BEP
//! 27, `url-list` of BEP 19 and the attributes of BEP 47) and returns a value that is consistent: every piece
//! has a hash, lengths add up, every path stays inside the torrent's folder and no two files share one.
//!
//! What is hashed is read strictly: an `info` that is wrong in any way is refused, with the key that is
//! wrong. What stands around it is read with tolerance: an unusable tracker address is left out. The
//! info-hash is taken from the raw bytes of `info`, whatever their order.
//!
//! Not here: version 2 torrents. One that is only that is refused; a hybrid loads through its version 1 half,
//! and its version 2 half is not looked at. `private` counts as set unless it is the integer 0: in doubt no
//! address leaks. The rules for paths are those of [`TorrentPath`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::digest::Digest;
use crate::info_hash::InfoHash;
use crate::layout::{FileIndex, Layout, PieceIndex};

mod builder;
mod collisions;
mod error;
mod parse;
mod path;

pub use builder::{Built, Content, EntryKind, FileEntry, MetainfoBuilder, piece_length_for};
pub use error::{Context, MetainfoError, Place, Problem};
pub use path::{PathProblem, TorrentPath};

/// Bytes of a version 1 piece hash.
const PIECE_HASH_LEN: usize = 20;

/// A torrent file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    info_hash: InfoHash,
    info: Arc<[u8]>,
    /// Where in `info` the piece hashes are.
    hashes: Range<usize>,
    name: String,
    files: Box<[File]>,
    layout: Arc<Layout>,
    private: bool,
    source: Option<String>,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date_s: Option<u64>,
    cautions: Vec<Caution>,
}

/// One file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where the file belongs below the data directory: the torrent's name first, where there are several
    /// files.
    pub path: TorrentPath,
    /// Bytes in the file.
    pub len: u64,
    /// What kind of file it is.
    pub kind: FileKind,
}

/// The kinds of files that BEP 47 tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A file with payload.
    Regular(Attributes),
    /// Zeros that only move the next file to the start of a piece. Never on disk, so its path is only a name
    /// to show.
    Padding,
    /// A link, without payload.
    Symlink {
        /// A file, folder or other link of the same torrent, like [`File::path`]. Following links from here
        /// ends at a file, or at a folder that the link is not in.
        target: TorrentPath,
    },
}

/// Attributes of a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The file is a program.
    pub executable: bool,
    /// The file is not meant to be seen.
    pub hidden: bool,
}

/// Something about a torrent that loads, which its owner may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caution {
    /// Keys are out of order or appear twice; of equal keys the first counts.
    Disorder {
        /// Offset of the first such key in the torrent file.
        offset: usize,
    },
    /// Two paths differ in case only. Linux keeps them apart; a file system that folds case does not.
    CaseTwins {
        /// One file.
        first: FileIndex,
        /// The other; there may be more such pairs.
        second: FileIndex,
    },
    /// A name is not UTF-8 and has no variant that is: each wrong sequence reads as `_`, as it does in
    /// libtorrent.
    NotUtf8 {
        /// The key of the first such name.
        place: Place,
    },
    /// The torrent has a version 2 half (BEP 52) that was not looked at.
    Hybrid,
}

impl Metainfo {
    /// Reads a torrent file.
    pub fn parse(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
        parse::parse(bytes)
    }

    /// What names the torrent.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The raw bytes of `info`, which the info-hash is the hash of (BEP 9 hands them to peers).
    pub fn info(&self) -> &Arc<[u8]> {
        &self.info
    }

    /// The torrent's name: its only file, or the folder that its files are in.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files, padding included, in the order of the payload.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// One file.
    pub fn file(&self, file: FileIndex) -> &File {
        &self.files[file.index()]
    }

    /// Where pieces and files are in the payload; its [`FileIndex`] are those of [`Metainfo::files`].
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The hash that the piece must have.
    pub fn piece_hash(&self, piece: PieceIndex) -> Digest {
        let hashes = &self.info[self.hashes.clone()];
        let hash = hashes.as_chunks().0.get(piece.index());
        Digest::Sha1(*hash.expect("a piece index must come from this torrent's layout"))
    }

    /// Peers may come from the torrent's trackers only (BEP 27).
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// The site that the torrent was made for (`source`).
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Addresses of trackers in tiers (BEP 12): those of a tier are equals, a later tier is for when earlier
    /// ones fail.
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.trackers
    }

    /// Addresses of web seeds (BEP 19).
    pub fn web_seeds(&self) -> &[String] {
        &self.web_seeds
    }

    /// What the author says.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// The software that wrote the torrent file.
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }

    /// When the torrent file was written, in seconds since 1970.
    pub fn creation_date_s(&self) -> Option<u64> {
        self.creation_date_s
    }

    /// What the owner may want to know.
    pub fn cautions(&self) -> &[Caution] {
        &self.cautions
    }
}

impl fmt::Display for Caution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caution::Disorder { offset } => {
                write!(
                    formatter,
                    "byte {offset}: the keys are out of order; of equal keys the first counts"
                )
            }
            Caution::CaseTwins { first, second } => write!(
                formatter,
                "the paths of files {first} and {second} differ in case only, which some file systems ignore"
            ),
            Caution::NotUtf8 { place } => write!(
                formatter,
                "{place} is not UTF-8; what is wrong in it reads as `_`"
            ),
            Caution::Hybrid => formatter.write_str("a hybrid torrent; only its version 1 half is used"),
        }
    }
}

#[cfg(test)]
mod tests;
