//! The files of a torrent on disk: made before anything is written to them, given their names when they are whole,
//! moved.
//!
//! [`prepare`] makes folders and files and sets lengths, [`find`] only looks, [`finish`] takes the `.part` off,
//! [`move_to`] carries all to another folder. Nothing here reads or writes payload for its own sake: that is a core's work, and `resume`
//! says what is there.
//!
//! | what is in the way | what is done |
//! |---|---|
//! | a regular file, not longer than the torrent says | taken for the torrent's and made as long; checking tells what it holds |
//! | a longer one | refused: cutting it would destroy what is no part of the torrent |
//! | a folder, a pipe, a device | refused, and never opened |
//! | a symbolic link within the torrent's folder | followed as long as it stays beneath the root, else refused |
//! | two paths that are one file (a file system that folds case, a hard link within the torrent) | refused with both names |
//!
//! A file is written at its name with `.part` behind it until it is whole, where that is wanted. It has no suffix
//! if something is at its own name already, if the suffix would not fit, or if another file of the torrent has that
//! name. Padding files (BEP 47) are never on disk, nor are links. Empty files are made. A file that nobody wants is
//! made when a wanted piece reaches into it, sparse, because the piece's bytes must be somewhere; [`prepare_pieces`] does
//! that for pieces that are wanted by themselves.
//!
//! Invariants:
//! - Nothing that exists is truncated, overwritten or replaced.
//! - Every path is resolved by `openat2(2)` beneath the root, so that no link leads out of it.
//! - Names that were given are durable once a call returned, and what was cut off at any point can be called again.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, fstat, ftruncate};
use rustix::io::Errno;
use shoal_proto::layout::{Layout, PieceIndex};
use shoal_proto::metainfo::{self, FileKind, Metainfo};
use shoal_world::FileStamp;

mod error;
mod finish;
mod names;
mod relocate;
mod root;

pub use error::{MoveError, StorageError};
pub use finish::finish;
pub use relocate::move_to;

use names::Names;
use root::{Entry, Root};

/// Where the bytes of files are before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preallocation {
    /// Nowhere: files have their length, and take room as they are written.
    Sparse,
    /// On disk: what does not fit is known before it is fetched, and files lie in one stretch. As `Sparse` on file
    /// systems that cannot.
    Full,
}

/// Where and how a torrent is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder that the torrent's paths begin in. Made if it is missing.
    pub root: PathBuf,
    /// Files are called `.part` until they are whole.
    pub part_suffix: bool,
    /// Whether room is taken in advance.
    pub preallocation: Preallocation,
    /// Some of the torrent was here before (the durable state has a stamp). If now nothing of it is, its disk is not
    /// mounted, and making an empty tree would hide that.
    pub data_expected: bool,
}

/// The files of a torrent, ready to be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// For each file of the torrent, where it is written now. Of files that are not on disk only a name.
    pub paths: Vec<PathBuf>,
    /// For each file of the torrent, whether it was there before.
    pub existed: Vec<bool>,
}

/// Files that got other names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// For each file of the torrent, where it is now.
    pub paths: Vec<PathBuf>,
    /// For each file of the torrent, its stamp. Renaming moves the change time, which would make every file suspect;
    /// so a file that until then was as its old stamp says has a new one, and any other keeps the old one.
    pub stamps: Vec<Option<FileStamp>>,
}

/// Makes folders and files, and sets lengths. `wanted` has one entry for each file of the torrent.
///
/// # Errors
/// Something is in the way, there is no room, or the operating system refuses; some files may have been made.
///
/// # Panics
/// When `wanted` has not one entry for each file.
pub fn prepare(metainfo: &Metainfo, place: &Place, wanted: &[bool]) -> Result<Prepared, StorageError> {
    assert_eq!(wanted.len(), metainfo.files().len(), "a wish for every file");
    let wish = |(needed, wanted): (bool, &bool)| match (needed, wanted) {
        (false, _) => Need::None,
        (true, false) => Need::Room(Preallocation::Sparse),
        (true, true) => Need::Room(place.preallocation),
    };
    let needs: Vec<Need> = needed(metainfo, wanted)
        .into_iter()
        .zip(wanted)
        .map(wish)
        .collect();
    make(metainfo, place, &needs)
}

/// Makes the files that these pieces reach into, sparse, as [`prepare`] does for files that only share a piece with what
/// is wanted. Other files are left as they are.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_pieces(
    metainfo: &Metainfo,
    place: &Place,
    pieces: &[PieceIndex],
) -> Result<Prepared, StorageError> {
    let layout = metainfo.layout();
    let mut needs = vec![Need::None; metainfo.files().len()];
    for piece in pieces {
        let segments = layout.segments(layout.piece_offset(*piece), layout.piece_len(*piece).into());
        for segment in segments.filter(|segment| !segment.padding) {
            needs[segment.file.index()] = Need::Room(Preallocation::Sparse);
        }
    }
    make(metainfo, place, &needs)
}

/// Where the files of a torrent are, without links on the way: who opens them again and again follows no link, because
/// one that appears later may lead anywhere. Of files that are not on disk, where they would be.
///
/// # Errors
/// The root is gone.
pub fn resolve(place: &Place, prepared: &Prepared) -> Result<Vec<PathBuf>, StorageError> {
    let root = fs::canonicalize(&place.root).map_err(|error| StorageError::of_io(&place.root, &error))?;
    let resolved = |path: &PathBuf| {
        let beneath = path.strip_prefix(&place.root).unwrap_or(path);
        fs::canonicalize(path).unwrap_or_else(|_| root.join(beneath))
    };
    Ok(prepared.paths.iter().map(resolved).collect())
}

/// What is to be there of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    None,
    /// The file, with its room taken so.
    Room(Preallocation),
}

fn make(metainfo: &Metainfo, place: &Place, needs: &[Need]) -> Result<Prepared, StorageError> {
    let root = Root::open(place)?;
    let found = survey(metainfo, &root, place.part_suffix, needs)?;
    if place.data_expected && !found.iter().any(|file| file.existed) {
        return Err(StorageError::Vanished {
            path: place.root.clone(),
        });
    }
    let mut maker = Maker {
        root: &root,
        inodes: HashMap::new(),
        folders: BTreeSet::new(),
    };
    for ((file, found), need) in metainfo.files().iter().zip(&found).zip(needs) {
        if let Need::Room(preallocation) = *need {
            maker.make(file, found, preallocation)?;
        }
    }
    root.sync_folders(&maker.folders)?;
    Ok(prepared(&place.root, &found))
}

/// Where the files of a torrent are below a folder, by one of their names, and which are there. Nothing is made, and what
/// is there may be anything.
///
/// # Errors
/// The operating system refuses to look. A folder that is missing is one with nothing in it.
pub fn find(metainfo: &Metainfo, root: &Path) -> Result<Prepared, StorageError> {
    let files = metainfo.files();
    let found = match Root::open_existing(root) {
        Ok(root) => survey(metainfo, &root, false, &vec![Need::None; files.len()])?,
        Err(StorageError::Missing { .. }) => {
            files.iter().map(|file| Found::not(file.path.as_path())).collect()
        }
        Err(error) => return Err(error),
    };
    Ok(prepared(root, &found))
}

fn prepared(root: &Path, found: &[Found]) -> Prepared {
    Prepared {
        paths: found.iter().map(|file| root.join(&file.path)).collect(),
        existed: found.iter().map(|file| file.existed).collect(),
    }
}

/// Which files must be on disk: those that are wanted, and those that share a piece with one that is.
fn needed(metainfo: &Metainfo, wanted: &[bool]) -> Vec<bool> {
    let layout = metainfo.layout();
    let files = layout.files().zip(metainfo.files());
    files
        .map(|((index, extent), file)| {
            let on_disk = matches!(file.kind, FileKind::Regular(_));
            let shares = || {
                // Only the first and the last piece of a file can hold bytes of others.
                extent.len > 0
                    && (reaches_wanted(layout, extent.start, wanted)
                        || reaches_wanted(layout, extent.start + extent.len - 1, wanted))
            };
            on_disk && (wanted[index.index()] || shares())
        })
        .collect()
}

/// Whether the piece that holds this byte of the payload holds bytes of a wanted file.
fn reaches_wanted(layout: &Layout, byte: u64, wanted: &[bool]) -> bool {
    let piece_length = u64::from(layout.piece_length());
    let start = byte / piece_length * piece_length;
    let len = piece_length.min(layout.total_len() - start);
    layout
        .segments(start, len)
        .any(|segment| !segment.padding && wanted[segment.file.index()])
}

/// Where a file is or will be.
struct Found {
    /// Beneath the root.
    path: PathBuf,
    existed: bool,
}

impl Found {
    /// It is not there; this would be its path.
    fn not(path: &Path) -> Found {
        Found {
            path: path.to_owned(),
            existed: false,
        }
    }
}

/// Looks for every file before any is made, so that what is in the way is said while nothing has happened.
fn survey(
    metainfo: &Metainfo,
    root: &Root,
    part_suffix: bool,
    needs: &[Need],
) -> Result<Vec<Found>, StorageError> {
    let names = Names::new(metainfo);
    let files = metainfo.files().iter().zip(needs);
    files
        .map(|(file, need)| {
            let needed = *need != Need::None;
            let own = file.path.as_path();
            if !matches!(file.kind, FileKind::Regular(_)) {
                return Ok(Found::not(own));
            }
            let part = names.part(file);
            for path in [Some(own), part.as_deref()].into_iter().flatten() {
                match root.look(path) {
                    Ok(None) => continue,
                    Ok(Some(entry)) if needed => suits(root, path, &entry, file.len)?,
                    Err(error) if needed => return Err(error),
                    // What is in the way of nothing is no obstacle.
                    Ok(Some(_)) | Err(_) => {}
                }
                return Ok(Found {
                    path: path.to_owned(),
                    existed: true,
                });
            }
            Ok(Found::not(part.as_deref().filter(|_| part_suffix).unwrap_or(own)))
        })
        .collect()
}

/// Refuses what cannot be taken for a file of this length.
fn suits(root: &Root, path: &Path, entry: &Entry, len: u64) -> Result<(), StorageError> {
    let path = || root.join(path);
    if !entry.is_regular() {
        return Err(StorageError::NotRegular { path: path() });
    }
    if entry.len > len {
        return Err(StorageError::Longer {
            path: path(),
            len: entry.len,
            expected: len,
        });
    }
    Ok(())
}

/// Makes files, one after another.
struct Maker<'r> {
    root: &'r Root,
    /// Device and inode of what was made or found, to notice two names for one file.
    inodes: HashMap<(u64, u64), PathBuf>,
    /// Folders beneath the root that have new entries.
    folders: BTreeSet<PathBuf>,
}

impl Maker<'_> {
    fn make(
        &mut self,
        file: &metainfo::File,
        found: &Found,
        preallocation: Preallocation,
    ) -> Result<(), StorageError> {
        let handle = self.open(file, found)?;
        let path = self.root.join(&found.path);
        let refused = |errno| StorageError::refused(&path, errno, file.len);
        let entry = Entry::of(&fstat(&handle).map_err(refused)?);
        if let Some(first) = self.inodes.insert(entry.inode, path.clone()) {
            return Err(StorageError::Twins { first, second: path });
        }
        // Once more: on a file system that folds case, or in a race, it is not what was looked at.
        suits(self.root, &found.path, &entry, file.len)?;
        if entry.len < file.len {
            set_len(&handle, file.len, preallocation).map_err(refused)?;
        }
        Ok(())
    }

    fn open(&mut self, file: &metainfo::File, found: &Found) -> Result<File, StorageError> {
        if !found.existed {
            let executable = matches!(file.kind, FileKind::Regular(attributes) if attributes.executable);
            if let Some(made) = self.root.create(&found.path, executable, &mut self.folders)? {
                return Ok(made);
            }
        }
        self.root.open_file(&found.path)
    }
}

/// Makes a file longer.
fn set_len(file: &File, len: u64, preallocation: Preallocation) -> Result<(), Errno> {
    if preallocation == Preallocation::Full {
        match root::retried(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
            // NFS before 4.2, FUSE, ZFS.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            result => return result,
        }
    }
    root::retried(|| ftruncate(file, len))
}

#[cfg(test)]
mod tests;
