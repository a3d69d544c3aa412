//! Writing a torrent file: whole or not at all, and never over another.

use super::CreateError;
use crate::torrent_file;
use shoal_proto::metainfo::{Built, Metainfo};
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Readable by all whom the process's mask does not exclude, as a file made by any other tool is.
const MODE: u32 = 0o666;

/// What became of the torrent file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was written and is durable.
    Written,
    /// The same torrent was there already; it was left as it is, with its earlier date.
    Kept,
}

/// Writes the torrent to `output`, unless the same one is there.
///
/// # Errors
/// Another file is there, or writing failed; then nothing was written.
pub fn store(output: &Path, built: &Built) -> Result<Stored, CreateError> {
    if output.symlink_metadata().is_ok() {
        return keep(output, &built.metainfo);
    }
    match write(output, &built.bytes) {
        Ok(()) => Ok(Stored::Written),
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => keep(output, &built.metainfo),
        Err(error) => Err(CreateError::Unwritable {
            path: output.to_owned(),
            error,
        }),
    }
}

/// Whether two torrents differ in nothing but when, and by what software, they were written.
fn is_same_torrent(left: &Metainfo, right: &Metainfo) -> bool {
    left.info_hash() == right.info_hash()
        && left.trackers() == right.trackers()
        && left.web_seeds() == right.web_seeds()
        && left.comment() == right.comment()
}

fn keep(output: &Path, metainfo: &Metainfo) -> Result<Stored, CreateError> {
    match torrent_file::read(output) {
        Ok(existing) if is_same_torrent(&existing, metainfo) => Ok(Stored::Kept),
        _ => Err(CreateError::Exists {
            path: output.to_owned(),
        }),
    }
}

/// Through a temporary file in the same folder, which is made durable before it gets its name, and the name after.
fn write(output: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".shoal-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(output).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
