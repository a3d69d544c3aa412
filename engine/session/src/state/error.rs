//! Why the durable state could not be used.

use std::io;
use std::path::{Path, PathBuf};

use shoal_proto::info_hash::InfoHash;
use thiserror::Error;

use super::FORMAT;
use crate::printable::PrintablePath;

/// Why the durable state could not be used. Displays as one sentence that names the file and the way out.
#[derive(Debug, Error)]
pub enum StateError {
    /// The user runs two at once.
    #[error(
        "{}: another process has this state open; end it, or choose another state file",
        PrintablePath(path)
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The user went back to an older version of the program.
    #[error(
        "{}: written by a newer shoal (format {found}, this one knows {FORMAT}); use the newer one",
        PrintablePath(path)
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u64,
    },
    /// Nobody can help the file; without it the data is checked again and nothing else is lost.
    #[error(
        "{}: {damage}; move it away, and the data will be checked instead",
        PrintablePath(path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The user makes room; what was saved before is still there.
    #[error("{}: no room to save the state; make some on its disk", PrintablePath(path))]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// Nobody knows what an error of the disk left of what was written since the start.
    #[error(
        "{}: the state could not be written before; start again to have it checked",
        PrintablePath(path)
    )]
    Failed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("{}: the state cannot be read or written: {error}", PrintablePath(path))]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What is wrong with the file.
#[derive(Debug, Error)]
pub enum Damage {
    /// It has no bytes.
    #[error("the state is an empty file")]
    Empty,
    /// Its pages contradict each other, or it is no database at all.
    #[error("the state is damaged or no state at all ({0})")]
    Database(Box<redb::Error>),
    /// Its pages contradict each other so that redb gave up.
    #[error("the state is damaged")]
    Contradiction,
    /// A database without what ours have.
    #[error("this is not a state of shoal")]
    NotOurs,
    /// The pages are right and what is kept in them is not.
    #[error("the state of torrent {0} is damaged")]
    Record(InfoHash),
}

impl StateError {
    pub(super) fn damaged(path: &Path, damage: Damage) -> StateError {
        StateError::Damaged {
            path: path.to_owned(),
            damage,
        }
    }

    pub(super) fn refused(path: &Path, error: io::Error) -> StateError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StateError::NoSpace { path },
            _ => StateError::Refused { path, error },
        }
    }

    /// Says what redb says in terms of what can be done about it.
    pub(super) fn database(path: &Path, error: impl Into<redb::Error>) -> StateError {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => StateError::Locked {
                path: path.to_owned(),
            },
            redb::Error::PreviousIo => StateError::Failed {
                path: path.to_owned(),
            },
            // redb's word for a file without its magic number, or one that ends before its pages do.
            redb::Error::Io(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                StateError::refused(path, error)
            }
            other => StateError::damaged(path, Damage::Database(Box::new(other))),
        }
    }
}
