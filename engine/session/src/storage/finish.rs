//! Giving files that are whole their own names.
//!
//! One rename for each, which never replaces anything. A crash leaves each file under one of its two names, or
//! under both where the file system cannot rename without replacing; calling again carries on from there.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat_with, unlinkat};
use rustix::io::Errno;
use shoal_proto::metainfo::Metainfo;
use shoal_world::FileStamp;

use super::root::{Root, folder_of, name_of, retried};
use super::{Place, Placed, Prepared, StorageError};

/// Takes the `.part` off every file that is `whole` and has one. `whole` and `stamps` have one entry for each file
/// of the torrent. Nothing may be writing to the files.
///
/// # Errors
/// Another file has the name, or the operating system refuses; some files may have their names.
///
/// # Panics
/// When a list has not one entry for each file.
pub fn finish(
    metainfo: &Metainfo,
    place: &Place,
    prepared: &Prepared,
    whole: &[bool],
    stamps: &[Option<FileStamp>],
) -> Result<Placed, StorageError> {
    let files = metainfo.files();
    assert!(
        [whole.len(), stamps.len(), prepared.paths.len()] == [files.len(); 3],
        "an entry for every file"
    );
    let root = Root::open_existing(&place.root)?;
    let mut placed = Placed {
        paths: prepared.paths.clone(),
        stamps: stamps.to_vec(),
    };
    let mut folders = BTreeSet::new();
    for (index, file) in files.iter().enumerate().filter(|(index, _)| whole[*index]) {
        let own = file.path.as_path();
        let path = root.join(own);
        if placed.paths[index] == path {
            continue;
        }
        let part = own.with_file_name(name_of(&placed.paths[index]));
        placed.stamps[index] = name(&root, &part, own, stamps[index])?;
        placed.paths[index] = path;
        folders.insert(folder_of(own).to_owned());
    }
    root.sync_folders(&folders)?;
    Ok(placed)
}

/// Gives one file its own name, and tells its stamp afterwards.
fn name(
    root: &Root,
    part: &Path,
    own: &Path,
    stamp: Option<FileStamp>,
) -> Result<Option<FileStamp>, StorageError> {
    let refused = |errno| root.refused(own, errno);
    let Some(handle) = root.handle(part)? else {
        // It has its name since an earlier call.
        return match root.look(own)? {
            Some(_) => Ok(stamp),
            None => Err(root.refused(part, Errno::NOENT)),
        };
    };
    let unchanged = stamp.is_some() && stamp_of(&handle) == stamp;
    let folder = root.make_folder(folder_of(own), &mut BTreeSet::new())?;
    let (from, to) = (name_of(part), name_of(own));
    match rename(folder.as_fd(), Path::new(from), folder.as_fd(), Path::new(to)) {
        // Half of what `rename` does where it is two steps; the other half is due.
        Err(Errno::EXIST) if root.look(part)? == root.look(own)? => {
            unlinkat(&folder, from, AtFlags::empty()).map_err(refused)?;
        }
        result => result.map_err(refused)?,
    }
    Ok(if unchanged { stamp_of(&handle) } else { stamp })
}

/// Renames a file, never onto another.
pub(super) fn rename(
    from_folder: BorrowedFd<'_>,
    from: &Path,
    to_folder: BorrowedFd<'_>,
    to: &Path,
) -> Result<(), Errno> {
    let rename = || renameat_with(from_folder, from, to_folder, to, RenameFlags::NOREPLACE);
    match retried(rename) {
        // The file system cannot promise it (NFS): a second name, which never replaces either, and the first goes.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            retried(|| linkat(from_folder, from, to_folder, to, AtFlags::empty()))?;
            retried(|| unlinkat(from_folder, from, AtFlags::empty()))
        }
        result => result,
    }
}

pub(super) fn stamp_of(handle: &OwnedFd) -> Option<FileStamp> {
    shoal_uring::stamp(handle.as_fd()).ok()
}
