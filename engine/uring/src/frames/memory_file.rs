//! A file that lives in memory and sends its pages by reference: a memfd.
//!
//! In tests another hand can play it (`played/pages.rs`), for Miri, which has neither memfds nor `sendfile`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};

use shoal_world::Errno;

use crate::memory::VECTORS_MAX;
use crate::stamp::last_errno;

/// Where framed extents stand.
pub(crate) enum MemoryFile {
    Linux(File),
    #[cfg(test)]
    Played(crate::played::Pages),
}

impl MemoryFile {
    /// A file of `len` bytes; it takes memory only as it is written.
    pub(crate) fn new(len: u64) -> io::Result<MemoryFile> {
        // SAFETY: the name is a NUL-terminated static.
        let fd = unsafe { libc::memfd_create(c"shoal-frames".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(len)?;
        Ok(MemoryFile::Linux(file))
    }

    /// Writes the beginning of `parts`; says how much.
    ///
    /// # Safety
    /// Every part is readable memory.
    pub(crate) unsafe fn write(&self, parts: &[libc::iovec], offset: u64) -> Result<usize, Errno> {
        match self {
            // SAFETY: the caller's promise.
            MemoryFile::Linux(file) => unsafe { write(file, parts, offset) },
            #[cfg(test)]
            // SAFETY: the caller's promise.
            MemoryFile::Played(pages) => unsafe { pages.write(parts, offset) },
        }
    }

    /// Gives pages back; those on their way live until they arrived.
    pub(crate) fn punch(&self, offset: u64, len: u32) {
        match self {
            MemoryFile::Linux(file) => punch(file, offset, len),
            #[cfg(test)]
            MemoryFile::Played(pages) => pages.punch(offset, len),
        }
    }

    /// Gives a socket as many references as it takes without waiting; says how many bytes they hold.
    pub(crate) fn send(&self, socket: BorrowedFd<'_>, offset: u64, len: u32) -> Result<u32, Errno> {
        match self {
            MemoryFile::Linux(file) => send(file, socket, offset, len),
            #[cfg(test)]
            MemoryFile::Played(pages) => pages.send(socket, offset, len),
        }
    }
}

/// # Safety
/// Every part is readable memory.
unsafe fn write(file: &File, parts: &[libc::iovec], offset: u64) -> Result<usize, Errno> {
    let count = parts.len().min(VECTORS_MAX) as libc::c_int;
    // SAFETY: the caller's promise; the count is within the kernel's limit.
    let wrote = unsafe { libc::pwritev(file.as_raw_fd(), parts.as_ptr(), count, offset as i64) };
    usize::try_from(wrote).map_err(|_| last_errno())
}

fn punch(file: &File, offset: u64, len: u32) {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: no memory is passed.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, i64::from(len)) };
    assert!(result == 0, "a hole in a memory file is always granted");
}

fn send(file: &File, socket: BorrowedFd<'_>, offset: u64, len: u32) -> Result<u32, Errno> {
    let (from, to) = (file.as_raw_fd(), socket.as_raw_fd());
    let mut offset = offset as i64;
    // SAFETY: both descriptors are open, `offset` is valid for writing.
    let sent = unsafe { libc::sendfile(to, from, &raw mut offset, len as usize) };
    u32::try_from(sent).map_err(|_| last_errno())
}
