//! What a shard is commanded, and what it tells whoever runs it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::FileIndex;
use shoal_world::{Errno, FileStamp};

use crate::torrent::Seeding;

/// What a shard is commanded.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve a torrent. One of the same info-hash must not be there.
    Add(Box<Seeding>),
    /// A torrent that was reported by [`Event::FileSuspect`] was verified again: all its pieces are still right.
    TorrentVerified {
        /// Which torrent.
        info_hash: InfoHash,
        /// What each of its files was while it was verified, in the order of the layout.
        stamps: Vec<Option<FileStamp>>,
    },
    /// A file that was reported by [`Event::FileSuspect`] does not hold the torrent's bytes any more.
    FileRefuted {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which file.
        file: FileIndex,
    },
    /// Stop accepting and close every connection.
    Stop,
}

/// What a shard tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A torrent is not served any more.
    TorrentFailed {
        /// Which torrent.
        info_hash: InfoHash,
        /// Why.
        failure: Failure,
    },
    /// The change time of a file moved and nothing says why. Nothing more of the torrent is sent until a command tells
    /// whether its bytes are still right.
    FileSuspect {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which file.
        file: FileIndex,
    },
    /// Every connection is closed after [`Command::Stop`].
    Stopped,
}

/// Why a torrent is not served any more: a file and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub path: Arc<Path>,
    /// What happened.
    pub cause: Cause,
}

/// What can happen to a file that is being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was deleted or moved away.
    Deleted,
    /// Another file stands in its place.
    Replaced,
    /// Its length changed.
    Resized {
        /// Bytes it had when it was verified.
        from: u64,
        /// Bytes it has now.
        to: u64,
    },
    /// Somebody wrote to it.
    Written,
    /// Its bytes are not the torrent's any more.
    Refuted,
    /// It is shorter than the torrent says.
    Short {
        /// Bytes it has.
        len: u64,
    },
    /// It is no regular file.
    NotRegular,
    /// The operating system says no.
    Errno(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.cause {
            Cause::Deleted => write!(f, "{path} was deleted or moved away"),
            Cause::Replaced => write!(f, "{path} was replaced by another file"),
            Cause::Resized { from, to } if to < from => {
                write!(f, "{path} was truncated from {from} to {to} bytes")
            }
            Cause::Resized { from, to } => write!(f, "{path} grew from {from} to {to} bytes"),
            Cause::Written => write!(f, "{path} was written to after it was verified"),
            Cause::Refuted => write!(f, "{path} does not hold the torrent's bytes any more"),
            Cause::Short { len } => write!(f, "{path} ends after {len} bytes, before the torrent does"),
            Cause::NotRegular => write!(f, "{path} is not a regular file any more"),
            Cause::Errno(Errno(number)) => {
                write!(
                    f,
                    "{path} cannot be read: {}",
                    io::Error::from_raw_os_error(number)
                )
            }
        }
    }
}
