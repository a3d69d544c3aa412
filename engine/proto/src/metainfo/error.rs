//! Why a torrent file is refused: always one sentence that names the place.

use std::fmt;

use thiserror::Error;

use super::path::PathProblem;
use crate::bencode::DecodeError;
use crate::layout::LayoutError;
use crate::limits::METAINFO_LEN_MAX;

/// Why a torrent file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MetainfoError {
    /// More bytes than any torrent file has.
    #[error("the torrent file is {len} bytes long, and {METAINFO_LEN_MAX} is the most")]
    TooLong {
        /// Bytes in the file.
        len: usize,
    },
    /// Not bencode, or not throughout.
    #[error("this is no torrent file: {0}")]
    Bencode(#[from] DecodeError),
    /// Bencode, but not a dictionary.
    #[error("this is no torrent file: it is not a dictionary")]
    NotADictionary,
    /// Only BEP 52.
    #[error("this is a version 2 torrent (BEP 52), and only version 1 and hybrid torrents are supported")]
    Version2Only,
    /// Something under a key.
    #[error("{place} {problem}")]
    Entry {
        /// The key.
        place: Place,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// A key in a torrent file. Displays as a path through the dictionaries, such as `info.files[3].path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The dictionary.
    pub context: Context,
    /// The key in it.
    pub key: &'static str,
}

/// The dictionaries of a torrent file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// The outermost one.
    Torrent,
    /// The one that is hashed.
    Info,
    /// The entry of a file, by its number.
    File(u32),
}

/// What can be wrong with the value of a key; reads on from the key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Problem {
    /// The key must be there.
    #[error("is missing")]
    Missing,
    /// The value is of another type.
    #[error("is not {expected}")]
    WrongType {
        /// The right type, with its article.
        expected: &'static str,
    },
    /// An integer that cannot be a length.
    #[error("is {integer}, which is no length")]
    NotALength {
        /// The integer.
        integer: i64,
    },
    /// Lengths that make no torrent.
    #[error("is refused: {0}")]
    Layout(#[from] LayoutError),
    /// Piece hashes that are cut.
    #[error("is {len} bytes long, which is no multiple of 20")]
    HashesCut {
        /// Bytes of all hashes.
        len: usize,
    },
    /// The number of hashes does not follow from the lengths.
    #[error("has {found} hashes where the files make {expected} pieces")]
    HashesCount {
        /// Hashes in the file.
        found: usize,
        /// Pieces by the lengths.
        expected: u32,
    },
    /// One file and several files at once.
    #[error("is there beside `info.length`, but a torrent is either one file or a list of files")]
    Ambiguous,
    /// A path that cannot be used.
    #[error("{0}")]
    Path(#[from] PathProblem),
    /// Two files of one path.
    #[error("is the path of file {other} as well")]
    SamePath {
        /// The other file's number.
        other: u32,
    },
    /// A file below a file.
    #[error("leads through file {other} as if that were a folder")]
    ThroughFile {
        /// The other file's number.
        other: u32,
    },
    /// A link with payload.
    #[error("is not 0, but a symbolic link has no bytes of its own")]
    SymlinkLength,
    /// A link to nothing, to itself by way of others, or to a folder that it is in.
    #[error("leads to no other file or folder of this torrent")]
    SymlinkTarget,
    /// An address that no tracker or web seed can have.
    #[error("holds an address that cannot be used")]
    Address,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key;
        match self.context {
            Context::Torrent => write!(formatter, "`{key}`"),
            Context::Info => write!(formatter, "`info.{key}`"),
            Context::File(index) => write!(formatter, "`info.files[{index}].{key}`"),
        }
    }
}
