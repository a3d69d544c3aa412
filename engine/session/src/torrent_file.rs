//! Reading `.torrent` files from disk.
//!
//! Only regular files are read: a pipe would wait for a writer, a device might never end. No more is read than the
//! longest torrent that is accepted.

use crate::printable::PrintablePath;
use shoal_proto::limits::METAINFO_LEN_MAX;
use shoal_proto::metainfo::{Metainfo, MetainfoError};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a torrent file could not be used. Displays as one sentence that names the file.
#[derive(Debug, Error)]
pub enum TorrentFileError {
    /// The operating system refuses.
    #[error("{}: cannot be read: {error}", PrintablePath(file))]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A folder, pipe, socket or device.
    #[error("{}: not a regular file, so no torrent", PrintablePath(file))]
    NotRegular {
        /// Which.
        file: PathBuf,
    },
    /// The content is refused.
    #[error("{}: {error}", PrintablePath(file))]
    Metainfo {
        /// Which file.
        file: PathBuf,
        /// Why.
        error: MetainfoError,
    },
}

/// Reads a torrent file.
///
/// # Errors
/// It cannot be read, or it is no torrent.
pub fn read(file: &Path) -> Result<Metainfo, TorrentFileError> {
    let unreadable = |error| TorrentFileError::Unreadable {
        file: file.to_owned(),
        error,
    };
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(TorrentFileError::NotRegular {
            file: file.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened
        .take(METAINFO_LEN_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Metainfo::parse(&bytes).map_err(|error| TorrentFileError::Metainfo {
        file: file.to_owned(),
        error,
    })
}
