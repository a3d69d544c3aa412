//! Why files could not be made ready, named or moved.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use crate::printable::PrintablePath;

/// Why files could not be made ready, named or moved. Displays as one sentence that names the path and the way out.
///
/// The variant says who acts. [`StorageError::may_pass`] says which are worth another try without being asked.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The file system is full: its owner makes room.
    #[error("{}: no space left for its {needed} bytes; make room", PrintablePath(path))]
    NoSpace {
        /// What could not be made or filled.
        path: PathBuf,
        /// Bytes that the file is to have; 0 for a folder.
        needed: u64,
    },
    /// The user may not store more: whoever set the quota acts.
    #[error(
        "{}: the disk quota has no room for its {needed} bytes; raise it or make room",
        PrintablePath(path)
    )]
    Quota {
        /// What could not be made or filled.
        path: PathBuf,
        /// Bytes that the file is to have; 0 for a folder.
        needed: u64,
    },
    /// The file system was mounted, or is since an error, for reading only.
    #[error("{}: on a read-only file system; remount it", PrintablePath(path))]
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
    },
    /// Whose folder it is may grant access.
    #[error(
        "{}: no permission; change its owner or mode, or choose another folder",
        PrintablePath(path)
    )]
    Denied {
        /// What could not be opened or made.
        path: PathBuf,
    },
    /// What was there is gone altogether: whoever runs the machine mounts the disk.
    #[error(
        "{}: none of the torrent's files are there any more; mount the disk, or forget the torrent to start over",
        PrintablePath(path)
    )]
    Vanished {
        /// The root.
        path: PathBuf,
    },
    /// It was there and is not: something else removed it.
    #[error("{}: is not there", PrintablePath(path))]
    Missing {
        /// What.
        path: PathBuf,
    },
    /// A longer file is in the way: only its owner knows whether it matters.
    #[error(
        "{}: there is a file of {len} bytes where the torrent has one of {expected}; move it away",
        PrintablePath(path)
    )]
    Longer {
        /// Which.
        path: PathBuf,
        /// Bytes in it.
        len: u64,
        /// Bytes that the torrent says.
        expected: u64,
    },
    /// A folder, a pipe or a device is in the way.
    #[error("{}: in the way and not a regular file; move it away", PrintablePath(path))]
    NotRegular {
        /// Which.
        path: PathBuf,
    },
    /// Something that is no folder is in the way of one.
    #[error("{}: a file is where it needs a folder; move that away", PrintablePath(path))]
    NotFolder {
        /// What was to be reached.
        path: PathBuf,
    },
    /// A link leads out of the root, or in a circle.
    #[error(
        "{}: a symbolic link on its way leads out of the folder; remove it",
        PrintablePath(path)
    )]
    LeadsOutside {
        /// What was to be reached.
        path: PathBuf,
    },
    /// Two paths of the torrent are one file here.
    #[error(
        "{}: the same file as {} here; choose a file system that tells upper and lower case apart",
        PrintablePath(second),
        PrintablePath(first)
    )]
    Twins {
        /// The one that was there first.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The file system has no such names.
    #[error(
        "{}: a name that its file system does not take; choose another one",
        PrintablePath(path)
    )]
    Name {
        /// Which.
        path: PathBuf,
    },
    /// The file system has no such long files (FAT: 4 GiB).
    #[error(
        "{}: its {len} bytes are more than a file may have there; choose another file system",
        PrintablePath(path)
    )]
    TooLong {
        /// Which.
        path: PathBuf,
        /// Bytes that it is to have.
        len: u64,
    },
    /// A file of somebody else has the name that one is to get.
    #[error("{}: there is another file by that name; move it away", PrintablePath(path))]
    Occupied {
        /// The name.
        path: PathBuf,
    },
    /// The operating system says no in another way.
    #[error("{}: {error}", PrintablePath(path))]
    Refused {
        /// What it was about.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Why files were not moved, or not all of them. Calling again carries on.
#[derive(Debug, Error)]
pub enum MoveError {
    /// Something is in the way.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It was asked to stop.
    #[error("stopped before everything was moved")]
    Cancelled,
}

impl StorageError {
    /// Whether the same may succeed later because of what others do meanwhile: room is made, a disk is mounted.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            StorageError::NoSpace { .. }
                | StorageError::Quota { .. }
                | StorageError::ReadOnly { .. }
                | StorageError::Vanished { .. }
        )
    }

    /// What the kernel said about a path, where a file of `needed` bytes was to be.
    pub(super) fn refused(path: &Path, errno: Errno, needed: u64) -> StorageError {
        let path = path.to_owned();
        match errno {
            Errno::NOSPC => StorageError::NoSpace { path, needed },
            Errno::DQUOT => StorageError::Quota { path, needed },
            Errno::ROFS => StorageError::ReadOnly { path },
            Errno::ACCESS | Errno::PERM => StorageError::Denied { path },
            // A server of NFS forgot the folder; a disk was pulled.
            Errno::STALE | Errno::NODEV | Errno::NXIO => StorageError::Vanished { path },
            Errno::NOENT => StorageError::Missing { path },
            Errno::EXIST => StorageError::Occupied { path },
            Errno::NOTDIR => StorageError::NotFolder { path },
            Errno::XDEV | Errno::LOOP => StorageError::LeadsOutside { path },
            Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL => StorageError::Name { path },
            Errno::FBIG => StorageError::TooLong { path, len: needed },
            Errno::ISDIR => StorageError::NotRegular { path },
            other => StorageError::Refused {
                path,
                error: other.into(),
            },
        }
    }

    /// The same for what the standard library did.
    pub(super) fn of_io(path: &Path, error: &io::Error) -> StorageError {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        StorageError::refused(path, errno, 0)
    }
}
