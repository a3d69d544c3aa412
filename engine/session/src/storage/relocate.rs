//! Carrying a torrent's files to another folder, also one on another file system.
//!
//! Within a file system that is a rename. Across two, a file is copied under a temporary name, made durable, given its
//! name, that made durable, and only then deleted where it was. At every moment the file is whole under its name in at
//! least one of the two folders, so calling again after a crash carries on: what is only here is carried, what is only
//! there is done, and what is in both places is compared byte by byte. If it is the same the crash came before the
//! deletion; if not, the file there is somebody else's and is left alone.
//!
//! A copy of a terabyte takes hours, so that it can be stopped between two chunks. What was half copied then is removed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, SeekFrom, Timespec, Timestamps, fchmod, fstat, fsync, futimens, seek, unlinkat,
};
use rustix::io::Errno;
use shoal_proto::metainfo::{FileKind, Metainfo};
use shoal_world::FileStamp;

use super::finish::{rename, stamp_of};
use super::root::{Root, folder_of, name_of, retried};
use super::{MoveError, Place, Placed, Prepared, StorageError};

/// Bytes that are copied or compared at a time: enough that system calls do not count, little enough to stay in the
/// cache.
const CHUNK_LEN: usize = 256 << 10;

/// Carries all files of a torrent from their place to the folder `to`, which is made if it is missing, with the
/// names that they have now. Files that are not there are left out. `stamps` has one entry for each file of the
/// torrent. Nothing may be writing to the files. `watch` hears before each chunk how many bytes were copied or compared,
/// and may stop it.
///
/// # Errors
/// Another file has the name, there is no room, the operating system refuses, or `watch` stopped it; some files may have
/// been carried.
///
/// # Panics
/// When a list has not one entry for each file.
pub fn move_to(
    metainfo: &Metainfo,
    place: &Place,
    prepared: &Prepared,
    stamps: &[Option<FileStamp>],
    to: &Path,
    watch: &dyn Fn(u64) -> ControlFlow<()>,
) -> Result<Placed, MoveError> {
    let files = metainfo.files();
    assert!(
        [stamps.len(), prepared.paths.len()] == [files.len(); 2],
        "an entry for every file"
    );
    let from = Root::open_existing(&place.root)?;
    let new_place = Place {
        root: to.to_owned(),
        data_expected: false,
        ..place.clone()
    };
    let to = Root::open(&new_place)?;
    let mut carrier = Carrier {
        from: &from,
        to: &to,
        temporary: format!(".shoal-moving-{}", metainfo.info_hash()),
        emptied: BTreeSet::new(),
        progress: Progress {
            bytes: Cell::new(0),
            watch,
        },
    };
    let mut placed = Placed {
        paths: prepared.paths.clone(),
        stamps: stamps.to_vec(),
    };
    let names: Vec<PathBuf> = files
        .iter()
        .zip(&prepared.paths)
        .map(|(file, path)| file.path.as_path().with_file_name(name_of(path)))
        .collect();
    // What another program put at the path of padding is its own.
    let on_disk = || (0..files.len()).filter(|index| matches!(files[*index].kind, FileKind::Regular(_)));
    // All before any: a torrent that is half here and half there is harder to understand than one that did not move.
    for index in on_disk() {
        carrier.refuse_strangers(&names[index])?;
    }
    for index in on_disk() {
        placed.stamps[index] = carrier.carry(&names[index], stamps[index])?;
    }
    placed.paths = names.iter().map(|name| to.join(name)).collect();
    carrier.remove_emptied();
    Ok(placed)
}

/// How a file came to be in the new folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// It is no more in the old one.
    Renamed,
    /// It is in both.
    Copied,
}

struct Carrier<'r> {
    from: &'r Root,
    to: &'r Root,
    /// Name of the copy that is not whole yet; no other torrent has the same.
    temporary: String,
    /// Folders that files were carried out of.
    emptied: BTreeSet<PathBuf>,
    progress: Progress<'r>,
}

/// How far it is, and who hears of it.
struct Progress<'w> {
    /// Copied or compared.
    bytes: Cell<u64>,
    watch: &'w dyn Fn(u64) -> ControlFlow<()>,
}

impl Progress<'_> {
    /// So many bytes are next.
    fn begin_chunk(&self, len: u64) -> Result<(), Halt> {
        match (self.watch)(self.bytes.get()) {
            ControlFlow::Continue(()) => {
                self.bytes.set(self.bytes.get() + len);
                Ok(())
            }
            ControlFlow::Break(()) => Err(Halt::Cancelled),
        }
    }
}

/// Why work on the bytes of a file ended early.
enum Halt {
    Cancelled,
    Refused(Errno),
}

impl From<Errno> for Halt {
    fn from(errno: Errno) -> Halt {
        Halt::Refused(errno)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Halt {
        Halt::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

impl Halt {
    /// As an error; `refused` names what the kernel's refusal is about.
    fn or_refused(self, refused: impl FnOnce(Errno) -> StorageError) -> MoveError {
        match self {
            Halt::Cancelled => MoveError::Cancelled,
            Halt::Refused(errno) => refused(errno).into(),
        }
    }
}

impl Carrier<'_> {
    /// Refuses a file in the new folder that cannot be ours.
    fn refuse_strangers(&self, name: &Path) -> Result<(), MoveError> {
        match (self.from.look(name)?, self.to.look(name)?) {
            (Some(here), Some(there)) if here != there => {
                let same = here.is_regular() && there.is_regular() && here.len == there.len;
                if same && self.equal(name)? {
                    return Ok(());
                }
                let path = self.to.join(name);
                Err(StorageError::Occupied { path }.into())
            }
            _ => Ok(()),
        }
    }

    /// Carries one file and tells its stamp afterwards.
    fn carry(&mut self, name: &Path, stamp: Option<FileStamp>) -> Result<Option<FileStamp>, MoveError> {
        let Some(handle) = self.from.handle(name)? else {
            return Ok(stamp);
        };
        let unchanged = stamp.is_some() && stamp_of(&handle) == stamp;
        let folder = folder_of(name);
        let here = self.from.make_folder(folder, &mut BTreeSet::new())?;
        let mut changed = BTreeSet::new();
        let there = self.to.make_folder(folder, &mut changed)?;
        let inode = |folder| fstat(folder).map(|stat| (stat.st_dev, stat.st_ino));
        if inode(here.as_fd()) == inode(there.as_fd()) {
            return Ok(stamp);
        }
        changed.insert(folder.to_owned());
        let file_name = Path::new(name_of(name));
        let carried = match self.to.look(name)? {
            // The same, as was compared before: a crash came between the copy and this.
            Some(_) => {
                self.sync_copy(name)?;
                Carried::Copied
            }
            None => match rename(here.as_fd(), file_name, there.as_fd(), file_name) {
                Ok(()) => Carried::Renamed,
                Err(Errno::XDEV) => {
                    self.copy(name)?;
                    Carried::Copied
                }
                Err(errno) => return Err(self.to.refused(name, errno).into()),
            },
        };
        self.to.sync_folders(&changed)?;
        if carried == Carried::Copied {
            self.delete_source(name)?;
        }
        self.emptied.insert(folder.to_owned());
        let moved = self.to.handle(name)?;
        Ok(moved
            .and_then(|moved| stamp_of(&moved))
            .filter(|_| unchanged)
            .or(stamp))
    }

    /// Makes sure of a copy that an earlier call, or somebody else, made.
    fn sync_copy(&self, name: &Path) -> Result<(), StorageError> {
        let copy = self.to.open_file(name)?;
        retried(|| fsync(&copy)).map_err(|errno| self.to.refused(name, errno))
    }

    fn delete_source(&self, name: &Path) -> Result<(), StorageError> {
        let folder = self.from.make_folder(folder_of(name), &mut BTreeSet::new())?;
        retried(|| unlinkat(&folder, name_of(name), AtFlags::empty()))
            .map_err(|errno| self.from.refused(name, errno))
    }

    /// Copies a file under the temporary name, makes it durable and gives it its name.
    fn copy(&self, name: &Path) -> Result<(), MoveError> {
        let source = self.from.open_file(name)?;
        let temporary = folder_of(name).join(&self.temporary);
        let folder = self.to.make_folder(folder_of(name), &mut BTreeSet::new())?;
        // Left behind by a crash.
        match retried(|| unlinkat(&folder, &self.temporary, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.to.refused(&temporary, errno).into()),
        }
        let target = self.to.create(&temporary, false, &mut BTreeSet::new())?;
        let target = target.ok_or_else(|| StorageError::Occupied {
            path: self.to.join(&temporary),
        })?;
        let copied = fill(&source, &target, &self.progress);
        let named = copied.and_then(|()| {
            let own = Path::new(name_of(name));
            Ok(rename(
                folder.as_fd(),
                Path::new(&self.temporary),
                folder.as_fd(),
                own,
            )?)
        });
        named.map_err(|halt| {
            // What cannot be used takes no room; if that fails as well the next call tries it.
            let _ = unlinkat(&folder, &self.temporary, AtFlags::empty());
            let len = source.metadata().map_or(0, |metadata| metadata.len());
            halt.or_refused(|errno| StorageError::refused(&self.to.join(name), errno, len))
        })
    }

    /// Whether a file is the same, byte by byte, in both folders.
    fn equal(&self, name: &Path) -> Result<bool, MoveError> {
        let (here, there) = (self.from.open_file(name)?, self.to.open_file(name)?);
        equal_files(&here, &there, &self.progress)
            .map_err(|halt| halt.or_refused(|errno| self.to.refused(name, errno)))
    }

    /// Removes the folders that were the torrent's and hold nothing any more, from the deepest up.
    fn remove_emptied(&self) {
        for folder in &self.emptied {
            for emptied in folder
                .ancestors()
                .take_while(|folder| !folder.as_os_str().is_empty())
            {
                let Ok(Some(above)) = self.from.folder(folder_of(emptied)) else {
                    break;
                };
                // A folder with something of somebody else in it stays, and so do all above it.
                if unlinkat(&above, name_of(emptied), AtFlags::REMOVEDIR).is_err() {
                    break;
                }
            }
        }
    }
}

/// Copies content, holes, modification time and mode, and makes them durable.
fn fill(source: &File, target: &File, progress: &Progress<'_>) -> Result<(), Halt> {
    let stat = fstat(source)?;
    let len = stat.st_size as u64;
    target.set_len(len)?;
    let mut chunk = vec![0; CHUNK_LEN];
    let mut at = 0;
    while at < len {
        let data = match seek(source, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        at = seek(source, SeekFrom::Hole(data))?.min(len);
        copy_range(source, target, data..at, &mut chunk, progress)?;
    }
    let modified = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec as _,
    };
    fchmod(target, Mode::from_raw_mode(stat.st_mode))?;
    futimens(
        target,
        &Timestamps {
            last_access: modified,
            last_modification: modified,
        },
    )?;
    Ok(retried(|| fsync(target))?)
}

fn copy_range(
    source: &File,
    target: &File,
    range: Range<u64>,
    chunk: &mut [u8],
    progress: &Progress<'_>,
) -> Result<(), Halt> {
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(chunk.len() as u64);
        progress.begin_chunk(len)?;
        let chunk = &mut chunk[..len as usize];
        source.read_exact_at(chunk, at)?;
        target.write_all_at(chunk, at)?;
        at += len;
    }
    Ok(())
}

/// Compares two files of equal length.
fn equal_files(one: &File, other: &File, progress: &Progress<'_>) -> Result<bool, Halt> {
    let len = one.metadata()?.len();
    let mut chunks = [vec![0; CHUNK_LEN], vec![0; CHUNK_LEN]];
    let mut at = 0;
    while at < len {
        let chunk_len = (len - at).min(CHUNK_LEN as u64);
        progress.begin_chunk(chunk_len)?;
        let [left, right] = &mut chunks;
        let (left, right) = (&mut left[..chunk_len as usize], &mut right[..chunk_len as usize]);
        one.read_exact_at(left, at)?;
        other.read_exact_at(right, at)?;
        if left != right {
            return Ok(false);
        }
        at += chunk_len;
    }
    Ok(true)
}
