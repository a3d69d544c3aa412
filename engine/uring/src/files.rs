//! The open files of one core, what is under way on them, and lookups of paths.
//!
//! A file that goes around the page cache takes only whole pages. What a write has besides goes through the cache, by
//! a second descriptor of the same file, because a descriptor is direct or not for everybody who uses it. The
//! kernel keeps the two true to each other as long as they touch different pages at a time: a direct operation first
//! writes back and then forgets what the cache holds of its range.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use shoal_world::{Access, EXTENT_LEN, Errno, Extent, File, FileStamp, Opened, PAGE_LEN, ReadDone, Refusal};
use slab::Slab;

use crate::kernel::IoMode;
use crate::stamp::{errno_of, is_regular, stamp, stamp_of, statx, takes_direct};

/// One open file.
struct OpenFile {
    file: fs::File,
    access: Access,
    /// `file` goes around the page cache.
    direct: bool,
    /// The same file through the page cache, since a write needed it.
    cached: Option<fs::File>,
    /// Reads, writes and syncs.
    under_way: u32,
}

/// Bytes on their way from a file to an extent, or back.
#[derive(Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) token: u32,
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) extent: Extent,
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// Bytes that went already: the kernel may do less than it was asked for.
    pub(crate) moved: u32,
}

impl Transfer {
    /// First byte in the file of what is left.
    pub(crate) fn next_offset(&self) -> u64 {
        self.offset + u64::from(self.moved)
    }

    /// The same in the extent.
    pub(crate) fn next_start(&self) -> u32 {
        self.start + self.moved
    }

    /// Bytes left.
    pub(crate) fn left(&self) -> u32 {
        self.len - self.moved
    }

    /// What is left is whole pages, in the file and in memory.
    pub(crate) fn is_whole_pages(&self) -> bool {
        self.next_offset().is_multiple_of(u64::from(PAGE_LEN))
            && self.next_start().is_multiple_of(PAGE_LEN)
            && self.left().is_multiple_of(PAGE_LEN)
    }
}

/// A write, which may stand for several that were asked for: bytes that follow each other in one file and in the arena.
pub(crate) struct Writing {
    pub(crate) transfer: Transfer,
    /// Who asked for what follows the first.
    pub(crate) more: Vec<u32>,
}

/// Bytes of writes that go to the kernel as one. Every request to a disk costs a notification of the machine below,
/// which is as dear as copying 64 KiB; most disks take no more than this at a time.
const WRITE_LEN_MAX: u32 = 4 << 20;

impl Writing {
    /// Takes another write in, if it follows. The range of a registered buffer (`buffer_index`) is not left.
    pub(crate) fn join(&mut self, next: &Transfer, buffer_index: impl Fn(Extent) -> u16) -> bool {
        let transfer = &mut self.transfer;
        let at = |transfer: &Transfer| {
            u64::from(transfer.extent.0) * u64::from(EXTENT_LEN) + u64::from(transfer.start)
        };
        let end = at(transfer) + u64::from(transfer.len);
        let follows = next.file == transfer.file
            && next.offset == transfer.offset + u64::from(transfer.len)
            && at(next) == end
            && transfer.is_whole_pages()
            && next.is_whole_pages()
            && buffer_index(next.extent) == buffer_index(transfer.extent)
            && transfer.len + next.len <= WRITE_LEN_MAX;
        if follows {
            transfer.len += next.len;
            self.more.push(next.token);
        }
        follows
    }
}

/// How a transfer goes on after the kernel answered.
pub(crate) enum Step<T> {
    Done(Result<T, Errno>),
    /// Submit the rest of it.
    Again(Transfer),
}

/// One sync under way.
#[derive(Clone, Copy)]
pub(crate) struct Syncing {
    pub(crate) token: u32,
    pub(crate) file: File,
}

/// A path that a worker thread of the kernel is looking up.
pub(crate) enum Lookup {
    Open {
        token: u32,
        path: CString,
        access: Access,
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
    pub(crate) fn insert(&mut self, descriptor: OwnedFd, access: Access) -> Result<Opened, Refusal> {
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
            access,
            direct,
            cached: None,
            under_way: 0,
        });
        Ok(Opened {
            file: File(index as u32),
            stamp,
        })
    }

    /// Where reads and syncs go.
    pub(crate) fn raw(&mut self, file: File) -> RawFd {
        self.expect(file).file.as_raw_fd()
    }

    /// Where what is left of a write goes.
    pub(crate) fn raw_for(&mut self, write: &Transfer) -> Result<RawFd, Errno> {
        let mode = self.mode;
        let open = self.expect(write.file);
        assert_eq!(
            open.access,
            Access::Write,
            "a file that was opened for reading was written"
        );
        if open.direct && !write.is_whole_pages() {
            open.through_cache(mode)
        } else {
            Ok(open.file.as_raw_fd())
        }
    }

    /// Something starts on a file.
    pub(crate) fn starts(&mut self, file: File) {
        self.expect(file).under_way += 1;
    }

    /// Something that started has ended.
    pub(crate) fn ends(&mut self, file: File) {
        self.expect(file).under_way -= 1;
    }

    pub(crate) fn remove(&mut self, file: File) {
        assert_eq!(
            self.expect(file).under_way,
            0,
            "a file was closed with reads, writes or syncs under way"
        );
        self.files.remove(file.0 as usize);
    }

    fn expect(&mut self, file: File) -> &mut OpenFile {
        let open = self.files.get_mut(file.0 as usize);
        open.expect("an operation named a closed file")
    }

    /// What the kernel's answer to a read means. The stamp is taken after the bytes arrived, never before.
    pub(crate) fn read_ended(&mut self, read: Transfer, result: i32) -> Step<ReadDone> {
        let mode = self.mode;
        let open = self.expect(read.file);
        if let Some(step) = open.not_done(mode, read, result) {
            return step;
        }
        let moved = read.moved + result as u32;
        let stamp = match stamp(open.file.as_fd()) {
            Ok(stamp) => stamp,
            Err(errno) => return Step::Done(Err(errno)),
        };
        if goes_on(&read, moved, result, open.direct, &stamp) {
            return Step::Again(Transfer { moved, ..read });
        }
        Step::Done(Ok(ReadDone { len: moved, stamp }))
    }

    /// What the kernel's answer to a write means. It takes less than it was given when it was interrupted, and before
    /// it says that there is no room.
    pub(crate) fn write_ended(&mut self, write: Transfer, result: i32) -> Step<()> {
        let mode = self.mode;
        let open = self.expect(write.file);
        if let Some(step) = open.not_done(mode, write, result) {
            return step;
        }
        let moved = write.moved + result as u32;
        if moved == write.len {
            Step::Done(Ok(()))
        } else if result == 0 {
            // No error and no progress: a defect of the file system, and nothing to wait for.
            Step::Done(Err(Errno(libc::EIO)))
        } else {
            Step::Again(Transfer { moved, ..write })
        }
    }
}

impl OpenFile {
    /// What follows an answer that moved nothing.
    fn not_done<T>(&mut self, mode: IoMode, transfer: Transfer, result: i32) -> Option<Step<T>> {
        match -result {
            libc::EINTR | libc::EAGAIN => Some(Step::Again(transfer)),
            // The file system promised direct reads and writes, and refuses this one.
            libc::EINVAL if self.direct && mode == IoMode::Auto => Some(match self.leave_direct() {
                Ok(()) => Step::Again(transfer),
                Err(errno) => Step::Done(Err(errno)),
            }),
            errno @ 1.. => Some(Step::Done(Err(Errno(errno)))),
            _ => None,
        }
    }

    /// A descriptor of the same file through the page cache. Made here and not by a worker thread, because looking an
    /// open file up touches no disk.
    fn through_cache(&mut self, mode: IoMode) -> Result<RawFd, Errno> {
        if let Some(cached) = &self.cached {
            return Ok(cached.as_raw_fd());
        }
        let same = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match fs::OpenOptions::new().read(true).write(true).open(same) {
            Ok(cached) => Ok(self.cached.insert(cached).as_raw_fd()),
            // `/proc` is not mounted, or it was made under a mode that refuses its own owner.
            Err(_) if mode == IoMode::Auto => self.leave_direct().map(|()| self.file.as_raw_fd()),
            Err(error) => Err(errno_of(&error)),
        }
    }

    /// Everything through the page cache from now on.
    fn leave_direct(&mut self) -> Result<(), Errno> {
        self.direct = false;
        set_flags(self.file.as_raw_fd(), false).map(|_| ())
    }
}

/// The kernel may give less than was asked for before the file ends (a signal, a limit of its own).
fn goes_on(read: &Transfer, moved: u32, result: i32, direct: bool, stamp: &FileStamp) -> bool {
    let aligned = !direct || moved.is_multiple_of(PAGE_LEN);
    result > 0 && moved < read.len && aligned && read.offset + u64::from(moved) < stamp.size
}

/// Clears the flag under which the file was opened and sets or clears O_DIRECT; where the file system does not know
/// that, reads are buffered. Says whether they are direct.
fn set_flags(descriptor: RawFd, direct: bool) -> Result<bool, Errno> {
    if cfg!(miri) {
        // Miri's files have no flags that could be changed.
        return Ok(false);
    }
    let flags = if direct { libc::O_DIRECT } else { 0 };
    // SAFETY: no memory is passed.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) } == 0 {
        return Ok(direct);
    }
    let errno = errno_of(&io::Error::last_os_error());
    if direct && errno == Errno(libc::EINVAL) {
        set_flags(descriptor, false)
    } else {
        Err(errno)
    }
}

#[cfg(test)]
mod tests;
