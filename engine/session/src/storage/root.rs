//! The folder that a torrent is kept in, and everything beneath it.
//!
//! Every path is resolved from the root's descriptor with `RESOLVE_BENEATH`, so a link, put there before or while
//! we look, never leads out. Folders are made one at a time, each in the descriptor of the one above. What a path
//! names is looked at before it is opened: opening a pipe waits for its other end, and opening a device may do
//! things.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, fsync, mkdirat, openat2};
use rustix::io::Errno;

use super::{Place, StorageError};

/// How often a system call is tried that a signal or a rename elsewhere interrupts.
const TRIES_MAX: usize = 100;

/// What new files may be before the process's mask: as any other tool makes them.
const FILE_MODE: u32 = 0o666;
const PROGRAM_MODE: u32 = 0o777;
const FOLDER_MODE: u32 = 0o777;

/// An open folder.
pub(super) struct Root {
    path: PathBuf,
    folder: OwnedFd,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    kind: FileType,
    /// Bytes in it.
    pub(super) len: u64,
    /// Device and inode.
    pub(super) inode: (u64, u64),
}

impl Entry {
    pub(super) fn of(stat: &Stat) -> Entry {
        Entry {
            kind: FileType::from_raw_mode(stat.st_mode),
            len: u64::try_from(stat.st_size).unwrap_or(0),
            inode: (stat.st_dev, stat.st_ino),
        }
    }

    pub(super) fn is_regular(&self) -> bool {
        self.kind == FileType::RegularFile
    }
}

impl Root {
    /// The root of a place, made if it is missing and nothing is expected to be in it.
    pub(super) fn open(place: &Place) -> Result<Root, StorageError> {
        let path = &place.root;
        match Root::open_existing(path) {
            Err(StorageError::Missing { .. }) if place.data_expected => {
                Err(StorageError::Vanished { path: path.clone() })
            }
            Err(StorageError::Missing { .. }) => {
                make_root(path).map_err(|error| StorageError::of_io(path, &error))?;
                Root::open_existing(path)
            }
            result => result,
        }
    }

    /// A root that must be there. Links on the way to it are the user's own.
    pub(super) fn open_existing(path: &Path) -> Result<Root, StorageError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = retried(|| rustix::fs::open(path, flags, Mode::empty()))
            .map_err(|errno| StorageError::refused(path, errno, 0))?;
        Ok(Root {
            path: path.to_owned(),
            folder,
        })
    }

    /// A path beneath the root as others name it.
    pub(super) fn join(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    /// What a path names, if anything.
    pub(super) fn look(&self, path: &Path) -> Result<Option<Entry>, StorageError> {
        let Some(handle) = self.handle(path)? else {
            return Ok(None);
        };
        let stat = fstat(&handle).map_err(|errno| self.refused(path, errno))?;
        Ok(Some(Entry::of(&stat)))
    }

    /// A descriptor that only names, which nothing happens by opening.
    pub(super) fn handle(&self, path: &Path) -> Result<Option<OwnedFd>, StorageError> {
        match self.resolve(path, OFlags::PATH, Mode::empty()) {
            Ok(handle) => Ok(Some(handle)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    /// Opens a file that was looked at, for reading and writing.
    pub(super) fn open_file(&self, path: &Path) -> Result<File, StorageError> {
        match self.look(path)? {
            Some(entry) if entry.is_regular() => {}
            // A link that leads nowhere is in the way and is no file.
            _ => {
                return Err(StorageError::NotRegular {
                    path: self.join(path),
                });
            }
        }
        // Not waiting, should it have become a pipe since.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.resolve(path, flags, Mode::empty());
        file.map(File::from).map_err(|errno| self.refused(path, errno))
    }

    /// Makes an empty file and the folders that it is in, and notes the folders that have new entries. `None` if there
    /// is something by that name.
    pub(super) fn create(
        &self,
        path: &Path,
        executable: bool,
        changed: &mut BTreeSet<PathBuf>,
    ) -> Result<Option<File>, StorageError> {
        let folder = folder_of(path);
        self.make_folder(folder, changed)?;
        let mode = Mode::from_raw_mode(if executable { PROGRAM_MODE } else { FILE_MODE });
        match self.resolve(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode) {
            Ok(file) => {
                changed.insert(folder.to_owned());
                Ok(Some(File::from(file)))
            }
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    /// A folder beneath the root, if it is there.
    pub(super) fn folder(&self, path: &Path) -> Result<Option<OwnedFd>, StorageError> {
        let path_or_root = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        match self.resolve(path_or_root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    /// A folder beneath the root, made with those above it if it is missing. As deep as a torrent's path may be.
    pub(super) fn make_folder(
        &self,
        path: &Path,
        changed: &mut BTreeSet<PathBuf>,
    ) -> Result<OwnedFd, StorageError> {
        if let Some(folder) = self.folder(path)? {
            return Ok(folder);
        }
        let (above, name) = (folder_of(path), name_of(path));
        let folder = self.make_folder(above, changed)?;
        match retried(|| mkdirat(&folder, name, Mode::from_raw_mode(FOLDER_MODE))) {
            // Somebody else was faster.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.refused(path, errno)),
        }
        changed.insert(above.to_owned());
        // It is there now, so what is not found is a link that leads nowhere.
        let made = self.folder(path)?;
        made.ok_or_else(|| StorageError::NotFolder {
            path: self.join(path),
        })
    }

    /// Makes the entries of folders durable.
    pub(super) fn sync_folders(&self, folders: &BTreeSet<PathBuf>) -> Result<(), StorageError> {
        folders.iter().try_for_each(|path| {
            let path_or_root = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let folder = self.resolve(path_or_root, flags, Mode::empty());
            let synced = folder.and_then(|folder| retried(|| fsync(&folder)));
            synced.map_err(|errno| self.refused(path, errno))
        })
    }

    /// The one door to paths beneath the root.
    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        retried(|| openat2(&self.folder, path, flags | OFlags::CLOEXEC, mode, beneath))
    }

    pub(super) fn refused(&self, path: &Path, errno: Errno) -> StorageError {
        StorageError::refused(&self.join(path), errno, 0)
    }
}

/// The folder that a path beneath the root is in; empty for the root.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().expect("the path of a torrent has an element")
}

/// The last element of a path beneath the root.
pub(super) fn name_of(path: &Path) -> &OsStr {
    path.file_name().expect("the path of a torrent ends with a name")
}

/// Again after a signal, and after a rename that kept the kernel from knowing whether it is still beneath the root.
pub(super) fn retried<T>(call: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..TRIES_MAX {
        match call() {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return result,
        }
    }
    call()
}

/// Makes the root with the folders above it, durably.
fn make_root(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|folder| !folder.exists()).count();
    fs::create_dir_all(path)?;
    for folder in path.ancestors().skip(1).take(missing) {
        let folder = if folder == Path::new("") {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
