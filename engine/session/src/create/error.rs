//! Why a torrent could not be made.

use super::tree::Tree;
use crate::printable::{PrintablePath, RefusalText};
use shoal_proto::limits::{FILES_MAX, PATH_DEPTH_MAX};
use shoal_proto::metainfo::{Context, MetainfoError, Place, Problem};
use shoal_uring::scan::Cancelled;
use shoal_world::Refusal;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a torrent could not be made. Displays as one sentence that names the file and the way out.
#[derive(Debug, Error)]
pub enum CreateError {
    /// A file or folder could not be looked at.
    #[error("{}: cannot be read: {error}", PrintablePath(path))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file could not be opened or read while it was hashed.
    #[error("{}: cannot be read: {}", PrintablePath(path), RefusalText(*refusal))]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The root of the file system.
    #[error(
        "{}: has no name that a torrent could have; give a folder inside it",
        PrintablePath(path)
    )]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A name is not UTF-8.
    #[error(
        "{}: its name is not UTF-8, which BEP 3 demands; rename it",
        PrintablePath(path)
    )]
    NameNotUtf8 {
        /// Which.
        path: PathBuf,
    },
    /// A socket, a pipe or a device.
    #[error(
        "{}: neither a file nor a folder; remove it or share another folder",
        PrintablePath(path)
    )]
    Special {
        /// Which.
        path: PathBuf,
    },
    /// A link to a folder that it is in.
    #[error("{}: a link to a folder that it is in; remove it", PrintablePath(path))]
    Loop {
        /// Which.
        path: PathBuf,
    },
    /// Folders in folders, too many times.
    #[error(
        "{}: deeper than the {PATH_DEPTH_MAX} folders that a torrent may have",
        PrintablePath(path)
    )]
    TooDeep {
        /// The first folder that is.
        path: PathBuf,
    },
    /// Too many files.
    #[error("more than {FILES_MAX} files; make several torrents, or one archive")]
    TooManyFiles,
    /// There is no file with a byte in it.
    #[error("{}: holds no data to share", PrintablePath(path))]
    NoData {
        /// What was to be shared.
        path: PathBuf,
    },
    /// The name of a file cannot stand in a torrent.
    #[error("{}: its path {problem}; rename it", PrintablePath(path))]
    Name {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The address of a tracker cannot be used.
    #[error("a tracker's address is not one; write http, https or udp, a host and a path")]
    TrackerAddress,
    /// The address of a web seed cannot be used.
    #[error("a web seed's address is not one; write http or https, a host and a path")]
    WebSeedAddress,
    /// The torrent would be larger than clients read.
    #[error("{len} bytes of torrent are more than clients read; choose longer pieces")]
    TooLong {
        /// Bytes of the torrent file.
        len: usize,
    },
    /// Something else that no torrent may have.
    #[error("no torrent can be made of this: {0}")]
    Metainfo(MetainfoError),
    /// A file is not what it was when the work began.
    #[error(
        "{}: changed while it was read; try again when nothing writes to it",
        PrintablePath(path)
    )]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// The watcher broke off.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// There is another file where the torrent was to be written.
    #[error(
        "{}: is there already and is not this torrent; remove it or choose another name with -o",
        PrintablePath(path)
    )]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// The torrent could not be written.
    #[error("{}: cannot be written: {error}", PrintablePath(path))]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl CreateError {
    /// Says what the builder refused in terms of what was given to it.
    pub(super) fn of_builder(error: MetainfoError, tree: &Tree) -> CreateError {
        match error {
            MetainfoError::TooLong { len } => CreateError::TooLong { len },
            MetainfoError::Entry { place, problem } => CreateError::of_entry(place, problem, tree),
            other => CreateError::Metainfo(other),
        }
    }

    fn of_entry(place: Place, problem: Problem, tree: &Tree) -> CreateError {
        match (place.context, place.key, problem) {
            (_, "announce-list", Problem::Address) => CreateError::TrackerAddress,
            (_, "url-list", Problem::Address) => CreateError::WebSeedAddress,
            (Context::Info, "name", problem) => CreateError::Name {
                path: tree.parent.join(&tree.name),
                problem,
            },
            (Context::File(index), _, problem) => CreateError::Name {
                path: tree.paths().swap_remove(index as usize).0,
                problem,
            },
            _ => CreateError::Metainfo(MetainfoError::Entry { place, problem }),
        }
    }
}
