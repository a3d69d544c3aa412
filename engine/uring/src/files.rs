//! The open files of one core, the reads under way on them, and lookups of paths.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use shoal_world::{Errno, Extent, File, FileStamp, Opened, PAGE_LEN, ReadDone, Refusal};
use slab::Slab;

use crate::kernel::IoMode;
use crate::stamp::{is_regular, stamp, stamp_of, statx, takes_direct};

/// One open file.
struct OpenFile {
    file: fs::File,
    /// Reads go around the page cache.
    direct: bool,
    /// Reads under way.
    reads: u32,
}

/// One read under way.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) token: u32,
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) extent: Extent,
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// Bytes that arrived already, when the kernel gave fewer than asked for.
    pub(crate) filled: u32,
}

/// How a read goes on after the kernel answered.
pub(crate) enum ReadStep {
    Done(Result<ReadDone, Errno>),
    /// Submit the rest of it.
    Again(Reading),
}

/// A path that a worker thread of the kernel is looking up.
pub(crate) enum Lookup {
    Open {
        token: u32,
        path: CString,
    },
    Stamp {
        token: u32,
        path: CString,
        raw: Box<libc::statx>,
    },
}

/// A path as the kernel takes it. A NUL inside cannot exist on disk.
pub(crate) fn c_path(path: &Path) -> Result<CString, Refusal> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Refusal::Errno(Errno(libc::ENOENT)))
}

/// Open files by number.
pub(crate) struct Files {
    files: Slab<OpenFile>,
    mode: IoMode,
}

impl Files {
    pub(crate) fn new(mode: IoMode) -> Files {
        Files {
            files: Slab::new(),
            mode,
        }
    }

    /// Takes a descriptor that was opened without blocking (a pipe would have waited for its writer).
    pub(crate) fn insert(&mut self, descriptor: OwnedFd) -> Result<Opened, Refusal> {
        let raw = statx(descriptor.as_fd()).map_err(Refusal::Errno)?;
        let stamp = stamp_of(&raw);
        if !is_regular(&stamp) {
            return Err(Refusal::NotRegular);
        }
        let want_direct = match self.mode {
            IoMode::Auto => takes_direct(&raw),
            IoMode::Direct => true,
            IoMode::Buffered => false,
        };
        let direct = set_flags(descriptor.as_raw_fd(), want_direct).map_err(Refusal::Errno)?;
        let file = fs::File::from(descriptor);
        let index = self.files.insert(OpenFile {
            file,
            direct,
            reads: 0,
        });
        Ok(Opened {
            file: File(index as u32),
            stamp,
        })
    }

    pub(crate) fn raw(&self, file: File) -> RawFd {
        self.files[file.0 as usize].file.as_raw_fd()
    }

    pub(crate) fn read_starts(&mut self, file: File) {
        self.files[file.0 as usize].reads += 1;
    }

    pub(crate) fn remove(&mut self, file: File) {
        let file = self.files.remove(file.0 as usize);
        assert_eq!(file.reads, 0, "a file was closed with reads under way");
    }

    /// What the kernel's answer to a read means. The stamp is taken after the bytes arrived, never before.
    pub(crate) fn read_ended(&mut self, reading: Reading, result: i32) -> ReadStep {
        let open = &mut self.files[reading.file.0 as usize];
        if result == -libc::EINTR || result == -libc::EAGAIN {
            return ReadStep::Again(reading);
        }
        if result == -libc::EINVAL && open.direct && self.mode == IoMode::Auto {
            // The file system promised direct reads and refuses this one: through the page cache from now on.
            open.direct = false;
            return match set_flags(open.file.as_raw_fd(), false) {
                Ok(_) => ReadStep::Again(reading),
                Err(errno) => finish(open, Err(errno)),
            };
        }
        if result < 0 {
            return finish(open, Err(Errno(-result)));
        }
        let filled = reading.filled + result as u32;
        let stamp = match stamp(open.file.as_fd()) {
            Ok(stamp) => stamp,
            Err(errno) => return finish(open, Err(errno)),
        };
        if goes_on(&reading, filled, result, open.direct, &stamp) {
            return ReadStep::Again(Reading { filled, ..reading });
        }
        finish(open, Ok(ReadDone { len: filled, stamp }))
    }
}

fn finish(open: &mut OpenFile, result: Result<ReadDone, Errno>) -> ReadStep {
    open.reads -= 1;
    ReadStep::Done(result)
}

/// The kernel may give less than was asked for before the file ends (a signal, a limit of its own).
fn goes_on(reading: &Reading, filled: u32, result: i32, direct: bool, stamp: &FileStamp) -> bool {
    let aligned = !direct || filled.is_multiple_of(PAGE_LEN);
    result > 0 && filled < reading.len && aligned && reading.offset + u64::from(filled) < stamp.size
}

/// Clears the flag under which the file was opened and sets or clears O_DIRECT; where the file system does not know
/// that, reads are buffered. Says whether they are direct.
fn set_flags(descriptor: RawFd, direct: bool) -> Result<bool, Errno> {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    // SAFETY: no memory is passed.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) } == 0 {
        return Ok(direct);
    }
    let error = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    if direct && error == libc::EINVAL {
        set_flags(descriptor, false)
    } else {
        Err(Errno(error))
    }
}
