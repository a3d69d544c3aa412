//! What a shard is commanded, and what it tells whoever runs it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileIndex, PieceIndex};
use shoal_world::{Errno, FileStamp};

use crate::picker::{Order, Priority};
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
    /// Connect to these peers of a torrent.
    Connect {
        /// Which torrent.
        info_hash: InfoHash,
        /// Where they accept connections.
        addresses: Vec<SocketAddr>,
    },
    /// Want the files of a torrent so much from now on.
    Prioritise {
        /// Which torrent.
        info_hash: InfoHash,
        /// A priority for each file, in the order of the layout.
        priorities: Vec<Priority>,
        /// A number that the answer carries, higher than those of all wishes before it.
        wish: u64,
    },
    /// Want these pieces of a torrent so much from now on, whatever their files say.
    PrioritisePieces {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which pieces.
        pieces: Vec<PieceIndex>,
        /// How much. `None`: as much as their files say, as before.
        priority: Option<Priority>,
        /// As in [`Command::Prioritise`], one count for both.
        wish: u64,
    },
    /// Fetch the pieces of a torrent in this order from now on.
    Reorder {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which order.
        order: Order,
    },
    /// Fetch these pieces before all others, in this order: somebody waits for them. Replaces what was said before.
    Expect {
        /// Which torrent.
        info_hash: InfoHash,
        /// Pieces by number; those that do not exist or are there are passed over.
        pieces: Vec<u32>,
    },
    /// Limit the rates of a torrent, in bytes per second; `None`: no limit of its own.
    Limit {
        /// Which torrent.
        info_hash: InfoHash,
        /// What is fetched.
        download: Option<u64>,
        /// What is sent.
        upload: Option<u64>,
    },
    /// Super-seed a complete torrent (BEP 16), or do not any more. Peers that come from now on are told of one piece at a
    /// time.
    SuperSeed {
        /// Which torrent.
        info_hash: InfoHash,
        /// Whether it is super-seeded.
        on: bool,
    },
    /// Serve a torrent no more: its peers are disconnected and its files closed.
    Remove {
        /// Which torrent.
        info_hash: InfoHash,
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
    /// A piece was verified and written: it can be read from its files.
    PieceWritten {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which piece.
        piece: PieceIndex,
    },
    /// These pieces survive a loss of power from now on.
    PiecesDurable {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which pieces.
        pieces: Vec<PieceIndex>,
        /// What their files were afterwards.
        stamps: Vec<(FileIndex, FileStamp)>,
        /// Bytes of blocks that came since the torrent was added.
        downloaded_bytes: u64,
        /// Bytes of blocks that were sent since then.
        uploaded_bytes: u64,
    },
    /// Everything that is wanted of a torrent is there and durable.
    TorrentFinished {
        /// Which torrent.
        info_hash: InfoHash,
        /// The number of the latest wish that this takes into account; 0: none came since the torrent was added.
        wish: u64,
    },
    /// A torrent cannot be written. Nothing more of it is asked for, and the write is tried again.
    TorrentPaused {
        /// Which torrent.
        info_hash: InfoHash,
        /// Why.
        failure: Failure,
    },
    /// A torrent that was paused is being fetched again.
    TorrentResumed {
        /// Which torrent.
        info_hash: InfoHash,
    },
    /// A piece of a torrent can never be fetched here: it does not fit into memory.
    PieceTooLong {
        /// Which torrent.
        info_hash: InfoHash,
    },
    /// A peer was proven to have sent wrong bytes. It is not talked to any more.
    PeerBanned {
        /// Of which torrent they were.
        info_hash: InfoHash,
        /// The peer.
        address: SocketAddr,
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
    /// What was written to it could not be made durable: nobody knows what is on the disk now.
    Unsynced(Errno),
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
                write!(f, "{path}: {}", io::Error::from_raw_os_error(number))
            }
            Cause::Unsynced(Errno(number)) => {
                let error = io::Error::from_raw_os_error(number);
                write!(f, "{path}: what was written may be lost: {error}")
            }
        }
    }
}
